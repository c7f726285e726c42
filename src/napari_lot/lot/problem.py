"""The fit as a function: parameters in, loss, gradients and calculated tilts out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_lot.lot import likelihood
from napari_lot.lot.image_model import ImageModel
from napari_lot.physics.geometry import rotations_torch

Floats = NDArray[np.float64]


@dataclass
class State:
    """Everything that is refined. Arrays are replaced, not shared, when the population changes.

    positions (N, 3) Å; height (N,) in the solver's intensity unit; width (S,) Å, one per species; species (N,);
    ids (N,); shifts (T, 2) du, dv in pixels; scale (T,); background (T,) in the solver's unit; angles (T, 3) rad, turns
    about u, v and w after the tilt's own rotation.
    """

    positions: Floats
    height: Floats
    width: Floats
    species: NDArray[np.int64]
    ids: NDArray[np.int64]
    shifts: Floats
    scale: Floats
    background: Floats
    next_id: int = 0
    angles: Floats = field(default_factory=lambda: np.zeros((0, 3)))

    def __post_init__(self) -> None:
        if len(self.angles) != len(self.shifts):
            self.angles = np.zeros((len(self.shifts), 3))

    @property
    def typical_width(self) -> float:
        """Mean width of the orbitals in Å."""
        return float(self.width[self.species].mean()) if len(self.species) else float(self.width.mean())

    def copy(self) -> State:
        """An independent copy."""
        arrays: dict[str, Any] = {
            name: value.copy() for name, value in vars(self).items() if isinstance(value, np.ndarray)
        }
        return replace(self, **arrays)

    def select(self, index: Any) -> State:
        """The state with only the orbitals that ``index`` selects (a permutation is fine)."""
        return replace(
            self,
            positions=self.positions[index],
            height=self.height[index],
            species=self.species[index],
            ids=self.ids[index],
        )

    def add(self, positions: Floats, height: Floats, species: int = 0) -> State:
        """The state with new orbitals at the end, with ids never used before."""
        n = len(positions)
        return replace(
            self,
            positions=np.concatenate([self.positions, positions]),
            height=np.concatenate([self.height, height]),
            species=np.concatenate([self.species, np.full(n, species, np.int64)]),
            ids=np.concatenate([self.ids, np.arange(self.next_id, self.next_id + n)]),
            next_id=self.next_id + n,
        )


@dataclass
class Evaluation:
    """Loss (sum over the batch), gradients by group, calculated tilts (n, V, U) in the solver's unit."""

    loss: float
    gradients: dict[str, Floats]
    calculated: NDArray[np.float32] = field(repr=False)


class Problem:
    """Measured tilts, image model and likelihood.

    Parameters
    ----------
    model : ImageModel
    observed : (T, V, U) float32
        Measured images in the solver's unit (counts, or normalised intensities).
    weights : (T, V, U) float32 or None
        0 where a pixel does not count; None when all do.
    kind : "lsq" or "poisson"

    Attributes
    ----------
    fitted : (n,) int
        Tilts with a pixel that counts; the others are left out or withheld.
    """

    def __init__(
        self,
        model: ImageModel,
        observed: NDArray[np.float32],
        weights: NDArray[np.float32] | None,
        kind: Literal["lsq", "poisson"],
    ) -> None:
        self.model = model
        self.observed = torch.from_numpy(np.ascontiguousarray(observed))
        self.weights = None if weights is None else torch.from_numpy(np.ascontiguousarray(weights))
        self.kind: Literal["lsq", "poisson"] = kind
        seen = np.ones(len(observed), bool) if weights is None else (weights > 0).any((1, 2))
        self.fitted: NDArray[np.int64] = np.flatnonzero(seen)

    def __len__(self) -> int:
        return len(self.observed)

    def rotations(self, state: State) -> Floats:
        """``[u v w] = R [x y z]`` of every tilt, its correction included, (T, 3, 3)."""
        own = self.model.rotations
        return (rotations_torch(torch.from_numpy(state.angles)) @ own).numpy() if state.angles.any() else own.numpy()

    def evaluate(self, state: State, tilts: Any, groups: tuple[str, ...]) -> Evaluation:
        """Loss of the given tilts and its gradients with respect to the groups.

        Groups: positions, height, width, shifts, angles, scale, background; gradients of per-tilt groups are
        for the given tilts only.
        """
        index = torch.as_tensor(np.asarray(tilts, dtype=np.int64))
        leaf: dict[str, Tensor] = {
            "positions": torch.from_numpy(state.positions),
            "height": torch.from_numpy(state.height),
            "width": torch.from_numpy(state.width),
            "shifts": torch.from_numpy(state.shifts)[index],
            "angles": torch.from_numpy(state.angles)[index],
            "scale": torch.from_numpy(state.scale)[index],
            "background": torch.from_numpy(state.background)[index],
        }
        for name in groups:
            leaf[name] = leaf[name].detach().clone().requires_grad_()
        with torch.set_grad_enabled(bool(groups)):
            width = leaf["width"][torch.from_numpy(state.species)]
            turned = None
            if "angles" in groups or state.angles.any():
                turned = rotations_torch(leaf["angles"]) @ self.model.rotations[index]
            images = self.model.images(index, leaf["positions"], leaf["height"], width, leaf["shifts"], turned)
            scale, background = leaf["scale"].float(), leaf["background"].float()
            calculated = images * scale[:, None, None] + background[:, None, None]
            weights = None if self.weights is None else self.weights[index]
            loss = likelihood.loss(self.kind, calculated, self.observed[index], weights)
        found = torch.autograd.grad(loss, [leaf[name] for name in groups]) if groups else ()
        gradients = {name: gradient.numpy().astype(np.float64) for name, gradient in zip(groups, found, strict=True)}
        return Evaluation(float(loss.detach()), gradients, calculated.detach().numpy())

    def weight(self, calculated: Tensor, tilts: Tensor, noise_variance: float) -> Tensor:
        """Weight of every pixel of the given tilts, mask / variance: the Gauss-Newton view of the likelihood."""
        if self.kind == "poisson":
            weight = 1.0 / calculated.clamp_min(likelihood.SMALLEST_RATE)
        else:
            weight = torch.full_like(calculated, 1.0 / noise_variance)
        return weight if self.weights is None else weight * self.weights[tilts]
