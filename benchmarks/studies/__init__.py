"""Studies of what goes beyond finding atoms: error bars, misaligned series, alloys, an adaptive probe."""
