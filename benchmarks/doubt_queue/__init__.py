"""How long one decision about a doubtful atom takes."""
