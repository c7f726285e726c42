"""Messages in the window speak of its fields, not of flags."""

from __future__ import annotations

import re

import pytest

from napari_lot.errors import InputError
from napari_lot.gui.forms.settings_form import tip_of
from napari_lot.gui.forms.words import CHOICES, in_window_words, label_of, unit_of
from napari_lot.job import check, expected_spacing_A
from napari_lot.settings import Settings, settings_from_dict


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("--withhold 40: too few tilts.", "Withhold 40: too few tilts."),
        (
            "give the element (--element Pt) or --spacing 2.8.",
            "give the element (Element Pt) or Neighbour distance 2.8.",
        ),
        ("Reconstruct: solver.max_minutes: too small.", "Reconstruct: Time limit: too small."),
        ("a.npz: microscope.semiangle_mrad: too small.", "a.npz: Semi-angle: too small."),
        ("--tilt-axis: not a number.", "Tilt axis: not a number."),
        (
            "a.npz: 1 pixel is NaN: mask these pixels (--mask) or exclude these tilts (--exclude).",
            "a.npz: 1 pixel is NaN: mask these pixels, or exclude these tilts, with Mask or Exclude tilts under 'More "
            "about the data'.",
        ),
        ("/data/my--energy.tif: no such file.", "my--energy.tif: no such file. Folder: /data"),
        ("/data/--out/a.tif: no such file.", "a.tif: no such file. Folder: /data/--out"),
        ("/a b/c: d/e.tif: line 3: no number.", "c: d/e.tif: line 3: no number. Folder: /a b"),
        ("C:\\data\\a.tif: no such file.", "a.tif: no such file. Folder: C:\\data"),
        ("--no-such-flag stays", "--no-such-flag stays"),
    ],
)
def test_flags_become_labels(sentence: str, shown: str) -> None:
    assert in_window_words(sentence) == shown


def test_a_field_says_its_unit_though_its_name_does_not() -> None:
    assert (label_of("grid_spacing"), unit_of("grid_spacing")) == ("Grid spacing", "× distance")
    assert (label_of("width_A"), unit_of("width_A")) == ("Width", "Å")
    assert (label_of("gain"), unit_of("gain")) == ("Detector gain", "units / e⁻")


def test_help_calls_choices_as_the_window_does() -> None:
    for section in Settings.model_fields.values():
        for name, info in section.annotation.model_fields.items():
            tip = tip_of(name, info)
            for value, shown in CHOICES.get(name, {}).items():
                told = re.search(rf"(?<!\w){value}(?!\w)", tip)
                assert not told or value.lower() in shown.lower(), f"{name}: {tip}"


def test_no_flag_is_left_in_what_the_job_says() -> None:
    settings = Settings()
    for problem in (
        lambda: check(settings),
        lambda: expected_spacing_A(settings.model),
        lambda: settings_from_dict({"microscope": {"energy_eV": 300}}, "a.npz"),
    ):
        with pytest.raises(InputError) as caught:
            problem()
        shown = in_window_words(str(caught.value))
        assert "--" not in shown
        assert "_eV" not in shown


def test_what_was_decided_after_a_run_is_named() -> None:
    from napari_lot.gui.panels.run.progress import changes_since

    def said(*decisions: str) -> str:
        return changes_since([{"what": what} for what in decisions])

    assert said("keep") == ""
    assert said("delete", "keep") == "1 atom deleted"
    assert said("add", "move", "delete", "add") == "1 atom deleted, 2 added, 1 moved"
    assert said("move", "move") == "2 atoms moved"
