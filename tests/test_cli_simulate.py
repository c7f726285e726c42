"""``simulate``: files that ``info`` understands, images that show the atoms where geometry puts them."""

import json

import numpy as np
import tifffile

from napari_lot.cli.app import run


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
