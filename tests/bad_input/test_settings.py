"""Settings and presets that cannot be: one exact sentence that names the setting, and the file as it was."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from bad_input import given as g
from napari_lot.errors import InputError
from napari_lot.presets import Preset, load_preset
from napari_lot.settings import load_settings, settings_from_dict

NAN, INF = float("nan"), float("inf")
# The setting, its value, the sentence without "settings: ".
VALUES: dict[str, tuple[Any, Any, str]] = {
    "no mapping": ("", [1], "expected sections such as 'microscope:', found list."),
    "section no mapping": ("solver", 3, "solver: expected names and values below it, such as 'seed: 1' (given: 3)."),
    "unknown section": (
        "solvers",
        {"seed": 1},
        "solvers: there is no such setting; did you mean solver? (given: {'seed': 1}).",
    ),
    "unknown, like another": (
        "microscope.energy",
        3e5,
        "microscope.energy: there is no such setting; did you mean microscope.energy_eV? (given: 300000.0).",
    ),
    "unknown, of another section": (
        "data.elements",
        ["Pt"],
        "data.elements: there is no such setting; did you mean model.elements? (given: 'Pt').",
    ),
    "unknown, like none": ("solver.nonsense", 1, "solver.nonsense: there is no such setting (given: 1)."),
    "name no text": ("solver", {1: 2}, "solver.1: keys should be strings (given: 1)."),
    "not a number": ("microscope.energy_eV", NAN, "microscope.energy_eV: must be a number (given: nan)."),
    "infinite": (
        "microscope.energy_eV",
        INF,
        "microscope.energy_eV: input should be less than or equal to 3000000 (given: inf).",
    ),
    "text": ("microscope.defocus_A", "far", "microscope.defocus_A: must be a number (given: 'far')."),
    "with a comma": (
        "data.pixel_size_A",
        "0,25",
        "data.pixel_size_A: must be a number; did you mean 0.25, with a point? (given: '0,25').",
    ),
    "out of range": (
        "microscope.semiangle_mrad",
        500,
        "microscope.semiangle_mrad: input should be less than or equal to 200 (given: 500).",
    ),
    "negative": ("data.pixel_size_A", -0.3, "data.pixel_size_A: input should be greater than 0.001 (given: -0.3)."),
    "none of the choices": (
        "model.probe",
        "stiff",
        "model.probe: input should be 'direct', 'rigid' or 'adaptive' (given: 'stiff').",
    ),
    "element unknown": (
        "model.elements",
        ["Pt", "Qq"],
        "model.elements: 'Qq' is no element symbol; give one such as Pt, or X where it is unknown (given: 'Pt,Qq').",
    ),
    "element twice": ("model.elements", "Pt, pt", "model.elements: an element is named twice (given: 'Pt, pt')."),
    "no element": ("model.elements", [], "model.elements: must have at least 1 of them (given: '')."),
    "elements no text": ("model.elements", 78, "model.elements: must be a list (given: 78)."),
    "one number for two": ("data.center_px", [1], "data.center_px: a value is missing (given: [1])."),
    "three numbers for two": (
        "data.center_px",
        [1, 2, 3],
        "data.center_px: must have at most 2 of them (given: [1, 2, 3]).",
    ),
    "centre infinite": (
        "data.center_px",
        [INF, 1],
        "data.center_px: must be two numbers, row and column, in pixels (given: [inf, 1]).",
    ),
    "excluded half": ("data.exclude", [1.5], "data.exclude: must be a whole number (given: 1.5)."),
    "weight of no tilt": (
        "data.tilt_weights",
        {-1: 0.5},
        "data.tilt_weights: there is no tilt -1: tilts are counted from 0 (given: {-1: 0.5}).",
    ),
    "weight negative": (
        "data.tilt_weights",
        "3=-1",
        "data.tilt_weights: the weight of tilt 3 must be between 0 and 1000 (given: '3=-1').",
    ),
    "weight not a number": (
        "data.tilt_weights",
        [(3, NAN)],
        "data.tilt_weights: the weight of tilt 3 must be between 0 and 1000 (given: [(3, nan)]).",
    ),
    "two weights": (
        "data.tilt_weights",
        "3=0.5, 2-4=0",
        "data.tilt_weights: a tilt has two weights (given: '3=0.5, 2-4=0').",
    ),
    "weights in words": (
        "data.tilt_weights",
        "third=half",
        "data.tilt_weights: 'third=half' is no tilt and its weight, such as 3=0.5 or 20-22=0 (given: 'third=half').",
    ),
    "cull not a number": ("solver.cull", [NAN], "solver.cull: nan is not between 0 and 1 (given: [nan])."),
    "no cull": ("solver.cull", [], "solver.cull: must have at least 1 of them (given: '')."),
    "merging backwards": (
        "solver.merge_distances",
        [-0.5],
        "solver.merge_distances: -0.5 is not between 0 and 1 (given: [-0.5]).",
    ),
    "seed half": ("solver.seed", 1.5, "solver.seed: must be a whole number (given: 1.5)."),
    "saving each moment": (
        "output.autosave_s",
        0,
        "output.autosave_s: input should be greater than or equal to 1 (given: 0).",
    ),
}


@pytest.mark.parametrize("name", VALUES)
def test_values(name):
    where, value, sentence = VALUES[name]
    for part in reversed(where.split(".") if where else []):
        value = {part: value}
    with pytest.raises(InputError) as caught:
        settings_from_dict(value)
    assert str(caught.value) == f"settings: {sentence}"


def test_a_value_that_unfolds_to_gigabytes_is_told_of_in_a_line():
    """A few lines of YAML make a list of lists of lists ... that is small only as long as nobody writes it out."""
    value: Any = "lol"
    for _ in range(12):
        value = [value] * 10
    with pytest.raises(InputError) as caught:
        settings_from_dict({"solver": {"seed": value}})
    assert len(str(caught.value)) < 500


def test_names_that_stand_twice_at_different_places_are_fine(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("a: &a\n  seed: 1\nb:\n  <<: *a\n  seed: 2\nc: [{seed: 1}, {seed: 2}]\n")
    assert load_settings(path) == {"a": {"seed": 1}, "b": {"seed": 2}, "c": [{"seed": 1}, {"seed": 2}]}


def test_aliases_without_end_are_looked_at_once(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("a0: &a0 {x: 1}\n" + "".join(f"a{k}: &a{k} [{f'*a{k - 1}, ' * 9}]\n" for k in range(1, 30)))
    assert len(load_settings(path)) == 30


# The kind of the preset, its file, the sentence.
PRESETS: dict[str, tuple[str, g.Make, str]] = {
    "missing": ("run", lambda path: None, "mine.yaml: no such file: check the name of the settings file."),
    "folder": ("run", g.folder(), "mine.yaml: this is a folder, not a settings file: give the file itself."),
    "pipe": ("run", os.mkfifo, "mine.yaml: this is a device or a pipe: give the settings file as a file."),
    "not text": (
        "run",
        g.text(b"\xff\0"),
        "mine.yaml: not a YAML settings file; expected sections such as 'microscope:'.",
    ),
    "no YAML": (
        "run",
        g.text(": : :"),
        "mine.yaml: not a YAML settings file (line 1: expected <block end>, but found ':'); expected sections such as 'microscope:'.",
    ),
    "code": (
        "run",
        g.text("solver: !!python/name:os.system"),
        "mine.yaml: not a YAML settings file (line 1: could not determine a constructor for the tag 'tag:yaml.org,2002:python/name:os.system'); expected sections such as 'microscope:'.",
    ),
    "a name twice": (
        "run",
        g.text("solver:\n  seed: 1\n  polish_steps: 5\n  seed: 2\n"),
        "mine.yaml: solver.seed is given twice, in lines 2 and 4: delete one of them.",
    ),
    "a section twice": (
        "run",
        g.text("solver:\n  seed: 1\nmodel: {}\n'solver':\n  polish_steps: 5\n"),
        "mine.yaml: solver is given twice, in lines 1 and 4: delete one of them.",
    ),
    "a name twice in a line": (
        "run",
        g.text("solver: {seed: 1, seed: 1}\n"),
        "mine.yaml: solver.seed is given twice, in line 1: delete one of them.",
    ),
    "a long name twice": (
        "run",
        g.text(f"? {'x' * 500}\n: 1\n? {'x' * 500}\n: 2\n"),
        f"mine.yaml: {'x' * 120} is given twice, in lines 1 and 3: delete one of them.",
    ),
    "list": ("run", g.text("- 1\n- 2\n"), "mine.yaml: expected sections such as 'microscope:', found list."),
    "no names": ("run", g.text("solver: 5\n"), "mine.yaml: solver: expected names and values below it, found 5."),
    "unknown setting": (
        "run",
        g.text("solver:\n  merge: 5\n"),
        "mine.yaml: solver.merge: there is no such setting (given: 5).",
    ),
    "unknown section": (
        "run",
        g.text("nonsense:\n  a: 1\n"),
        "mine.yaml: nonsense: there is no such setting (given: {'a': 1}).",
    ),
    "out of range": (
        "run",
        g.text("solver:\n  seed: -1\n"),
        "mine.yaml: solver.seed: input should be greater than or equal to 0 (given: -1).",
    ),
    "of another step": (
        "run",
        g.text("microscope:\n  energy_eV: 300000\n"),
        "mine.yaml: microscope.energy_eV is no part of a preset of this kind: take the line out, and give it in step 2, Probe.",
    ),
    "measured": (
        "run",
        g.text("data:\n  withhold: 5\n  counts: true\n"),
        "mine.yaml: data.counts is no part of a preset of this kind: take the line out, and give it in step 1, Data.",
    ),
    "not of the lens": (
        "microscope",
        g.text("solver:\n  seed: 1\n"),
        "mine.yaml: solver.seed is no part of a preset of this kind: take the line out, and give it in step 3, Reconstruct.",
    ),
}


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name, tmp_path, monkeypatch):
    kind, make, sentence = PRESETS[name]
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "mine.yaml")
    before = g.state(tmp_path)
    with pytest.raises(InputError) as caught:
        load_preset(Preset("mine", Path("mine.yaml"), kind))
    assert str(caught.value) == sentence
    assert g.state(tmp_path) == before
