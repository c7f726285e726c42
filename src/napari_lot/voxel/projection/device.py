"""The projector of a run: compiled loops on the processor, or PyTorch on a graphics card."""

from __future__ import annotations

import numpy as np

from napari_lot.errors import InputError, RunFailed
from napari_lot.settings.voxel import RealSpace
from napari_lot.voxel.method import Tilts
from napari_lot.voxel.projection.projector import Projector

AGREEMENT = 1e-3
"""Largest relative difference of a small projection on the card and on the processor."""


def projector_for(tilts: Tilts, shape: tuple[int, int, int], settings: RealSpace) -> Projector:
    """The projector of a series, on the device that the settings name.

    Raises
    ------
    InputError
        CUDA is asked for and not there.
    RunFailed
        The card that is asked for does not calculate what the processor does.
    """
    if settings.device == "cpu" or not _cuda(settings.device == "cuda"):
        return Projector.of(tilts, shape, settings.threads)
    from napari_lot.voxel.projection.projector_torch import TorchProjector

    try:
        wrong = _tried()
    except (RuntimeError, NotImplementedError) as error:
        wrong = str(error).strip().splitlines()[0]
    if not wrong:
        return TorchProjector.of(tilts, shape, settings.threads)
    if settings.device == "cuda":
        raise RunFailed(f"The device of the run cannot be used ({wrong}): take --device cpu.")
    return Projector.of(tilts, shape, settings.threads)


def _cuda(asked: bool) -> bool:
    import torch  # only who may use a card waits for it

    there = torch.cuda.is_available()
    if asked and not there:
        raise InputError(
            f"--device cuda: there is no CUDA device, or this PyTorch ({torch.__version__}) was built without CUDA; "
            "take --device auto or --device cpu. napari-lot devices lists what there is."
        )
    return there


def _tried(device: str = "cuda") -> str:
    """What is wrong with a card; '' where a small projection is the processor's."""
    from napari_lot.physics.geometry import rotations
    from napari_lot.voxel.projection.projector_torch import TorchProjector

    turns = rotations([[0.0, 30.0, 0.0], [20.0, 70.0, -10.0]])
    geometry = (turns, (12, 14), 1.0, (5.0, 7.0), (10, 11, 12))
    values = np.random.default_rng(0).random((10, 11, 12), np.float32)
    here, there = Projector(*geometry, threads=1), TorchProjector(*geometry, device=device)
    images, others = here.project(values), there.project(values)
    back, back_there = here.adjoint(images), there.adjoint(images)
    apart = max(np.abs(a - b).max() / np.abs(a).max() for a, b in ((images, others), (back, back_there)))
    return "" if apart < AGREEMENT else f"a projection differs by {apart:.1e} from the processor's"
