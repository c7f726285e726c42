"""Simulated data: particles and their tilt series."""
