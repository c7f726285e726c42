"""``simulate``: files that ``info`` understands, images that show the atoms where geometry puts them."""

import json
import shlex

import numpy as np
import pytest
import tifffile

from napari_lot.cli.app import run
from napari_lot.export import read_atoms
from quick_job import quick_job_in_place


def test_a_simulated_series_shows_the_atom_where_it_is(tmp_path, capsys):
    (tmp_path / "one.xyz").write_text("1\n\nPt 3 -2 1\n")
    out = tmp_path / "sim"
    args = ["simulate", str(tmp_path / "one.xyz"), "--out", str(out), "--pixel-size", "0.25", "--probe", "direct"]
    assert run([*args, "--tilts=-30,30,30", "--size", "48,50", "--threads", "1"]) == 0
    assert sorted(p.name for p in out.iterdir()) == ["angles.csv", "series.tif", "simulation.json", "truth.xyz"]
    images = tifffile.imread(out / "series.tif")
    assert images.shape == (3, 48, 50)
    angles = np.loadtxt(out / "angles.csv", delimiter=",", skiprows=1)
    np.testing.assert_array_equal(angles, [[0, -30, 0], [0, 0, 0], [0, 30, 0]])
    rows, columns = np.indices((48, 50))
    for image, theta in zip(images.astype(float), np.deg2rad(angles[:, 1]), strict=True):
        u = 3 * np.cos(theta) + 1 * np.sin(theta)
        np.testing.assert_allclose((image * columns).sum() / image.sum(), 24.5 + u / 0.25, atol=1e-3)
        np.testing.assert_allclose((image * rows).sum() / image.sum(), 23.5 - 2 / 0.25, atol=1e-3)
        np.testing.assert_allclose(image.sum() * 0.25**2, np.pi * 0.5**2, rtol=1e-3)
    assert json.loads((out / "simulation.json").read_text())["atoms"] == 1
    capsys.readouterr()
    assert run(["info", str(out / "series.tif")]) == 0
    assert "-30° to 30° in steps of 30°" in capsys.readouterr().out


def test_atoms_may_be_of_another_shape(tmp_path, capsys):
    (tmp_path / "one.xyz").write_text("1\n\nPt 0 0 0\n")
    args = ["simulate", str(tmp_path / "one.xyz"), "--pixel-size", "0.1", "--tilts", "0,20,10", "--probe", "direct"]
    args += ["--threads", "1", "--size", "161,161"]
    peak = {}
    for shape in ("gaussian", "slater"):
        out = tmp_path / shape
        assert run([*args, "--out", str(out), "--orbital", shape]) == 0
        image = tifffile.imread(out / "series.tif")[0].astype(float)
        np.testing.assert_allclose(image.sum() * 0.1**2, np.pi * 0.5**2, rtol=2e-3)
        peak[shape] = image.max()
        assert json.loads((out / "simulation.json").read_text())["orbital"] == shape
    # exp(-r / b), b = 0.5 Å / sqrt 2, blurred by no more than the pixels: 40 % of a Gaussian's height at 0.5 Å from it
    slater = tifffile.imread(tmp_path / "slater" / "series.tif")[0].astype(float)
    assert slater[80, 85] == pytest.approx(np.exp(-np.sqrt(2)), rel=0.02)
    assert run([*args, "--out", str(tmp_path / "m"), "--orbital", "slater", "--multislice"]) == 2
    assert "potentials of atoms" in capsys.readouterr().err


def test_atoms_have_their_own_elements(tmp_path, capsys):
    (tmp_path / "one.xyz").write_text("1\n\nPt 0 0 0\n")
    args = ["simulate", str(tmp_path / "one.xyz"), "--pixel-size", "0.3", "--probe", "direct"]
    assert run([*args, "--out", str(tmp_path / "out"), "--set", "model.elements=[Au]"]) == 2
    assert "ATOMS has elements of its own" in capsys.readouterr().err


def test_counts_repeat_with_the_seed(tmp_path):
    (tmp_path / "one.xyz").write_text("1\n\nPt 0 0 0\n")
    args = ["simulate", str(tmp_path / "one.xyz"), "--pixel-size", "0.3", "--tilts", "0,20,10", "--probe", "direct"]
    args += ["--dose", "1e4", "--background", "1", "--cross-section", "0.02", "--threads", "1"]
    images = []
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert run([*args, "--out", str(tmp_path / name), "--seed", seed]) == 0
        images.append(tifffile.imread(tmp_path / name / "series.tif"))
    np.testing.assert_array_equal(images[0], images[1])
    assert (images[0] != images[2]).any()
    assert (images[0] == images[0].round()).all()
    assert json.loads((tmp_path / "a" / "simulation.json").read_text())["counts"] is True


def test_wrong_use_is_one_line_and_writes_nothing(tmp_path, capsys):
    (tmp_path / "one.xyz").write_text("1\n\nPt 0 0 0\n")
    base = ["simulate", str(tmp_path / "one.xyz"), "--out", str(tmp_path / "sim")]
    for flags, sentence in [
        ([], "--pixel-size"),
        (["--pixel-size", "0.3"], "energy"),
        (["--pixel-size", "0", "--probe", "direct"], "--pixel-size"),
        (["--pixel-size", "0.3", "--probe", "direct", "--tilts", "0,10,0"], "--tilts: from 0 to 10 in steps of 0"),
        (["--pixel-size", "0.3", "--probe", "direct", "--size", "5.5,6"], "--size: expected whole numbers"),
        (["--pixel-size", "0.3", "--probe", "direct", "--dose", "-1"], "dose"),
        (["--pixel-size", "0.3", "--probe", "direct", "--cross-section", "1,2"], "--cross-section: one value, or"),
    ]:
        assert run([*base, *flags]) == 2, flags
        (line,) = capsys.readouterr().err.splitlines()
        assert sentence in line
        assert not (tmp_path / "sim").exists()


def test_a_particle_is_made_where_no_file_is_given(tmp_path, capsys):
    out = tmp_path / "sim"
    args = ["simulate", "--particle", "amorphous", "--elements", "Co,Pt", "--fractions", "1,3", "--diameter", "14"]
    args += ["--min-distance", "2.4", "--width", "0.4,0.6", "--pixel-size", "0.4", "--probe", "direct"]
    args += ["--tilts", "0,20,10", "--dose", "1e5", "--gain", "2", "--offset", "30", "--read-noise", "1.5"]
    args += ["--angle-error", "0.5", "--current-spread", "0.02", "--seed", "4", "--threads", "1"]
    assert run([*args, "--out", str(out)]) == 0
    record = json.loads((out / "simulation.json").read_text())
    truth = read_atoms(out / "truth.xyz")
    assert record["atoms"] == len(truth)
    assert record["particle"] == {"kind": "amorphous", "diameter_A": 14.0, "min_distance_A": 2.4}
    assert record["counts"] is False
    assert record["recording"]["offset"] == 30.0
    assert np.abs(record["angle_errors_deg"]).max() > 0.1
    counts = np.bincount(truth.species)
    assert abs(counts[list(truth.elements).index("Co")] - len(truth) / 4) < 1
    np.testing.assert_allclose(sorted(set(truth.width)), [0.4, 0.6])
    strong, weak = (truth.integrated[np.array(truth.symbols) == e][0] for e in ("Pt", "Co"))
    assert strong / weak == pytest.approx((78 / 27) ** 1.7)
    np.testing.assert_array_equal(
        np.loadtxt(out / "angles.csv", delimiter=",", skiprows=1), [[0, 0, 0], [0, 10, 0], [0, 20, 0]]
    )
    images = tifffile.imread(out / "series.tif")
    assert images[:, 0, :].mean() == pytest.approx(30.0, abs=1.0)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["one.xyz", "--particle", "fcc"], "ATOMS is given, and --particle"),
        (["one.xyz", "--element", "Pt"], "ATOMS is given, and --element"),
        ([], "There are no atoms: give a file ATOMS, or --particle KIND"),
        (["--particle", "fcc", "--element", "Pt"], "A particle of kind fcc needs --shells"),
        (["--particle", "decahedron", "--element", "Pt"], "A particle of kind decahedron needs --edge and --length."),
        (["--particle", "fcc", "--shells", "1"], "The particle needs an element"),
        (
            ["--particle", "fcc", "--shells", "1", "--notch", "1", "--element", "Pt"],
            "--notch: a particle of kind fcc has none; it has --shells, --lattice.",
        ),
        (
            ["--particle", "fcc", "--shells", "1", "--elements", "Pt,Co", "--fractions", "1"],
            "--fractions: one for each",
        ),
        (["one.xyz", "--read-noise", "-1"], "--read-noise: input should be greater than or equal to 0 (given: -1.0)"),
        (["one.xyz", "--inner", "50"], "--inner: is for multislice; give --multislice, too"),
        (["one.xyz", "--multislice"], "--probe direct: multislice has no direct projection"),
    ],
)
def test_flags_that_do_not_go_together_are_one_line(tmp_path, capsys, monkeypatch, flags, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.xyz").write_text("1\n\nPt 0 0 0\n")
    assert run(["simulate", *flags, "--out", "sim", "--pixel-size", "0.4", "--probe", "direct"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line
    assert not (tmp_path / "sim").exists()


def test_a_broken_multislice_run_keeps_its_tilts_and_goes_on(tmp_path, capsys, monkeypatch):
    import napari_lot.simulate.multislice as multislice
    import napari_lot.simulate.tilts as tilts

    (tmp_path / "one.xyz").write_text("1\n\nPt 0 0 0\n")
    calls = []

    def tilt(positions, symbols, cell, microscope, settings, threads):
        calls.append(settings.slice_A)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return np.random.default_rng(1).random((cell.scan, cell.scan))

    class Installed:
        __version__ = "0"

    for module in (multislice, tilts):
        monkeypatch.setattr(module, "tilt_image", tilt)
        monkeypatch.setattr(module, "require_abtem", Installed)
    out = tmp_path / "sim"
    args = ["simulate", str(tmp_path / "one.xyz"), "--out", str(out), "--pixel-size", "0.4", "--tilts", "0,30,10"]
    args += ["--energy", "300e3", "--semiangle", "25", "--multislice", "--slice-thickness", "2"]
    assert run(args) == 130
    assert f"2 of 4 tilts are finished and kept in {out / 'multislice'}" in capsys.readouterr().err
    assert not (out / "series.tif").exists()
    assert run([*args[:-1], "3"]) == 2
    assert "slice_A was 2.0, now 3.0" in capsys.readouterr().err
    assert run(args) == 0
    assert len(calls) == 5
    assert calls[-1] == 2.0
    said = capsys.readouterr()
    assert "tilt 4/4 (2 were there)" in said.err
    assert (out / "series.tif").exists()
    assert json.loads((out / "simulation.json").read_text())["images"] == "multislice (abTEM)"
    # finished: only --overwrite writes again, and another dose needs no tilt again
    assert run(args) == 2
    assert run([*args, "--overwrite", "--dose", "1e4", "--seed", "3"]) == 0
    assert len(calls) == 5


@pytest.mark.parametrize("lens", [["--energy", "3e5", "--semiangle", "25", "--defocus", "20"], ["--probe", "direct"]])
@pytest.mark.parametrize("detector", [{}, {"gain": 2.0, "offset": 30.0, "read_noise": 1.5}])
def test_it_says_how_to_reconstruct_what_it_made(tmp_path, capsys, monkeypatch, lens, detector):
    out = tmp_path / "a series"
    made = ["--particle", "amorphous", "--elements", "Co,Pt", "--fractions", "1,3", "--diameter", "14"]
    made += ["--pixel-size", "0.4", "--tilts=-60,60,20", "--dose", "1e5", "--seed", "4", *lens]
    made += [word for name, value in detector.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    assert run(["simulate", *made, "--out", str(out)]) == 0
    words = shlex.split(capsys.readouterr().out.splitlines()[-1].removeprefix("Reconstruct them by: "))
    quick = quick_job_in_place(monkeypatch)
    assert words[0] == "napari-lot"
    assert run(words[1:]) == 0
    job = quick.seen[-1]
    assert job.settings.model.elements == ("Co", "Pt")
    assert job.settings.model.probe == ("direct" if "direct" in lens else "rigid")
    assert job.settings.microscope.defocus_A == (0.0 if "direct" in lens else 20.0)
    assert job.series.counts == (not detector)
    assert {name: getattr(job.settings.data, name) for name in detector} == detector
