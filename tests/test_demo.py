"""What the demo does where there is a display, a virtual one, or none; and the script that sets one up."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from napari_lot.cli import demo

SCRIPT = Path(__file__).parent.parent / ".ci" / "system-packages"


@pytest.fixture
def ran(monkeypatch):
    """Commands that the demo would have run, as (command, timeout); each leaves a screenshot."""
    ran = []

    def run(command, *, env, timeout, **_):
        ran.append((command, timeout))
        Path(command[-1]).write_bytes(b"png")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    return ran


def test_without_a_display_it_takes_a_virtual_one_and_ends_by_itself(ran, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert demo.show(tmp_path) == f"Screenshot: {tmp_path / 'screenshot.png'}"
    ((command, timeout),) = ran
    assert command[0] == "xvfb-run"
    assert timeout is not None


def test_on_a_display_the_window_stays_until_it_is_closed(ran, tmp_path, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":7")
    demo.show(tmp_path)
    ((command, timeout),) = ran
    assert command[0] == sys.executable
    assert timeout is None


def test_without_any_display_it_says_so(ran, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    (tmp_path / "screenshot.png").write_bytes(b"of an earlier run")
    assert demo.show(tmp_path) == "The screenshot was left out: there is no display, and no xvfb-run to make one."
    assert ran == []
    assert list(tmp_path.iterdir()) == []


def test_a_window_that_fails_is_told_in_its_last_words(tmp_path, monkeypatch):
    def run(command, **_):
        return subprocess.CompletedProcess(command, 1, "", "Traceback ...\nRuntimeError: no OpenGL\n")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setenv("DISPLAY", ":7")
    assert demo.show(tmp_path) == "The screenshot was left out: RuntimeError: no OpenGL"


def test_a_window_that_hangs_is_ended(tmp_path, monkeypatch):
    def run(command, timeout, **_):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert "did not end within 300 s" in demo.show(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="Debian and Ubuntu")
@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0)])
def test_without_root_and_xvfb_only_ci_fails(tmp_path, ci, code):
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    bash = shutil.which("bash")
    assert bash
    environment = {**os.environ, "PATH": str(tmp_path), "CI": ci}
    done = subprocess.run([bash, str(SCRIPT)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert "xvfb-run is missing" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="Debian and Ubuntu")
@pytest.mark.parametrize(("renamed", "package"), [(True, "libglib2.0-0t64"), (False, "libglib2.0-0")])
def test_as_root_what_is_missing_is_installed_under_its_name_of_the_release(tmp_path, renamed, package):
    programs = {
        "id": "echo 0",
        "dpkg-query": "exit 1",
        "apt-cache": f"exit {0 if renamed else 100}",
        "apt-get": f'echo "$@" >> {tmp_path}/log',
        "xvfb-run": "exit 0",
    }
    for name, body in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    bash = shutil.which("bash")
    assert bash
    done = subprocess.run(
        [bash, str(SCRIPT)], env={**os.environ, "PATH": str(tmp_path)}, capture_output=True, check=False
    )
    assert done.returncode == 0
    update, install = (tmp_path / "log").read_text().splitlines()
    assert update.startswith("update")
    assert install.split()[0] == "install"
    assert package in install.split()
    assert {"xvfb", "libegl1", "libxcb-cursor0"} <= set(install.split())
