"""What a road to images takes: the orbitals as each tilt sees them, and the images that they are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_lot.lot.canvas import WINDOW_EDGE

if TYPE_CHECKING:
    from napari_lot.lot.image_model import ImageModel

Floats = NDArray[np.float64]
Images = NDArray[np.float32]
Members = NDArray[np.int64] | slice
"""Which orbitals a group has; ``ALL`` where there is one, so that nothing is copied."""
ALL = slice(None)


class Seen(NamedTuple):
    """Orbitals as tensors, and where tilts show them: what gradients are asked by, and the orbitals of each filter.

    ``positions`` (N, 3), ``amplitude`` (N,), ``inv_s2`` (N,) of orbitals that are spread as Gaussians, ``matrices``
    (n, 3, 3), ``offsets`` (n, 3), ``filters`` (S, V, U // 2 + 1) and their ``members``.
    """

    positions: Tensor
    amplitude: Tensor
    inv_s2: Tensor | None
    matrices: Tensor
    offsets: Tensor
    filters: Tensor | None
    members: tuple[Members, ...]


@dataclass(frozen=True)
class Atoms:
    """Positions (N, 3), amplitudes (N,) and, of orbitals that are spread as Gaussians, 1 / width^2 and half windows."""

    positions: Floats
    amplitude: Floats
    inv_s2: Floats | None
    halves: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Scene:
    """What is seen: orbitals in groups that share a filter, the filters, and where each tilt shows them.

    ``filters`` (S, V, U // 2 + 1) float32, or None for one group of Gaussians; ``members``: which orbitals each group
    has; ``matrices`` (n, 3, 3) and ``offsets`` (n, 3) as in ``gaussian.spread``.
    """

    atoms: tuple[Atoms, ...]
    filters: NDArray[np.float32] | None
    members: tuple[Members, ...]
    matrices: Floats
    offsets: Floats

    @classmethod
    def of(cls, model: ImageModel, seen: Seen) -> Scene:
        """From tensors, as ``ImageModel`` has them."""

        def array(tensor: Tensor) -> Floats:
            return np.ascontiguousarray(tensor.detach().numpy(), dtype=np.float64)

        places, strong = array(seen.positions), array(seen.amplitude)
        wide, halves = None, None
        if seen.inv_s2 is not None:
            wide = array(seen.inv_s2)
            halves = half_windows(model, wide)
        filters, members = seen.filters, seen.members
        if filters is None:
            members = (ALL,)
        atoms = tuple(
            Atoms(places[m], strong[m], *((None, None) if wide is None or halves is None else (wide[m], halves[m])))
            for m in members
        )
        seen_as = None if filters is None else np.ascontiguousarray(filters.detach().numpy(), dtype=np.float32)
        return cls(atoms, seen_as, members, array(seen.matrices), array(seen.offsets))


def half_windows(model: ImageModel, inv_s2: Floats) -> NDArray[np.int64]:
    """Half windows (N,) in pixels, each by its own width: a wide orbital neither costs the others nor drops them."""
    width = 1.0 / np.sqrt(inv_s2)
    # ln of the filter at Nyquist, for shaped orbitals that of the whole spread Gaussian
    amplification = 0.25 * np.pi**2 * (width**2 if model.shaped else model.extra2 / model.canvas.pixel_size_A**2)
    return np.ceil(np.sqrt(amplification - np.log(WINDOW_EDGE)) * width).astype(np.int64)


@dataclass(frozen=True)
class Measured:
    """What calculated tilts are compared with.

    observed (T, V, U) and weights (the same or None), float32; tilts (n,): which of them are calculated; kind of the
    likelihood.
    """

    observed: Images
    weights: Images | None
    tilts: NDArray[np.int64]
    kind: Literal["lsq", "poisson"]

    @property
    def poisson(self) -> bool:
        """Whether the likelihood is Poisson's."""
        return self.kind == "poisson"

    def at(self, j: int) -> tuple[Images, Images, bool]:
        """Image and weights of the j-th calculated tilt, and whether the weights count."""
        observed = self.observed[self.tilts[j]]
        return (observed, observed, False) if self.weights is None else (observed, self.weights[self.tilts[j]], True)
