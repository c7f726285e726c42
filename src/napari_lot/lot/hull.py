"""The region where an object can be: its hull, the box that tilts can see, a regular grid inside both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numba as nb
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_lot.series.first_look import Levels, is_isolated

Floats = NDArray[np.float64]


def project(
    points: Floats, rotation: Floats, pixel_size_A: float, center_px: tuple[float, float]
) -> tuple[Floats, Floats]:
    """Row and column in pixels at which points (N, 3) in Å appear on one tilt."""
    uv = points @ rotation[:2].T / pixel_size_A
    return uv[:, 1] + center_px[0], uv[:, 0] + center_px[1]


@dataclass(frozen=True)
class Hull:
    """The region that no tilt sees as vacuum, tested point by point.

    Around an ``isolated`` object, which touches no edge of the field, all that is outside the field is vacuum too.
    """

    silhouettes: NDArray[np.bool_]
    usable: NDArray[np.bool_]
    rotations: Floats
    pixel_size_A: float
    center_px: tuple[float, float]
    isolated: bool = False
    allowed_misses: float = 0.04
    least_seen: float = 0.15

    def seen_and_missed(self, points: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Number of tilts that see each point inside the usable field, and how many of them see vacuum there."""
        return self._counted(points, len(self.rotations))

    def contains(self, points: Floats) -> NDArray[np.bool_]:
        """True where enough tilts see the point and hardly any sees vacuum there."""
        # what more tilts miss than any number of them may is outside, and looked at no longer
        seen, missed = self._counted(points, int(self.allowed_misses * len(self.rotations)))
        return (seen >= max(2, self.least_seen * len(self.rotations))) & (missed <= self.allowed_misses * seen)

    def _counted(self, points: Floats, most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """As ``seen_and_missed``, of points that more than ``most`` tilts miss only so far."""
        seen, missed = np.zeros((2, len(points)), np.int64)
        matrices = np.ascontiguousarray(self.rotations[:, :2] / self.pixel_size_A)  # pixels per Å
        field = (*self.center_px, self.silhouettes, self.usable, self.isolated)
        _count(np.ascontiguousarray(points), matrices, *field, most, seen, missed)
        return seen, missed


@nb.njit(nogil=True, cache=True)
def _count(points, matrices, row, column, silhouettes, usable, isolated, most, seen, missed):  # type: ignore[no-untyped-def]
    """Tilts that see each point, and that see vacuum there; a point that more than ``most`` miss is left."""
    tilts, rows, columns = silhouettes.shape
    for i in range(len(points)):
        x, y, z = points[i]
        for j in range(tilts):
            m = matrices[j]
            u = round(m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + column)
            v = round(m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + row)
            if 0 <= v < rows and 0 <= u < columns:
                if usable[j, v, u]:
                    seen[i] += 1
                    missed[i] += not silhouettes[j, v, u]
            elif isolated:
                missed[i] += 1
            if missed[i] > most:
                break


def make_hull(
    images: NDArray[np.float32],
    mask: NDArray[np.bool_] | None,
    rotations: Floats,
    pixel_size_A: float,
    center_px: tuple[float, float],
    spacing_A: float,
    level: Levels,
) -> Hull:
    """Silhouettes of an object whose atoms lie ``spacing_A`` apart.

    The threshold is a multiple of the noise of the smoothed images, and at least 0.4 % of the brightest: a single atom
    on a thick particle must pass. Silhouettes are grown by 0.4 spacings, since a hull that is too wide costs time and
    one that is too narrow costs atoms.
    """
    sigma = 0.3 * spacing_A / pixel_size_A
    smooth = ndimage.gaussian_filter(images, (0, sigma, sigma))
    noise = level.noise / np.sqrt(max(4 * np.pi * sigma**2, 1.0))
    threshold = level.background + max(1.5 * noise, 0.004 * level.bright)
    grow = _disk(0.4 * spacing_A / pixel_size_A)
    silhouettes = np.stack([ndimage.binary_dilation(image > threshold, grow) for image in smooth])
    usable = np.ones(images.shape, bool) if mask is None else np.stack([ndimage.binary_dilation(m, grow) for m in mask])
    return Hull(silhouettes, usable, rotations, pixel_size_A, center_px, is_isolated(images, mask, level))


def _disk(radius: float) -> NDArray[np.bool_]:
    n = int(np.ceil(radius))
    y, x = np.mgrid[-n : n + 1, -n : n + 1]
    return x**2 + y**2 <= radius**2 + 0.5


def box(
    image_shape: tuple[int, ...],
    rotations: Floats,
    pixel_size_A: float,
    center_px: tuple[float, float],
    least_seen: float,
) -> tuple[Floats, Floats]:
    """Corners (x, y, z) in Å of the region whose points at least a part ``least_seen`` of the tilts can see.

    Along the beam of the untilted specimen the field gives no bound; the farthest edge of it stands in for one.
    """
    # edges of the field as seen from the rotation centre, (v, u)
    low_edge = -(np.array(center_px) + 0.5) * pixel_size_A
    high_edge = (np.array(image_shape) - 0.5 - np.array(center_px)) * pixel_size_A
    largest = float(max(np.abs(low_edge).max(), np.abs(high_edge).max()))
    probes = np.linspace(0, 4 * largest, 400)
    low, high = np.array([low_edge[1], low_edge[0], -largest]), np.array([high_edge[1], high_edge[0], largest])
    for axis in range(2):
        for corner, sign in ((low, -1.0), (high, 1.0)):
            points = np.zeros((len(probes), 3))
            points[:, axis] = sign * probes
            vu = np.einsum("tij,nj->tni", rotations[:, :2], points)[..., ::-1]
            seen = ((vu >= low_edge) & (vu <= high_edge)).all(-1).mean(0)
            reach = float(probes[seen >= least_seen].max(initial=0.0))
            corner[axis] = sign * max(reach, sign * corner[axis])
    return low, high


def grid(
    hull: Hull,
    low: Floats,
    high: Floats,
    constant_A: float,
    chunk: int = 2_000_000,
    poll: Callable[[], None] = lambda: None,
) -> Floats:
    """Points (N, 3) of a body-centred grid inside the hull, between the corners ``low`` and ``high`` in Å.

    Body-centred, with the density of a simple cubic grid of ``constant_A``: the points are farther apart at equal
    number, and no tilt about an axis sees them in rows. ``poll`` is called now and then and may raise.
    """
    a = constant_A * 2 ** (1 / 3)
    axes = [np.arange(np.floor(lo / a), np.ceil(hi / a) + 1) * a for lo, hi in zip(low, high, strict=True)]
    found = []
    for offset in (0.0, 0.5 * a):
        x, y, z = (axis + offset for axis in axes)
        per_slab = max(1, chunk // max(1, len(x) * len(z)))
        for start in range(0, len(y), per_slab):
            poll()
            points = np.stack(np.meshgrid(x, y[start : start + per_slab], z, indexing="ij"), -1).reshape(-1, 3)
            found.append(points[hull.contains(points)])
    return np.concatenate(found)


def grid_near(hull: Hull, centres: Floats, reach_A: float, constant_A: float) -> Floats:
    """As ``grid``, of points (N, 3) closer to one of some centres (K, 3) than ``reach_A``."""
    a = constant_A * 2 ** (1 / 3)
    both = [cubic_near(centres, reach_A, a, offset) for offset in (0.0, 0.5 * a)]
    points = np.concatenate(both)
    return points[hull.contains(points)]


def cubic_near(centres: Floats, reach_A: float, constant_A: float, offset_A: float = 0.0) -> Floats:
    """Points (N, 3) of a cubic grid closer to one of some centres (K, 3) than ``reach_A``, in the order of image rows.

    ``offset_A`` is where the grid has a point, along every axis.
    """
    if not len(centres):
        return np.zeros((0, 3))
    most = int(reach_A / constant_A + 1.0)
    steps = np.arange(-most, most + 1)
    around = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    around = around[np.linalg.norm(around, axis=1) * constant_A < reach_A + constant_A]  # a centre lies within a cell
    cells = np.unique(np.round((centres - offset_A) / constant_A).astype(np.int64), axis=0)
    low = cells.min(0) - most
    shape = cells.max(0) - low + most + 1
    y, x, z = 1, 0, 2
    flat = ((cells[:, y] - low[y]) * shape[x] + cells[:, x] - low[x]) * shape[z] + cells[:, z] - low[z]
    flat = np.unique(flat[:, None] + (around[:, y] * shape[x] + around[:, x]) * shape[z] + around[:, z])
    rows, along_z = np.divmod(flat, shape[z])
    along_y, along_x = np.divmod(rows, shape[x])
    points = (np.stack([along_x, along_y, along_z], 1) + low) * constant_A + offset_A
    distance, _ = cKDTree(centres).query(points, distance_upper_bound=reach_A)
    return np.asarray(points[np.isfinite(distance)], np.float64)
