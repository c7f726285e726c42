"""Whether the package can be released: built, and used where nothing else is."""
