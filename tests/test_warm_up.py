"""What a first run would compile is compiled before, in a process of its own."""

import os
import subprocess
import sys

import pytest

from napari_lot import warm_up

RUN = """
import sys
import numba.core.dispatcher as d
compiled = []
compile_ = d._FunctionCompiler.compile
def noted(self, *a, **k):
    compiled.append(self.py_func.__qualname__)
    return compile_(self, *a, **k)
d._FunctionCompiler.compile = noted
from napari_lot.warm_up import compile_kernels
compile_kernels()
print(len(compiled))
"""


@pytest.mark.slow
def test_a_second_process_has_nothing_to_compile(tmp_path, monkeypatch):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "numba"), "XDG_CACHE_HOME": str(tmp_path)}
    counts = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", RUN], env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        counts.append(int(done.stdout))
    assert counts[0] > 3
    assert counts[1] == 0


def test_it_is_done_once_for_each_state_of_the_program(tmp_path, monkeypatch):
    monkeypatch.setattr(warm_up.platformdirs, "user_cache_dir", lambda *a, **k: str(tmp_path))
    started = []
    monkeypatch.setattr(warm_up.subprocess, "Popen", lambda command, **k: started.append(command))
    warm_up.compile_beside()
    assert started[0][0] == sys.executable
    warm_up._mark().parent.mkdir(exist_ok=True)
    warm_up._mark().touch()
    assert warm_up.compile_beside() is None
    assert len(started) == 1
    monkeypatch.setattr(warm_up, "__version__", "another")
    warm_up.compile_beside()
    assert len(started) == 2


def test_where_no_process_can_be_started_the_first_run_compiles(tmp_path, monkeypatch):
    monkeypatch.setattr(warm_up.platformdirs, "user_cache_dir", lambda *a, **k: str(tmp_path))

    def refused(*a, **k):
        raise OSError("no")

    monkeypatch.setattr(warm_up.subprocess, "Popen", refused)
    assert warm_up.compile_beside() is None
