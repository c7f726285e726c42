"""Local-orbital tomography: from a tilt series of HAADF-STEM images to the 3D coordinates of every atom.

The names below are the public interface: they keep their meaning within a major version. Each is imported when it is
first asked for, so that ``import napari_lot`` costs nothing and needs neither PyTorch nor napari. What is not named
here may change at any time.

>>> import napari_lot as lot
>>> series = lot.load_sample()
>>> series.images.shape, series.pixel_size_A
((36, 114, 114), 0.25)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from napari_lot.analysis.compare import Comparison, compare
    from napari_lot.atoms import Orbitals
    from napari_lot.control import Control
    from napari_lot.errors import InputError
    from napari_lot.export import read_atoms, read_volume, write_atoms, write_volume
    from napari_lot.job import Job
    from napari_lot.report import write_results
    from napari_lot.result import ProbeSlices, Result, Snapshot
    from napari_lot.series import TiltSeries, read_series
    from napari_lot.series.sample import load_sample
    from napari_lot.session import Session, read_session, write_session
    from napari_lot.settings import Microscope, Settings, load_settings, settings_from_dict
    from napari_lot.simulate.images import simulate_series
    from napari_lot.voxel.atoms.species import Found, find_atoms
    from napari_lot.voxel.atoms.tracing import Traced, trace
    from napari_lot.voxel.job import VoxelJob
    from napari_lot.voxel.methods import voxel_settings
    from napari_lot.voxel.result import VoxelResult, VoxelSnapshot
    from napari_lot.voxel.volume import Volume

_PLACES = {
    "analysis.compare": ("Comparison", "compare"),
    "atoms": ("Orbitals",),
    "control": ("Control",),
    "errors": ("InputError",),
    "export": ("read_atoms", "read_volume", "write_atoms", "write_volume"),
    "job": ("Job",),
    "report": ("write_results",),
    "result": ("ProbeSlices", "Result", "Snapshot"),
    "series": ("TiltSeries", "read_series"),
    "series.sample": ("load_sample",),
    "session": ("Session", "read_session", "write_session"),
    "settings": ("Microscope", "Settings", "load_settings", "settings_from_dict"),
    "simulate.images": ("simulate_series",),
    "voxel.atoms.species": ("Found", "find_atoms"),
    "voxel.atoms.tracing": ("Traced", "trace"),
    "voxel.job": ("VoxelJob",),
    "voxel.methods": ("voxel_settings",),
    "voxel.result": ("VoxelResult", "VoxelSnapshot"),
    "voxel.volume": ("Volume",),
}
_MODULE_OF = {name: f"{__name__}.{place}" for place, names in _PLACES.items() for name in names}

__all__ = [
    "Comparison",
    "Control",
    "Found",
    "InputError",
    "Job",
    "Microscope",
    "Orbitals",
    "ProbeSlices",
    "Result",
    "Session",
    "Settings",
    "Snapshot",
    "TiltSeries",
    "Traced",
    "Volume",
    "VoxelJob",
    "VoxelResult",
    "VoxelSnapshot",
    "__version__",
    "compare",
    "find_atoms",
    "load_sample",
    "load_settings",
    "read_atoms",
    "read_series",
    "read_session",
    "read_volume",
    "settings_from_dict",
    "simulate_series",
    "trace",
    "voxel_settings",
    "write_atoms",
    "write_results",
    "write_session",
    "write_volume",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
