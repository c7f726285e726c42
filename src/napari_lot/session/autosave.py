"""A running fit written to disk now and then, so that a crash costs minutes and not hours."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_lot.atoms import Orbitals
from napari_lot.files import make_folder
from napari_lot.job import Result, Snapshot
from napari_lot.session.file import NOT_ATOMS, RunState, Session, write_session
from napari_lot.session.in_turn import InTurn


class Autosave:
    """Writes the state of a run every ``interval_s``, in a thread of its own, whole or not at all.

    Parameters
    ----------
    path : path
        The file; its folder is made when the first state is written.
    session : Session
        What the run began with: series and settings.
    interval_s : float
        Seconds between writes, at least.
    embed_images : bool
        As for ``write_session``.
    clock : callable
        Seconds that only grow.

    Attributes
    ----------
    failure : OSError or None
        Why the last write failed; a later one that succeeds clears it.
    """

    def __init__(
        self,
        path: str | Path,
        session: Session,
        interval_s: float = 20.0,
        embed_images: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = Path(path)
        self.session = session
        self.interval_s = interval_s
        self.embed_images = embed_images
        self.failure: OSError | None = None
        self._clock = clock
        self._last = clock()
        self._history: list[tuple[float, float, float]] = [
            (float(a), float(b), float(c)) for a, b, c in session.history
        ]
        self._writing = InTurn("napari-lot autosave")
        # the newest of what was found that is not being written yet
        self._found: Session | None = None
        self._lock = threading.Lock()
        self._has_atoms = False
        self._closed = False
        # the last atoms that are on disk, and newer ones that are not
        self._written: RunState | None = None
        self._unsaved: RunState | None = None

    def add(self, snapshot: Snapshot, history: list[tuple[float, float, float]] | None = None) -> bool:
        """Take note of a snapshot and begin to write it where the time has come; True where it is being written.

        ``history`` is pass, loss and mean R of every snapshot since the last call; by default of this one. Orbitals
        that are no atoms (yet, or because a place is molten, or of the other hand) do not replace a state with atoms.
        """
        known = snapshot.r_factor[snapshot.r_factor == snapshot.r_factor]
        mean_r = float(known.mean()) if len(known) else float("nan")
        self._history += [(snapshot.step, snapshot.loss, mean_r)] if history is None else history
        are_atoms = snapshot.stage not in NOT_ATOMS
        if are_atoms and len(snapshot.orbitals):
            self._unsaved = RunState.of(snapshot)
        if self._clock() - self._last < self.interval_s or self._writing.busy or self._closed:
            return False
        found: RunState | None = RunState.of(snapshot) if len(snapshot.orbitals) else None
        if self._has_atoms and not are_atoms:  # the last atoms stay, and where the run is goes with them
            found, last = None, self._unsaved or self._written
            if last is not None and last.checkpoint is not snapshot.checkpoint:
                found = replace(last, checkpoint=snapshot.checkpoint)
        if found is None:
            return False
        self._has_atoms |= are_atoms
        self._last = self._clock()
        self._written, self._unsaved = found, None
        state = replace(self.session, state=self._written, history=self.history)
        self._writing.do(lambda: self._write(state))
        return True

    @property
    def complaint(self) -> str:
        """Why the last write failed, as a sentence; '' where it did not."""
        if self.failure is None:
            return ""
        why = self.failure.strerror or str(self.failure)
        kept = "the one before is kept" if self.path.is_file() else "there is none yet"
        return (
            f"{self.path}: the autosave cannot be written ({why}), {kept}; the run goes on: make room, or what it "
            "finds is lost if it breaks off."
        )

    @property
    def history(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """(K, 3): pass, loss and mean R of what was added."""
        return np.array(self._history, np.float64).reshape(-1, 3)

    def keep_last(self, edited: Orbitals | None = None) -> None:
        """The program ends before the run does: write its last atoms now, where they are newer than what is written.

        ``edited`` are those atoms as a person has changed them meanwhile. Returns when they are written.
        """
        if self._closed or (self._unsaved is None and edited is None):
            return
        self.wait()
        state = self._unsaved or self._written
        if state is None:
            return
        self._unsaved = None
        if edited is not None:
            state = replace(state, orbitals=edited, checkpoint=None)  # which knows nothing of the edit
        self._write(replace(self.session, state=state, history=self.history))

    def finish(self, result: Result, notes: dict[str, object] | None = None) -> None:
        """Write what the run found, or what became of it since, in a thread as well; of several the newest."""
        if self._closed:
            return
        with self._lock:
            self._found = replace(self.session, result=result, history=self.history, notes=dict(notes or {}))
        self._writing.do(self._write_found)

    def _write_found(self) -> None:
        with self._lock:
            session, self._found = self._found, None
        if session is not None and not self._closed:
            self._write(session)

    def wait(self, timeout_s: float | None = 30.0) -> None:
        """Until nothing is being written."""
        self._writing.wait(timeout_s)

    def remove(self) -> None:
        """The run is saved elsewhere, or nobody wants it: no other file is written, and what is there goes.

        At once, or as soon as nothing is being written any more.
        """
        self._closed = True
        self._writing.do_unless_busy(lambda: self.path.unlink(missing_ok=True))

    def _write(self, session: Session) -> None:
        try:
            make_folder(self.path.parent)
            write_session(self.path, session, self.embed_images)
            self.failure = None
        except OSError as error:
            self.failure = error
        except MemoryError:
            self.failure = OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
