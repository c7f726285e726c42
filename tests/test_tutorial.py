"""The notebook of the tutorial does what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from napari_lot.export import read_atoms

NOTEBOOK = Path(__file__).parents[1] / "docs" / "tutorial.ipynb"


def test_the_cells_of_the_notebook_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All code cells in order, in one namespace; the whole reconstruction is among them."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    space: dict[str, Any] = {}
    cells = [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(cells):
        exec(compile("".join(cell["source"]), f"tutorial.ipynb, cell {number}", "exec"), space)
    folder = space["folder"]
    assert folder.parent == tmp_path
    assert len(read_atoms(folder / "atoms.csv")) == 247
    assert space["comparison"].recall == space["comparison"].precision == 1.0
    assert space["comparison"].rmsd_pm < 2.0
    assert "settings" in json.loads((folder / "everything" / "report.json").read_text(encoding="utf-8"))


def test_the_notebook_was_executed_and_its_outputs_are_small() -> None:
    cells = [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert all(output["output_type"] == "stream" and output["name"] == "stdout" for output in outputs)
    assert NOTEBOOK.stat().st_size < 50_000
