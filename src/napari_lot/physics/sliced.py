"""The paper's image model in slices (Eq. 4), and its limit of continuous depth: plain references, double precision.

For tests and benchmarks. Orbitals are placed analytically in Fourier space, so nothing is sampled or cut off; autograd
differentiates everything. Memory grows with atoms times canvas edge, not with the canvas.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from napari_lot.physics import optics
from napari_lot.physics.probe import DepthBasis
from napari_lot.settings import Microscope


class SlicedModel:
    """Image of Gaussian orbitals, the depth of each rounded to the middle of its slice (Eq. 4).

    Parameters
    ----------
    microscope : Microscope or None
        None is direct projection.
    depth_range_A : (lo, hi)
        The slices start at lo; atoms outside are counted to the first or last slice.
    thickness_A : float
        Slice thickness in Å.
    shape : (V, U)
    pixel_size_A : float
    center_px : (row, column) or None
        Rotation centre, (n - 1) / 2 by default.

    Raises
    ------
    InputError
        Energy or semi-angle is missing.
    """

    def __init__(
        self,
        microscope: Microscope | None,
        depth_range_A: tuple[float, float],
        thickness_A: float,
        shape: tuple[int, int],
        pixel_size_A: float,
        center_px: tuple[float, float] | None = None,
    ) -> None:
        if not (thickness_A > 0 and depth_range_A[1] > depth_range_A[0]):
            raise ValueError(f"slices of {thickness_A} Å over {depth_range_A} Å: both must be positive")
        self.shape, self.pixel_size_A, self.thickness_A = shape, float(pixel_size_A), float(thickness_A)
        self.center_px = center_px
        self.lo_A = float(depth_range_A[0])
        count = max(1, int(np.ceil((depth_range_A[1] - depth_range_A[0]) / thickness_A - 1e-9)))
        #: midpoint depth of each slice in Å, (S,) float64
        self.depth_A: NDArray[np.float64] = np.asarray(self.lo_A + thickness_A * (np.arange(count) + 0.5), np.float64)
        if microscope is None:
            kernels = np.ones((count, shape[0], shape[1] // 2 + 1), np.complex128)
        else:
            kernels = optics.probe_transfer(microscope, self.depth_A, shape, pixel_size_A)
        self.transfer = torch.from_numpy(kernels)

    def image(self, uvw_A: torch.Tensor, height: torch.Tensor, width_A: torch.Tensor) -> torch.Tensor:
        """Calculated image (V, U) float64 of orbitals at (N, 3) u, v, w in Å, heights (N,) and widths B (N,) in Å."""
        place = _placing(uvw_A, height, width_A, self.shape, self.pixel_size_A, self.center_px)
        index = ((uvw_A[:, 2].detach() - self.lo_A) / self.thickness_A).floor().long().clamp(0, len(self.depth_A) - 1)
        spectrum = torch.zeros(self.shape[0], self.shape[1] // 2 + 1, dtype=torch.complex128)
        for slice_index in np.unique(index.numpy()).tolist():
            chosen = index == slice_index
            spectrum = spectrum + self.transfer[slice_index] * place(chosen, None)
        return torch.fft.irfft2(spectrum, s=self.shape)


def continuous_image(
    basis: DepthBasis,
    uvw_A: torch.Tensor,
    height: torch.Tensor,
    width_A: torch.Tensor,
    shape: tuple[int, int],
    pixel_size_A: float,
    center_px: tuple[float, float] | None = None,
) -> torch.Tensor:
    """Calculated image (V, U) float64 with every orbital at its own depth, through the depth basis.

    Arguments as in `SlicedModel.image`. Differentiable, depth included.
    """
    place = _placing(uvw_A, height, width_A, shape, pixel_size_A, center_px)
    place_in_step = (uvw_A[:, 2] - basis.depth_A[0]) / basis.step_A
    piece = place_in_step.detach().floor().long().clamp(0, len(basis.depth_A) - 2)
    t = (place_in_step - piece)[:, None]
    p = torch.from_numpy(basis.polynomial.astype(np.float64))[piece]
    coefficients = p[..., 0] + t * (p[..., 1] + t * (p[..., 2] + t * p[..., 3]))
    everything = torch.ones(len(uvw_A), dtype=torch.bool)
    spectrum = torch.zeros(shape[0], shape[1] // 2 + 1, dtype=torch.complex128)
    for channel, transfer in enumerate(torch.from_numpy(basis.transfer.astype(np.complex128))):
        spectrum = spectrum + transfer * place(everything, coefficients[:, channel])
    return torch.fft.irfft2(spectrum, s=shape)


def _placing(
    uvw_A: torch.Tensor,
    height: torch.Tensor,
    width_A: torch.Tensor,
    shape: tuple[int, int],
    pixel_size_A: float,
    center_px: tuple[float, float] | None,
) -> Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]:
    """A function (chosen atoms, weights or None) -> spectrum (V, U // 2 + 1) of the orbitals' projection.

    The transform of H exp(-r^2/B^2) is pi H B^2 exp(-pi^2 B^2 q^2), a product over u and v: one matrix product for all.
    """
    row, column = center_px if center_px is not None else ((shape[0] - 1) / 2, (shape[1] - 1) / 2)
    qv = torch.fft.fftfreq(shape[0], pixel_size_A, dtype=torch.float64)
    qu = torch.fft.rfftfreq(shape[1], pixel_size_A, dtype=torch.float64)
    b2 = (width_A**2)[:, None]

    def along(q: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        return torch.polar(torch.exp(-(torch.pi**2) * b2 * q**2), -2 * torch.pi * q * position[:, None])

    in_u = along(qu, uvw_A[:, 0] + column * pixel_size_A)
    in_v = along(qv, uvw_A[:, 1] + row * pixel_size_A)
    strength = torch.pi * height * width_A**2 / pixel_size_A**2

    def place(chosen: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
        amount = strength if weights is None else strength * weights
        return in_v[chosen].T @ (in_u[chosen] * amount[chosen, None])

    return place
