"""Whether settings, series and start go together, told before a run begins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.machine import processes
from napari_lot.physics.elements import nearest_neighbour_A
from napari_lot.series.detector import choose_likelihood
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.settings import REFINED_BY_DEFAULT, Data, Model, Settings
from napari_lot.settings.tilts import withheld_tilts

LEAST_TILTS_FOR_PROBE = 8
"""Each tilt sees every atom at another depth: a few depths are needed before a probe can be told from its atoms."""

MOST_ACROSS = 10.0
"""Widths of the images within which atoms to begin with must lie along each axis: of a thick specimen in a small field,
and far less than what a wrong unit makes of them."""


def checked_weights(series: TiltSeries, settings: Settings) -> NDArray[np.float64]:
    """Factor (T,) on the log-likelihood of every tilt.

    Raises
    ------
    InputError
        A weight is given for a tilt that does not exist.
    """
    weights = np.ones(len(series))
    for tilt, weight in settings.data.tilt_weights:
        if tilt >= len(series):
            raise InputError(
                f"{series.source}: data.tilt_weights names tilt {tilt}: the {len(series)} tilts are counted from 0 to "
                f"{len(series) - 1}."
            )
        weights[tilt] = weight
    return weights


def expected_spacing_A(model: Model) -> float:
    """Nearest-neighbour distance in Å that the start and the population expect.

    Raises
    ------
    InputError
        Neither a spacing nor a known element is given.
    """
    if model.spacing_A is not None:
        return model.spacing_A
    if model.elements == ("X",):
        raise InputError(
            "The expected distance between atoms is unknown: "
            "give the element (--element Pt) or the spacing (--spacing 2.8)."
        )
    return min(nearest_neighbour_A(element) for element in model.elements)


def check_facts(series: TiltSeries, data: Data, *names: str) -> None:
    """What the settings say of the series under these names is what the series says.

    Raises
    ------
    InputError
        It says something else: the setting would be ignored.
    """
    for name in names:
        given, own = getattr(data, name), getattr(series, name)
        if name in data.model_fields_set and given is not None and given != own:
            raise InputError(
                f"{series.source}: data.{name} is {given} in the settings but {own} in the series: "
                "read the series with the value that holds."
            )


def shared_out(series: TiltSeries, data: Data) -> tuple[TiltSeries, tuple[int, ...], TiltSeries]:
    """The series without the tilts that are left out, which of its tilts are withheld, and it without those as well.

    Raises
    ------
    InputError
        No tilt would be withheld, or too few are left to fit.
    """
    series = series.exclude(*data.left_out) if data.left_out else series
    withheld = tuple(t for t in withheld_tilts(len(series), data.withhold) if t not in series.excluded)
    if data.withhold is not None and not withheld:
        raise InputError(
            f"--withhold {data.withhold}: none of the {len(series)} tilts would be withheld; give a smaller number."
        )
    try:
        return series, withheld, series.exclude(*withheld) if withheld else series
    except InputError as error:
        raise InputError(f"--withhold {data.withhold}: too few tilts are left to fit. {error}") from None


def _check_near(start: Orbitals, series: TiltSeries, name: str) -> None:
    """Atoms to begin with lie where the images could be of them."""
    across_A = max(series.images.shape[1:]) * series.pixel_size_A
    farthest_A = float(np.abs(start.positions).max(initial=0.0))
    if not farthest_A <= MOST_ACROSS * across_A:
        raise InputError(
            f"{name}: an atom lies {farthest_A:.3g} Å from the rotation centre, and the images are {across_A:.3g} Å "
            "across: give positions in Å, 0 at the rotation centre."
        )


def check_agreement(settings: Settings, series: TiltSeries, start: Orbitals | None) -> None:
    """Settings that say something of the series or the start say the same as these do.

    Raises
    ------
    InputError
        They contradict each other: the setting would be ignored.
    """
    data, solver = settings.data, settings.solver
    if Path(settings.model.orbital).suffix:
        from napari_lot.physics.orbital import orbital  # needs torch, which a program that only asks may not wait for

        orbital(settings.model.orbital)  # an absent or unreadable table is told before the run
    choose_likelihood(series, settings)
    check_facts(series, data, "pixel_size_A", "tilt_axis_deg", "counts")
    if settings.start.kind not in ("grid", "peaks") and start is None:
        raise InputError(
            f"start.kind: the atoms of {settings.start.kind} are to be read and given to the job as its start."
        )
    if start is not None:
        _check_near(start, series, settings.start.kind)
    if settings.model.probe == "direct" and solver.tilt_defocus_A is not None:
        raise InputError(
            "solver.tilt_defocus_A: direct projection has no focus: take a rigid or an adaptive probe (--probe)."
        )
    for name, asked in (
        ("solver.tilt_defocus_A", solver.tilt_defocus_A is not None),
        ("solver.widths: atom", solver.widths == "atom"),
        ("solver.distortion: tilt", solver.distortion == "tilt"),
    ):
        if asked and len(series.used) < LEAST_TILTS_FOR_PROBE:
            raise InputError(
                f"{series.source}: {len(series.used)} tilts cannot tell what {name} asks for from the atoms' "
                f"heights and positions: leave it out, or take at least {LEAST_TILTS_FOR_PROBE} tilts."
            )
    optics = settings.model.probe == "adaptive" or "defocus" in (solver.refine or ())
    if settings.model.probe == "direct" and "defocus" in (solver.refine or ()):
        raise InputError("--refine defocus: direct projection has no probe: take a rigid or an adaptive one (--probe).")
    if optics and len(series.used) < LEAST_TILTS_FOR_PROBE:
        raise InputError(
            f"{series.source}: {len(series.used)} tilts cannot tell a probe from heights and widths of the atoms: take "
            f"--probe rigid without defocus to refine, or at least {LEAST_TILTS_FOR_PROBE} tilts."
        )
    free = set(solver.refine or REFINED_BY_DEFAULT) - set(solver.fix)
    if solver.widths == "atom" and "width" not in free:
        raise InputError("solver.widths: atom: every atom would have its own width, but width is not refined.")
    if settings.start.kind == "peaks" and start is None and processes() > 1:
        raise InputError(
            "--start peaks: the volume is reconstructed in one process, and torchrun has started several: make it "
            "before (napari-lot voxel) and start from its file (--start VOLUME)."
        )
    if start is None and settings.start.kind == "grid" and not {"positions", "heights"} <= free:
        raise InputError(
            "Without atoms to start from, positions and heights must be refined: refine them, or give atoms (--start)."
        )


def check(settings: Settings) -> None:
    """What must be known before a run.

    Raises
    ------
    InputError
        Energy or semi-angle is missing for a probe that needs them, or the device is not there.
    """
    if settings.solver.device not in ("auto", "cpu"):
        from napari_lot.lot.device.choose import check_device  # only these need torch to be told

        check_device(settings.solver.device)
    missing = [
        text
        for value, text in (
            (settings.microscope.energy_eV, "the electron energy (--energy, in eV)"),
            (settings.microscope.semiangle_mrad, "the convergence semi-angle (--semiangle, in mrad)"),
        )
        if value is None
    ]
    if settings.model.probe != "direct" and missing:
        raise InputError(
            f"A {settings.model.probe} probe needs {' and '.join(missing)}: "
            "give it, or choose direct projection (--probe direct)."
        )
