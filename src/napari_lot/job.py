"""Job: one reconstruction from series to atoms. The command line, the window and a notebook consume it alike."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_lot.atoms import Orbitals
from napari_lot.edit import Candidates, Edit, Held, difference
from napari_lot.errors import InputError
from napari_lot.physics.elements import nearest_neighbour_A
from napari_lot.series.detector import choose_likelihood
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.settings import REFINED_BY_DEFAULT, Model, Settings

LEAST_TILTS_FOR_PROBE = 8
"""Each tilt sees every atom at another depth: a few depths are needed before a probe can be told from its atoms."""


class Control:
    """What a consumer asks of a running reconstruction; polled at every mini-batch. Thread-safe.

    While the run is paused (``is_paused``), ``held`` is what it lets its consumer see: ``edit`` hands over changed
    atoms, which the solver takes when the run goes on, ``ask_candidates`` has the solver look for missing atoms.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._pause = False
        self._stop: str | None = None
        self._edit: Edit | None = None
        self._question: Edit | None = None
        self._answer: Candidates | str | None = None
        self.is_paused = False
        self.held: Held | None = None

    def pause(self) -> None:
        """Hold the solver at the next mini-batch; nothing is lost. A run that is stopping goes on to its end."""
        with self._changed:
            self._pause = self._stop is None

    def resume(self) -> None:
        """Go on after a pause, with the edit that was handed over, if any."""
        with self._changed:
            self._pause = False
            self._changed.notify_all()

    def finish(self) -> None:
        """Stop soon and keep the result of that moment, with the edit that was handed over, if any."""
        with self._changed:
            self._stop = self._stop or "finish"
            self._pause = False
            self._changed.notify_all()

    def cancel(self) -> None:
        """Stop soon; no result is wanted."""
        with self._changed:
            self._stop = "cancel"
            self._pause = False
            self._changed.notify_all()

    @property
    def stop_request(self) -> str | None:
        """None, 'finish' or 'cancel'."""
        return self._stop

    @property
    def pause_requested(self) -> bool:
        return self._pause

    # -- while paused -----------------------------------------------------------------------------------------

    def difference(self, atoms: Orbitals) -> Edit:
        """What ``edit`` would hand over.

        Raises
        ------
        InputError
            The run is not paused, its atoms cannot be edited now, or these are none that it could go on with.
        """
        held = self.held
        if held is None:
            raise InputError("Edited atoms: the run is not paused; pause it first.")
        if held.refusal:
            raise InputError(f"Edited atoms: {held.refusal}")
        return difference(held.orbitals, atoms, held.usable)

    def edit(self, atoms: Orbitals) -> Edit:
        """Hand over atoms in the place of ``held.orbitals``, told apart by their ids (-1 for a new one).

        The solver takes them when the run goes on; handing over others before that takes these back.

        Raises
        ------
        InputError
            As ``difference``; nothing is handed over then.
        """
        found = self.difference(atoms)
        with self._changed:
            self._edit = found or None
        return found

    def take_edit(self) -> Edit | None:
        """For the solver: what was handed over, once."""
        with self._changed:
            found, self._edit = self._edit, None
        return found

    def ask_candidates(self, atoms: Orbitals) -> None:
        """Have the paused solver find where the residual asks for atoms, beside ``atoms``; see ``candidates``.

        Raises
        ------
        InputError
            As ``edit``.
        """
        question = self.difference(atoms)
        with self._changed:
            self._question, self._answer = question, None
            self._changed.notify_all()

    def candidates(self) -> Candidates | str | None:
        """The answer to ``ask_candidates``, once: None while there is none, a sentence where it failed."""
        with self._changed:
            found, self._answer = self._answer, None
        return found

    def wait_while_paused(self, held: Held | None = None, answer: Callable[[Edit], Candidates] | None = None) -> None:
        """Called by the solver between mini-batches: blocks while paused.

        Parameters
        ----------
        held : Held, optional
            What the consumer may see and edit meanwhile.
        answer : callable, optional
            Finds candidates; called in this thread, so that nothing else touches the solver's state.
        """
        with self._changed:
            if not self._pause:
                return
            self.held, self.is_paused = held, True
            while self._pause:
                question, self._question = self._question, None
                if question is None or answer is None:
                    self._changed.wait()
                    continue
                self._changed.release()
                try:
                    found: Candidates | str = answer(question)
                except Exception as error:
                    found = f"The residual could not be searched ({type(error).__name__}: {error}); nothing is lost."
                finally:
                    self._changed.acquire()
                self._answer = found
            self.is_paused, self.held, self._question = False, None, None


@dataclass(frozen=True)
class ProbeSlices:
    """Intensity of the probe over depth: images (D, V, U) float32 of unit sum, depth_A (D,), pixel_size_A."""

    images: NDArray[np.float32]
    depth_A: NDArray[np.float64]
    pixel_size_A: float


@dataclass(frozen=True)
class Snapshot:
    """The state of a reconstruction at one moment; nothing in it changes afterwards.

    Attributes
    ----------
    stage : str
        prepare, start, heights, positions, merge, birth, refine, polish, finished.
    step, steps_total : int
        Position in the whole run, in passes over the series (the total is an estimate that may grow).
    orbitals : Orbitals
    loss : float
        Mean loss per pixel of the last pass; NaN before the first.
    r_factor : (T,) float64
        Eq. 11 per tilt; NaN where not yet computed.
    tilts, calculated : (n,) int, (n, V, U) float32
        Tilts whose calculated images are new since the last snapshot, in the measured images' units
        (scale and background included). Residual = measured - calculated.
    probe : ProbeSlices or None
        Given once, when the probe is known or changed.
    elapsed_s : float
    message : str
        One sentence for a person.
    """

    stage: str
    step: int
    steps_total: int
    orbitals: Orbitals
    loss: float
    r_factor: NDArray[np.float64]
    tilts: NDArray[np.int64]
    calculated: NDArray[np.float32]
    probe: ProbeSlices | None
    elapsed_s: float
    message: str


@dataclass(frozen=True)
class Result:
    """What a finished run leaves.

    ``calculated`` and ``residual`` are (T, V, U) float32 in the measured images' units; ``center_px`` is (row, column);
    ``shifts_px`` (T, 2) holds (du, dv) per tilt beyond the centre; ``scale`` and ``background`` are (T,);
    ``angles_deg`` (T, 3) are turns about u, v and w after each tilt's own rotation.
    ``probe`` is the one that was fitted, ``probe_before`` that of the settings.
    ``sigma_A`` (N, 3) are standard deviations of x, y and z, ``p_element`` (N,) and ``p_exists`` (N,) the probabilities
    that an atom is of its element and that it exists; None where not computed.
    ``r_factor`` (Eq. 11) and ``correlation`` (Pearson) are (T,), NaN for tilts left out; those of the tilts in
    ``withheld`` are of a prediction by atoms that were fitted without them. ``warnings`` are doubts, a sentence each.
    ``stop_reason`` is 'converged', 'finished early', 'cancelled' or 'time limit', as a sentence in ``message``.
    """

    orbitals: Orbitals
    r_factor: NDArray[np.float64]
    calculated: NDArray[np.float32]
    residual: NDArray[np.float32]
    center_px: tuple[float, float]
    shifts_px: NDArray[np.float64]
    scale: NDArray[np.float64]
    background: NDArray[np.float64]
    probe: ProbeSlices
    tilts_seen: NDArray[np.int64]
    wall_seconds: dict[str, float]
    stop_reason: str
    message: str
    settings: Settings
    correlation: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    probe_before: ProbeSlices | None = None
    angles_deg: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)))
    sigma_A: NDArray[np.float64] | None = None
    p_element: NDArray[np.float64] | None = None
    p_exists: NDArray[np.float64] | None = None
    withheld: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """What is known of every atom besides its orbital, under the names of the exported columns."""
        found: dict[str, NDArray[Any]] = {}
        if self.sigma_A is not None:
            found |= {f"sigma_{axis}_A": values for axis, values in zip("xyz", self.sigma_A.T, strict=True)}
        if self.p_element is not None:
            found["p_element"] = self.p_element
        if self.p_exists is not None:
            found["p_exists"] = self.p_exists
        return found | {"tilts_seen": np.asarray(self.tilts_seen, np.int64)}

    @property
    def probe_changed(self) -> bool:
        """Whether the fit changed the probe of the settings."""
        before = self.probe_before
        return before is not None and not np.array_equal(before.images, self.probe.images)

    def agreement(self, withheld: bool = False) -> tuple[float, float] | None:
        """Mean R and mean correlation of the fitted or of the withheld tilts; None where there are none to judge."""
        chosen = np.isin(np.arange(len(self.r_factor)), self.withheld) == withheld
        chosen &= np.isfinite(self.r_factor)
        if not chosen.any():
            return None
        known = self.correlation[chosen] if len(self.correlation) else np.zeros(0)
        known = known[np.isfinite(known)]
        return float(self.r_factor[chosen].mean()), float(known.mean()) if len(known) else float("nan")


def withheld_tilts(tilts: int, every: int | None) -> tuple[int, ...]:
    """Tilts N // 2, N // 2 + N, ... for ``every`` = N; none for None."""
    return () if every is None else tuple(range(every // 2, tilts, every))


class Job:
    """One reconstruction.

    >>> job = Job(series, settings)                    # doctest: +SKIP
    >>> for snapshot in job.run():                     # doctest: +SKIP
    ...     print(snapshot.stage, len(snapshot.orbitals))
    >>> job.result.orbitals                            # doctest: +SKIP

    Parameters
    ----------
    series : TiltSeries
    settings : Settings
    start : Orbitals or None
        Given atoms to refine in place of the grid.

    Attributes
    ----------
    result : Result or None
        None before the end of a run, after a cancel, and where a run was stopped before there was an atom.
    stop_reason : str or None
        How the last run ended: as in ``Result``.

    Raises
    ------
    InputError
        From the constructor, where settings and series do not go together.
    """

    def __init__(self, series: TiltSeries, settings: Settings, start: Orbitals | None = None) -> None:
        self.settings = settings
        self.tilt_weights = checked_weights(series, settings)  # before tilts of weight 0 are left out
        left_out = settings.data.left_out
        self.series = series.exclude(*left_out) if left_out else series
        self.withheld = tuple(
            t for t in withheld_tilts(len(series), settings.data.withhold) if t not in self.series.excluded
        )
        self.fitted = self._without_withheld()
        self.start = start
        self.result: Result | None = None
        self.stop_reason: str | None = None
        self.spacing_A = expected_spacing_A(settings.model)
        check(settings)
        check_agreement(settings, series, start)

    def _without_withheld(self) -> TiltSeries:
        if self.settings.data.withhold is not None and not self.withheld:
            raise InputError(
                f"--withhold {self.settings.data.withhold}: none of the {len(self.series)} tilts would be withheld; "
                "give a smaller number."
            )
        try:
            return self.series.exclude(*self.withheld) if self.withheld else self.series
        except InputError as error:
            raise InputError(
                f"--withhold {self.settings.data.withhold}: too few tilts are left to fit. {error}"
            ) from None

    def run(self, control: Control | None = None) -> Iterator[Snapshot]:
        """Yield snapshots, every change of stage but not more than a person can follow; sets ``result`` at the end.

        ``result`` stays None after a cancel.
        """
        # torch and the compiled kernels load here, so that settings and forms need neither
        from napari_lot.lot.run import run_job

        self.result = None
        yield from run_job(self, control or Control())


def checked_weights(series: TiltSeries, settings: Settings) -> NDArray[np.float64]:
    """Factor (T,) on the log-likelihood of every tilt.

    Raises
    ------
    InputError
        A weight is given for a tilt that does not exist.
    """
    weights = np.ones(len(series))
    for tilt, weight in settings.data.tilt_weights:
        if tilt >= len(series):
            raise InputError(
                f"{series.source}: data.tilt_weights names tilt {tilt}: the {len(series)} tilts are counted from 0 to "
                f"{len(series) - 1}."
            )
        weights[tilt] = weight
    return weights


def expected_spacing_A(model: Model) -> float:
    """Nearest-neighbour distance in Å that the start and the population expect.

    Raises
    ------
    InputError
        Neither a spacing nor a known element is given.
    """
    if model.spacing_A is not None:
        return model.spacing_A
    if model.elements == ("X",):
        raise InputError(
            "The expected distance between atoms is unknown: "
            "give the element (--element Pt) or the spacing (--spacing 2.8)."
        )
    return min(nearest_neighbour_A(element) for element in model.elements)


def check_agreement(settings: Settings, series: TiltSeries, start: Orbitals | None) -> None:
    """Settings that say something of the series or the start say the same as these do.

    Raises
    ------
    InputError
        They contradict each other: the setting would be ignored.
    """
    data, solver = settings.data, settings.solver
    if Path(settings.model.orbital).suffix:
        from napari_lot.physics.orbital import orbital  # needs torch, which a program that only asks may not wait for

        orbital(settings.model.orbital)  # an absent or unreadable table is told before the run
    choose_likelihood(series, settings)
    for name, given, own in (
        ("pixel_size_A", data.pixel_size_A, series.pixel_size_A),
        ("tilt_axis_deg", data.tilt_axis_deg, series.tilt_axis_deg),
        ("counts", data.counts, series.counts),
    ):
        if name in data.model_fields_set and given is not None and given != own:
            raise InputError(
                f"{series.source}: data.{name} is {given} in the settings but {own} in the series: "
                "read the series with the value that holds."
            )
    if settings.start.kind != "grid" and start is None:
        raise InputError(
            f"start.kind: the atoms of {settings.start.kind} are to be read and given to the job as its start."
        )
    if settings.model.probe == "direct" and solver.tilt_defocus_A is not None:
        raise InputError(
            "solver.tilt_defocus_A: direct projection has no focus: take a rigid or an adaptive probe (--probe)."
        )
    for name, asked in (
        ("solver.tilt_defocus_A", solver.tilt_defocus_A is not None),
        ("solver.widths: atom", solver.widths == "atom"),
        ("solver.distortion: tilt", solver.distortion == "tilt"),
    ):
        if asked and len(series.used) < LEAST_TILTS_FOR_PROBE:
            raise InputError(
                f"{series.source}: {len(series.used)} tilts cannot tell what {name} asks for from the atoms' "
                f"heights and positions: leave it out, or take at least {LEAST_TILTS_FOR_PROBE} tilts."
            )
    optics = settings.model.probe == "adaptive" or "defocus" in (solver.refine or ())
    if settings.model.probe == "direct" and "defocus" in (solver.refine or ()):
        raise InputError("--refine defocus: direct projection has no probe: take a rigid or an adaptive one (--probe).")
    if optics and len(series.used) < LEAST_TILTS_FOR_PROBE:
        raise InputError(
            f"{series.source}: {len(series.used)} tilts cannot tell a probe from heights and widths of the atoms: take "
            f"--probe rigid without defocus to refine, or at least {LEAST_TILTS_FOR_PROBE} tilts."
        )
    free = set(solver.refine or REFINED_BY_DEFAULT) - set(solver.fix)
    if solver.widths == "atom" and "width" not in free:
        raise InputError("solver.widths: atom: every atom would have its own width, but width is not refined.")
    if start is None and not {"positions", "heights"} <= free:
        raise InputError(
            "Without atoms to start from, positions and heights must be refined: refine them, or give atoms (--start)."
        )


def check(settings: Settings) -> None:
    """What must be known before a run.

    Raises
    ------
    InputError
        Energy or semi-angle is missing for a probe that needs them.
    """
    missing = [
        text
        for value, text in (
            (settings.microscope.energy_eV, "the electron energy (--energy, in eV)"),
            (settings.microscope.semiangle_mrad, "the convergence semi-angle (--semiangle, in mrad)"),
        )
        if value is None
    ]
    if settings.model.probe != "direct" and missing:
        raise InputError(
            f"A {settings.model.probe} probe needs {' and '.join(missing)}: "
            "give it, or choose direct projection (--probe direct)."
        )
