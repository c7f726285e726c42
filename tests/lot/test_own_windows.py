"""Orbitals of very different widths side by side: each has a window of its own."""

import numpy as np
import pytest
import torch

from napari_lot.lot.device.memory import Device
from napari_lot.lot.image_model import ImageModel, Shapes
from napari_lot.lot.likelihood import loss as loss_of
from napari_lot.lot.render.scene import Measured
from napari_lot.physics.geometry import rotations
from napari_lot.settings import Microscope

LENS = Microscope(energy_eV=3e5, semiangle_mrad=25.0)
PIXEL_A, TURNS = 0.35, rotations(np.array([[0.0, -40.0, 0.0], [0.0, 10.0, 0.0], [0.0, 50.0, 0.0]]))
DEVICES = {"compiled": None, "torch": Device(torch.device("cpu"))}


def model_of(side: int, lens: Microscope | None, device: str) -> ImageModel:
    middle = 0.5 * (side - 1)
    about = (TURNS, (side, side), PIXEL_A, (middle, middle), lens, (-9.0, 9.0), 0.5)
    return ImageModel(*about, threads=1, device=DEVICES[device])


def image(model: ImageModel, x_A: list[float], height: list[float], width: list[float], **how: str) -> torch.Tensor:
    positions = torch.zeros(len(x_A), 3, dtype=torch.float64)
    positions[:, 0] = torch.tensor(x_A)
    numbers = (torch.tensor(height, dtype=torch.float64), torch.tensor(width, dtype=torch.float64))
    return model.images([1], positions, *numbers, **how)[0]


@pytest.mark.parametrize("lens", [LENS, None], ids=["probe", "direct"])
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("wide_A", [1.5, 3.0])
def test_a_wide_orbital_does_not_touch_the_others(device, lens, wide_A):
    model = model_of(128, lens, device)
    edge = 0.98 * 63.0 * PIXEL_A  # near the edge of the field at this tilt
    alone = image(model, [edge], [1.0], [0.5])
    # the other one is not seen at all, only wide: what it costs the first was everything
    beside = image(model, [0.0, edge], [0.0, 1.0], [wide_A, 0.5])
    assert float(alone.abs().max()) > 1e-3
    torch.testing.assert_close(beside, alone, atol=2e-4 * float(alone.max()), rtol=0)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("wide_A", "narrow_A"), [(3.0, 0.05), (2.0, 0.2), (4.0, 0.05)])
def test_very_narrow_beside_very_wide_is_as_the_reference_says(device, wide_A, narrow_A):
    model = model_of(128, LENS, device)
    given = ([0.0, 10.17], [1.0, 1.0], [wide_A, narrow_A])
    found, reference = image(model, *given), image(model, *given, backend="reference")
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found.double(), reference.double(), atol=3e-4 * float(reference.max()), rtol=0)


@pytest.mark.parametrize("device", DEVICES)
def test_gradients_of_mixed_windows_are_those_of_the_reference(device):
    model = model_of(64, LENS, device)
    rng = np.random.default_rng(0)
    positions = rng.uniform(-6.0, 6.0, (12, 3))
    positions[0] = [0.99 * 31.5 * PIXEL_A, 0.0, 0.0]  # half of its window lies beyond the field
    width = rng.uniform(0.3, 0.7, 12)
    width[1] = 1.6
    observed = rng.uniform(0.5, 1.5, (3, 64, 64)).astype(np.float32)
    found = {}
    for backend in ("cpu", "reference"):
        leaves = [torch.tensor(a, requires_grad=True) for a in (positions, np.ones(12), width)]
        shapes = Shapes(torch.zeros(12, dtype=torch.int64), leaves[2].mean().reshape(1), torch.zeros(1, 0))
        one = torch.ones(3, dtype=torch.float64)
        if backend == "cpu":
            measured = Measured(observed, None, np.arange(3), "lsq")
            value, _ = model.loss(measured, one, 0.0 * one, *leaves, shapes=shapes)
        else:
            calculated = model.images(np.arange(3), *leaves, shapes=shapes, backend="reference")
            value = loss_of("lsq", calculated, torch.from_numpy(observed), None)
        found[backend] = torch.autograd.grad(value, leaves)
    for own, exact in zip(found["cpu"], found["reference"], strict=True):
        assert float((own - exact).norm() / exact.norm()) < 1e-3
