"""Volumes that cannot be used: one exact sentence that says what, where and what to do, and nothing touched.

``(...)`` stands for what a library says of a damaged file; all else is exact.
"""

from __future__ import annotations

import bz2
import gzip
import os
import shlex
import struct
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

from bad_input import given as g
from napari_lot.cli.app import run
from napari_lot.errors import InputError
from napari_lot.export import read_volume, write_volume
from napari_lot.voxel.volume import Volume

VALUES = np.random.default_rng(3).normal(1, 0.2, (7, 8, 9)).astype(np.float32)
VOLUME = Volume.centred(VALUES, 0.3)


def mrc(values: Any = VALUES, voxel: Any = 0.3, **header: Any) -> g.Make:
    """As another program writes it, with some fields of its header replaced."""

    def write(path: Path) -> None:
        with mrcfile.new(path, overwrite=True) as file:
            file.set_data(values)
            if values.ndim == 3:
                file.set_volume()
            if voxel is not None:
                file.voxel_size = voxel
            for name, value in header.items():
                file.header[name] = value

    return write


def packed(pack: Any, part: float = 1.0) -> g.Make:
    """A good MRC packed, or the first part of that."""

    def write(path: Path) -> None:
        mrc()(path)
        whole = pack(path.read_bytes())
        path.write_bytes(whole[: int(part * len(whole))])

    return write


def of_zeros(count: int) -> g.Make:
    """A header of some hundred million voxels and as many zeros as this, packed to next to nothing."""

    def write(path: Path) -> None:
        mrc()(path)
        whole = bytearray(path.read_bytes()[:1024])
        whole[:12] = struct.pack("<3i", 700, 700, 700)
        path.write_bytes(gzip.compress(bytes(whole) + bytes(count)))

    return write


def at(where: int, value: bytes) -> g.Make:
    """A good MRC with some bytes of its header replaced."""

    def write(path: Path) -> None:
        mrc()(path)
        whole = bytearray(path.read_bytes())
        whole[where : where + len(value)] = value
        path.write_bytes(whole)

    return write


def nan(path: Path) -> None:
    values = VALUES.copy()
    values[2, 3, 4] = np.nan
    mrc(values)(path)


def npz(**arrays: Any) -> g.Make:
    return lambda path: np.savez(path, **{"volume": VALUES, "voxel_A": 0.3, **arrays})


ANGLES = np.array((90.0, 90.0, 120.0), dtype=[("alpha", "f4"), ("beta", "f4"), ("gamma", "f4")])
NO_SIZE = "the voxel size is not known, for nothing here says it: save it in the file, or give it in Å to napari-lot trace (--voxel-size), whose atoms.xyz a fit can start from."
KINDS = ".mrc, .map, .rec, .ccp4, .mrcs, .tif, .tiff, .npz"
# Name of the file, what makes it, the sentence.
VOLUMES: dict[str, tuple[str, g.Make | None, str]] = {
    # -- whatever the format -----------------------------------------------------------------------------------------
    "missing": ("a.mrc", None, "a.mrc: no such file: check the name of the volume."),
    "folder": ("a.mrc", g.folder(), "a.mrc: this is a folder, not a volume: give the file itself."),
    "pipe": ("a.mrc", os.mkfifo, "a.mrc: this is a device or a pipe: give the volume as a file."),
    "link to itself": (
        "a.mrc",
        g.link("a.mrc"),
        "a.mrc: cannot read the volume: Too many levels of symbolic links: check its path and rights.",
    ),
    "empty": ("a.mrc", g.text(""), "a.mrc: the file is empty (0 bytes): copy the volume again."),
    "no ending": ("a", g.text("x"), f"a: volumes are read from {KINDS}, not from a name without an ending."),
    "another ending": ("a.xyz", g.text("x"), f"a.xyz: volumes are read from {KINDS}, not from .xyz."),
    "packed text": ("a.txt.gz", g.text("x"), f"a.txt.gz: volumes are read from {KINDS}, not from .gz."),
    # -- MRC ----------------------------------------------------------------------------------------------------------
    "MRC, other content": (
        "a.mrc",
        g.tif(),
        "a.mrc: the name ends in '.mrc', but the content is TIFF: rename it to end in .tif.",
    ),
    "MRC, no header": (
        "a.mrc",
        g.cut(mrc(), 0.2),
        "a.mrc: this MRC file is truncated or damaged (608 bytes, less than a header): copy or export it again.",
    ),
    "MRC, truncated": (
        "a.mrc",
        g.cut(mrc(), 0.9),
        "a.mrc: this MRC file is truncated or damaged (2736 of 3040 bytes are there): copy or export it again.",
    ),
    "MRC, huge": (
        "a.mrc",
        at(0, struct.pack("<3i", 60000, 60000, 500)),
        "a.mrc: the file declares 500 x 60000 x 60000 pixels, more than can be held: it is damaged, or the volume must be cropped or binned first.",
    ),
    "MRC, negative sizes": (
        "a.mrc",
        at(0, struct.pack("<3i", 9, -8, 7)),
        "a.mrc: this MRC file is truncated or damaged (mode 2, 9 x -8 x 7): copy or export it again.",
    ),
    "MRC, unknown mode": (
        "a.mrc",
        at(12, struct.pack("<i", 9)),
        "a.mrc: this MRC file is truncated or damaged (mode 9, 9 x 8 x 7): copy or export it again.",
    ),
    "MRC, an extended header beyond the end": (
        "a.mrc",
        at(92, struct.pack("<i", 10**6)),
        "a.mrc: this MRC file is truncated or damaged (3040 of 1003040 bytes are there): copy or export it again.",
    ),
    "MRC, axes that are none": (
        "a.mrc",
        at(64, struct.pack("<3i", 1, 1, 3)),
        "a.mrc: this MRC file is truncated or damaged (its axes are 1, 1, 3): copy or export it again.",
    ),
    "MRC, complex": (
        "a.mrc",
        mrc(VALUES.astype(np.complex64)),
        "a.mrc: the pixels are complex numbers: save the real values of the volume.",
    ),
    "MRC, not cubic": (
        "a.mrc",
        mrc(voxel=(0.3, 0.3, 0.4)),
        "a.mrc: the voxels are not cubes (0.3 x 0.3 x 0.4 Å): resample the volume to cubic voxels.",
    ),
    "MRC, not at right angles": (
        "a.mrc",
        mrc(cellb=ANGLES),
        "a.mrc: the axes of the volume are not at right angles: resample it to cubic voxels.",
    ),
    "MRC, size not known": ("a.mrc", mrc(voxel=None), f"a.mrc: {NO_SIZE}"),
    "MRC, size that none can have": ("a.mrc", mrc(voxel=1e6), f"a.mrc: {NO_SIZE}"),
    "MRC, size not finite": ("a.mrc", at(40, struct.pack("<3f", *[np.nan] * 3)), f"a.mrc: {NO_SIZE}"),
    "MRC, several volumes": (
        "a.mrc",
        mrc(np.concatenate([VALUES, VALUES]), ispg=401, mz=7),
        "a.mrc: this is a stack of 2 volumes: save one of them.",
    ),
    "MRC, not finite": (
        "a.mrc",
        nan,
        "a.mrc: the voxel [2, 3, 4] (z, y, x) is no finite number: correct it, or crop the volume.",
    ),
    "packed, no such thing": (
        "a.mrc.gz",
        mrc(),
        "a.mrc.gz: this MRC file is truncated or damaged (...): copy or export it again.",
    ),
    "packed by gzip, truncated": (
        "a.mrc.gz",
        packed(gzip.compress, 0.7),
        "a.mrc.gz: this MRC file is truncated or damaged (...): copy or export it again.",
    ),
    "packed by bzip2, truncated": (
        "a.mrc.bz2",
        packed(bz2.compress, 0.7),
        "a.mrc.bz2: this MRC file is truncated or damaged (...): copy or export it again.",
    ),
    "packed, fewer values than promised": (
        "a.mrc.gz",
        of_zeros(10**6),
        "a.mrc.gz: this MRC file is truncated or damaged (1000000 of 1372000000 bytes of its values are there): copy or export it again.",
    ),
    # -- TIFF ---------------------------------------------------------------------------------------------------------
    "TIFF, other content": (
        "a.tif",
        mrc(),
        "a.tif: the name ends in '.tif', but the content is MRC: rename it to end in .mrc.",
    ),
    "TIFF, truncated": (
        "a.tif",
        g.cut(g.tif(VALUES), 0.6),
        "a.tif: this TIFF file is truncated or damaged (the images reach beyond the end of the file): copy or export it again.",
    ),
    "TIFF, huge": (
        "a.tif",
        g.huge_tiff,
        "a.tif: the file declares 60000 x 60000 pixels, more than can be held: it is damaged, or the volume must be cropped or binned first.",
    ),
    "TIFF, single image": (
        "a.tif",
        g.tif(VALUES[0], resolution=(4e8, 4e8), resolutionunit=3),
        "a.tif: 8 x 9 values are not a volume: give three dimensions, z, y and x.",
    ),
    "TIFF, sizes differ": (
        "a.tif",
        g.pages(*VALUES, VALUES[0, :-1]),
        "a.tif: the images differ in size (7 x 9 and 8 x 9): a volume needs images of one size.",
    ),
    "TIFF, not cubic": (
        "a.tif",
        g.tif(VALUES, imagej=True, resolution=(4.0, 4.0), metadata={"unit": "angstrom", "spacing": 0.5}),
        "a.tif: the voxels are not cubes (0.25 x 0.25 x 0.5 Å): resample the volume to cubic voxels.",
    ),
    "TIFF, size not known": ("a.tif", g.tif(VALUES), f"a.tif: {NO_SIZE}"),
    "TIFF, complex": (
        "a.tif",
        g.tif(VALUES.astype(np.complex64)),
        "a.tif: voxels of complex numbers cannot be used: save real numbers (integer or float).",
    ),
    # -- NumPy --------------------------------------------------------------------------------------------------------
    "NPZ, other content": (
        "a.npz",
        g.text("not a ZIP file" * 50),
        "a.npz: this NPZ file is truncated or damaged (...): copy or export it again.",
    ),
    "NPZ, pickled": (
        "a.npz",
        npz(volume=g.OBJECTS),
        "a.npz: the file holds pickled Python objects, which are never loaded: save plain numeric arrays.",
    ),
    "NPZ, no volume": (
        "a.npz",
        lambda path: np.savez(path, first=VALUES),
        "a.npz: no volume among the arrays (first): name it [z, y, x] 'volume'.",
    ),
    "NPZ, huge": (
        "a.npz",
        g.zipped(volume__npy=g.npy_header((500, 60000, 60000))),
        "a.npz: the file declares 500 x 60000 x 60000 pixels, more than can be held: it is damaged, or the volume must be cropped or binned first.",
    ),
    "NPZ, more than it can hold": (
        "a.npz",
        g.zipped(volume__npy=g.npy_header((1000, 1000, 1000))),
        "a.npz: this file is truncated or damaged (it declares 1000 x 1000 x 1000 pixels and has 246 bytes): copy or export it again.",
    ),
    "NPZ, text": (
        "a.npz",
        npz(volume=np.array([[["a"]]])),
        "a.npz: voxels of type <U1 cannot be used: save real numbers (integer or float).",
    ),
    "NPZ, beyond float32": (
        "a.npz",
        npz(volume=np.full((2, 3, 4), 1e300)),
        "a.npz: the voxel [0, 0, 0] (z, y, x) is no finite number: correct it, or crop the volume.",
    ),
    "NPZ, no voxels": ("a.npz", npz(volume=np.zeros((0, 3, 4))), "a.npz: the volume has no voxels; save it again."),
    "NPZ, four dimensions": (
        "a.npz",
        npz(volume=VALUES[None, None]),
        "a.npz: 1 x 1 x 7 x 8 x 9 values are not a volume: give three dimensions, z, y and x.",
    ),
    "NPZ, size not known": ("a.npz", lambda path: np.savez(path, volume=VALUES), f"a.npz: {NO_SIZE}"),
    "NPZ, size of zero": (
        "a.npz",
        npz(voxel_A=0.0),
        "a.npz: 'voxel_A' must be a length in Å between 0.001 and 100: correct it.",
    ),
    "NPZ, two sizes": ("a.npz", npz(voxel_A=[1, 2]), "a.npz: 'voxel_A' must be one number, not 2: save it as one."),
    "NPZ, size in words": (
        "a.npz",
        npz(voxel_A="small"),
        "a.npz: 'voxel_A' does not hold numbers: save it as a numeric array.",
    ),
    "NPZ, not cubic": (
        "a.npz",
        npz(voxel_A=[0.3, 0.3, 0.5]),
        "a.npz: the voxels are not cubes (0.3 x 0.3 x 0.5 Å): resample the volume to cubic voxels.",
    ),
    "NPZ, origin of two numbers": (
        "a.npz",
        npz(origin_A=[1, 2]),
        "a.npz: 'origin_A' must be three finite numbers, x, y and z in Å: correct it.",
    ),
    "NPZ, origin not finite": (
        "a.npz",
        npz(origin_A=[1, 2, np.inf]),
        "a.npz: 'origin_A' must be three finite numbers, x, y and z in Å: correct it.",
    ),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning:mrcfile.*")
@pytest.mark.parametrize("name", VOLUMES)
def test_volumes_that_cannot_be_used(name, tmp_path, monkeypatch):
    file, make, sentence = VOLUMES[name]
    monkeypatch.chdir(tmp_path)
    if make is not None:
        make(Path(file))
    before = g.state(tmp_path)
    with pytest.raises(InputError) as caught:
        read_volume(file)
    g.assert_said(sentence, str(caught.value))
    assert g.state(tmp_path) == before


def test_a_volume_without_the_right_to_read(tmp_path):
    path = tmp_path / "a.mrc"
    write_volume(path, VOLUME)
    path.chmod(0)
    for above in (tmp_path, *tmp_path.parents[:2]):
        above.chmod(0o755)
    with g.as_nobody(), pytest.raises(InputError) as caught:
        read_volume(path)
    assert str(caught.value) == f"{path}: cannot read the volume: Permission denied: check its path and rights."


GOOD = "trace a.mrc --out out --element Pt"
# The command, files besides a good a.mrc, the sentence.
TRACE: dict[str, tuple[str, dict[str, g.Make], str]] = {
    "no volume": ("trace --out out", {}, "Missing argument 'VOLUME'; see napari-lot trace --help."),
    "no folder": ("trace a.mrc", {}, "Missing option '--out'; see napari-lot trace --help."),
    "a missing volume": (f"{GOOD.replace('a.mrc', 'b.mrc')}", {}, "b.mrc: no such file: check the name of the volume."),
    "no element": (
        "trace a.mrc --out out",
        {},
        "The expected distance between atoms is unknown: give the element (--element Pt) or the spacing (--spacing 2.8).",
    ),
    "an unknown element": (
        "trace a.mrc --out out --element Zz",
        {},
        "--elements: 'Zz' is no element symbol; give one such as Pt, or X where it is unknown (given: 'Zz').",
    ),
    "an unknown fit": (
        f"{GOOD} --fit cubic",
        {},
        "Invalid value for '--fit': 'cubic' is not one of 'ellipsoid', 'gaussian', 'polynomial', 'none'; see napari-lot trace --help.",
    ),
    "a distance below 0": (
        f"{GOOD} --min-distance -1",
        {},
        "--min-distance: input should be greater than 0.3 (given: -1.0).",
    ),
    "a threshold over 1": (
        f"{GOOD} --threshold 2",
        {},
        "--threshold: input should be less than or equal to 1 (given: 2.0).",
    ),
    "a voxel of nothing": (
        f"{GOOD} --voxel-size 0",
        {},
        "--voxel-size: must be a length in Å between 0.001 and 100 (given: 0.0).",
    ),
    "an unknown setting": (
        f"{GOOD} --set fitt=none",
        {},
        "--set tracing.fitt: there is no such setting; did you mean tracing.fit? (given: 'none').",
    ),
    "a setting without a value": (
        f"{GOOD} --set fit",
        {},
        "--set: expected section.name=value, such as solver.seed=1, with a section of microscope, data, model, start, solver, tracing, output (given: 'tracing.fit').",
    ),
    "a box inside out": (
        f"{GOOD} --set within_A=[1,0,0,1,0,1]",
        {},
        "--set tracing.within_A: must go from a lower to a higher number along x, y and z (given: [1, 0, 0, 1, 0, 1]).",
    ),
    "a mask of another size": (
        f"{GOOD} --mask m.npz",
        {"m.npz": npz(volume=np.ones((3, 8, 9)))},
        "m.npz: the mask has 3 x 8 x 9 voxels, the volume 7 x 8 x 9: give one of its size.",
    ),
    "a folder with something in it": (
        GOOD,
        {"out": g.folder(a__txt=g.text("x"))},
        "out: the output folder is not empty; give another --out, or --overwrite.",
    ),
    "a file as folder": (GOOD, {"out": g.text("x")}, "out: is a file, not a folder; give another --out."),
    "an input that would be replaced": (
        "trace a.mrc --out . --overwrite --element Pt --config report.json",
        {"report.json": g.text("solver: {seed: 1}\n")},
        "report.json: would be replaced by the result of the same name; give another --out.",
    ),
    "too small a volume": (
        "trace s.npz --out out --element Pt",
        {"s.npz": npz(volume=np.ones((3, 3, 3)))},
        "A volume of 3 x 3 x 3 voxels has no place for an atom: give at least 5 along each axis.",
    ),
    "a volume of nothing": (
        "trace z.npz --out out --element Pt",
        {"z.npz": npz(volume=np.zeros((9, 9, 9)))},
        "z.npz: no atoms were found; check the voxel size and the spacing, that atoms are bright on a dark background, and --threshold.",
    ),
}


@pytest.mark.parametrize("name", TRACE)
def test_traces_that_cannot_be(name, tmp_path, capsys, monkeypatch):
    command, files, sentence = TRACE[name]
    write_volume(tmp_path / "a.mrc", VOLUME)
    g.write(tmp_path, files)
    monkeypatch.chdir(tmp_path)
    before = g.state(tmp_path)
    assert run(shlex.split(command)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    g.assert_said(f"napari-lot: {sentence}", line)
    assert g.state(tmp_path) == before
