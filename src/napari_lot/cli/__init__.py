"""The terminal: one command per verb of the contract. The only part of the package that prints."""

from napari_lot.cli.app import main

__all__ = ["main"]
