"""Atoms at the peaks of a volume."""
