"""Whether a device calculates what the processor does: tried on a few orbitals before a run goes its way.

Drivers, PyTorch's own operations for a device and Triton's compiler are of so many versions that nobody has tried all.
A second of trying costs less than a wrong structure.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from napari_lot.errors import InputError
from napari_lot.lot.device.choose import Name, chosen
from napari_lot.lot.device.memory import Device
from napari_lot.lot.image_model import ImageModel, Shapes
from napari_lot.lot.render.scene import Measured
from napari_lot.physics.geometry import rotations
from napari_lot.settings import Microscope

LARGEST_DISAGREEMENT = 1e-3
"""Of the loss and of each gradient, relative; a hundred times what single precision makes of them."""
_TILTS_DEG = np.array([[0.0, -40.0, 0.0], [0.0, 10.0, 0.0], [0.0, 55.0, 0.0]])
_LENS = Microscope(energy_eV=3e5, semiangle_mrad=25.0)
_FIELD, _PIXEL_A, _WIDTH_A, _ORBITALS = 48, 0.35, 0.5, 20
_TRIALS = ((9.0, True, False), (60.0, True, False), (60.0, True, True), (9.0, False, False))
"""Half depth in Å, whether of a common shape, whether coarse: windows of both sizes with one and with several pairs of
depth channels, so that every kernel that a run takes is compiled and tried before it; and Gaussians."""


def trusted(name: Name, memory_gb: float | None = None) -> tuple[Device | None, tuple[str, ...]]:
    """As ``choose.chosen``, but a device that agrees with the processor; and what a person is to be told of the choice.

    Where it is Triton's kernels that do not, PyTorch's operations take their place. What ``auto`` would have taken and
    does not agree is passed over.

    Raises
    ------
    InputError
        A device that is asked for by name is not there, or does not agree.
    """
    device = chosen(name, memory_gb)
    if device is None:
        return None, ()
    notes = []
    wrong = why_not(device)
    if wrong and device.triton:
        notes.append(f"Triton's kernels are not used on {device.words}: {wrong}.")
        device = Device(device.torch, device.words, memory_gb, triton=False)
        wrong = why_not(device)
    if not wrong:
        return device, tuple(notes)
    if name == "auto":
        return None, (f"{device.words} is not used, the processor is: {wrong}.",)
    raise InputError(f"--device {name}: {device.words} cannot be used: {wrong}; take --device cpu.")


def why_not(device: Device) -> str:
    """Why a device is not to be trusted; '' where it is."""
    try:
        off = disagreement(device)
    except Exception as error:  # whatever a driver or a compiler may raise
        first = next(iter(str(error).splitlines()), "") or type(error).__name__
        return f"a trial ended with {first.rstrip('.')!r}"
    finally:
        device.close()
        device.messages.clear()
    # not a number is no agreement
    return "" if off <= LARGEST_DISAGREEMENT else f"what it calculates is {100 * off:.2g} % off"


def disagreement(device: Device) -> float:
    """Largest relative difference of a loss and its gradients from those of the compiled road."""
    middle, off = 0.5 * (_FIELD - 1), [0.0]
    rng = np.random.default_rng(0)
    observed = rng.poisson(3.0, (len(_TILTS_DEG), _FIELD, _FIELD)).astype(np.float32)
    measured = Measured(observed, None, np.arange(len(_TILTS_DEG)), "poisson")
    values = (
        rng.uniform(-5, 5, (_ORBITALS, 3)),
        rng.uniform(10, 20, _ORBITALS),
        np.array([_WIDTH_A]),
        np.ones(len(_TILTS_DEG)),
        np.ones(len(_TILTS_DEG)),
    )
    turns, center = rotations(_TILTS_DEG), (middle, middle)
    which = torch.zeros(_ORBITALS, dtype=torch.int64)
    none = torch.zeros(1, 0, dtype=torch.float64)
    for depth_A, common, coarse in _TRIALS:
        about: tuple[Any, ...] = (turns, (_FIELD, _FIELD), _PIXEL_A, center, _LENS, (-depth_A, depth_A), _WIDTH_A)
        found = []
        for where in (device, None):
            model = ImageModel(*about, threads=1, device=where)
            model.set_coarse(coarse)
            leaves = [torch.tensor(value).requires_grad_() for value in values]
            positions, height, width, scale, background = leaves
            shapes = Shapes(which, width, none, common=common)
            loss, _ = model.loss(measured, scale, background, positions, height, width[which], shapes=shapes)
            found.append([loss.detach(), *torch.autograd.grad(loss, leaves)])
        off += [float((one - other).norm() / other.norm()) for one, other in zip(*found, strict=True)]
    return float(np.max(off))  # not a number where one is not
