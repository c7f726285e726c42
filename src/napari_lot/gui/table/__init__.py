"""The table of atoms: a model over arrays, its view, and the link with the atoms' layer."""
