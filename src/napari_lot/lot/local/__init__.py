"""Changes of single atoms of a finished result: only what they touch is fitted and calculated anew."""

from napari_lot.lot.local.change import Change
from napari_lot.lot.local.fit import LocalFit
from napari_lot.lot.local.missing import NothingMissing
from napari_lot.lot.local.windows import Patches, Windows

__all__ = ["Change", "LocalFit", "NothingMissing", "Patches", "Windows"]
