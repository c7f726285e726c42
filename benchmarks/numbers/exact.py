"""A fit in double precision throughout, by plain PyTorch and autograd: what the compiled path is compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_lot.lot import likelihood
from napari_lot.lot.problem import Evaluation, Problem, State, _of_tilts


class Exact(Problem):
    """The same tilts, model and likelihood as a ``Problem``, tilt by tilt in float64; slow."""

    @classmethod
    def of(cls, problem: Problem) -> Exact:
        """The same problem."""
        weights = None if problem.weights is None else problem.weights.numpy()
        return cls(problem.model, problem.observed.numpy(), weights, problem.kind)

    def _evaluate(self, state: State, tilts: NDArray[np.int64], groups: tuple[str, ...]) -> Evaluation:
        loss, calculated = 0.0, np.zeros((len(tilts), *self.observed.shape[1:]))
        gradients: dict[str, Any] = {}
        for name in groups:
            value = getattr(state, name)
            gradients[name] = np.zeros((len(tilts), *value.shape[1:]) if _of_tilts(name, value) else value.shape)
        for k, tilt in enumerate(tilts):
            one = np.array([tilt])
            leaf = {}
            for name in (*groups, "scale", "background"):
                value = getattr(state, name)
                value = value[one] if _of_tilts(name, value) else value
                leaf[name] = torch.from_numpy(np.array(value, np.float64)).requires_grad_(name in groups)
            seen, others = self._seen(state, one, leaf)
            image = self.model.images(one, *seen, backend="reference", **others)
            image = image * leaf["scale"][:, None, None] + leaf["background"][:, None, None]
            weights = None if self.weights is None else self.weights[one].double()
            part = likelihood.loss(self.kind, image, self.observed[one].double(), weights)
            found = torch.autograd.grad(part, [leaf[name] for name in groups]) if groups else ()
            for name, gradient in zip(groups, found, strict=True):
                if _of_tilts(name, getattr(state, name)):
                    gradients[name][k] = gradient[0].numpy()
                else:
                    gradients[name] += gradient.numpy()
            loss += float(part.detach())
            calculated[k] = image[0].detach().numpy()
        return Evaluation(loss, gradients, calculated, tilts)  # type: ignore[arg-type]  # float64 here
