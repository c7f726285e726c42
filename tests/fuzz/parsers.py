"""Our own parsers of text under a fuzzer: ``python -m tests.fuzz.parsers --seconds 60``, or ``make fuzz``.

With `atheris <https://github.com/google/atheris>`_ (``pip install atheris``: Linux and macOS) the fuzzer sees which
lines of the parsers an input reaches, and keeps what reaches new ones. Without it inputs are spoiled at random. A
finding is an error that is not the package's own: it is shown, its bytes are left in ``--keep``, and the exit code is
not 0.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1])]  # as pytest has it: the writers of the tests

MODULES = (
    "napari_lot.series.angles",
    "napari_lot.series.velox",
    "napari_lot.series.tiff",
    "napari_lot.series.raw",
    "napari_lot.series.several",
    "napari_lot.export.read",
    "napari_lot.physics.orbital",
    "napari_lot.settings.tilts",
    "napari_lot.settings.measurement",
    "napari_lot.settings.whole",
    "napari_lot.cli.options",
    "napari_lot.simulate.settings",
)
MAX_LENGTH = 2000


def parsers(folder: Path) -> dict[str, Callable[[bytes], object]]:
    """Every parser, from bytes; what it may raise is ``InputError``, or the ``ValueError`` that its caller turns."""
    import numpy as np

    from fuzz.formats import KINDS, TEXTS
    from napari_lot.cli.options import gather, split_numbers, tilt_numbers
    from napari_lot.errors import InputError
    from napari_lot.series.raw import unit_in_A
    from napari_lot.series.several import by_name
    from napari_lot.series.tiff import _ome_size
    from napari_lot.series.velox import _stage
    from napari_lot.settings import settings_from_dict

    def of_file(name: str) -> Callable[[bytes], object]:
        path = folder / f"{name.replace(', ', '-').replace(' ', '-')}{KINDS[name].ending}"

        def read(data: bytes) -> object:
            path.write_bytes(data)
            return KINDS[name].read(path)

        return read

    def of_text(parse: Callable[[str], object]) -> Callable[[bytes], object]:
        return lambda data: parse(data.decode("utf-8", "replace"))

    def refused(parse: Callable[[bytes], object]) -> Callable[[bytes], object]:
        def read(data: bytes) -> object:
            try:
                return parse(data)
            except InputError as error:
                if "\n" in str(error):
                    raise RuntimeError(f"more than one line: {error}") from None
                return None

        return read

    found: dict[str, Callable[[bytes], object]] = {name: of_file(name) for name in TEXTS}
    found |= {
        "stage of Velox": lambda data: _stage(np.frombuffer(data, np.uint8)),
        "OME": of_text(_ome_size),
        "unit": of_text(unit_in_A),
        "order of names": of_text(lambda text: by_name(Path(text))),
        "tilts": of_text(lambda text: tilt_numbers(text, "--exclude")),
        "numbers": of_text(lambda text: split_numbers(text, "--center", ("ROW", "COL"))),
        "weights": of_text(lambda text: settings_from_dict({"data": {"tilt_weights": text}})),
        "set": of_text(lambda text: gather({}, None, [text]).settings()),
    }
    return {name: refused(parse) for name, parse in found.items()}


SEEDS: dict[str, list[bytes]] = {
    "stage of Velox": [b'{"Stage": {"AlphaTilt": "0.5", "BetaTilt": "0"}}\0\0'],
    "OME": [
        b'<OME xmlns="x"><Image><Pixels PhysicalSizeX="0.3" PhysicalSizeXUnit="nm" PhysicalSizeY="1"/></Image></OME>'
    ],
    "unit": [b"nm", "\u00b5m".encode(), b"\\u00B5m"],
    "order of names": [b"tilt_9.tif", b"a10b2"],
    "tilts": [b"3, 17, 20-22", "1 \u2013 4;5".encode()],
    "numbers": [b"12.5,40"],
    "weights": [b"3=0.5, 20-22=0"],
    "set": [b"solver.seed=1", b"model.elements=[Pt, Au]", b"data.tilt_weights=3=0.5"],
}


def seeds() -> dict[str, list[bytes]]:
    from fuzz.formats import TEXTS, whole

    return {**{name: [whole(name)] for name in TEXTS}, **SEEDS}


def with_atheris(atheris: Any, folder: Path, seconds: int, keep: Path) -> int:
    """Coverage-guided: the first byte chooses the parser. The fuzzer ends the process itself."""
    with atheris.instrument_imports(include=list(MODULES)):
        for module in MODULES:
            importlib.import_module(module)
    found = list(parsers(folder).values())
    corpus = folder / "corpus"
    corpus.mkdir()
    for i, examples in enumerate(seeds().values()):
        for j, example in enumerate(examples):
            (corpus / f"{i}-{j}").write_bytes(bytes([i]) + example)

    def one(data: bytes) -> None:
        if data:
            found[data[0] % len(found)](data[1:])

    options = [f"-max_total_time={seconds}", f"-max_len={MAX_LENGTH}", "-rss_limit_mb=4096", "-timeout=20"]
    options += [f"-artifact_prefix={keep}/", "-print_final_stats=1", "-verbosity=1"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one)
    atheris.Fuzz()
    return 0


def at_random(folder: Path, seconds: int, keep: Path) -> int:
    """Without atheris: examples with bytes changed, put in, taken out and doubled."""
    found, examples, rng = parsers(folder), seeds(), random.Random(0)
    end, runs = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        name = rng.choice(list(found))
        data = bytearray(rng.choice(examples[name]))
        for _ in range(rng.randrange(1, 6)):
            at, length = rng.randrange(len(data) + 1), rng.randrange(4)
            piece = rng.choice([rng.randbytes(length), bytes(data[at : at + 9]), b",", b"\n", b'"', b"9" * 5000, b""])
            data[at : at + rng.choice([0, length])] = piece
        runs += 1
        try:
            found[name](bytes(data))
        except Exception as error:
            kept = keep / f"crash-{name.replace(' ', '-')}-{runs}"
            kept.write_bytes(data)
            print(f"{name}: {type(error).__name__}: {error}: {kept}")
            return 1
    print(f"{runs} executions without a finding")
    return 0


def fuzz(seconds: int, keep: Path) -> int:
    """Run either fuzzer; the exit code."""
    atheris: ModuleType | None
    try:
        atheris = importlib.import_module("atheris")
    except ImportError:
        atheris = None
        print("atheris is not installed: inputs are spoiled at random.")
    keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        if atheris is None:
            return at_random(Path(name), seconds, keep)
        # atheris ends its process: the folder is to be removed by another
        process = multiprocessing.get_context("spawn").Process(target=_in_a_process, args=(Path(name), seconds, keep))
        process.start()
        process.join()
        return process.exitcode or 0


def _in_a_process(folder: Path, seconds: int, keep: Path) -> None:
    sys.exit(with_atheris(importlib.import_module("atheris"), folder, seconds, keep))


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--seconds", type=int, default=60)
    asked.add_argument("--keep", type=Path, default=Path("build/fuzz"), help="folder for what was found")
    given = asked.parse_args()
    sys.exit(fuzz(given.seconds, given.keep))
