"""Methods that work on Fourier slices: EST and GENFIRE."""
