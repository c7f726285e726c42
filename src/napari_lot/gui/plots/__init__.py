"""Plots beside the canvas."""
