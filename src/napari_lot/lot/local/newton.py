"""A quasi-Newton fit of few parameters with a known approximate Hessian (Nocedal & Wright, ch. 7)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RIDGE = 1e-6
"""Added to the Hessian, in units of each parameter's own curvature, for atoms that cannot be told apart."""
LEAST_CURVATURE = 1e-12
"""Of a parameter, as a part of the largest: what has less is shown by no image."""
MEMORY = 8


@dataclass(frozen=True)
class Minimum:
    """Where a fit ended: parameters, value, how many evaluations it took."""

    x: Floats
    value: float
    evaluations: int


def minimize(
    function: Callable[[Floats], tuple[float, Floats]],
    x: Floats,
    hessian: Floats,
    is_still: Callable[[Floats, float], bool],
    evaluations: int = 20,
) -> Minimum:
    """Minimise a smooth function.

    Limited-memory BFGS whose first inverse Hessian is that of the given approximation, so that the first step is
    nearly Newton's and what the approximation misses is learnt on the way.

    Parameters
    ----------
    function : callable
        Value and gradient.
    x : (n,)
    hessian : (n, n), positive semidefinite
    is_still : callable
        Whether nobody would see a step (n,) with the gain that the gradient predicts of it.
    evaluations : int
        At most.
    """
    own = np.diagonal(hessian)
    # the place of an atom without height has no curvature, and would be sent to infinity by what rounding leaves
    own = np.maximum(own, LEAST_CURVATURE * max(float(own.max(initial=0.0)), 1e-300))
    unit = 1.0 / np.sqrt(own)
    scaled = hessian * unit[:, None] * unit
    scaled[np.diag_indices_from(scaled)] = 1.0
    # torch's factorisation keeps to torch's threads; those of numpy's and scipy's spin, and stall a busy machine
    matrix, ridge = torch.from_numpy(scaled), RIDGE
    while True:
        factor, failed = torch.linalg.cholesky_ex(matrix + ridge * torch.eye(len(x), dtype=matrix.dtype))
        if not failed:
            break
        ridge *= 10.0
    value, gradient = function(x)
    pairs: deque[tuple[Floats, Floats, float]] = deque(maxlen=MEMORY)
    used = 1

    def downhill(g: Floats) -> Floats:
        q, alphas = g.copy(), []
        for s, y, rho in reversed(pairs):
            alphas.append(rho * float(s @ q))
            q -= alphas[-1] * y
        q = unit * torch.cholesky_solve(torch.from_numpy(unit * q)[:, None], factor)[:, 0].numpy()
        for (s, y, rho), alpha in zip(pairs, reversed(alphas), strict=True):
            q += (alpha - rho * float(y @ q)) * s
        return -q

    while used < evaluations:
        direction = downhill(gradient)
        slope = float(direction @ gradient)
        if slope >= 0.0 or is_still(direction, -0.5 * slope):
            break
        step = 1.0
        while used < evaluations:
            trial = x + step * direction
            new_value, new_gradient = function(trial)
            used += 1
            if new_value <= value + 1e-4 * step * slope:
                break
            curve = 2.0 * (new_value - value - step * slope) / step**2
            step = float(np.clip(-slope / curve if curve > 0 else 0.5 * step, 0.1 * step, 0.5 * step))
        else:
            break
        s, y = trial - x, new_gradient - gradient
        if s @ y > 1e-10 * np.sqrt((s @ s) * (y @ y)):
            pairs.append((s, y, 1.0 / float(s @ y)))
        x, value, gradient = trial, new_value, new_gradient
    return Minimum(x, value, used)
