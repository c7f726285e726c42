"""The road of other devices, by PyTorch's operations on the processor, against the compiled road."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from napari_lot.lot.device.memory import Device
from napari_lot.lot.image_model import ImageModel, Shapes
from napari_lot.lot.render import Measured
from napari_lot.physics.geometry import rotations, rotations_torch
from napari_lot.physics.orbital import orbital
from napari_lot.settings import Microscope

FIELD, ANGLES = (60, 54), np.array([[0.0, -50.0, 0.0], [0.0, 0.0, 0.0], [0.0, 20.0, 0.0], [3.0, 60.0, 1.0]])
LENS = Microscope(energy_eV=3e5, semiangle_mrad=25.0, defocus_A=10.0, c21_A=800.0)
TILTS = np.array([3, 0, 2])


def here(**options):
    return Device(torch.device("cpu"), **options)


class Case:
    """A model, its parameters, and what it is compared with."""

    def __init__(self, lens, shape, kinds, common, oversampling=1, width=0.5, atoms=50):
        self.options = {"oversampling": oversampling, "threads": 1, "orbital": orbital(shape)}
        self.about = (rotations(ANGLES), FIELD, 0.35, (29.3, 27.9), lens, (-40.0, 40.0), width)
        rng = np.random.default_rng(1)
        n, t, terms = atoms, len(TILTS), self.options["orbital"].terms
        widths = width + 0.02 * np.arange(kinds)
        self.common, self.kinds = common, kinds
        values = {
            "positions": rng.uniform(-7, 7, (n, 3)),
            "height": rng.uniform(20, 40, n),
            "width": widths,
            "own": rng.uniform(-0.05, 0.05, n),
            "learnt": np.full((kinds, terms), 0.1),
            "shifts": rng.normal(0, 0.7, (t, 2)),
            "angles": np.deg2rad(ANGLES[TILTS]),
            "focus": rng.normal(0, 3.0, t),
            "scale": rng.uniform(0.9, 1.1, t),
            "background": rng.uniform(1.0, 3.0, t),
        }
        values["positions"][0] = [-30.0, 0.0, 0.0]  # beyond the canvas
        values["positions"][1] = [0.0, 0.0, 39.5]  # beyond the depths at some tilts
        self.values = {name: value for name, value in values.items() if value.size and (name != "own" or not common)}
        self.species = torch.from_numpy(rng.integers(0, kinds, n))
        self.observed = rng.poisson(4.0, (len(ANGLES), *FIELD)).astype(np.float32)
        self.observed[:, :2] = -0.5  # read noise
        self.weights = (rng.random(self.observed.shape) > 0.2).astype(np.float32)

    def model(self, device=None):
        return ImageModel(*self.about, device=device, **self.options)

    def leaves(self):
        return {name: torch.tensor(value).requires_grad_() for name, value in self.values.items()}

    def seen(self, leaf):
        width = leaf["width"][self.species]
        if not self.common:
            width = width + leaf["own"]
        learnt = leaf.get("learnt", torch.zeros(self.kinds, 0, dtype=torch.float64))
        atoms = (leaf["positions"], leaf["height"], width, leaf["shifts"], rotations_torch(leaf["angles"]))
        shapes = Shapes(self.species, leaf["width"], learnt, common=self.common)
        return atoms, {"focus_A": leaf["focus"], "shapes": shapes}

    def fitted(self, model, kind="lsq", weighted=False):
        """Loss, calculated images and gradients."""
        leaf = self.leaves()
        atoms, others = self.seen(leaf)
        measured = Measured(self.observed, self.weights if weighted else None, TILTS, kind)
        loss, calculated = model.loss(measured, leaf["scale"], leaf["background"], *atoms, **others)
        gradients = torch.autograd.grad(3.0 * loss, list(leaf.values()), allow_unused=True)
        return loss.item(), calculated.numpy(), dict(zip(leaf, gradients, strict=True))

    def rendered(self, model):
        """Images and the gradients of some sum of them."""
        leaf = self.leaves()
        atoms, others = self.seen(leaf)
        images = model.images(TILTS, *atoms, **others)
        rng = np.random.default_rng(9)
        out = torch.from_numpy(rng.normal(size=images.shape).astype(np.float32))
        gradients = torch.autograd.grad(images, list(leaf.values()), out, allow_unused=True)
        return None, images.detach().numpy(), dict(zip(leaf, gradients, strict=True))


CASES = {
    "learnt": (LENS, "learnt", 1, True),
    "two species, a finer canvas": (LENS, "learnt", 2, True, 2),
    "Gaussians of a common width": (LENS, "gaussian", 2, True),
    "own widths": (LENS, "gaussian", 1, False),
    "own widths, spread wider": (LENS, "gaussian", 1, False, 1, 0.3),
    "own widths of another shape": (LENS, "slater", 2, False),
    "direct, own widths": (None, "gaussian", 1, False),
    "direct, learnt": (None, "learnt", 1, True),
    "direct, narrow": (None, "gaussian", 1, True, 1, 0.3),
}


@cache
def case_of(name):
    """A case and its models on the compiled road and on that of devices, which are made once."""
    case = Case(*CASES[name])
    return case, case.model(), case.model(here())


def limit_of(name):
    # no probe damps what single precision rounds at the sampling limit, where filters raise it
    return 1e-4 if name.startswith("direct") else 1e-5


def assert_alike(found, expected, limit=1e-5):
    loss, images, gradients = found
    true_loss, true_images, true = expected
    if loss is not None:
        assert loss == pytest.approx(true_loss, rel=1e-6)
    assert np.abs(images - true_images).max() <= limit * np.abs(true_images).max()
    assert gradients.keys() == true.keys()
    for name, gradient in gradients.items():
        if true[name] is None:
            assert gradient is None
            continue
        size = float(true[name].norm())
        off = float((gradient - true[name]).norm())
        assert off <= limit * size, f"{name}: {off:.1e} of {size:.1e}"


@pytest.mark.parametrize("kind", ["lsq", "poisson"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_loss_images_and_every_gradient_are_those_of_the_compiled_road(kind, weighted, name):
    case, compiled, model = case_of(name)
    assert_alike(case.fitted(model, kind, weighted), case.fitted(compiled, kind, weighted), limit_of(name))


@pytest.mark.parametrize("name", CASES)
def test_so_are_images_by_themselves(name):
    case, compiled, model = case_of(name)
    assert_alike(case.rendered(model), case.rendered(compiled), limit_of(name))
