"""Small series made in the test, so that every reader is judged against arrays it has never seen."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

TILTS, ROWS, COLUMNS = 7, 12, 10


@pytest.fixture
def stack() -> NDArray[np.float32]:
    """(7, 12, 10) float32, no two values alike."""
    return np.random.default_rng(3).normal(100, 20, (TILTS, ROWS, COLUMNS)).astype(np.float32)


@pytest.fixture
def thetas() -> NDArray[np.float64]:
    return np.linspace(-60, 60, TILTS)


@pytest.fixture
def untouched() -> Iterator[Callable[[Path], Path]]:
    """Register files; when the test ends their bytes and times must be what they were."""
    seen: dict[Path, tuple[str, int]] = {}

    def state(path: Path) -> tuple[str, int]:
        return hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns

    def register(path: Path) -> Path:
        seen[path] = state(path)
        return path

    yield register
    for path, before in seen.items():
        assert state(path) == before, f"{path} was changed"
