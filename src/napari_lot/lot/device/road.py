"""The road from orbitals to images and back in batches of tilts, on any device: what ``lot.render`` does compiled.

Everything is float32 but places and what is summed over orbitals (``places``). No gradient is PyTorch's: the way back
is written out, for the transposes of these operations are cheaper than what would have to be kept for autograd.

What comes in and goes out are arrays of the processor. What stays the same from call to call, the measured images, the
transfer of the probe and the tables, is kept on the device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from napari_lot.lot.device import windows
from napari_lot.lot.device.memory import Device
from napari_lot.lot.device.places import Depths, Places, by_place, exact, places
from napari_lot.lot.device.spectra import Transfer
from napari_lot.lot.likelihood import BELOW_NONE, SMALLEST_RATE
from napari_lot.lot.render.gradients import Parts, Sums, Wanted, level_of
from napari_lot.lot.render.scene import Floats, Images, Measured, Scene

if TYPE_CHECKING:
    from napari_lot.lot.image_model import ImageModel

PLACE_BYTES = 160
"""Of the place of one orbital in one tilt and the gradient by it, about."""


@dataclass
class _Group:
    """Orbitals that share a filter, on the device: positions (N, 3) and half windows (N,) of Gaussians, float64 where
    ``exact`` is; ``half`` is the largest."""

    positions: Tensor
    orbitals: windows.Orbitals
    halves: Tensor | None
    half: int
    filter: Tensor | None

    def __len__(self) -> int:
        return len(self.positions)


@dataclass
class _Gone:
    """What the way there leaves for the way back: places and spectra (n, V, H) of each group."""

    places: list[Places]
    spectra: list[Tensor]


class DeviceRoad:
    """The road on a device; one for each image model."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._kept: dict[str, tuple[Any, Any]] = {}

    # -- what is asked for --------------------------------------------------------------------------------------

    def images(self, model: ImageModel, scene: Scene) -> Tensor:
        """Images (n, V, U) of all tilts of a scene."""
        images = torch.empty(len(scene.matrices), *model.canvas.image_shape)
        at = self.device.held(lambda: _Scene(self, model, scene))

        def some(tilts: range) -> Tensor:
            return model.canvas.crop(at.there(tilts)[0]).cpu()

        for tilts, seen in self.device.batches(len(images), at.bytes_each, some):
            images[tilts.start : tilts.stop] = seen
        return images

    def back(self, model: ImageModel, scene: Scene, gradient: Tensor, wanted: Wanted) -> Parts:
        """Gradients from those by the images (n, V, U)."""
        at, found = self.device.held(lambda: _Scene(self, model, scene)), _Found(scene, wanted)

        def some(tilts: range) -> _Slopes:
            gone = at.there(tilts)[1] if wanted[5] else at.placed(tilts)
            slopes = at.empty_canvas(len(tilts))
            model.canvas.crop(slopes)[:] = gradient[tilts.start : tilts.stop].to(torch.float32).to(self.device.torch)
            return at.back(tilts, slopes, gone, wanted)

        for tilts, slopes in self.device.batches(len(scene.matrices), at.bytes_each, some):
            found.add(tilts, slopes)
        return found.parts

    def fitted(
        self, model: ImageModel, scene: Scene, measured: Measured, scale: Floats, background: Floats, wanted: Wanted
    ) -> tuple[Floats, Images, Parts]:
        """Loss and its derivatives by scale and background (n, 3), calculated images (n, V, U), and gradients."""
        count = len(scene.matrices)
        calculated = np.empty((count, *model.canvas.image_shape), np.float32)
        by_tilt = np.zeros((count, 3))
        at, found = self.device.held(lambda: _Scene(self, model, scene)), _Found(scene, wanted)
        observed = self.device.kept("observed", measured.observed)
        weights = None if measured.weights is None else self.device.kept("weights", measured.weights)
        of_tilt = torch.from_numpy(np.stack([scale, background], 1)).to(torch.float32).to(self.device.torch)

        def some(tilts: range) -> tuple[Tensor, Tensor, _Slopes | None]:
            rows = slice(tilts.start, tilts.stop)
            which = torch.from_numpy(measured.tilts[rows]).to(observed.device)
            image, gone = at.there(tilts)
            weight = None if weights is None else weights[which]
            factor, level = of_tilt[rows].T[:, :, None, None]
            pixels = (model.canvas.crop(image), observed[which], weight, factor, level)
            values, slope, sums = likelihood_of(measured.poisson, *pixels)
            slopes = None
            if any(wanted):
                canvas = at.empty_canvas(len(tilts))
                model.canvas.crop(canvas)[:] = slope
                slopes = at.back(tilts, canvas, gone, wanted)
            return values.cpu(), sums.cpu(), slopes

        for tilts, (values, sums, slopes) in self.device.batches(count, at.bytes_each, some):
            rows = slice(tilts.start, tilts.stop)
            calculated[rows], by_tilt[rows] = values.numpy(), sums.numpy()
            if slopes is not None:
                found.add(tilts, slopes)
        return by_tilt, calculated, found.parts

    # -- what is kept -------------------------------------------------------------------------------------------

    def kept(self, name: str, source: Any, make: Callable[[], Any]) -> Any:
        """What is made of something on the device, until that is another."""
        before = self._kept.get(name)
        if before is None or before[0] is not source:
            before = self._kept[name] = (source, make())
        return before[1]

    def put(self, array: Any, where: torch.device | None = None) -> Tensor:
        """An array on the device, or on another."""
        return torch.from_numpy(np.ascontiguousarray(array)).to(where or self.device.torch)


def likelihood_of(
    poisson: bool, seen: Tensor, observed: Tensor, weights: Tensor | None, scale: Tensor, background: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Calculated images, the derivatives by ``seen`` (n, V, U) both, and (n, 3) sums in float64; ``likelihood.tilt``.

    ``scale`` and ``background`` are (n, 1, 1). Rows are summed in single precision, and the rows in double.
    """
    calculated = seen * scale + background
    if poisson:
        rate = calculated.clamp_min(SMALLEST_RATE)
        counts = torch.where(observed > 0, observed, 1.0)
        term = rate - observed - observed * torch.log(torch.where(observed > 0, rate / counts, rate))
        negative = calculated.clamp_max(0.0)
        below = calculated.clamp(0.0, SMALLEST_RATE) - SMALLEST_RATE
        steep = observed / SMALLEST_RATE
        term += (1.0 - steep + below / (2.0 * SMALLEST_RATE)) * below
        term += (negative / (2.0 * BELOW_NONE) - steep) * negative
        slope = 1.0 - observed / rate + below / SMALLEST_RATE + negative / BELOW_NONE
    else:
        slope = calculated - observed
        term = 0.5 * slope**2
    if weights is not None:
        term, slope = term * weights, slope * weights
    rows = torch.stack([term.sum(2), (slope * seen).sum(2), slope.sum(2)], 2)  # (n, V, 3)
    return calculated, slope * scale, rows.to(exact(rows.device)).to(torch.float64).sum(1)


# -- a scene on the device ----------------------------------------------------------------------------------------


@dataclass
class _Slopes:
    """Gradients of a batch: by amplitude, place and width (N, 5) of each group, matrices, offsets, and what
    ``spectra.add_product`` adds up for each filter."""

    atoms: list[Tensor]
    matrices: Tensor
    offsets: Tensor
    filters: list[Tensor]


class _Found:
    """Sums of gradients over batches, as the compiled road hands them over."""

    def __init__(self, scene: Scene, wanted: Wanted) -> None:
        self.sums = Sums(scene, wanted[5])
        self.of_tilts: dict[int, tuple[Floats, Floats]] = {}

    @property
    def parts(self) -> Parts:
        """As of one worker."""
        return [(self.sums, self.of_tilts)]

    def add(self, tilts: range, slopes: _Slopes) -> None:
        """Those of a batch."""
        for total, part in zip(self.sums.atoms, slopes.atoms, strict=True):
            total += part[:, : total.shape[1]].cpu().numpy()
        matrices, offsets = slopes.matrices.cpu().numpy(), slopes.offsets.cpu().numpy()
        self.of_tilts |= {j: (matrices[i], offsets[i]) for i, j in enumerate(tilts)}
        if self.sums.filters is not None:
            for total, product in zip(self.sums.filters, slopes.filters, strict=True):
                total += product.cpu().numpy()


class _Scene:
    """A scene on the device, with all that is calculated for a batch of its tilts."""

    def __init__(self, road: DeviceRoad, model: ImageModel, scene: Scene) -> None:
        self.road, self.model, self.device = road, model, road.device.torch
        self.exact = exact(self.device)
        self.matrices, self.offsets = (road.put(part, self.exact) for part in (scene.matrices, scene.offsets))
        self.plain = scene.filters is None and model.plain
        self.groups = []
        for s, atoms in enumerate(scene.atoms):
            amplitude = road.put(atoms.amplitude.astype(np.float32))
            wide = None if atoms.inv_s2 is None else road.put(atoms.inv_s2.astype(np.float32))
            seen_as = None if scene.filters is None else road.put(scene.filters[s])
            positions = road.put(atoms.positions, self.exact)
            halves = None if atoms.halves is None else road.put(atoms.halves.astype(np.float64), self.exact)
            half = 0 if atoms.halves is None else int(atoms.halves.max(initial=0))
            self.groups.append(_Group(positions, windows.Orbitals(amplitude, wide), halves, half, seen_as))
        self.by_window = bool(self.groups) and self.groups[0].orbitals.inv_s2 is None
        kept = road.kept
        self.poly: Tensor = kept(
            "poly",
            model.tables,
            lambda: road.put(np.concatenate([model.poly_of_pair(k) for k in range(model.pairs)], 1)),
        )
        self.window: windows.Compact = kept(
            "window",
            model.window,
            lambda: windows.Compact(
                road.put(model.window.pieces.astype(np.float32)), road.put(model.window.slopes.astype(np.float32))
            ),
        )
        columns = model.canvas.shape[1]
        name, pair = ("kernel", model.kernel) if self.by_window else ("transfer", model.transfer)
        self.transfer: Transfer = kept(name, pair, lambda: Transfer(pair, columns, self.device))
        self.depths = Depths(model.first_depth_A, model.inv_step, len(self.poly))

    @property
    def bytes_each(self) -> int:
        """Memory that a tilt of a batch takes, about."""
        pixels = self.model.canvas.shape[0] * self.model.canvas.shape[1]
        canvases = 8 * pixels * self.model.pairs * (1 if self.plain else 4)  # with the transforms' own work space
        spectra = 4 * pixels * (len(self.groups) + 6)
        return canvases + spectra + 4 * pixels * 8 + PLACE_BYTES * sum(len(group) for group in self.groups)

    def empty_canvas(self, tilts: int) -> Tensor:
        """(n, V, U) of zeros."""
        return torch.zeros(tilts, *self.model.canvas.shape, device=self.device)

    def placed(self, tilts: range) -> _Gone:
        """Where the tilts show the orbitals."""
        rows = slice(tilts.start, tilts.stop)
        where = (self.matrices[rows], self.offsets[rows], self.depths, self.model.canvas.shape)
        found = [places(g.positions, *where, self._width(g), g.halves, self.device) for g in self.groups]
        return _Gone(found, [])

    def there(self, tilts: range) -> tuple[Tensor, _Gone]:
        """Images (n, V, U) on the canvas, and what the way back needs."""
        gone, canvas_shape = self.placed(tilts), self.model.canvas.shape
        if not self.groups:
            return self.empty_canvas(len(tilts)), gone
        total: Tensor | None = None
        for group, where in zip(self.groups, gone.places, strict=True):
            canvas = torch.zeros(len(tilts), self.model.pairs, *canvas_shape, 2, device=self.device)
            self._spread(group, where, canvas)
            if self.plain:
                return canvas[:, 0, :, :, 0], gone
            seen = self.transfer.combine(torch.fft.fft2(torch.view_as_complex(canvas)))
            del canvas
            if group.filter is not None:
                gone.spectra.append(seen)
                seen = seen * group.filter
            total = seen if total is None else total + seen
        return torch.fft.irfft2(total, s=canvas_shape), gone

    def back(self, tilts: range, gradient: Tensor, gone: _Gone, wanted: Wanted) -> _Slopes:
        """Gradients from those by the canvas (n, V, U)."""
        n, rows = len(tilts), slice(tilts.start, tilts.stop)
        matrices, level = self.matrices[rows], level_of(wanted)
        found = _Slopes([], torch.zeros_like(matrices), torch.zeros_like(self.offsets[rows]), [])
        seen = None if self.plain else torch.fft.rfft2(gradient)
        for s, (group, where) in enumerate(zip(self.groups, gone.places, strict=True)):
            if seen is None:
                adjoint = torch.stack([gradient, torch.zeros_like(gradient)], -1)[:, None]
            else:
                here = seen if group.filter is None else seen * group.filter
                adjoint = torch.view_as_real(torch.fft.ifft2(self.transfer.apart(here)))
                if wanted[5] and group.filter is not None:
                    product = seen.real * gone.spectra[s].real + seen.imag * gone.spectra[s].imag
                    found.filters.append(product.sum(0))
            sums = self._gather(group, where, adjoint.contiguous(), level)
            sums = sums.view(len(sums), n, len(group))
            by_atom = torch.zeros(len(group), 5, dtype=torch.float64, device=self.exact)
            by_atom[:, 0] = sums[0].to(self.exact).to(torch.float64).sum(0)
            if level:
                a = group.orbitals.amplitude
                wide = group.orbitals.inv_s2
                sideways = -a if wide is None else 2.0 * a * wide
                deeper = a * self.depths.inv_step * where.inside.view(n, -1)
                slopes = torch.stack([sums[1] * sideways, sums[2] * sideways, sums[3] * deeper])
                by_atom[:, 1:4], by_matrices, by_offsets = by_place(slopes, group.positions, matrices)
                found.matrices += by_matrices
                found.offsets += by_offsets
            if level == 2 and not self.by_window:
                by_atom[:, 4] = (-group.orbitals.amplitude * sums[4]).to(self.exact).to(torch.float64).sum(0)
            found.atoms.append(by_atom)
        return found

    # -- spread and gather --------------------------------------------------------------------------------------

    def _width(self, group: _Group) -> int:
        return self.window.width if self.by_window else 2 * group.half + 1

    def _spread(self, group: _Group, where: Places, canvas: Tensor) -> None:
        if self._by_triton:
            from napari_lot.lot.device import triton_kernels

            return triton_kernels.spread(canvas, where, group.orbitals, self.poly, self.window)
        width = self._width(group)
        return windows.spread(
            canvas, where, group.orbitals, self.poly, width, self._factors(group), self._at_once(width)
        )

    def _gather(self, group: _Group, where: Places, adjoint: Tensor, level: int) -> Tensor:
        if self.by_window:
            level = min(level, 1)  # widths are the filter's
        if self._by_triton:
            from napari_lot.lot.device import triton_kernels

            return triton_kernels.gather(adjoint, where, group.orbitals, self.poly, self.window, level)
        width = self._width(group)
        return windows.gather(
            adjoint, where, group.orbitals, self.poly, width, self._factors(group), level, self._at_once(width)
        )

    @property
    def _by_triton(self) -> bool:
        return self.road.device.triton and self.by_window

    def _at_once(self, width: int) -> int:
        return self.road.device.entries(60 * width * width)

    def _factors(self, group: _Group) -> Callable[[Places, Tensor, int], windows.Factors]:
        wide = group.orbitals.inv_s2
        if wide is None:
            return lambda some, _, level: windows.compact_factors(self.window, some.from_v, some.from_u, level)
        shape = self.model.canvas.shape
        return lambda some, atoms, level: windows.gaussian_factors(group.half, wide[atoms], some, shape, level)
