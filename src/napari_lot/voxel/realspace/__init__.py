"""Methods that work on the voxels: WBP, ART, SART, SIRT, RESIRE."""
