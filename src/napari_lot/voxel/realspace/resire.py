"""RESIRE: gradient descent in real space on the misfit of all tilts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from napari_lot.settings.voxel import Resire
from napari_lot.voxel.method import Iterate, Poll, Tilts
from napari_lot.voxel.projection.device import projector_for
from napari_lot.voxel.projection.projector import Images
from napari_lot.voxel.realspace.misfit import r_factors, residual, said
from napari_lot.voxel.volume import Volume


def resire(tilts: Tilts, shape: tuple[int, int, int], settings: Resire, poll: Poll) -> Iterator[Iterate]:
    """Real space iterative reconstruction.

        x <- x + step / (n N) P^T (b - P x),  then x >= 0,

    n the number of tilts and N the thickness in voxels (Y. Yang et al., Nature 592, 60 (2021), Supplement; M. Pham et
    al., Sci. Rep. 13, 5624 (2023)). For n N stands the sum over tilts of the longest path of a ray, which is that for
    a cube that is looked at along its sides: it bounds the curvature of the misfit for other boxes and slanting rays,
    too. A box larger than the volume (``oversampling``) is calculated and cut at the end.

    Parameters
    ----------
    tilts : Tilts
    shape : (Z, Y, X)
    settings : Resire
    poll : callable
        Called several times a second; may raise.

    Yields
    ------
    Iterate
        After every step, with the R-factors of all that was calculated, the margin included.
    """
    box = oversampled(shape, settings.oversampling)
    projector = projector_for(tilts, box, settings)
    try:
        x = projector.zeros()
        x += 1
        paths_A = projector.project(x, poll=poll).max((1, 2))
        x[:] = 0
        paths = float(paths_A.sum(dtype=np.float64)) * projector.voxel_A
        step = np.float32(settings.step / paths if paths > 0 else 0.0)  # 0: no ray meets the box
        left = residual(tilts, np.zeros_like(tilts.images))
        for iteration in range(1, settings.iterations + 1):
            gradient = projector.adjoint(left, poll=poll)
            gradient *= step
            x += gradient
            if settings.positivity:
                np.maximum(x, 0, out=x)
            left = residual(tilts, projector.project(x, poll=poll))
            r = r_factors(tilts, left)
            volume = Volume.centred(cut(x, shape), tilts.pixel_size_A)
            yield Iterate(volume, iteration, settings.iterations, r, message=said(r))
    finally:
        projector.close()


def oversampled(shape: tuple[int, int, int], factor: float) -> tuple[int, int, int]:
    """A box ``factor`` times as large, whose middle is that of ``shape``: the margins on both sides are alike."""
    z, y, x = (n + 2 * round(0.5 * (factor - 1.0) * n) for n in shape)
    return z, y, x


def cut(values: Images, shape: tuple[int, int, int]) -> Images:
    """The middle of a larger volume, a copy."""
    edges = [(have - want) // 2 for have, want in zip(values.shape, shape, strict=True)]
    return values[tuple(slice(edge, edge + want) for edge, want in zip(edges, shape, strict=True))].copy("C")
