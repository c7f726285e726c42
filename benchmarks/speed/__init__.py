"""How fast everything is: one pass, whole runs, the window, the start; beside what else could do the same."""
