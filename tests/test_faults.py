"""Faults of the machine in the midst of a run: each ends in a sentence, and what was there before is whole."""

import errno
import os
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import torch
from short_run import SHORT, noisy_series, small_particle

from napari_lot import owner, progress
from napari_lot.cli.app import run
from napari_lot.job import Job
from napari_lot.lot import run as lot_run
from napari_lot.session import read_session
from napari_lot.settings import settings_from_dict
from quick_job import quick_job_in_place, write_small_series

FLAGS = ["--probe", "direct", "--element", "Pt"]
EVERY_SECOND = ["--set", "output.autosave_s=1"]
BETWEEN_SAVES_S = 1.05


@pytest.fixture
def quick(monkeypatch):
    return quick_job_in_place(monkeypatch)


@pytest.fixture
def series(tmp_path):
    return write_small_series(tmp_path / "series.npz")


def until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


# -- the disk ---------------------------------------------------------------------------------------------------------


def test_a_disk_that_is_full_for_a_while_stops_no_run(quick, series, tmp_path, capfd):
    resource = pytest.importorskip("resource")  # limits of a process are POSIX
    out, saved, before = tmp_path / "out", tmp_path / "out" / "autosave.lot.h5", []
    no_limit = resource.getrlimit(resource.RLIMIT_FSIZE)

    def during(job, control, step):
        if step == 1:
            time.sleep(BETWEEN_SAVES_S)
        if step == 2:
            until(saved.exists)
            before.append(saved.read_bytes())
            resource.setrlimit(resource.RLIMIT_FSIZE, (len(before[0]) // 2, no_limit[1]))  # a file may have so much
            time.sleep(BETWEEN_SAVES_S)
        if step == 3:
            time.sleep(0.5)  # the save fails meanwhile, beside the run
            assert saved.read_bytes() == before[0], "the one before is whole"
            assert read_session(saved).state.step == 1
            assert [path.name for path in out.glob(".autosave*")] == [], "nothing is left that fills the disk"
        if step == 4:
            resource.setrlimit(resource.RLIMIT_FSIZE, no_limit)

    quick.during, quick.steps = during, 6
    try:
        assert run(["reconstruct", str(series), "--out", str(out), *FLAGS, *EVERY_SECOND]) == 0
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, no_limit)
    told = [line for line in capfd.readouterr().err.splitlines() if "warning" in line]
    assert told == [
        f"warning: {saved}: the autosave cannot be written ({os.strerror(errno.EFBIG)}), the one before is kept; the "
        "run goes on: make room, or what it finds is lost if it breaks off."
    ]
    assert len(read_session(out / "run.lot.h5").result.orbitals) == 4


def test_a_disk_that_fails_half_way_is_not_taken_for_a_damaged_file(quick, series, tmp_path, capsys, monkeypatch):
    def failing(self, size=-1):
        if 4_000 < self._stream.tell() < 8_000:  # the directory of the file, at its end, is read first
            raise OSError(errno.EIO, "Input/output error")
        return self._stream.read(size)

    monkeypatch.setattr(progress.Counted, "read", failing)
    assert run(["reconstruct", str(series), "--out", str(tmp_path / "out"), *FLAGS]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"napari-lot: {series}: it cannot be read to its end (Input/output error): check the disk or the connection to "
        "it, and try again."
    )
    assert not (tmp_path / "out").exists()
    assert not quick.seen


# -- memory -----------------------------------------------------------------------------------------------------------


def of_numpy():
    np.empty(2**50)


def of_torch():
    torch.empty(2**50)


@pytest.mark.parametrize("exhausted", [of_numpy, of_torch], ids=["numpy", "torch"])
def test_where_memory_ends_the_last_save_stays_and_can_be_gone_on_with(exhausted, quick, series, tmp_path, capsys):
    def during(job, control, step):
        if step == 1:
            time.sleep(BETWEEN_SAVES_S)
        if step == 2:
            exhausted()

    quick.during, out = during, tmp_path / "out"
    assert run(["reconstruct", str(series), "--out", str(out), *FLAGS, *EVERY_SECOND]) == 1
    kept = out / "autosave.lot.h5"
    assert capsys.readouterr().err.splitlines()[-2:] == [
        f"The last state of the run is in {kept}: napari-lot resume goes on.",
        "napari-lot: out of memory: bin or crop the series, or close other programs.",
    ]
    assert [path.name for path in out.iterdir()] == [kept.name]
    quick.during = None
    assert run(["resume", str(kept), "--out", str(tmp_path / "again")]) == 0


LIMITED = """
import resource, sys
from pathlib import Path
from napari_lot.cli.app import run
from napari_lot.series import read  # what it imports is loaded before the limit
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 200_000_000, resource.RLIM_INFINITY))
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="how much a process has is read from /proc")
def test_a_series_that_is_too_large_for_the_memory_of_the_process(tmp_path):
    large = tmp_path / "large.npz"  # 400 MB of one value each tilt, a few kB on the disk
    images = np.broadcast_to(np.arange(1, 26, dtype=np.float32)[:, None, None], (25, 2000, 2000))
    np.savez_compressed(large, images=images, angles_deg=np.linspace(-60, 60, 25), pixel_size_A=0.3)
    words = ["reconstruct", str(large), "--out", str(tmp_path / "out"), *FLAGS]
    done = subprocess.run([sys.executable, "-c", LIMITED, *words], capture_output=True, text=True, check=False)
    assert done.stderr == (
        f"napari-lot: {large}: there is not enough memory to read it: bin or crop the series, or close other programs; "
        "if it should be small it is damaged.\n"
    )
    assert done.returncode == 2
    assert not (tmp_path / "out").exists()


# -- two at once, and the clock ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [[], ["--overwrite"]], ids=["plain", "overwrite"])
def test_two_runs_do_not_write_into_one_folder(more, quick, series, tmp_path, capsys):
    out, codes = tmp_path / "out", []
    words = ["reconstruct", str(series), "--out", str(out), *FLAGS, *more]

    def during(job, control, step):
        if step == 1 and not codes:
            codes.append(None)
            codes.append(run(words))

    quick.during = during
    assert run(words) == 0
    assert codes == [None, 2]
    assert len(quick.seen) == 1, "the second never began"
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("napari-lot:")]
    assert said == [
        f"napari-lot: {out}: another run writes there (process {os.getpid()}): give another --out, or wait for its end."
    ]
    assert len(read_session(out / "run.lot.h5").result.orbitals) == 4
    assert not (out / owner.CLAIM_FILE).exists()


def test_a_folder_that_a_killed_run_has_left_is_free(quick, series, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    killed = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    since = owner.began(killed.pid)
    assert owner.is_alive(killed.pid, since)
    killed.kill()
    killed.communicate()
    assert not owner.is_alive(killed.pid, since)
    (out / owner.CLAIM_FILE).write_text(
        f'{{"host": "{owner.host()}", "pid": {killed.pid}, "began": {since}}}', encoding="utf-8"
    )
    (out / ".autosave.lot-abcdefgh.h5").write_bytes(b"broken off")
    assert run(["reconstruct", str(series), "--out", str(out), *FLAGS, "--overwrite"]) == 0
    assert (out / "atoms.xyz").exists()
    assert not [path.name for path in out.iterdir() if path.name.startswith(".")]


def test_of_many_runs_that_begin_at_once_one_has_the_folder(tmp_path):
    """Also where a killed one has left its claim, which all of them find."""
    dead = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    since = owner.began(dead.pid)
    dead.kill()
    dead.communicate()
    out = tmp_path / "out"
    out.mkdir()
    left = f'{{"host": "{owner.host()}", "pid": {dead.pid}, "began": {since}}}'
    (out / owner.CLAIM_FILE).write_text(left, encoding="utf-8")
    script = (
        "import sys, time; from pathlib import Path; from napari_lot.owner import claimed\n"
        "sys.stdin.readline()\n"
        "try:\n"
        f"    with claimed(Path({str(out)!r})): print('has it', flush=True); time.sleep(2)\n"
        "except Exception as error: print(type(error).__name__)\n"
    )
    rivals = [
        subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    time.sleep(3)  # all have imported what they need
    for rival in rivals:
        rival.stdin.write("go\n")
        rival.stdin.flush()
    said = sorted(rival.communicate(timeout=60)[0].strip() for rival in rivals)
    assert said == ["InputError"] * 3 + ["has it"]
    assert not (out / owner.CLAIM_FILE).exists()


def test_a_run_on_another_computer_is_not_guessed_about(quick, series, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    claim = out / owner.CLAIM_FILE
    claim.write_text('{"host": "node7", "pid": 1, "began": 5}', encoding="utf-8")
    assert run(["reconstruct", str(series), "--out", str(out), *FLAGS]) == 2
    assert (
        f"(process 1 on node7): give another --out, or delete {claim} if that run is gone." in capsys.readouterr().err
    )


def test_a_clock_that_is_set_disturbs_nothing(monkeypatch):
    """Hours forth and back with every look at it; a run of a few seconds with a limit of a minute."""
    real, looks = time.time, [0]

    def set_again():
        looks[0] += 1
        return real() + (5e5 if looks[0] % 2 else -5e5)

    monkeypatch.setattr(time, "time", set_again)
    monkeypatch.setattr(time, "time_ns", lambda: int(1e9 * set_again()))
    monkeypatch.setattr(lot_run, "SNAPSHOT_INTERVAL_S", 0.0)
    values = {"model": {"probe": "direct", "elements": ["Pt"]}, "solver": {**SHORT, "max_minutes": 1}}
    job, began = Job(noisy_series(small_particle()), settings_from_dict(values)), time.monotonic()
    elapsed = [snapshot.elapsed_s for snapshot in job.run()]
    assert job.stop_reason == "converged"
    assert (np.diff(elapsed) >= 0).all()
    assert 0 <= elapsed[0] <= elapsed[-1] <= time.monotonic() - began
    assert job.result.wall_seconds["total"] <= time.monotonic() - began


def test_a_process_is_known_again_after_the_clock_was_set(monkeypatch):
    since = owner.began(os.getpid())
    real = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: real(self) + 3600.0)  # what psutil makes of it
    if sys.platform == "linux":
        assert owner.is_alive(os.getpid(), since)
    assert not owner.is_alive(os.getpid(), since + 500)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("words", [["devices"], ["--help"]])
def test_output_that_cannot_be_printed_ends_with_one_sentence(words):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "napari_lot", *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr == (
        "napari-lot: what is printed cannot be written: No space left on device; check where the output is sent to.\n"
    )
