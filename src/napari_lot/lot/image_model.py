"""Orbitals + probe + geometry -> calculated tilts and every gradient.

    I_j(u, v) = sum_i H_i K(u - u_ij - du_j, v - v_ij - dv_j; w_ij - df_j, B_i)

Continuous depth by the low-rank depth basis: each orbital is spread into R channels with weights H_i c_r(w_i), one
complex FFT for two channels, times Phi_r, one inverse FFT. The gradient runs the same road back with conj(Phi_r).

Orbitals of a common shape and width are spread by a compact window, and f(q; B) / psi^(q) is a filter of their species,
with gradients like all else. Where each orbital has a width of its own they are spread as Gaussians. A sampled Gaussian
narrower than about 1.2 pixels aliases; such orbitals are spread wider, with s^2 = B^2 + e^2, and the factor
f(q; B) / f(q; s) = exp(pi^2 q^2 e^2), the same for every B, goes into Phi; of another shape, f(q; B) / f(q; s) of their
species is a filter, too.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_lot.lot.canvas import SMALLEST_SPREAD_PX, Canvas, margin_A
from napari_lot.lot.correction import ProbeCorrection
from napari_lot.lot.device.memory import Device
from napari_lot.lot.device.road import DeviceRoad
from napari_lot.lot.distributed import ALONE, Ranks
from napari_lot.lot.render.channels import Channels
from napari_lot.lot.render.compiled import CompiledRoad, Workspace
from napari_lot.lot.render.differentiable import Fitted, Render
from napari_lot.lot.render.gradients import BY_AMPLITUDE, together
from napari_lot.lot.render.reference import reference_images
from napari_lot.lot.render.road import Road
from napari_lot.lot.render.scene import ALL, Measured, Members, Scene, Seen
from napari_lot.lot.render.spectra import PairTransfer
from napari_lot.lot.spread import compact
from napari_lot.lot.spread.window import COARSE, FINE, Window
from napari_lot.lot.torch_threads import one_torch_thread
from napari_lot.machine import cores_of_a_process
from napari_lot.physics.orbital import Gaussian, Orbital
from napari_lot.physics.probe import DepthBasis, depth_basis
from napari_lot.settings import Microscope

COARSE_TOLERANCE = 0.05
"""Part of the probe, root mean square over depths, that may be left out while many orbitals stand for one atom."""
GAUSSIAN_WIDTHS, SHAPED_WIDTHS = (0.8, 1.5), (0.93, 1.2)
"""Narrowest and widest orbitals that one filter serves, in the width that it was chosen for."""


class Shapes(NamedTuple):
    """Species of the orbitals (N,); width (S,) in Å and learnt numbers (S, K) of each.

    ``common`` says that every orbital has the width of its species.
    """

    species: Tensor
    width: Tensor
    learnt: Tensor
    common: bool = False


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
    orbital : Orbital
        Shape of the orbitals.
    threads : int or None
        Worker threads over tilts; all cores when None, shared by the processes of torchrun. Results repeat bitwise for
        one number of threads.
    ranks : Ranks
        Processes that share the tilts.
    device : Device or None
        Where images are calculated; None is the processor, by compiled kernels.
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
        orbital: Orbital | None = None,
        ranks: Ranks = ALONE,
        device: Device | None = None,
    ) -> None:
        self.rotations = torch.as_tensor(np.asarray(rotations), dtype=torch.float64)
        self.image_pixel_A = float(pixel_size_A)
        self.center_px = center_px
        self.microscope = microscope
        self.depth_range_A = depth_range_A
        self.tolerance = tolerance
        self.orbital = orbital or Gaussian()
        margin = margin_A(microscope, depth_range_A, width_A, pixel_size_A / oversampling, self.orbital)
        self.canvas = Canvas.around(image_shape, pixel_size_A, margin, oversampling)
        self.basis: DepthBasis = depth_basis(
            microscope, depth_range_A, self.canvas.shape, self.canvas.pixel_size_A, tolerance
        )
        self.threads = threads or cores_of_a_process()
        self.ranks = ranks
        self.device = device
        self.road: Road = CompiledRoad() if device is None else DeviceRoad(device)
        self._pool: ThreadPoolExecutor | None = None
        self.first_depth_A = float(self.basis.depth_A[0])
        self.inv_step = 1.0 / self.basis.step_A
        v, u = self.canvas.shape
        pixel = self.canvas.pixel_size_A
        self.q2 = np.fft.fftfreq(v, pixel)[:, None] ** 2 + np.fft.rfftfreq(u, pixel)[None, :] ** 2
        self.correction: ProbeCorrection | None = None
        self.coarse = False
        self.made: tuple[int, float, bool] | None = None
        """Oversampling, width and whether shaped, where it was made of another model."""
        self._assemble()
        self.set_width(width_A)

    def oversampled(self, oversampling: int, width_A: float) -> ImageModel:
        """The same model calculated with so many canvas pixels per image pixel."""
        return self.like(self.microscope, oversampling, width_A)

    def with_microscope(self, microscope: Microscope, width_A: float) -> ImageModel:
        """The same model with another probe."""
        return self.like(microscope, self.canvas.oversampling, width_A)

    def like(self, microscope: Microscope | None, oversampling: int, width_A: float) -> ImageModel:
        """The same model with another probe and so many canvas pixels per image pixel."""
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
            orbital=self.orbital,
            ranks=self.ranks,
            device=self.device,
        )
        model.set_correction(self.correction)
        model.made = oversampling, width_A, self.shaped
        return model

    # -- widths and the probe -----------------------------------------------------------------------------------

    def set_width(self, width_A: float) -> None:
        """Choose the extra spread e^2 and the filter for orbitals of about this width: see ``fits_width``."""
        pixel = self.canvas.pixel_size_A
        self._width_A = width_A
        # shaped orbitals are spread as narrowly as sampling allows, so that their filters do not amplify what single
        # precision has rounded away
        low, high = SHAPED_WIDTHS if self.shaped else GAUSSIAN_WIDTHS
        self._width_range = (low * width_A, high * width_A)
        self.extra2 = (SMALLEST_SPREAD_PX * pixel) ** 2 - self._width_range[0] ** 2  # Å^2
        if self.shaped:
            sharpen = np.ones_like(self.q2)
        else:
            self.extra2 = max(0.0, self.extra2)
            sharpen = np.exp(np.pi**2 * self.q2 * self.extra2)
        self.transfer = PairTransfer.of(_even(self.spectra * sharpen))
        self.sharpen = sharpen
        # Gaussians that no probe blurs are what they are sampled as, also what of them lies beyond the sampling limit
        self.sampled = self.basis.rank == 1 and bool(np.all(self.basis.transfer == 1)) and not self.shaped
        self.plain = self.sampled and self.extra2 == 0.0 and self.correction is None

    @property
    def width_A(self) -> float:
        """What ``set_width`` was given last."""
        return self._width_A

    def set_narrowest(self, width_A: float) -> None:
        """Choose them for orbitals of this width and wider ones."""
        self.set_width(width_A / (SHAPED_WIDTHS if self.shaped else GAUSSIAN_WIDTHS)[0])

    @property
    def shaped(self) -> bool:
        """Whether the orbitals are of another shape than Gaussians."""
        return not isinstance(self.orbital, Gaussian)

    def set_orbital(self, orbital: Orbital) -> None:
        """Take orbitals of another shape; the canvas stays as it was made."""
        self.orbital = orbital
        self.set_width(self._width_A)

    def set_correction(self, correction: ProbeCorrection | None) -> None:
        """Correct the imaging kernel by what the images say of it, or no more."""
        self.correction = correction
        self._assemble()
        self.set_width(self._width_A)

    def set_coarse(self, coarse: bool) -> None:
        """Calculate with a shorter window and fewer channels, or as exactly as it was made for.

        What is seen stays the same but for its accuracy: within ``COARSE_TOLERANCE`` of the probe, root mean square.
        """
        if coarse != self.coarse:
            self.coarse = coarse
            self._tabulate()
            self.set_width(self._width_A)

    @property
    def window(self) -> Window:
        """By which orbitals of a common shape are spread."""
        return COARSE if self.coarse else FINE

    def _assemble(self) -> None:
        """Channels of the corrected kernel."""
        self._every = Channels.of(self.basis, self.correction, self.canvas)
        self._tabulate()

    def _tabulate(self) -> None:
        used = self._every.strongest(COARSE_TOLERANCE) if self.coarse else self._every
        self.poly, self.spectra = used.poly, used.spectra
        paired = np.ascontiguousarray(np.moveaxis(_even(np.moveaxis(self.poly, 1, 0)), 0, 1))
        self.tables = compact.tables(paired, self.window)
        self._poly_of_pairs = [np.ascontiguousarray(paired[:, k : k + 2]) for k in range(0, paired.shape[1], 2)]
        self.kernel = PairTransfer.of(_even(self.spectra))
        v, u = self.canvas.shape
        self.workspace = Workspace(self.pairs, v, u)
        along_v, along_u = (self.window.transform(np.fft.fftfreq(n).astype(np.float64)) for n in (v, u))
        self._window_seen = torch.from_numpy(along_v[:, None] * along_u[None, : u // 2 + 1])

    @property
    def rank(self) -> int:
        """Number of depth channels, those of a correction included; as many as are used."""
        return len(self.spectra)

    @property
    def pairs(self) -> int:
        """Number of pairs of channels, the last with an empty one where their number is odd."""
        return -(-self.rank // 2)

    def poly_of_pair(self, pair: int) -> NDArray[np.float32]:
        """Cubic pieces (K - 1, 2, 4) of the coefficients over depth of the channels of a pair."""
        return self._poly_of_pairs[pair]

    def transfer_at(self, depth_A: float) -> NDArray[np.complex128]:
        """Spectrum of the (corrected) imaging kernel at one depth, (V, U // 2 + 1), on the canvas."""
        return self._every.seen_at(depth_A)

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
        *,
        focus_A: Tensor | None = None,
        shapes: Shapes | None = None,
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
            Replaces the model's own, for refined angles; rows 0 and 1 may distort the image besides.
        focus_A : (n,) or None
            Focal plane of each tilt downstream of that of the microscope, in Å.
        shapes : Shapes or None
            Species of the orbitals; when None one for all, of the width given, or of the mean where each has its own.
        backend : "cpu" (float32 windows, compiled, or of the model's device) or "reference" (plain torch, the dtype of
            ``positions``)
        """
        orbitals = (positions, height, width)
        if self.ranks.size > 1 and backend != "reference" and not any(part.requires_grad for part in orbitals):
            # a card's sums differ in their last bits from process to process, and all are to decide alike
            return self._shared_images(tilts, orbitals, shifts_px, rotations, focus_A, shapes)
        seen = self._seen(tilts, *orbitals, shifts_px, rotations, focus_A, shapes)
        if backend == "reference":
            return reference_images(self, seen)
        result: Tensor = Render.apply(self, *seen)  # type: ignore[no-untyped-call]
        return result

    def _shared_images(
        self,
        tilts: Any,
        orbitals: tuple[Tensor, Tensor, Tensor],
        shifts_px: Tensor | None,
        rotations: Tensor | None,
        focus_A: Tensor | None,
        shapes: Shapes | None,
    ) -> Tensor:
        """Images without gradients, each calculated by one of the processes that share the tilts, for all of them."""
        every = np.asarray(tilts, np.int64)
        own = self.ranks.own(len(every))
        images = torch.zeros(0, *self.canvas.image_shape)
        if len(own):
            shifts, turns, focus = (None if each is None else each[own] for each in (shifts_px, rotations, focus_A))
            with torch.no_grad():
                seen = self._seen(every[own], *orbitals, shifts, turns, focus, shapes)
                images = Render.apply(self, *seen)  # type: ignore[no-untyped-call]
        return torch.from_numpy(self.ranks.gathered(images.detach().numpy(), len(every)))

    def loss(
        self,
        measured: Measured,
        scale: Tensor,
        background: Tensor,
        positions: Tensor,
        height: Tensor,
        width: Tensor,
        shifts_px: Tensor | None = None,
        rotations: Tensor | None = None,
        *,
        focus_A: Tensor | None = None,
        shapes: Shapes | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Loss of the tilts of ``measured`` (a scalar) and their calculated images (n, V, U), which have no gradient.

        ``scale`` (n,) and ``background`` (n,) of these tilts; the others as for ``images``. Faster than a loss of
        ``images``, and without their memory.
        """
        orbitals = (positions, height, width, shifts_px, rotations, focus_A, shapes)
        seen = self._seen(measured.tilts, *orbitals)
        loss, calculated = Fitted.apply(self, measured, scale, background, *seen)  # type: ignore[no-untyped-call]
        return loss, calculated

    def _seen(
        self,
        tilts: Any,
        positions: Tensor,
        height: Tensor,
        width: Tensor,
        shifts_px: Tensor | None,
        rotations: Tensor | None,
        focus_A: Tensor | None,
        shapes: Shapes | None,
    ) -> Seen:
        """What a road takes."""
        index = torch.as_tensor(np.asarray(tilts, dtype=np.int64))
        dtype = positions.dtype
        k, pixel = self.canvas.oversampling, self.canvas.pixel_size_A
        turn = (self.rotations[index] if rotations is None else rotations).to(dtype)
        units = torch.tensor([1.0 / pixel, 1.0 / pixel, 1.0], dtype=dtype)
        matrices = turn * units[:, None]
        row, column = self.center_px
        offset = torch.tensor([self.canvas.pad + k * column, self.canvas.pad + k * row, 0.0], dtype=dtype)
        offsets = offset.expand(len(index), 3)
        if shifts_px is not None or focus_A is not None:
            moved = torch.zeros(len(index), 2, dtype=dtype) if shifts_px is None else k * shifts_px.to(dtype)
            focus = torch.zeros(len(index), dtype=dtype) if focus_A is None else focus_A.to(dtype)
            offsets = offsets + torch.cat([moved, -focus[:, None]], 1)
        if shapes is None and (self.shaped or width.dim() == 0):
            none = torch.zeros(1, self.orbital.terms, dtype=torch.float64)
            one = torch.zeros(len(positions), dtype=torch.int64)
            shapes = Shapes(one, width.mean().reshape(1), none, common=width.dim() == 0)
        inv_s2: Tensor | None = None
        if shapes is not None and shapes.common and not self.sampled:
            amplitude = height * (np.pi * width**2 / pixel**2)
        else:
            # an orbital far narrower than the others is spread wider than it should be rather than not at all
            spread2 = (width**2 + self.extra2).clamp_min((0.5 * pixel) ** 2)
            amplitude = height * width**2 / spread2
            inv_s2 = pixel**2 / spread2
            inv_s2 = inv_s2.expand(len(positions))
        filters, members = self._filters(shapes, inv_s2 is None)
        return Seen(positions, amplitude, inv_s2, matrices, offsets, filters, members)

    def _filters(self, shapes: Shapes | None, by_window: bool) -> tuple[Tensor | None, tuple[Members, ...]]:
        """Filters (S, V, U // 2 + 1) that make what is spread into the orbitals, and the orbitals of each."""
        if shapes is None or not (self.shaped or by_window):
            return None, ()
        q2 = torch.from_numpy(self.q2)
        of, kinds = shapes.species.numpy(), len(shapes.width)
        there = [len(of) > 0] if kinds == 1 else [bool((of == s).any()) for s in range(kinds)]
        filters = []
        for s in range(kinds):
            if there[s]:
                b = shapes.width[s]
                spread = 1.0 / self._window_seen if by_window else torch.exp(np.pi**2 * q2 * (b**2 + self.extra2))
                filters.append(self.orbital.form_factor(q2, b, shapes.learnt[s]) * spread)
        if not filters:
            return torch.zeros(0, *q2.shape), ()
        members = (ALL,) if kinds == 1 else tuple(np.flatnonzero(of == s) for s in range(kinds) if there[s])
        return torch.stack(filters), members

    def adjoint(
        self,
        tilts: Any,
        weights: Tensor,
        positions: Tensor,
        width: Tensor,
        shifts_px: Tensor | None,
        rotations: Tensor | None = None,
        **others: Any,
    ) -> Tensor:
        """Back-projection: inner product of ``weights`` (n, V, U) with a unit-height orbital at each position, (N,).

        ``others`` as for ``images``; processes that share the tilts have each their own part of the sum.
        """
        own = self.ranks.own(len(tilts))
        if not len(own):
            return torch.from_numpy(self.ranks.total([np.zeros(len(positions))])[0])
        shifts, turned = (None if part is None else part[own] for part in (shifts_px, rotations))
        focus = others.get("focus_A")
        one = torch.ones(len(positions), dtype=torch.float64)
        orbitals = (positions.detach(), one, width, shifts, turned, None if focus is None else focus[own])
        seen = self._seen(np.asarray(tilts, np.int64)[own], *orbitals, others.get("shapes"))
        scene = Scene.of(self, seen)
        found = self.road.back(self, scene, weights[own], BY_AMPLITUDE)
        amplitude = together(self, scene, len(one), torch.float64, BY_AMPLITUDE, found).amplitude
        assert amplitude is not None
        response = amplitude * seen.amplitude  # amplitudes of unit heights, to which they are proportional
        return torch.from_numpy(self.ranks.total([response.numpy()])[0])

    def run(self, work: Callable[[int], Any], count: int) -> list[Any]:
        """Run ``work(0..count-1)`` on the threads; results in order."""
        if self.threads == 1:
            with one_torch_thread():
                return [work(i) for i in range(count)]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads, "lot", initializer=torch.set_num_threads, initargs=(1,))
        return list(self._pool.map(work, range(count)))

    def close(self) -> None:
        """End the worker threads, and let go of what lies on the device."""
        if self.device is not None:
            self.device.close()
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def _even(channels: NDArray[Any]) -> NDArray[Any]:
    """Channels along the first axis, with an empty one at the end where their number is odd."""
    if len(channels) % 2 == 0:
        return channels
    return np.concatenate([channels, np.zeros_like(channels[:1])])
