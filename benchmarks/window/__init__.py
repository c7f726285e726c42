"""How fast the window answers, and how much memory it takes."""
