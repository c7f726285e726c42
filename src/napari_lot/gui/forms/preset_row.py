"""Choose, save and delete presets of one kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QInputDialog, QLabel, QMessageBox, QPushButton, QWidget

from napari_lot import presets
from napari_lot.errors import InputError
from napari_lot.settings import Settings

NONE = "choose…"


class PresetRow(QWidget):
    """A line with the presets of a kind.

    ``chosen(name, values)`` comes when one is taken, ``failed(sentence)`` when something cannot be done.

    Parameters
    ----------
    kind : str
        As in ``napari_lot.presets``.
    sections : dict of str to tuple of str
        What a preset of this kind keeps.
    settings : callable
        The settings now; may raise ``InputError``.
    """

    chosen = Signal(str, object)
    failed = Signal(str)

    def __init__(
        self,
        kind: str,
        sections: dict[str, tuple[str, ...]],
        settings: Callable[[], Settings],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._kind, self._sections, self._settings = kind, sections, settings
        self.box = QComboBox()
        self.box.setObjectName(f"{kind}_preset")
        self.box.setToolTip("Fill the form with a preset; your own are marked with a star.")
        self.box.setAccessibleName("Preset")
        self.box.setMinimumContentsLength(12)
        self.box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.box.activated.connect(self._take)
        self.save_button = QPushButton("Save…")
        self.save_button.setObjectName(f"save_{kind}_preset")
        self.save_button.setToolTip(f"Keep these values as a preset of your own, in {presets.own_folder(kind)}.")
        self.save_button.clicked.connect(self._save)
        self.delete_button = QPushButton("Delete")
        self.delete_button.setObjectName(f"delete_{kind}_preset")
        self.delete_button.clicked.connect(self._delete)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(QLabel("Preset"))
        layout.addWidget(self.box, 1)
        layout.addWidget(self.save_button)
        layout.addWidget(self.delete_button)
        self._found: dict[str, presets.Preset] = {}
        self.refresh()

    @property
    def name(self) -> str | None:
        """The preset that is shown; None where none is."""
        data = self.box.currentData()
        return None if data is None else str(data)

    def refresh(self, name: str | None = None) -> None:
        """Look for presets again and show one of them, or none."""
        self._found = presets.presets(self._kind)
        self.box.clear()
        self.box.addItem(NONE, None)
        for preset in self._found.values():
            self.box.addItem(preset.name if preset.shipped else f"{preset.name} ★", preset.name)
            self.box.setItemData(self.box.count() - 1, preset.description or str(preset.path), 3)  # its tooltip
        self.box.setCurrentIndex(max(self.box.findData(name), 0))
        self._enable()

    def forget(self) -> None:
        """Values have been changed: what is shown is no preset any more."""
        self.box.setCurrentIndex(0)
        self._enable()

    def _enable(self) -> None:
        preset = self._found.get(self.name or "")
        own = preset is not None and not preset.shipped
        self.delete_button.setEnabled(own)
        self.delete_button.setToolTip("Delete this preset." if own else "Only a preset of your own can be deleted.")

    def _take(self, index: int) -> None:
        self._enable()
        preset = self._found.get(self.name or "")
        if preset is None:
            return
        try:
            values: dict[str, Any] = preset.values()
        except InputError as error:
            self.forget()
            self.failed.emit(str(error))
            return
        self.chosen.emit(preset.name, values)
        self.box.setCurrentIndex(max(self.box.findData(preset.name), 0))  # whatever the change of values did to it
        self._enable()

    def _save(self) -> None:
        name, given = QInputDialog.getText(self, "Save preset", "Name of the preset")
        if not given or not name.strip():
            return
        own = self._found.get(name.strip())
        replace = own is not None and not own.shipped
        if replace and not self._sure(f"Replace the preset {name.strip()!r}?"):
            return
        try:
            saved = presets.save(self._kind, name, self._settings(), self._sections, replace)
        except InputError as error:
            self.failed.emit(str(error))
            return
        self.refresh(saved.name)

    def _delete(self) -> None:
        name = self.name
        if name is None or not self._sure(f"Delete the preset {name!r}?"):
            return
        try:
            presets.delete(self._kind, name)
        except InputError as error:
            self.failed.emit(str(error))
        self.refresh()

    def _sure(self, question: str) -> bool:
        return QMessageBox.question(self, "Presets", question) == QMessageBox.StandardButton.Yes
