"""The methods paragraph of a paper, from a result, its settings and its series: what was done, in words and numbers.

What is always said: the series, the model of the image, what was fitted and how, and what came out. Every other setting
that is not its default is listed by its name, so that nothing that shaped the result goes unmentioned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_lot import __version__
from napari_lot.analysis.doubts_queue import decisions_sentence
from napari_lot.export.volume import holds_volume
from napari_lot.job import Result, expected_spacing_A
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.settings import ABERRATIONS, Microscope, Output, Settings
from napari_lot.voxel.methods import METHODS

DOUBTFUL_P = 0.95
_MEANT = {
    False: "they are statistical: what the noise of the images does where the model of the image holds and every atom "
    "is in its place, with shifts, scale and background of the images taken as known.",
    True: "since the images had been denoised, they measure how consistent the images are with the model, and not how "
    "far the atoms are from the truth.",
}
"""What error bars mean, by whether the images were denoised."""
REFERENCES = (
    "L. Mao, J. Cui, R. Yu, Accurate atomic positions via local-orbital tomography with depth-dependent interactions.",
    f"napari-lot, version {__version__}.",
)
SLATER = "Orbitals: J. C. Slater, Atomic shielding constants, Phys. Rev. 36, 57 (1930)."
_REFINED = {
    "positions": "positions",
    "heights": "peak heights",
    "width": "widths",
    "own_widths": "a width of each atom",
    "orbital_shape": "the shape of the orbital",
    "center": "the rotation centre",
    "shifts": "a shift of each tilt",
    "angles": "three small rotations of each tilt",
    "scale": "a scale factor of each tilt",
    "background": "a constant background of each tilt",
    "distortion": "scan distortion (stretch and shear)",
    "defocus": "the defocus",
    "tilt_defocus": "a focus of each tilt",
    "probe": "the probe",
}
_ORBITALS = {
    "gaussian": "a Gaussian",
    "slater": "the projection of a Slater orbital",
    "learnt": "a Gaussian whose shape was corrected by the images",
}
# Spoken of in sentences of their own; threads, device and limits of time change no result that converged.
_TOLD = {
    "data": {"pixel_size_A", "tilt_axis_deg", "counts", "gain", "offset", "read_noise", "denoised", "exclude"}
    | {"tilt_weights", "withhold", "thickness_A"},
    "model": {"probe", "elements", "orbital", "spacing_A", "likelihood"},
    "start": {"kind", "grid_spacing"},
    "solver": {"refine", "fix", "seed", "device", "threads", "error_bars", "handedness", "tilt_defocus_A", "widths"}
    | {"distortion", "device_memory_gb"},
    "microscope": set(Microscope.model_fields),
    "output": set(Output.model_fields),
}


def methods_text(series: TiltSeries, result: Result) -> str:
    """A paragraph for the methods section of a paper, and under it what to cite; plain text that is Markdown as well.

    Parameters
    ----------
    series : TiltSeries
        What was measured.
    result : Result
        What the run found; its own settings are told. Lists under ``edits`` and ``decisions`` in its details are what a
        person changed by hand.

    Returns
    -------
    str
        Lengths in Å (error bars in pm), angles in degrees, energies in keV.
    """
    settings = result.settings
    paragraphs = [
        " ".join(_of_data(series, settings, result)),
        " ".join([*_of_model(series, settings, result), *_of_fit(series, settings, result)]),
        " ".join(_of_result(result, series)),
    ]
    cited = [*REFERENCES, *((SLATER,) if settings.model.orbital == "slater" else ())]
    references = "\n".join(f"{i}. {text}" for i, text in enumerate(cited, start=1))
    text = "\n\n".join(p for p in paragraphs if p) + f"\n\nReferences\n\n{references}\n"
    return text


# -- what was measured ------------------------------------------------------------------------------------------------


def _of_data(series: TiltSeries, settings: Settings, result: Result) -> list[str]:
    tilts, rows, columns = series.images.shape
    data = settings.data
    said = [
        f"The tilt series consists of {tilts} HAADF-STEM images of {columns} × {rows} pixels with a pixel size of "
        f"{series.pixel_size_A:.4g} Å, {_angles(series)}."
    ]
    if series.tilt_axis_deg:
        said.append(f"The tilt axis lies {series.tilt_axis_deg:.4g}° clockwise from the vertical of the images.")
    used = series.images[series.used]
    if series.counts:
        dose = float(used.mean()) / series.pixel_size_A**2
        said.append(
            f"The images are electron counts, on average {dose:.3g} detected electrons Å⁻² per image and "
            f"{dose * len(used):.3g} Å⁻² in total (detected electrons, not the incident dose)."
        )
    elif data.gain is not None:
        dose = float(((used - data.offset) / data.gain).mean()) / series.pixel_size_A**2
        said.append(
            f"Pixel values were turned into electrons with a detector gain of {data.gain:g} and an offset of "
            f"{data.offset:g}, on average {dose:.3g} detected electrons Å⁻² per image."
        )
    if data.read_noise:
        said.append(f"The read noise of the detector was taken as {data.read_noise:g} units.")
    if data.denoised:
        said.append("The images had been denoised before the reconstruction.")
    left_out = sorted({*series.excluded, *data.left_out} - set(result.withheld))
    if left_out:
        said.append(f"{_many(len(left_out), 'image')} left out ({_numbers(left_out)}; counted from 0).")
    weighted = [(t, w) for t, w in data.tilt_weights if w not in (0, 1)]
    if weighted:
        said.append(
            "The log-likelihood of single images was weighted: "
            + ", ".join(f"{w:g} for image {t}" for t, w in weighted)
            + "."
        )
    if series.mask is not None:
        said.append(f"A mask left {100 * float(series.mask[series.used].mean()):.3g} % of the pixels for the fit.")
    return said


def _angles(series: TiltSeries) -> str:
    """The range of the tilts, in words."""
    used = series.used
    psi, theta, phi = series.angles_deg[used].T
    if series.rotations is None and not psi.any() and not phi.any():
        step = np.diff(np.sort(theta))
        even = len(step) > 0 and np.ptp(step) < 0.01
        steps = f"in steps of {step.mean():.3g}°" if even else f"with a largest gap of {step.max():.3g}°"
        return f"tilted about a single axis from {_deg(theta.min())} to {_deg(theta.max())} {steps}"
    from napari_lot.physics.geometry import series_rotations  # needs torch, which a program that only asks may not load

    beam = series_rotations(series)[used, 2]
    # a projection looks the same along the beam and against it
    widest = np.degrees(np.arccos(np.clip(np.abs(beam @ beam.T).min(), 0, 1)))
    return f"along directions that are up to {widest:.3g}° apart (three angles for each image)"


# -- what was assumed -------------------------------------------------------------------------------------------------


def _of_model(series: TiltSeries, settings: Settings, result: Result) -> list[str]:
    model, lens = settings.model, settings.microscope
    own = model.orbital if model.orbital not in _ORBITALS else None
    shape = f"a tabulated radial profile ({own})" if own else _ORBITALS[model.orbital]
    if model.orbital == "learnt" and "orbital_shape" not in (result.details.get("refined") or ["orbital_shape"]):
        shape = "a Gaussian"
    elements = [e for e in model.elements if e != "X"]
    said = [
        "Atomic coordinates were determined by local-orbital tomography [1] with napari-lot [2], in which every atom "
        f"is one local orbital, here {shape}, and each image is calculated from all orbitals at once."
    ]
    if model.probe == "direct":
        said.append("Images were calculated by direct projection, without a probe that changes along the beam.")
    else:
        kind = {
            "rigid": "the depth-dependent probe of the microscope, kept as calculated (rigid)",
            "adaptive": "a depth-dependent probe that was calculated first and then corrected by the images (adaptive)",
        }[model.probe]
        said.append(f"The model of the image used {kind}: {_lens(lens)}.")
        fitted = result.details.get("microscope")
        if result.probe_changed and fitted is not None and Microscope(**fitted) != lens:
            said.append(f"The fit corrected it to {_lens(Microscope(**fitted), energy=False)}.")
        elif result.probe_changed:
            said.append("The fit corrected its intensity beyond the aberrations.")
    thickness = result.details.get("thickness_A")
    if settings.data.thickness_A is not None:
        said.append(f"The specimen was taken as a film {settings.data.thickness_A:.4g} Å thick.")
    elif result.details.get("object") == "film" and thickness:
        said.append(f"The specimen is a film; its thickness was estimated from the images as {thickness:.3g} Å.")
    if settings.start.kind == "grid":
        spacing = expected_spacing_A(model)
        why = f" of {_list(elements)}" if model.spacing_A is None and elements else ""
        said.append(
            f"The fit began with a uniform grid of orbitals {settings.start.grid_spacing * spacing:.3g} Å apart "
            f"({settings.start.grid_spacing:g} of the expected nearest-neighbour distance{why}, {spacing:.3g} Å), "
            "which was thinned out to atoms by removing weak orbitals, merging close ones, and adding atoms where the "
            "images asked for them."
        )
    elif settings.start.kind == "peaks":
        peaks = result.details.get("peaks", {})
        done = f" ({peaks['iterations']} iterations)" if peaks.get("iterations") else ""
        voxels = f" of voxels of {peaks['voxel_A']:.3g} Å" if peaks.get("voxel_A") else ""
        said.append(
            f"The fit began with the {peaks.get('atoms', 'traced')} peaks of a volume{voxels}, reconstructed from the "
            f"same tilt series by {METHODS[settings.start.peaks_method].words}{done}; atoms that it missed were added, "
            "and false ones removed, where the images asked for it."
        )
    else:
        kind, what = settings.start.kind, ("given atoms", "the peaks of a volume")
        said.append(f"The fit began with {what[holds_volume(kind)]} ({kind}).")
    return said


def _lens(lens: Microscope, energy: bool = True) -> str:
    parts = []
    if energy and lens.energy_eV is not None and lens.semiangle_mrad is not None:
        parts += [f"{lens.energy_eV / 1e3:.4g} keV", f"convergence semi-angle {lens.semiangle_mrad:.4g} mrad"]
    for name, size, azimuth in ABERRATIONS:
        value = getattr(lens, size)
        if value or name == "defocus":
            at = f" at {_deg(getattr(lens, azimuth), 0)}" if azimuth is not None else ""
            measured = " from the rotation centre, positive downstream" if name == "defocus" and value else ""
            parts.append(f"{name} {_signed(value)} Å{at}{measured}")
    if energy:
        parts.append(
            f"effective source size {lens.source_size_A:.3g} Å (FWHM)" if lens.source_size_A else "a point source"
        )
        if lens.focal_spread_A:
            parts.append(f"focal spread {lens.focal_spread_A:.3g} Å (standard deviation)")
        if not any(getattr(lens, size) for _, size, _ in ABERRATIONS[1:]):
            parts.append("no other aberrations")
    return ", ".join(parts)


# -- what was fitted --------------------------------------------------------------------------------------------------


def _of_fit(series: TiltSeries, settings: Settings, result: Result) -> list[str]:
    solver = settings.solver
    said = []
    free = result.details.get("refined")
    if free is None:
        free = [name for name in solver.refine or () if name not in solver.fix]
    if free:
        words = [_REFINED.get(name, name.replace("_", " ")) for name in sorted(free, key=_order)]
        said.append(f"Refined were {_list(words)}.")
    likelihood = result.details.get("likelihood")
    if likelihood is not None:
        by = {"poisson": "a Poisson likelihood", "lsq": "least squares"}.get(likelihood["kind"], likelihood["kind"])
        why = likelihood["why"]
        said.append(f"Parameters were fitted by {by}, {why if why.startswith('as ') else f'because {why}'}.")
    elif settings.model.likelihood != "auto":
        by = {"poisson": "a Poisson likelihood", "lsq": "least squares"}[settings.model.likelihood]
        said.append(f"Parameters were fitted by {by}.")
    if solver.widths == "atom":
        said.append(f"The widths of single atoms had an expected scatter of {solver.width_scatter_A:g} Å.")
    elif solver.widths == "common":
        said.append("All orbitals had one common width.")
    if solver.tilt_defocus_A is not None:
        said.append(f"The focus was allowed to scatter by {solver.tilt_defocus_A:.3g} Å from tilt to tilt.")
    if solver.distortion != "none":
        said.append(
            "Scan distortion was described by stretch and shear "
            + ("of each image." if solver.distortion == "tilt" else "common to all images.")
        )
    if result.withheld:
        said.append(
            f"As a check {_many(len(result.withheld), 'image')} withheld from the fit "
            f"({_numbers(result.withheld)}; counted from 0) and predicted by its result."
        )
    others = other_settings(settings)
    if others:
        said.append("Settings other than the defaults: " + ", ".join(f"{n} = {v}" for n, v in others.items()) + ".")
    return said


def _order(name: str) -> int:
    return list(_REFINED).index(name) if name in _REFINED else len(_REFINED)


def other_settings(settings: Settings) -> dict[str, str]:
    """Settings that are not their defaults and that no sentence of its own tells, as ``section.name`` to a text."""
    found = {}
    for section, info in Settings.model_fields.items():
        values, defaults = getattr(settings, section), info.get_default(call_default_factory=True)
        for name in type(values).model_fields:
            if name not in _TOLD.get(section, ()) and getattr(values, name) != getattr(defaults, name):
                value = getattr(values, name)
                text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
                found[f"{section}.{name}"] = f"({text})" if isinstance(value, tuple) else text
    return found


# -- what came out ----------------------------------------------------------------------------------------------------


def _of_result(result: Result, series: TiltSeries) -> list[str]:
    atoms, details = result.orbitals, result.details
    by_element = Counter(atoms.symbols)
    kinds = "" if set(by_element) <= {"X"} else " (" + ", ".join(f"{n} {e}" for e, n in by_element.items()) + ")"
    said = [f"{len(atoms)} atoms were found{kinds}."]
    fitted, withheld = result.agreement(), result.agreement(withheld=True)
    if fitted is not None:
        agreement = _agreement("the fitted images", fitted)
        if withheld is not None:
            agreement += f", and {_agreement('the withheld images', withheld)}"
        said.append(f"The R-factor between measured and calculated images (Eq. 11 of [1]) was {agreement}.")
    if result.sigma_A is not None:
        said += _error_bars(result.sigma_A, details.get("error_bar_inflation"), result.settings)
    if result.p_exists is not None:
        doubtful = int((np.asarray(result.p_exists) < DOUBTFUL_P).sum())
        said.append(f"{_atoms(doubtful)} existed with a probability below {DOUBTFUL_P:g}.")
    if result.p_element is not None and len(atoms.elements) > 1:
        doubtful = int((np.asarray(result.p_element) < DOUBTFUL_P).sum())
        said.append(f"The element of {_atoms(doubtful).lower()} was told with a probability below {DOUBTFUL_P:g}.")
    hands = details.get("handedness") or {}
    said += [_sentence(hand["sentence"]) for hand in hands.values() if hand.get("sentence")]
    damage = details.get("damage") or {}
    if damage.get("changed") and damage.get("verdict"):
        said.append(_sentence(damage["verdict"]))
    said += _by_hand(result)
    said += [f"A doubt remains: {_sentence(w)}" for w in result.warnings if w != damage.get("verdict")]
    said.append(_run(result, series))
    return said


def _agreement(of: str, values: tuple[float, float]) -> str:
    r, correlation = values
    known = f" (correlation {correlation:.4f})" if np.isfinite(correlation) else ""
    return f"{100 * r:.2f} % for {of}{known}"


def _error_bars(sigma_A: NDArray[np.float64], inflation: float | None, settings: Settings) -> list[str]:
    bars = 100 * sigma_A[np.isfinite(sigma_A).all(1)]
    if not len(bars):
        return []
    x, y, z = np.median(bars, axis=0)
    kind = {"joint": "with neighbouring atoms unknown as well", "block": "with all other atoms held"}
    how = kind.get(settings.solver.error_bars)
    said = [
        f"The median standard deviations of the coordinates x, y and z were {x:.3g}, {y:.3g} and {z:.3g} pm, from the "
        "curvature of the likelihood" + (f" {how}; " if how else "; ") + _MEANT[settings.data.denoised]
    ]
    if inflation is not None and np.isfinite(inflation) and abs(inflation - 1) > 0.005:
        said.append(f"They include a factor of {inflation:.3g} for residuals that are not pure noise.")
    return said


def _by_hand(result: Result) -> list[str]:
    """What a person changed: during the run (``edits``), and of its result (``decisions``)."""
    edits: Sequence[Mapping[str, Any]] = result.details.get("edits") or ()
    decisions = decisions_sentence(result.details.get("decisions") or (), len(result.orbitals))
    said = []
    if edits:
        counts = {verb: sum(len(edit[verb]) for edit in edits) for verb in ("added", "moved", "removed")}
        listed = ", ".join(f"{_count(n, 'atom')} {verb}" for verb, n in counts.items() if n)
        said.append(f"While the fit was paused, atoms were edited by hand in {_count(len(edits), 'edit')}: {listed}.")
    return [*said, decisions] if decisions else said


def _run(result: Result, series: TiltSeries) -> str:
    total = result.wall_seconds.get("total", sum(result.wall_seconds.values()))
    threads = result.details.get("threads")
    processes = result.details.get("processes", 1)
    where = result.details.get("device", "cpu").upper() + (f", {_count(threads, 'thread')}" if threads else "")
    machine = "one computer" if processes == 1 else f"{processes} processes that shared the tilts"
    if processes > 1:
        where += " each"
    time = f"{total:.0f} s" if total < 120 else f"{total / 60:.0f} min" if total < 7200 else f"{total / 3600:.1f} h"
    how = {"converged": "until it converged", "finished early": "until it was ended by hand"}.get(
        result.stop_reason, f"until it ended ({result.stop_reason})"
    )
    return (
        f"The fit ran {how}, {time} on {machine} ({where}; napari-lot {__version__}, seed "
        f"{result.settings.solver.seed})."
    )


# -- words ------------------------------------------------------------------------------------------------------------


def _deg(value: float, digits: int = 1) -> str:
    return f"{value:+.{digits}f}°".replace("-", "−").replace("+", "" if abs(value) < 10**-digits / 2 else "+")


def _signed(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")


def _list(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def _numbers(values: Sequence[int]) -> str:
    return ", ".join(str(int(v)) for v in values)


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" + ("" if n == 1 else "s")


def _many(n: int, noun: str) -> str:
    return f"{_count(n, noun)} {'was' if n == 1 else 'were'}"


def _atoms(n: int) -> str:
    return {0: "No atom", 1: "1 atom"}.get(n, f"{n} atoms")


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")
