"""Settings: what was valid comes back the same from YAML and JSON; what is not is one line that names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_lot.cli.options import gather
from napari_lot.errors import InputError
from napari_lot.settings import Settings, load_settings, settings_from_dict

QUICK = settings(
    max_examples=60, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
LONG = settings(QUICK, max_examples=4000)

SECTIONS = {name: field.annotation.model_fields for name, field in Settings.model_fields.items()}
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(),
    st.floats(),
    st.floats(0, 2),
    st.text(max_size=6),
    st.sampled_from(["Pt", "adaptive", "grid", "3=0.5", "20-22=0", "lsq", "0,25"]),
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(st.text(max_size=4), st.integers()), inner, max_size=3)
    ),
    max_leaves=6,
)
NAMES = st.sampled_from([(s, n) for s in SECTIONS for n in SECTIONS[s]])
KNOWN = st.dictionaries(NAMES, ANYTHING, max_size=4)


def nested(values: dict[tuple[str, str], Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for (section, name), value in values.items():
        found.setdefault(section, {})[name] = value
    return found


def check_sentence(said: str, begins: str) -> None:
    assert said.startswith(begins)
    assert "\n" not in said
    assert len(said) < 1000


def judged(values: Any, folder: Path) -> None:
    """Settings that are the same after YAML and JSON, or a sentence."""
    try:
        found = settings_from_dict(values)
    except InputError as error:
        check_sentence(str(error), "settings")
        return
    assert Settings.model_validate_json(found.model_dump_json()) == found
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(found.model_dump(mode="json"), allow_unicode=True), encoding="utf-8")
    assert settings_from_dict(load_settings(path)) == found


def anything(folder: Path, how: settings) -> None:
    @how
    @given(st.one_of(ANYTHING, st.dictionaries(st.sampled_from([*SECTIONS, "nonsense"]), ANYTHING), KNOWN.map(nested)))
    def judge(values: Any) -> None:
        judged(values, folder)

    judge()


def typed(how: settings) -> None:
    @how
    @given(NAMES, st.text(max_size=12))
    def give(name: tuple[str, str], text: str) -> None:
        try:
            gather({}, None, [f"{name[0]}.{name[1]}={text}"]).settings()
        except InputError as error:
            check_sentence(str(error), "--set")

    give()


def test_any_values(tmp_path: Path) -> None:
    anything(tmp_path, QUICK)


def test_any_text_on_the_command_line() -> None:
    typed(QUICK)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_many_values(tmp_path: Path) -> None:
    anything(tmp_path, LONG)
    typed(LONG)
