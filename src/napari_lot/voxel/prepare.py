"""From a tilt series to what voxel methods take: projections of the object alone, and the box that it lies in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_lot.errors import InputError
from napari_lot.physics.geometry import series_rotations
from napari_lot.series import first_look
from napari_lot.series.thickness import film_thickness
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.series.vacuum import find_vacuum
from napari_lot.settings.voxel import VoxelSettings
from napari_lot.voxel.binning import binned, binned_mask, binned_place
from napari_lot.voxel.centring import find_centre_and_drift
from napari_lot.voxel.method import Poll, Tilts

Floats = NDArray[np.float64]

LEAST_DRIFT_PX = 1.0
"""Drift below this (root mean square over the tilts) is left alone: contrast that changes with tilt moves a centre of
mass as much."""
FORESHORTENED = 0.9
"""Tilts that show an axis of the volume at this part of the greatest length say how far the object reaches along it."""
ALONE = 0.9
"""So much of the outermost pixels must show vacuum where a tilt's own vacuum is told from the object."""
SEEN_BY = 1 / 3
"""A film is calculated as far out as this part of the tilts sees it."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A series that is ready for a method.

    Attributes
    ----------
    tilts : Tilts
        Those that are fitted.
    fitted, withheld : (n,) int
        Which tilts of the series are fitted, and which are only predicted.
    others : Tilts or None
        The withheld ones.
    shape : (Z, Y, X)
        Of the volume, in voxels as large as the (binned) pixels.
    background : (T,) float64
        What was taken from each tilt of the series; NaN where it is left out.
    words : str
        What the field shows.
    warnings : tuple of str
    """

    tilts: Tilts
    fitted: NDArray[np.int64]
    withheld: NDArray[np.int64]
    others: Tilts | None
    shape: tuple[int, int, int]
    background: Floats
    words: str
    warnings: tuple[str, ...] = ()


def prepare(series: TiltSeries, settings: VoxelSettings, withheld: tuple[int, ...], poll: Poll) -> Prepared:
    """Background, rotation centre, drift, mask and box of a series.

    Parameters
    ----------
    series : TiltSeries
        Tilts that are left out are excluded.
    settings : VoxelSettings
    withheld : tuple of int
        Tilts that have no part in anything but their prediction.
    poll : callable
        May raise.

    Raises
    ------
    InputError
        The images show nothing, too little is left of them, or a film's thickness cannot be told.
    """
    grid, data = settings.grid, settings.data
    rows, columns = series.images.shape[1:]
    if min(rows, columns) // grid.bin < 4:
        raise InputError(
            f"{series.source}: images of {rows} x {columns} pixels binned by {grid.bin} have less than 4 pixels to a "
            "side: bin less (grid.bin)."
        )
    fitted = np.setdiff1d(series.used, withheld)
    usable = series.usable
    mask = usable
    if withheld:
        mask = np.ones(series.images.shape, bool) if usable is None else usable.copy()
        mask[list(withheld)] = False
    images = series.images if mask is None else np.where(mask, series.images, 0).astype(np.float32)
    rotations = series_rotations(series)
    vacuum = _vacua(series, poll)
    if np.isfinite(vacuum[fitted]).all():  # its level may go up and down from tilt to tilt
        images = (images - _filled(vacuum, 0.0)[:, None, None]).astype(np.float32)
        images = images if mask is None else np.where(mask, images, 0).astype(np.float32)
    else:
        vacuum[:] = np.nan
    level = first_look.levels(images, mask)
    poll()
    if not first_look.shows_anything(images, mask, level):
        raise InputError(
            f"{series.source}: no object in the field: most images show nothing brighter than their noise; "
            "check the images and the mask."
        )
    assert series.center_px is not None
    center = data.center_px or series.center_px
    known = data.center_px is not None or bool(series.center_known)
    isolated = first_look.is_isolated(images, mask, level)
    shifts = np.zeros((len(series), 2))
    notes: list[str] = []
    if grid.align and isolated:
        aligned = find_centre_and_drift(images, mask, rotations, center, level, LEAST_DRIFT_PX)
        if aligned is not None:
            shifts = aligned.shifts_px
            center = center if known else aligned.center_px
        if withheld and shifts.any():
            # where it lies a tilt says itself; it is only asked what it should show there
            known_px = np.ones(series.images.shape, bool) if usable is None else usable
            whole = np.where(known_px, series.images - _filled(vacuum, 0.0)[:, None, None], 0).astype(np.float32)
            every = find_centre_and_drift(whole, usable, rotations, center, level, LEAST_DRIFT_PX)
            if every is not None:
                shifts[list(withheld)] = every.shifts_px[list(withheld)]
    poll()
    background, more = _background(series, settings, isolated, level, vacuum)
    notes += more
    pixel, times = series.pixel_size_A, grid.bin
    object_ = "a particle that lies within the field at every tilt" if isolated else "a film that leaves the field"
    if grid.shape is not None:
        shape = grid.shape
    elif isolated:
        shape = _particle_box(rotations[fitted], (rows, columns), center, data.thickness_A, pixel, times)
    else:
        thickness = data.thickness_A or _thickness(series, images, mask, rotations, center)
        object_ = f"a film of {thickness:.0f} Å thickness that leaves the field"
        shape = _film_box(rotations[fitted], (rows, columns), center, thickness, pixel, times)

    def taken(members: NDArray[np.int64]) -> Tilts:
        counted = None if usable is None else binned_mask(usable[members], times)
        values = series.images[members] - background[members, None, None].astype(np.float32)
        values = binned(values, None if usable is None else usable[members], times)
        middle = (binned_place(center[0], times), binned_place(center[1], times))
        turns = rotations[members]
        return Tilts(values, turns, pixel * times, middle, shifts[members] / times, counted, isolated)

    chosen = np.array(sorted(withheld), np.int64)
    others = taken(chosen) if len(chosen) else None
    return Prepared(taken(fitted), fitted, chosen, others, shape, background, object_, tuple(notes))


def _filled(values: Floats, instead: float) -> Floats:
    return np.where(np.isfinite(values), values, instead)


def _vacua(series: TiltSeries, poll: Poll) -> Floats:
    """Level of each tilt's vacuum (T,), NaN where it is not clear that vacuum surrounds an object."""
    found = np.full(len(series), np.nan)
    frame = np.ones(series.images.shape[1:], bool)
    frame[2:-2, 2:-2] = False
    usable = series.usable
    for j in series.used:
        use = None if usable is None else usable[j]
        vacuum = find_vacuum(series.images[j], use)
        edge = frame if use is None else frame & use
        if vacuum is not None and vacuum.specimen.any() and edge.any() and vacuum.where[edge].mean() > ALONE:
            found[j] = float(vacuum.background.mean())
        poll()
    return found


def _background(
    series: TiltSeries, settings: VoxelSettings, isolated: bool, level: first_look.Levels, vacuum: Floats
) -> tuple[Floats, list[str]]:
    """Level of vacuum of each tilt (T,), and what a person is to know of it."""
    found = np.full(len(series), np.nan)
    if settings.grid.background is not None:
        found[series.used] = settings.grid.background
        return found, []
    if not isolated:
        # the darkest part of a film is no vacuum
        found[series.used] = settings.data.offset
        if abs(level.background - settings.data.offset) > 0.1 * level.bright and not settings.data.offset:
            return found, [
                "the object leaves the field, so that its vacuum cannot be told from it: the value 0 of the images is "
                "taken for vacuum; give its level where it is another (--set grid.background=...)."
            ]
        return found, []
    # the level of the series is beside that of the tilts where these are known
    found[series.used] = (level.background + _filled(vacuum, 0.0))[series.used]
    known = np.isfinite(vacuum)
    found[known] = vacuum[known]
    return found, []


def _particle_box(
    rotations: Floats,
    image: tuple[int, int],
    center: tuple[float, float],
    thickness_A: float | None,
    pixel: float,
    times: int,
) -> tuple[int, int, int]:
    """A box around all that lies within the field of every tilt."""
    half_v, half_u = (max(c, n - 1 - c) + 0.5 for n, c in zip(image, center, strict=True))
    sides = []
    for axis in range(3):
        seen = rotations[:, :2, axis]
        length = np.maximum(np.hypot(*seen.T), 1e-6)
        # how far the field reaches along the axis as a tilt shows it; foreshortened by 1 / length
        reach = (half_u * np.abs(seen[:, 0]) + half_v * np.abs(seen[:, 1])) / length**2
        best = length >= FORESHORTENED * length.max()  # others look along it
        sides.append(min(float(reach[best].min()), float(np.hypot(half_u, half_v))))
    x, y, z = (max(1, round(2 * side / times)) for side in sides)
    return (z if thickness_A is None else max(1, round(thickness_A / (pixel * times)))), y, x


def _film_box(
    rotations: Floats,
    image: tuple[int, int],
    center: tuple[float, float],
    thickness_A: float,
    pixel: float,
    times: int,
) -> tuple[int, int, int]:
    """A slab as thick as the film, and as wide as ``SEEN_BY`` of the tilts see its plane."""
    half_v, half_u = (max(c, n - 1 - c) + 0.5 for n, c in zip(image, center, strict=True))
    sides = []
    for axis in (0, 1):
        u, v = np.maximum(np.abs(rotations[:, :2, axis]).T, 1e-6)
        sides.append(float(np.quantile(np.minimum(half_u / u, half_v / v), 1 - SEEN_BY)))
    x, y = (max(1, round(2 * side / times)) for side in sides)
    return max(1, round(thickness_A / (pixel * times))), y, x


def _thickness(
    series: TiltSeries,
    images: NDArray[np.float32],
    mask: NDArray[np.bool_] | None,
    rotations: Floats,
    center: tuple[float, float],
) -> float:
    pixel = series.pixel_size_A
    slab = film_thickness(images, mask, rotations, pixel, center, max(images.shape[1:]) * pixel)
    if slab is None:
        raise InputError(
            f"{series.source}: the object leaves the field, and its thickness cannot be told from the images: "
            "give it (--thickness, in Å), or the voxels of the volume (--set grid.shape=[Z,Y,X])."
        )
    # a film thins out rather than ends: the slab of equal coherence and half its thickness on each side, centred
    return 2.0 * (slab[0] + abs(slab[1]))
