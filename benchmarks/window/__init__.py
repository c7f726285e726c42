"""How fast the window answers."""
