"""From orbitals to images and back."""
