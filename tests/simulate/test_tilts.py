"""A multislice series without abTEM: tilts kept and found again, sampling of a periodic image, recording."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.physics.geometry import rotations
from napari_lot.settings import Microscope
from napari_lot.simulate.multislice import Cell
from napari_lot.simulate.settings import Multislice, Recording
from napari_lot.simulate.tilts import TiltStore, sample, simulate_multislice

LENS = Microscope(energy_eV=300e3, semiangle_mrad=20.0)
SETTINGS = Multislice(sampling_A=0.1, inner_mrad=30.0, margin_A=4.0)
ATOMS = Orbitals.create([[2.0, -1.0, 0.5], [-1.5, 0.7, -1.0]], species=[0, 0], elements=("Si",))
THETA = [-20.0, 0.0, 20.0, 40.0]
SIGMA_A = 0.6


class Counted:
    """A Gaussian per atom in place of multislice; counts its calls, and breaks off at one of them."""

    def __init__(self, break_at=None):
        self.calls, self.break_at = 0, break_at

    def __call__(self, positions, symbols, cell, microscope, settings, threads):
        if self.calls == self.break_at:
            raise KeyboardInterrupt
        self.calls += 1
        return gaussians(positions[:, :2], cell.side_A, cell.scan)


def gaussians(uv, side_A, points, sigma_A=SIGMA_A):
    at = np.arange(points) * side_A / points - side_A / 2
    image = np.zeros((points, points))
    for u, v in uv:
        image += np.outer(np.exp(-0.5 * ((at - v) / sigma_A) ** 2), np.exp(-0.5 * ((at - u) / sigma_A) ** 2))
    return image


def simulate(folder, calculate, atoms=ATOMS, theta=THETA, lens=LENS, settings=SETTINGS, **more):
    return simulate_multislice(
        atoms, theta, 0.3, lens, settings, folder, image_shape=(40, 44), calculate=calculate, **more
    )


def test_a_broken_run_goes_on_where_it_stopped_and_gives_the_same_series(tmp_path):
    whole = simulate(tmp_path / "whole", Counted())
    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "broken", Counted(break_at=2))
    assert len(list((tmp_path / "broken").glob("tilt-*.npz"))) == 2
    again, steps = Counted(), []
    series = simulate(tmp_path / "broken", again, progress=lambda *step: steps.append(step))
    assert again.calls == 2
    assert steps == [(0, 4, False), (1, 4, True), (2, 4, True), (3, 4, False), (4, 4, False)]
    np.testing.assert_array_equal(series.images, whole.images)


def test_what_comes_after_the_multislice_needs_none_again(tmp_path):
    simulate(tmp_path, Counted())
    blurred = LENS.model_copy(update={"source_size_A": 0.8})
    recording = Recording(dose_e_per_A2=1e3, drift_A=0.4, gain=2.0, seed=3)
    same = Counted()
    simulate(tmp_path, same, lens=blurred, recording=recording)
    assert same.calls == 0
    more = Counted()
    simulate(tmp_path, more, theta=[*THETA[::-1], 50.0])
    assert more.calls == 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"lens": LENS.model_copy(update={"semiangle_mrad": 22.0})}, r"semiangle_mrad was 20.0, now 22.0"),
        ({"settings": SETTINGS.model_copy(update={"slice_A": 2.0})}, r"slice_A was 1.0, now 2.0"),
        ({"atoms": Orbitals.create(ATOMS.positions + 0.01, elements=("Si",))}, "other atoms"),
        ({"atoms": Orbitals.create(ATOMS.positions, elements=("Ge",))}, "other atoms"),
    ],
)
def test_other_parameters_are_refused_in_one_sentence_or_start_again(tmp_path, change, sentence):
    simulate(tmp_path, Counted())
    none = Counted()
    with pytest.raises(InputError, match=rf"tilts of other parameters \(.*{sentence}.*\); repeat .*--out, or --over"):
        simulate(tmp_path, none, **change)
    assert none.calls == 0
    simulate(tmp_path, none, replace=True, **change)
    assert none.calls == 4


def test_a_damaged_tilt_is_calculated_again_and_a_partial_one_is_none(tmp_path):
    before = simulate(tmp_path, Counted())
    first, second, *_ = sorted(tmp_path.glob("tilt-*.npz"))
    first.write_bytes(first.read_bytes()[:-200])
    damaged = bytearray(second.read_bytes())
    damaged[600] ^= 255
    second.write_bytes(damaged)
    again = Counted()
    series = simulate(tmp_path, again)
    assert again.calls == 2
    np.testing.assert_array_equal(series.images, before.images)
    (tmp_path / "parameters.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be read"):
        simulate(tmp_path, again)


def test_tilts_of_another_angle_or_error_are_other_tilts(tmp_path):
    store = TiltStore(tmp_path, {"a": 1})
    one, other = rotations([[0.0, 10.0, 0.0], [0.0, 10.01, 0.0]])
    store.save(one, np.ones((3, 3)))
    assert store.load(other) is None
    np.testing.assert_array_equal(store.load(one), np.ones((3, 3)))
    assert json.loads((tmp_path / "parameters.json").read_text(encoding="utf-8")) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_sampling_a_periodic_image_is_exact_with_drift_and_source():
    side, shift, pixel = 17.0, (1.3, -0.6), 0.37
    whole = gaussians([(2.1, -1.4), (-3.0, 0.2)], side, 71)
    image = sample(whole, side, (30, 34), pixel, shift, 2.3548200450309493 * 0.5)
    u = (np.arange(34) - 16.5) * pixel - shift[0] * pixel
    v = (np.arange(30) - 14.5) * pixel - shift[1] * pixel
    wide = np.hypot(SIGMA_A, 0.5)
    wanted = (SIGMA_A / wide) ** 2 * sum(
        np.outer(np.exp(-0.5 * ((v - b) / wide) ** 2), np.exp(-0.5 * ((u - a) / wide) ** 2))
        for a, b in [(2.1, -1.4), (-3.0, 0.2)]
    )
    assert np.abs(image - wanted).max() < 1e-6 * wanted.max()


def test_beyond_the_cell_there_is_vacuum_and_no_copy_of_the_particle():
    whole = gaussians([(0.0, 0.0)], 10.0, 41)
    image = sample(whole, 10.0, (31, 91), 0.5, (0.0, 0.0), 0.0)
    assert image[15, 45] == pytest.approx(1.0)
    assert image[15, 25] == 0.0  # 10 Å off, where a periodic image has the next copy
    assert image.max() == pytest.approx(1.0)


def test_the_recording_is_applied_and_the_truth_told(tmp_path):
    recording = Recording(angle_error_deg=1.0, drift_A=0.5, current_spread=0.1, seed=2)
    series = simulate(tmp_path, Counted(), recording=recording)
    assert series.metadata["multislice"]["scan"] % 2 == 1
    errors, shifts = series.metadata["angle_errors_deg"], series.metadata["shifts_px"]
    matrices = rotations(errors) @ rotations(series.angles_deg)
    for image, matrix, shift, current in zip(series.images, matrices, shifts, series.metadata["current"], strict=True):
        u, v, _ = matrix @ ATOMS.positions.T + 0.3 * np.array([*shift, 0.0])[:, None]
        at_u, at_v = (np.arange(44) - 21.5) * 0.3, (np.arange(40) - 19.5) * 0.3
        wanted = current * sum(
            np.outer(np.exp(-0.5 * ((at_v - b) / SIGMA_A) ** 2), np.exp(-0.5 * ((at_u - a) / SIGMA_A) ** 2))
            for a, b in zip(u, v, strict=True)
        )
        assert np.abs(image - wanted).max() < 1e-4


def test_the_cell_says_what_the_sampling_holds():
    cell = Cell.around(10.0, LENS, SETTINGS)
    assert cell.side_A == 28.0
    assert cell.grid % (2 * SETTINGS.interpolation) == 0
    assert cell.side_A / cell.grid <= 0.1
    assert cell.scan % 2 == 1
    assert cell.side_A / cell.scan <= 0.01969 / (4 * 0.02)
    # lambda / 3 sampling = 65.6 mrad, less the edge of abTEM's aperture
    assert 60 < cell.outer_mrad < 65.6
    with pytest.raises(InputError, match=r"holds scattering to 6\d\.\d mrad, not to 200: give a sampling below 0.03"):
        Cell.around(10.0, LENS, SETTINGS.model_copy(update={"outer_mrad": 200.0}))
    with pytest.raises(InputError, match="inner angle of 70 mrad must be below"):
        Cell.around(10.0, LENS, SETTINGS.model_copy(update={"inner_mrad": 70.0}))
    with pytest.raises(InputError, match="not to 80: give a sampling"):
        Cell.around(10.0, LENS.model_copy(update={"semiangle_mrad": 80.0}), SETTINGS)


def test_unknown_elements_and_too_few_tilts_are_refused_before_the_first(tmp_path):
    never = Counted()
    with pytest.raises(InputError, match="element of every atom"):
        simulate(tmp_path, never, atoms=Orbitals.create(ATOMS.positions))
    with pytest.raises(InputError, match="at least 3"):
        simulate(tmp_path, never, theta=[0.0, 1.0])
    assert never.calls == 0
