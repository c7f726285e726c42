"""Step 2: values become a probe at once, the newest wins, presets fill the form."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtWidgets import QInputDialog
from steps import child, open_step

from napari_lot import presets
from napari_lot.errors import InputError
from napari_lot.gui.work.latest import Latest
from napari_lot.physics.probe import probe_slices


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(presets, "user_config_path", lambda *_, **__: tmp_path)
    return tmp_path / "presets" / "microscope"


def test_of_many_orders_the_last_is_done_and_none_after_the_end(qtbot: Any) -> None:
    latest, seen, gate = Latest("test"), [], threading.Event()
    latest.done.connect(lambda order, value: seen.append((order, value)))
    first = latest.ask(lambda _: gate.wait(5) and "first")
    qtbot.waitUntil(lambda: latest._order is None)
    for k in range(20):
        last = latest.ask(lambda _, k=k: k)
    gate.set()
    qtbot.waitUntil(lambda: len(seen) == 2)
    assert seen == [(first, "first"), (last, 19)]
    assert latest.is_newest(last)
    assert not latest.is_newest(first)
    latest.ask(lambda _: 1 / 0)
    qtbot.waitUntil(lambda: len(seen) == 3)
    assert isinstance(seen[-1][1], ZeroDivisionError)
    latest.stop()
    latest.ask(lambda _: "late")
    qtbot.wait(50)
    assert len(seen) == 3
    assert not [t for t in threading.enumerate() if t.name == "napari-lot test"]


def test_what_is_on_its_way_at_the_end_does_not_arrive(qtbot: Any) -> None:
    latest, seen = Latest("test"), []
    latest.done.connect(lambda order, value: seen.append(value))
    latest.ask(lambda _: "on its way")
    end = time.monotonic() + 5
    while latest._order is not None and time.monotonic() < end:
        time.sleep(0.01)  # no event is processed meanwhile
    latest.stop()
    qtbot.wait(100)
    assert seen == []


def test_the_probe_shown_is_that_of_the_last_value(viewer: Any, workbench: Any, hand: Any, own: Path) -> None:
    open_step(workbench, hand, "probe")
    panel = workbench.probe
    hand.type(child(panel, "energy_eV"), "300")
    assert "semi-angle" in panel.numbers.text()
    hand.type(child(panel, "semiangle_mrad"), "25")
    hand.until(lambda: panel.probe is not None)
    hand.type(child(panel, "defocus_A"), "12.5")
    lens = workbench.state.microscope
    assert lens.defocus_A == 12.5

    def is_that() -> bool:
        shown = panel.probe
        if shown is None:
            return False
        right = probe_slices(lens, shown.depth_A, shown.images.shape[1], shown.pixel_size_A)
        return np.array_equal(right.images, shown.images)

    hand.until(is_that)
    data = viewer.layers["Probe"].data
    assert data.shape == (41, 128, 128)
    assert np.allclose(data, 100 * panel.probe.images / panel.probe.images.max(), atol=1e-3)
    hand.until(lambda: "for the probe at every depth" in panel.numbers.text(), 20)


def test_work_is_told_when_nobody_wants_it_any_more(qtbot: Any) -> None:
    latest, seen = Latest("test"), []
    latest.done.connect(lambda order, value: seen.append(value))
    begun = threading.Event()

    def long(wanted: Any) -> str:
        begun.set()
        end = time.monotonic() + 20
        while wanted() and time.monotonic() < end:
            time.sleep(0.01)
        return "given up"

    latest.ask(long)
    assert begun.wait(5)
    latest.ask(lambda _: "next")
    qtbot.waitUntil(lambda: "next" in seen, timeout=5000)
    begun.clear()
    latest.ask(long)
    assert begun.wait(5)
    began = time.monotonic()
    latest.stop()
    assert time.monotonic() - began < 3


def test_a_defocus_that_is_too_large_is_said_and_the_next_value_is_drawn(
    viewer: Any, workbench: Any, hand: Any, own: Path
) -> None:
    """A beam of hundreds of Å took minutes: what was typed meanwhile waited, and the old probe stayed on the canvas."""
    hand.click(child(workbench, "open_sample"))
    hand.until(workbench.run.start_button.isEnabled)
    open_step(workbench, hand, "probe")
    panel = workbench.probe
    hand.until(lambda: "Probe" in viewer.layers)
    for defocus, widest in (("2000", 101), ("5000", 251)):
        hand.type(child(panel, "defocus_A"), defocus)
        hand.until(lambda widest=widest: f"The beam is up to {widest} Å wide" in panel.numbers.text())
    assert panel.section.isHidden()
    assert "Probe" not in viewer.layers
    assert not workbench.view_buttons["probe"].isEnabled()
    hand.type(child(panel, "defocus_A"), "0")
    hand.until(lambda: "Probe" in viewer.layers)
    assert "wide" not in panel.numbers.text()
    assert workbench.view_buttons["probe"].isEnabled()


def test_an_energy_in_the_wrong_unit_is_a_question(workbench: Any, hand: Any, own: Path) -> None:
    hand.click(child(workbench, "open_sample"))
    hand.until(workbench.run.start_button.isEnabled)
    open_step(workbench, hand, "probe")
    section = workbench.sections["probe"]
    hand.type(child(workbench, "energy_eV"), "300000")
    asked = "300000 keV is too high for a microscope; did you mean 300000 eV?"
    assert section.status.accessibleName() == asked
    assert "⚠" in section.status.text()
    assert child(workbench, "energy_eV").text() == "300000 keV"
    assert not workbench.run.start_button.isEnabled(), "it would run with another energy than the one that stands there"
    assert asked in workbench.run.start_button.toolTip()
    hand.type(child(workbench, "energy_eV"), "300000 eV")
    assert child(workbench, "energy_eV").text() == "300 keV"
    assert section.status.accessibleName().startswith("300 keV, ")
    assert workbench.run.start_button.isEnabled()
    hand.type(child(workbench, "semiangle_mrad"), "")
    assert section.status.accessibleName() == "Needs semi-angle; direct projection runs without it."


def test_what_cannot_be_computed_is_said_and_the_window_goes_on(
    workbench: Any, hand: Any, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_step(workbench, hand, "probe")
    panel = workbench.probe
    hand.type(child(panel, "energy_eV"), "300")

    def fails(*_: Any) -> None:
        raise InputError("no probe today")

    monkeypatch.setattr("napari_lot.gui.panels.probe.probe_slices", fails)
    hand.type(child(panel, "semiangle_mrad"), "25")
    hand.until(lambda: panel.numbers.text() == "no probe today")
    assert panel.section.isHidden()
    monkeypatch.undo()
    hand.type(child(panel, "semiangle_mrad"), "26")
    hand.until(lambda: panel.probe is not None)


def test_a_preset_fills_the_form_and_an_own_one_is_kept_and_deleted(
    workbench: Any, hand: Any, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_step(workbench, hand, "probe")
    panel, state = workbench.probe, workbench.state
    box, load = child(panel, "microscope_preset"), child(panel, "microscope_preset_load")
    hand.choose(box, "300 kV corrected, 25 mrad")
    assert state.microscope.energy_eV is None
    hand.click(load)
    assert state.microscope.energy_eV == 300e3
    assert child(panel, "semiangle_mrad").value() == 25
    hand.type(child(panel, "defocus_A"), "30")
    monkeypatch.setattr(QInputDialog, "getText", lambda *_, **__: ("ours", True))
    hand.click(child(panel, "microscope_preset_save"))
    assert (own / "ours.yaml").exists()
    hand.type(child(panel, "defocus_A"), "0")
    hand.click(load)
    assert state.microscope.defocus_A == 30
    hand.click(child(panel, "microscope_preset_delete"))
    assert not (own / "ours.yaml").exists()
    assert box.findText("ours") < 0


def test_a_broken_preset_is_explained_and_changes_nothing(workbench: Any, hand: Any, own: Path, notified: Any) -> None:
    own.mkdir(parents=True)
    (own / "zz.yaml").write_text("microscope: {voltage: 3}")
    open_step(workbench, hand, "probe")
    workbench.probe.presets._offer("zz")
    before = workbench.state.microscope
    hand.click(child(workbench.probe, "microscope_preset_load"))
    assert workbench.state.microscope == before
    assert "there is no such setting" in notified()[-1]


def test_no_thread_is_left_when_the_window_goes(viewer: Any, workbench: Any, hand: Any, own: Path) -> None:
    open_step(workbench, hand, "probe")
    hand.choose(child(workbench.probe, "microscope_preset"), "200 kV corrected, 22 mrad")
    hand.click(child(workbench.probe, "microscope_preset_load"))
    hand.until(lambda: workbench.probe.probe is not None)
    viewer.close()
    ours = ("napari-lot probe", "napari-lot depth basis")
    end = time.monotonic() + 30  # what a thread is at, it ends
    while time.monotonic() < end and any(t.name in ours for t in threading.enumerate()):
        time.sleep(0.02)
    assert not [t.name for t in threading.enumerate() if t.name.startswith("napari-lot")]
