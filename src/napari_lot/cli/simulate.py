"""``napari-lot simulate``: a tilt series of given or made atoms, by the fast image model or by multislice."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer

from napari_lot.cli import options as o
from napari_lot.cli import simulate_options as s
from napari_lot.cli.reconstruct import INTERRUPTED, check_inputs_survive
from napari_lot.errors import InputError
from napari_lot.report import check_output_folder, to_plain, versions, write_folder, write_json
from napari_lot.simulate.settings import Multislice, Recipe, Recording

if TYPE_CHECKING:
    from napari_lot.atoms import Orbitals
    from napari_lot.series.tilt_series import TiltSeries
    from napari_lot.settings import Settings

FILES = ("series.tif", "angles.csv", "truth.xyz", "simulation.json")
TILTS = "multislice"
"""Folder of finished tilts within the output folder."""


def simulate(
    context: typer.Context,
    out: o.Out,
    pixel_size: s.PixelSize,
    atoms: s.Atoms = None,
    overwrite: o.Overwrite = False,
    angles: o.Angles = None,
    tilts: s.Tilts = "-70,70,4",
    size: s.Size = None,
    cross_section: s.CrossSection = None,
    width: s.Width = None,
    particle: s.Particle = None,
    element: o.Element = None,
    elements: o.Elements = None,
    fractions: s.Fractions = None,
    diameter: s.Diameter = None,
    min_distance: s.MinDistance = None,
    atom_count: s.AtomCount = None,
    shells: s.Shells = None,
    edge: s.Edge = None,
    length: s.Length = None,
    notch: s.Notch = None,
    lattice: s.Lattice = None,
    dose: s.Dose = None,
    background: s.Background = None,
    drift: s.Drift = None,
    angle_error: s.AngleError = None,
    current_spread: s.CurrentSpread = None,
    gain: s.Gain = None,
    offset: s.Offset = None,
    read_noise: s.ReadNoise = None,
    multislice: s.UseMultislice = False,
    inner: s.Inner = None,
    outer: s.Outer = None,
    slice_thickness: s.SliceThickness = None,
    sampling: s.Sampling = None,
    interpolation: s.Interpolation = None,
    scan_step: s.ScanStep = None,
    margin: s.Margin = None,
    phonons: s.Phonons = None,
    phonon_rms: s.PhononRms = None,
    orbital: o.Orbital = None,
    probe: o.Probe = None,
    energy: o.Energy = None,
    semiangle: o.Semiangle = None,
    defocus: o.Defocus = None,
    c30: o.C30 = None,
    c12: o.C12 = None,
    source_size: o.SourceSize = None,
    focal_spread: o.FocalSpread = None,
    config: o.Config = None,
    sets: o.Sets = None,
    threads: o.Threads = None,
    seed: o.Seed = None,
) -> int:
    """Simulate a tilt series: series.tif, angles.csv, truth.xyz, simulation.json.

    Of the atoms in ATOMS, or of a --particle that is made: one of the two.
    """
    given = o.gather(context.params, config, sets or ())
    settings = given.settings()
    recording = s.checked(Recording, context.params, s.RECORDING_FLAGS, seed=settings.solver.seed)
    slices = _multislice(context.params, settings)
    recipe = _recipe(context.params)
    tilts_folder = out / TILTS
    _check_folder(out, overwrite, slices is not None)
    check_inputs_survive(out, (atoms, angles, config), FILES)

    began = time.monotonic()
    if recipe is None and given.has("model.elements"):
        raise InputError("model.elements: ATOMS has elements of its own; leave the setting out.")
    truth = _atoms(context.params, settings, recipe)
    arguments: dict[str, Any] = {"image_shape": _image_shape(size), "recording": recording}
    asked = tilt_angles(angles, tilts)
    direct = settings.model.probe == "direct"
    if slices is None:
        from napari_lot.physics.orbital import orbital as shape_of
        from napari_lot.simulate.images import simulate_series

        lens = None if direct else settings.microscope
        # there are no images that a shape could be learnt from
        shape = "gaussian" if settings.model.orbital == "learnt" else settings.model.orbital
        arguments |= {"orbital": shape_of(shape), "threads": settings.solver.threads}
        series = simulate_series(truth, asked, pixel_size, lens, **arguments)
    else:
        from napari_lot.simulate.tilts import simulate_multislice

        progress = _Progress(tilts_folder)
        before = signal.signal(signal.SIGTERM, _as_interrupt)
        try:
            series = simulate_multislice(
                truth,
                asked,
                pixel_size,
                settings.microscope,
                slices,
                tilts_folder,
                threads=settings.solver.threads or 1,
                replace=overwrite,
                progress=progress,
                **arguments,
            )
        except KeyboardInterrupt:
            print(f"\n{progress.kept()}; the same command goes on from there.", file=sys.stderr)
            return INTERRUPTED
        finally:
            signal.signal(signal.SIGTERM, before)
    record: dict[str, Any] = {
        "command": context.obj,
        "pixel_size_A": pixel_size,
        "shape": series.images.shape,
        "atoms": len(truth),
        "elements": truth.elements,
        "particle": None if recipe is None else recipe.model_dump(mode="json", exclude_none=True),
        "counts": series.counts,
        "images": "fast image model" if slices is None else "multislice (abTEM)",
        **({} if slices else {"orbital": settings.model.orbital if given.has("model.orbital") else "gaussian"}),
        "probe": settings.model.probe,
        **({} if direct else settings.microscope.model_dump(mode="json")),
        **series.metadata,
        "versions": versions(),
    }
    _write(out, series, truth, record)
    size_text = " x ".join(map(str, series.images.shape[1:]))
    print(f"{len(series)} tilts of {size_text} pixels, {len(truth)} atoms, {time.monotonic() - began:.1f} s: {out}")
    print(f"Reconstruct them by: {_reconstruct(out, series.counts, truth.elements, settings, recording)}")
    return 0


def _reconstruct(out: Path, counts: bool, elements: tuple[str, ...], settings: Settings, recording: Recording) -> str:
    """The command that reconstructs what was simulated, with what the file of the series does not tell."""
    words = ["napari-lot", "reconstruct", str(out / "series.tif")]
    if settings.model.probe == "direct":
        words += ["--probe", "direct"]
    else:
        lens = settings.microscope
        words += ["--energy", f"{lens.energy_eV:.12g}", "--semiangle", f"{lens.semiangle_mrad:.12g}"]
        for name in type(lens).model_fields:
            value = getattr(lens, name)
            if name not in ("energy_eV", "semiangle_mrad") and value != type(lens).model_fields[name].default:
                words += ["--set", f"microscope.{name}={value:.12g}"]
    words += ["--element", elements[0]] if len(elements) == 1 else ["--elements", ",".join(elements)]
    if counts:
        words += ["--counts"]
    elif recording.dose_e_per_A2 is not None:
        detector = {name: getattr(recording, name) for name in ("gain", "offset", "read_noise")}
        words += [word for name, value in detector.items() if value for word in ("--set", f"data.{name}={value:.12g}")]
    return shlex.join([*words, "--out", f"{out}-atoms"])


def _recipe(given: dict[str, Any]) -> Recipe | None:
    """The particle to make, or None where ATOMS is given: exactly one of the two."""
    sizes = s.given(given, s.PARTICLE_FLAGS)
    if given["atoms"] is not None:
        told = [s.flag_of(name) for name in (*s.PARTICLE_FLAGS, "element", "elements", "fractions") if given[name]]
        if told:
            raise InputError(f"ATOMS is given, and {told[0]}, which is for a particle to be made: give one of the two.")
        return None
    if "kind" not in sizes:
        raise InputError("There are no atoms: give a file ATOMS, or --particle KIND with an --element.")
    return s.checked(Recipe, given, s.PARTICLE_FLAGS)


def _multislice(given: dict[str, Any], settings: Settings) -> Multislice | None:
    """Settings of the multislice calculation; None where it is not asked for."""
    values = s.given(given, s.MULTISLICE_FLAGS)
    if not given["multislice"]:
        if values:
            told = next(s.flag_of(name) for name in s.MULTISLICE_FLAGS if given[name] is not None)
            raise InputError(f"{told}: is for multislice; give --multislice, too.")
        return None
    if given.get("orbital") is not None:
        raise InputError("--orbital: multislice has the potentials of atoms; leave --orbital or --multislice out.")
    if settings.model.probe == "direct":
        raise InputError("--probe direct: multislice has no direct projection; leave --probe or --multislice out.")
    from napari_lot.simulate.multislice import require_abtem

    require_abtem()
    # Without phonons nothing is random, and another seed of the noise is no reason to calculate again.
    seed = settings.solver.seed if given["phonons"] else 0
    return s.checked(Multislice, given, s.MULTISLICE_FLAGS, seed=seed)


def _atoms(given: dict[str, Any], settings: Settings, recipe: Recipe | None) -> Orbitals:
    """Atoms of the file or of the recipe, with the widths and cross-sections that were asked for."""
    from napari_lot.export import read_atoms
    from napari_lot.simulate.alloy import cross_sections_A2, with_cross_section, with_width
    from napari_lot.simulate.recipe import build_particle

    if recipe is None:
        found = read_atoms(given["atoms"])
    else:
        shares = given["fractions"] and _numbers(given["fractions"], "--fractions", settings.model.elements, True)
        found = build_particle(recipe, settings.model.elements, shares or None, seed=settings.solver.seed)
    if given["width"] is not None:
        found = with_width(found, _numbers(given["width"], "--width", found.elements))
    if given["cross_section"] == "auto":
        found = with_cross_section(found, cross_sections_A2(found.elements))
    elif given["cross_section"] is not None:
        found = with_cross_section(found, _numbers(given["cross_section"], "--cross-section", found.elements))
    return found


def _numbers(text: str, flag: str, elements: tuple[str, ...], each: bool = False) -> list[float]:
    """Numbers of a flag: one for each element, or (unless ``each``) one for all."""
    values = o.split_list(text, flag)
    if len(values) != len(elements) and (each or len(values) != 1):
        one = "" if each else "one value, or "
        raise InputError(f"{flag}: {one}one for each of {', '.join(elements)}.")
    return o.split_numbers(text, flag, ["A"] * len(values))


def _check_folder(out: Path, overwrite: bool, multislice: bool) -> None:
    """As for every output folder, but that the tilts of an unfinished multislice run may be there."""
    unfinished = multislice and out.is_dir() and {path.name for path in out.iterdir()} <= {TILTS}
    check_output_folder(out, overwrite or unfinished)


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


class _Progress:
    """Lines on stderr: one for the tilts that were there, one for each that is finished, with the time left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done, self.all, self.before = 0, 0, 0
        self.began = time.monotonic()

    def __call__(self, done: int, all: int, kept: bool) -> None:
        self.done, self.all = done, all
        if kept:
            self.before += 1
            return
        seconds = time.monotonic() - self.began
        new = done - self.before
        left = f", about {seconds / new * (all - done):.0f} s left" if new else ""
        there = f" ({self.before} were there)" if self.before else ""
        print(f"{seconds:7.1f} s, tilt {done}/{all}{there}{left}", file=sys.stderr, flush=True)

    def kept(self) -> str:
        """What an interrupted run leaves."""
        return f"Interrupted: {self.done} of {self.all} tilts are finished and kept in {self.folder}"


def _write(out: Path, series: TiltSeries, truth: Orbitals, record: dict[str, Any]) -> None:
    """All files, whole or not at all."""
    from napari_lot.export import write_atoms_xyz, write_stack

    table = "psi_deg,theta_deg,phi_deg\n" + "".join(
        ",".join(f"{a:.9g}" for a in row) + "\n" for row in series.angles_deg
    )
    write_folder(
        out,
        {
            "series.tif": lambda path: write_stack(path, series.images, series.pixel_size_A),
            "angles.csv": lambda path: _write_text(path, table),
            "truth.xyz": lambda path: write_atoms_xyz(path, truth),
            "simulation.json": lambda path: write_json(path, to_plain(record)),
        },
        stale=FILES,
    )


def tilt_angles(angles: Path | None, tilts: str) -> Any:
    """(T, 3) angles in degrees from a file, or from ``FIRST,LAST,STEP`` about y."""
    import numpy as np

    from napari_lot.series.checks import MIN_TILTS

    if angles is not None:
        from napari_lot.series.angles import read_angles, to_lot_angles
        from napari_lot.series.checks import check_angles

        table = read_angles(angles)
        check_angles(table.values_deg, len(table.values_deg), table.source)
        return to_lot_angles(table.values_deg, table.geometry)
    first, last, step = o.split_numbers(tilts, "--tilts", ("FIRST", "LAST", "STEP"))
    count = np.floor((last - first) / step + 1 + 1e-9) if step else 0
    if not MIN_TILTS <= count <= 10_000:
        raise InputError(
            f"--tilts: from {first:g} to {last:g} in steps of {step:g} degrees gives no usable series: it must have "
            f"{MIN_TILTS} to 10000 tilts."
        )
    theta = first + step * np.arange(int(count))
    return np.stack([np.zeros_like(theta), theta, np.zeros_like(theta)], axis=1)


def _image_shape(size: str | None) -> tuple[int, int] | None:
    if size is None:
        return None
    from napari_lot.simulate.images import LARGEST_SIDE

    rows, columns = o.split_numbers(size, "--size", ("ROWS", "COLS"))
    if not (float(rows).is_integer() and float(columns).is_integer()):
        raise InputError(f"--size: expected whole numbers of pixels (given: {size!r}).")
    if not (0 < rows <= LARGEST_SIDE and 0 < columns <= LARGEST_SIDE):
        raise InputError(f"--size: give between 1 and {LARGEST_SIDE} pixels on each side (given: {size!r}).")
    return int(rows), int(columns)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
