"""The doubt queue behind its panel: which atom is looked at, what is decided, and what is said of it."""
