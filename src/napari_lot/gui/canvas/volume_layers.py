"""A volume on the canvas, which may go on changing, and the atoms that were traced in it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from napari.layers import Image, Layer, Points
from numpy.typing import NDArray

from napari_lot.atoms import Orbitals
from napari_lot.gui.canvas.color_bar import show_color_bar
from napari_lot.gui.canvas.colors import HEIGHT, coloring
from napari_lot.gui.canvas.points import AXES_3D, UNITS_3D
from napari_lot.gui.canvas.stacks import ROLE, round_up
from napari_lot.gui.canvas.views import TRACED, VOLUME
from napari_lot.voxel.layer import KEY, brightness, volume_facts, volume_place
from napari_lot.voxel.volume import Volume

TOO_DARK, TOO_BRIGHT = 0.55, 1.1
"""Between these parts of the brightness that is white the contrast stays: one that followed all would flicker."""
ATTENUATION = 0.03
TRACED_SIZE = 0.3
"""Diameter of a traced atom in expected nearest-neighbour distances: what it was traced from is seen around it."""


class VolumeLayers:
    """The layers *Volume* and *Traced atoms*; one that somebody deleted is made anew when it is needed.

    Attributes
    ----------
    volume : Volume or None
        What is on screen; None before there is any.
    of_series : bool
        It was reconstructed from the series that is open, and goes with it; else it came from a file or a layer.
    """

    def __init__(self, viewer: Any, streaming: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        self.viewer = viewer
        self._streaming = streaming
        self.volume: Volume | None = None
        self._words = ""
        self._traced_words = ""
        self.of_series = False
        self.image: Image | None = None
        self.traced: Points | None = None
        self._limits: tuple[float, float] = (0.0, 1.0)

    @property
    def words(self) -> str:
        """What is said on the canvas: of the volume, and of the atoms that were traced in it."""
        return self._words + (f"\n{self._traced_words}" if TRACED in self.own() else "")

    def own(self) -> dict[str, Layer]:
        """The layers that are on screen, by name."""
        layers = {VOLUME: self.image, TRACED: self.traced}
        return {name: layer for name, layer in layers.items() if layer is not None and layer in self.viewer.layers}

    def remove(self) -> None:
        """There is no volume any more."""
        for layer in self.own().values():
            self.viewer.layers.remove(layer)
        self.image = self.traced = self.volume = None
        self._words, self.of_series = "", False

    def show(self, volume: Volume, words: str, visible: bool, of_series: bool) -> bool:
        """Put a volume in the place of the one before; True where a layer was added.

        Atoms that were traced in another one go.
        """
        before, self.volume = self.volume, volume
        self._words, self.of_series = words, of_series
        if volume is not before:
            self.forget_traced()
        image = self.image
        if image is None or image not in self.viewer.layers:
            return self.restore(visible)
        # a person who has set the contrast by hand keeps it
        by_hand = before is None or tuple(image.contrast_limits) != self._limits
        anew = not _alike(before, volume)
        with self._streaming():
            if volume is not before:
                image.data = volume.values
            if anew:
                image.scale, image.translate = (volume_place(volume)[name] for name in ("scale", "translate"))
            image.metadata[KEY] = volume_facts(volume)
        found = limits_of(volume.values, None if anew else self._limits)
        if found != self._limits:
            self._limits = found
            if not by_hand or anew:
                image.contrast_limits_range = image.contrast_limits = found
        return False

    def restore(self, visible: bool = False) -> bool:
        """Bring the volume back where somebody has deleted its layer; True where it was added."""
        volume = self.volume
        if volume is None or (self.image is not None and self.image in self.viewer.layers):
            return False
        self._limits = limits_of(volume.values, None)
        self.image = Image(
            volume.values,
            name=VOLUME,
            **volume_place(volume),
            units=UNITS_3D,
            axis_labels=AXES_3D,
            contrast_limits=self._limits,
            colormap="gray",
            rendering="attenuated_mip",
            attenuation=ATTENUATION,
            interpolation3d="linear",
            visible=visible,
            metadata={ROLE: VOLUME.lower(), KEY: volume_facts(volume)},
        )
        self.image.iso_threshold = 0.4 * self._limits[1]
        self.viewer.add_layer(self.image)
        return True

    # -- atoms ------------------------------------------------------------------------------------------------

    def forget_traced(self) -> None:
        """Atoms of another volume are not shown in this one."""
        if self.traced is not None and self.traced in self.viewer.layers:
            self.viewer.layers.remove(self.traced)
        self.traced = None

    def show_traced(self, atoms: Orbitals, spacing_A: float, columns: dict[str, NDArray[Any]], intensity: str) -> None:
        """Points at the atoms of the volume, coloured by height, with what is known of each as features.

        They are the person's to edit: a fit may begin with them.
        """
        self.forget_traced()
        colors = coloring(HEIGHT, atoms, intensity=intensity)
        self._traced_words = f"{len(atoms)} traced atoms\ncoloured by {colors.words}"
        features: dict[str, NDArray[Any]] = {
            "id": atoms.id,
            "element": np.array(atoms.symbols),
            "height": atoms.height,
            "width_A": atoms.width,
            **columns,
        }
        self.traced = Points(
            atoms.positions[:, ::-1].copy(),
            name=TRACED,
            size=TRACED_SIZE * spacing_A,
            face_color=colors.rgba(),
            border_width=0,
            antialiasing=0,
            shading="spherical",
            features=features,
            units=UNITS_3D,
            axis_labels=AXES_3D,
            metadata={ROLE: TRACED.lower()},
        )
        self.viewer.add_layer(self.traced)
        show_color_bar(self.traced, colors)


def limits_of(values: NDArray[np.float32], now: tuple[float, float] | None) -> tuple[float, float]:
    """Contrast limits of a volume: those of ``now`` while they still do."""
    bright = brightness(values)
    if now is not None and TOO_DARK * now[1] <= bright <= TOO_BRIGHT * now[1]:
        return now
    return 0.0, round_up(bright) if bright > 0 else 1.0


def _alike(before: Volume | None, after: Volume) -> bool:
    """Whether one lies where the other one lies."""
    return before is not None and (before.values.shape, before.voxel_A, before.origin_A) == (
        after.values.shape,
        after.voxel_A,
        after.origin_A,
    )
