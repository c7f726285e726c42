"""What a finished or stopped run leaves in the window, and how it is saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stand_in import StandInJob
from steps import child, open_step

from napari_lot.export import read_atoms
from napari_lot.settings import REFINED_BY_DEFAULT, Solver

pytestmark = pytest.mark.slow  # part of `make test-all`


def finish(workbench: Any, hand: Any, button: str = "finish") -> None:
    hand.click(child(workbench, "start"))
    hand.until(lambda: workbench.run.plot.points > 2)
    hand.click(child(workbench, button))
    hand.until(lambda: not workbench.state.running)


@pytest.mark.parametrize("suffix", [".xyz", ".csv"])
def test_napari_saves_the_atoms_as_they_are(ready: Any, viewer: Any, hand: Any, tmp_path: Path, suffix: str) -> None:
    finish(ready, hand)
    layer, result = viewer.layers["Atoms"], ready.state.result
    assert len(layer.data) == 247, "no spare rows"
    assert viewer.layers.selection.active is layer
    refused = {view: button.toolTip() for view, button in ready.view_buttons.items() if not button.isEnabled()}
    assert refused == {"volume": "Not yet: needs a volume (step 6)."}
    viewer.layers.selection = {layer}
    path = tmp_path / f"saved{suffix}"
    assert viewer.layers.save(str(path), selected=True, plugin="napari-lot") == [str(path)]
    atoms = read_atoms(path)
    assert len(atoms) == 247
    assert set(atoms.symbols) == {"Pt"}
    assert atoms.positions == pytest.approx(result.orbitals.positions, abs=1e-6)
    assert atoms.height == pytest.approx(result.orbitals.height)
    assert atoms.width == pytest.approx(result.orbitals.width)
    assert np.array_equal(atoms.id, result.orbitals.id)


def test_a_cancelled_run_can_be_saved_as_it_is_seen(ready: Any, viewer: Any, hand: Any, tmp_path: Path) -> None:
    finish(ready, hand, "cancel")
    shown = ready.layers.atoms.orbitals
    viewer.layers.selection = {viewer.layers["Atoms"]}
    viewer.layers.save(str(tmp_path / "a.xyz"), selected=True, plugin="napari-lot")
    atoms = read_atoms(tmp_path / "a.xyz")
    assert atoms.positions == pytest.approx(shown.positions, abs=1e-5)
    assert atoms.symbols == shown.symbols
    # the next run streams again
    finish(ready, hand)
    assert len(viewer.layers["Atoms"].data) == 247


def test_report_and_everything(ready: Any, hand: Any, notified: Any, tmp_path: Path) -> None:
    finish(ready, hand)
    open_step(ready, hand, "export")

    def save(kind: str, path: Path) -> None:
        hand.choose(child(ready, "export_kind"), kind)
        hand.type(child(ready, "export_path"), str(path), enter=False)
        hand.click(child(ready, "export_save"))
        hand.until(lambda: not ready.export.saving)

    save("Report, JSON", tmp_path / "run.json")
    report = json.loads((tmp_path / "run.json").read_text())
    assert (report["atoms"], report["series"]["shape"]) == (247, [36, 114, 114])
    folder = tmp_path / "new" / "results"
    save("Everything, folder", folder)
    names = ["atoms.csv", "atoms.xyz", "calculated.tif", "methods.md", "probe.tif", "report.json"]
    names += ["residual.tif", "run.lot.h5"]
    assert sorted(p.name for p in folder.iterdir()) == names
    assert notified() == []
    (folder / "atoms.csv").write_text("precious")
    save("Everything, folder", folder)
    (text,) = notified()
    assert "not empty; give another folder, or tick 'replace what is there'" in text
    assert "--" not in child(ready, "export_note").text()
    assert (folder / "atoms.csv").read_text() == "precious"
    hand.tick(child(ready, "export_overwrite"))
    hand.click(child(ready, "export_save"))
    hand.until(lambda: not ready.export.saving)
    assert len(read_atoms(folder / "atoms.csv")) == 247


def test_messages_speak_of_the_windows_fields(ready: Any, hand: Any, notified: Any) -> None:
    from napari_lot.job import Job

    ready.run.make_job = Job
    hand.click(child(ready, "more_run_settings"))
    hand.type(child(ready, "withhold"), "90")
    hand.click(child(ready, "start"))
    assert notified()[0].startswith("Withhold 90: none of the 36 tilts would be withheld")


def test_refine_is_said_only_where_it_was_changed(ready: Any, hand: Any) -> None:
    assert "refine" not in ready.run.settings().solver.model_fields_set
    hand.click(child(ready, "more_run_settings"))
    box = child(ready, "refine_shifts")
    assert box.isChecked()
    hand.tick(box)
    assert set(ready.run.settings().solver.refine) == set(REFINED_BY_DEFAULT) - {"shifts"}
    hand.tick(box)
    assert ready.run.settings().solver.refine == Solver().refine
    assert "refine" not in ready.run.settings().solver.model_fields_set


def test_an_unknown_default_of_what_is_refined_changes_no_box() -> None:
    from typing import Literal

    from pydantic import BaseModel

    from napari_lot.gui.forms.settings_form import choices_of

    class Later(BaseModel):
        refine: tuple[Literal["positions", "angles"], ...] | None = None

    assert choices_of(Later, "refine") == ("positions", "angles")


def test_rings_lie_on_the_atoms_after_a_run_with_another_centre_and_drift(ready: Any, viewer: Any, hand: Any) -> None:
    """Rings after the run against the images: each tilt shows one bright spot where its atom was drawn."""
    from dataclasses import replace

    from napari_lot.atoms import Orbitals

    atom = np.array([4.0, -6.0, 3.0])
    series = ready.state.series
    t, rows, columns = series.images.shape
    p = series.pixel_size_A
    rng = np.random.default_rng(3)
    center, drift = (50.5, 61.25), rng.normal(size=(t, 2)) * 4
    turn = rng.normal(size=(t, 3)) * 2
    # One atom, drawn here from the angles by elementary rotations: Rx(psi), then Ry(theta), then the turns' own.
    spots = np.zeros((t, 2))
    for i in range(t):
        where = atom
        for a in (series.angles_deg[i], turn[i]):
            psi, theta, phi = np.deg2rad(a)
            x, y, z = where
            y, z = y * np.cos(psi) - z * np.sin(psi), y * np.sin(psi) + z * np.cos(psi)
            x, z = x * np.cos(theta) + z * np.sin(theta), -x * np.sin(theta) + z * np.cos(theta)
            x, y = x * np.cos(phi) - y * np.sin(phi), x * np.sin(phi) + y * np.cos(phi)
            where = np.array([x, y, z])
        spots[i] = center[0] + drift[i, 1] + where[1] / p, center[1] + drift[i, 0] + where[0] / p
    v, u = np.mgrid[:rows, :columns]
    images = np.stack([np.exp(-((v - a) ** 2 + (u - b) ** 2) / 8) for a, b in spots]).astype(np.float32)
    ready.state.set_series(series.with_changes(images=images))

    class Drifting(StandInJob):
        def run(self, control: Any = None) -> Any:
            yield from super().run(control)
            found = replace(
                self.result,
                orbitals=Orbitals.create([atom], elements=("Pt",)),
                tilts_seen=np.array([t]),
                center_px=center,
                shifts_px=drift,
            )
            object.__setattr__(found, "angles_deg", turn)
            self.result = found

    ready.run.make_job = lambda series, settings: Drifting(series, settings, step_s=0.0, steps=20)
    open_step(ready, hand, "run")
    hand.click(child(ready, "start"))
    hand.until(lambda: ready.state.result is not None)
    hand.click(child(ready, "view_markers"))
    measured = viewer.layers["Measured"]
    for tilt in (0, 17, 35):
        viewer.dims.set_point(0, tilt)
        rings = viewer.layers["Atoms on tilt"]
        ring = rings.data[rings.shown][0]
        bright = np.array(np.unravel_index(images[tilt].argmax(), images[tilt].shape))
        world = np.array(measured.data_to_world((tilt, 0, *bright)))[2:]
        assert np.abs(ring[1:] - world).max() <= 0.51 * p, f"tilt {tilt}"
    finish_again = ready.layers.projection
    ready.layers.remove_results()
    assert not np.any(ready.layers.projection.offset_A)
    assert np.any(finish_again.offset_A)
