"""Alignment of an isolated particle by its centre of mass.

In HAADF-STEM the sum of the intensity is, nearly, the same at every tilt, so that the centre of mass of tilt j is the
projection R_j X of one point X of the specimen (Scott et al., Nature 483, 444 (2012)): about a single axis constant
along it and a sine across it. What is left beside that is drift.
"""

from __future__ import annotations

import numpy as np

from napari_lot.errors import InputError
from napari_lot.physics.geometry import series_rotations
from napari_lot.progress import Progress, counted, nothing
from napari_lot.series.alignment.agreement import CommonProfile, has_one_axis
from napari_lot.series.alignment.drift import Drift, split_shifts
from napari_lot.series.checks import tilt_list
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.series.vacuum import find_particle


def align_by_center_of_mass(series: TiltSeries, progress: Progress = nothing) -> Drift:
    """Drift of each tilt from the centres of mass, and the rotation centre across the tilt axis.

    Parameters
    ----------
    series : TiltSeries
    progress : callable
        Told how much is done, 0 to 1.

    Raises
    ------
    InputError
        The object is not isolated in at least three tilts: then its centre of mass means nothing.
    """
    assert series.center_px is not None
    rotations = series_rotations(series)
    row, column = (np.arange(n) - c for n, c in zip(series.images.shape[1:], series.center_px, strict=True))
    places = np.full((len(series), 2), np.nan)
    common = CommonProfile(series) if has_one_axis(series) else None
    for j in counted(series.used.tolist(), progress):
        particle = find_particle(series, j)
        if particle is not None:
            signal = particle.signal
            mass = signal.sum()
            if mass > 0:
                places[j] = (signal.sum(0) @ column) / mass, (signal.sum(1) @ row) / mass
                if common is not None:
                    common.add(j, signal)
    known = np.flatnonzero(np.isfinite(places).all(1))
    lost = np.setdiff1d(series.used, known)
    if len(known) < 3 or len(known) < 0.5 * len(series.used):
        raise InputError(
            f"{series.source}: no isolated particle within the field in {tilt_list(lost)}: a centre of mass means "
            "nothing there; align by correlation."
        )
    turn = rotations[known][:, :2]
    translation, center = split_shifts(places[known], turn, 0.02 * max(series.images.shape[1:]))
    drift = np.zeros((len(series), 2))
    drift[known] = places[known] - turn @ translation - center
    caveats: tuple[str, ...] = ()
    if len(lost):
        caveats = (f"{tilt_list(lost).capitalize()} could not be judged: no particle within the field; not moved.",)
    found = (series.center_px[0] + float(center[1]), series.center_px[1] + float(center[0]))
    return Drift(drift, found, "by centres of mass", caveats, common)
