"""Images, and their loss, as operations that autograd knows; everything else is plain torch around them.

``Render`` is images as one differentiable operation; ``Fitted`` is their loss, which goes there and back at every tilt
while what the tilt needs is at hand, and keeps no image but the calculated one. Both take a model's road.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_lot.lot.render.gradients import Wanted, together
from napari_lot.lot.render.scene import Measured, Scene

if TYPE_CHECKING:
    from napari_lot.lot.image_model import ImageModel


class Render(torch.autograd.Function):
    """Images (n, V, U) as one differentiable operation; everything else is plain torch around it."""

    @staticmethod
    def forward(
        ctx: Any,
        positions: Tensor,
        amplitude: Tensor,
        inv_s2: Tensor | None,
        matrices: Tensor,
        offsets: Tensor,
        filters: Tensor | None,
        members: tuple[NDArray[np.int64], ...],
        model: ImageModel,
    ) -> Tensor:
        scene = Scene.of(model, positions, amplitude, inv_s2, matrices, offsets, filters, members)
        ctx.model, ctx.scene, ctx.count, ctx.dtype = model, scene, len(amplitude), positions.dtype
        return model.road.images(model, scene)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        model, scene, wanted = ctx.model, ctx.scene, ctx.needs_input_grad[:6]
        parts = model.road.back(model, scene, gradients[0], wanted)
        return *together(model, scene, ctx.count, ctx.dtype, wanted, parts), None, None


class Fitted(torch.autograd.Function):
    """Loss of images times ``scale`` (n,) plus ``background`` (n,), and the calculated images (n, V, U).

    Gradients are found on the way, by all that is asked for, while what a tilt needs is at hand; the calculated images
    have none.
    """

    @staticmethod
    def forward(
        ctx: Any,
        positions: Tensor,
        amplitude: Tensor,
        inv_s2: Tensor | None,
        matrices: Tensor,
        offsets: Tensor,
        filters: Tensor | None,
        scale: Tensor,
        background: Tensor,
        members: tuple[NDArray[np.int64], ...],
        model: ImageModel,
        measured: Measured,
    ) -> tuple[Tensor, Tensor]:
        scene = Scene.of(model, positions, amplitude, inv_s2, matrices, offsets, filters, members)
        wanted: Wanted = ctx.needs_input_grad[:6]
        levels = (scale.detach().numpy(), background.detach().numpy())
        found, calculated, parts = model.road.fitted(model, scene, measured, *levels, wanted)
        both = together(model, scene, len(amplitude), positions.dtype, wanted, parts)
        by_tilt = torch.from_numpy(found)
        ctx.found = (*both, by_tilt[:, 1].to(scale.dtype), by_tilt[:, 2].to(background.dtype))
        images = torch.from_numpy(calculated)
        ctx.mark_non_differentiable(images)
        return by_tilt[:, 0].sum(), images

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        by_loss = gradients[0]
        scaled = [None if g is None else g * by_loss.to(g.dtype) for g in ctx.found]
        return *scaled, None, None, None
