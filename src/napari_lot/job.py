"""Job: one reconstruction from series to atoms. The command line, the window and a notebook consume it alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from napari_lot.agreement import check, check_agreement, checked_weights, expected_spacing_A, shared_out
from napari_lot.atoms import Orbitals
from napari_lot.control import Control
from napari_lot.result import Checkpoint, ProbeSlices, Result, Snapshot
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.settings import Settings
from napari_lot.settings.model import WITHOUT_FILE
from napari_lot.settings.tilts import withheld_tilts

__all__ = [
    "Control",
    "Job",
    "ProbeSlices",
    "Result",
    "Snapshot",
    "check",
    "expected_spacing_A",
    "given_start",
    "withheld_tilts",
]


def given_start(settings: Settings) -> Orbitals | None:
    """Atoms that ``start.kind`` names: of a file of atoms, or the peaks of a volume.

    None for a grid, and for the peaks of a volume that the job itself reconstructs first.

    Raises
    ------
    InputError
        The file cannot be read, or holds no atoms.
    """
    kind = settings.start.kind
    if kind in WITHOUT_FILE:
        return None
    from napari_lot.export import holds_volume, read_atoms, read_volume

    if not holds_volume(kind):
        return read_atoms(kind)
    from napari_lot.voxel.atoms.species import atoms_of

    return atoms_of(read_volume(kind), settings, kind)


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
        Given atoms to refine in place of the grid, or of the peaks that the settings ask for.
    checkpoint : Checkpoint or None
        Of an earlier run of the same series, settings and start: it goes on from there to the same result.

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

    def __init__(
        self,
        series: TiltSeries,
        settings: Settings,
        start: Orbitals | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.settings = settings
        self.checkpoint = checkpoint
        self.tilt_weights = checked_weights(series, settings)  # before tilts of weight 0 are left out
        self.series, self.withheld, self.fitted = shared_out(series, settings.data)
        self.start = start
        self.from_peaks = settings.start.kind == "peaks" and start is None
        self.result: Result | None = None
        self.stop_reason: str | None = None
        self.spacing_A = expected_spacing_A(settings.model)
        check(settings)
        check_agreement(settings, series, start)

    def run(self, control: Control | None = None) -> Iterator[Snapshot]:
        """Yield snapshots, every change of stage but not more than a person can follow; sets ``result`` at the end.

        ``result`` stays None after a cancel.
        """
        # torch and the compiled kernels load here, so that settings and forms need neither
        from napari_lot.lot.run import run_job

        control = control or Control()
        self.result = None
        if not self.from_peaks:
            yield from run_job(self, control)
            return
        from napari_lot.peaks_start import peaks_first

        self.start = None
        peaks = yield from peaks_first(self, control)
        if peaks is None:
            self.stop_reason = "cancelled"
            return
        self.start = peaks.atoms
        for snapshot in run_job(self, control, peaks.seconds):
            yield replace(snapshot, step=snapshot.step + peaks.steps, steps_total=snapshot.steps_total + peaks.steps)
        if (result := self.result) is not None:
            self.result = replace(result, details={**result.details, "peaks": peaks.details})
