"""SART: tilt after tilt, misfits shared out by row and column sums."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from napari_lot.settings.voxel import Sart
from napari_lot.voxel.method import Iterate, Poll, Tilts
from napari_lot.voxel.projection.device import projector_for
from napari_lot.voxel.realspace.misfit import r_factors, residual, said
from napari_lot.voxel.realspace.order import spread_order
from napari_lot.voxel.realspace.sirt import LEAST_SUM, inverse_sums
from napari_lot.voxel.volume import Volume


def sart(tilts: Tilts, shape: tuple[int, int, int], settings: Sart, poll: Poll) -> Iterator[Iterate]:
    """Simultaneous algebraic reconstruction technique.

        x <- x + relaxation C_j P_j^T R_j (b_j - P_j x)    for one tilt j after the other,

    R_j and C_j the inverse row and column sums of P_j (A. Andersen & A. Kak, Ultrasonic Imaging 6, 81 (1984)), tilts in
    an order in which neighbours differ much.

    Parameters
    ----------
    tilts : Tilts
    shape : (Z, Y, X)
    settings : Sart
    poll : callable
        Called several times a second; may raise.

    Yields
    ------
    Iterate
        After every pass, with the R-factors of its volume.
    """
    projector = projector_for(tilts, shape, settings)
    try:
        x = projector.zeros()
        x += 1
        rows = inverse_sums(projector.project(x, poll=poll))
        x[:] = 0
        order = spread_order(tilts.rotations[:, 2]).tolist()
        for iteration in range(1, settings.iterations + 1):
            for j in order:
                use = 1.0 if tilts.usable is None else tilts.usable[j].astype(np.float32)
                left = use * (tilts.images[j] - projector.project(x, [j], poll)[0])
                # the column sums of all tilts would take the memory of as many volumes
                seen = projector.adjoint(use * np.ones_like(left)[None], [j], poll)
                back = projector.adjoint((rows[j] * left)[None], [j], poll)
                least = LEAST_SUM * float(seen.max())
                if least > 0:
                    projector.add_share(x, back, seen, settings.relaxation, settings.positivity, least)
            r = r_factors(tilts, residual(tilts, projector.project(x, poll=poll)))
            volume = Volume.centred(x.copy("C"), tilts.pixel_size_A)
            yield Iterate(volume, iteration, settings.iterations, r, message=said(r))
    finally:
        projector.close()
