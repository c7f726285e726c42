"""ART: ray after ray, by Kaczmarz's method."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from napari_lot.settings.voxel import Art
from napari_lot.voxel.method import Iterate, Poll, Tilts
from napari_lot.voxel.projection.projector import Projector
from napari_lot.voxel.realspace.misfit import r_factors, residual, said
from napari_lot.voxel.realspace.order import spread_order
from napari_lot.voxel.volume import Volume


def art(tilts: Tilts, shape: tuple[int, int, int], settings: Art, poll: Poll) -> Iterator[Iterate]:
    """Algebraic reconstruction technique.

        x <- x + relaxation (b_i - <a_i, x>) a_i / <a_i, a_i>    for one ray i after the other

    (S. Kaczmarz, Bull. Acad. Polon. Sci. Lett. A 35, 355 (1937); R. Gordon, R. Bender & G. Herman, J. Theor. Biol. 29,
    471 (1970)), tilts in an order in which neighbours differ much. Positivity is enforced after every tilt. Each ray
    builds on the one before: it runs on one thread of the processor.

    Parameters
    ----------
    tilts : Tilts
    shape : (Z, Y, X)
    settings : Art
    poll : callable
        Called several times a second; may raise.

    Yields
    ------
    Iterate
        After every pass, with the R-factors of its volume.
    """
    projector = Projector.of(tilts, shape, settings.threads)
    try:
        x = projector.zeros()
        order = spread_order(tilts.rotations[:, 2]).tolist()
        for iteration in range(1, settings.iterations + 1):
            for j in order:
                usable = None if tilts.usable is None else tilts.usable[j]
                projector.kaczmarz(x, j, tilts.images[j], usable, settings.relaxation, poll)
                if settings.positivity:
                    np.maximum(x, 0, out=x)
            r = r_factors(tilts, residual(tilts, projector.project(x, poll=poll)))
            volume = Volume.centred(x.copy("C"), tilts.pixel_size_A)
            yield Iterate(volume, iteration, settings.iterations, r, message=said(r))
    finally:
        projector.close()
