"""The field of view: cropped, or with fewer and larger pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_lot.errors import InputError
from napari_lot.progress import Progress, nothing
from napari_lot.series.tilt_series import TiltSeries

SMALLEST_PX = 8
LARGEST_BIN = 16


@dataclass(frozen=True)
class Crop:
    """Rows ``rows[0]`` to ``rows[1] - 1`` and columns ``columns[0]`` to ``columns[1] - 1`` are kept.

    The rotation centre stays where it is in the specimen, and so do the coordinates of atoms.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]

    nothing_to_do = "Nothing to crop: these are all rows and columns that there are. Choose fewer of them."

    def apply(self, series: TiltSeries, progress: Progress = nothing) -> TiltSeries:
        """The cropped series; InputError where the range is empty or leaves the images."""
        assert series.center_px is not None
        shape = series.images.shape
        for (low, high), size, what in zip((self.rows, self.columns), shape[1:], ("rows", "columns"), strict=True):
            if not 0 <= low < high <= size:
                raise InputError(
                    f"{series.source}: {what} {low} to {high - 1} do not lie within the {size} {what} of the images: "
                    f"give a first and a last one from 0 to {size - 1}."
                )
            if high - low < SMALLEST_PX:
                raise InputError(f"{series.source}: {high - low} {what} are too few: keep at least {SMALLEST_PX}.")
        kept = np.s_[:, self.rows[0] : self.rows[1], self.columns[0] : self.columns[1]]
        row, column = series.center_px
        return series.after(
            f"Cropped to rows {self.rows[0]} to {self.rows[1] - 1} and columns {self.columns[0]} to "
            f"{self.columns[1] - 1} of {shape[1]} × {shape[2]} pixels.",
            images=series.images[kept].copy(),
            mask=None if series.mask is None else series.mask[kept],
            center_px=(row - self.rows[0], column - self.columns[0]),
            center_known=series.center_known,
        )


@dataclass(frozen=True)
class Bin:
    """``factor`` × ``factor`` pixels become one: counts are added, intensities averaged.

    A pixel is used where all that went into it may be. Rows and columns that are left over at the lower and right edge
    go.
    """

    factor: int

    nothing_to_do = "Nothing to bin: each pixel stays as it is."

    def apply(self, series: TiltSeries, progress: Progress = nothing) -> TiltSeries:
        """The binned series; InputError where too few pixels would be left."""
        assert series.center_px is not None
        n = self.factor
        t, v, u = series.images.shape
        if int(n) != n or not 2 <= n <= LARGEST_BIN:
            raise InputError(f"{series.source}: pixels are binned by 2 to {LARGEST_BIN}, not by {n}.")
        rows, columns = v // n, u // n
        if min(rows, columns) < SMALLEST_PX:
            raise InputError(f"{series.source}: binned by {n}, {v} × {u} pixels become too few: bin less.")

        def blocks(stack: np.ndarray) -> np.ndarray:
            return stack[:, : rows * n, : columns * n].reshape(t, rows, n, columns, n)

        images = blocks(series.images)
        binned = images.sum((2, 4), dtype=np.float64) if series.counts else images.mean((2, 4), dtype=np.float64)
        row, column = ((c - (n - 1) / 2) / n for c in series.center_px)
        cut = [f"{v - rows * n} rows below"] if v % n else []
        cut += [f"{u - columns * n} columns at the right"] if u % n else []
        left = f", without {' and '.join(cut)} that were left over" if cut else ""
        how = "counts added" if series.counts else "intensities averaged; a detector gain becomes 1/" + str(n * n)
        return series.after(
            f"Binned by {n}: {rows} × {columns} pixels of {series.pixel_size_A * n:.6g} Å, {how}{left}.",
            images=binned.astype(np.float32),
            mask=None if series.mask is None else blocks(series.mask).all((2, 4)),
            pixel_size_A=series.pixel_size_A * n,
            center_px=(row, column),
            center_known=series.center_known,
        )
