"""What was measured: tilt series, readers, angles, preparation."""

from napari_lot.series.tilt_series import TiltSeries

__all__ = ["TiltSeries"]
