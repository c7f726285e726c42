"""What only some runs leave: a changed probe, a mixture of elements, a verdict on the hand."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from stand_in import StandInJob
from steps import child, open_step

from napari_lot.atoms import Orbitals
from napari_lot.gui.canvas.views import PROBE_BEFORE
from napari_lot.job import ProbeSlices
from napari_lot.physics.probe import probe_slices

pytestmark = pytest.mark.slow  # part of `make test-all`

SENTENCE = "Tilt sense: undecidable; the stand-in has no depth."
FITTED = {"energy_eV": 3e5, "semiangle_mrad": 25.0, "defocus_A": -20.0, "c12_A": 8.0, "phi12_deg": 30.0}


class Rich(StandInJob):
    """Two elements, and a probe that was refined."""

    probe_is_changed = True

    def run(self, control: Any = None) -> Any:
        yield from super().run(control)
        found = self.result
        if found is None:
            return
        n = len(found.orbitals)
        lens = self.settings.microscope
        before = probe_slices(lens, np.linspace(-12, 12, 9), 32, 0.25)
        after = probe_slices(lens.model_copy(update=FITTED), before.depth_A, 32, 0.25)
        species = np.arange(n) % 3 // 2
        atoms = Orbitals.create(
            found.orbitals.positions, np.random.default_rng(0).normal([1.0, 2.5], 0.05, (n, 2))[np.arange(n), species],
            0.5, species, ("Co", "Pt"),
        )  # fmt: skip
        area = np.pi * 0.25
        details = {
            "microscope": lens.model_copy(update=FITTED).model_dump() if self.probe_is_changed else lens.model_dump(),
            "microscope_sigma_A": {"defocus_A": 1.5, "c12_x": 0.3, "c12_y": 0.4},
            "likelihood": {"kind": "poisson", "why": "the images are electron counts"},
            "handedness": {"tilt_sense": {"verdict": "undecidable", "sentence": SENTENCE}},
            "mixture": {
                "elements": ["Co", "Pt"],
                "counts": np.bincount(species).tolist(),
                "part": (np.bincount(species) / n).tolist(),
                "mean": [area, 2.5 * area],
                "scatter": [0.04 * area, 0.03 * area],
                "error": 0.03 * area,
            },
        }
        self.result = replace(
            found,
            orbitals=atoms,
            probe_before=before,
            probe=after if self.probe_is_changed else before,
            details=details,
            p_exists=np.ones(n),
        )


class Unchanged(Rich):
    probe_is_changed = False


def finish(workbench: Any, hand: Any, job: type[StandInJob]) -> None:
    workbench.run.make_job = lambda series, settings: job(series, settings, step_s=0.0, steps=4)
    open_step(workbench, hand, "run")
    hand.click(child(workbench, "start"))
    hand.until(lambda: workbench.state.result is not None)


def test_the_probe_before_and_after_is_one_click_away(ready: Any, viewer: Any, hand: Any) -> None:
    finish(ready, hand, Rich)
    result = ready.state.result
    layers = viewer.layers
    names = ("Probe (settings)", "Probe (fitted)", "Probe change")
    assert not any(layers[name].visible for name in names), "they do not cover the atoms"
    text = child(ready, "probe_text").text()
    assert "defocus 0.0 → −20.0 ± 1.5 Å" in text
    assert "C12 0.0 → 8.0 ± 0.35 Å at 30°" in text
    largest = 100 * np.abs(result.probe.images - result.probe_before.images).max() / result.probe_before.images.max()
    assert f"largest change of intensity {largest:.2g} % of the peak" in text
    comparison = child(ready, "probe_before_and_after")
    assert np.array_equal(comparison.before.section, result.probe_before.images[:, 16])
    assert np.array_equal(comparison.after.section, result.probe.images[:, 16])

    hand.click(child(ready, "show_probe_change"))
    assert [layer.name for layer in layers if layer.visible] == list(names)
    assert viewer.canvas.grid.enabled
    assert ready.view_buttons["probe"].isChecked()
    before, after, change = (np.asarray(layers[name].data) for name in names)
    assert before.max() == pytest.approx(100)
    np.testing.assert_allclose(change, after - before, atol=1e-4)
    assert layers[names[0]].contrast_limits == layers[names[1]].contrast_limits
    assert layers[names[2]].contrast_limits == pytest.approx([-np.abs(change).max(), np.abs(change).max()])
    # depth is a slider in Å
    viewer.dims.set_point(viewer.dims.ndim - 3, 6.0)
    assert "+6.0 Å" in viewer.canvas.overlays.text.text
    hand.click(ready.view_buttons["atoms"])
    assert not any(layers[name].visible for name in names)
    assert not viewer.canvas.grid.enabled


def test_a_probe_asked_for_before_the_run_does_not_cover_its_result(
    ready: Any, viewer: Any, hand: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go = threading.Event()

    def slowly(*values: Any) -> ProbeSlices:
        may_go.wait(20)
        return probe_slices(*values)

    monkeypatch.setattr("napari_lot.gui.panels.probe.probe_slices", slowly)
    panel = ready.probe
    ready.state.microscope = ready.state.microscope.model_copy(update={"defocus_A": 3.0})
    hand.until(lambda: not panel._timer.isActive())  # it is being computed
    finish(ready, hand, Rich)
    before = panel.probe
    may_go.set()
    hand.until(lambda: panel.probe is not before)
    assert PROBE_BEFORE in viewer.layers, "the comparison stays"
    ready.state.microscope = ready.state.microscope.model_copy(update={"defocus_A": 4.0})
    hand.until(lambda: PROBE_BEFORE not in viewer.layers)


def test_another_microscope_or_series_ends_the_comparison(ready: Any, viewer: Any, hand: Any) -> None:
    finish(ready, hand, Rich)
    ready.layers.show_probe(ProbeSlices(np.ones((3, 8, 8), np.float32), np.array([-1.0, 0, 1]), 0.5))
    assert [layer.name for layer in viewer.layers if "Probe" in layer.name] == ["Probe"]
    hand.click(child(ready, "show_probe_change"))
    assert "Probe (settings)" in viewer.layers
    viewer.layers.remove("Probe change")
    hand.click(ready.view_buttons["atoms"])
    hand.click(ready.view_buttons["probe"])
    assert "Probe change" in viewer.layers
    ready.layers.remove_results()
    assert [layer.name for layer in viewer.layers if "Probe" in layer.name] == ["Probe"]


def test_a_probe_that_stayed_is_not_compared(ready: Any, viewer: Any, hand: Any) -> None:
    finish(ready, hand, Unchanged)
    assert [layer.name for layer in viewer.layers if "Probe" in layer.name] == ["Probe"]
    for name in ("probe_text", "probe_before_and_after", "show_probe_change"):
        assert child(ready, name).isHidden()


def test_the_mixture_lies_over_the_strengths_it_was_fitted_to(ready: Any, hand: Any) -> None:
    finish(ready, hand, Rich)
    plot, result = child(ready, "strengths"), ready.state.result
    assert not plot.isHidden()
    counts = result.details["mixture"]["counts"]
    assert plot.counts.sum(1).tolist() == counts, "every atom is in a bar of its element"
    middle = 0.5 * (plot.edges[1:] + plot.edges[:-1])
    of_pt = (np.pi * result.orbitals.height * 0.25)[result.orbitals.species == 1]
    assert (middle * plot.counts[1]).sum() / counts[1] == pytest.approx(of_pt.mean(), abs=plot.edges[1] - plot.edges[0])
    # as many atoms under a curve as it stands for, in units of bars
    x = np.linspace(plot.edges[0], plot.edges[-1], len(plot.curves))
    width = plot.edges[1] - plot.edges[0]
    np.testing.assert_allclose(np.trapezoid(plot.curves, x, axis=0) / width, counts, rtol=0.02)
    assert [label.text for _, label in plot.legend.items] == [f"Co: {counts[0]} atoms", f"Pt: {counts[1]} atoms", "sum"]
    assert plot.plot.getPlotItem().getAxis("bottom").labelText == "π H B² (image units · Å²)"


def test_what_is_said_of_the_atoms_has_a_line_for_each_and_no_tags(ready: Any, hand: Any) -> None:
    finish(ready, hand, Rich)
    label = child(ready, "atoms_text")
    first, second = label.text().split("\n")
    assert "improbable (p < 0.95); " in first
    assert first.endswith("doubtful, residuals aside (N looks at them)")
    assert second == "Fitted by Poisson likelihood: the images are electron counts"
    assert "<br>" not in label.text()
    for name in ("atoms_text", "handedness_text"):
        assert child(ready, name).textFormat() == Qt.TextFormat.PlainText, "a < is a < there"


def test_the_hand_is_said_and_asked(ready: Any, hand: Any) -> None:
    hand.click(child(ready, "more_run_settings"))
    hand.choose(child(ready, "handedness"), "both")
    assert ready.run.settings().solver.handedness == "both"
    finish(ready, hand, Rich)
    assert child(ready, "handedness_text").text() == SENTENCE
    finish(ready, hand, StandInJob)
    hand.until(lambda: ready.state.result_run == 2)
    for name in ("handedness_text", "strengths", "probe_text"):
        assert child(ready, name).isHidden()
