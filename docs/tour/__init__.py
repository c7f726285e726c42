"""The screenshots of the documentation, part by part; docs/screenshots.py runs them."""
