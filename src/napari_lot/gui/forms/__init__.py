"""Forms made from the settings, and the words on them."""
