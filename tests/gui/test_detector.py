"""What is said of the detector and of single tilts reaches the run; repeated tilts are judged when they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from steps import child
from test_series_by_series import read, write_npz

THETAS = [0.0, -40, 40, 20, 0]


def repeated(path: Path, part: float) -> Path:
    """Five tilts of blobs, the last one again at 0 degrees with a ``part`` of one blob."""
    v, u = np.mgrid[:64, :64]
    places = np.random.default_rng(0).uniform(14, 50, (12, 2))
    blobs = np.stack([400 * np.exp(-((v - a) ** 2 + (u - b) ** 2) / 8) for a, b in places])
    rates = np.stack([blobs.sum(0) + 20] + [np.roll(blobs.sum(0), 9 * k, 1) + 20 for k in (1, 2, 3)])
    rates = np.concatenate([rates, rates[:1] - (1 - part) * blobs[0]])
    images = np.random.default_rng(1).poisson(rates).astype(np.float32)
    return write_npz(path, images=50 + 7 * images, angles_deg=np.array(THETAS))


def test_detector_and_weights_reach_the_run(workbench: Any, hand: Any, tmp_path: Path) -> None:
    read(workbench, hand, repeated(tmp_path / "a.npz", 1.0))
    hand.click(child(workbench, "more_data"))
    hand.type(child(workbench, "gain"), "7")
    hand.type(child(workbench, "offset"), "50")
    hand.type(child(workbench, "read_noise"), "3.5")
    hand.type(child(workbench, "tilt_weights"), "3=0.5, 4=0", enter=False)
    hand.click(child(workbench, "apply_data"))
    data = workbench.run.settings().data
    assert (data.gain, data.offset, data.read_noise, data.denoised) == (7.0, 50.0, 3.5, False)
    assert data.tilt_weights == ((3, 0.5), (4, 0.0))
    read(workbench, hand, write_npz(tmp_path / "b.npz"))
    data = workbench.run.settings().data
    assert (data.gain, data.offset, data.read_noise, data.tilt_weights) == (None, 0.0, 0.0, ())


def test_beam_damage_is_told_when_a_series_is_read(workbench: Any, hand: Any, tmp_path: Path) -> None:
    notes = child(workbench, "data_notes")
    read(workbench, hand, repeated(tmp_path / "a.npz", 1.0))
    assert "No change of the specimen beyond noise between tilts 0 and 4" in notes.text()
    assert "⚠" not in notes.text()
    read(workbench, hand, repeated(tmp_path / "b.npz", 0.0))
    assert "⚠</span> The specimen, or its imaging, changed between tilt 0 and tilt 4" in notes.text()
    hand.click(child(workbench, "more_data"))
    hand.tick(child(workbench, "denoised"))
    hand.click(child(workbench, "apply_data"))
    assert "Cannot tell whether the beam changed the specimen" in notes.text()
    read(workbench, hand, write_npz(tmp_path / "c.npz"))
    assert not notes.isVisible()


def test_a_contradiction_is_told_in_the_windows_words(workbench: Any, hand: Any, notified: Any, tmp_path: Path) -> None:
    read(workbench, hand, repeated(tmp_path / "a.npz", 1.0))
    hand.click(child(workbench, "more_data"))
    hand.type(child(workbench, "read_noise"), "3")
    hand.click(child(workbench, "apply_data"))
    assert "Read noise is 3, but without a gain" in notified()[-1]


@pytest.mark.parametrize(
    ("line", "typed", "said"),
    [
        ("tilt_weights", "abc", "Tilt weights: 'abc' is no tilt and its weight, such as 3=0.5 or 20-22=0."),
        ("tilt_weights", "99=1", "Tilt weights: there is no tilt 99: they are counted from 0 to 4."),
        ("tilt_weights", "3=-1", "Tilt weights: the weight of tilt 3 must be between 0 and 1000."),
        ("exclude", "5-3", "Exclude tilts: the range 5-3 is the wrong way round: give 3-5."),
        ("exclude", "1, 5", "Exclude tilts: there is no tilt 5: they are counted from 0 to 4."),
    ],
)
def test_tilts_that_are_none_are_said_at_their_field_and_start_waits(
    workbench: Any, hand: Any, tmp_path: Path, line: str, typed: str, said: str
) -> None:
    read(workbench, hand, repeated(tmp_path / "a.npz", 1.0))
    hand.type(child(workbench, "energy_eV"), "300")
    hand.type(child(workbench, "semiangle_mrad"), "25")
    child(workbench, "element").setText("Pt")
    start = workbench.run.start_button
    hand.until(start.isEnabled)
    hand.click(child(workbench, "more_data"))
    hand.type(child(workbench, line), typed, enter=False)
    refused = child(workbench, "tilts_refused")
    assert said in refused.text()
    assert refused.isVisible()
    assert not start.isEnabled()
    assert said.partition(": ")[2].rstrip(".") in start.toolTip()
    hand.type(child(workbench, line), "", enter=False)
    assert refused.isHidden()
    assert start.isEnabled()
