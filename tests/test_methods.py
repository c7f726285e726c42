"""The methods paragraph: what was done is said, in the right units, and nothing that shaped the result is left out."""

from dataclasses import replace

import numpy as np
import pytest

from blank_result import blank_result
from napari_lot.analysis.doubts_queue import decision, decisions_sentence
from napari_lot.atoms import Orbitals
from napari_lot.edit import Edit
from napari_lot.errors import InputError
from napari_lot.export.methods import methods_text, other_settings
from napari_lot.job import ProbeSlices
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.settings import Settings, settings_from_dict

T = 9
RNG = np.random.default_rng(1)
IMAGES = RNG.poisson(5.0, (T, 20, 30)).astype(np.float32)
MICROSCOPE = {"energy_eV": 200e3, "semiangle_mrad": 21.5}


def series(**changes):
    values = {"images": IMAGES, "angles_deg": np.linspace(-60, 60, T), "pixel_size_A": 0.35, "source": "a.mrc"}
    return TiltSeries(**{**values, **changes})


def result(settings=None, **changes):
    base = {"microscope": MICROSCOPE, "model": {"elements": ["Pt", "Fe"]}}
    settings = settings_from_dict({**base, **(settings or {})})
    atoms = Orbitals.create(np.arange(12.0).reshape(4, 3), 1, 0.5, [0, 0, 0, 1], ("Pt", "Fe"))
    known = {
        "r_factor": np.full(T, 0.0512),
        "center_px": (9.5, 14.5),
        "wall_seconds": {"prepare": 60.0, "total": 3600.0},
    }
    return blank_result(atoms, IMAGES, IMAGES, settings, **{**known, **changes})


def test_series_in_its_units():
    text = methods_text(series(), result())
    assert "9 HAADF-STEM images of 30 × 20 pixels with a pixel size of 0.35 Å" in text
    assert "about a single axis from −60.0° to +60.0° in steps of 15°" in text
    assert "electrons" not in text.split("\n\n")[0], "nothing is known of the dose"
    uneven = methods_text(series(angles_deg=[-60, -40, -30, -20, -10, 0, 10, 20, 50]), result())
    assert "from −60.0° to +50.0° with a largest gap of 30°" in uneven
    assert "tilt axis lies 12.5° clockwise" in methods_text(series(tilt_axis_deg=12.5), result())


def test_dose_of_counts_is_detected_electrons_per_area():
    text = methods_text(series(counts=True, excluded=(0, 4)), result())
    per_image = IMAGES[[1, 2, 3, 5, 6, 7, 8]].mean() / 0.35**2
    assert f"{per_image:.3g} detected electrons Å⁻² per image and {7 * per_image:.3g} Å⁻² in total" in text
    assert "2 images were left out (0, 4; counted from 0)" in text
    gained = methods_text(series(), result({"data": {"gain": 2.0, "offset": 1.0, "read_noise": 0.5}}))
    assert "a detector gain of 2 and an offset of 1" in gained
    assert f"{(IMAGES.mean() - 1) / 2 / 0.35**2:.3g} detected electrons" in gained
    assert "read noise of the detector was taken as 0.5 units" in gained


def test_a_series_of_many_axes():
    rng = np.random.default_rng(2)
    angles = rng.uniform(-50, 50, (T, 3))
    text = methods_text(series(angles_deg=angles), result())
    # the beam in the specimen, by elementary rotations: R = Rz Ry Rx, third row
    psi, theta, _ = np.deg2rad(angles).T
    beams = np.stack([-np.sin(theta), np.cos(theta) * np.sin(psi), np.cos(theta) * np.cos(psi)], 1)
    widest = max(np.degrees(np.arccos(min(1, abs(a @ b)))) for a in beams for b in beams)
    assert f"along directions that are up to {widest:.3g}° apart" in text


def test_probe_and_aberrations():
    lens = {**MICROSCOPE, "c30_A": -5e3, "c12_A": 12.0, "phi12_deg": 30.0, "source_size_A": 0.8, "focal_spread_A": 40}
    text = methods_text(series(), result({"microscope": lens}))
    for part in (
        "200 keV",
        "convergence semi-angle 21.5 mrad",
        "defocus 0 Å",
        "C12 12 Å at +30°",
        "C30 −5000 Å",
        "source size 0.8 Å (FWHM)",
        "focal spread 40 Å (standard deviation)",
        "(rigid)",
    ):
        assert part in text
    assert "no other aberrations" not in text
    direct = methods_text(series(), result({"model": {"probe": "direct", "elements": ["Pt", "Fe"]}}))
    assert "direct projection, without a probe" in direct
    assert "keV" not in direct
    before = ProbeSlices(np.zeros((1, 2, 2), np.float32), np.zeros(1), 0.1)
    fitted = {"microscope": {**lens, "defocus_A": -31.5}}
    adapted = methods_text(
        series(),
        result(
            {"model": {"probe": "adaptive", "spacing_A": 2.7}, "microscope": lens}, probe_before=before, details=fitted
        ),
    )
    assert "(adaptive)" in adapted
    assert "The fit corrected it to defocus −31.5 Å from the rotation centre, positive downstream, C12" in adapted


def test_what_was_fitted_and_what_was_withheld():
    details = {
        "refined": ["width", "positions", "tilt_defocus", "shifts"],
        "likelihood": {"kind": "poisson", "why": "the images are electron counts"},
        "threads": 8,
    }
    found = result(
        {"data": {"withhold": 4}, "solver": {"tilt_defocus_A": 15}},
        withheld=(2, 6),
        r_factor=np.where(np.isin(np.arange(T), (2, 6)), 0.07, 0.05),
        correlation=np.where(np.isin(np.arange(T), (2, 6)), 0.97, 0.98),
        details=details,
    )
    text = methods_text(series(), found)
    assert "Refined were positions, widths, a shift of each tilt and a focus of each tilt." in text
    assert "fitted by a Poisson likelihood, because the images are electron counts." in text
    assert "2 images were withheld from the fit (2, 6; counted from 0)" in text
    assert "5.00 % for the fitted images (correlation 0.9800), and 7.00 % for the withheld images (" in text
    assert "scatter by 15 Å from tilt to tilt" in text
    assert "60 min on one computer (CPU, 8 threads" in text
    withheld_are_not_left_out = methods_text(series(excluded=(2, 6, 7)), found)
    assert "1 image was left out (7; counted from 0)" in withheld_are_not_left_out


def test_atoms_error_bars_and_doubts():
    sigma = np.array([[0.02, 0.03, 0.04], [0.02, 0.03, 0.04], [0.05, 0.06, 0.07], [np.nan] * 3])
    found = result(
        sigma_A=sigma,
        p_exists=np.array([1, 0.9, 0.99, 0.5]),
        p_element=np.array([1, 1, 1, 0.7]),
        details={"error_bar_inflation": 1.31},
        warnings=("two atoms are close.",),
    )
    text = methods_text(series(), found)
    assert "4 atoms were found (3 Pt, 1 Fe)." in text
    assert "x, y and z were 2, 3 and 4 pm" in text
    assert "they are statistical: what the noise of the images does where the model of the image holds" in text
    assert "a factor of 1.31" in text
    assert "2 atoms existed with a probability below 0.95." in text
    assert "The element of 1 atom was told with" in text
    assert "A doubt remains: Two atoms are close." in text


def test_error_bars_of_denoised_images_are_not_called_statistical():
    text = methods_text(series(), result({"data": {"denoised": True}}, sigma_A=np.full((4, 3), 0.02)))
    assert "they measure how consistent the images are with the model" in text
    assert "statistical" not in text


def test_what_a_person_changed_is_counted():
    place, when = np.zeros(3), "2026-01-01T00:00:00+00:00"
    removed = Edit(removed=np.array([4]), removed_from=place[None], moved=np.array([3]), moved_to=place[None])
    added = Edit(added=place[None], removed=np.array([5]), removed_from=place[None])
    details = {
        "edits": [removed.as_dict("births", 3, 9), added.as_dict("refine", 8, 9)],
        "decisions": [
            decision("keep", 1, "Pt", place, 0.0, "why", when),
            decision("delete", 2, "Pt", place, -3.5, "why", when),
        ],
    }
    text = methods_text(series(), result(details=details))
    assert "edited by hand in 2 edits: 1 atom added, 1 atom moved, 2 atoms removed." in text
    assert decisions_sentence(details["decisions"], len(result().orbitals)) in text
    assert "1 kept and 1 deleted" in text
    assert "by hand" not in methods_text(series(), result(details={"edits": []}))
    assert "by eye" not in methods_text(series(), result(details={"decisions": []}))


def test_no_setting_that_differs_from_its_default_goes_unmentioned():
    """Every setting, changed by itself, changes the text; what cannot change a result is all that may be silent."""
    plain = methods_text(series(), result())
    # what was refined and which hand was found is told by the result
    silent = {"device", "device_memory_gb", "threads", "autosave_s", "embed_images"}
    told = set()
    for section, info in Settings.model_fields.items():
        for name, field in info.annotation.model_fields.items():
            value, reference = changed(section, name, field), plain
            settings = {section: {name: value}}
            if section == "microscope":
                settings[section] = {**MICROSCOPE, name: value}
                if name.startswith("phi"):
                    settings[section][name.replace("phi", "c").replace("deg", "A")] = 10.0
                    same = {**settings[section], name: 0.0}
                    reference = methods_text(series(), result({section: same}))
            if section == "model" and name != "elements":
                settings[section]["elements"] = ["Pt", "Fe"]
            changes = {"withheld": (1,)} if name == "withhold" else {}
            if name in ("offset", "read_noise"):
                settings[section]["gain"] = 2.0
                reference = methods_text(series(), result({section: {"gain": 2.0}}))
            if name == "error_bars":
                changes["sigma_A"] = np.ones((4, 3))
                reference = methods_text(series(), result(**changes))
            where = series(counts=True) if name == "counts" else series(tilt_axis_deg=3) if "axis" in name else series()
            if name == "pixel_size_A":
                where = series(pixel_size_A=value)
            if name == "elements":
                changes["orbitals"] = Orbitals.create(np.zeros((1, 3)), elements=("W",))
            if methods_text(where, result(settings, **changes)) != reference:
                told.add(name)
            else:
                assert name in silent | {"refine", "fix", "handedness"}, f"{section}.{name}"
    assert {"polish_steps", "distortion", "likelihood", "orbital", "seed", "focal_spread_A"} <= told


def changed(section, name, field):
    """Another valid value of a setting."""
    special = {
        "orbital": "slater",
        "elements": ["W"],
        "kind": "atoms.xyz",
        "peaks_method": "resire",
        "center_px": (3.0, 4.0),
        "exclude": (3,),
        "tilt_weights": ((3, 0.5),),
        "refine": ("positions",),
        "fix": ("positions",),
        "merge_distances": (0.7,),
        "cull": (0.1,),
        "gain": 3.0,
        "energy_eV": 80e3,
        "semiangle_mrad": 30.0,
        "degree": 4,
        "integral": "box",
        "within_A": (-1.0, 1.0, -2.0, 2.0, -3.0, 3.0),
    }
    if name in special:
        return special[name]
    default = field.default
    if isinstance(default, bool):
        return not default
    words = ["poisson", "direct", "common", "tilt", "block", "none", "both", "cpu", "lsq"]
    numbers = [2, 3.0, 1.0, 0.5, 0.05, 1e-3]
    if isinstance(default, float | int):
        numbers.insert(0, 1.5 * default)
    base = MICROSCOPE if section == "microscope" else {}
    for candidate in words if isinstance(default, str) else [*numbers, *words]:
        if candidate == default:
            continue
        try:
            settings_from_dict({section: {**base, name: candidate}})
        except InputError:
            continue
        return candidate
    raise AssertionError(f"no other value of {section}.{name}")


def test_what_no_sentence_tells_is_listed_by_name():
    settings = settings_from_dict({"solver": {"polish_steps": 50, "merge_distances": (0.5, 0.7)}})
    assert other_settings(settings) == {"solver.polish_steps": "50", "solver.merge_distances": "(0.5, 0.7)"}
    assert other_settings(Settings()) == {}


@pytest.mark.parametrize(("name", "words"), [("slater", "projection of a Slater orbital"), ("gaussian", "a Gaussian,")])
def test_orbital(name, words):
    text = methods_text(series(), result({"model": {"orbital": name, "elements": ["Pt", "Fe"]}}))
    assert words in text
    assert ("Slater, Atomic shielding" in text) == (name == "slater")
    assert text.rstrip().splitlines()[-2 - (name == "slater") :][0].startswith("1. L. Mao")


def test_a_run_that_ended_early_says_so():
    text = methods_text(series(), replace(result(), stop_reason="finished early", wall_seconds={"total": 90.0}))
    assert "until it was ended by hand, 90 s on one computer" in text
