"""The studies of the paper: five-fold twinned platinum (M0) and amorphous silicon of several sizes (M1-M6)."""
