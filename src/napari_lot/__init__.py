"""Local-orbital tomography: from a tilt series of HAADF-STEM images to the 3D coordinates of every atom."""

__version__ = "0.1.0"
