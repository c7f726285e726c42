"""SIRT: all tilts at once, misfits shared out by row and column sums."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from napari_lot.settings.voxel import Sirt
from napari_lot.voxel.method import Iterate, Poll, Tilts
from napari_lot.voxel.projection.device import projector_for
from napari_lot.voxel.projection.projector import Images
from napari_lot.voxel.realspace.misfit import r_factors, residual, said
from napari_lot.voxel.volume import Volume

LEAST_SUM = 0.05
"""Rays and voxels that meet less than this part of what the others do are weighed as if they met as much: what little
they see would otherwise be scaled up with its noise. Smaller weights only slow them down."""


def inverse_sums(sums: Images) -> Images:
    """1 / sums, held at the faces of the volume; 0 where nothing is met."""
    least = LEAST_SUM * float(sums.max(initial=0.0))
    if least == 0.0:
        return np.zeros_like(sums)
    return np.where(sums > 0, 1.0 / np.maximum(sums, least), 0.0).astype(np.float32)


def sirt(tilts: Tilts, shape: tuple[int, int, int], settings: Sirt, poll: Poll) -> Iterator[Iterate]:
    """Simultaneous iterative reconstruction technique.

        x <- x + relaxation C P^T R (b - P x),

    R and C the inverse row and column sums of P (P. Gilbert, J. Theor. Biol. 36, 105 (1972); in this form J. Gregor &
    T. Benson, IEEE Trans. Med. Imaging 27, 918 (2008)). For relaxations below 2 it converges to a weighted
    least-squares solution.

    Parameters
    ----------
    tilts : Tilts
    shape : (Z, Y, X)
    settings : Sirt
    poll : callable
        Called several times a second; may raise.

    Yields
    ------
    Iterate
        After every iteration, with the R-factors of its volume.
    """
    projector = projector_for(tilts, shape, settings)
    try:
        x = projector.zeros()
        x += 1
        rows = inverse_sums(projector.project(x, poll=poll))
        ones = np.ones_like(tilts.images) if tilts.usable is None else tilts.usable.astype(np.float32)
        columns = settings.relaxation * inverse_sums(projector.adjoint(ones, poll=poll))
        x[:] = 0
        left = residual(tilts, np.zeros_like(tilts.images))
        for iteration in range(1, settings.iterations + 1):
            x += columns * projector.adjoint(rows * left, poll=poll)
            if settings.positivity:
                np.maximum(x, 0, out=x)
            left = residual(tilts, projector.project(x, poll=poll))
            r = r_factors(tilts, left)
            volume = Volume.centred(x.copy("C"), tilts.pixel_size_A)
            yield Iterate(volume, iteration, settings.iterations, r, message=said(r))
    finally:
        projector.close()
