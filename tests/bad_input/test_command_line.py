"""What is wrong on the command line, through every command and the real job: one exact line, and nothing touched.

``(...)`` stands for what a library says of a damaged file; all else is exact.
"""

from __future__ import annotations

import os
import shlex
from typing import Any

import numpy as np
import pytest

from bad_input import given as g
from napari_lot.cli.app import run

TILTS = 13
DEGREES = np.linspace(-60, 60, TILTS)
GOOD = {
    "SERIES": "series.tif",
    "--out": "out",
    "--angles": "angles.csv",
    "--pixel-size": "0.3",
    "--energy": "300e3",
    "--semiangle": "25",
    "--element": "Pt",
}
ATOM = g.text("1\n\nPt 0 0 0\n")


def particle(images: int = TILTS) -> Any:
    """A few blurred atoms on a dark ground."""
    rng = np.random.default_rng(0)
    v, u = np.indices((24, 26))
    spots = rng.uniform(8, 16, (6, 2))
    image = sum(np.exp(-((v - a) ** 2 + (u - b) ** 2) / 4) for a, b in spots)
    return (image[None] + rng.normal(0.02, 0.002, (images, 24, 26))).astype(np.float32)


def spoiled(value: Any, *at: Any) -> g.Make:
    images = particle()
    images[at] = value
    return g.tif(images)


def angles(values: Any, header: str = "theta_deg\n") -> g.Make:
    return g.text(header + "\n".join(map(str, values)) + "\n")


NOISE = g.tif(np.random.default_rng(1).normal(0, 1e-3, (TILTS, 24, 26)).astype(np.float32))
# What of the good command is changed (None: left out), files besides the good series and its angles, the sentence.
RECONSTRUCT: dict[str, tuple[dict[str, str | None], dict[str, g.Make], str]] = {
    # -- the series ---------------------------------------------------------------------------------------------------
    "no such file": ({"SERIES": "nowhere.tif"}, {}, "nowhere.tif: no such file: check the name of the tilt series."),
    "unknown kind of file": (
        {"SERIES": "angles.csv"},
        {},
        "angles.csv: unknown file type '.csv': give a tilt series as .ali, .blo, .dm3, .dm4, .emd, .emi, .h5, .hdf5, .mat, .mrc, .mrcs, .npy, .npz, .ser, .st, .tif, .tiff.",
    ),
    "an empty folder": (
        {"SERIES": "empty"},
        {"empty": g.folder()},
        "empty: no images in this folder: give a tilt series, or a folder with one image per tilt.",
    ),
    "truncated": (
        {},
        {"series.tif": g.cut(g.tif(particle()), 0.5)},
        "series.tif: this TIFF file is truncated or damaged (the images reach beyond the end of the file): copy or export it again.",
    ),
    "empty": ({}, {"series.tif": g.text("")}, "series.tif: the file is empty (0 bytes): copy the tilt series again."),
    "one image": (
        {},
        {"series.tif": g.tif(particle()[0])},
        "series.tif: this is a single image (24 x 26), not a tilt series: give a stack, one image per tilt.",
    ),
    "complex": (
        {},
        {"series.tif": g.tif(particle().astype(np.complex64))},
        "series.tif: pixels of complex numbers cannot be used: save real numbers (integer or float).",
    ),
    "not a number": (
        {},
        {"series.tif": spoiled(np.nan, 2, 3, 4)},
        "series.tif: 1 pixel is NaN or infinite, in tilt 2: mask these pixels (--mask) or exclude these tilts (--exclude).",
    ),
    "infinite": (
        {},
        {"series.tif": spoiled(np.inf, 5, 3, 4)},
        "series.tif: 1 pixel is NaN or infinite, in tilt 5: mask these pixels (--mask) or exclude these tilts (--exclude).",
    ),
    "all-zero tilt": (
        {},
        {"series.tif": spoiled(0, 3)},
        "series.tif: the image of tilt 3 is all zero: leave it out (--exclude), or put the measured image there.",
    ),
    "negative counts": (
        {"--counts": ""},
        {"series.tif": spoiled(-1, 4, 0, 0)},
        "series.tif: 1 negative value in tilt 4, but counts cannot be negative: leave 'counts' off, or give the raw counts.",
    ),
    "nothing in the field": (
        {},
        {"series.tif": NOISE},
        "series.tif: no atoms in the field: most images show nothing brighter than their noise; check the images and the mask.",
    ),
    "mask of another shape": (
        {"--mask": "mask.tif"},
        {"mask.tif": g.tif(np.ones((5, 5), np.uint8))},
        "mask.tif: the mask (5 x 5) does not fit the images (13 x 24 x 26): give one of the same rows and columns, 2-D or one per tilt.",
    ),
    "mask missing": ({"--mask": "mask.tif"}, {}, "mask.tif: no such file: check the name of the mask."),
    # -- its angles ---------------------------------------------------------------------------------------------------
    "no angles": (
        {"SERIES": "other.tif", "--angles": None},
        {"other.tif": g.tif(particle()), "angles.csv": lambda path: None},
        "other.tif: no tilt angles in the file or beside it: give an angle file, such as other.tlt.",
    ),
    "angles missing": ({"--angles": "no.csv"}, {}, "no.csv: no such file: check the name of the angle file."),
    "wrong angle count": (
        {},
        {"angles.csv": angles(DEGREES[:3])},
        "angles.csv: 3 angles but 13 images: give exactly one angle per image, in the same order.",
    ),
    "angles in radians": (
        {},
        {"angles.csv": angles(np.deg2rad(DEGREES).round(4))},
        "angles.csv: the angles run only from -1.047 to 1.047 in steps up to 0.175, which looks like radians: convert them to degrees.",
    ),
    "angles in words": (
        {},
        {"angles.csv": angles(["ten"])},
        "angles.csv: line 2 is not a number ('ten'): give one angle per image, in degrees.",
    ),
    "angles not finite": (
        {},
        {"angles.csv": angles([*DEGREES[1:], "nan"])},
        "angles.csv: the angle of tilt 12 is not a finite number: correct the angles.",
    ),
    "the same angle": (
        {},
        {"angles.csv": angles([5] * TILTS)},
        "angles.csv: only 1 distinct tilt to use: tomography needs at least 3, and in practice dozens.",
    ),
    "excluded beyond": (
        {"--exclude": "77"},
        {},
        "series.tif: cannot exclude tilt 77: the 13 tilts are counted from 0 to 12.",
    ),
    "excluded all": (
        {"--exclude": "0-12"},
        {},
        "series.tif: only 0 distinct tilts to use: tomography needs at least 3, and in practice dozens.",
    ),
    "excluded words": (
        {"--exclude": "1,two"},
        {},
        "--exclude: '1,two' is not a list of numbers: give tilts from 0 on, as in 3, 10-17.",
    ),
    "excluded range": ({"--exclude": "1,5-3"}, {}, "--exclude: the range 5-3 is the wrong way round: give 3-5."),
    "withheld too rarely": (
        {"--withhold": "500"},
        {},
        "--withhold 500: none of the 13 tilts would be withheld; give a smaller number.",
    ),
    # -- values -------------------------------------------------------------------------------------------------------
    "no pixel size": (
        {"--pixel-size": None},
        {},
        "series.tif: the pixel size is not known, for nothing here says it: give it in Å (--pixel-size).",
    ),
    "pixel size 0": ({"--pixel-size": "0"}, {}, "--pixel-size: input should be greater than 0.001 (given: 0.0)."),
    "pixel size negative": (
        {"--pixel-size": "-0.3"},
        {},
        "--pixel-size: input should be greater than 0.001 (given: -0.3).",
    ),
    "pixel size in metres": (
        {"--pixel-size": "3e-11"},
        {},
        "--pixel-size: input should be greater than 0.001 (given: 3e-11).",
    ),
    "pixel size with a comma": (
        {"--pixel-size": "0,25"},
        {},
        "Invalid value for '--pixel-size': must be a number; did you mean 0.25, with a point? (given: '0,25'); see napari-lot reconstruct --help.",
    ),
    "pixel size not a number": ({"--pixel-size": "nan"}, {}, "--pixel-size: must be a number (given: nan)."),
    "no energy": (
        {"--energy": None},
        {},
        "A rigid probe needs the electron energy (--energy, in eV): give it, or choose direct projection (--probe direct).",
    ),
    "energy in keV": ({"--energy": "300"}, {}, "--energy: input should be greater than 1000 (given: 300.0)."),
    "energy infinite": (
        {"--energy": "inf"},
        {},
        "--energy: input should be less than or equal to 3000000 (given: inf).",
    ),
    "energy in words": (
        {"--energy": "high"},
        {},
        "Invalid value for '--energy': must be a number (given: 'high'); see napari-lot reconstruct --help.",
    ),
    "no semi-angle": (
        {"--semiangle": None},
        {},
        "A rigid probe needs the convergence semi-angle (--semiangle, in mrad): give it, or choose direct projection (--probe direct).",
    ),
    "semi-angle out of range": (
        {"--semiangle": "500"},
        {},
        "--semiangle: input should be less than or equal to 200 (given: 500.0).",
    ),
    "no spacing": (
        {"--element": None},
        {},
        "The expected distance between atoms is unknown: give the element (--element Pt) or the spacing (--spacing 2.8).",
    ),
    "unknown element": (
        {"--element": "Qq"},
        {},
        "--element: 'Qq' is no element symbol; give one such as Pt, or X where it is unknown (given: 'Qq').",
    ),
    "element twice": (
        {"--element": None, "--elements": "Pt,Pt"},
        {},
        "--elements: an element is named twice (given: 'Pt,Pt').",
    ),
    "element and elements": (
        {"--elements": "Pt,Fe"},
        {},
        "--element and --elements were both given; give one of them.",
    ),
    "one number for two": ({"--center": "5"}, {}, "--center: expected 2 numbers ROW,COL (given: '5')."),
    "three numbers for two": ({"--c12": "5,6,7"}, {}, "--c12: expected 2 numbers A,DEG (given: '5,6,7')."),
    "centre not finite": (
        {"--center": "nan,1"},
        {},
        "--center: must be two numbers, row and column, in pixels (given: (nan, 1.0)).",
    ),
    "astigmatism negative": ({"--c12": "-5,0"}, {}, "--c12: input should be greater than or equal to 0 (given: -5.0)."),
    "threads 0": ({"--threads": "0"}, {}, "--threads: input should be greater than or equal to 1 (given: 0)."),
    "threads half": (
        {"--threads": "1.5"},
        {},
        "Invalid value for '--threads': must be a whole number (given: '1.5'); see napari-lot reconstruct --help.",
    ),
    "seed negative": ({"--seed": "-1"}, {}, "--seed: input should be greater than or equal to 0 (given: -1)."),
    "minutes negative": ({"--max-minutes": "-1"}, {}, "--max-minutes: input should be greater than 0 (given: -1.0)."),
    "unknown orbital": (
        {"--orbital": "gausian"},
        {},
        "--orbital: 'gausian' is none of gaussian, slater, learnt, nor a CSV file of radii in Å and values (given: 'gausian').",
    ),
    "orbital missing": ({"--orbital": "o.csv"}, {}, "o.csv: no such file: check the name of the orbital."),
    "orbital of words": (
        {"--orbital": "o.csv"},
        {"o.csv": g.text("r,f\na,b\n")},
        "o.csv: an orbital needs at least 4 radii, found 0.",
    ),
    "orbital not from 0": (
        {"--orbital": "o.csv"},
        {"o.csv": g.text("1 4\n2 3\n3 2\n4 1\n")},
        "o.csv: the radii must rise from 0.",
    ),
    "unknown likelihood": (
        {"--likelihood": "best"},
        {},
        "Invalid value for '--likelihood': 'best' is not one of 'auto', 'lsq', 'poisson'; see napari-lot reconstruct --help.",
    ),
    "unknown device": (
        {"--device": "tpu"},
        {},
        "Invalid value for '--device': 'tpu' is not one of 'auto', 'cpu', 'cuda', 'mps'; see napari-lot reconstruct --help.",
    ),
    "refining what is not there": (
        {"--refine": "positions,affine"},
        {},
        "--refine: input should be 'positions', 'heights', 'width', 'center', 'shifts', 'angles', 'scale', 'background', 'defocus' or 'probe' (given: 'affine').",
    ),
    "unknown flag": (
        {"--elment": "Pt"},
        {},
        "No such option: --elment (Possible options: --center, --element, --elements); see napari-lot reconstruct --help.",
    ),
    # -- where it starts ----------------------------------------------------------------------------------------------
    "start missing": ({"--start": "no.xyz"}, {}, "no.xyz: no such file of atoms: check the name."),
    "start of nothing": (
        {"--start": "s.xyz"},
        {"s.xyz": g.text("0\n\n")},
        "s.xyz: the file holds no atoms; give one that does.",
    ),
    "start far away": (
        {"--start": "s.xyz"},
        {"s.xyz": g.text("2\n\nPt 1e30 0 0\nPt 1e30 3 3\n")},
        "s.xyz: an atom lies 1e+30 Å from the rotation centre, and the images are 7.8 Å across: give positions in Å, 0 at the rotation centre.",
    ),
    "autosave not a number": (
        {"--set": "output.autosave_s=nan"},
        {},
        "--set output.autosave_s: must be a number (given: 'nan').",
    ),
    "start of another element": (
        {"--start": "s.xyz"},
        {"s.xyz": g.text("1\n\nAu 0 0 0\n")},
        "s.xyz: holds atoms of Au, but the elements of the run are Pt.",
    ),
    "start a folder": ({"--start": "."}, {}, ".: this is a folder, not a file of atoms: give the file itself."),
    # -- settings by name and from a file -----------------------------------------------------------------------------
    "set without a section": (
        {"--set": "seed=1"},
        {},
        "--set: expected section.name=value, such as solver.seed=1, with a section of microscope, data, model, start, solver, tracing, output (given: 'seed=1').",
    ),
    "set unknown": (
        {"--set": "solver.sede=1"},
        {},
        "--set solver.sede: there is no such setting; did you mean solver.seed? (given: 1).",
    ),
    "set in another section": (
        {"--set": "model.seed=1"},
        {},
        "--set model.seed: there is no such setting; did you mean solver.seed? (given: 1).",
    ),
    "set unknown section": (
        {"--set": "solvr.seed=1"},
        {},
        "--set solvr.seed: there is no such setting; did you mean solver? (given: {'seed': 1}).",
    ),
    "set of another type": (
        {"--set": "solver.seed=abc"},
        {},
        "--set solver.seed: must be a whole number (given: 'abc').",
    ),
    "set half a list": (
        {"--set": "solver.seed=[1"},
        {},
        "--set solver.seed: cannot read the value '[1'; write it as in YAML.",
    ),
    "set no date": (
        {"--set": "solver.seed=2001-99-99"},
        {},
        "--set solver.seed: cannot read the value '2001-99-99'; write it as in YAML.",
    ),
    "set code": (
        {"--set": "solver.seed=!!python/object/apply:os.mkdir [exploded]"},
        {},
        "--set solver.seed: cannot read the value '!!python/object/apply:os.mkdir [exploded]'; write it as in YAML.",
    ),
    "set out of range": (
        {"--set": "solver.cull=[0.1, .nan]"},
        {},
        "--set solver.cull: nan is not between 0 and 1 (given: [0.1, nan]).",
    ),
    "set a comma": (
        {"--set": "data.thickness_A=30,5"},
        {},
        "--set data.thickness_A: must be a number; did you mean 30.5, with a point? (given: '30,5').",
    ),
    **{
        f"config {name}": ({"--config": "run.yaml"}, {"run.yaml": make}, sentence)
        for name, make, sentence in [
            ("missing", lambda path: None, "run.yaml: no such file: check the name of the settings file."),
            ("a folder", g.folder(), "run.yaml: this is a folder, not a settings file: give the file itself."),
            (
                "not text",
                g.text(b"\xff\xfe\0"),
                "run.yaml: not a YAML settings file; expected sections such as 'microscope:'.",
            ),
            (
                "half a list",
                g.text("a: ["),
                "run.yaml: not a YAML settings file (line 1: expected the node content, but found '<stream end>'); expected sections such as 'microscope:'.",
            ),
            ("a list", g.text("- a"), "run.yaml: expected sections such as 'microscope:', found list."),
            (
                "no names",
                g.text("solver: 5"),
                "run.yaml: solver: expected names and values below it, such as 'seed: 1'.",
            ),
            (
                "out of range",
                g.text("solver: {seed: -1}"),
                "run.yaml: solver.seed: input should be greater than or equal to 0 (given: -1).",
            ),
            (
                "unknown section",
                g.text("nonsense: {a: 1}"),
                "run.yaml: nonsense: there is no such setting (given: {'a': 1}).",
            ),
            (
                "unknown name",
                g.text("solver: {polish_step: 3}"),
                "run.yaml: solver.polish_step: there is no such setting; did you mean solver.polish_steps? (given: 3).",
            ),
            (
                "code",
                g.text('solver:\n  seed: !!python/object/apply:os.mkdir ["exploded"]'),
                "run.yaml: not a YAML settings file (line 2: could not determine a constructor for the tag 'tag:yaml.org,2002:python/object/apply:os.mkdir'); expected sections such as 'microscope:'.",
            ),
            (
                "no date",
                g.text("solver: {seed: 2001-99-99}"),
                "run.yaml: not a YAML settings file; expected sections such as 'microscope:'.",
            ),
            (
                "endless digits",
                g.text("solver: {seed: " + "9" * 6000 + "}"),
                "run.yaml: not a YAML settings file; expected sections such as 'microscope:'.",
            ),
            (
                "endless brackets",
                g.text("a: " + "[" * 5000),
                "run.yaml: not a YAML settings file; expected sections such as 'microscope:'.",
            ),
            (
                "one number for two",
                g.text("data: {center_px: [1]}"),
                "run.yaml: data.center_px: a value is missing (given: [1]).",
            ),
        ]
    },
    # -- where it goes ------------------------------------------------------------------------------------------------
    "output a file": ({"--out": "angles.csv"}, {}, "angles.csv: is a file, not a folder; give another --out."),
    "output below a file": (
        {"--out": "angles.csv/out"},
        {},
        "angles.csv: is a file where a folder of --out is meant; give another --out.",
    ),
    "output not empty": ({"--out": "."}, {}, ".: the output folder is not empty; give another --out, or --overwrite."),
    "output a broken link": (
        {},
        {"out": g.link("nowhere")},
        "out: is a link to nothing; remove it, or give another --out.",
    ),
    "output a link to itself": (
        {},
        {"out": g.link("out")},
        "out: is a link to nothing; remove it, or give another --out.",
    ),
    "output nowhere": (
        {"--out": "/proc/nowhere/out"},
        {},
        "/proc/nowhere/out: cannot write there: No such file or directory; give another --out.",
    ),
}


def said(where: Any, files: dict[str, g.Make], args: list[str], capsys: Any, monkeypatch: Any) -> str:
    """The one line that a command ends with, exit code 2 and every file as it was."""
    monkeypatch.chdir(where)
    g.write(where, files)
    before = g.state(where)
    code = run(args)
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if not line.startswith("warning: ")]
    assert (code, printed.out, len(lines)) == (2, "", 1), printed.err
    assert g.state(where) == before
    assert lines[0].startswith("napari-lot: ")
    return lines[0].removeprefix("napari-lot: ")


def command_of(changes: dict[str, str | None]) -> list[str]:
    given = {**GOOD, **changes}
    series = given.pop("SERIES")
    parts = [f"{flag}={value}" if value else flag for flag, value in given.items() if value is not None]
    return ["reconstruct", str(series), *parts]


@pytest.mark.parametrize("name", RECONSTRUCT)
def test_reconstruct(name, tmp_path, capsys, monkeypatch):
    changes, files, sentence = RECONSTRUCT[name]
    files = {"series.tif": g.tif(particle()), "angles.csv": angles(DEGREES), **files}
    g.assert_said(sentence, said(tmp_path, files, command_of(changes), capsys, monkeypatch))


SIMULATE = "simulate a.xyz --out out --probe direct"
OTHERS: dict[str, tuple[str, dict[str, g.Make], str]] = {
    "no such command": (
        "reconstrct a.tif",
        {},
        "No such command 'reconstrct'. Did you mean 'reconstruct'?; see napari-lot --help.",
    ),
    "reconstruct nothing": ("reconstruct", {}, "Missing argument 'SERIES'; see napari-lot reconstruct --help."),
    "info nothing": ("info", {}, "Missing argument 'SERIES'; see napari-lot info --help."),
    "info of no series": (
        "info a.xyz",
        {"a.xyz": ATOM},
        "a.xyz: unknown file type '.xyz': give a tilt series as .ali, .blo, .dm3, .dm4, .emd, .emi, .h5, .hdf5, .mat, .mrc, .mrcs, .npy, .npz, .ser, .st, .tif, .tiff.",
    ),
    "info without angles": (
        "info a.tif",
        {"a.tif": g.tif()},
        "a.tif: no tilt angles in the file or beside it: give an angle file, such as a.tlt.",
    ),
    "resume a missing file": (
        "resume a.lot.h5 --out out",
        {},
        "a.lot.h5: no such file: check the name of the session.",
    ),
    "resume a series": (
        "resume a.h5 --out out",
        {"a.h5": g.h5()},
        "a.h5: this is not a session of napari-lot: give a file that it saved (.lot.h5).",
    ),
    "resume text": (
        "resume a.lot.h5 --out out",
        {"a.lot.h5": g.text("x")},
        "a.lot.h5: this is not a session of napari-lot: give a file that it saved (.lot.h5).",
    ),
    "resume a folder": ("resume . --out out", {}, ".: this is a folder, not a session: give the file itself."),
    "resume into itself": (
        "resume run.lot.h5 --out . --overwrite",
        {"run.lot.h5": g.text("x")},
        "run.lot.h5: would be replaced by the result of the same name; give another --out.",
    ),
    "export a missing file": ("export a.xyz b.cif", {}, "a.xyz: no such file of atoms: check the name."),
    "export a pipe": (
        "export a.xyz b.cif",
        {"a.xyz": os.mkfifo},
        "a.xyz: this is a device or a pipe: give the file of atoms as a file.",
    ),
    "export to what is there": (
        "export a.xyz b.cif",
        {"a.xyz": ATOM, "b.cif": g.text("mine")},
        "b.cif: the file exists already; give another name, or --overwrite.",
    ),
    "export over a link": (
        "export a.xyz b.cif",
        {"a.xyz": ATOM, "b.cif": g.link("nowhere.cif")},
        "b.cif: the file exists already; give another name, or --overwrite.",
    ),
    "export to an unknown format": (
        "export a.xyz b.docx",
        {"a.xyz": ATOM},
        "b.docx: atoms are written as .csv, .xyz, .extxyz, .cif, .pdb, .lmp, .data, .lammps, not as .docx.",
    ),
    "export to nowhere": (
        "export a.xyz no/b.cif",
        {"a.xyz": ATOM},
        "no/b.cif: cannot write there: No such file or directory; give another FILE.",
    ),
    "export over a folder": (
        "export a.xyz b.cif --overwrite",
        {"a.xyz": ATOM, "b.cif": g.folder()},
        "b.cif: is a folder; give another FILE.",
    ),
    "export methods of atoms": (
        "export a.xyz b.md",
        {"a.xyz": ATOM},
        "a.xyz: a methods paragraph needs the session of a run that ended.",
    ),
    "compare a missing file": ("compare a.xyz b.xyz", {"a.xyz": ATOM}, "b.xyz: no such file of atoms: check the name."),
    "compare nothing": (
        "compare a.xyz a.xyz",
        {"a.xyz": g.text("0\n\n")},
        "a.xyz: the file holds no atoms; give one that does.",
    ),
    "compare at no distance": (
        "compare a.xyz a.xyz --cutoff 0",
        {"a.xyz": ATOM},
        "The cutoff must be positive, not 0.0 Å: give the largest distance of a pair.",
    ),
    "compare at any distance": (
        "compare a.xyz a.xyz --cutoff inf",
        {"a.xyz": ATOM},
        "The cutoff must be positive, not inf Å: give the largest distance of a pair.",
    ),
    "compare at a word": (
        "compare a.xyz a.xyz --cutoff near",
        {"a.xyz": ATOM},
        "Invalid value for '--cutoff': must be a number (given: 'near'); see napari-lot compare --help.",
    ),
    "simulate nothing": (
        "simulate --out out --pixel-size 0.3",
        {},
        "There are no atoms: give a file ATOMS, or --particle KIND with an --element.",
    ),
    "simulate a missing file": (f"{SIMULATE} --pixel-size 0.3", {}, "a.xyz: no such file of atoms: check the name."),
    "simulate atoms and a particle": (
        f"{SIMULATE} --pixel-size 0.3 --particle fcc",
        {"a.xyz": ATOM},
        "ATOMS is given, and --particle, which is for a particle to be made: give one of the two.",
    ),
    "simulate an unknown particle": (
        "simulate --out out --pixel-size 0.3 --particle cube",
        {},
        "Invalid value for '--particle': 'cube' is not one of 'amorphous', 'fcc', 'icosahedron', 'decahedron'; see napari-lot simulate --help.",
    ),
    "simulate no pixel size": (
        SIMULATE,
        {"a.xyz": ATOM},
        "Missing option '--pixel-size'; see napari-lot simulate --help.",
    ),
    "simulate a negative pixel": (
        f"{SIMULATE} --pixel-size -1",
        {"a.xyz": ATOM},
        "--pixel-size: input should be greater than 0.001 (given: -1.0).",
    ),
    "simulate no series": (
        f"{SIMULATE} --pixel-size 0.3 --tilts nan,1,1",
        {"a.xyz": ATOM},
        "--tilts: from nan to 1 in steps of 1 degrees gives no usable series: it must have 3 to 10000 tilts.",
    ),
    "simulate one tilt": (
        f"{SIMULATE} --pixel-size 0.3 --tilts 1,1,1",
        {"a.xyz": ATOM},
        "--tilts: from 1 to 1 in steps of 1 degrees gives no usable series: it must have 3 to 10000 tilts.",
    ),
    "simulate angles in radians": (
        f"{SIMULATE} --pixel-size 0.3 --angles b.tlt",
        {"a.xyz": ATOM, "b.tlt": angles(np.deg2rad(DEGREES).round(4), "")},
        "b.tlt: the angles run only from -1.047 to 1.047 in steps up to 0.175, which looks like radians: convert them to degrees.",
    ),
    "simulate angles not finite": (
        f"{SIMULATE} --pixel-size 0.3 --angles b.tlt",
        {"a.xyz": ATOM, "b.tlt": g.text("1\n2\nnan\n")},
        "b.tlt: the angle of tilt 2 is not a finite number: correct the angles.",
    ),
    "simulate no pixels": (
        f"{SIMULATE} --pixel-size 0.3 --size 0,1",
        {"a.xyz": ATOM},
        "--size: give between 1 and 16384 pixels on each side (given: '0,1').",
    ),
    "simulate too many pixels": (
        f"{SIMULATE} --pixel-size 0.3 --size 16000,16000",
        {"a.xyz": ATOM},
        "36 tilts of 16000 x 16000 pixels are more than a series can have (2.1e+09 pixels): take fewer tilts, smaller images, or larger pixels.",
    ),
    "simulate far atoms": (
        f"{SIMULATE} --pixel-size 0.3",
        {"a.xyz": g.text("1\n\nPt 1e9 0 0\n")},
        "The atoms reach 1e+09 Å from the origin: images of all of them would have 6.67e+09 pixels a side, more than 16384: move the atoms to the origin, or give the images' size.",
    ),
    "simulate a negative dose": (
        f"{SIMULATE} --pixel-size 0.3 --dose -1",
        {"a.xyz": ATOM},
        "--dose: input should be greater than 0 (given: -1.0).",
    ),
    "simulate an infinite drift": (
        f"{SIMULATE} --pixel-size 0.3 --drift inf",
        {"a.xyz": ATOM},
        "--drift: input should be less than or equal to 1000 (given: inf).",
    ),
    "simulate a width below 0": (
        f"{SIMULATE} --pixel-size 0.3 --width -1",
        {"a.xyz": ATOM},
        "A width (--width) must be positive, in Å.",
    ),
    "simulate a wide particle": (
        "simulate --out out --pixel-size 0.3 --particle amorphous --element Pt --diameter 1e6",
        {},
        "--diameter: input should be less than or equal to 10000 (given: 1000000.0).",
    ),
    "simulate into a file": (
        "simulate a.xyz --pixel-size 0.3 --out a.xyz",
        {"a.xyz": ATOM},
        "a.xyz: is a file, not a folder; give another --out.",
    ),
    "demo into a file": ("demo --out a.xyz", {"a.xyz": ATOM}, "a.xyz: is a file, not a folder; give another --out."),
    "devices of something": (
        "devices cuda",
        {},
        "Got unexpected extra argument(s) (cuda); see napari-lot devices --help.",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_commands(name, tmp_path, capsys, monkeypatch):
    command, files, sentence = OTHERS[name]
    g.assert_said(sentence, said(tmp_path, files, shlex.split(command), capsys, monkeypatch))


def test_a_folder_without_the_right_to_write(tmp_path, capsys, monkeypatch):
    g.write(tmp_path, {"series.tif": g.tif(particle()), "angles.csv": angles(DEGREES), "locked": g.folder()})
    for folder in (*tmp_path.parents[:2], tmp_path, tmp_path / "locked"):
        folder.chmod(0o555 if folder.name == "locked" else 0o755)
    monkeypatch.chdir(tmp_path)
    before = g.state(tmp_path)
    with g.as_nobody():
        assert run(command_of({"--out": "locked/out"})) == 2
    expected = "napari-lot: locked/out: cannot write there: Permission denied; give another --out.\n"
    assert capsys.readouterr().err == expected
    assert g.state(tmp_path) == before


def test_an_internal_error_of_a_name_that_is_no_utf8_is_one_line(capsys, monkeypatch):
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr("napari_lot.series.read.read_series", fail)
    assert run(["info", os.fsdecode(b"s\xe9rie.tif")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("napari-lot: internal error: RuntimeError: a fault (traceback in ")
    log = line.removesuffix(")").rpartition(" ")[2]
    with open(log, encoding="utf-8") as file:
        assert "s\\udce9rie.tif" in file.read()
    os.unlink(log)


def test_a_series_whose_name_is_no_utf8_is_reconstructed(tmp_path, monkeypatch, capsys):
    """Its name goes into the report, the methods and the session, which is opened again without its images."""
    from napari_lot.session import read_session

    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"s\xe9rie.tif")
    g.write(tmp_path, {name: g.tif(particle()), "angles.csv": angles(DEGREES)})
    quick = {"--set": "solver.polish_steps=1", "--start": "a.xyz", "--set=output.embed_images": "false"}
    g.write(tmp_path, {"a.xyz": g.text("2\n\nPt 0 0 0\nPt 2 0 0\n")})
    assert run(command_of({"SERIES": name, **quick})) == 0, capsys.readouterr().err
    assert read_session("out/run.lot.h5").series.source == name
