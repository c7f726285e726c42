"""From a volume to atoms: its peaks, where between the voxels they are, how much each of them shows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.progress import Progress, nothing
from napari_lot.settings.tracing import Tracing
from napari_lot.voxel.atoms import peaks as pk
from napari_lot.voxel.atoms.gaussians import common_width, fit_gaussians
from napari_lot.voxel.atoms.integrals import integrals
from napari_lot.voxel.atoms.peaks import Floats
from napari_lot.voxel.atoms.polynomials import fit_polynomials
from napari_lot.voxel.atoms.windows import FITTED, NO_MAXIMUM, NOBODY, B, H, Neighbours, W, Z, neighbours_of
from napari_lot.voxel.volume import Volume

LEAST_DISTANCE = 0.7
"""Least distance of two atoms in nearest-neighbour distances, where none is given."""
_FIRST_WIDTH = 0.25
"""Width of an atom in a volume to begin with, in nearest-neighbour distances."""
_SAMPLE = 2000
"""So many of the strongest peaks tell the width that all of them have about."""
WIDTH_SCATTER = 0.1
"""Expected relative scatter of the widths of peaks."""
_UNLIKE = 2.5
"""A peak that is so many times wider or narrower than the others is none of theirs: a hot voxel, or a slope."""
_WEAK = 0.6
"""Least integral of a peak in thresholds: integrals scatter more than maxima."""
_SHELL = 0.15
"""Thickness of what lies around an integral, in nearest-neighbour distances; at least a voxel."""


class Flag(IntEnum):
    """How the tracing of a peak ended."""

    OK = 0
    AT_EDGE = 1
    NOT_A_MAXIMUM = 2
    MOVED = 3
    TOO_CLOSE = 4
    TOO_WEAK = 5


FLAG_WORDS: dict[Flag, str] = {
    Flag.OK: "an atom",
    Flag.AT_EDGE: "so near the edge of the volume that the fit would reach beyond it",
    Flag.NOT_A_MAXIMUM: "no maximum after the fit, or one of quite another width",
    Flag.MOVED: "the fit moved too far from the maximum",
    Flag.TOO_CLOSE: "too close to a stronger one",
    Flag.TOO_WEAK: "too weak an integral",
}


@dataclass(frozen=True, eq=False)
class Traced:
    """Peaks of a volume: atoms first, then those that were refused; each lot strongest first.

    Attributes
    ----------
    orbitals : Orbitals
        All peaks, N of them. ``integrated`` (pi H B^2) is the integral of the whole peak in the images' intensity times
        Å^2, which an image of the atom alone adds up to; the width B is that of the peak in the volume, the blur of the
        probe and of the reconstruction in it. Specimen frame, Å.
    flag : (N,) int64
        ``Flag``; 0 is an atom.
    intensity : (N,) float64
        What the sphere or box about the peak holds, without the level around it and without what its neighbours show
        there, in the same unit; a part of ``integrated``.
    fit_residual : (N,) float64
        Root mean square difference of volume and fit, relative to the peak's height; NaN where nothing was fitted.
    details : dict
        ``threshold`` (part of the typical strength), ``background``, ``typical_strength``, ``noise`` (the last three in
        the volume's unit), ``min_distance_A``, ``width_A`` (median of the atoms), ``maxima`` (before the threshold).
    """

    orbitals: Orbitals
    flag: NDArray[np.int64]
    intensity: Floats
    fit_residual: Floats
    details: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.flag)

    @property
    def atoms(self) -> Orbitals:
        """Those that are atoms."""
        return self.orbitals.take(self.flag == Flag.OK)

    def columns(self, atoms_only: bool = True) -> dict[str, NDArray[Any]]:
        """``flag``, ``intensity_A2`` and ``fit_residual`` for a table of the atoms, or of all peaks."""
        these = self.flag == Flag.OK if atoms_only else np.ones(len(self), np.bool_)
        columns: dict[str, NDArray[Any]] = {"flag": self.flag[these], "intensity_A2": self.intensity[these]}
        if not np.isnan(self.fit_residual).all():
            columns["fit_residual"] = self.fit_residual[these]
        return columns

    def counts(self) -> dict[str, int]:
        """How many peaks ended how, under the flags' names in small letters."""
        return {flag.name.lower(): int((self.flag == flag).sum()) for flag in Flag}


class _Lengths(NamedTuple):
    """Lengths of a tracing in voxels."""

    distance: float
    blur: float
    within: float
    fit: float
    move: float
    integral: float
    rim: float
    width: float


def _lengths(settings: Tracing, spacing: float, voxel: float) -> _Lengths:
    def of(given_A: float | None, part: float) -> float:
        return (part * spacing if given_A is None else given_A) / voxel

    # so that more voxels than unknowns take part: 27 for the 10 of a parabola, 57 for the 35 of a quartic; fewer than
    # 57 tell widths along three axes badly
    least = math.sqrt(3.0) if settings.fit == "polynomial" and settings.degree == 2 else math.sqrt(5.0)
    return _Lengths(
        distance=of(settings.min_distance_A, LEAST_DISTANCE),
        blur=of(settings.blur_A, 0.1),
        within=0.0 if settings.maximum_within_A is None else settings.maximum_within_A / voxel,
        fit=max(of(settings.fit_radius_A, 0.3), least),
        move=of(settings.most_move_A, 0.3),
        integral=of(settings.integral_radius_A, 0.5),
        rim=max(1.0, _SHELL * spacing / voxel),
        width=_FIRST_WIDTH * spacing / voxel,
    )


def trace(
    volume: Volume,
    spacing_A: float,
    settings: Tracing | None = None,
    mask: NDArray[np.bool_] | None = None,
    contrast: float | None = None,
    progress: Progress = nothing,
) -> Traced:
    """Find the atoms of a volume.

    Local maxima above a threshold are fitted; of those that are too close the strongest stay; then all are fitted again
    without what their neighbours show, and integrated.

    Parameters
    ----------
    volume : Volume
        At least 5 voxels a side.
    spacing_A : float
        Expected nearest-neighbour distance: what the settings leave open is a part of it.
    settings : Tracing, optional
    mask : (Z, Y, X) bool, optional
        Where atoms may be.
    contrast : float, optional
        Brightness of the weakest element relative to the strongest, 1 for one, None where they are not known; for a
        threshold that the histogram chooses.
    progress : callable
        Told how much is done, 0 to 1; what it raises ends the tracing.

    Raises
    ------
    InputError
        The volume has values that are not finite, is too small, or the mask is of another shape.
    """
    settings = Tracing() if settings is None else settings
    _check(volume, mask)
    lengths = _lengths(settings, spacing_A, volume.voxel_A)
    values = np.ascontiguousarray(volume.values, np.float32)
    blurred = gaussian_filter(values, lengths.blur, mode="nearest", truncate=3.0) if lengths.blur > 0.25 else values
    progress(0.2)
    background, noise = pk.ground_of(values, blurred)
    index, strength = pk.local_maxima(blurred, background, lengths.within)
    strength = strength - background
    there = _allowed(volume, index, settings, mask)
    index, strength = index[there], strength[there]
    progress(0.3)
    alone = strength[pk.apart(index.astype(np.float64), strength, lengths.distance)]
    typical, threshold = pk.typical_strength(alone), settings.threshold
    if threshold is None:
        threshold = pk.where_noise_ends(alone, noise, contrast)
    progress(0.4)
    enough = strength >= threshold * typical
    order = np.argsort(-strength[enough], kind="stable")
    tracing = _Fits(values, lengths, settings, index[enough][order], strength[enough][order], background)
    tracing.run(threshold, progress)
    found = tracing.result(volume)
    details = {
        "threshold": float(threshold),
        "background": background,
        "typical_strength": typical,
        "noise": tracing.noise,
        "min_distance_A": lengths.distance * volume.voxel_A,
        "width_A": float(np.median(found.atoms.width)) if len(found.atoms) else None,
        "maxima": len(strength),
    }
    progress(1.0)
    return replace(found, details=details)


def _check(volume: Volume, mask: NDArray[np.bool_] | None) -> None:
    values = volume.values
    sizes = " x ".join(map(str, values.shape))
    if values.ndim != 3 or min(values.shape) < 5:
        raise InputError(f"A volume of {sizes} voxels has no place for an atom: give at least 5 along each axis.")
    if not np.isfinite(values).all():
        raise InputError("The volume holds values that are no finite numbers: give one without, or crop it.")
    if mask is not None and mask.shape != values.shape:
        theirs = " x ".join(map(str, mask.shape))
        raise InputError(f"The mask has {theirs} voxels, the volume {sizes}: give a mask of the same size.")


def _allowed(
    volume: Volume, index: NDArray[np.int64], settings: Tracing, mask: NDArray[np.bool_] | None
) -> NDArray[np.bool_]:
    """Which voxels are where atoms may be."""
    allowed = np.ones(len(index), np.bool_)
    if mask is not None:
        allowed &= mask[index[:, 0], index[:, 1], index[:, 2]]
    if settings.within_A is not None:
        places = volume.places_A(index.astype(np.float64))
        low, high = np.array(settings.within_A[::2]), np.array(settings.within_A[1::2])
        allowed &= ((places >= low) & (places <= high)).all(1)
    return allowed


class _Fits:
    """The peaks on their way, in voxels; ``peaks`` has the parameters of ``windows``."""

    def __init__(
        self,
        values: NDArray[np.float32],
        lengths: _Lengths,
        settings: Tracing,
        index: NDArray[np.int64],
        strength: Floats,
        background: float,
    ) -> None:
        self.values, self.lengths, self.settings = values, lengths, settings
        self.index, self.strength = index, strength
        self.offsets = pk.ball(lengths.fit)
        n = len(index)
        self.peaks = np.empty((n, 8))
        self.peaks[:, B] = background
        self.peaks[:, H] = np.maximum(values[index[:, 0], index[:, 1], index[:, 2]] - background, 1e-3 * strength)
        self.peaks[:, Z:W] = index
        self.peaks[:, W:] = lengths.width
        self.residual = np.full(n, np.nan)
        self.flag = np.zeros(n, np.int64)
        self.total, self.whole = np.zeros(n), np.zeros(n)
        self.noise = 0.0
        edge = 1 if settings.fit == "none" else int(np.abs(self.offsets).max())
        inner = ((index >= edge) & (index < np.array(values.shape) - edge)).all(1)
        self.flag[~inner] = Flag.AT_EDGE

    @property
    def atoms(self) -> NDArray[np.int64]:
        """Indices of the peaks that are still atoms."""
        return np.flatnonzero(self.flag == Flag.OK)

    def run(self, threshold: float, progress: Progress) -> None:
        """Fit, choose, fit again without neighbours, integrate."""
        rounds = self.settings.rounds
        atoms = self.atoms
        axes = 3 if self.settings.fit == "ellipsoid" else 1
        inner = self.index[atoms][self._fits_in(self.index[atoms])][:_SAMPLE]
        if len(inner):
            self.peaks[:, W:] = common_width(self.values, inner, self.offsets, axes, self.lengths.width)
        self._fit(atoms, NOBODY, None)
        self._keep_apart()
        progress(0.6)
        for i in range(1, rounds):
            atoms = self.atoms
            if len(atoms) == 0:
                break
            near = self._neighbours(atoms, self.lengths.fit)
            if self.settings.fit in ("none", "polynomial"):
                self._measure(atoms, near, i)
            self._fit(atoms, near, self.usual_width())
            progress(0.6 + 0.3 * i / rounds)
        self._keep_apart()
        everyone, atoms = np.arange(len(self.flag)), self.atoms
        self._integrate(everyone[self.flag != Flag.OK], NOBODY)
        self._integrate(atoms, self._neighbours(atoms) if rounds > 1 else NOBODY)
        weak = self.whole[atoms] < _WEAK * threshold * pk.typical_strength(self.whole[atoms])
        self.flag[atoms[weak | (self.whole[atoms] <= 0)]] = Flag.TOO_WEAK

    def usual_width(self) -> Floats:
        """Median widths (3,) of the atoms: those of a single one follow the noise."""
        atoms = self.atoms
        return np.asarray(np.median(self.peaks[atoms if len(atoms) else slice(None), W:], axis=0), np.float64)

    def _neighbours(self, atoms: NDArray[np.int64], window: float | None = None) -> Neighbours:
        if len(atoms) < 2:
            return NOBODY
        if window is None:
            window = self.lengths.integral + self.lengths.rim
            window *= math.sqrt(3.0) if self.settings.integral == "box" else 1.0
        peaks = self.peaks[atoms]
        return neighbours_of(peaks[:, Z:W], window, float(np.quantile(peaks[:, W:], 0.95)))

    def _measure(self, atoms: NDArray[np.int64], near: Neighbours, i: int) -> None:
        """One width for all and a height for each, where a fit tells none of them."""
        some = np.arange(len(atoms))[:: max(1, len(atoms) // _SAMPLE)]
        some = some[self._fits_in(self.peaks[atoms[some], Z:W])]
        found, _, status = fit_gaussians(self.values, self.peaks[atoms], self.offsets, 1, near, only=some)
        good = status == FITTED
        if good.any():
            self.peaks[:, W:] = np.median(found[good, W])
        self._integrate(atoms, self._neighbours(atoms) if i > 1 else NOBODY)
        self.peaks[atoms, H] = np.maximum(self.whole[atoms], 0.0) / (np.pi**1.5 * self.peaks[atoms, W:].prod(1))

    def _fits_in(self, centres: NDArray[Any]) -> NDArray[np.bool_]:
        edge = np.abs(self.offsets).max(0)
        nearest = np.rint(centres)
        inside: NDArray[np.bool_] = ((nearest >= edge) & (nearest < np.array(self.values.shape) - edge)).all(1)
        return inside

    def _fit(self, atoms: NDArray[np.int64], neighbours: Neighbours, usual: Floats | None) -> None:
        """Fit some peaks; those that come to nothing stay where they were and are flagged."""
        if self.settings.fit == "none" or len(atoms) == 0:
            return
        before = self.peaks[atoms]
        if self.settings.fit == "polynomial":
            after = before.copy()
            place, height, residual, status = fit_polynomials(
                self.values, before[:, Z:W], self.offsets, self.settings.degree, before, neighbours
            )
            after[:, Z:W] = place
            if usual is None:
                after[:, H] = np.maximum(height - before[:, B], 1e-3 * self.strength[atoms])
        else:
            axes = 3 if self.settings.fit == "ellipsoid" else 1
            # at first all have the same width: one that is free follows the neighbours and the noise
            pull = 1e3 * float(before[:, H].max()) if usual is None else self.noise / WIDTH_SCATTER
            after, residual, status = fit_gaussians(
                self.values, before, self.offsets, axes, neighbours, before[0, W:] if usual is None else usual, pull
            )
            if usual is not None:
                unlike = after[:, W:] / usual
                status[((unlike < 1 / _UNLIKE) | (unlike > _UNLIKE)).any(1)] = NO_MAXIMUM
        far = np.linalg.norm(after[:, Z:W] - self.index[atoms], axis=1) > self.lengths.move
        out = ~self._fits_in(after[:, Z:W])
        good = (status == FITTED) & ~far & ~out
        self.peaks[atoms[good]] = after[good]
        self.residual[atoms[good]] = residual[good]
        self.flag[atoms[status != FITTED]] = Flag.NOT_A_MAXIMUM
        self.flag[atoms[(status == FITTED) & far]] = Flag.MOVED
        self.flag[atoms[(status == FITTED) & ~far & out]] = Flag.AT_EDGE
        if good.any():
            self.noise = float(np.median(residual[good]))

    def _keep_apart(self) -> None:
        atoms = self.atoms
        free = pk.apart(self.peaks[atoms, Z:W], self.strength[atoms], self.lengths.distance)
        self.flag[atoms[~free]] = Flag.TOO_CLOSE

    def _integrate(self, atoms: NDArray[np.int64], neighbours: Neighbours) -> None:
        if len(atoms) == 0:
            return
        s, peaks = self.settings, self.peaks[atoms]
        total, share, _ = integrals(
            self.values,
            peaks,
            self.usual_width(),
            self.lengths.integral,
            self.lengths.rim,
            s.integral == "box",
            s.background == "local",
            neighbours,
        )
        self.total[atoms] = total
        self.whole[atoms] = total / np.maximum(share, 1e-3)

    def result(self, volume: Volume) -> Traced:
        """In Å and the images' unit; atoms first."""
        order = np.lexsort((-self.whole, self.flag != Flag.OK))
        peaks, voxel = self.peaks[order], volume.voxel_A
        width = voxel * np.cbrt(peaks[:, W:].prod(1))
        orbitals = Orbitals.create(
            volume.places_A(peaks[:, Z:W]),
            self.whole[order] * voxel**3 / (np.pi * width**2),
            width,
        )
        residual = self.residual[order] / peaks[:, H]
        return Traced(orbitals, self.flag[order], self.total[order] * voxel**3, residual)
