"""Work that takes longer than a person notices, in threads beside the window."""
