"""The distributions with one command, from the root of the repository (``make check-release``):

    python -m benchmarks.release [--pythons python3.11 python3.12 ...] [--torch torch==2.13.0]

Builds wheel and sdist, checks them, and installs the wheel into new environments, one for each Python, PyTorch first,
where the command line is tried on the bundled sample. Writes docs/results-release.md and docs/results-release.json, and
exits with 1 where anything failed. Needs nothing but Python, network for pip, and some gigabytes in build/release.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.release.page import make_page

ROOT = Path(__file__).resolve().parent.parent.parent
LARGEST_BYTES = 10_000_000
SAMPLE = "--pixel-size 0.25 --element Pt --energy 300e3 --semiangle 25 --source-size 0.7064".split()
PIECES = (
    "napari_lot/napari.yaml",
    "napari_lot/py.typed",
    "napari_lot/samples/pt_deca/series.tif",
    "napari_lot/samples/pt_deca/angles.csv",
    "napari_lot/presets/run/quick look.yaml",
)
"""Of the wheel, besides its modules."""
NO_TORCH = """
import sys
sys.modules["torch"] = sys.modules["napari"] = None  # as if they were not there
import napari_lot, napari_lot.settings
print(napari_lot.__version__)
"""
_COLOURS = re.compile("\x1b\\[[0-9;]*m")
_CLEAN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "QT_API")


@dataclass
class Check:
    """One thing that was tried: in words, how it ended, how long it took, and the last line that it said."""

    name: str
    passed: bool
    seconds: float
    said: str


class Checks(list[Check]):
    """What was tried so far."""

    def run(self, name: str, words: Sequence[str | Path], cwd: Path, limit_s: float = 3600.0) -> str:
        """Run a program; its output, '' where it failed."""
        began = time.monotonic()
        environment = {key: value for key, value in os.environ.items() if key not in _CLEAN} | {"NO_COLOR": "1"}
        try:
            done = subprocess.run(
                [str(word) for word in words],
                cwd=cwd,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=limit_s,
                check=False,
            )
            code, out = done.returncode, done.stdout
        except (OSError, subprocess.TimeoutExpired) as error:
            code, out = -1, str(error)
        lines = [line.strip() for line in out.splitlines() if line.strip()]
        told = [line for line in lines if not line.startswith("WARNING")]  # of pip, about this computer
        self.add(name, code == 0, time.monotonic() - began, told[-1] if told else "")
        if code:
            print("\n".join(lines[-20:]), flush=True)
        return out if code == 0 else ""

    def add(self, name: str, passed: bool, seconds: float, said: str) -> None:
        """Take note of something."""
        self.append(Check(name, bool(passed), round(seconds, 1), _COLOURS.sub("", said).replace(str(ROOT), ".")[:200]))
        print(f"{'ok    ' if passed else 'FAILED'} {name} ({seconds:.1f} s): {self[-1].said}", flush=True)


def environment(folder: Path, python: str, checks: Checks) -> Path | None:
    """A new virtual environment; its interpreter."""
    shutil.rmtree(folder, ignore_errors=True)
    checks.run("a new environment", [python, "-m", "venv", folder], folder.parent)
    made = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    return made if made.exists() else None


def build(work: Path, python: str) -> tuple[Checks, list[Path]]:
    """Wheel and sdist, looked at."""
    checks = Checks()
    tools, dist = environment(work / "tools", python, checks), work / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    if tools is None:
        return checks, []
    checks.run("pip install build twine", [tools, "-m", "pip", "install", "-q", "build", "twine"], work)
    checks.run("python -m build", [tools, "-m", "build", "--outdir", dist, ROOT], work)
    made = sorted(dist.glob("*")) if dist.exists() else []
    checks.run("twine check --strict", [tools, "-m", "twine", "check", "--strict", *made], work)
    for path in made:
        size = path.stat().st_size
        checks.add(f"{path.name} is below 10 MB", size < LARGEST_BYTES, 0.0, f"{size / 1e6:.2f} MB")
    for path in made:
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
            absent = [piece for piece in PIECES if piece not in names]
            if not any(name.endswith("licenses/LICENSE") for name in names):
                absent.append("LICENSE")
            stray = sorted({name.split("/")[0] for name in names} - {"napari_lot"})
            stray = [name for name in stray if not name.endswith(".dist-info")]
            said = f"{len(names)} files; absent: {absent or 'nothing'}; besides the package: {stray or 'nothing'}"
            checks.add("the wheel holds the package and nothing else", not absent and not stray, 0.0, said)
        else:
            with tarfile.open(path) as archive:
                names = archive.getnames()
            kept = [n for n in ("pyproject.toml", "README.md", "LICENSE") if any(x.endswith(f"/{n}") for x in names)]
            checks.add("the sdist holds what builds it", len(kept) == 3, 0.0, f"{len(names)} files")
            _of_git(names, checks)
    return checks, made


def _of_git(names: list[str], checks: Checks) -> None:
    """Whether the sdist holds nothing that the repository does not; not asked where there is no git."""
    command = ["git", "-c", "core.quotePath=false", "-C", str(ROOT), "ls-files"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return
    stray = {name.partition("/")[2] for name in names} - {*told.splitlines(), "PKG-INFO"}
    checks.add("the sdist holds nothing that git does not", not stray, 0.0, ", ".join(sorted(stray)[:5]) or "nothing")


def installed(python: str, wheel: Path, torch: Sequence[str], work: Path) -> dict[str, Any]:
    """The wheel in a new environment of a Python, and what the command line does there."""
    checks = Checks()
    told = subprocess.run(
        [python, "-c", "import platform; print(platform.python_version())"], capture_output=True, text=True, check=False
    )
    version = told.stdout.strip() or python
    folder = work / f"python-{version}"
    here = environment(folder, python, checks)
    found: dict[str, Any] = {"python": version, "torch": "", "megabytes": 0, "checks": []}
    if here is not None:
        pip = [here, "-m", "pip", "install", "-q"]
        checks.run(f"pip install {' '.join(torch)}", [*pip, *torch], work)
        checks.run("pip install 'napari-lot[all]' from the wheel", [*pip, f"{wheel}[all]"], work)
        checks.run("pip check", [here, "-m", "pip", "check"], work)
        _used(here, work / f"run-{version}", checks)
        said = checks.run("torch", [here, "-c", "import torch; print(torch.__version__)"], work)
        found["torch"] = said.strip().rpartition("\n")[2]
        found["megabytes"] = round(sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6)
    found["checks"] = [asdict(check) for check in checks]
    return found


def _used(here: Path, work: Path, checks: Checks) -> None:
    """The command line on the bundled sample, in an empty folder."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    program = here.with_name("napari-lot.exe" if os.name == "nt" else "napari-lot")
    checks.run("import napari_lot without torch and napari", [here, "-c", NO_TORCH], work)
    where = checks.run(
        "it is the installed one",
        [here, "-c", "from napari_lot.series.sample import sample_path as p; print(p())"],
        work,
    )
    sample = Path(where.strip().splitlines()[-1] if where else "nowhere")
    checks.run("napari-lot --version", [program, "--version"], work)
    checks.run("napari-lot devices", [program, "devices"], work)
    checks.run("napari-lot info SAMPLE", [program, "info", sample, "--pixel-size", "0.25"], work)
    checks.run(
        "napari-lot reconstruct SAMPLE --max-minutes 1",
        [program, "reconstruct", sample, "--out", "out", "--max-minutes", "1", *SAMPLE],
        work,
        limit_s=600.0,
    )
    said = checks.run(
        "napari-lot compare", [program, "compare", "out/atoms.xyz", sample.with_name("truth.xyz")], work
    ).split()
    recall = float(said[said.index("recall") + 1]) if "recall" in said else 0.0
    rmsd = said[said.index("RMSD") + 1] if "RMSD" in said else "?"
    checks.add("all atoms of the sample are found", recall == 1.0, 0.0, f"recall {recall:g}, RMSD {rmsd} pm")
    checks.run("npe2 validate napari-lot", [here, "-m", "npe2", "validate", "napari-lot"], work)


def main() -> int:
    """Build, install, try, and write the page; 1 where something failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pythons", nargs="+", default=[sys.executable], help="interpreters; those absent are named")
    parser.add_argument("--torch", default="torch==2.13.0", help="what pip installs first, in one word list")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "release")
    parser.add_argument("--keep", action="store_true", help="what was found by other Pythons before stays on the page")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="where the page and the JSON file go")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    pythons = [found for name in options.pythons if (found := shutil.which(name))]
    absent = [name for name in options.pythons if shutil.which(name) is None]
    built, made = build(options.work, pythons[0])
    wheel = next((path for path in made if path.suffix == ".whl"), None)
    environments = []
    for python in pythons if wheel is not None else []:
        print(python, flush=True)
        environments.append(installed(python, wheel, options.torch.split(), options.work))
    store = options.docs / "results-release.json"
    if options.keep and store.exists():
        again = {one["python"] for one in environments}
        before = json.loads(store.read_text(encoding="utf-8"))["environments"]
        environments = [one for one in before if one["python"] not in again] + environments
        environments.sort(key=lambda one: [int(part) for part in one["python"].split(".") if part.isdigit()])
    found = {
        "machine": f"{platform.system()}, {platform.machine()}",
        "files": {path.name: path.stat().st_size for path in made},
        "absent": absent,
        "torch": options.torch,
        "built": [asdict(check) for check in built],
        "environments": environments,
    }
    store.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (options.docs / "results-release.md").write_text(make_page(found), encoding="utf-8")
    checks = [*found["built"], *(check for one in environments for check in one["checks"])]
    return 0 if checks and environments and all(check["passed"] for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
