"""Run one case through the command line, as a user would, and score what it wrote."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.accuracy.cases import Case

FWHM_OF_SIGMA = 2.3548200450309493
SIMULATOR = Path(__file__).resolve().parent.parent / "independent" / "thin_slices.py"


def find_case(case: Case, cases: Path, work: Path) -> Path | None:
    """Folder of a case: among the given ones, or made by the independent simulator; None where it is missing."""

    def make(folder: Path) -> None:
        subprocess.run([sys.executable, str(SIMULATOR), "--out", str(folder), *case.generate], check=True)

    return found_or_made(case.name, cases, work, make if case.generate else None)


def found_or_made(name: str, cases: Path, work: Path, make: Callable[[Path], None] | None) -> Path | None:
    """Folder of a case: among the given ``cases``, or made once under ``work``; None where it can be neither."""
    if (cases / name / "case.json").exists():
        return cases / name
    if make is None:
        return None
    folder = work / "cases" / name
    if not (folder / "case.json").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        make(folder)
    return folder


def facts(folder: Path) -> list[str]:
    """Flags with what case.json knows of the measurement; never the rotation centre."""
    case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    flags = ["--angles", str(folder / "angles.csv"), "--pixel-size", repr(case["pixel_size_A"])]
    if (folder / "mask.tif").exists():
        flags += ["--mask", str(folder / "mask.tif")]
    if case.get("counts"):
        flags.append("--counts")
    flags += ["--energy", repr(case["energy_eV"]), "--semiangle", repr(case["semiangle_mrad"])]
    if case.get("source_sigma_A"):
        flags += ["--source-size", f"{FWHM_OF_SIGMA * case['source_sigma_A']:.6g}"]
    if case.get("defocus_A"):
        flags += ["--defocus", repr(case["defocus_A"])]
    if "elements" in case:
        flags += ["--elements", ",".join(case["elements"])]
    else:
        flags += ["--element", case["element"]]
    return flags


def measured_run(command: list[str], log: Path, limit_s: float) -> dict[str, Any]:
    """Run a command to its end or to ``limit_s``: exit code, wall time in s and peak resident memory in GB (1e9 bytes).

    The memory is what the kernel reports of this very process when it ends (wait4), so nothing is sampled or missed.
    The kernel never reports less than this program's own memory at the start, which is small here.
    """
    with log.open("wb") as out:
        began = time.perf_counter()
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        watch = threading.Timer(limit_s, os.killpg, (child.pid, signal.SIGKILL))
        watch.start()
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            raise
        finally:
            watch.cancel()
        wall = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes on macOS, kilobytes elsewhere
    return {
        "exit": child.returncode,
        "wall_s": round(wall, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_memory_gb": round(usage.ru_maxrss * unit / 1e9, 3),
    }


def score(score_program: Path, folder: Path, atoms: Path) -> dict[str, Any]:
    """What the score program says of the found atoms."""
    command = [sys.executable, str(score_program), str(atoms), str(folder / "truth.xyz"), "--cutoff", "1.0"]
    if (folder / "eval.csv").exists():
        command += ["--use", str(folder / "eval.csv")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout.startswith("{"):
        raise SystemExit(
            f"{score_program.name} failed on {atoms}: {(done.stderr.strip().splitlines() or ['no output'])[-1]}"
        )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def measure(
    program: str, score_program: Path, case: Case, folder: Path, work: Path, seed: int, variant: str
) -> dict[str, Any]:
    """One run of one case, by a rigid or a direct probe or from the true atoms: its figures, or how it failed."""
    out = work / f"{case.name}-{variant}-seed{seed}"
    out.parent.mkdir(parents=True, exist_ok=True)
    flags = [*facts(folder), "--probe", "rigid" if variant == "truth" else variant, "--seed", str(seed)]
    if variant == "truth":
        flags += ["--start", str(folder / "truth.xyz")]
    command = [program, "reconstruct", str(folder / "series.tif"), "--out", str(out), "--overwrite", *flags]
    result: dict[str, Any] = {"case": case.name, "probe": variant, "seed": seed}
    result |= {"flags": " ".join(f.replace(f"{folder}/", "") for f in flags)}
    log = out.with_suffix(".log")
    # A run that is too slow is still worth scoring; only one that seems never to end is killed.
    result |= measured_run(command, log, 10 * case.wall_limit_s)
    if result["exit"] != 0:
        text = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        if result["exit"] == -signal.SIGKILL:
            return result | {"error": f"killed after {result['wall_s']} s"}
        return result | {"error": text[-1] if text else f"ended with {result['exit']}"}
    result |= score(score_program, folder, out / "atoms.xyz")
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    result["r_factor"] = report["r_factor"]["mean"]
    result["stop_reason"] = report["stop_reason"]
    return result
