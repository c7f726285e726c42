"""Orbitals + probe + geometry -> calculated tilts and every gradient.

    I_j(u, v) = sum_i H_i K(u - u_ij - du_j, v - v_ij - dv_j; w_ij, B_i)

Continuous depth by the low-rank depth basis: each orbital is spread into R channels with weights H_i c_r(w_i), one real
FFT per channel, times Phi_r, one inverse FFT. The gradient runs the same road back with conj(Phi_r).

A sampled Gaussian narrower than about 1.2 pixels aliases; such orbitals are spread wider, with s^2 = B^2 + e^2, and the
factor f(q; B) / f(q; s) = exp(pi^2 q^2 e^2), the same for every B, goes into Phi.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from torch import Tensor

from napari_lot.lot.spread import cpu, reference
from napari_lot.machine import usable_cores
from napari_lot.physics.probe import DepthBasis, depth_basis
from napari_lot.settings import Microscope

SMALLEST_SPREAD_PX = 1.2
"""Spread width below which a sampled Gaussian aliases by more than about 1e-4 of its height."""
WINDOW_EDGE = 1e-5
"""Height of an orbital at the edge of its window, after the sharpening filter, relative to its peak."""


@dataclass(frozen=True)
class Canvas:
    """The padded grid on which tilts are calculated.

    ``shape`` (V, U) canvas pixels, ``pad`` pixels before the first image pixel (the same on both axes),
    ``oversampling`` canvas pixels per image pixel, ``image_shape`` (V, U) image pixels, ``pixel_size_A`` of the canvas.
    """

    shape: tuple[int, int]
    pad: int
    oversampling: int
    image_shape: tuple[int, int]
    pixel_size_A: float

    @classmethod
    def around(
        cls, image_shape: tuple[int, int], pixel_size_A: float, margin_A: float, oversampling: int = 1
    ) -> Canvas:
        """A canvas with at least ``margin_A`` on every side, of sizes that FFTs like."""
        fine = pixel_size_A / oversampling
        pad = int(np.ceil(margin_A / fine))
        shape = tuple(next_fast_len(n * oversampling + 2 * pad, real=True) for n in image_shape)
        even = tuple(n + n % 2 for n in shape)
        return cls((even[0], even[1]), pad, oversampling, image_shape, fine)

    def crop(self, canvas: Tensor) -> Tensor:
        """Image pixels of a (V, U) canvas."""
        v, u = self.image_shape
        k, p = self.oversampling, self.pad
        return canvas[p : p + k * v : k, p : p + k * u : k]


def margin_A(
    microscope: Microscope | None, depth_range_A: tuple[float, float], width_A: float, pixel_size_A: float
) -> float:
    """Padding in Å so that nothing wraps around and no atom that touches the field is dropped.

    An orbital is left out once its window leaves the canvas, so twice the window, and the probe's geometric radius.
    """
    spread = 1.2 * max(width_A, SMALLEST_SPREAD_PX * pixel_size_A)
    margin = 2.0 * spread * float(np.sqrt(-np.log(WINDOW_EDGE)))
    if microscope is None or microscope.semiangle_mrad is None:
        return margin
    far = max(abs(edge - microscope.defocus_A) for edge in depth_range_A)
    return margin + far * microscope.semiangle_mrad * 1e-3 + 2.0


class ImageModel:
    """Calculated tilts of a set of orbitals, differentiable in everything but the probe.

    Parameters
    ----------
    rotations : (T, 3, 3)
        ``[u v w] = R [x y z]`` per tilt.
    image_shape, pixel_size_A
        Of the measured images.
    center_px : (row, column)
        Pixel of the rotation centre.
    microscope : Microscope or None
        None is direct projection.
    depth_range_A : (lo, hi)
        Depths that orbitals may take at any tilt.
    width_A : float
        Typical orbital width B; decides windows and padding. ``fits_width`` says when a new model is due.
    threads : int or None
        Worker threads over tilts; all cores when None. Results repeat bitwise for one number of threads.
    """

    def __init__(
        self,
        rotations: NDArray[np.float64],
        image_shape: tuple[int, int],
        pixel_size_A: float,
        center_px: tuple[float, float],
        microscope: Microscope | None,
        depth_range_A: tuple[float, float],
        width_A: float,
        *,
        tolerance: float = 1e-4,
        oversampling: int = 1,
        threads: int | None = None,
    ) -> None:
        self.rotations = torch.as_tensor(np.asarray(rotations), dtype=torch.float64)
        self.image_pixel_A = float(pixel_size_A)
        self.center_px = center_px
        self.microscope = microscope
        self.depth_range_A = depth_range_A
        self.tolerance = tolerance
        margin = margin_A(microscope, depth_range_A, width_A, pixel_size_A / oversampling)
        self.canvas = Canvas.around(image_shape, pixel_size_A, margin, oversampling)
        self.basis: DepthBasis = depth_basis(
            microscope, depth_range_A, self.canvas.shape, self.canvas.pixel_size_A, tolerance
        )
        self.threads = threads or usable_cores()
        self._pool: ThreadPoolExecutor | None = None
        self._poly = np.ascontiguousarray(self.basis.polynomial, dtype=np.float32)
        self._w0 = float(self.basis.depth_A[0])
        self._inv_dw = 1.0 / self.basis.step_A
        self.kernel: NDArray[np.float64] | None = None
        self.set_width(width_A)

    def oversampled(self, oversampling: int, width_A: float) -> ImageModel:
        """The same model calculated with so many canvas pixels per image pixel."""
        return self._like(self.microscope, oversampling, width_A)

    def with_microscope(self, microscope: Microscope, width_A: float) -> ImageModel:
        """The same model with another probe."""
        return self._like(microscope, self.canvas.oversampling, width_A)

    def _like(self, microscope: Microscope | None, oversampling: int, width_A: float) -> ImageModel:
        model = ImageModel(
            self.rotations.numpy(),
            self.canvas.image_shape,
            self.image_pixel_A,
            self.center_px,
            microscope,
            self.depth_range_A,
            width_A,
            tolerance=self.tolerance,
            oversampling=oversampling,
            threads=self.threads,
        )
        model.set_kernel(self.kernel)
        return model

    # -- widths -------------------------------------------------------------------------------------------------

    def set_width(self, width_A: float) -> None:
        """Choose the extra spread e^2 and the filter for orbitals of about this width (0.8 to 1.5 times it)."""
        pixel = self.canvas.pixel_size_A
        self._width_range = (0.8 * width_A, 1.5 * width_A)
        self._extra2 = max(0.0, (SMALLEST_SPREAD_PX * pixel) ** 2 - self._width_range[0] ** 2)  # Å^2
        v, u = self.canvas.shape
        q2 = np.fft.fftfreq(v, pixel)[:, None] ** 2 + np.fft.rfftfreq(u, pixel)[None, :] ** 2
        sharpen = np.exp(np.pi**2 * q2 * self._extra2).astype(np.float32)
        self._transfer = torch.from_numpy(np.asarray(self.basis.transfer * sharpen * self._correction(), np.complex64))
        self._transfer_conj = self._transfer.conj().resolve_conj()
        self._plain = (
            self.basis.rank == 1
            and bool(np.all(self.basis.transfer == 1))
            and self._extra2 == 0.0
            and self.kernel is None
        )

    def set_kernel(self, kernel: NDArray[np.float64] | None) -> None:
        """Convolve every image with 1 + a small kernel (2 n + 1, 2 n + 1) in image pixels, or no more with any."""
        self.kernel = kernel
        self.set_width(self._width_range[0] / 0.8)

    def _correction(self) -> NDArray[np.complex128] | float:
        """The kernel's factor on the spectra of the canvas."""
        if self.kernel is None:
            return 1.0
        n, k = len(self.kernel) // 2, self.canvas.oversampling
        canvas = np.zeros(self.canvas.shape)
        place = np.arange(-n, n + 1) * k
        canvas[np.ix_(place % canvas.shape[0], place % canvas.shape[1])] = self.kernel
        return np.asarray(1.0 + np.fft.rfft2(canvas))

    def fits_width(self, width_A: float) -> bool:
        """True while ``set_width`` need not be called again for orbitals of this width."""
        return self._width_range[0] <= width_A <= self._width_range[1]

    # -- images -------------------------------------------------------------------------------------------------

    def images(
        self,
        tilts: Any,
        positions: Tensor,
        height: Tensor,
        width: Tensor,
        shifts_px: Tensor | None = None,
        rotations: Tensor | None = None,
        backend: Literal["cpu", "reference"] = "cpu",
    ) -> Tensor:
        """Calculated images (n, V, U) of the given tilts, before scale and background.

        Parameters
        ----------
        tilts : (n,) indices
        positions : (N, 3) Å
        height : (N,), width : (N,) or scalar in Å
        shifts_px : (n, 2) or None
            (du, dv) of these tilts in image pixels.
        rotations : (n, 3, 3) or None
            Replaces the model's own, for refined angles.
        backend : "cpu" (float32 windows, compiled) or "reference" (plain torch, the dtype of ``positions``)
        """
        index = torch.as_tensor(np.asarray(tilts, dtype=np.int64))
        dtype = positions.dtype
        k, pixel = self.canvas.oversampling, self.canvas.pixel_size_A
        turn = (self.rotations[index] if rotations is None else rotations).to(dtype)
        units = torch.tensor([1.0 / pixel, 1.0 / pixel, 1.0], dtype=dtype)
        matrices = turn * units[:, None]
        row, column = self.center_px
        offset = torch.tensor([self.canvas.pad + k * column, self.canvas.pad + k * row], dtype=dtype)
        offsets = offset.expand(len(index), 2)
        if shifts_px is not None:
            offsets = offsets + k * shifts_px.to(dtype)
        spread2 = width**2 + self._extra2
        amplitude = height * width**2 / spread2
        inv_s2 = pixel**2 / spread2
        if inv_s2.dim() == 0:
            inv_s2 = inv_s2.expand(len(positions))
        if backend == "reference":
            return self._reference(positions, amplitude, inv_s2, matrices, offsets)
        result: Tensor = _Render.apply(positions, amplitude, inv_s2, matrices, offsets, self)  # type: ignore[no-untyped-call]
        return result

    def adjoint(
        self,
        tilts: Any,
        weights: Tensor,
        positions: Tensor,
        width: Tensor,
        shifts_px: Tensor | None,
        rotations: Tensor | None = None,
    ) -> Tensor:
        """Back-projection: inner product of ``weights`` (n, V, U) with a unit-height orbital at each position, (N,)."""
        height = torch.ones(len(positions), dtype=torch.float64, requires_grad=True)
        with torch.enable_grad():
            images = self.images(tilts, positions.detach(), height, width, shifts_px, rotations)
            (response,) = torch.autograd.grad(images, height, weights)
        return response

    def _reference(
        self, positions: Tensor, amplitude: Tensor, inv_s2: Tensor, matrices: Tensor, offsets: Tensor
    ) -> Tensor:
        poly = torch.from_numpy(self._poly).to(positions.dtype)
        rows, columns = self.canvas.shape
        complex_dtype = torch.complex128 if positions.dtype == torch.float64 else torch.complex64
        transfer = self._transfer.to(complex_dtype)
        images = []
        for matrix, offset in zip(matrices, offsets, strict=True):
            channels = reference.spread(
                positions, amplitude, inv_s2, matrix, offset, self._w0, self._inv_dw, poly, rows, columns
            )
            spectrum = (torch.fft.rfft2(channels) * transfer).sum(0)
            images.append(self.canvas.crop(torch.fft.irfft2(spectrum, s=(rows, columns))))
        return torch.stack(images)

    # -- the compiled road --------------------------------------------------------------------------------------

    def _run(self, work: Callable[[int], Any], count: int) -> list[Any]:
        """Run ``work(0..count-1)`` on the threads; results in order."""
        if self.threads == 1:
            with _one_torch_thread():
                return [work(i) for i in range(count)]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads, "lot", initializer=torch.set_num_threads, initargs=(1,))
        return list(self._pool.map(work, range(count)))

    def _half(self, inv_s2: NDArray[np.float64]) -> int:
        widest = 1.0 / np.sqrt(inv_s2.min()) if len(inv_s2) else 1.0
        amplification = 0.25 * np.pi**2 * self._extra2 / self.canvas.pixel_size_A**2  # ln of the filter at Nyquist
        return int(np.ceil(np.sqrt(amplification - np.log(WINDOW_EDGE)) * widest))

    def _forward(self, atoms: _Atoms, geometry: _Geometry, j: int) -> Tensor:
        rows, columns = self.canvas.shape
        rank = self.basis.rank
        flat = np.zeros(cpu.canvas_length(rows, columns, rank), np.float32)
        cpu.spread(*atoms.arrays, *geometry.at(j), self._w0, self._inv_dw, self._poly, atoms.half, rows, columns, flat)
        channels = torch.from_numpy(flat[: rows * columns * rank]).view(rows, columns, rank)
        if self._plain:
            return self.canvas.crop(channels[..., 0]).clone()
        spectrum = torch.fft.rfft2(channels, dim=(0, 1)).permute(2, 0, 1)
        image = torch.fft.irfft2((spectrum * self._transfer).sum(0), s=(rows, columns))
        return self.canvas.crop(image).clone()

    def _backward(
        self, atoms: _Atoms, geometry: _Geometry, gradient: Tensor, j: int, level: int, g_atom: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        rows, columns = self.canvas.shape
        rank = self.basis.rank
        canvas = torch.zeros(rows, columns)
        self.canvas.crop(canvas)[:] = gradient
        flat = np.zeros(cpu.canvas_length(rows, columns, rank), np.float32)
        channels = torch.from_numpy(flat[: rows * columns * rank]).view(rows, columns, rank)
        if self._plain:
            channels[..., 0] = canvas
        else:
            spectrum = torch.fft.rfft2(canvas) * self._transfer_conj
            channels.copy_(torch.fft.irfft2(spectrum, s=(rows, columns)).permute(1, 2, 0))
        g_matrix, g_offset = np.zeros((3, 3)), np.zeros(2)
        cpu.gather(
            *atoms.arrays,
            *geometry.at(j),
            self._w0,
            self._inv_dw,
            self._poly,
            atoms.half,
            rows,
            columns,
            flat,
            level,
            g_atom,
            g_matrix,
            g_offset,
        )
        return g_matrix, g_offset

    def close(self) -> None:
        """End the worker threads."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


@dataclass(frozen=True)
class _Atoms:
    arrays: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
    half: int


@dataclass(frozen=True)
class _Geometry:
    matrices: NDArray[np.float64]
    offsets: NDArray[np.float64]

    def at(self, j: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self.matrices[j], self.offsets[j]


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Render(torch.autograd.Function):
    """The compiled image model as one differentiable operation; everything else is plain torch around it."""

    @staticmethod
    def forward(
        ctx: Any,
        positions: Tensor,
        amplitude: Tensor,
        inv_s2: Tensor,
        matrices: Tensor,
        offsets: Tensor,
        model: ImageModel,
    ) -> Tensor:
        def array(tensor: Tensor) -> NDArray[np.float64]:
            return np.ascontiguousarray(tensor.detach().numpy(), dtype=np.float64)

        s2 = array(inv_s2)
        atoms = _Atoms((array(positions), array(amplitude), s2), model._half(s2))
        geometry = _Geometry(array(matrices), array(offsets))
        ctx.model, ctx.atoms, ctx.geometry, ctx.dtype = model, atoms, geometry, positions.dtype
        images = model._run(lambda j: model._forward(atoms, geometry, j), len(geometry.matrices))
        return torch.stack(images)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        model, atoms, geometry = ctx.model, ctx.atoms, ctx.geometry
        want_pos, want_amp, want_s2, want_matrix, want_offset = ctx.needs_input_grad[:5]
        level = 2 if want_s2 else (1 if want_pos or want_matrix or want_offset else 0)
        count, n = len(geometry.matrices), len(atoms.arrays[0])
        # each share of the tilts is summed in order by one worker: the sum does not depend on who is faster
        shares = min(model.threads, count)
        images = gradients[0]

        def work(share: int) -> tuple[NDArray[np.float64], list[tuple[NDArray[np.float64], NDArray[np.float64]]]]:
            total = np.zeros((n, 5))
            return total, [
                model._backward(atoms, geometry, images[j], j, level, total) for j in range(share, count, shares)
            ]

        g_atom = np.zeros((n, 5))
        g_matrices, g_offsets = np.zeros((count, 3, 3)), np.zeros((count, 2))
        for share, (total, others) in enumerate(model._run(work, shares)):
            g_atom += total
            for j, (g_matrix, g_offset) in zip(range(share, count, shares), others, strict=True):
                g_matrices[j], g_offsets[j] = g_matrix, g_offset

        def tensor(array: NDArray[np.float64], wanted: bool) -> Tensor | None:
            return torch.from_numpy(np.ascontiguousarray(array)).to(ctx.dtype) if wanted else None

        return (
            tensor(g_atom[:, 1:4], want_pos),
            tensor(g_atom[:, 0], want_amp),
            tensor(g_atom[:, 4], want_s2),
            tensor(g_matrices, want_matrix),
            tensor(g_offsets, want_offset),
            None,
        )
