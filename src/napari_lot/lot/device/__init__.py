"""The road from orbitals to images and back on a graphics card, or on any other device that PyTorch knows.

``choose`` says which devices there are; ``road`` is what ``lot.render`` calls in place of the compiled road.
"""
