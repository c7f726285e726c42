"""What was measured: tilt series, readers, angles, preparation."""

from napari_lot.series.read import read_series
from napari_lot.series.tilt_series import TiltSeries

__all__ = ["TiltSeries", "read_series"]
