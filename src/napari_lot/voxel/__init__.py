"""Conventional tomography: volumes from a tilt series, and atoms traced in them. Knows nothing of ``lot``."""
