"""The command palette: what it lists of ours can be started there, and does what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from stand_in import StandInJob
from steps import child

from napari_lot.gui.workbench import Workbench

pytestmark = pytest.mark.slow  # part of `make test-all`


def run_command(name: str) -> None:
    from napari._app_model import get_app_model

    get_app_model().commands.execute_command(f"napari-lot.{name}").result()


def benches(viewer: Any) -> list[Workbench]:
    return [w for w in viewer.window.dock_widgets.values() if isinstance(w, Workbench)]


@pytest.fixture
def palette(viewer: Any) -> dict[str, bool]:
    """Titles of this package's commands in the palette, and whether they can be started."""
    window = viewer.window._qt_window._command_palette
    window.update_context(viewer.window._qt_window)
    ours = [c for c in window._list.all_commands if c.id.startswith("napari-lot")]
    context = window._list._app_model_context
    return {c.title: c.enablement is None or bool(c.enablement.eval(context)) for c in ours}


def test_the_palette_lists_what_can_be_started(palette: dict[str, bool]) -> None:
    of = " (Local-orbital tomography)"
    for title in ("Open the workbench", "Open the sample in the workbench", "Open a session…", "Open a volume…"):
        assert palette[title + of]
    assert palette["Workbench" + of]
    # what needs a path is no command for a person
    for title in ("Read a tilt series", "Read a volume", "Read atoms", "Write a tilt series", "Write atoms"):
        assert not palette[title + of]


def test_the_sample_opens_in_the_one_workbench(viewer: Any, hand: Any) -> None:
    run_command("open_sample")
    (bench,) = benches(viewer)
    hand.until(bench.run.start_button.isEnabled)
    assert "Measured" in viewer.layers
    assert bench.isVisible()
    run_command("open_workbench")
    assert benches(viewer) == [bench]
    dock = bench.parentWidget()
    while not hasattr(dock, "toggleViewAction"):
        dock = dock.parentWidget()
    dock.hide()
    run_command("open_workbench")
    assert bench.isVisible()
    run_command("workbench")  # napari's own entry knows it, and hides it
    assert benches(viewer) == [bench]
    assert not bench.isVisible()


def test_no_other_series_comes_into_a_run(ready: Any, viewer: Any, hand: Any, notified: Any) -> None:
    ready.run.make_job = lambda series, settings: StandInJob(series, settings, step_s=0.02, steps=10_000)
    hand.click(child(ready, "start"))
    series = ready.state.series
    run_command("open_sample")
    assert benches(viewer) == [ready]
    assert ready.state.series is series
    assert notified() == ["The sample: not while a reconstruction is running: let it end first."]


def test_a_session_is_asked_for_and_opens(
    viewer: Any, hand: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_lot.gui import commands
    from napari_lot.series.sample import load_sample
    from napari_lot.session import Session, write_session
    from napari_lot.settings import settings_from_dict

    path = tmp_path / "kept.lot.h5"
    write_session(path, Session(load_sample(), settings_from_dict({"model": {"elements": ["Pt"]}})))
    monkeypatch.setattr(commands.QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    run_command("open_session")
    (bench,) = benches(viewer)
    hand.until(lambda: bench.state.series is not None)
    assert len(bench.state.series) == 36


def test_sessions_and_volumes_stand_in_the_file_menu(viewer: Any) -> None:
    from napari._app_model import get_app_model

    items = get_app_model().menus.get_menu("napari/file/io_utilities")
    offered = [item.command.id for item in items if hasattr(item, "command")]
    assert {"napari-lot.open_session", "napari-lot.open_volume"} <= set(offered)
