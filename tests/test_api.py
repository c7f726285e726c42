"""The public interface: one place, importable without weight, documented, its examples true."""

from __future__ import annotations

import doctest
import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import napari_lot

NAMES = sorted(set(napari_lot.__all__) - {"__version__"})
API = Path(__file__).parents[1] / "docs" / "api.md"


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_there_and_says_what_it_is(name):
    found = getattr(napari_lot, name)
    assert inspect.isclass(found) or inspect.isfunction(found)
    assert found.__module__.startswith("napari_lot.")
    assert len((found.__doc__ or "").split()) > 3


def test_the_page_of_the_interface_names_them_all_and_no_others():
    assert sorted(re.findall(r"^::: napari_lot\.(\w+)$", API.read_text(encoding="utf-8"), re.M)) == NAMES


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'reconstrukt'"):
        napari_lot.reconstrukt  # noqa: B018


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, napari_lot; print([m for m in ('numpy', 'torch', 'napari', 'qtpy', 'numba') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def modules():
    places = {getattr(napari_lot, name).__module__ for name in NAMES}
    return ["napari_lot", *sorted(places)]


def test_examples_of_the_docstrings_are_true():
    tried = 0
    for name in modules():
        found = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
        assert found.failed == 0, name
        tried += found.attempted
    assert tried >= 10
