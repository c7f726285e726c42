"""Notifications that go when they are out of date: the panel keeps what they say."""

from __future__ import annotations

from napari.utils.notifications import show_error
from qtpy.QtWidgets import QApplication, QLabel


class Notices:
    """Shows errors as napari does, and takes its own back."""

    def __init__(self) -> None:
        self._shown: dict[str, str] = {}

    def show(self, sentence: str, action: str = "") -> None:
        """Show an error at the lower edge of the canvas; ``action`` is what failed."""
        self._shown[sentence] = action
        show_error(sentence)

    def dismiss(self, action: str | None = None) -> None:
        """Close what is still shown, of one ``action`` or of all; other people's notifications stay."""
        gone = {sentence for sentence, of in self._shown.items() if action is None or of == action}
        # napari offers no way back to a notification, so it is known by its class and what it says.
        for widget in QApplication.allWidgets() if gone else ():
            if type(widget).__name__ == "NapariQtNotification" and widget.isVisible():
                message = getattr(widget, "message", None)
                if isinstance(message, QLabel) and message.text() in gone:
                    widget.close()
        for sentence in gone:
            del self._shown[sentence]
