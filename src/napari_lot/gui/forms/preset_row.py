"""The row of presets: load, save what stands in the form, delete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtWidgets import QComboBox, QHBoxLayout, QInputDialog, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_lot.errors import InputError
from napari_lot.gui.forms.sentence import Sentence
from napari_lot.presets import Preset, delete_preset, load_preset, presets, presets_folder, save_preset

NONE = "none"


class PresetRow(QWidget):
    """A choice of presets of one kind, and buttons to load, save and delete.

    Parameters
    ----------
    kind : str
        As in ``napari_lot.presets``.
    values : callable
        What stands in the form, ``{section: {name: value}}``.
    take : callable
        Puts such values into the form.
    fail : callable
        Told a sentence where something cannot be done.
    """

    def __init__(
        self,
        kind: str,
        values: Callable[[], dict[str, dict[str, Any]]],
        take: Callable[[dict[str, dict[str, Any]]], None],
        fail: Callable[[str], Any],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.kind, self._values, self._take, self._fail = kind, values, take, fail
        self._known: list[Preset] = []
        self.choice = QComboBox()
        self.choice.setObjectName(f"{kind}_preset")
        self.choice.setToolTip("Named sets of settings; Load puts the chosen one into this step.")
        self.choice.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.load = QPushButton("Load")
        self.load.setObjectName(f"{kind}_preset_load")
        self.load.clicked.connect(self._load)
        self.save = QPushButton("Save…")
        self.save.setObjectName(f"{kind}_preset_save")
        self.save.setToolTip(f"Keep the settings of this step under a name, in {presets_folder(kind)}.")
        self.remove = QPushButton("Delete")
        self.remove.setObjectName(f"{kind}_preset_delete")
        self.about = Sentence(f"{kind}_preset_about")
        self.about.hide()
        row = QHBoxLayout()
        label = QLabel("Preset")
        label.setBuddy(self.choice)
        row.addWidget(label)
        row.addWidget(self.choice, 1)
        buttons = QHBoxLayout()
        for button in (self.load, self.save, self.remove):
            buttons.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(row)
        layout.addLayout(buttons)
        layout.addWidget(self.about)
        self.choice.currentIndexChanged.connect(lambda _: self._describe())
        self.save.clicked.connect(self._ask_and_save)
        self.remove.clicked.connect(self._delete)
        self._offer(None)

    def _offer(self, chosen: str | None) -> None:
        self._known = presets(self.kind)
        self.choice.blockSignals(True)
        self.choice.clear()
        self.choice.addItems([NONE, *(preset.name for preset in self._known)])
        for i, preset in enumerate(self._known, start=1):
            self.choice.setItemData(i, preset.about, 3)  # Qt.ToolTipRole
        names = [preset.name for preset in self._known]
        self.choice.setCurrentIndex(names.index(chosen) + 1 if chosen in names else 0)
        self.choice.blockSignals(False)
        self._describe()

    @property
    def chosen(self) -> Preset | None:
        """The preset that is chosen; None for none."""
        index = self.choice.currentIndex()
        return self._known[index - 1] if index > 0 else None

    def _describe(self) -> None:
        preset = self.chosen
        self.about.setText("" if preset is None else preset.about)
        self.about.setVisible(bool(self.about.text()))
        own = preset is not None and not preset.shipped
        self.load.setEnabled(preset is not None)
        self.load.setToolTip(
            "Choose a preset first." if preset is None else f"Put the settings of {preset.name!r} in place of these."
        )
        self.remove.setEnabled(own)
        why = "Choose one of your own presets first." if preset is None else "This one ships with the program."
        self.remove.setToolTip(f"Delete the preset {preset.name!r}." if own and preset is not None else why)

    def _load(self) -> None:
        preset = self.chosen
        if preset is not None:
            try:
                self._take(load_preset(preset))
            except InputError as error:
                # What stands in the form stays; so does the file, for somebody to mend.
                self._fail(str(error))

    def _ask_and_save(self) -> None:
        own = self.chosen.name if self.chosen is not None and not self.chosen.shipped else ""
        name, wanted = QInputDialog.getText(self, "Save the settings", "Name of the preset:", text=own)
        if wanted:
            self.save_as(name, overwrite=name.strip() == own)

    def save_as(self, name: str, overwrite: bool = False) -> None:
        """Save what stands in the form."""
        try:
            saved = save_preset(self.kind, name, self._values(), overwrite=overwrite)
        except InputError as error:
            self._fail(str(error))
            return
        self._offer(saved.name)

    def _delete(self) -> None:
        preset = self.chosen
        if preset is None:
            return
        try:
            delete_preset(preset)
        except InputError as error:
            self._fail(str(error))
        self._offer(None)
