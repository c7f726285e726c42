"""Bad input through the command line and the real job: one line that says what, where, what to do; nothing touched."""

import hashlib

import numpy as np
import pytest
import tifffile

from napari_lot.cli.app import run

TILTS = 13
GOOD = {"--angles": "angles.csv", "--pixel-size": "0.3", "--energy": "300e3", "--semiangle": "25", "--element": "Pt"}


def stack():
    """A few blurred atoms on a dark ground."""
    rng = np.random.default_rng(0)
    v, u = np.indices((24, 26))
    spots = rng.uniform(8, 16, (6, 2))
    image = sum(np.exp(-((v - a) ** 2 + (u - b) ** 2) / 4) for a, b in spots)
    return (image[None] + rng.normal(0.02, 0.002, (TILTS, 24, 26))).astype(np.float32)


def with_nan(images):
    images[2, 3, 4] = np.nan
    return images


def with_infinity(images):
    images[5, 3, 4] = np.inf
    return images


def with_empty_tilt(images):
    images[3] = 0
    return images


# What is changed of the good case: the images, files to write, flags (None: left out); and the sentence.
CASES = {
    "wrong angle count": ({"flags": {"--angles": "short.csv"}}, "short.csv: 3 angles but 13 images: give exactly one"),
    "no angles": ({"flags": {"--angles": None}}, "no tilt angles in the file or beside it: give an angle file"),
    "angles in radians": ({"flags": {"--angles": "radians.csv"}}, "looks like radians: convert them to degrees"),
    "angles no numbers": ({"flags": {"--angles": "words.csv"}}, "words.csv: line 2 is not a number"),
    "one image": ({"images": lambda s: s[0]}, "this is a single image"),
    "not a number": (
        {"images": with_nan},
        "NaN or infinite, in tilt 2: mask these pixels (--mask) or exclude",
    ),
    "infinite": ({"images": with_infinity}, "1 pixel is NaN or infinite, in tilt 5"),
    "all-zero tilt": ({"images": with_empty_tilt}, "the image of tilt 3 is"),
    "negative counts": ({"images": lambda s: s - 1, "flags": {"--counts": ""}}, "but counts cannot be negative"),
    "no pixel size": ({"flags": {"--pixel-size": None}}, "the pixel size is not known"),
    "pixel size zero": ({"flags": {"--pixel-size": "0"}}, "--pixel-size: input should be greater than 0.001"),
    "no energy": ({"flags": {"--energy": None}}, "(--energy, in eV): give it, or choose direct projection"),
    "no semi-angle": ({"flags": {"--semiangle": None}}, "(--semiangle, in mrad): give it, or choose direct projection"),
    "no spacing": ({"flags": {"--element": None}}, "give the element (--element Pt) or the spacing"),
    "unknown kind of file": ({"series": "angles.csv"}, "angles.csv: unknown file type '.csv'"),
    "no such file": ({"series": "nowhere.tif"}, "nowhere.tif: no such file"),
    "a folder": ({"series": "."}, "give that file alone, or one image per file"),
    "truncated": ({"cut": 900}, "truncated or damaged"),
    "empty file": ({"cut": 0}, "the file is empty"),
    "mask of another shape": ({"flags": {"--mask": "mask.tif"}}, "mask.tif: the mask (5 x 5) does not fit the images"),
    "nothing in the field": ({"images": lambda s: s * 0 + noise()}, "no atoms in the field: most images show nothing"),
    "start of nothing": ({"flags": {"--start": "none.xyz"}}, "none.xyz: the file holds no atoms"),
    "start of another element": ({"flags": {"--start": "gold.xyz"}}, "gold.xyz: holds atoms of Au, but the elements"),
    "output a file": ({"flags": {"--out": "angles.csv"}}, "angles.csv: is a file, not a folder; give another --out"),
    "output not empty": ({"flags": {"--out": "."}}, "the output folder is not empty; give another --out, or"),
    "output nowhere": ({"flags": {"--out": "/proc/nowhere/out"}}, "/proc/nowhere/out: cannot write there"),
}


def noise():
    return np.random.default_rng(1).normal(0, 1e-3, (TILTS, 24, 26)).astype(np.float32)


def fingerprint(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", CASES)
def test_bad_input(name, tmp_path, capsys, monkeypatch):
    case, sentence = CASES[name]
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("series.tif", case.get("images", lambda s: s)(stack()))
    if "cut" in case:
        (tmp_path / "series.tif").write_bytes((tmp_path / "series.tif").read_bytes()[: case["cut"]])
    degrees = np.linspace(-60, 60, TILTS)
    for file, angles in (("angles.csv", degrees), ("short.csv", degrees[:3]), ("radians.csv", np.deg2rad(degrees))):
        if name != "no angles":
            (tmp_path / file).write_text("theta_deg\n" + "\n".join(map(str, angles)) + "\n")
    (tmp_path / "words.csv").write_text("theta_deg\nten\n")
    (tmp_path / "none.xyz").write_text("0\n\n")
    (tmp_path / "gold.xyz").write_text("1\n\nAu 0 0 0\n")
    tifffile.imwrite("mask.tif", np.ones((5, 5), np.uint8))
    flags = {"--out": "out", **GOOD, **case.get("flags", {})}
    args = [part for flag, value in flags.items() if value is not None for part in (flag, value) if part]
    before = fingerprint(tmp_path)
    code = run(["reconstruct", case.get("series", "series.tif"), *args])
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if not line.startswith("warning: ")]
    assert code == 2, captured.err
    assert captured.out == ""
    assert len(lines) == 1
    assert lines[0].startswith("napari-lot: ")
    assert sentence in lines[0]
    assert fingerprint(tmp_path) == before
    assert not (tmp_path / "out").exists()
