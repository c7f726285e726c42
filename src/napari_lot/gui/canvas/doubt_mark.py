"""A ring around the atom that is looked at, in 3-D and on the tilts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from napari.layers import Points
from numpy.typing import NDArray

from napari_lot.gui.canvas.points import AXES_3D, UNITS_3D

DOUBT = "Doubtful atom"
COLOR = "#56b4e9"


class DoubtMark:
    """A layer of one point, which comes with ``show`` and goes with ``remove``, and a view with it in the middle.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    place : callable
        Where the present view draws a point x, y, z: z, y, x.
    """

    def __init__(self, viewer: Any, place: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> None:
        self.viewer, self.place = viewer, place
        self.layer: Points | None = None
        self.position: NDArray[np.float64] | None = None
        # where the view was before the atom was brought into its middle, and where it has been since
        self._before: tuple[float, ...] | None = None
        self._since: tuple[float, ...] | None = None

    @property
    def is_there(self) -> bool:
        """Whether the layer is on screen."""
        return self.layer is not None and self.layer in self.viewer.layers

    def show(self, position: NDArray[np.float64], size_A: float, visible: bool) -> bool:
        """Mark an atom at x, y, z; True where the layer had to be added."""
        self.position = np.array(position, np.float64)
        if self.is_there:
            self.draw()
            return False
        self.layer = Points(
            np.array(self.place(self.position)[None]),  # the layer keeps the array it is given, and draw writes into it
            name=DOUBT,
            size=size_A,
            face_color="transparent",
            border_color=COLOR,
            border_width=0.12,
            blending="translucent_no_depth",
            projection_mode="all",
            units=UNITS_3D,
            axis_labels=AXES_3D,
            visible=visible,
            metadata={"napari_lot_role": "doubt"},
        )
        self.layer.editable = False
        self.viewer.add_layer(self.layer)
        return True

    def draw(self) -> None:
        """Move the ring to where the present view has the atom."""
        if self.position is not None and self.layer is not None and self.is_there:
            self.layer.data[:] = self.place(self.position)
            self.layer.refresh()

    def remove(self) -> None:
        """Take the ring away."""
        if self.is_there:
            self.viewer.layers.remove(self.layer)
        self.layer = self.position = None

    def center(self) -> None:
        """Bring the atom into the middle of the view."""
        if self.position is not None:
            camera = self.viewer.scene.camera
            if tuple(camera.center) != self._since:  # framed anew, or moved by hand
                self._before = tuple(camera.center)
            camera.center = tuple(float(x) for x in self.place(self.position))
            self._since = tuple(camera.center)

    def put_back_view(self) -> None:
        """The view as it was, unless somebody has moved it since."""
        camera = self.viewer.scene.camera
        if self._before is not None and tuple(camera.center) == self._since:
            camera.center = self._before
        self._before = self._since = None
