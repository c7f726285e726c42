"""What a reconstruction shows while it runs, and what it leaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_lot.atoms import Orbitals
from napari_lot.settings import Settings


@dataclass(frozen=True)
class ProbeSlices:
    """Intensity of the probe over depth: images (D, V, U) float32 of unit sum, depth_A (D,), pixel_size_A."""

    images: NDArray[np.float32]
    depth_A: NDArray[np.float64]
    pixel_size_A: float


@dataclass(frozen=True)
class Checkpoint:
    """Where a run was, exactly, so that another one goes on from there: arrays by name, and what JSON can hold."""

    numbers: dict[str, NDArray[Any]]
    words: dict[str, Any]


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
    checkpoint : Checkpoint or None
        Of the last pass or fit that had ended; None before the first.
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
    checkpoint: Checkpoint | None = None


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
    ``withheld`` are of a prediction by atoms that were fitted without them. ``warnings`` are caveats, a sentence each.
    ``wall_seconds`` are those of every stage and the ``total``, without pauses, which are ``paused``.
    ``stop_reason`` is 'converged', 'finished early', 'cancelled' or 'time limit', as a sentence in ``message``.
    ``checkpoint`` is where a run was that was ended before: what it found then was settled, and from there it would go
    on; None of one that had come to its end, and where its atoms were edited since.
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
    checkpoint: Checkpoint | None = None

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
        if len(self.tilts_seen) == len(self.orbitals):  # not known of a run that was broken off
            found |= {"tilts_seen": np.asarray(self.tilts_seen, np.int64)}
        return found

    @property
    def ended_early(self) -> bool:
        """Whether a person or a time limit ended the run before it had come to its end."""
        return self.stop_reason in ("finished early", "time limit")

    @property
    def by_hand(self) -> dict[str, Any]:
        """What a person has changed: ``edits`` in pauses and ``decisions`` since, where there are any."""
        return {name: self.details[name] for name in ("edits", "decisions") if name in self.details}

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
