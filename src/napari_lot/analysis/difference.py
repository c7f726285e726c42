"""Two images of one orientation: aligned to each other, and their difference compared with what noise would make.

The later image is fitted by the earlier one: moved by a fraction of a pixel (in Fourier space, which keeps white noise
white), scaled, on another background, and distorted linearly to first order, as drift during a scan does. What is left
is filtered by Gaussians of a few sizes and compared with its variance: by its mean square, and by its highest peak. How
often noise makes such a peak is the expected number of peaks of a Gaussian random field (Adler, *The Geometry of Random
Fields*, 1981): per pixel z^2 / (2 pi 2 s^2) times the tail of one normal variable, for white noise filtered by a
Gaussian of standard deviation s.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage, optimize, stats

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

SCALES_PX = (1.0, 2.0, 4.0)
"""Standard deviations of the filters: from what a sharp atom shows to a patch of several."""
MARGIN_PX = 8
"""Left out along edges: an image that is moved by a part of a pixel rings there."""
STEPS = 8
SETTLED_PX = 1e-4
FAINTEST = 1e-3
"""Part of the range of an image that interpolation and rounding may leave: a standard deviation added to the noise."""
NOISE_BINS = 12
# Second differences along both axes: blind to what is smooth, and to nearly all that a lens lets through.
_CORNER = np.outer([1.0, -2.0, 1.0], [1.0, -2.0, 1.0]) / 6.0
_CORNER_VARIANCE = 3.78
"""Sum of squared correlations of white noise under that filter: so many pixels know as much as one alone."""


@dataclass(frozen=True)
class Difference:
    """What is left between two images.

    Attributes
    ----------
    shift_px : (du, dv)
        How far the later image lies from the earlier one.
    correlation : float
        Pearson correlation once aligned.
    r_factor : float
        Sum of |difference| over the sum of |later - its background|.
    chi2_per_pixel : float
        Mean square of the difference over its variance; 1 for noise.
    intensity_change, intensity_sigma : float
        Change of the total intensity as a part of it, and its standard deviation.
    z : float
        Highest peak of the filtered difference in standard deviations.
    place : (row, column)
        Where, in the later image.
    p_value : float
        How often noise alone makes a difference like this or larger.
    gain : float or None
        Units of the file per electron, from how noise grows with the mean; None where the noise was given or does not.
    """

    shift_px: tuple[float, float]
    correlation: float
    r_factor: float
    chi2_per_pixel: float
    intensity_change: float
    intensity_sigma: float
    z: float
    place: tuple[int, int]
    p_value: float
    gain: float | None


def moved(image: Floats, du: float, dv: float) -> tuple[Floats, Floats, Floats]:
    """An image moved by (du, dv) pixels, and its derivatives along u and v; edges mirrored."""
    pad = MARGIN_PX + int(np.ceil(max(abs(du), abs(dv)))) + 8
    rows, columns = image.shape
    shape = tuple(fft.next_fast_len(n + 2 * pad, real=True) for n in image.shape)
    wide = np.pad(image, [(pad, m - n - pad) for n, m in zip(image.shape, shape, strict=True)], mode="symmetric")
    q_v, q_u = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :]
    spectrum = fft.rfft2(wide) * np.exp(-2j * np.pi * (q_u * du + q_v * dv))
    here = (slice(pad, pad + rows), slice(pad, pad + columns))
    every = [fft.irfft2(spectrum * by, s=shape)[here] for by in (1.0, 2j * np.pi * q_u, 2j * np.pi * q_v)]
    return every[0], every[1], every[2]


def coarse_shift(earlier: Floats, later: Floats) -> tuple[int, int]:
    """(du, dv) in whole pixels, at most a quarter of the field, from the cross-correlation."""
    shape = tuple(fft.next_fast_len(n + n // 4 + 1, real=True) for n in earlier.shape)
    both = np.conj(fft.rfft2(earlier - earlier.mean(), s=shape)) * fft.rfft2(later - later.mean(), s=shape)
    reach = [n // 4 for n in earlier.shape]
    product = np.roll(fft.irfft2(both, s=shape), reach, (0, 1))[: 2 * reach[0] + 1, : 2 * reach[1] + 1]
    row, column = np.unravel_index(int(product.argmax()), product.shape)
    return int(column) - reach[1], int(row) - reach[0]


def compare_images(
    earlier: NDArray[np.float32],
    later: NDArray[np.float32],
    usable: tuple[Mask, Mask],
    noise: tuple[float, float, float] | None,
) -> Difference | None:
    """Align two images (V, U) and compare what is left between them with the noise; None where they hardly overlap.

    Parameters
    ----------
    usable : two (V, U) bool
        Pixels that count.
    noise : (gain, offset, read variance) or None
        Variance of a pixel is gain * (value - offset) + read variance, all in the units of the file; estimated from
        the finest detail of the difference where it is not given. Where that scatters more than was given, it counts.
    """
    first, second = (
        np.where(use, image, image[use].mean()) for image, use in zip((earlier, later), usable, strict=True)
    )
    first, second = first.astype(np.float64), second.astype(np.float64)
    du, dv = (float(d) for d in coarse_shift(first, second))
    fit, weight = np.array([1.0, 0.0, du, dv, 0.0, 0.0, 0.0, 0.0]), np.ones(first.shape)
    for step in range(STEPS):
        image, along_u, along_v = moved(first, fit[2], fit[3])
        inside = _overlap(usable, fit[2], fit[3])
        if inside.sum() < 16 * 16:
            return None
        model = fit[0] * image + fit[1] + np.tensordot(fit[4:], _distortions(along_u, along_v), 1)
        left = np.where(inside, second - model, 0.0)
        if step == 1:  # nearly aligned: from now on pixels count by their noise
            seen = _seen_noise(first, second, fit)
            weight = 1.0 / ndimage.gaussian_filter(_variance(left, model, second, fit[0], inside, noise, seen)[0], 4.0)
        columns = np.stack([image, np.ones_like(image), -fit[0] * along_u, -fit[0] * along_v])
        columns = np.concatenate([columns, _distortions(along_u, along_v)])
        change, sigma_scale = _step(left, columns, 0.5 * (second + model) - fit[1], inside, weight)
        fit = fit + change
        if step > 1 and np.abs(change[2:4]).max() < SETTLED_PX:
            break
    seen = _seen_noise(first, second, fit)
    variance, gain = _variance(left, model, second, float(fit[0]), inside, noise, seen)
    du, dv, scale = float(fit[2]), float(fit[3]), float(fit[0])
    z, place, p_value = _test(left, variance, inside)
    a, b = model[inside], second[inside]
    dark = float(np.quantile(ndimage.gaussian_filter(second, 2.0)[inside], 0.02))
    return Difference(
        shift_px=(du, dv),
        correlation=float(np.corrcoef(a, b)[0, 1]) if a.std() > 0 and b.std() > 0 else 0.0,
        r_factor=float(np.abs(left[inside]).sum() / max(np.abs(b - dark).sum(), 1e-300)),
        chi2_per_pixel=float((left[inside] ** 2).sum() / variance[inside].sum()),
        intensity_change=scale - 1.0,
        intensity_sigma=sigma_scale,
        z=z,
        place=place,
        p_value=p_value,
        gain=gain,
    )


def _overlap(usable: tuple[Mask, Mask], du: float, dv: float) -> Mask:
    """Pixels of the later image that count in both, away from edges."""
    there = usable[0]
    if not there.all():
        there = ndimage.binary_erosion(there, iterations=4, border_value=1)
    inside = np.roll(there, (round(dv), round(du)), (0, 1)) & usable[1]
    for axis, d in ((0, dv), (1, du)):
        size, ends = inside.shape[axis], [slice(None), slice(None)]
        low, high = MARGIN_PX + max(0, int(np.ceil(d))), size - MARGIN_PX + min(0, int(np.floor(d)))
        for outside in (slice(0, max(low, 0)), slice(max(high, 0), size)):
            ends[axis] = outside
            inside[tuple(ends)] = False
    return inside


def _distortions(along_u: Floats, along_v: Floats) -> Floats:
    """What four small linear distortions add to an image, (4, V, U); coordinates run from -1/2 to 1/2."""
    rows, columns = along_u.shape
    v = (np.arange(rows)[:, None] - 0.5 * (rows - 1)) / rows
    u = (np.arange(columns)[None, :] - 0.5 * (columns - 1)) / columns
    return np.stack([u * along_u, v * along_u, u * along_v, v * along_v])


def _step(left: Floats, columns: Floats, signal: Floats, inside: Mask, weight: Floats) -> tuple[Floats, float]:
    """Change (8,) of scale, background, shift and distortions that the difference asks for, and the scale's sigma.

    By instrumental variables: the difference is to be uncorrelated not with the ``columns`` of the earlier image, whose
    noise it holds (the scale would come out too small), but with the same of the smoothed ``signal`` of both images,
    whose noise is not that of the difference.
    """
    smooth = ndimage.gaussian_filter(signal, 1.0)
    along_v, along_u = (np.asarray(d, np.float64) for d in np.gradient(smooth))
    every = np.stack([smooth, np.ones_like(smooth), -along_u, -along_v])
    design = columns[:, inside]
    root = np.sqrt(weight[inside])
    size = np.maximum(np.sqrt(((design * root) ** 2).sum(1)), 1e-300)  # images come in any unit
    scaled = design * (root / size[:, None])
    instruments = np.concatenate([every, _distortions(along_u, along_v)])[:, inside] * (root / size[:, None])
    inverse = np.linalg.pinv(instruments @ scaled.T, rcond=1e-9)
    change = inverse @ (instruments @ (left[inside] * root)) / size
    change[2:4] = np.clip(change[2:4], -1.0, 1.0)
    sigma = inverse @ (instruments @ instruments.T) @ inverse.T
    return change, float(np.sqrt(max(sigma[0, 0], 0.0)) / size[0])


def _seen_noise(first: Floats, second: Floats, fit: Floats) -> Floats:
    """Mean (V, U) of the values whose noise the finest detail of the difference holds at each pixel.

    That of the later image comes from the pixels around; that of the earlier one, which was moved by a part of a pixel,
    from farther as well.
    """
    point = np.zeros(first.shape)
    row, column = (n // 2 for n in first.shape)
    point[row - 1 : row + 2, column - 1 : column + 2] = _CORNER
    spread = fft.rfft2(moved(point, fit[2], fit[3])[0] ** 2)
    back = np.roll(fft.irfft2(fft.rfft2(first) * spread, s=first.shape), (-row, -column), (0, 1))
    return 0.5 * (ndimage.convolve(second, _CORNER**2, mode="nearest") + np.asarray(back))


def _variance(
    left: Floats,
    model: Floats,
    later: Floats,
    scale: float,
    inside: Mask,
    noise: tuple[float, float, float] | None,
    mean: Floats,
) -> tuple[Floats, float | None]:
    """Variance (V, U) of the difference; and the gain where the noise itself told it."""
    low, high = np.quantile(later[inside], [0.01, 0.995])
    least = (FAINTEST * float(high - low)) ** 2 + 1e-300
    fine = ndimage.convolve(left, _CORNER, mode="constant") ** 2
    whole = ndimage.binary_erosion(inside, np.ones((3, 3), bool))
    if noise is not None:
        gain, offset, read = noise
        # each image stands for its own rate: unbiased pixel by pixel, and summed up by the filters
        found = gain * (later - offset) + read + scale * gain * (model - offset) + scale**2 * read
        expected = float(found[whole].mean())
        factor = max(1.0, float(fine[whole].mean()) / expected) if expected > 0 and whole.any() else 1.0
        # no place is surer than that a single electron may be there or not
        smooth = np.maximum(ndimage.gaussian_filter(np.where(inside, found, 0.0), 1.0), gain**2 / (4 * np.pi))
        return factor * smooth + least, None
    # groups by a smooth mean, which the noise of single pixels does not sort
    smooth = ndimage.gaussian_filter(mean, 2.0)
    edges = np.quantile(smooth[whole], np.linspace(0, 1, NOISE_BINS + 1)) if whole.any() else np.zeros(2)
    points = []
    for a, b in pairwise(edges):
        chosen = whole & (smooth >= a) & (smooth <= b)
        n = int(chosen.sum())
        if n > 20 and b > a:
            points.append((float(mean[chosen].mean()), float(fine[chosen].mean()), n))
    if len(points) < 3:
        return np.full_like(left, (float(fine[whole].mean()) if whole.any() else 0.0) + least), None
    x, y, n = np.array(points).T
    # bins without an electron know nothing of how sure they are of that
    root = np.sqrt(n / (2.0 * _CORNER_VARIANCE)) / (y + 0.1 * y.mean() + 1e-300)
    design = np.stack([np.ones_like(x), x - x.min()], 1) * root[:, None]
    (floor, slope), _ = optimize.nnls(design, y * root)
    found = np.maximum(floor + slope * (ndimage.gaussian_filter(mean, 1.0) - x.min()), 0.0) + least
    sigma = float(np.sqrt(np.linalg.inv(design.T @ design)[1, 1]))
    # one image that is there twice has no noise of electrons: what its copies leave is rounding
    if slope < 5.0 * sigma or slope * float(np.ptp(x)) < least:
        return found, None
    return found, float(slope) / (1.0 + scale**2)


def _test(left: Floats, variance: Floats, inside: Mask) -> tuple[float, tuple[int, int], float]:
    """Highest peak in standard deviations, where, and the probability that noise makes as much."""
    left, variance = np.where(inside, left, 0.0), np.where(inside, variance, 0.0)
    peak, place, chances = 0.0, (0, 0), []
    for s in SCALES_PX:
        cover = ndimage.gaussian_filter(inside.astype(np.float64), s, mode="constant")
        use = inside & (cover > 0.7)
        if not use.any():
            continue
        # the square of a Gaussian is one of s / sqrt(2), of this sum
        spread = ndimage.gaussian_filter(variance, s / np.sqrt(2), mode="constant") / (4 * np.pi * s**2)
        z = ndimage.gaussian_filter(left, s, mode="constant") / np.sqrt(np.maximum(spread, 1e-300))
        n = int(use.sum())
        freedom = max(n / (2 * np.pi * s**2), 1.0)
        chances.append(float(stats.chi2.sf(float((z[use] ** 2).mean()) * freedom, freedom)))
        height = np.where(use, np.abs(z), 0.0)
        top = float(height.max())
        chances.append(float(2 * stats.norm.sf(top) * max(n * max(top**2, 1.0) / (4 * np.pi * s**2), 1.0)))
        if top > peak:
            row, column = np.unravel_index(int(height.argmax()), height.shape)
            peak, place = top, (int(row), int(column))
    return peak, place, min(1.0, len(chances) * min(chances)) if chances else 1.0
