"""Images, losses and gradients in single precision against double, and what that is in pm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from benchmarks.numbers.exact import Exact
from benchmarks.speed.common import diameter_A

from napari_lot.job import Job
from napari_lot.lot.fitting import Fit
from napari_lot.lot.prepare import prepare
from napari_lot.lot.problem import Problem, State
from napari_lot.lot.reconstruct import Reconstruction
from napari_lot.physics.orbital import orbital
from napari_lot.series.sample import load_sample
from napari_lot.settings import Microscope, facts_as_settings, settings_from_dict
from napari_lot.simulate.images import simulate_series
from napari_lot.simulate.particles import amorphous_sphere

MOVED_A = 0.01
"""Every atom is put so far from where the fit ended, along each axis, at random (standard deviation): 1 pm."""
ONE_WIDTH = ("positions", "height", "width", "shifts", "angles", "distortion", "focus", "scale", "background")
ROADS: dict[str, tuple[str, ...]] = {
    "one width (compact window)": ONE_WIDTH,
    "own widths (Gaussians)": (*ONE_WIDTH, "own_width"),
    "learnt orbital": (*ONE_WIDTH, "learnt"),
}
"""Each way in which orbitals are spread, and all that is refined by it."""
FITTED = ("positions", "height", "width", "shifts", "scale", "background")


def sample_job(**solver: Any) -> Job:
    """The bundled sample with what is known of it."""
    series = load_sample()
    values: dict[str, dict[str, Any]] = {"solver": solver}
    for setting, value in facts_as_settings(series.metadata).items():
        section, name = setting.split(".")
        values.setdefault(section, {})[name] = value
    return Job(series, settings_from_dict(values))


def particle_job(atoms: int, **solver: Any) -> Job:
    """An amorphous particle of silicon, noise-free: where single precision is seen most."""
    made = amorphous_sphere("Si", diameter_A(atoms), 2.2, atoms=atoms, width_A=0.5, seed=1)
    lens = {"energy_eV": 300e3, "semiangle_mrad": 25.0}
    series = simulate_series(made, np.arange(-70.0, 71.0, 4.0), 0.35, Microscope(**lens))
    return Job(series, settings_from_dict({"microscope": lens, "model": {"elements": ["Si"]}, "solver": solver}))


def fitted(job: Job) -> Reconstruction:
    """A whole run from the grid, with what it ends with."""
    ready = prepare(job)
    elements = job.settings.model.elements
    solver = Reconstruction(ready.problem, ready.state, ready.hull, job.spacing_A, job.settings.solver, elements)
    for _ in solver.condense():
        pass
    for _ in solver.to_atoms():
        pass
    return solver


def elsewhere(state: State, rng: np.random.Generator) -> State:
    """The state with every atom put a little elsewhere, and its height changed by 1 % (standard deviation)."""
    return replace(
        state,
        positions=state.positions + rng.normal(0, MOVED_A, state.positions.shape),
        height=state.height * rng.normal(1, 1e-2, state.height.shape),
    )


def near(state: State, seed: int = 0) -> State:
    """The state with all that is refined moved a little: what a fit still has to do, and more than rounding shows."""
    rng = np.random.default_rng(seed)
    return replace(
        elsewhere(state, rng),
        width=state.width + 0.005,
        angles=rng.normal(0, 1e-4, (len(state.shifts), 3)),
        focus=rng.normal(0, 0.5, len(state.shifts)),
        distortion=rng.normal(0, 1e-4, (1, 4)),
    )


def on_road(problem: Problem, state: State, road: str, seed: int = 0) -> State:
    """The state for a way to spread orbitals; the model is set to it."""
    rng, learns = np.random.default_rng(seed), road == "learnt orbital"
    problem.model.set_orbital(orbital("learnt" if learns else "gaussian"))
    state = replace(state, own_width=np.zeros(len(state.height)), learnt=np.zeros((len(state.width), 0)))
    if learns:
        state.learnt = rng.normal(0, 0.02, (len(state.width), problem.model.orbital.terms))
    if road == "own widths (Gaussians)":
        state.own_width = rng.normal(0, 0.01, len(state.height))
    problem.model.set_width(state.typical_width)
    return state


def relative(found: Any, exact: Any) -> float:
    """Largest difference as a part of the largest value."""
    return float(np.abs(np.asarray(found) - exact).max() / max(np.abs(exact).max(), 1e-300))


def compared(fit: Fit, state: State, groups: tuple[str, ...]) -> dict[str, Any]:
    """Images, loss and gradients of a state by both; and how far the error of the gradient moves an atom, in pm."""
    every = np.arange(len(fit.problem))
    found, exact = (problem.evaluate(state, every, groups) for problem in (fit.problem, Exact.of(fit.problem)))
    curvature = fit.evidence.curvatures(state, ("positions",))["positions"]
    wrong_A = (found.gradients["positions"] - exact.gradients["positions"]) / np.maximum(curvature, 1e-300)
    return {
        "images": relative(found.calculated, exact.calculated),
        "loss": relative(found.loss, exact.loss),
        "gradients": {name: relative(found.gradients[name], exact.gradients[name]) for name in groups},
        "newton_pm": {"rms": 100 * float(np.sqrt(np.mean(wrong_A**2))), "max": 100 * float(np.abs(wrong_A).max())},
    }


def stepped(
    solver: Reconstruction, problem: Problem, state: State, steps: int, groups: tuple[str, ...] = FITTED
) -> State:
    """The state after so many quasi-Newton steps, by one problem or the other; fewer where the fit ends before."""
    problem.model.set_width(state.typical_width)
    judge = solver.evidence
    fit = Fit(problem, state, solver.hull, solver.spacing_A, solver.settings, judge.one_height, lambda: None)
    fit.evidence.variance, fit.evidence.inflation = judge.variance, judge.inflation
    for _ in fit.fit("polish", steps, groups):
        pass
    return fit.state


def moved_pm(a: State, b: State) -> dict[str, float]:
    """How far atoms of two states lie apart, in pm."""
    order_a, order_b = np.argsort(a.ids), np.argsort(b.ids)
    apart = 100 * np.linalg.norm(a.positions[order_a] - b.positions[order_b], axis=1)
    return {"rms": float(np.sqrt(np.mean(apart**2))), "max": float(apart.max())}


def measured(job: Job, steps: tuple[int, ...], say: Callable[[str], None] = print) -> dict[str, Any]:
    """All that is measured of one object."""
    solver = fitted(job)
    problem = solver.problem
    say(f"fitted: {len(solver.state.height)} atoms")
    state = near(solver.state)
    found: dict[str, Any] = {
        "atoms": len(state.height),
        "tilts": len(problem),
        "shape": list(problem.observed.shape[1:]),
        "kind": problem.kind,
        "roads": {},
        "steps": {},
    }
    for road, groups in ROADS.items():
        here = on_road(problem, state, road)
        found["roads"][road] = compared(solver, here, groups)
        say(f"{road}: {found['roads'][road]}")
    begun = on_road(problem, near(solver.state), "one width (compact window)")
    begun = replace(begun, angles=0 * begun.angles, focus=0 * begun.focus, distortion=0 * begun.distortion)
    for count in steps:
        single, double = (stepped(solver, p, begun, count) for p in (problem, Exact.of(problem)))
        found["steps"][str(count)] = {"apart_pm": moved_pm(single, double), "moved_pm": moved_pm(double, begun)}
        say(f"{count} steps: {found['steps'][str(count)]}")
    problem.model.close()
    return found
