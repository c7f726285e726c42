"""Named sets of settings: shipped ones hold, own ones are kept, replaced, hidden and deleted."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from napari_lot import presets
from napari_lot.errors import InputError
from napari_lot.physics.probe import probe_slices
from napari_lot.settings import Microscope, Settings, settings_from_dict

FIELDS = {"microscope": tuple(Microscope.model_fields)}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(presets, "own_folder", lambda kind: tmp_path / kind)
    return tmp_path / "microscope"


def lens(**values: float) -> Settings:
    return Settings(microscope=Microscope(energy_eV=2e5, semiangle_mrad=21.5, **values))


def test_three_microscopes_come_with_the_package_and_make_probes(own: Path) -> None:
    shipped = presets.presets("microscope")
    assert len(shipped) >= 3
    for preset in shipped.values():
        assert preset.shipped
        assert preset.description.startswith("Example")
        microscope = settings_from_dict(preset.values()).microscope
        images = probe_slices(microscope, [0.0], 64, 0.3).images
        assert images[0].sum() == pytest.approx(1, abs=1e-4)


def test_what_is_saved_is_what_comes_back_and_a_settings_file(own: Path) -> None:
    saved = presets.save("microscope", " My lens ", lens(c30_A=-5e4), FIELDS, replace=False)
    assert saved.path == own / "My lens.yaml"
    found = presets.presets("microscope")["My lens"]
    assert not found.shipped
    assert settings_from_dict(found.values()).microscope == lens(c30_A=-5e4).microscope
    assert yaml.safe_load(saved.path.read_text())["microscope"]["semiangle_mrad"] == 21.5
    assert [path.name for path in own.iterdir()] == ["My lens.yaml"]  # nothing half written is left


def test_a_preset_is_replaced_only_when_asked(own: Path) -> None:
    presets.save("microscope", "a", lens(), FIELDS, replace=False)
    with pytest.raises(InputError, match="there is one of that name"):
        presets.save("microscope", "a", lens(c12_A=5), FIELDS, replace=False)
    assert "c12_A" not in presets.presets("microscope")["a"].values()["microscope"]
    presets.save("microscope", "a", lens(c12_A=5), FIELDS, replace=True)
    assert presets.presets("microscope")["a"].values()["microscope"]["c12_A"] == 5


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 80, "a\\b", "a:b"])
def test_a_name_that_cannot_be_a_file_is_refused(own: Path, name: str) -> None:
    with pytest.raises(InputError, match="a name has up to"):
        presets.save("microscope", name, lens(), FIELDS, replace=False)
    assert not own.exists()


def test_an_own_preset_hides_a_shipped_one_until_it_is_deleted(own: Path) -> None:
    name = next(iter(presets.presets("microscope")))
    with pytest.raises(InputError, match="the ones that come with the program stay"):
        presets.delete("microscope", name)
    presets.save("microscope", name, lens(), FIELDS, replace=False)
    assert presets.presets("microscope")[name].values()["microscope"]["semiangle_mrad"] == 21.5
    presets.delete("microscope", name)
    assert presets.presets("microscope")[name].shipped


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("microscope: [1", "not a YAML"),
        ("microscope: {energy_eV: -3}", "energy_eV: input should be greater than"),
        ("microscope: {voltage: 300}", "there is no such setting"),
    ],
)
def test_a_broken_file_is_explained(own: Path, text: str, sentence: str) -> None:
    own.mkdir()
    (own / "broken.yaml").write_text(text)
    with pytest.raises(InputError, match=sentence):
        presets.presets("microscope")["broken"].values()
