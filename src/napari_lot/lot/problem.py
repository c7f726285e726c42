"""The fit as a function: parameters in, loss, gradients and calculated tilts out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_lot.atoms import Orbitals
from napari_lot.lot import likelihood
from napari_lot.lot.image_model import ImageModel, Shapes
from napari_lot.lot.render.scene import Measured
from napari_lot.physics.geometry import rotations_torch

Floats = NDArray[np.float64]


@dataclass
class State:
    """Everything that is refined. Arrays are replaced, not shared, when the population changes.

    positions (N, 3) Å; height (N,) in the solver's intensity unit; width (S,) Å, one per species, or one for all;
    species (N,); ids (N,); shifts (T, 2) du, dv in pixels; scale (T,); background (T,) in the solver's unit;
    angles (T, 3) rad, turns about u, v and w after the tilt's own rotation; own_width (N,) Å, what an orbital is wider
    than its species; learnt (S, K), radial corrections; distortion (T, 4) or (1, 4), what the image is stretched and
    sheared by: u += d0 u + d1 v, v += d2 u + d3 v; focus (T,) Å, focal plane of a tilt downstream of the microscope's.
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
    own_width: Floats = field(default_factory=lambda: np.zeros(0))
    learnt: Floats = field(default_factory=lambda: np.zeros((1, 0)))
    distortion: Floats = field(default_factory=lambda: np.zeros((1, 4)))
    focus: Floats = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        if len(self.angles) != len(self.shifts):
            self.angles = np.zeros((len(self.shifts), 3))
        if len(self.focus) != len(self.shifts):
            self.focus = np.zeros(len(self.shifts))
        if len(self.own_width) != len(self.height):
            self.own_width = np.zeros(len(self.height))
        if len(self.learnt) != len(self.width):
            self.learnt = np.resize(self.learnt, (len(self.width), self.learnt.shape[1]))

    @property
    def width_of(self) -> NDArray[np.int64]:
        """Which of ``width`` each orbital has, (N,)."""
        return self.species if len(self.width) > 1 else np.zeros_like(self.species)

    @property
    def widths(self) -> Floats:
        """Width of every orbital, (N,) Å."""
        return self.width[self.width_of] + self.own_width

    def orbitals(self, unit: float, elements: tuple[str, ...]) -> Orbitals:
        """The orbitals with their heights in the intensity of the images, ``unit`` times the solver's."""
        return Orbitals(
            positions=self.positions.copy(),
            height=self.height * unit,
            width=self.widths,
            species=self.species.copy(),
            elements=elements,
            id=self.ids.copy(),
        )

    @property
    def typical_width(self) -> float:
        """Mean width of the orbitals in Å."""
        return float(self.width[self.width_of].mean()) if len(self.species) else float(self.width.mean())

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
            own_width=self.own_width[index],
        )

    def add(self, positions: Floats, height: Floats, species: int | NDArray[np.int64] = 0) -> State:
        """The state with new orbitals at the end, with ids never used before."""
        n = len(positions)
        return replace(
            self,
            positions=np.concatenate([self.positions, positions]),
            height=np.concatenate([self.height, height]),
            species=np.concatenate([self.species, np.broadcast_to(np.asarray(species, np.int64), (n,))]),
            ids=np.concatenate([self.ids, np.arange(self.next_id, self.next_id + n)]),
            own_width=np.concatenate([self.own_width, np.zeros(n)]),
            next_id=self.next_id + n,
        )


PER_TILT = ("shifts", "angles", "focus", "scale", "background")


@dataclass
class Evaluation:
    """Loss (sum over the batch), gradients by group, calculated tilts (n, V, U) in the solver's unit, which they are.

    Where processes share the tilts and gradients were asked for, the calculated ones are those of this process.
    """

    loss: float
    gradients: dict[str, Floats]
    calculated: NDArray[np.float32] = field(repr=False)
    tilts: NDArray[np.int64]


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
    not_finite : int
        How often a loss or a gradient was no number: NaN or infinite.
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
        self.not_finite = 0

    def __len__(self) -> int:
        return len(self.observed)

    def rotations(self, state: State) -> Floats:
        """``[u v w] = R [x y z]`` of every tilt, its correction included, (T, 3, 3)."""
        own = self.model.rotations
        return (rotations_torch(torch.from_numpy(state.angles)) @ own).numpy() if state.angles.any() else own.numpy()

    def projections(self, state: State) -> Floats:
        """As ``rotations``, with the distortion of the images in rows 0 and 1: where atoms are seen, (T, 3, 3)."""
        matrices = torch.from_numpy(self.rotations(state))
        return (
            _distorted(torch.from_numpy(state.distortion), matrices).numpy()
            if state.distortion.any()
            else matrices.numpy()
        )

    def typical_shapes(self, state: State, count: int) -> Shapes:
        """Shapes of ``count`` typical orbitals."""
        learnt = state.learnt[state.width_of].mean(0) if len(state.species) else state.learnt.mean(0)
        width = torch.tensor([state.typical_width], dtype=torch.float64)
        return Shapes(torch.zeros(count, dtype=torch.int64), width, torch.from_numpy(learnt[None]), common=True)

    def images(self, state: State, tilts: Any, leaf: dict[str, Tensor] | None = None) -> Tensor:
        """Calculated images (n, V, U) of the given tilts, before scale and background.

        ``leaf`` holds tensors that stand for parts of the state (per-tilt ones of the given tilts), for gradients.
        """
        seen, others = self._seen(state, tilts, leaf)
        return self.model.images(np.asarray(tilts, np.int64), *seen, **others)

    def _seen(
        self, state: State, tilts: Any, leaf: dict[str, Tensor] | None = None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What the image model takes of a state, by place and by name."""
        leaf = leaf or {}
        index = torch.as_tensor(np.asarray(tilts, dtype=np.int64))

        def part(name: str) -> Tensor:
            return leaf[name] if name in leaf else torch.from_numpy(getattr(state, name))

        def of_tilts(name: str) -> Tensor:
            return leaf[name] if name in leaf else torch.from_numpy(getattr(state, name))[index]

        which = torch.from_numpy(state.width_of)
        # one width for all stays one number: of a million orbitals it is nothing to gather, and a sum to share out
        width = part("width") if len(state.width) == 1 else part("width")[which]
        own = "own_width" in leaf or bool(state.own_width.any())
        if own:
            width = width + part("own_width")
        turned: Tensor | None = None
        if "angles" in leaf or state.angles.any():
            turned = rotations_torch(of_tilts("angles")) @ self.model.rotations[index]
        if "distortion" in leaf or state.distortion.any():
            distortion = part("distortion") if len(state.distortion) == 1 else of_tilts("distortion")
            turned = _distorted(distortion, self.model.rotations[index] if turned is None else turned)
        focus = of_tilts("focus") if "focus" in leaf or state.focus.any() else None
        shapes = Shapes(which, part("width"), part("learnt"), common=not own)
        orbitals = (part("positions"), part("height"), width, of_tilts("shifts"), turned)
        return orbitals, {"focus_A": focus, "shapes": shapes}

    def evaluate(self, state: State, tilts: Any, groups: tuple[str, ...]) -> Evaluation:
        """Loss of the given tilts and its gradients with respect to the groups.

        Groups are fields of the state: positions, height, width, own_width, learnt, shifts, angles, distortion, focus,
        scale, background; gradients of per-tilt groups are for the given tilts only. The loss is NaN where one of these
        numbers is none, so that nobody steps by it.
        """
        found = self._evaluate_shared(state, np.asarray(tilts, np.int64), groups)
        numbers = (np.array(found.loss), *found.gradients.values())
        if not all(np.isfinite(values).all() for values in numbers):
            self.not_finite += 1
            found.loss = float("nan")
        return found

    def _evaluate_shared(self, state: State, tilts: NDArray[np.int64], groups: tuple[str, ...]) -> Evaluation:
        """As ``evaluate``, by all processes that share the tilts."""
        ranks = self.model.ranks
        own = ranks.own(len(tilts))
        found = self._evaluate(state, tilts[own], groups)
        if ranks.size == 1:
            return found
        for name in groups:
            if _of_tilts(name, getattr(state, name)):
                whole = np.zeros((len(tilts), *found.gradients[name].shape[1:]))
                whole[own] = found.gradients[name]
                found.gradients[name] = whole
        loss, *gradients = ranks.total([np.array(found.loss), *found.gradients.values()])
        found.loss, found.gradients = float(loss), dict(zip(found.gradients, gradients, strict=True))
        if not groups:
            found.calculated, found.tilts = ranks.gathered(found.calculated, len(tilts)), tilts
        return found

    def _evaluate(self, state: State, tilts: NDArray[np.int64], groups: tuple[str, ...]) -> Evaluation:
        """As ``evaluate``, by this process alone."""
        if not len(tilts):
            shapes = {name: np.zeros_like(getattr(state, name)) for name in groups}
            none = {name: a[:0] if _of_tilts(name, a) else a for name, a in shapes.items()}
            return Evaluation(0.0, none, np.zeros((0, *self.observed.shape[1:]), np.float32), tilts)
        index = torch.from_numpy(tilts)
        weights = None if self.weights is None else self.weights.numpy()
        measured = Measured(self.observed.numpy(), weights, tilts, self.kind)
        leaf: dict[str, Tensor] = {}
        for name in (*groups, "scale", "background"):
            value = torch.from_numpy(getattr(state, name))
            if _of_tilts(name, getattr(state, name)):
                value = value[index]
            leaf[name] = value.detach().requires_grad_(name in groups)  # read, never written
        with torch.set_grad_enabled(bool(groups)):
            seen, others = self._seen(state, tilts, leaf)
            loss, calculated = self.model.loss(measured, leaf["scale"], leaf["background"], *seen, **others)
        found = torch.autograd.grad(loss, [leaf[name] for name in groups]) if groups else ()
        gradients = {name: np.asarray(g.numpy(), np.float64) for name, g in zip(groups, found, strict=True)}
        return Evaluation(float(loss.detach()), gradients, calculated.detach().numpy(), tilts)

    def together(self, state: State, parts: Sequence[Evaluation]) -> Evaluation:
        """What ``evaluate`` has found of one state, of some tilts after others, as one; with the last one's images.

        The gradients of the parts are used up.
        """
        if len(parts) == 1:
            return parts[0]
        gradients = {}
        for name, total in parts[0].gradients.items():
            others = [part.gradients[name] for part in parts[1:]]
            if _of_tilts(name, getattr(state, name)):
                total = np.concatenate([total, *others])
            else:
                for other in others:
                    total += other
            gradients[name] = total
        last = parts[-1]
        return Evaluation(sum(part.loss for part in parts), gradients, last.calculated, last.tilts)

    def loss(self, calculated: NDArray[np.float32], tilts: NDArray[np.int64]) -> float:
        """Loss of given images (n, V, U) of some tilts, scale and background included."""
        weights = None if self.weights is None else self.weights[torch.from_numpy(tilts)]
        return float(likelihood.loss(self.kind, torch.from_numpy(calculated), self.observed[tilts], weights))

    def weight(self, calculated: Tensor, tilts: Tensor, noise_variance: float) -> Tensor:
        """Weight of every pixel of the given tilts, mask / variance: the Gauss-Newton view of the likelihood."""
        if self.kind == "poisson":
            weight = 1.0 / calculated.clamp_min(likelihood.SMALLEST_RATE)
        else:
            weight = torch.full_like(calculated, 1.0 / noise_variance)
        return weight if self.weights is None else weight * self.weights[tilts]


def _of_tilts(name: str, value: Floats) -> bool:
    """Whether a field of the state has one row a tilt."""
    return name in PER_TILT or (name == "distortion" and len(value) > 1)


def _distorted(distortion: Tensor, rotations: Tensor) -> Tensor:
    """Rotations (n, 3, 3) whose first two rows, where atoms are seen, are stretched and sheared: (n, 4) or (1, 4)."""
    change = distortion.reshape(-1, 2, 2) @ rotations[:, :2]
    return torch.cat([rotations[:, :2] + change, rotations[:, 2:]], 1)
