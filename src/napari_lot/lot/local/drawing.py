"""Images of a few atoms in windows around a place, one window on every tilt."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_lot.lot.image_model import ImageModel
from napari_lot.lot.local.source import Source
from napari_lot.lot.local.windows import Ints, View, cut
from napari_lot.lot.problem import State

Floats = NDArray[np.float64]


class Drawing:
    """The image model of a fit for windows of ``2 half + 1`` image pixels.

    Parameters
    ----------
    source : Source
    view : View
    half : int
        Image pixels.
    threads : int or None
    """

    def __init__(self, source: Source, view: View, half: int, threads: int | None) -> None:
        self.source, self.view, self.half, self.size = source, view, half, 2 * half + 1
        self.model: ImageModel = source.model((self.size, self.size), (float(half), float(half)), threads)

    def close(self) -> None:
        """End the worker threads."""
        self.model.close()

    def origins(self, center: Floats) -> Ints:
        """First row and column (T, 2) of the windows around a point (3,)."""
        return self.view.origins(center, self.half)

    def images(self, state: State, origins: Ints, tilts: Ints, leaf: dict[str, torch.Tensor] | None = None) -> Any:
        """Windows (n, P, P) of a few atoms, scale included, background not.

        ``leaf`` holds positions or heights that take the place of those of the state, for derivatives.
        """
        leaf = leaf or {}
        center = np.array(self.view.center_px)
        shifts = (center - origins - self.half)[tilts, ::-1] + self.view.shifts_px[tilts]
        images = self.model.images(
            tilts,
            leaf.get("positions", torch.from_numpy(state.positions)),
            leaf.get("height", torch.from_numpy(state.height)),
            torch.from_numpy(state.widths),
            torch.from_numpy(np.ascontiguousarray(shifts)),
            focus_A=torch.from_numpy(state.focus[tilts]) if state.focus.any() else None,
            shapes=self.source.shapes(self.model, state),
        )
        return images * torch.from_numpy(state.scale[tilts]).float()[:, None, None]

    def weights(self, origins: Ints) -> NDArray[np.float32]:
        """Weights of the pixels of the windows (T, P, P), 0 outside the images."""
        given = np.ones((1, 1, 1), np.float32) if self.source.weights is None else self.source.weights
        return cut(np.broadcast_to(given, self.source.observed.shape), origins, self.size, 0.0)
