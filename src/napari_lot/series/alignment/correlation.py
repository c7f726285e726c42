"""Alignment by cross-correlation of neighbouring tilts, with the stretch that a tilted film needs.

Subpixel peaks by a local Fourier transform: Guizar-Sicairos, Thurman & Fienup, Opt. Lett. 33, 156 (2008). The cosine
stretch before a film is correlated: Guckenberger, Ultramicroscopy 9, 167 (1982), as in IMOD's tiltxcorr.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from napari_lot.errors import InputError
from napari_lot.physics.geometry import series_rotations
from napari_lot.progress import Progress, counted, nothing, part
from napari_lot.series.alignment.agreement import CommonProfile, has_one_axis
from napari_lot.series.alignment.drift import Drift
from napari_lot.series.checks import tilt_list
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.series.vacuum import find_particle

Floats = NDArray[np.float64]

FINEST_PX = 0.02
WEAK = 0.3
"""A correlation coefficient below this says that two neighbours have little in common."""
TAPER = 0.1
MOST_STRETCH = 2.0
HIGH_PASS = 0.02
"""Of the sampling frequency: slower changes are thickness and charging, which move with nothing."""


def align_by_correlation(
    series: TiltSeries,
    *,
    film: bool | None = None,
    reach_px: float | None = None,
    progress: Progress = nothing,
) -> Drift:
    """Drift of each tilt, accumulated over neighbours from the least tilted image on, which stays.

    Each tilt is compared with the nearest orientation that is already placed. Errors of single steps accumulate, and
    what moves because the specimen turns is taken for drift where the specimen is no film: check the result, and leave
    the rest to the fit.

    Parameters
    ----------
    film : bool, optional
        The specimen is a film: before two tilts are compared, one is stretched to the tilt of the other. By default it
        is one where it does not lie within the field.
    reach_px : float, optional
        Largest step between neighbours that is looked for; a quarter of the field by default.
    progress : callable
        Told how much is done, 0 to 1.

    Raises
    ------
    InputError
        The reach is not positive, or larger than half of the field.
    """
    assert series.center_px is not None
    v, u = series.images.shape[1:]
    reach = min(v, u) / 4 if reach_px is None else float(reach_px)
    if not 1 <= reach <= min(v, u) / 2:
        raise InputError(f"{series.source}: a reach of {reach:g} px is not between 1 and {min(v, u) / 2:g} px.")
    rotations = series_rotations(series)
    flattest = int(series.used[np.argmax(rotations[series.used, 2, 2])])
    if film is None:
        film = find_particle(series, flattest) is None
    window = np.outer(_taper(v), _taper(u))
    drift = np.zeros((len(series), 2))
    weak = []
    pairs = _chain(rotations, series.used, flattest)
    for before, after in counted(pairs, part(progress, 0.0, 0.7)):
        stretch = rotations[before, :2, :2] @ np.linalg.inv(rotations[after, :2, :2]) if film else np.eye(2)
        if np.abs(np.linalg.svd(stretch)[1] - 1).max() > MOST_STRETCH - 1:
            stretch = np.eye(2)
        fixed, moving = (_ready(series, t, a, window, film) for t, a in ((before, np.eye(2)), (after, stretch)))
        step, quality = register(fixed, moving, reach)
        if quality < WEAK:
            weak.append(after)
        # A u_after = R_before x + A s_after lies at ``step`` from R_before x + s_before
        drift[after] = np.linalg.solve(stretch, step + drift[before])
    common = None
    if not film and has_one_axis(series):
        common = CommonProfile(series)
        for j in counted(series.used.tolist(), part(progress, 0.7, 1.0)):
            particle = find_particle(series, j)
            if particle is not None:
                common.add(j, particle.signal)
    caveats: tuple[str, ...] = ()
    if weak:
        caveats = (
            f"{tilt_list(sorted(weak)).capitalize()} have little in common with their neighbours: look at them.",
        )
    how = "by cross-correlation of neighbours" + (", stretched as a film" if film else "")
    return Drift(drift, series.center_px, how, caveats, common)


def register(fixed: Floats, moving: Floats, reach_px: float) -> tuple[Floats, float]:
    """(du, dv) in pixels from what ``fixed`` (V, U) shows to where ``moving`` shows it, and their correlation there.

    Images must be tapered to 0 at their edges.
    """
    shape = tuple(fft.next_fast_len(n + int(np.ceil(reach_px)), real=True) for n in fixed.shape)
    product = fft.fft2(moving, s=shape) * np.conj(fft.fft2(fixed, s=shape))
    correlation = np.real(fft.ifft2(product))
    rows, columns = (np.rint(fft.fftfreq(n) * n) for n in shape)
    near = (np.abs(rows)[:, None] <= reach_px) & (np.abs(columns)[None] <= reach_px)
    best = np.unravel_index(int(np.argmax(np.where(near, correlation, -np.inf))), shape)
    dv, du = float(rows[best[0]]), float(columns[best[1]])
    fv, fu = (fft.fftfreq(n) for n in shape)
    spacing = 0.25
    while True:
        offsets = spacing * np.arange(-4, 5)
        left = np.exp(2j * np.pi * np.outer(dv + offsets, fv))
        right = np.exp(2j * np.pi * np.outer(fu, du + offsets))
        local = np.real(left @ product @ right)
        i, j = np.unravel_index(int(local.argmax()), local.shape)
        dv, du = dv + float(offsets[i]), du + float(offsets[j])
        if spacing <= FINEST_PX:
            break
        spacing /= 3
    peak = float(local.max()) / product.size
    norm = float(np.sqrt((fixed**2).sum() * (moving**2).sum()))
    return np.array([du, dv]), peak / norm if norm > 0 else 0.0


def _ready(series: TiltSeries, tilt: int, stretch: Floats, window: Floats, film: bool) -> Floats:
    """One tilt, what is masked filled in, stretched about the rotation centre, tapered; a film without slow changes."""
    assert series.center_px is not None
    image = series.images[tilt].astype(np.float64)
    if series.mask is not None:
        use = series.mask[tilt]
        image = np.where(use, image, np.median(image[use]) if use.any() else 0.0)
    if not np.allclose(stretch, np.eye(2)):
        inverse = np.linalg.inv(stretch)[::-1, ::-1]  # (u, v) -> (row, column)
        center = np.array(series.center_px)
        image = ndimage.affine_transform(image, inverse, center - inverse @ center, order=1, mode="nearest")
    image = ndimage.gaussian_filter(image, 0.7)
    if film:  # the outline of a particle is what tells it from itself a lattice spacing further
        image -= ndimage.gaussian_filter(image, 1 / (2 * np.pi * HIGH_PASS))
    return np.asarray(window * (image - (image * window).sum() / window.sum()))


def _taper(n: int) -> Floats:
    """1 inside, falling to 0 over a tenth at each end."""
    edge = max(2, round(TAPER * n))
    distance = np.minimum(np.arange(n) + 0.5, n - np.arange(n) - 0.5) / edge
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.minimum(distance, 1.0)))


def _chain(rotations: Floats, used: NDArray[np.int64], first: int) -> list[tuple[int, int]]:
    """Pairs (placed, next) that reach every tilt in use from ``first`` on by the smallest turns (Prim)."""
    turn = np.einsum("aij,bij->ab", rotations, rotations)  # trace of R_a^T R_b: larger is nearer
    placed, left, pairs = [first], [int(j) for j in used if j != first], []
    while left:
        near = turn[np.ix_(placed, left)]
        i, j = np.unravel_index(int(near.argmax()), near.shape)
        pairs.append((placed[i], left[j]))
        placed.append(left.pop(int(j)))
    return pairs
