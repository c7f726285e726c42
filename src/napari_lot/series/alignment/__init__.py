"""Where the specimen lies in each tilt, and along which direction it was tilted, from the images alone."""

from napari_lot.series.alignment.agreement import Agreement
from napari_lot.series.alignment.center_of_mass import align_by_center_of_mass
from napari_lot.series.alignment.correlation import align_by_correlation
from napari_lot.series.alignment.drift import Drift
from napari_lot.series.alignment.tilt_axis import TiltAxis, find_tilt_axis

__all__ = ["Agreement", "Drift", "TiltAxis", "align_by_center_of_mass", "align_by_correlation", "find_tilt_axis"]
