"""The probe and the image of an atom against abTEM; arrays by benchmarks/oracles/make_probe_reference.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import fft, optimize

from napari_lot.physics import optics
from napari_lot.physics.probe import depth_basis
from napari_lot.settings import Microscope

DATA = Path(__file__).parent / "data"
PROBES = np.load(DATA / "abtem_probe.npz")
SCANS = np.load(DATA / "abtem_atom_scan.npz")
PROBE_INFO = json.loads(str(PROBES["cases"]))
SCAN_INFO = json.loads(str(SCANS["cases"]))


def _probe_case(name: str) -> tuple[Microscope, list[float], np.ndarray, float]:
    values: dict[str, Any] = dict(PROBE_INFO["cases"][name])
    depth = values.pop("depth_A")
    return Microscope(**values), depth, PROBES[name], PROBE_INFO["about"]["pixel_size_A"]


def test_the_reference_covers_what_it_must() -> None:
    cases = PROBE_INFO["cases"].values()
    assert len(cases) >= 6
    for sign in (-1, 1):
        assert any(sign * c.get("defocus_A", 0) > 0 for c in cases)
        assert any(sign * min(c["depth_A"], key=lambda w: -sign * w) > 0 for c in cases)
    for name in ("c12_A", "c21_A", "c23_A", "c30_A", "c50_A"):
        assert any(c.get(name, 0) for c in cases), name


@pytest.mark.parametrize("name", PROBE_INFO["cases"])
def test_intensity_over_depth(name: str) -> None:
    microscope, depth, reference, pixel = _probe_case(name)
    ours = optics.probe_intensity(microscope, depth, reference.shape[1:], pixel)
    for image, expected in zip(ours, reference, strict=True):
        assert np.abs(image - expected).max() <= 1e-4 * expected.max()


@pytest.mark.parametrize("name", PROBE_INFO["cases"])
def test_kernel_on_a_canvas_twice_as_coarse(name: str) -> None:
    microscope, depth, reference, pixel = _probe_case(name)
    v, u = reference.shape[1] // 2, reference.shape[2] // 2
    ours = optics.probe_transfer(microscope, depth, (v, u), 2 * pixel)
    expected = fft.rfft2(reference.astype(np.float64)).conj()  # mirrored
    rows = np.r_[0 : v // 2, 1 - v // 2 : 0]
    np.testing.assert_allclose(ours[:, rows, : u // 2], expected[:, rows, : u // 2], atol=1e-4)


@pytest.mark.parametrize("name", PROBE_INFO["cases"])
def test_depth_basis(name: str) -> None:
    microscope, depth, reference, pixel = _probe_case(name)
    v, u = reference.shape[1] // 2, reference.shape[2] // 2
    basis = depth_basis(microscope, (-60, 45), (v, u), 2 * pixel, 2e-5)
    for w, image in zip(depth, reference, strict=True):
        expected = fft.rfft2(image.astype(np.float64)).conj()
        difference = basis.transfer_at(w)
        difference[: v // 2] -= expected[: v // 2, : u // 2 + 1]
        difference[v // 2 :] -= expected[-(v // 2) :, : u // 2 + 1]
        difference[v // 2] = difference[:, u // 2] = 0  # the highest frequency is the mean of both signs on the canvas
        assert np.abs(fft.irfft2(difference, s=(v, u))).max() <= 1e-4 * 4 * image.max()


def _fit_atom(name: str, mirrored: bool = True, depth_sign: int = 1) -> tuple[np.ndarray, float]:
    """Fitted (u, v, width B, height, background) of one Gaussian under the probe, and the largest residual."""
    about, values = SCAN_INFO["about"], dict(SCAN_INFO["cases"][name])
    depth = values.pop("atom_uvw_A")[2]
    values.pop("element")
    image, pixel = SCANS[name].astype(np.float64), about["pixel_size_A"]
    extent_u, extent_v = about["cell_uv_A"]
    fine = 0.15
    shape = (round(extent_v / fine), round(extent_u / fine))
    half = optics.probe_transfer(Microscope(**values), [depth_sign * depth], shape, fine, mirrored)[0]
    spectrum = fft.fft2(fft.irfft2(half, s=shape))
    qv, qu = fft.fftfreq(shape[0], fine), fft.fftfreq(shape[1], fine)
    v = (np.arange(image.shape[0]) - (image.shape[0] - 1) / 2) * pixel
    u = (np.arange(image.shape[1]) - (image.shape[1] - 1) / 2) * pixel
    damping = (np.pi * np.hypot(qv[:, None], qu[None])) ** 2
    unit = 1 / np.abs(spectrum).sum()

    def residual(x: np.ndarray) -> np.ndarray:
        atom_u, atom_v, width, height, background = x
        waves_v = np.exp(2j * np.pi * np.outer(v - atom_v, qv))
        waves_u = np.exp(2j * np.pi * np.outer(qu, u - atom_u))
        shown = (waves_v @ (spectrum * np.exp(-(width**2) * damping)) @ waves_u).real
        return (background + height * unit * shown - image).ravel()

    fit = optimize.least_squares(residual, [0.0, 0.0, 0.2, 2.0, 0.0])
    return fit.x, float(np.abs(fit.fun).max())


@pytest.mark.parametrize("name", SCAN_INFO["cases"])
def test_scanned_atom_under_coma_in_position_hand_and_shape(name: str) -> None:
    found, worst = _fit_atom(name)
    true_u, true_v, _ = SCAN_INFO["cases"][name]["atom_uvw_A"]
    np.testing.assert_allclose(found[:2], [true_u, true_v], atol=0.005)
    assert 0 < abs(found[2]) < 0.15  # B: the narrow HAADF object of a light atom
    # 0.2 % of the peak is what a Gaussian cannot say about the real object
    assert worst < 0.003
    # the test has teeth: probe instead of its mirror image, or upstream instead of downstream
    flipped, flipped_worst = _fit_atom(name, mirrored=False)
    assert flipped_worst > 10 * worst
    assert np.hypot(*(flipped[:2] - [true_u, true_v])) > 0.2
    assert _fit_atom(name, depth_sign=-1)[1] > 1.5 * worst
