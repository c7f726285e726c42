"""Spoiled files of every kind: read, or refused in one line; with little memory, and nothing changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.formats import CHANGES, KINDS, Change, spoiled, whole
from napari_lot.errors import InputError

MOST_MB = 300
"""What reading some kilobytes may take at most, with the libraries that are loaded for it."""
QUICK = settings(
    max_examples=25, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
LONG = settings(QUICK, max_examples=1500)
KEPT = st.one_of(st.just(1.0), st.just(1.0), st.floats(0, 1))
pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries: numbers beyond their type, unknown signatures


@contextmanager
def little_memory() -> Iterator[None]:
    """The peak of this process' memory must not grow by more than ``MOST_MB``; not measured but on Linux."""
    status, peak = Path("/proc/self/status"), Path("/proc/self/clear_refs")

    def now(name: str) -> int:
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(name))

    try:
        peak.write_text("5")  # the peak is what is taken now
        before = now("VmRSS")
    except OSError:
        yield
        return
    yield
    assert now("VmHWM") - before < 1024 * MOST_MB


def outcome(name: str, path: Path, data: bytes) -> None:
    """Read a spoiled file: either way is right, a third is not."""
    path.write_bytes(data)
    said = str(path)
    try:
        assert KINDS[name].read(path) is not None
    except InputError as error:
        said = str(error)
    assert "\n" not in said
    assert str(path) in said
    assert len(said) < 500 + len(str(path))
    assert path.read_bytes() == data
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def fuzz(name: str, folder: Path, how: settings) -> None:
    @how
    @given(CHANGES, KEPT)
    def read(changes: list[Change], kept: float) -> None:
        outcome(name, folder / f"a{KINDS[name].ending}", spoiled(name, changes, kept))

    with little_memory():
        read()


@pytest.mark.parametrize("name", KINDS)
def test_the_valid_file_is_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{KINDS[name].ending}"
    path.write_bytes(whole(name))
    KINDS[name].read(path)


@pytest.mark.parametrize("name", KINDS)
def test_spoiled_files(name: str, tmp_path: Path) -> None:
    fuzz(name, tmp_path, QUICK)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", KINDS)
def test_many_spoiled_files(name: str, tmp_path: Path) -> None:
    fuzz(name, tmp_path, LONG)


def test_memory_that_is_taken_is_noticed() -> None:
    taken: list[Any] = []
    with pytest.raises(AssertionError), little_memory():
        taken.append(b"x" * (1024 * 1024 * (MOST_MB + 50)))
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the peak is not measured here")
