"""Start, Pause, Finish now and Cancel of a voxel reconstruction: what each does now, or why it does nothing."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_lot.control import Control
from napari_lot.gui.forms.widgets import offer
from napari_lot.gui.state import WorkbenchState

ATOMS_RUN = "A fit of orbitals is running (step 3)."


class RunButtons(QWidget):
    """The four buttons in a row.

    Parameters
    ----------
    start, pause, finish, cancel : callable
        Called when they are clicked.
    """

    def __init__(
        self,
        start: Callable[[], None],
        pause: Callable[[], None],
        finish: Callable[[], None],
        cancel: Callable[[], None],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.start, self.pause = QPushButton("Start"), QPushButton("Pause")
        self.finish, self.cancel = QPushButton("Finish now"), QPushButton("Cancel")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for button, name, call in (
            (self.start, "start", start),
            (self.pause, "pause", pause),
            (self.finish, "finish", finish),
            (self.cancel, "cancel", cancel),
        ):
            button.setObjectName(f"volume_{name}")
            button.clicked.connect(lambda _=False, call=call: call())
            row.addWidget(button)

    def update_for(self, state: WorkbenchState, control: Control | None, needs: str | None, busy: bool) -> None:
        """Enable what does something now; what does not says why.

        Parameters
        ----------
        control : Control or None
            Of the voxel method that is running.
        needs : str or None
            What is still missing for a start.
        busy : bool
            The volume is being traced, read or written.
        """
        running = state.running_volume
        why = "A volume is being reconstructed." if running else ATOMS_RUN if state.fitting else None
        why = why or (None if needs is None else f"{needs[0].upper()}{needs[1:]}.")
        why = why or ("Not while the volume is traced, read or written: wait, or cancel." if busy else None)
        offer(self.start, why, "Reconstruct a volume from the tilt series.")
        stopping = control is not None and control.stop_request is not None
        idle = "It is stopping." if stopping else None if running else ATOMS_RUN if state.fitting else None
        idle = idle or (None if running else "Nothing is running.")
        paused = control is not None and running and control.pause_requested
        self.pause.setText("Resume" if paused else "Pause")
        offer(self.pause, idle, "Go on." if paused else "Hold the reconstruction; nothing is lost.")
        offer(self.finish, idle, "Stop after this iteration and keep its volume.")
        offer(self.cancel, idle, "Stop soon without a result.")
