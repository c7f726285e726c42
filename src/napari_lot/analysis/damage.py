"""Did the beam change the specimen? Images of one orientation, recorded again, tell.

Usually these are images at 0 degrees before, within and after the series. Each is compared with the first of its
orientation (see ``difference``); what is more than noise is a change of the specimen, or of the microscope: defocus,
drift that a scan does not hold linear, contamination.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from napari_lot.analysis.difference import Difference, compare_images
from napari_lot.series.detector import Detector
from napari_lot.series.tilt_series import TiltSeries

SAME_DEG = 0.1
"""Orientations closer than this are one."""
FALSE_ALARM = 1e-3
"""How often noise alone may be called a change, in a whole series."""
UNLIKE = 0.05
"""By how much repeats may correlate less than neighbouring tilts before their angles are doubted."""
MOST_PIXELS = 1024
"""Of larger images the middle is compared."""


@dataclass(frozen=True)
class Damage:
    """What repeated images say.

    Attributes
    ----------
    changed : bool or None
        None where that cannot be told.
    verdict : str
        One sentence for a person.
    repeats : tuple of tuple of int
        Tilts of one orientation, counted from 0.
    pairs : tuple of (first tilt, other tilt, Difference)
    """

    changed: bool | None
    verdict: str
    repeats: tuple[tuple[int, ...], ...] = ()
    pairs: tuple[tuple[int, int, Difference], ...] = ()

    @property
    def gain(self) -> float | None:
        """Detector units per electron as the noise of the repeats shows it, the median of all pairs."""
        known = [difference.gain for _, _, difference in self.pairs if difference.gain is not None]
        return float(np.median(known)) if known else None

    def as_dict(self) -> dict[str, Any]:
        """Content of ``damage`` in the report."""
        return {
            "changed": self.changed,
            "verdict": self.verdict,
            "repeats": self.repeats,
            "pairs": [{"tilts": (a, b)} | asdict(d) for a, b, d in self.pairs],
            "gain_estimate": self.gain,
        }


def find_repeats(series: TiltSeries, within_deg: float = SAME_DEG) -> tuple[tuple[int, ...], ...]:
    """Tilts in use that share an orientation within an angle, each group in the order of the series."""
    matrices = _rotations(series)
    groups: list[list[int]] = []
    for tilt in series.used.tolist():
        for group in groups:
            if _apart_deg(matrices[group[0]], matrices[tilt]) <= within_deg:
                group.append(tilt)
                break
        else:
            groups.append([tilt])
    return tuple(tuple(group) for group in groups if len(group) > 1)


def check_damage(series: TiltSeries, detector: Detector | None, denoised: bool = False) -> Damage:
    """Compare repeated images with each other, and say whether they differ by more than their noise.

    Parameters
    ----------
    series : TiltSeries
    detector : Detector or None
        Where values are known in electrons their noise is Poisson; else it is estimated from the differences.
    denoised : bool
        Then nobody knows the noise, and nothing is concluded from it.
    """
    repeats = find_repeats(series)
    if not repeats:
        return Damage(
            None, f"cannot tell whether the beam changed the specimen: no orientation is repeated within {SAME_DEG:g}°."
        )
    noise = None
    if detector is not None:
        read = detector.read_variance * detector.gain**2
        noise = (detector.gain, detector.offset, read)
    pairs, unlike, equal = [], [], []
    for first, *others in repeats:
        for other in others:
            if np.array_equal(series.images[first], series.images[other]):
                equal.append((first, other))
                continue
            found = _compare(series, first, other, noise)
            if found is not None:
                pairs.append((first, other, found))
                if _unlike(series, first, found.correlation):
                    unlike.append((first, other))
    return _judge(repeats, tuple(pairs), unlike, equal, denoised)


def _judge(
    repeats: tuple[tuple[int, ...], ...],
    pairs: tuple[tuple[int, int, Difference], ...],
    unlike: list[tuple[int, int]],
    equal: list[tuple[int, int]],
    denoised: bool,
) -> Damage:
    if equal and not pairs:
        a, b = equal[0]
        why = f"the images of tilts {a} and {b} are equal to the last digit: a copy, or without noise."
        return Damage(None, f"cannot tell whether the beam changed the specimen: {why}", repeats)
    if not pairs:
        return Damage(
            None, "cannot tell whether the beam changed the specimen: repeated images hardly overlap.", repeats
        )
    correlation = min(d.correlation for _, _, d in pairs)
    tilts = _listed(sorted({t for a, b, _ in pairs for t in (a, b)}))
    if unlike:
        a, b = unlike[0]
        why = f"tilts {a} and {b} have one angle, yet are less alike than neighbouring tilts: check the angles."
        return Damage(None, f"cannot tell whether the beam changed the specimen: {why}", repeats, pairs)
    if denoised:
        why = f"tilts {tilts} were denoised, and their noise is not known (correlation {correlation:.4f} at least)."
        return Damage(None, f"cannot tell whether the beam changed the specimen: {why}", repeats, pairs)
    worst = min(pairs, key=lambda pair: (pair[2].p_value, -pair[2].z))
    if worst[2].p_value * len(pairs) >= FALSE_ALARM:
        return Damage(
            False,
            f"no change of the specimen beyond noise between tilts {tilts} (correlation {correlation:.4f} at least).",
            repeats,
            pairs,
        )
    a, b, d = worst
    return Damage(
        True,
        f"the specimen, or its imaging, changed between tilt {a} and tilt {b}: they differ by {d.z:.1f} standard "
        f"deviations at row {d.place[0]}, column {d.place[1]} (χ² {d.chi2_per_pixel:.3g} per pixel, correlation "
        f"{d.correlation:.4f}); look for beam damage, and leave out or weigh down what was recorded after it.",
        repeats,
        pairs,
    )


def _middle(shape: tuple[int, int]) -> tuple[slice, slice]:
    starts = [max(0, (n - MOST_PIXELS) // 2) for n in shape]
    return slice(starts[0], starts[0] + MOST_PIXELS), slice(starts[1], starts[1] + MOST_PIXELS)


def _compare(series: TiltSeries, first: int, other: int, noise: tuple[float, float, float] | None) -> Difference | None:
    rows, columns = series.images.shape[1:]
    part = _middle((rows, columns))
    images = [series.images[t][part] for t in (first, other)]
    usable = [
        np.ones(i.shape, bool) if series.mask is None else series.mask[t][part]
        for t, i in zip((first, other), images, strict=True)
    ]
    if not all(use.any() for use in usable):
        return None
    found = compare_images(images[0], images[1], (usable[0], usable[1]), noise)
    if found is None or part[0].start == part[1].start == 0:
        return found
    values = asdict(found) | {"place": (found.place[0] + part[0].start, found.place[1] + part[1].start)}
    return Difference(**values)


def _unlike(series: TiltSeries, tilt: int, correlation: float) -> bool:
    """Whether the nearest other orientation resembles a tilt clearly more than a repeat of it does."""
    matrices = _rotations(series)
    apart = {int(t): _apart_deg(matrices[tilt], matrices[t]) for t in series.used}
    others = [t for t, angle in apart.items() if angle > SAME_DEG]
    if correlation > 1 - UNLIKE or not others:
        return False
    nearest = _compare(series, tilt, min(others, key=lambda t: apart[t]), None)
    return nearest is not None and correlation < nearest.correlation - UNLIKE


def _rotations(series: TiltSeries) -> NDArray[np.float64]:
    """Matrices (T, 3, 3) up to the direction of the tilt axis, which all tilts share."""
    if series.rotations is not None:
        return series.rotations
    return np.asarray(Rotation.from_euler("xyz", series.angles_deg, degrees=True).as_matrix(), np.float64)


def _apart_deg(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Angle of the turn from one orientation to another; exact for small ones, unlike the trace's arc cosine."""
    return float(np.rad2deg(2 * np.arcsin(min(1.0, float(np.linalg.norm(a - b)) / np.sqrt(8)))))


def _listed(tilts: list[int]) -> str:
    """'0 and 59', '0, 20 and 40', or the first few and how many more."""
    shown = [str(t) for t in tilts[:6]]
    last = f"{len(tilts) - 6} more" if len(tilts) > 6 else shown.pop()
    return f"{', '.join(shown)} and {last}"
