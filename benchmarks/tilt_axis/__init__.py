"""Whether the tilt axis is as certain as it says."""
