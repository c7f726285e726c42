"""Positions and heights of a few atoms, fitted to windows of the images with everything else as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from napari_lot.lot import likelihood
from napari_lot.lot.local.drawing import Drawing
from napari_lot.lot.local.metric import Metric
from napari_lot.lot.local.newton import minimize
from napari_lot.lot.local.noise import Noise
from napari_lot.lot.local.windows import cut
from napari_lot.lot.prior import Prior
from napari_lot.lot.problem import Problem, State
from napari_lot.lot.torch_threads import one_torch_thread

Floats = NDArray[np.float64]

STILL_A, STILL_GAIN = 2e-4, 1e-2
"""A step that moves no atom farther (Å), or gains less log-likelihood and moves none by 50 times that, is none."""


class Stopped(Exception):
    """Nobody wants the fit any more."""


@dataclass(frozen=True)
class Fitted:
    """Atoms after a fit, and the change of the log-likelihood of the images."""

    state: State
    gain: float


class Refit:
    """Fits of few atoms in one window.

    Parameters
    ----------
    drawing : Drawing
        Windows that hold the atoms and what is seen of them.
    problem : Problem
    metric : Metric
    noise : Noise
    calculated : (T, V, U) float32
        Images of all atoms in the solver's unit; they may change in place between fits.
    """

    def __init__(
        self, drawing: Drawing, problem: Problem, metric: Metric, noise: Noise, calculated: NDArray[np.float32]
    ) -> None:
        self.drawing, self.problem, self.metric, self.noise = drawing, problem, metric, noise
        self.calculated = calculated

    def fit(
        self,
        before: State,
        after: State,
        center: Floats,
        prior: Prior | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Fitted:
        """Fit the atoms ``after`` in place of those ``before``, which the calculated images show.

        Raises
        ------
        Stopped
            ``stopped`` has said so.
        """
        with one_torch_thread():
            return self._fit(before, after, center, prior, stopped)

    def _fit(
        self, before: State, after: State, center: Floats, prior: Prior | None, stopped: Callable[[], bool]
    ) -> Fitted:
        drawing, n, tilts = self.drawing, len(after.height), self.problem.fitted
        origins = drawing.origins(center)
        noise = self.noise.variance if self.problem.kind == "lsq" else 1.0
        measured, calculated = (
            torch.from_numpy(cut(stack, origins, drawing.size, 0.0)[tilts]).double()
            for stack in (drawing.source.observed, self.calculated)
        )
        weights = torch.from_numpy(drawing.weights(origins)[tilts]).double()
        with torch.no_grad():
            fixed = calculated - drawing.images(before, origins, tilts)

        # in double precision: single would lose what the last steps gain among the terms of thousands of pixels
        def loss(images: torch.Tensor) -> torch.Tensor:
            return likelihood.loss(self.problem.kind, images, measured, weights) / noise

        def value(x: Floats) -> tuple[float, Floats]:
            if stopped():
                raise Stopped
            p = x.reshape(n, 4)
            leaf = {
                "positions": torch.from_numpy(p[:, :3].copy()).requires_grad_(),
                "height": torch.from_numpy(np.maximum(p[:, 3], 0.0)).requires_grad_(),
            }
            with torch.enable_grad():
                found = loss(fixed + drawing.images(after, origins, tilts, leaf))
                slopes = torch.autograd.grad(found, [leaf["positions"], leaf["height"]])
            gradient = np.column_stack([g.numpy() for g in slopes])
            total = float(found.detach())
            if prior is not None:
                total += prior.cost(p[:, 3])
                gradient[:, 3] += prior.gradient(p[:, 3])
            return total, gradient.ravel()

        was, result = float(loss(calculated)), after.copy()
        if n:
            hessian = self.metric.matrix(after, self.calculated)
            if prior is not None:
                hessian[3::4, 3::4] += prior.strength * np.eye(n)
            x = np.column_stack([after.positions, after.height]).ravel()
            best = minimize(value, x, hessian, self._is_still)
            p = best.x.reshape(n, 4)
            now = best.value - (prior.cost(p[:, 3]) if prior is not None else 0.0)
            result = replace(result, positions=p[:, :3].copy(), height=np.maximum(p[:, 3], 0.0))
        else:
            now = float(loss(fixed))
        return Fitted(result, (was - now) / self.noise.inflation**2)

    def _is_still(self, step: Floats, gain: float) -> bool:
        farthest = float(np.abs(step.reshape(-1, 4)[:, :3]).max())
        return farthest < STILL_A or (gain < STILL_GAIN * self.noise.inflation**2 and farthest < 50 * STILL_A)
