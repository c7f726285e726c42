"""What kill -9 costs a run:

    python -m benchmarks.kills [--count 50] [--seed 1]

Starts real ``napari-lot reconstruct`` processes on the bundled sample, kills each at a random moment, half of them
while a save is being written, opens what is left with the package's own reader and has ``napari-lot resume`` go on with
some to their end.
Writes docs/results-kills.md and docs/results-kills.json. Exits with 1 where a file was lost or more than 30 s of work.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.accuracy.__main__ import machine

from napari_lot.errors import InputError
from napari_lot.report import AUTOSAVE_FILE
from napari_lot.series.sample import sample_path
from napari_lot.session import read_session
from napari_lot.session.file import images_hash

ROOT = Path(__file__).resolve().parent.parent.parent
FLAGS = "--pixel-size 0.25 --element Pt --energy 300e3 --semiangle 25 --source-size 0.7064".split()
INTERVAL_S = 1.0
"""Seconds between saves here; the default is 20."""
SLOW = ("solver.positions_passes=60",)
"""The sample is done in less time than a random moment needs: it takes longer over its grid."""
MOST_LOST_S = 30.0
LONGEST_S = 10.0
"""After the first save a run is killed within so many seconds."""


@dataclass
class Kill:
    """One run and its end.

    Attributes
    ----------
    wanted : str
        "any moment" or "during a save".
    half_written : bool
        Whether a save was broken off, so that a half-written file was left beside the whole one.
    after_s : float
        Seconds from the start of the process to its end.
    age_s : float
        Seconds from when the last whole save appeared to the end.
    opened : bool
        Whether the file that was left is read, and its images are those that it says.
    stage, step
        Of the last save.
    resumed : bool or None
        Whether ``napari-lot resume`` made of it the atoms of the run that nobody killed, to the last digit that is
        written; None where that was not tried.
    """

    wanted: str
    half_written: bool
    after_s: float
    age_s: float
    opened: bool
    stage: str
    step: int
    resumed: bool | None = None


def killed(out: Path, rng: np.random.Generator, during_a_save: bool, interval_s: float = INTERVAL_S) -> Kill:
    """Start a run that writes into ``out``, and kill it at a random moment after its first save."""
    words = words_of(out, interval_s)
    saved = out / AUTOSAVE_FILE
    wait_s = float(rng.uniform(0.0, LONGEST_S if not during_a_save else 0.5 * LONGEST_S))
    within_s = float(rng.uniform(0.0, 0.02))  # a save of the sample takes some 20 ms
    with tempfile.TemporaryFile() as said:
        began = time.monotonic()
        run = subprocess.Popen(words, stderr=said, stdout=said, start_new_session=True)
        try:
            while not saved.exists() and run.poll() is None:
                time.sleep(0.01)
            time.sleep(wait_s)
            while during_a_save and run.poll() is None and not half_written(out):
                time.sleep(0.0005)
            if during_a_save:
                time.sleep(within_s)
        finally:
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)
            ended = time.time()  # as the time of the file, by the same clock
            run.wait()
        if run.returncode != -signal.SIGKILL:
            said.seek(0)
            raise RuntimeError(f"the run had ended before it was killed: {said.read().decode()[-500:]}")
    kill = Kill(
        wanted="during a save" if during_a_save else "any moment",
        half_written=bool(half_written(out)),
        after_s=time.monotonic() - began,
        age_s=ended - saved.stat().st_mtime,
        opened=False,
        stage="",
        step=0,
    )
    try:
        session = read_session(saved)
    except InputError as error:
        print(error, file=sys.stderr)
        return kill
    assert session.state is not None
    kill.opened = images_hash(session.series.images) == stored_hash(saved)
    kill.stage, kill.step = session.state.stage, session.state.step
    return kill


def half_written(out: Path) -> list[Path]:
    """Saves that are being written, or were broken off."""
    return list(out.glob(f".{Path(AUTOSAVE_FILE).stem}-*"))


def stored_hash(path: Path) -> str:
    """SHA-256 of the images as the file says it."""
    import h5py

    with h5py.File(path) as file:
        return str(file["series"].attrs["images_sha256"])


def words_of(out: Path, interval_s: float = INTERVAL_S) -> list[str]:
    """The command line of a run."""
    words = [sys.executable, "-m", "napari_lot", "reconstruct", str(sample_path()), "--out", str(out), *FLAGS]
    for setting in (*SLOW, f"output.autosave_s={interval_s:g}"):
        words += ["--set", setting]
    return words


def unbroken(out: Path) -> bytes:
    """The atoms, as they are written, of a run that nobody kills."""
    subprocess.run(words_of(out), check=True, capture_output=True)
    return (out / "atoms.csv").read_bytes()


def goes_on(out: Path, expected: bytes) -> bool:
    """Whether ``napari-lot resume`` makes the expected atoms of what is left."""
    again = out / "again"
    words = [sys.executable, "-m", "napari_lot", "resume", str(out / AUTOSAVE_FILE), "--out", str(again)]
    done = subprocess.run(words, capture_output=True, check=False)
    return done.returncode == 0 and (again / "atoms.csv").read_bytes() == expected


def page(found: dict[str, Any]) -> str:
    """The page of the documentation."""
    kills = found["kills"]
    ages = np.array([kill["age_s"] for kill in kills])
    tried = [kill for kill in kills if kill["resumed"] is not None]
    rows = []
    for wanted in ("any moment", "during a save"):
        some = [kill for kill in kills if kill["wanted"] == wanted]
        if some:
            of = np.array([kill["age_s"] for kill in some])
            rows.append(
                f"| {wanted} | {len(some)} | {sum(kill['half_written'] for kill in some)} | "
                f"{sum(kill['opened'] for kill in some)} | {np.median(of):.2f} | {of.max():.2f} |"
            )
    stages: dict[str, int] = {}
    for kill in kills:
        stages[kill["stage"]] = stages.get(kill["stage"], 0) + 1
    return "\n".join(
        [
            "# Killed runs",
            "",
            f"{len(kills)} runs of the bundled sample, each a process of its own, killed with SIGKILL at a random "
            f"moment (seed {found['seed']}), every second of them while it wrote a save. "
            f"Saves every {found['interval_s']:g} s. {found['machine']}",
            "",
            "| killed | runs | half-written save beside it | file opened | median age of the save / s | largest / s |",
            "| --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
            f"Of {len(kills)} files {sum(kill['opened'] for kill in kills)} opened, with the images whose SHA-256 they "
            f"hold. `napari-lot resume` made of {sum(kill['resumed'] for kill in tried)} of the {len(tried)} that were "
            "tried the same atoms, to the last digit written, as a run that nobody killed. "
            f"The save was {ages.max():.1f} s old at most; with the default interval of 20 s it is "
            f"{20 - found['interval_s']:g} s more. A run loses that and the pass, or fit, that was going on. "
            "Stages of the saves: " + ", ".join(f"{name} {count}" for name, count in sorted(stages.items())) + ".",
            "",
            "A half-written save lies beside the whole one under a name that begins with a dot; the next run in that",
            "folder deletes it. What a cut of the power does to a disk's own cache is not tested here: a save is on",
            "the disk (`fsync`) before it takes the place of the one before, and its name is before the next step.",
            "",
            "Make this page again: `python -m benchmarks.kills`.",
            "",
        ]
    )


def main() -> int:
    """Kill runs and write the page; 1 where something was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume-every", type=int, default=17, help="go on with every so manyth (default 17)")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    options = parser.parse_args()
    rng, kills = np.random.default_rng(options.seed), []
    with tempfile.TemporaryDirectory(prefix="napari-lot-kills-") as work:
        expected = unbroken(Path(work) / "unbroken")
        for k in range(options.count):
            out = Path(work) / str(k)
            kill = killed(out, rng, during_a_save=k % 2 == 1)
            if k % options.resume_every == 0:
                kill.resumed = goes_on(out, expected)
            shutil.rmtree(out)
            kills.append(kill)
            print(k + 1, kill, flush=True)
    found = {
        "machine": f"{machine()}.",
        "seed": options.seed,
        "interval_s": INTERVAL_S,
        "kills": [asdict(kill) for kill in kills],
    }
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    (options.docs / "results-kills.json").write_text(text, encoding="utf-8")
    (options.docs / "results-kills.md").write_text(page(found), encoding="utf-8")
    lost = [kill for kill in kills if not kill.opened or kill.resumed is False or kill.age_s > MOST_LOST_S]
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
