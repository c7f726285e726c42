"""Where a run is, exactly: with it the rest of its road gives the same numbers, bit by bit, as if nothing had happened.

The road (``Reconstruction``) is a program that decides by what it finds. It is gone again from its beginning, but what
had been done is passed over: acts (culling, births, ...) give what they gave then, and passes and fits do nothing.
After the last of them everything that the road changes is put in place, and it goes on. A fit goes on in its midst: it
begins where it had begun, with what it had come to.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from napari_lot.code_mark import code_mark
from napari_lot.edit import Edit
from napari_lot.errors import InputError
from napari_lot.lot.adam import Adam
from napari_lot.lot.correction import ProbeCorrection
from napari_lot.lot.polish import Descent
from napari_lot.lot.problem import State
from napari_lot.physics.orbital import Gaussian
from napari_lot.result import Checkpoint
from napari_lot.settings import Microscope

if TYPE_CHECKING:
    from napari_lot.lot.reconstruct import Reconstruction

Method = TypeVar("Method", bound=Callable[..., Any])
PLAIN = ("caution", "stage", "step", "steps_total", "log", "seconds", "condensed", "significance", "lens_sigma_A")
"""Fields of a reconstruction that are numbers and texts."""


class Road:
    """What has been done, in order, and what of it is passed over."""

    def __init__(self) -> None:
        self.done: list[tuple[str, Any]] = []
        self.left: list[tuple[str, Any]] = []

    def passed(self, name: str) -> Any:
        """What came of the next thing on the road, which is not done again.

        Raises
        ------
        InputError
            Another thing was done then.
        """
        then, value = self.left.pop(0)
        if then != name:
            raise InputError(
                "The run cannot be gone on with where it was, its settings or the program are others: give its file "
                "to --start."
            )
        self.done.append((name, value))
        return value


def act(method: Method) -> Method:
    """A method that changes the reconstruction and gives a number, a truth or names: passed over where it was done."""
    name = method.__name__

    @functools.wraps(method)
    def acted(self: Any, *given: Any, **named: Any) -> Any:
        if self.road.left:
            return self.road.passed(name)
        found = method(self, *given, **named)
        self.road.done.append((name, found))
        return found

    return cast(Method, acted)


def taken(solver: Reconstruction) -> Checkpoint:
    """All that the road changes, as it is now; nothing in it changes afterwards."""
    numbers: dict[str, Any] = {}
    states = {"state": solver.state, **{f"kept {name}": state for name, (state, _) in solver.kept.items()}}
    if solver.settled is not None:
        states["settled"] = solver.settled
    if solver.aside is not None:
        states["aside"] = solver.aside.state
    for name, state in states.items():
        for f in fields(State):
            if f.name != "next_id":
                numbers[f"{name}: {f.name}"] = getattr(state, f.name).copy()
    for what, memory in _adam(solver.adam).items():
        for name, values in memory.items():
            numbers[f"adam {what}: {name}"] = values.copy()
    if solver.p_element is not None:
        numbers["p_element"] = solver.p_element.copy()
    numbers["closed"] = solver.by_hand.closed.copy()
    model = solver.problem.model
    judge = solver.evidence if solver.aside is None else solver.aside.evidence
    words = {
        "code": code_mark(),
        "road": list(solver.road.done),
        "plain": {name: _copied(getattr(solver, name)) for name in PLAIN},
        "next_id": {name: int(state.next_id) for name, state in states.items()},
        "kept": {name: since for name, (_, since) in solver.kept.items()},
        "random": solver.rng.bit_generator.state,
        "noise": [float(judge.variance), float(judge.inflation)],
        "not_finite": solver.problem.not_finite + (0 if solver.aside is None else solver.aside.problem.not_finite),
        "edits": [[{f.name: getattr(e, f.name).tolist() for f in fields(Edit)}, i] for e, i in solver.by_hand.made],
        "edit_log": list(solver.by_hand.log),
        "model": {
            "made": model.made,
            "width_A": model.width_A,
            "coarse": model.coarse,
            "shaped": model.shaped,
            "microscope": None if model.microscope is None else model.microscope.model_dump(mode="json"),
            "correction": None if model.correction is None else model.correction.as_dict(),
        },
    }
    return Checkpoint(numbers, words)


def at_the_start() -> Checkpoint:
    """Of a run in which nothing has been done yet: all of its road is left."""
    return Checkpoint({}, {"code": code_mark(), "road": [], "plain": {"step": 0}, "edits": []})


def in_the_midst(base: Checkpoint, steps: int, descent: Descent) -> Checkpoint:
    """Where a fit of ``steps`` is that began at a checkpoint: its arrays are those of the fit, which change no more."""
    numbers = {**base.numbers, "fit: x": descent.x, "fit: gradient": descent.gradient}
    for k, (step, change, _) in enumerate(descent.pairs):
        numbers |= {f"fit: step {k}": step, f"fit: change {k}": change}
    words = {name: getattr(descent, name) for name in ("loss", "turns", "taken", "still")}
    rest = {"steps": steps, "over": bool(descent.over), "rho": [rho for *_, rho in descent.pairs]}
    return Checkpoint(numbers, {**base.words, "fit": words | rest})


def unfinished(checkpoint: Checkpoint) -> tuple[int, Descent] | None:
    """Steps of the fit in whose midst a checkpoint was taken, and where it was; None of one between fits."""
    if "fit" not in checkpoint.words:
        return None
    with _damage_told():
        return _fit_of(checkpoint.words["fit"], checkpoint.numbers)


def _fit_of(words: dict[str, Any], numbers: dict[str, Any]) -> tuple[int, Descent]:
    pairs = tuple(
        (numbers[f"fit: step {k}"], numbers[f"fit: change {k}"], float(rho)) for k, rho in enumerate(words["rho"])
    )
    places = numbers["fit: x"], numbers["fit: gradient"]
    turns, accepted, still = (int(words[name]) for name in ("turns", "taken", "still"))
    descent = Descent(*places, pairs, float(words["loss"]), turns, accepted, still, bool(words["over"]))
    return int(words["steps"]), descent


def put_in_place(solver: Reconstruction, checkpoint: Checkpoint) -> None:
    """Make a reconstruction what it was when a checkpoint was taken; what is left of the road stays as it is.

    Raises
    ------
    InputError
        The checkpoint is damaged.
    """
    with _damage_told():
        _check_whole(checkpoint)
        _put_in_place(solver, checkpoint)


@contextmanager
def _damage_told() -> Iterator[None]:
    try:
        yield
    except (KeyError, ValueError, IndexError, TypeError, AttributeError):
        raise InputError(
            "The run cannot be gone on with where it was, for what its file says of that is damaged: give the file to "
            "--start, which takes its atoms."
        ) from None


def _check_whole(checkpoint: Checkpoint) -> None:
    """Refuse arrays that are no numbers, or of which some are shorter than others.

    Raises
    ------
    ValueError
        One is.
    """
    numbers = checkpoint.numbers
    if not all(np.isfinite(values).all() for values in numbers.values()):
        raise ValueError("not finite")
    of_atoms = ("positions", "height", "species", "ids", "own_width")
    for name in checkpoint.words["next_id"]:
        if len({len(numbers[f"{name}: {field}"]) for field in of_atoms}) > 1:
            raise ValueError("not of one length")
    fit = [len(values) for name, values in numbers.items() if name.startswith("fit: ")]
    if len(set(fit)) > 1:
        raise ValueError("not of one length")


def _put_in_place(solver: Reconstruction, checkpoint: Checkpoint) -> None:
    numbers, words = checkpoint.numbers, checkpoint.words

    def state(name: str) -> State:
        values = {f.name: numbers[f"{name}: {f.name}"].copy() for f in fields(State) if f.name != "next_id"}
        return State(**values, next_id=int(words["next_id"][name]))

    solver.state = solver._good = state("state")
    solver.kept = {name: (state(f"kept {name}"), int(since)) for name, since in words["kept"].items()}
    solver.settled = state("settled") if "settled" in words["next_id"] else None
    for name, value in words["plain"].items():
        setattr(solver, name, _copied(value))
    solver.adam = Adam()
    for what, memory in _adam(solver.adam).items():
        start = f"adam {what}: "
        memory.update({name.removeprefix(start): v.copy() for name, v in numbers.items() if name.startswith(start)})
    solver.p_element = numbers["p_element"].copy() if "p_element" in numbers else None
    solver.rng.bit_generator.state = words["random"]
    solver.evidence.variance, solver.evidence.inflation = words["noise"]
    solver.problem.not_finite = int(words["not_finite"])
    solver.by_hand.closed = numbers["closed"].copy()
    solver.by_hand.log[:] = words["edit_log"]
    solver.by_hand.made[:] = [(_edit(values), int(first)) for values, first in words["edits"]]
    _put_model(solver, words["model"])
    if "aside" in words["next_id"]:
        model = solver.problem.model
        model.set_coarse(False)  # as when their images were drawn
        solver._stand_still(state("aside"))
        model.set_coarse(bool(words["model"]["coarse"]))


def _edit(values: dict[str, list[Any]]) -> Edit:
    arrays: dict[str, Any] = {}
    for name, value in values.items():
        of_numbers = name in ("removed", "moved", "added_species")
        arrays[name] = np.array(value, np.int64 if of_numbers else np.float64).reshape((-1,) if of_numbers else (-1, 3))
    return Edit(**arrays)


def _put_model(solver: Reconstruction, then: dict[str, Any]) -> None:
    shape = {True: solver.orbital, False: Gaussian()}
    lens = None if then["microscope"] is None else Microscope.model_validate(then["microscope"])
    model = solver.problem.model
    if then["made"] is not None:
        oversampling, width_A, shaped = then["made"]
        model.set_orbital(shape[shaped])
        model.close()
        model = solver.problem.model = model.like(lens, int(oversampling), float(width_A))
    correction = None if then["correction"] is None else ProbeCorrection.from_dict(then["correction"])
    if correction is not None or model.correction is not None:
        model.set_correction(correction)
    model.set_coarse(bool(then["coarse"]))
    model.set_orbital(shape[bool(then["shaped"])])
    model.set_width(float(then["width_A"]))


def _adam(adam: Adam) -> dict[str, dict[str, Any]]:
    """What Adam remembers, by kind."""
    return {"first": adam._first, "second": adam._second, "count": adam._count}


def _copied(value: Any) -> Any:
    return type(value)(value) if isinstance(value, list | dict) else value
