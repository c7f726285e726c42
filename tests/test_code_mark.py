"""What a checkpoint is marked with: the code of the fit, not only its version."""

import shutil
from pathlib import Path

import napari_lot
from napari_lot import __version__, code_mark


def marked(folder: Path, monkeypatch) -> str:
    monkeypatch.setattr(code_mark, "__file__", str(folder / "code_mark.py"))
    code_mark.code_mark.cache_clear()
    try:
        return code_mark.code_mark()
    finally:
        monkeypatch.undo()
        code_mark.code_mark.cache_clear()


def test_any_change_of_the_fit_changes_the_mark_and_what_only_shows_it_does_not(tmp_path, monkeypatch):
    copy = tmp_path / "napari_lot"
    shutil.copytree(Path(napari_lot.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__", "samples"))
    first = marked(copy, monkeypatch)
    assert first == code_mark.code_mark()
    assert first.startswith(f"{__version__} ")
    (copy / "gui" / "live.py").write_text("# another\n")
    assert marked(copy, monkeypatch) == first
    reader = copy / "lot" / "adam.py"
    reader.write_bytes(reader.read_bytes().replace(b"\n", b"\r\n"))  # as git leaves it on Windows
    assert marked(copy, monkeypatch) == first
    reader.write_text(reader.read_text() + "# another\n")
    assert marked(copy, monkeypatch) != first
    shutil.rmtree(copy)
    assert marked(copy, monkeypatch) == __version__
