"""One small valid file of every kind that is read, what reads it, and how its bytes are spoiled."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import scipy.io
from hypothesis import strategies as st

from bad_input import given as g
from napari_lot.atoms import Orbitals
from napari_lot.export import read_atoms, read_volume, write_atoms, write_atoms_csv, write_atoms_xyz, write_volume
from napari_lot.physics.orbital import read_table
from napari_lot.series import TiltSeries, read_series
from napari_lot.series.angles import read_angles
from napari_lot.session import RunState, Session, read_session, write_session
from napari_lot.settings import Settings, load_settings, settings_from_dict
from napari_lot.voxel.volume import Volume
from series.dm3 import write_dm3
from series.tia import write_ser
from series.velox import frame_metadata, write_velox
from series.writers import WRITERS

STACK, THETAS = g.STACK[:, :6, :5], g.THETAS
ATOMS = Orbitals.create([[1, 2, 3], [4, 5, 6], [-1, 0.5, 2]], [2.0, 3.0, 1.0], 0.7, [0, 1, 0], ("Pt", "X"))


@dataclass(frozen=True)
class Kind:
    """Files of one kind: the ending of their names, what writes one, and what reads it."""

    ending: str
    make: Callable[[Path], object]
    read: Callable[[Path], object]


def series(path: Path) -> TiltSeries:
    return read_series(path, angles=THETAS, pixel_size_A=0.3)


def settings(path: Path) -> Settings:
    return settings_from_dict(load_settings(path), str(path))


def velox(path: Path) -> None:
    write_velox(path, {"HAADF": STACK}, {"HAADF": [frame_metadata("HAADF", 2e-11, a) for a in THETAS]})


def session(path: Path) -> None:
    state = RunState(ATOMS, "refine", 3, 9, 0.1, np.full(len(STACK), 0.1), 1.0, "on")
    write_session(path, Session(TiltSeries(STACK, THETAS, 0.3), Settings(), state=state, notes={"a": [1, None]}))


def written(name: str) -> Callable[[Path], object]:
    """As of the tests of the readers, which choose the name of the file."""
    return lambda path: WRITERS[name](path.parent, STACK).rename(path)


VOLUME = Volume(STACK, 0.3, (-1.0, 2.0, 0.5))


def packed_volume(path: Path) -> None:
    plain = path.with_suffix("")
    write_volume(plain, VOLUME)
    path.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
    plain.unlink()


MDOC = "PixelSpacing = 2.5\n[T = Tilt axis angle = 85.0, binning = 1]\n" + "".join(
    f"\n[ZValue = {i}]\nTiltAngle = {a:g}\nRotationAngle = 175.0\n" for i, a in enumerate(THETAS)
)
ENDINGS = {"tiff": ".tif", "mrc": ".mrc", "npz": ".npz", "npy": ".npy", "mat": ".mat", "hdf5": ".h5"}
KINDS: dict[str, Kind] = {
    **{name: Kind(ENDINGS[name.split()[0].rstrip(",")], written(name), series) for name in sorted(WRITERS)},
    "mat v5, compressed": Kind(
        ".mat", lambda p: scipy.io.savemat(p, {"projections": np.moveaxis(STACK, 0, 2)}, do_compression=True), series
    ),
    "npz, with facts": Kind(
        ".npz",
        g.npz(images=STACK, angles_deg=THETAS, pixel_size_A=0.3, counts=False, excluded=[1], element="Pt"),
        read_series,
    ),
    **{
        f"volume, {end}": Kind(f".{end}", lambda path: write_volume(path, VOLUME), read_volume)
        for end in ("mrc", "tif", "npz")
    },
    "volume, packed": Kind(".mrc.gz", packed_volume, read_volume),
    "dm3": Kind(".dm3", lambda p: write_dm3(p, STACK, [(0.03, "nm"), (0.03, "nm"), (20.0, "deg")]), series),
    "ser": Kind(".ser", lambda p: write_ser(p, STACK, 3e-11), series),
    "velox": Kind(".emd", velox, read_series),
    "angles, csv": Kind(".csv", g.text("psi_deg,theta_deg,phi_deg,note\n0,-60,1.5,a\n0,0,0,\n"), read_angles),
    "angles, decimal commas": Kind(".txt", g.text("1,5\n-20,25\n+3e1\n"), read_angles),
    "angles, columns": Kind(".txt", g.text("# a note\n0 -60 0\n0\t20\t1\n"), read_angles),
    "angles, mdoc": Kind(".mdoc", g.text(MDOC), read_angles),
    "atoms, xyz": Kind(".xyz", lambda p: write_atoms_xyz(p, ATOMS), read_atoms),
    "atoms, csv": Kind(".csv", lambda p: write_atoms_csv(p, ATOMS), read_atoms),
    "atoms, lammps": Kind(".lmp", lambda p: write_atoms(p, ATOMS), read_atoms),
    "atoms, mat": Kind(".mat", g.mat(model=ATOMS.positions.T, atoms=np.array([1, 2, 1])), read_atoms),
    "orbital": Kind(".csv", g.text("r,f\n0,1\n0.5;0.6\n1.0 0.2\n2,0.0\n"), read_table),
    "session": Kind(".lot.h5", session, read_session),
    "settings": Kind(
        ".yaml",
        g.text("solver: {seed: 3, cull: [0.1, .2]}\ndata:\n  tilt_weights: 3=0.5\nmodel: &m\n  elements: [Pt, Au]\n"),
        settings,
    ),
}
TEXTS = tuple(name for name, kind in KINDS.items() if kind.ending in (".csv", ".txt", ".mdoc", ".xyz", ".lmp", ".yaml"))


@cache
def whole(name: str) -> bytes:
    """The bytes of the valid file of a kind."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{KINDS[name].ending}"
        KINDS[name].make(path)
        return path.read_bytes()


# Near the start are the headers; a run of one byte, a number of 4 bytes at its limits, and words that parsers know.
LIMITS = [n.to_bytes(4, order, signed=True) for n in (-(2**31), -1, 0, 1, 2**31 - 1) for order in ("little", "big")]
WORDS = [
    w.encode() for w in ("nan", "-inf", "1e999", "²", '"', "'", "\0", "\n", ",", ";", "=", "[", "{", "!!", "\ufeff")
]
PIECES = st.one_of(st.sampled_from(LIMITS), st.sampled_from(WORDS), st.binary(min_size=1, max_size=8))
CHANGES = st.lists(st.tuples(st.booleans(), st.floats(0, 1), st.booleans(), PIECES), min_size=0, max_size=4)
Change = tuple[bool, float, bool, bytes]


def spoiled(name: str, changes: Sequence[Change], kept: float) -> bytes:
    """The valid file with pieces written over it or put in, and then cut off."""
    data = bytearray(whole(name))
    for near_the_start, where, insert, piece in changes:
        at = int(where * min(len(data), 1200 if near_the_start else len(data)))
        data[at : at if insert else at + len(piece)] = piece
    return bytes(data[: round(kept * len(data))])
