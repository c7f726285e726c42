"""What leads from orbitals to images and back, on whatever device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from napari_lot.lot.render.gradients import Parts, Wanted
from napari_lot.lot.render.scene import Floats, Images, Measured, Scene

if TYPE_CHECKING:
    from napari_lot.lot.image_model import ImageModel


class Road(Protocol):
    """The way from orbitals to images and back, somewhere."""

    def images(self, model: ImageModel, scene: Scene) -> Tensor:
        """Images (n, V, U) of all tilts of a scene."""

    def back(self, model: ImageModel, scene: Scene, gradient: Tensor, wanted: Wanted) -> Parts:
        """Gradients from those by the images (n, V, U)."""

    def fitted(
        self, model: ImageModel, scene: Scene, measured: Measured, scale: Floats, background: Floats, wanted: Wanted
    ) -> tuple[Floats, Images, Parts]:
        """Loss and its derivatives by scale and background (n, 3), calculated images (n, V, U), and gradients."""
