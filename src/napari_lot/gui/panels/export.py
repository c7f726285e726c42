"""Step 5: atoms as CSV or XYZ, calculated and residual stacks as TIFF, the report, or all of it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from qtpy.QtWidgets import QCheckBox, QComboBox, QFileDialog, QGridLayout, QLabel, QLineEdit, QPushButton, QWidget

from napari_lot.errors import InputError
from napari_lot.export import write_atoms_csv, write_atoms_xyz, write_stack
from napari_lot.gui.state import WorkbenchState
from napari_lot.job import Result
from napari_lot.report import check_output_folder, make_report, write_json, write_results
from napari_lot.series import TiltSeries

EVERYTHING = "Everything, folder"
KINDS = {
    "Atoms, XYZ": ("atoms.xyz", ".xyz"),
    "Atoms, CSV": ("atoms.csv", ".csv"),
    "Calculated tilts, TIFF": ("calculated.tif", ".tif"),
    "Residual tilts, TIFF": ("residual.tif", ".tif"),
    "Report, JSON": ("report.json", ".json"),
    EVERYTHING: ("results", ""),
}


class ExportPanel(QWidget):
    """Choose what and where, and save."""

    def __init__(self, state: WorkbenchState, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.state = state
        self.kind = QComboBox()
        self.kind.setObjectName("export_kind")
        self.kind.addItems(list(KINDS))
        self.kind.setToolTip("What to save; coordinates are in Å in the specimen frame, 0 is the rotation centre.")
        self.path = QLineEdit()
        self.path.setObjectName("export_path")
        self.path.setToolTip("File to write; for everything: a folder, new or empty.")
        self.browse = QPushButton("Choose…")
        self.browse.setToolTip("Choose where to save.")
        self.browse.clicked.connect(self._browse)
        self.overwrite = QCheckBox("replace what is there")
        self.overwrite.setObjectName("export_overwrite")
        self.overwrite.setToolTip("Without this an existing file, or a folder that is not empty, is left alone.")
        self.save = QPushButton("Save")
        self.save.setObjectName("export_save")
        self.save.clicked.connect(self._save)
        self.note = QLabel()
        self.note.setObjectName("export_note")
        self.note.setWordWrap(True)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(QLabel("Save"), 0, 0)
        layout.addWidget(self.kind, 0, 1, 1, 2)
        layout.addWidget(QLabel("as"), 1, 0)
        layout.addWidget(self.path, 1, 1)
        layout.addWidget(self.browse, 1, 2)
        layout.addWidget(self.overwrite, 2, 1)
        layout.addWidget(self.save, 2, 2)
        layout.addWidget(self.note, 3, 0, 1, 3)
        layout.setColumnStretch(1, 1)
        self.kind.currentTextChanged.connect(self._on_kind)
        self._on_kind(self.kind.currentText())
        state.result_changed.connect(self._enable)
        state.running_changed.connect(self._enable)
        self._enable()

    def shutdown(self) -> None:
        """Stop listening."""
        self.state.result_changed.disconnect(self._enable)
        self.state.running_changed.disconnect(self._enable)

    def _enable(self) -> None:
        ready = self.state.result is not None
        self.save.setEnabled(ready)
        self.save.setToolTip(
            f"Write what run {self.state.result_run} found." if ready else "Needs a finished reconstruction (step 3)."
        )
        if not ready:
            self.note.setText("")

    def _on_kind(self, kind: str) -> None:
        name, suffix = KINDS[kind]
        current = self.path.text().strip()
        if not current:
            self.path.setText(name)
        elif Path(current).name in {n for n, _ in KINDS.values()}:
            self.path.setText(str(Path(current).with_name(name)))
        else:
            self.path.setText(str(Path(current).with_suffix(suffix)))

    def _browse(self) -> None:
        if self.kind.currentText() == EVERYTHING:
            folder = QFileDialog.getExistingDirectory(self, "Save into", self.path.text())
            if folder:
                self.path.setText(folder)
            return
        suffix = KINDS[self.kind.currentText()][1]
        name, _ = QFileDialog.getSaveFileName(self, "Save", self.path.text(), f"*{suffix};;All files (*)")
        if name:
            self.path.setText(name)
            self.overwrite.setChecked(True)  # the dialog has asked

    def _save(self) -> None:
        result, series = self.state.result, self.state.series
        if result is None or series is None:
            return
        kind = self.kind.currentText()
        try:
            text = self.path.text().strip()
            if not text:
                what = "folder" if kind == EVERYTHING else "file"
                raise InputError(f"No {what} is named: type a name, for example {KINDS[kind][0]}, or choose a place.")
            path = Path(text).expanduser()
            save(kind, path, series, result, self.overwrite.isChecked())
        except InputError as error:
            self.note.setText(f'<span style="color:#e57373">{self.state.fail(str(error))}</span>')
            return
        self.overwrite.setChecked(False)
        self.note.setText(f"Saved {path.resolve()} (run {self.state.result_run})")


def save(kind: str, path: Path, series: TiltSeries, result: Result, overwrite: bool) -> None:
    """Write one file, or everything into a folder; whole or not at all.

    Raises
    ------
    InputError
        No name, something there already without ``overwrite``, or a place that cannot be written.
    """
    if kind == EVERYTHING:
        if not path.name:
            raise InputError(f"{path}: this is not the name of a folder: give one, for example {KINDS[kind][0]}.")
        check_output_folder(path, overwrite)
        try:
            write_results(path, series, result)
        except OSError as error:
            raise InputError(f"{path}: cannot write there: {error.strerror or error}: choose another folder.") from None
        return
    if not path.name or path.is_dir():
        raise InputError(f"{path}: this is not a file name: give one, for example {KINDS[kind][0]}.")
    if path.exists() and not overwrite:
        raise InputError(f"{path}: the file exists already: choose another name, or tick 'replace what is there'.")
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
        os.close(handle)
        if kind == "Atoms, XYZ":
            write_atoms_xyz(temporary, result.orbitals, result.columns)
        elif kind == "Atoms, CSV":
            write_atoms_csv(temporary, result.orbitals, result.columns)
        elif kind == "Report, JSON":
            write_json(temporary, make_report(series, result, {}))
        else:
            images = result.calculated if kind.startswith("Calculated") else result.residual
            write_stack(temporary, images, series.pixel_size_A)
        # A temporary file is private; the saved one gets the rights that any new file has.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise InputError(f"{path}: cannot write there: {error.strerror or error}: choose another folder.") from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
