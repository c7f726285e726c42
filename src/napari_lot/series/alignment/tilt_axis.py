"""The direction of the tilt axis in the image, from an isolated object.

Summed across the tilt axis, the images of one object are the same profile at every tilt: the common line of all
their Fourier transforms (Crowther, DeRosier & Klug, Proc. R. Soc. A 317, 319 (1970); van Heel, Ultramicroscopy 21, 111
(1987)).
The direction is looked for in which these profiles agree best. Their moduli are compared, which do not know of drift.

The place of a minimum in a noisy curve is no smooth function of the tilts: leaving out one at a time (the usual
jackknife) says too little of how far it may jump. Half of them are left out at a time, many times (Shao & Wu, Ann.
Stat. 17, 1176 (1989)): the spread of what the halves find is that of what all find, as for any mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_lot.errors import InputError
from napari_lot.progress import Progress, nothing, part
from napari_lot.series.checks import tilt_list
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.series.vacuum import find_particle

Floats = NDArray[np.float64]

LEAST_RANGE_DEG = 20.0
LEAST_TILTS = 5
COARSE_DEG, FINE_SPAN_DEG, FINE_STEPS = 1.0, 2.4, 25
HIGHEST = 0.35
"""Highest frequency compared, in 1/px: beyond it interpolation and aliasing speak."""
HALVES = 100
"""How often half of the tilts are taken; the standard deviation is then known to 7 %."""
WIDEST_SPAN = 4.0
"""A standard deviation is believed where the directions that were searched reach this many of it to both sides."""
LARGEST_SIGMA_DEG = 3.0
"""A direction that is less certain than this is no answer."""
RIVALS = 3
"""Minima of the rough curve that are looked at closely."""
RIVAL_SIGMA = 3.0
"""The best one must beat the others by this many standard errors, over the tilts, of their difference."""


@dataclass(frozen=True)
class TiltAxis:
    """Direction of the tilt axis from vertical in degrees, clockwise positive, in (-90, 90].

    ``sigma_deg`` is its standard deviation, from many halves of the tilts. ``told`` is False where the images do not
    tell it, and ``sentence`` says why, or what was found. ``angles_deg``, ``disagreement`` (n,): the curve that was
    searched, as the part of the profiles' power that is not common.
    """

    angle_deg: float
    sigma_deg: float
    told: bool
    sentence: str
    angles_deg: Floats
    disagreement: Floats


def find_tilt_axis(series: TiltSeries, progress: Progress = nothing) -> TiltAxis:
    """Direction of the tilt axis of a single-axis series.

    The sense of the tilt cannot be told from it: an axis turned by 180 degrees gives the same profiles.

    Parameters
    ----------
    series : TiltSeries
        Its own ``tilt_axis_deg`` is not used.
    progress : callable
        Told how much is done, 0 to 1.

    Raises
    ------
    InputError
        Not a single-axis series, too small a range of tilts, or no isolated object: then there is no common profile.
    """
    if series.rotations is not None or np.any(series.angles_deg[:, [0, 2]]):
        raise InputError(
            f"{series.source}: only a series that is tilted about a single axis has a tilt axis to look for."
        )
    thetas = series.angles_deg[series.used, 1]
    if np.ptp(thetas) < LEAST_RANGE_DEG or len(thetas) < LEAST_TILTS:
        raise InputError(
            f"{series.source}: {len(thetas)} tilts over {np.ptp(thetas):g} degrees do not tell the tilt axis: at least "
            f"{LEAST_TILTS} over {LEAST_RANGE_DEG:g} degrees are needed."
        )
    signals, noises, lost = [], [], []
    for done, j in enumerate(series.used):
        progress(0.3 * done / len(series.used))
        particle = find_particle(series, int(j))
        if particle is None:
            lost.append(int(j))
        else:
            signals.append(particle.signal)
            noises.append(particle.inside.sum() * particle.noise**2)
    if len(signals) < LEAST_TILTS or len(lost) > 0.5 * len(thetas):
        raise InputError(
            f"{series.source}: no isolated particle within the field in {tilt_list(lost)}: what leaves the field has "
            "no profile in common, and the tilt axis cannot be told from it."
        )
    stack = np.stack(signals)
    mass = stack.sum((1, 2))
    stack /= mass[:, None, None]
    noise = float(np.mean(np.array(noises) / mass**2))  # power of noise in a profile, the same at every frequency
    extent = _extent(stack)
    frequencies = np.linspace(0.5 / extent, HIGHEST, round(HIGHEST * extent))
    factor = max(1, int(0.35 / (4 / extent)) if extent > 200 else 1)
    coarse = np.arange(-90.0, 90.0, COARSE_DEG)
    low = np.linspace(0.5 / extent, 8 / extent, 16)
    rough = _disagreement(_profiles(_bin(stack, factor), coarse, low * factor, part(progress, 0.3, 0.6)), noise)
    lowest = np.flatnonzero((rough <= np.roll(rough, 1)) & (rough <= np.roll(rough, -1)))
    places = [float(coarse[i]) for i in lowest[np.argsort(rough[lowest])][:RIVALS]]
    close = []
    for i, place in enumerate(places):
        fine = place + np.linspace(-FINE_SPAN_DEG, FINE_SPAN_DEG, FINE_STEPS)
        ahead = part(progress, 0.6 + 0.3 * i / len(places), 0.6 + 0.3 * (i + 1) / len(places))
        close.append((fine, _profiles(stack, fine, frequencies, ahead)))
    minima = [float(_disagreement(profiles, noise).min()) for _, profiles in close]
    best = int(np.argmin(minima))
    fine, profiles = close[best]
    curve = _disagreement(profiles, noise)
    found = _minimum(fine, curve)
    sigma, span = _spread(fine, profiles, noise), FINE_SPAN_DEG
    # Where noise throws the minimum from edge to edge, what was searched is too narrow to tell how far.
    while sigma > span / WIDEST_SPAN and span < WIDEST_SPAN * LARGEST_SIGMA_DEG:
        span *= 2
        wide = places[best] + np.linspace(-span, span, FINE_STEPS)
        wider = _profiles(stack, wide, frequencies, part(progress, 0.9, 1.0))
        found, sigma = _minimum(wide, _disagreement(wider, noise)), _spread(wide, wider, noise)
    n = len(profiles)
    own = _by_tilt(profiles, noise)[:, curve.argmin()]
    rivals = [places[best]]
    for i, (_, others) in enumerate(close):
        gain = _by_tilt(others, noise)[:, _disagreement(others, noise).argmin()] - own
        if i != best and gain.mean() < RIVAL_SIGMA * gain.std() / np.sqrt(n):
            rivals.append(places[i])
    at_edge = abs(found - places[best]) > span * (1 - 4 / (FINE_STEPS - 1))
    angle = (found + 90.0) % 180.0 - 90.0
    text = f"{angle:+.2f} ± {sigma:.2f} degrees from vertical".replace("-", "−")
    if sigma > LARGEST_SIGMA_DEG or at_edge:
        told, sentence = (
            False,
            "The images do not tell the tilt axis: their profiles agree along every direction alike.",
        )
    elif len(rivals) > 1:
        told = False
        listed = " and ".join(f"{a:.0f}" for a in rivals[:3]).replace("-", "−")
        sentence = f"The images do not tell the tilt axis: it may lie at {listed} degrees from vertical."
    else:
        told, sentence = (
            True,
            f"The tilt axis lies at {text}; which way the specimen was tilted the images cannot tell.",
        )
    progress(1.0)
    return TiltAxis(angle, sigma, told, sentence, coarse, rough)


def _profiles(stack: Floats, angles_deg: Floats, frequencies: Floats, progress: Progress) -> Floats:
    """|Fourier transform| of the profiles along each direction, (T, angles, frequencies).

    The line through the transform of an image along the axis (-sin a, cos a) is a sum over u and one over v.
    """
    filled = (stack != 0).any(0)
    rows, columns = np.flatnonzero(filled.any(1)), np.flatnonzero(filled.any(0))
    field = np.ascontiguousarray(stack[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], np.float32)
    flat = field.reshape(-1, field.shape[2])
    v, u = (np.arange(n) - (n - 1) / 2 for n in field.shape[1:])
    found = np.empty((len(stack), len(angles_deg), len(frequencies)))
    for i, a in enumerate(np.deg2rad(angles_deg)):
        progress(i / len(angles_deg))
        across = 2 * np.pi * np.outer(u, frequencies) * np.sin(a)
        along = 2 * np.pi * np.outer(v, frequencies) * np.cos(a)
        waves = np.concatenate([np.cos(across), np.sin(across)], 1).astype(np.float32)
        real, imaginary = np.split((flat @ waves).reshape(len(stack), len(v), -1), 2, axis=2)
        c, s = np.cos(along).astype(np.float32), np.sin(along).astype(np.float32)
        found[:, i] = np.hypot((real * c + imaginary * s).sum(1), (imaginary * c - real * s).sum(1))
    return found


def _disagreement(profiles: Floats, noise: float) -> Floats:
    """Part of the power of the profiles (T, n, K) that is not in their mean, (n,); 0 where they are the same."""
    return np.asarray(_by_tilt(profiles, noise).mean(0))


def _by_tilt(profiles: Floats, noise: float) -> Floats:
    """What each tilt adds to the disagreement, (T, n).

    Each frequency counts by the share of its power that is not noise (Wiener), so that many empty ones do not drown
    the few that tell the direction.
    """
    power = (profiles**2).mean((0, 1))
    weight = np.maximum(0.0, 1.0 - 2.0 * noise / np.maximum(power, 1e-300)) ** 2
    whole = ((profiles**2).mean(0) @ weight)[None]
    return np.asarray((profiles - profiles.mean(0)) ** 2 @ weight / whole)


def _minimum(angles: Floats, curve: Floats) -> float:
    """Place of the smallest value, from a parabola through the points around it."""
    i = int(np.clip(curve.argmin(), 4, len(curve) - 5))
    second, first, _ = np.polyfit(angles[i - 4 : i + 5] - angles[i], curve[i - 4 : i + 5], 2)
    step = angles[1] - angles[0]
    return float(angles[i] + (np.clip(-first / (2 * second), -4 * step, 4 * step) if second > 0 else 0.0))


def _spread(angles: Floats, profiles: Floats, noise: float) -> float:
    """Standard deviation of the minimum, from random halves of the tilts; not below what the steps can tell."""
    rng, n = np.random.default_rng(0), len(profiles)
    found = [_minimum(angles, _disagreement(profiles[rng.permutation(n)[: n // 2]], noise)) for _ in range(HALVES)]
    # of n tilts k are taken: the variance of the means of k is (n - k) / k times that of the mean of all
    whole = np.sqrt((n // 2) / (n - n // 2)) * np.std(found)
    return max(float(whole), float(angles[1] - angles[0]) / 12**0.5)


def _extent(stack: Floats) -> float:
    """Diameter of the object in pixels."""
    rows, columns = np.nonzero((stack != 0).any(0))
    return float(max(np.hypot(np.ptp(rows), np.ptp(columns)), 8))


def _bin(stack: Floats, factor: int) -> Floats:
    if factor == 1:
        return stack
    t, v, u = stack.shape
    v, u = v // factor * factor, u // factor * factor
    return np.asarray(stack[:, :v, :u].reshape(t, v // factor, factor, u // factor, factor).sum((2, 4)))
