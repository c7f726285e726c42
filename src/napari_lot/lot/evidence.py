"""What the images say about atoms: noise, curvature, significance, and what a population costs."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage, special

from napari_lot.lot import population
from napari_lot.lot.hull import Hull
from napari_lot.lot.places import surroundings, surroundings_near
from napari_lot.lot.prior import AlikePrior, Prior
from napari_lot.lot.problem import Problem, State
from napari_lot.lot.spread.common import OPTIONS
from napari_lot.settings import Solver

Floats = NDArray[np.float64]

STEPS = {"own_width": 0.01, "distortion": 1e-3, "focus": 3.0}
"""Changes of the parameters (Å, or numbers) by which finite differences of the images are taken."""

GRID = 0.28
"""Of places for another atom, in neighbour distances."""
PLACES_OF_AN_ATOM, ENOUGH = 55, 100_000
"""Places for another atom around each, about; and so many whose median tells the noise to half a percent."""

MODEL_ERROR, BRIGHT = 1.7e-4, 0.999
"""Error of the image model, root mean square, relative to what is bright in an image (this quantile of its pixels): see
``python -m benchmarks.speed passes``, which compares it with a finer grid in double precision."""


class Evidence:
    """Judges states of one problem.

    Parameters
    ----------
    problem : Problem
    hull : Hull
        Where atoms may be.
    spacing_A : float
        Expected nearest-neighbour distance.
    settings : Solver
    one_height : bool
        All atoms are of one element and so of about one height.

    Attributes
    ----------
    variance : float
        Variance of a pixel about the model, of the last state looked at (least squares only).
    inflation : float
        Factor on the standard deviation of what is estimated, for residuals that are correlated between pixels.
    """

    def __init__(self, problem: Problem, hull: Hull, spacing_A: float, settings: Solver, one_height: bool) -> None:
        self.problem = problem
        self.hull = hull
        self.spacing_A = spacing_A
        self.settings = settings
        self.one_height = one_height
        self.variance = 1.0
        self.inflation = 1.0
        self._last: tuple[object, State, torch.Tensor] | None = None
        # brightness of the images, and how much all their pixels of the object weigh
        self._least: tuple[float, float] | None = None

    def images_and_weights(self, state: State, variance: float | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Calculated tilts and the weight of every pixel (mask / variance), both (T, V, U).

        Without a given ``variance`` that of the residual is taken, and kept.
        """
        images = self._calculated(state)
        if variance is None:
            variance = self.variance = self.noise_variance(images)
        return images, self.problem.weight(images, torch.arange(len(self.problem)), variance)

    def _calculated(self, state: State) -> torch.Tensor:
        """Calculated tilts (T, V, U), those of before where the same is asked for again: judgements come in rows."""
        model = self.problem.model
        if self._last is not None:
            of_model, before, images = self._last
            if of_model is model.transfer and all(
                np.array_equal(a, b) for a, b in zip(_seen_of(before), _seen_of(state), strict=True)
            ):
                return images
        images = torch.from_numpy(self.problem.evaluate(state, np.arange(len(self.problem)), ()).calculated)
        self._last = model.transfer, state.copy(), images
        return images

    def residual_variance(self, state: State) -> float:
        """Variance of a pixel about the state's images, as ``variance``."""
        self.images_and_weights(state)
        return self.variance

    def noise_variance(self, calculated: torch.Tensor) -> float:
        """Mean square residual where the object is: noise and what the model misses together."""
        squares = (self.problem.observed - calculated) ** 2
        inside = torch.from_numpy(self.hull.silhouettes)
        if self.problem.weights is None:
            return float(squares[inside].mean())
        inside = inside & (self.problem.weights > 0)
        weights = self.problem.weights[inside]  # a tilt of weight 2 counts as two
        return float((weights * squares[inside]).sum() / weights.sum())

    def least_loss(self, state: State) -> float:
        """Loss that the errors of the image model leave by themselves; 0 of counted electrons, which are noisier.

        Images are not explained better than they are calculated: what a fit would still find there are the errors of
        the program. Only images of this program's own, free of noise, come so far.
        """
        if self.problem.kind != "lsq" or not self.problem.fitted.size:
            return 0.0
        if self._least is None:
            # a hot pixel is not what is bright of the object
            some = self.problem.observed[self.problem.fitted, ::3, ::3]
            inside = torch.from_numpy(self.hull.silhouettes)
            weights = self.problem.weights
            counted = float(inside.sum() if weights is None else (weights * inside).sum(dtype=torch.float64))
            self._least = float(np.quantile(some.numpy(), BRIGHT)), counted
        bright, counted = self._least
        contrast = max(bright - float(state.background.mean()), 0.0)
        return 0.5 * (MODEL_ERROR * contrast) ** 2 * counted

    def _unit_atom(self, state: State) -> tuple[Floats, float]:
        """Energy (T,) of the image of a unit orbital at the origin, and that of its slope relative to it in 1/Å^2.

        The slope is that along one direction in the image, the mean of two.
        """
        model = self.problem.model
        one = torch.ones(1, dtype=torch.float64)
        width = torch.tensor([state.typical_width], dtype=torch.float64)
        at, shapes = torch.zeros(1, 3, dtype=torch.float64), self.problem.typical_shapes(state, 1)
        alone = model.images(range(len(self.problem)), at, one, width, None, shapes=shapes)
        energy = (alone**2).sum((1, 2)).numpy().astype(np.float64) * state.scale**2
        along_v, along_u = torch.gradient(alone / model.image_pixel_A, dim=(1, 2))
        sharpness = float((along_u**2 + along_v**2).sum() / (alone**2).sum()) / 2.0
        return energy, sharpness

    def curvature(self, state: State, points: Floats, weight: NDArray[np.float32]) -> Floats:
        """Second derivative of the negative log-likelihood by the height of an orbital at each point (M, 3), (M,)."""
        model = self.problem.model
        energy, _ = self._unit_atom(state)
        sigma = 0.7 * state.typical_width / model.image_pixel_A
        smooth = np.stack(model.run(lambda j: ndimage.gaussian_filter(weight[j], sigma), len(self.problem)))
        matrices = np.ascontiguousarray(self.problem.projections(state)[:, :2] / model.image_pixel_A)
        middles = state.shifts + np.array(model.center_px)[::-1]
        total = np.zeros(len(points))
        places, parts = np.ascontiguousarray(points), np.array_split(np.arange(len(points)), model.threads)

        def some(k: int) -> None:
            if len(parts[k]):
                own = slice(parts[k][0], parts[k][-1] + 1)
                _add_seen(places[own], matrices, middles, smooth, energy, total[own])

        model.run(some, len(parts))
        return total

    def height_error(self, state: State) -> Floats:
        """Standard deviation of each orbital's height (N,), neighbours left out of account; infinite of one unseen."""
        _, weight = self.images_and_weights(state)
        curvature = self.curvature(state, state.positions, weight.numpy())
        with np.errstate(divide="ignore"):
            return np.asarray(self.inflation / np.sqrt(curvature))

    def curvatures(self, state: State, groups: tuple[str, ...]) -> dict[str, Floats]:
        """Gauss-Newton curvature of the loss for every parameter of the groups, neighbours left out of account.

        Not of what all orbitals share: see ``shared_modes``.
        """
        images, weight = self.images_and_weights(state, variance=1.0)
        _, sharpness = self._unit_atom(state)
        height = self.curvature(state, state.positions, weight.numpy())
        weight = weight.double()
        signal = (images - torch.from_numpy(state.background)[:, None, None]).double()
        along_v, along_u = torch.gradient(signal, dim=(1, 2))
        shifts = torch.stack([(weight * along_u**2).sum((1, 2)), (weight * along_v**2).sum((1, 2))], 1)
        every = {
            "height": height,
            "positions": (state.height**2 * height * sharpness)[:, None] * self._axes_seen(state),
            "shifts": shifts.numpy(),
            "center": shifts.sum(0).numpy(),
            "scale": (weight * signal**2).sum((1, 2)).numpy(),
            "background": weight.sum((1, 2)).numpy(),
        }
        if "angles" in groups:
            every["angles"] = self._angle_curvature(state, 2.0 / 3.0 * height * sharpness, signal, weight)
        for name in ("distortion", "focus"):
            if name in groups:
                every[name] = self._tilt_curvature(state, name, images, weight)
        if "own_width" in groups:
            every["own_width"] = state.height**2 * height * self._width_sensitivity(state)
        return {g: _floored(every[g]) for g in groups if g in every}

    def _axes_seen(self, state: State) -> Floats:
        """How much of each axis of the specimen lies in the images, mean of the fitted tilts, (3,): the rest is depth.

        A single-axis series sees all of a move along its axis, but only a part of one across it, and where a wedge is
        missing least of one along the beam.
        """
        along_beam = self.problem.rotations(state)[self.problem.fitted, 2]
        return np.asarray(1.0 - (along_beam**2).mean(0))

    def _tilt_curvature(self, state: State, name: str, images: torch.Tensor, weight: torch.Tensor) -> Floats:
        """Curvature for numbers of each tilt, by finite differences; where one stands for the series, summed."""
        values = getattr(state, name)
        columns = values.reshape(len(values), -1)
        found = np.zeros((len(self.problem), columns.shape[1]))
        for k in range(columns.shape[1]):
            moved = state.copy()
            getattr(moved, name).reshape(len(values), -1)[:, k] += STEPS[name]
            for j in self.problem.fitted:
                change = self.problem.evaluate(moved, [j], ()).calculated[0] - images[j].numpy()
                found[j, k] = float((weight[j].numpy() * (change / STEPS[name]) ** 2).sum(dtype=np.float64))
        if len(values) < len(found):
            found = found.sum(0, keepdims=True)
        return found.reshape(values.shape)

    def _width_sensitivity(self, state: State) -> float:
        """Energy of the derivative of a unit orbital's image by its width over that of the image, 1/Å^2."""
        model, ends = self.problem.model, []
        for width in (state.typical_width, state.typical_width + STEPS["own_width"]):
            one, at = torch.ones(1, dtype=torch.float64), torch.zeros(1, 3, dtype=torch.float64)
            shapes = self.problem.typical_shapes(state, 1)._replace(common=False)  # the width of one orbital alone
            ends.append(model.images([0], at, one, torch.tensor([width], dtype=torch.float64), shapes=shapes)[0])
        return float((((ends[1] - ends[0]) / STEPS["own_width"]) ** 2).sum() / (ends[0] ** 2).sum())

    def _angle_curvature(self, state: State, sharpness: Floats, signal: torch.Tensor, weight: torch.Tensor) -> Floats:
        """Curvature (T, 3) of the loss for turns of each tilt about u, v and w.

        About w the whole image turns; about u and v each atom moves by its depth.
        """
        model = self.problem.model
        t, rows, columns = signal.shape
        v = (torch.arange(rows, dtype=torch.float64)[:, None] - model.center_px[0]) * model.image_pixel_A
        u = (torch.arange(columns, dtype=torch.float64)[None, :] - model.center_px[1]) * model.image_pixel_A
        along_v, along_u = torch.gradient(signal / model.image_pixel_A, dim=(1, 2))
        about_w = (weight * (u * along_v - v * along_u) ** 2).sum((1, 2)).numpy()
        depth = np.einsum("tj,nj->tn", self.problem.rotations(state)[:, 2], state.positions)
        # an axis of the specimen lies in the image in two thirds of the tilts: hence 3/2 for one that does
        about = 1.5 * depth**2 @ (state.height**2 * sharpness) / t
        return np.column_stack([about, about, about_w])

    def proposals(self, state: State, near: Floats | None = None) -> tuple[Floats, Floats, Floats]:
        """Places where the residual asks for another atom: points (M, 3), height that it asks for, significance.

        With g the back-projected weighted residual and A the curvature of the likelihood for a unit atom there, the
        best height of an added atom is g / A, its significance g / sqrt(A) standard deviations. Of all places around
        the orbitals, which sets ``inflation``, or of those ``near`` some points (K, 3).
        """
        constant_A = GRID * self.spacing_A
        if near is not None:
            return self._asked_for(
                state, surroundings_near(near, state.positions, self.hull, self.spacing_A, constant_A)
            )
        found = self._asked_for(state, self._surroundings(state, constant_A))
        self._learn_inflation(found[2])
        return found

    def look_at_noise(self, state: State) -> None:
        """Set ``variance`` and ``inflation`` as ``proposals`` does, from as many places as a median needs."""
        wider = max(1.0, PLACES_OF_AN_ATOM * len(state.positions) / ENOUGH) ** (1 / 3)
        _, _, score = self._asked_for(state, self._surroundings(state, wider * GRID * self.spacing_A))
        self._learn_inflation(score)

    def _asked_for(self, state: State, points: Floats) -> tuple[Floats, Floats, Floats]:
        """What the residual asks for at some points (M, 3)."""
        model = self.problem.model
        n = len(self.problem)
        calculated, weight = self.images_and_weights(state)
        residual = weight * (self.problem.observed - calculated)
        if len(points) == 0:
            return np.zeros((0, 3)), np.zeros(0), np.zeros(0)
        width = torch.tensor(state.typical_width, dtype=torch.float64)
        scale = torch.from_numpy(state.scale).float()[:, None, None]
        shifts = torch.from_numpy(state.shifts)
        turned, focus = torch.from_numpy(self.problem.projections(state)), torch.from_numpy(state.focus)
        where = torch.from_numpy(points)
        shapes = self.problem.typical_shapes(state, len(points))
        others = {"focus_A": focus, "shapes": shapes}
        g = model.adjoint(range(n), residual * scale, where, width, shifts, turned, **others).numpy()
        curvature = self.curvature(state, points, weight.numpy())
        with np.errstate(divide="ignore", invalid="ignore"):
            height = np.where(curvature > 0, g / curvature, 0.0)
            score = np.where(curvature > 0, g / np.sqrt(curvature), 0.0)
        return points, height, score

    def _learn_inflation(self, score: Floats) -> None:
        """Set ``inflation`` by the significances (M,) of all places, where there are any.

        Residuals that are correlated (denoised images, an imperfect model) make scores scatter more than independent
        noise would; but misplaced atoms scatter them too. Half of the excess, on a log scale, counts as noise.
        """
        if len(score):
            scatter = 1.4826 * float(np.median(np.abs(score - np.median(score))))
            self.inflation = max(np.sqrt(scatter), 1.0 if self.problem.kind == "poisson" else 0.5)

    def _surroundings(self, state: State, constant_A: float) -> Floats:
        """Places (M, 3) on a grid of such a constant around the orbitals."""
        return surroundings(state.positions, self.hull, self.spacing_A, constant_A, self.problem.model.run)

    def of_part(self, problem: Problem) -> Evidence:
        """The judge of some orbitals by themselves, in the noise of all: see ``melting``."""
        of_counts = self.problem.kind == "poisson"  # whose weights hold their variance
        part = Evidence(problem, self.hull, self.spacing_A, self.settings, self.one_height and not of_counts)
        part.variance, part.inflation = 1.0 if of_counts else self.variance, self.inflation
        return part

    def price(self, state: State) -> Floats:
        """What each orbital (N,) must gain in log-likelihood to be believed an atom.

        An even price for every atom, which sets how rarely noise makes one, and with a single element also the prior of
        its height: all atoms of one element have one height, within a scatter.
        """
        return prices(state.height, population.typical_height(state), self.settings, self.one_height)

    def existence(self, state: State, sigma_height: Floats) -> Floats:
        """Probability (N,) that each orbital is an atom: its gain in log-likelihood against its price.

        A height of H with standard deviation sigma gains (H / sigma)^2 / 2 over no atom there.
        """
        return existence(state.height, sigma_height, self.price(state))

    def priors(self, state: State, groups: tuple[str, ...]) -> dict[str, Prior | AlikePrior]:
        """What is known beforehand of some groups, in units of the loss; of heights, that they are alike."""
        s = self.settings
        found: dict[str, Prior | AlikePrior] = {}
        height = self.height_prior(state) if "height" in groups else None
        if height is not None:
            mean = float(state.height.mean())
            found["height"] = AlikePrior(height.strength * height.expected**2, mean, height.expected / mean)
        noise = self.inflation**2 * (1.0 if self.problem.kind == "poisson" else self.variance)
        spread = {
            "own_width": s.width_scatter_A,
            "learnt": s.learnt_scatter,
            "distortion": s.distortion_scatter,
            "focus": s.tilt_defocus_A or 1.0,
        }
        return found | {g: Prior(0.0, noise / spread[g] ** 2) for g in groups if g in spread}

    def height_prior(self, state: State) -> Prior | None:
        """The prior of the heights in units of the loss, where there is one.

        Counts need none: their noise is known, and pulling weak orbitals up would hide that they are not atoms.
        """
        if not self.one_height or self.problem.kind == "poisson":
            return None
        typical = population.typical_height(state)
        if typical <= 0:
            return None
        noise = self.inflation**2 * self.variance
        return Prior(typical, noise / (self.settings.height_scatter * typical) ** 2)

    def cost(self, state: State, prior: Prior | None) -> float:
        """Cost of a population: negative log-likelihood and log-prior in units of the noise, and a price per atom."""
        found = self.problem.evaluate(state, np.arange(len(self.problem)), ())
        loss = found.loss + (prior.cost(state.height) if prior is not None else 0.0)
        noise = 1.0 if self.problem.kind == "poisson" else self.variance
        return loss / (noise * self.inflation**2) + 0.5 * self.settings.birth_significance**2 * len(state.height)


def prices(height: Floats, typical: float, settings: Solver, one_height: bool) -> Floats:
    """What orbitals of some heights (N,) must gain to be believed atoms: see ``Evidence.price``."""
    price = np.full(len(height), 0.5 * settings.birth_significance**2)
    if one_height:
        lack = np.maximum(1.0 - height / max(typical, 1e-300), 0.0)
        price += 0.5 * (lack / settings.height_scatter) ** 2
    return price


def existence(height: Floats, sigma_height: Floats, price: Floats) -> Floats:
    """Probability (N,) that orbitals are atoms: see ``Evidence.existence``."""
    return np.asarray(special.expit(0.5 * significance(height, sigma_height) ** 2 - price), np.float64)


def significance(height: Floats, sigma_height: Floats) -> Floats:
    """Heights (N,) in standard deviations, as far as anybody counts."""
    return np.minimum(height / np.maximum(sigma_height, 1e-30), 1e3)


def _seen_of(state: State) -> list[NDArray[Any]]:
    """All that images depend on."""
    return [value for name, value in vars(state).items() if name not in ("ids", "next_id")]


def _floored(curvature: Floats) -> Floats:
    """What hardly any pixel sees has next to no curvature of its own, and must not take endless steps."""
    seen = curvature[curvature > 0]
    return np.maximum(curvature, 1e-2 * float(np.median(seen)) if len(seen) else 1.0)


@nb.njit(**OPTIONS)
def _add_seen(points, matrices, middles, images, factors, total):  # type: ignore[no-untyped-def]
    """Add to ``total`` what all tilts show where points (N, 3) are seen, bilinear, times a factor each (compiled).

    ``matrices`` (T, 2, 3) and ``middles`` (T, 2) give (u, v) in pixels; outside its field an image shows nothing.
    """
    tilts, rows, columns = images.shape
    for j in range(tilts):
        m = matrices[j]
        for i in range(len(points)):
            x, y, z = points[i, 0], points[i, 1], points[i, 2]
            u = m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + middles[j, 0]
            v = m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + middles[j, 1]
            if 0.0 <= u <= columns - 1 and 0.0 <= v <= rows - 1:
                left, top = min(int(u), columns - 2), min(int(v), rows - 2)
                fu, fv = u - left, v - top
                here, below = images[j, top], images[j, top + 1]
                above = (1.0 - fu) * here[left] + fu * here[left + 1]
                under = (1.0 - fu) * below[left] + fu * below[left + 1]
                total[i] += factors[j] * ((1.0 - fv) * above + fv * under)
