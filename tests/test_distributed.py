"""Two processes that share the tilts of one run: the same atoms as one, and an end in words when one is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.spatial import cKDTree

from napari_lot.export import read_atoms
from napari_lot.settings import Microscope
from napari_lot.simulate.images import Recording, simulate_series
from napari_lot.simulate.particles import amorphous_sphere

ANGLES = np.linspace(-70, 70, 29)


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    atoms = amorphous_sphere("Pt", 12.0, 2.5, atoms=25, seed=1)
    lens = Microscope(energy_eV=3e5, semiangle_mrad=25)
    recording = Recording(dose_e_per_A2=2e5, background=1.0, seed=3)
    images = simulate_series(atoms, ANGLES, 0.25, lens, recording=recording).images
    tifffile.imwrite(folder / "series.tif", images.astype(np.float32))
    np.savetxt(folder / "angles.csv", ANGLES, fmt="%.3f")
    return folder


def command(series: Path, out: Path, processes: int = 1, **values: object) -> list[str]:
    start = ["-m", "napari_lot"]
    if processes > 1:
        start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), *start]
    settings = [f"--set={name.replace('__', '.')}={value}" for name, value in values.items()]
    files = ["reconstruct", str(series / "series.tif"), "--angles", str(series / "angles.csv"), "--out", str(out)]
    lens = ["--pixel-size", "0.25", "--energy", "300000", "--semiangle", "25", "--element", "Pt", "--counts"]
    return [sys.executable, *start, *files, *lens, "--threads", "1", *settings]


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize("model", ["rigid", pytest.param("adaptive", marks=pytest.mark.slow)])
def test_two_processes_find_the_atoms_of_one(series, tmp_path, model):
    found = []
    for processes in (1, 2):
        out = tmp_path / str(processes)
        asked = command(series, out, processes, model__probe=model)
        done = subprocess.run(asked, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("atoms.xyz") == 1, "one of them tells"
        found.append(read_atoms(out / "atoms.csv"))
    one, two = found
    assert len(one.id) == len(two.id) == 25
    # ids tell which of several orbitals an atom came from: where a place melts rounding decides that, not where it is
    _, same = cKDTree(two.positions).query(one.positions)
    assert sorted(same) == list(range(25))
    assert np.abs(one.positions - two.positions[same]).max() < 1e-5 * np.ptp(one.positions)
    np.testing.assert_allclose(two.height[same], one.height, rtol=1e-4)


SUMS = """
import sys
import numpy as np
from napari_lot.lot import distributed
sys.path.insert(0, sys.argv[1])
import tiny
class Noisy:
    def __init__(self, road, rank):
        self.road, self.rank = road, rank
    def images(self, model, scene):
        return self.road.images(model, scene) * (1.0 + 1e-6 * self.rank)

with distributed.joined():
    ranks = distributed.here()
    truth = tiny.make_state()
    problem = tiny.make_problem(truth)
    problem.model.ranks = ranks
    state = truth.copy()
    state.positions += 0.1
    groups = ("positions", "height", "width", "shifts", "angles", "scale", "background")
    for name, tilts in (("all", [0, 1, 2, 3, 4]), ("one", [3])):  # of one tilt the second process has nothing
        found, images = problem.evaluate(state, tilts, groups), problem.evaluate(state, tilts, ()).calculated
        weights = problem.observed[np.array(tilts)]
        response = problem.model.adjoint(tilts, weights, *tiny.unit(state)).numpy()
        values = {"loss": found.loss, "images": images, "response": response, **found.gradients}
        np.savez(f"{sys.argv[2]}-{name}-{ranks.rank}.npz", **values)
    told = ranks.agree(float(ranks.rank))
    assert told == 0.0
    assert ranks.differing({"a": b"1", "b": bytes(ranks.rank), "c": b""}) == ([] if ranks.size == 1 else ["b"])
    assert ranks.all_have(ranks.rank == 0) == (ranks.size == 1) and ranks.all_have(True)
    # images that no gradient is asked of are those of one process, bit for bit, however each rounds
    problem.model.road = Noisy(problem.model.road, ranks.rank)
    shown = problem.images(state, [4, 0, 2]).numpy()
    np.savez(f"{sys.argv[2]}-shown-{ranks.rank}.npz", images=shown)
"""


def two(*words: str) -> subprocess.CompletedProcess[str]:
    """Two processes of a command, to their end."""
    together = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *words]
    return subprocess.run(together, env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False)


def test_sums_over_processes_are_those_of_one(tmp_path):
    script = tmp_path / "sums.py"
    script.write_text(SUMS)
    tests = str(Path(__file__).parent / "lot")
    alone = [sys.executable, str(script), tests, str(tmp_path / "alone")]
    for done in (
        subprocess.run(alone, env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False),
        two(str(script), tests, str(tmp_path / "shared")),
    ):
        assert done.returncode == 0, done.stderr
    for tilts in ("all", "one"):
        alone, first, second = (np.load(tmp_path / f"{n}.npz") for n in
                                (f"alone-{tilts}-0", f"shared-{tilts}-0", f"shared-{tilts}-1"))  # fmt: skip
        for name in alone.files:
            np.testing.assert_array_equal(first[name], second[name])
            np.testing.assert_allclose(first[name], alone[name], rtol=1e-9, atol=1e-9 * np.abs(alone[name]).max())
    alone, first, second = (np.load(tmp_path / f"{n}.npz")["images"] for n in
                            ("alone-shown-0", "shared-shown-0", "shared-shown-1"))  # fmt: skip
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, alone, rtol=1e-5)


def test_input_that_cannot_be_used_is_told_once(series, tmp_path):
    asked = command(series / "nothing", tmp_path / "out", 2)
    done = subprocess.run(asked, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert done.stderr.count("napari-lot: ") == 1, done.stderr
    assert not (tmp_path / "out").exists()


ENDS = """
import os, sys, time
import numpy as np
from napari_lot.cli import app
from napari_lot.errors import InputError
from napari_lot.lot import distributed

how, joined = sys.argv[1], distributed.joined
distributed.joined = lambda: joined(3.0 if how == "frozen" else 60.0)

def work(*args, **options):
    ranks = distributed.here()
    if how == "sizes":
        ranks.total([np.zeros(1000 + ranks.rank)])
    if ranks.rank == 1 and how == "word":
        raise InputError("--device cuda: H100 cannot be used: it is 3 % off; take --device cpu.")
    if ranks.rank == 1 and how == "frozen":
        time.sleep(20.0)
        os._exit(0)
    ranks.total([np.zeros(3)])

app.typer.main.get_command = lambda _: type("Command", (), {"main": staticmethod(work)})
app.main(["devices"])
"""


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("sizes", "The processes of this run have come apart: arrays of 1000 and of 1001 numbers are to be one"),
        ("word", "gone (process 1: --device cuda: H100 cannot be used: it is 3 % off; take --device cpu), and"),
        ("frozen", "Another process of this run is gone, and the others cannot go on without it."),
    ],
)
def test_processes_that_part_end_in_one_sentence(tmp_path, how, said):
    script = tmp_path / "ends.py"
    script.write_text(ENDS)
    done = two(str(script), how)
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("napari-lot: ")]
    assert len(lines) == 1, done.stderr
    assert said in lines[0]
    assert "terminate called" not in done.stderr


def test_processes_of_different_commands_are_told_so_before_anything_is_done(series, tmp_path):
    script = tmp_path / "each.py"
    words = command(series, tmp_path / "out")[3:]  # without python -m napari_lot
    script.write_text(
        "import os, sys\nfrom napari_lot.cli.app import main\n"
        f"main([*{words!r}, '--defocus', '30' if os.environ['RANK'] == '1' else '0'])\n"
    )
    done = two(str(script))
    assert done.returncode != 0
    assert done.stderr.count("napari-lot: The processes of this run do not have the same settings: give all") == 1
    assert not list((tmp_path / "out").glob("*")), "nothing is left of it"


@pytest.mark.skipif(sys.platform == "win32", reason="needs kill")
@pytest.mark.parametrize("rank", [1, pytest.param(0, marks=pytest.mark.slow)])
def test_a_lost_process_ends_the_run_in_a_sentence_with_its_last_state_intact(series, tmp_path, rank):
    out = tmp_path / "out"
    # longer than it is let live
    asked = command(series, out, 2, solver__refine_passes=4000, output__autosave_s=1)
    with subprocess.Popen(asked, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as agent:
        try:
            until = time.monotonic() + 120
            while not list(out.glob("*.lot.h5")) and time.monotonic() < until and agent.poll() is None:
                time.sleep(0.2)
            (saved,) = out.glob("*.lot.h5")
            os.kill(_worker(agent.pid, rank), signal.SIGKILL)
            _, told = agent.communicate(timeout=90)
        finally:
            agent.kill()
    assert agent.returncode != 0
    assert told.count("napari-lot: Another process of this run is gone") == 1, told
    assert told.count(f"The last state of the run is in {saved}: napari-lot resume goes on.") == 1
    assert "Interrupted" not in told, "nobody asked for it"
    resumed = [sys.executable, "-m", "napari_lot", "resume", str(saved), "--out", str(tmp_path / "again")]
    done = subprocess.run([*resumed, "--max-minutes", "0.05"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert len(read_atoms(tmp_path / "again" / "atoms.csv")) > 0


def _worker(agent: int, rank: int) -> int:
    """Process number of one of the processes that an agent has started."""
    children = Path(f"/proc/{agent}/task/{agent}/children")
    for child in children.read_text().split():
        environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        if f"RANK={rank}".encode() in environment:
            return int(child)
    raise AssertionError("no such process")
