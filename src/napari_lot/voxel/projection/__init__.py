"""Projection along any direction and its adjoint, on the processor and on a card."""
