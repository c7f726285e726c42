"""Form factors of orbitals against Hankel integrals, and through the image model."""

import numpy as np
import pytest
import torch
from scipy import integrate, special

from napari_lot.errors import InputError
from napari_lot.lot.image_model import ImageModel, Shapes
from napari_lot.physics.geometry import rotations
from napari_lot.physics.orbital import Gaussian, Learnt, Slater, orbital, read_table
from napari_lot.settings import Microscope

Q = np.linspace(0.0, 2.5, 26)
NONE = torch.zeros(0, dtype=torch.float64)
COMA = Microscope(energy_eV=300e3, semiangle_mrad=25, defocus_A=10, c21_A=2000, phi21_deg=35)


def hankel(shape, reach):
    """2 pi int h(r) J0(2 pi q r) r dr over its value at q = 0, by quadrature."""

    def at(q):
        return integrate.quad(lambda r: shape(r) * special.j0(2 * np.pi * q * r) * r, 0, reach, limit=400)[0]

    return np.array([at(q) for q in Q]) / at(0.0)


def factor(kind, width, learnt=NONE):
    return kind.form_factor(torch.from_numpy(Q**2), torch.tensor(width, dtype=torch.float64), learnt).numpy()


def table(tmp_path, shape=lambda r: np.exp(-((r / 0.6) ** 2)) * (1 + 0.8 * r**2), reach=4.0, steps=401):
    radius = np.linspace(0, reach, steps)
    path = tmp_path / "orbital.csv"
    lines = "".join(f"{r:.6f},{h:.9g}\n" for r, h in zip(radius, shape(radius), strict=True))
    path.write_text("radius_A,value\n" + lines)
    return path


def test_gaussian_and_slater_are_hankel_transforms():
    np.testing.assert_allclose(factor(Gaussian(), 0.6), hankel(lambda r: np.exp(-((r / 0.6) ** 2)), 6), atol=1e-8)
    b = 0.6 / np.sqrt(2)
    np.testing.assert_allclose(factor(Slater(), 0.6), hankel(lambda r: np.exp(-r / b), 20), atol=1e-7)


def test_the_width_is_that_of_strength_and_height():
    """pi H B^2 is the integral of every orbital of height H."""
    b = 0.6 / np.sqrt(2)
    area = 2 * np.pi * integrate.quad(lambda r: np.exp(-r / b) * r, 0, 30)[0]
    assert area == pytest.approx(np.pi * 0.6**2)


def test_a_table_is_what_it_says(tmp_path):
    def shape(r):
        return np.exp(-((r / 0.6) ** 2)) * (1 + 0.8 * r**2)

    kind = read_table(table(tmp_path, shape))
    np.testing.assert_allclose(factor(kind, kind.own_width_A), hankel(shape, 4.0), atol=3e-4)
    area = 2 * np.pi * integrate.quad(lambda r: shape(r) * r, 0, 4)[0]
    assert kind.own_width_A == pytest.approx(np.sqrt(area / np.pi), rel=1e-4)
    # twice as wide in space is half as wide in frequency
    at = torch.from_numpy((Q / 2) ** 2)
    half = kind.form_factor(at, torch.tensor(2 * kind.own_width_A, dtype=torch.float64), NONE).numpy()
    np.testing.assert_allclose(half, factor(kind, kind.own_width_A), atol=1e-6)


def test_what_is_learnt_changes_neither_strength_nor_mean_width():
    learnt = torch.tensor([0.3, -0.2, 0.1, 0.05], dtype=torch.float64)
    small = torch.tensor([0.0, 1e-4], dtype=torch.float64)
    b = torch.tensor(0.5, dtype=torch.float64)
    with_it, without = Learnt().form_factor(small, b, learnt), Gaussian().form_factor(small, b, NONE)
    assert float(with_it[0]) == 1.0
    assert float(with_it[1]) == pytest.approx(float(without[1]), abs=1e-7)
    assert np.abs(factor(Learnt(), 0.5, learnt) - factor(Gaussian(), 0.5)).max() > 0.02


def make(kind, pixel=0.3, width=0.5):
    model = ImageModel(
        rotations([[0, -50, 0], [1, 10, 2], [0, 60, 0]]), (44, 48), pixel, (21.6, 23.3), COMA, (-20, 20), width,
        threads=2, orbital=kind,
    )  # fmt: skip
    rng = np.random.default_rng(4)
    positions = torch.tensor(rng.uniform(-4, 4, (12, 3)))
    height, species = torch.tensor(rng.uniform(0.5, 1.5, 12)), torch.tensor(rng.integers(0, 2, 12))
    widths = torch.tensor([width, 1.1 * width], dtype=torch.float64)
    learnt = torch.tensor(rng.normal(0, 0.1, (2, kind.terms)))
    return model, positions, height, species, widths, learnt


def images(model, positions, height, species, widths, learnt, extra, focus, backend):
    return model.images(
        [0, 1, 2], positions, height, widths[species] + extra, None, None, backend,
        focus_A=focus, shapes=Shapes(species, widths, learnt),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["slater", "learnt", "table"])
@pytest.mark.parametrize("width", [0.25, 0.6])
def test_compiled_and_reference_agree_in_values_and_gradients(name, width, tmp_path):
    kind = orbital(str(table(tmp_path))) if name == "table" else orbital(name)
    model, positions, height, species, widths, learnt = make(kind, width=width)
    weights = torch.tensor(np.random.default_rng(5).normal(size=(3, 44, 48)))
    extra = torch.tensor(np.random.default_rng(6).normal(0, 0.01, 12))
    found = []
    for backend in ("cpu", "reference"):
        leaves = [
            t.clone().requires_grad_()
            for t in (positions, height, widths, learnt, extra, torch.tensor([3.0, -5, 8]).double())
        ]
        image = images(model, leaves[0], leaves[1], species, leaves[2], leaves[3], leaves[4], leaves[5], backend)
        loss = (image.double() * weights).sum() + 0.5 * (image.double() ** 2).sum()
        some = [leaf for leaf in leaves if leaf.numel()]
        found.append((image.detach().double(), torch.autograd.grad(loss, some)))
    (fast, fast_gradients), (slow, slow_gradients) = found
    assert (fast - slow).abs().max() <= 2e-4 * slow.abs().max()
    for a, b in zip(fast_gradients, slow_gradients, strict=True):
        assert (a - b).abs().max() <= 5e-4 * b.abs().max()


@pytest.mark.parametrize("name", ["slater", "learnt", "table"])
def test_gradients_by_finite_differences(name, tmp_path):
    kind = orbital(str(table(tmp_path))) if name == "table" else orbital(name)
    model, positions, height, species, widths, learnt = make(kind)
    weights = torch.tensor(np.random.default_rng(5).normal(size=(3, 44, 48)))
    extra, focus = torch.zeros(12, dtype=torch.float64), torch.tensor([3.0, -5, 8]).double()
    parts = [positions, height, widths, learnt, extra, focus]

    def loss(p):
        return (images(model, p[0], p[1], species, *p[2:], "reference") * weights).sum()

    for k, part in enumerate(parts):
        if not part.numel():
            continue
        leaves = [t.clone().requires_grad_(i == k) for i, t in enumerate(parts)]
        (gradient,) = torch.autograd.grad(loss(leaves), leaves[k])
        direction = torch.tensor(np.random.default_rng(k).normal(size=part.shape))
        ends = [loss([t + s * 1e-5 * direction if i == k else t for i, t in enumerate(parts)]) for s in (1, -1)]
        assert float(ends[0] - ends[1]) / 2e-5 == pytest.approx(float((gradient * direction).sum()), rel=1e-4), k


@pytest.mark.parametrize("name", ["gaussian", "slater", "learnt", "table"])
def test_a_narrow_orbital_has_the_same_height_wherever_it_falls_between_the_pixels(name, tmp_path):
    """B of 0.6 pixel, drawn as it stands, would ripple by 11 %; the strength must not depend on where it lies."""
    pixel = 0.4
    kind = orbital(str(table(tmp_path))) if name == "table" else orbital(name)
    lens = Microscope(energy_eV=300e3, semiangle_mrad=10)  # all of whose detail the pixels show
    model = ImageModel(rotations([[0, 0, 0]]), (64, 64), pixel, (31.0, 31.0), lens, (-5, 5), 0.6 * pixel, orbital=kind)
    strengths, powers = [], []
    for part in np.linspace(0, 1, 9):
        at = torch.tensor([[part * pixel, 0.37 * part * pixel, 0.0]], dtype=torch.float64)
        width = torch.tensor([0.6 * pixel], dtype=torch.float64)
        image = model.images([0], at, torch.ones(1, dtype=torch.float64), width)[0].double()
        strengths.append(float(image.sum()))
        powers.append(float((image**2).sum()))
    assert np.ptp(strengths) < 1e-3 * np.mean(strengths)
    assert np.ptp(powers) < 1e-3 * np.mean(powers)
    assert np.mean(strengths) == pytest.approx(np.pi * 0.6**2, rel=5e-3), (
        "pi H B^2, less what the probe takes out of the field"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,1\n0.1,0.9\n", "at least 4 radii"),
        ("0.1,1\n0.2,0.9\n0.3,0.5\n0.4,0.1\n", "rise from 0"),
        ("0,1\n0.2,0.9\n0.2,0.5\n0.4,0.1\n", "rise from 0"),
        ("0,0\n0.1,1\n0.2,0.5\n0.3,0.1\n", "positive at radius 0"),
        ("r,h\n0,1\n0.1,x\n", "line 3"),
        ("0,1,2\n", "line 1"),
    ],
)
def test_bad_tables(tmp_path, text, message):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        orbital(str(path))


def test_unknown_orbitals(tmp_path):
    with pytest.raises(InputError, match="none of gaussian, slater, learnt"):
        orbital("lorentzian")
    with pytest.raises(InputError, match="no such file: check the name of the orbital"):
        orbital(str(tmp_path / "absent.csv"))
