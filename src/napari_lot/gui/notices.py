"""Notifications that go when they are out of date: the panel keeps what they say."""

from __future__ import annotations

from napari.utils.notifications import show_error
from qtpy.QtWidgets import QApplication, QLabel


class Notices:
    """Shows errors as napari does, and takes its own back."""

    def __init__(self) -> None:
        self._shown: set[str] = set()

    def show(self, sentence: str) -> None:
        """Show an error at the lower edge of the canvas."""
        self._shown.add(sentence)
        show_error(sentence)

    def dismiss(self) -> None:
        """Close what is still shown; other people's notifications stay."""
        # napari offers no way back to a notification, so it is known by its class and what it says.
        for widget in QApplication.allWidgets() if self._shown else ():
            if type(widget).__name__ == "NapariQtNotification" and widget.isVisible():
                message = getattr(widget, "message", None)
                if isinstance(message, QLabel) and message.text() in self._shown:
                    widget.close()
        self._shown.clear()
