"""How a run can end, what stays of an earlier one, and what the window says of both."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stand_in import StandInJob
from steps import child, open_step

from napari_lot.atoms import Orbitals
from napari_lot.export import read_atoms
from napari_lot.gui.canvas.labels import atoms_text
from napari_lot.gui.panels.run.progress import in_words
from napari_lot.job import Snapshot

pytestmark = pytest.mark.slow  # part of `make test-all`


def run(workbench: Any, hand: Any, button: str = "finish", **how: Any) -> None:
    """Start a stand-in and end it by a button; '' waits for its own end."""
    workbench.run.make_job = lambda series, settings: StandInJob(series, settings, step_s=0.02, **how)
    hand.click(child(workbench, "start"))
    if button:
        hand.until(lambda: workbench.run.plot.points > 2)
        hand.click(child(workbench, button))
    hand.until(lambda: not workbench.state.running)


def status(workbench: Any, step: str) -> str:
    return str(workbench.sections[step].status.accessibleName())


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("finished early", "Finished before there was an atom"),
        ("time limit", "Time limit reached before there was an atom"),
    ],
)
def test_an_end_before_there_was_an_atom_is_said(ready: Any, hand: Any, reason: str, says: str) -> None:
    run(ready, hand, "", steps=8, ends_empty=reason)
    assert says in child(ready, "stage").text()
    assert "Cancelled" not in child(ready, "stage").text()
    assert child(ready, "progress").text() == reason
    assert status(ready, "run") == f"Run 1: {says[0].lower()}{says[1:]}."
    assert "⚠" in ready.sections["run"].status.text()
    assert ready.state.result is None


def test_the_end_is_said_once(ready: Any, hand: Any) -> None:
    run(ready, hand, steps=10_000)
    assert child(ready, "stage").text() == "<b>Finished early</b>: the stand-in is done."
    assert status(ready, "run") == "Run 1: 247 atoms, finished early."
    assert "✓" in ready.sections["run"].status.text()


def test_a_view_that_is_chosen_after_the_start_stays(ready: Any, viewer: Any, hand: Any) -> None:
    ready.run.make_job = lambda series, settings: StandInJob(series, settings, step_s=0.02, steps=10_000)
    for chosen in ("images", None):
        hand.click(child(ready, "start"))
        if chosen is not None:
            child(ready, f"view_{chosen}").click()
        hand.until(lambda: "Atoms" in viewer.layers and ready.run.plot.points > 2)
        assert ready.layers.view == chosen or (chosen is None and ready.layers.view == "atoms")
        hand.click(child(ready, "finish"))
        hand.until(lambda: not ready.state.running)
        assert ready.layers.view == (chosen or "atoms")
        hand.click(child(ready, "view_images"))  # before a start: the atoms are shown as they come


def test_doubts_are_no_green_tick(ready: Any, hand: Any) -> None:
    hand.click(child(ready, "more_run_settings"))
    hand.type(child(ready, "withhold"), "6")
    run(ready, hand, steps=10_000)
    assert "⚠" in ready.sections["run"].status.text()
    assert "✓" not in ready.sections["run"].status.text()
    assert "The stand-in doubts." in child(ready, "detail").text()
    assert "⚠" in ready.sections["inspect"].status.text()
    assert status(ready, "inspect").startswith("Run 1; see the doubts in step 3.")


def test_a_cancelled_run_leaves_the_result_of_the_one_before(
    ready: Any, viewer: Any, hand: Any, tmp_path: Path
) -> None:
    run(ready, hand, steps=10_000)
    first = ready.state.result
    run(ready, hand, "cancel", steps=10_000)
    assert ready.state.result is first
    assert "Export still has run 1" in child(ready, "stage").text()
    assert status(ready, "export") == "247 atoms of run 1 to save."
    assert status(ready, "inspect") == "The last state of run 2, which left no result."
    assert len(viewer.layers["Atoms"].data) != 247
    open_step(ready, hand, "export")
    hand.type(child(ready, "export_path"), str(tmp_path / "a.xyz"), enter=False)
    hand.click(child(ready, "export_save"))
    hand.until(lambda: not ready.export.saving)
    assert len(read_atoms(tmp_path / "a.xyz")) == 247
    assert "(run 1)" in child(ready, "export_note").text()
    again = child(ready, "show_result_again")
    assert again.text() == "Show run 1 again"
    hand.click(again)
    assert len(viewer.layers["Atoms"].data) == 247
    assert not again.isVisible()
    assert status(ready, "inspect").startswith("Run 1.")
    # another run that finishes takes its place
    run(ready, hand, steps=10_000)
    assert ready.state.result is not first
    assert status(ready, "export") == "247 atoms of run 3 to save."


def test_another_series_has_no_runs_yet(ready: Any, hand: Any) -> None:
    run(ready, hand, steps=10_000)
    open_step(ready, hand, "data")
    ready.data.prepare.confirm = lambda question: True
    hand.click(child(ready, "open_sample"))
    hand.until(lambda: status(ready, "run") == "Ready to start.")
    assert not child(ready, "stage").isVisible()
    assert status(ready, "export").startswith("Needs a finished reconstruction")


def test_an_old_error_does_not_cover_the_next_run(ready: Any, viewer: Any, hand: Any) -> None:
    from qtpy.QtWidgets import QApplication

    def toasts() -> list[Any]:
        return [w for w in QApplication.allWidgets() if type(w).__name__ == "NapariQtNotification" and w.isVisible()]

    run(ready, hand, "", steps=4, error=MemoryError())
    assert len(toasts()) == 1
    assert status(ready, "run") == "Run 1 was stopped by an error."
    run(ready, hand, steps=10_000)
    hand.until(lambda: not toasts())


def test_a_save_that_succeeds_takes_the_error_of_one_that_failed_away(ready: Any, hand: Any, tmp_path: Any) -> None:
    from qtpy.QtWidgets import QApplication

    def toasts() -> list[Any]:
        return [w for w in QApplication.allWidgets() if type(w).__name__ == "NapariQtNotification" and w.isVisible()]

    run(ready, hand, steps=10_000)
    open_step(ready, hand, "export")
    hand.type(child(ready, "export_path"), "", enter=False)
    hand.click(child(ready, "export_save"))
    ready.state.fail("Another thing went wrong.", "edit")
    hand.until(lambda: len(toasts()) == 2)
    hand.type(child(ready, "export_path"), str(tmp_path / "atoms.xyz"), enter=False)
    hand.click(child(ready, "export_save"))
    hand.until((tmp_path / "atoms.xyz").exists)
    hand.until(lambda: len(toasts()) == 1)
    ready.state.succeed("edit")
    hand.until(lambda: not toasts())


def test_what_cannot_be_done_during_a_run_says_why(ready: Any, hand: Any) -> None:
    names = ("series_path", "open_series", "open_layer", "use_layer", "open_sample")
    before = {name: child(ready, name).toolTip() for name in names}
    assert len({*before.values()}) >= 4
    ready.run.make_job = lambda series, settings: StandInJob(series, settings, step_s=0.02, steps=10_000)
    hand.click(child(ready, "start"))
    hand.until(lambda: ready.state.running)
    for name in names:
        assert not child(ready, name).isEnabled()
        assert child(ready, name).toolTip() == "Not while a reconstruction is running.", name
    hand.click(child(ready, "cancel"))
    hand.until(lambda: not ready.state.running)
    assert {name: child(ready, name).toolTip() for name in names} == before


def test_an_empty_name_is_a_sentence(ready: Any, hand: Any, notified: Any) -> None:
    run(ready, hand, steps=10_000)
    open_step(ready, hand, "export")
    hand.type(child(ready, "export_path"), "", enter=False)
    hand.click(child(ready, "export_save"))
    assert notified() == ["No file is named: type a name, for example atoms.xyz, or choose a place."]
    hand.choose(child(ready, "export_kind"), "Everything, folder")
    hand.type(child(ready, "export_path"), " ", enter=False)
    hand.click(child(ready, "export_save"))
    assert notified()[1].startswith("No folder is named: type a name, for example results")


def test_a_run_that_is_cancelled_before_there_was_anything_to_see_leaves_the_images(ready: Any, hand: Any) -> None:
    """Not a black view with the words of what was never drawn."""

    class Silent(StandInJob):
        def run(self, control: Any = None) -> Any:
            while not control.stop_request:
                time.sleep(0.01)
            self.stop_reason = "cancelled"
            yield from ()

    ready.run.make_job = lambda series, settings: Silent(series, settings)
    hand.click(child(ready, "start"))
    hand.until(lambda: ready.state.running)
    hand.until(lambda: "1 s so far" in child(ready, "detail").text())  # nothing comes, and yet it goes on
    hand.click(child(ready, "cancel"))
    hand.until(lambda: not ready.state.running)
    assert child(ready, "stage").text().startswith("<b>Cancelled</b>: nothing had been drawn yet.")
    assert ready.layers.view == "images"
    assert "orbitals" not in ready.viewer.text_overlay.text


def test_the_words_beside_the_bar_do_not_promise_what_nobody_knows() -> None:
    none = np.zeros((0, 4, 4), np.float32)
    orbitals = Orbitals.create(np.zeros((1, 3)), 1.0, 0.5)

    def at(step: int, total: int, stage: str = "refine") -> Snapshot:
        return Snapshot(stage, step, total, orbitals, 1.0, np.zeros(3), np.zeros(0, int), none, None, 1.0, "")

    assert in_words(at(10, 100), 65.0) == "%p %  ·  at most 1 min 05 s left"
    assert in_words(at(10, 100), None) == "%p %"
    assert in_words(at(99, 100), 0.2) == in_words(at(120, 121), 0.2) == "more passes than were planned"
    assert in_words(at(120, 120, "finished"), None) == "%p %"


def test_of_more_than_are_drawn_it_is_said_that_these_are_not_all() -> None:
    assert atoms_text(247, "atoms", None, 247) == "247 atoms"
    assert (
        atoms_text(100_000, "orbitals", "height", 300_000)
        == "the 100000 strongest of 300000 orbitals\ncoloured by height"
    )
