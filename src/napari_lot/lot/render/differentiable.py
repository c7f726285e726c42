"""Images, and their loss, as operations that autograd knows; everything else is plain torch around them.

``Render`` is images as one differentiable operation; ``Fitted`` is their loss, which goes there and back at every tilt
while what the tilt needs is at hand, and keeps no image but the calculated one. Both take a model's road.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from napari_lot.lot.render.gradients import Wanted, together
from napari_lot.lot.render.scene import Measured, Scene, Seen

if TYPE_CHECKING:
    from napari_lot.lot.image_model import ImageModel


class Render(torch.autograd.Function):
    """Images (n, V, U) as one differentiable operation; everything else is plain torch around it."""

    @staticmethod
    def forward(ctx: Any, model: ImageModel, *seen: Any) -> Tensor:
        """``seen``: the parts of a ``Seen``, of which autograd takes each by itself."""
        of = Seen(*seen)
        scene = Scene.of(model, of)
        ctx.model, ctx.scene, ctx.count, ctx.dtype = model, scene, len(of.amplitude), of.positions.dtype
        return model.road.images(model, scene)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        model, scene, wanted = ctx.model, ctx.scene, ctx.needs_input_grad[1:7]
        parts = model.road.back(model, scene, gradients[0], wanted)
        return None, *together(model, scene, ctx.count, ctx.dtype, wanted, parts), None


class Fitted(torch.autograd.Function):
    """Loss of images times ``scale`` (n,) plus ``background`` (n,), and the calculated images (n, V, U).

    Gradients are found on the way, by all that is asked for, while what a tilt needs is at hand; the calculated images
    have none.
    """

    @staticmethod
    def forward(
        ctx: Any, model: ImageModel, measured: Measured, scale: Tensor, background: Tensor, *seen: Any
    ) -> tuple[Tensor, Tensor]:
        """``seen`` as for ``Render``."""
        of = Seen(*seen)
        scene = Scene.of(model, of)
        wanted: Wanted = ctx.needs_input_grad[4:10]
        levels = (scale.detach().numpy(), background.detach().numpy())
        found, calculated, parts = model.road.fitted(model, scene, measured, *levels, wanted)
        both = together(model, scene, len(of.amplitude), of.positions.dtype, wanted, parts)
        by_tilt = torch.from_numpy(found)
        ctx.found = (by_tilt[:, 1].to(scale.dtype), by_tilt[:, 2].to(background.dtype), *both)
        images = torch.from_numpy(calculated)
        ctx.mark_non_differentiable(images)
        return by_tilt[:, 0].sum(), images

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        by_loss = gradients[0]
        # by far the usual case: of a loss itself, whose gradients nothing needs to copy
        as_found = float(by_loss) == 1.0
        scaled = [g if g is None or as_found else g * by_loss.to(g.dtype) for g in ctx.found]
        return None, None, *scaled, None
