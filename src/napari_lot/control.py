"""What a consumer asks of a running reconstruction: pause, edit, finish, cancel."""

from __future__ import annotations

import threading
from collections.abc import Callable

from napari_lot.atoms import Orbitals
from napari_lot.edit import Candidates, Edit, Held, difference
from napari_lot.errors import InputError


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
