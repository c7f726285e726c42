"""Presets: what ships can be used, what is saved comes back, what is wrong is one sentence."""

from __future__ import annotations

import pytest

from napari_lot import presets as p
from napari_lot.errors import InputError
from napari_lot.job import Job
from napari_lot.physics.probe import probe_slices
from napari_lot.series.read import read_series
from napari_lot.series.sample import sample_facts, sample_path
from napari_lot.settings import Settings, settings_from_dict


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(p, "user_config_path", lambda *_, **__: tmp_path / "config")
    return tmp_path / "config" / "presets" / "run"


@pytest.mark.parametrize("name", ["quick look", "careful", "measured film"])
def test_what_ships_is_made_of_real_settings_that_a_run_takes(name):
    preset = next(x for x in p.presets("run") if x.name == name)
    assert preset.shipped
    assert preset.about.endswith(".")
    values = p.load_preset(preset)
    default = Settings().model_dump()
    told = [(s, n) for s, names in values.items() for n, v in names.items() if v != default[s][n]]
    assert len(told) >= 3, "a preset that changes nothing is none"
    facts = sample_facts()
    series = read_series(sample_path(), pixel_size_A=facts["pixel_size_A"])
    lens = {"energy_eV": 300e3, "semiangle_mrad": 25.0}
    values.setdefault("model", {})["elements"] = ("Pt",)
    Job(series, settings_from_dict({**values, "microscope": lens}))


def test_what_is_saved_comes_back(folder):
    values = {"model": {"probe": "direct"}, "solver": {"refine": ("positions", "heights"), "gather": 0.3}}
    saved = p.save_preset("run", " My film 2 ", values, "For Tuesdays.\nAnd Wednesdays.")
    assert saved.path == folder / "My film 2.yaml"
    assert [x.name for x in p.presets("run") if not x.shipped] == ["My film 2"]
    assert p.load_preset(saved) == values
    assert saved.about == "For Tuesdays. And Wednesdays."
    with pytest.raises(InputError, match="exists already"):
        p.save_preset("run", "My film 2", values)
    p.save_preset("run", "My film 2", {"solver": {"seed": 4}}, overwrite=True)
    assert p.load_preset(saved) == {"solver": {"seed": 4}}
    p.delete_preset(saved)
    assert all(x.shipped for x in p.presets("run"))
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["", "  ", "../up", "a/b", "_x", "a" * 41, "Careful"])
def test_names_that_cannot_be_are_refused(name, folder):
    with pytest.raises(InputError, match="Preset"):
        p.save_preset("run", name, {"solver": {"seed": 1}})
    assert not folder.exists()


def test_what_ships_cannot_be_deleted():
    with pytest.raises(InputError, match="ships with the program"):
        p.delete_preset(p.presets("run")[0])
    assert p.presets("run")[0].path.exists()


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "config").write_text("a file")
    with pytest.raises(InputError, match="cannot write the preset"):
        p.save_preset("run", "a", {"solver": {"seed": 1}})


def test_three_microscopes_ship_and_make_probes():
    shipped = [preset for preset in p.presets("microscope") if preset.shipped]
    assert len(shipped) >= 3
    for preset in shipped:
        assert preset.about.startswith("Example")
        lens = settings_from_dict(p.load_preset(preset)).microscope
        assert probe_slices(lens, [0.0], 64, 0.3).images[0].sum() == pytest.approx(1, abs=1e-4)


def test_a_kind_holds_its_own_step_only(folder):
    lens = {"microscope": {"energy_eV": 2e5, "semiangle_mrad": 21.5, "c30_A": -5e4}}
    saved = p.save_preset("microscope", "Titan, Tuesday", lens)
    assert saved.path == folder.parent / "microscope" / "Titan, Tuesday.yaml"
    assert p.load_preset(saved) == lens
    assert "Titan, Tuesday" not in [preset.name for preset in p.presets("run")]
    other = p.save_preset("run", "lens", lens)
    with pytest.raises(InputError, match="step 2, Probe"):
        p.load_preset(other)
    other = p.save_preset("microscope", "fit", {"solver": {"seed": 3}})
    with pytest.raises(InputError, match="step 3, Reconstruct"):
        p.load_preset(other)
