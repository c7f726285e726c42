"""What single precision and the number of threads do to the results."""
