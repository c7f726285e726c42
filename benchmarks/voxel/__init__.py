"""Local-orbital tomography against the voxel methods and tracing, on the same series."""
