"""Nothing that is in no file goes unasked: the question, and the answer that loses nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection

from qtpy.QtWidgets import QMessageBox, QWidget

from napari_lot.gui.state import WorkbenchState


def may_go(
    state: WorkbenchState,
    what_happens: str,
    question: str,
    confirm: Callable[[str], bool],
    runs: Collection[int] | None = None,
) -> bool:
    """Whether something may happen that takes atoms of runs with it; ``confirm`` is asked where they are in no file.

    Parameters
    ----------
    what_happens : str
        To the atoms, as 'go when ... is opened'.
    question : str
    confirm : callable
        Told what goes, with the question; True goes on.
    runs : collection of int, optional
        Numbers of the runs whose atoms go; all of the series by default.
    """
    atoms = state.unsaved_atoms(runs)
    return not atoms or confirm(
        f"{atoms[0].upper()}{atoms[1:]} {what_happens}. Export them first, if you want to keep them. {question}"
    )


def ask(parent: QWidget, question: str) -> bool:
    """Ask with a dialog; Enter and Escape lose nothing."""
    yes, no = QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.No
    return bool(QMessageBox.question(parent, "What is in no file", question, yes | no, no) == yes)
