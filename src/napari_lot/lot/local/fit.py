"""Keep, delete, move or add one atom of a finished result, and refit its neighbours.

Positions and heights of the atoms within a reach follow; all else stays: other atoms, widths, the probe, shifts, scale
and background. Only windows around the atoms are calculated, with the image model that was fitted: the windows of the
old images of the changed atoms are taken away and those of the new ones added. The likelihood is that of the fit, and
what a decision gains is told in its own unit, as a change of log-likelihood.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from napari_lot.errors import InputError
from napari_lot.job import Result
from napari_lot.lot import population
from napari_lot.lot.canvas import margin_A
from napari_lot.lot.local.atoms_table import OF_STATE, AtomsTable, Rows, Swap
from napari_lot.lot.local.change import Change, Done
from napari_lot.lot.local.drawing import Drawing
from napari_lot.lot.local.known import Known
from napari_lot.lot.local.metric import Metric
from napari_lot.lot.local.misfit import misfit
from napari_lot.lot.local.missing import missing_atom
from napari_lot.lot.local.noise import noise_of
from napari_lot.lot.local.refit import Refit
from napari_lot.lot.local.source import source_of
from napari_lot.lot.local.tally import Tally
from napari_lot.lot.local.windows import Patches, View, Windows, add, cut
from napari_lot.lot.precision import ERROR_BAR_REACH
from napari_lot.lot.problem import Problem, State
from napari_lot.lot.torch_threads import one_torch_thread
from napari_lot.physics.orbital import orbital
from napari_lot.series.tilt_series import TiltSeries

Floats = NDArray[np.float64]

REACH = 2.0
"""Expected nearest-neighbour distances up to which atoms are refitted."""
EDGE = 0.8
"""The same beyond them, up to which pixels are compared."""
LARGEST_MOVE = 1.5
"""The same that one move may go: farther away it is another atom."""
CLOSEST = 0.35
"""The same that a new atom must be away from all others."""
NO_WAY_A = 0.005
"""A move that ends nearer than this to where the atom was is none, whatever a refit of its neighbours would change."""
PATCH_HALF = 1.25
"""Half the side of a patch that is shown, in expected distances."""


class LocalFit:
    """Decisions about single atoms of one result.

    Building it takes a second or more; a decision a fraction of one. Not thread-safe: one thread at a time.

    Parameters
    ----------
    series : TiltSeries
        The series of the result, whole as it was read.
    result : Result
    threads : int, optional
        Of the image model; those of the settings, or all cores.

    Raises
    ------
    InputError
        The result does not belong to the series or does not say how it was fitted.
    """

    def __init__(self, series: TiltSeries, result: Result, threads: int | None = None) -> None:
        self.result = result
        self.source = source = source_of(series, result)
        self.series = source.job.series
        self.spacing_A = source.job.spacing_A
        self.reach_A = REACH * self.spacing_A
        state, pixel = source.state, source.pixel_A
        self.next_id = state.next_id
        self.view = View(source.matrices, source.center_px, state.shifts, pixel)
        threads = threads or result.settings.solver.threads
        tail = self._tail_A()
        inner = round(np.ceil((self.reach_A + EDGE * self.spacing_A) / pixel))
        wide = round(np.ceil((self.reach_A + tail) / pixel))
        self.near = Drawing(source, self.view, inner, threads)
        self.far = Drawing(source, self.view, wide, threads)
        # in the unit of the images, and to the last digit that of the result where nothing is changed
        self.images = np.array(result.calculated, np.float32)
        self.calculated = ((result.calculated - np.float32(source.zero)) / np.float32(source.unit)).astype(np.float32)
        self.problem = Problem(self.near.model, source.observed, source.weights, source.kind)
        self.tally = Tally(source.observed, self.calculated, state.background, source.usable)
        self.noise = noise_of(self.problem, state, self.calculated, result.details)
        self.metric = Metric(self.far.model, self.problem, state, self.view, self.noise.variance)
        self.refitting = Refit(self.near, self.problem, self.metric, self.noise, self.calculated)
        self.table = AtomsTable(state, result)
        self.known = Known(self.table, self.series, result.settings, self.view, self.metric, self.noise)
        self.done: list[Done] = []
        self._tree: cKDTree | None = None

    def _tail_A(self) -> float:
        """How far beyond its middle an atom's image is drawn."""
        source = self.source
        return margin_A(
            source.microscope,
            source.depth_range_A,
            source.state.typical_width,
            source.pixel_A / source.oversampling,
            orbital(source.job.settings.model.orbital),
        )

    def close(self) -> None:
        """End the worker threads."""
        self.near.close()
        self.far.close()

    # -- what there is ----------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """All atoms, in the solver's unit of intensity."""
        return self.table.state(self.source.state)

    @property
    def tree(self) -> cKDTree:
        """Of the positions."""
        if self._tree is None:
            self._tree = cKDTree(self.table.columns["positions"])
        return self._tree

    def position(self, atom: int) -> Floats:
        """Where an atom is, (3,) in Å; a copy, so that whoever draws it cannot move the atom."""
        return np.array(self.table.columns["positions"][self._index(atom)], np.float64)

    def price(self, atom: int) -> float:
        """What an atom must gain in log-likelihood to be believed one."""
        return float(self.known.prices(self.state)[self._index(atom)])

    @property
    def channels(self) -> int:
        """Depth channels of the image model."""
        return self.near.model.rank

    def misfit(self) -> Floats:
        """Root mean square residual around each atom over the noise, (N,) in the order of the present atoms."""
        return self._misfit(self.table.columns["positions"])

    def misfit_around(self, center_A: ArrayLike) -> tuple[NDArray[np.int64], Floats]:
        """Ids (M,) of the atoms around a change, and their misfit (M,)."""
        touched = self._near(np.asarray(center_A, np.float64), self.reach_A + EDGE * self.spacing_A)
        c = self.table.columns
        return c["ids"][touched], self._misfit(c["positions"][touched])

    def _misfit(self, positions: Floats) -> Floats:
        noise, blur = self.noise.variance, self.metric.blur_px
        return misfit(self.problem, self.view, positions, self.calculated, noise, blur)

    def _index(self, atom: int) -> int:
        try:
            return self.table.index(atom)
        except KeyError:
            raise InputError(f"There is no atom {atom} any more: choose another one.") from None

    def patches(self, center_A: ArrayLike, half_A: float | None = None) -> Patches:
        """Measured, calculated and residual cut-outs around a place at every tilt, in the units of the images."""
        center = np.asarray(center_A, np.float64)
        half = max(round((half_A or PATCH_HALF * self.spacing_A) / self.source.pixel_A), 2)
        origins, size = self.view.origins(center, half), 2 * half + 1
        calculated = cut(self.images, origins, size, np.nan)
        measured = cut(self.series.images, origins, size, np.nan)
        marks = self.view.pixels(center[None])[:, 0] - origins
        angles, pixel = self.series.angles_deg, self.source.pixel_A
        return Patches(measured, calculated, measured - calculated, origins, marks, angles, pixel)

    def windows(self, center_A: ArrayLike) -> Windows:
        """Where the images differ after a change around a place."""
        return Windows(self.far.origins(np.asarray(center_A, np.float64)), self.far.size)

    # -- decisions --------------------------------------------------------------------------------------------

    def delete(self, atom: int, stopped: Callable[[], bool] = lambda: False) -> Change:
        """What deleting an atom would change; ``refit.Stopped`` as soon as ``stopped`` says so."""
        index = self._index(atom)
        center = self.position(atom)
        free = self._near(center, self.reach_A)
        return self._fitted("delete", atom, center, free, self.state.select(free[free != index]), stopped)

    def keep(self, atom: int) -> Change:
        """That nothing changes."""
        return self._nothing("keep", atom)

    def _nothing(self, what: str, atom: int) -> Change:
        rows = self.table.rows(np.array([], np.int64))
        return Change(what, atom, self.position(atom), 0.0, 0, 0.0, rows, rows, self.position(atom))

    def refit(self, center_A: ArrayLike) -> Change:
        """What fitting the atoms around a place once more would change."""
        center = np.asarray(center_A, np.float64)
        free = self._near(center, self.reach_A)
        return self._fitted("refit", -1, center, free, self.state.select(free))

    def move(self, atom: int, position_A: ArrayLike) -> Change:
        """What moving an atom would change: from its new place it is fitted. Nothing, where that ends at the old one.

        Raises
        ------
        InputError
            The place is far away, or taken.
        """
        index, target = self._index(atom), np.asarray(position_A, np.float64)
        way = float(np.linalg.norm(target - self.position(atom)))
        if way > LARGEST_MOVE * self.spacing_A:
            raise InputError(
                f"Atom {atom} would move by {way:.1f} Å, farther than to its neighbours: delete it, and add one there."
            )
        if way < NO_WAY_A:
            return self._nothing("move", atom)
        self._check_free(target, but=index)
        free = np.union1d(self._near(target, self.reach_A), [index])
        moved = self.state.select(free)
        moved.positions[np.flatnonzero(free == index)[0]] = target
        change = self._fitted("move", atom, target, free, moved)
        return self._nothing("move", atom) if change.moved_A < NO_WAY_A else change

    def add(self, position_A: ArrayLike, species: int | None = None) -> Change:
        """What an atom more would change; ``species`` is that of most neighbours if not given.

        Raises
        ------
        InputError
            An atom is there already, or no image shows the place.
        """
        target = np.asarray(position_A, np.float64)
        self._check_free(target)
        seen = self.view.pixels(target[None])[self.problem.fitted, 0]
        shape = self.series.images.shape[1:]
        if not ((seen >= 0) & (seen <= np.array(shape) - 1)).all(1).any():
            raise InputError("No fitted tilt shows this place: an atom there would be a guess.")
        state, free = self.state, self._near(target, self.reach_A)
        if species is None:
            near = state.species[free] if len(free) else state.species
            species = int(np.bincount(near).argmax()) if len(near) else 0
        alike = state.height[state.species == species]
        height = float(np.median(alike)) if len(alike) else float(np.median(state.height)) if len(state.height) else 1.0
        new = replace(state.select(free), next_id=self.next_id).add(target[None], np.array([height]), species)
        return self._fitted("add", self.next_id, target, free, new)

    def apply(self, change: Change) -> None:
        """Make a change that was tried on the present state."""
        if not self.table.holds(change.before):
            raise InputError("Other atoms have changed meanwhile: take the decision again.")
        swap = self.table.swap(change.before, change.after)
        self._tree = None
        if len(change.before["ids"]) or len(change.after["ids"]):
            self._draw(change.before, change.after, change.center_A)
        touched = None if change.leaves_all else self._renew(change.center_A)
        self.done.append(Done(change, swap, touched))
        if change.what == "add":
            self.next_id = max(self.next_id, change.atom + 1)

    def undo(self) -> Change:
        """Take the last change back.

        Raises
        ------
        InputError
            There is none.
        """
        if not self.done:
            raise InputError("There is no decision to undo.")
        last = self.done.pop()
        if last.touched is not None:
            self.table.back(last.touched)
        self.table.back(last.swap)
        self._tree = None
        change = last.change
        if len(change.before["ids"]) or len(change.after["ids"]):
            self._draw(change.after, change.before, change.center_A)
        return change

    def changed_result(self, **details: Any) -> Result:
        """The result with all changes made so far; ``details`` go into those of the result."""
        state, source, c = self.state, self.source, self.table.columns
        orbitals = state.orbitals(source.unit, self.result.orbitals.elements)
        images = self.images.copy()
        return replace(
            self.result,
            orbitals=orbitals,
            calculated=images,
            residual=self.series.images - images,
            r_factor=self.tally.r_factor,
            correlation=self.tally.correlation,
            sigma_A=c.get("sigma_A"),
            p_exists=c.get("p_exists"),
            p_element=c.get("p_element"),
            tilts_seen=c["tilts_seen"],
            details={**self.result.details, "next_id": self.next_id, **details},
            # of these atoms, where none is another one
            checkpoint=self.result.checkpoint if all(done.change.leaves_all for done in self.done) else None,
        )

    def missing(self, center_A: ArrayLike) -> tuple[Change, float]:
        """What adding the atom that the images ask for near a place would change: see ``missing.missing_atom``."""
        return missing_atom(self, np.asarray(center_A, np.float64))

    def price_added(self, added: Change) -> float:
        """What an atom whose addition was tried must gain to be believed one."""
        return float(self.known.price_of(added.after["height"][added.after["ids"] == added.atom], self.state)[0])

    @property
    def price_usual(self) -> float:
        """What an atom of the usual height must gain to be believed one."""
        return float(self.known.price_of(np.full(1, np.inf), self.state)[0])

    def part_of_usual(self, added: Change) -> float:
        """Height of an atom whose addition was tried over the usual one."""
        height = added.after["height"][added.after["ids"] == added.atom][0]
        return float(height / max(population.typical_height(self.state), 1e-300))

    def is_apart(self, added: Change, apart_A: float) -> bool:
        """Whether an atom whose addition was tried did not end within a distance of another."""
        c = self.table.columns
        rest = c["positions"][~np.isin(c["ids"], added.before["ids"])]
        others = np.vstack([added.after["positions"][added.after["ids"] != added.atom], rest])
        return bool(np.linalg.norm(others - added.position_A, axis=1).min(initial=np.inf) >= apart_A)

    # -- the fit ----------------------------------------------------------------------------------------------

    def _near(self, center: Floats, reach_A: float) -> NDArray[np.int64]:
        return np.sort(np.asarray(self.tree.query_ball_point(center, reach_A), np.int64))

    def _check_free(self, target: Floats, but: int = -1) -> None:
        others = self._near(target, CLOSEST * self.spacing_A)
        others = others[others != but]
        if len(others):
            atom = int(self.table.columns["ids"][others[0]])
            raise InputError(f"Atom {atom} is at this place already: choose one farther from it.")

    def _fitted(
        self,
        what: str,
        atom: int,
        center: Floats,
        free: NDArray[np.int64],
        after: State,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Change:
        """Fit the atoms ``after`` in place of the ``free`` ones."""
        before = self.state.select(free)
        found = self.refitting.fit(before, after, center, self.known.height_prior(self.state), stopped)
        state = found.state
        here, old = np.flatnonzero(state.ids == atom), np.flatnonzero(before.ids == atom)
        place = state.positions[here[0]] if len(here) else center
        moved = float(np.linalg.norm(place - before.positions[old[0]])) if len(old) and len(here) else 0.0
        rows, count = self.known.rows(state), len(after.height)
        return Change(what, atom, place, found.gain, count, moved, self.table.rows(free), rows, center)

    def _draw(self, before: Rows, after: Rows, center: Floats) -> None:
        """Take the images of some atoms away and add those of others, at every tilt."""
        both = {name: np.concatenate([before[name], after[name]]) for name in OF_STATE}
        both["height"] = np.concatenate([-before["height"], after["height"]])
        state = replace(self.source.state, **both)  # type: ignore[arg-type]
        origins, tilts, size = self.far.origins(center), np.arange(len(self.problem)), self.far.size
        with one_torch_thread(), torch.no_grad():
            change = self.far.images(state, origins, tilts).numpy()
        old = cut(self.calculated, origins, size, 0.0)
        add(self.calculated, origins, change)
        unit, zero = np.float32(self.source.unit), np.float32(self.source.zero)
        for tilt, window in enumerate(self.windows(center).slices(self.images.shape[1:])):
            self.images[tilt][window] = self.calculated[tilt][window] * unit + zero
        self.tally.change(origins, old, cut(self.calculated, origins, size, 0.0))

    def _renew(self, center: Floats) -> Swap | None:
        """Error bars and probabilities of the atoms around a change, where the result has them."""
        reach = ERROR_BAR_REACH * self.spacing_A
        touched, around = self._near(center, reach), self._near(center, 2.0 * reach)
        renewed = self.known.renewed(self.state, touched, around, self.calculated, reach)
        return None if renewed is None else self.table.swap(*renewed)
