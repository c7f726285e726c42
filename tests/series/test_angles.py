"""Angle files as people have them."""

from __future__ import annotations

import numpy as np
import pytest

from napari_lot.errors import InputError
from napari_lot.series.angles import read_angles


def read(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_angles(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "psi_deg,theta_deg,phi_deg\n0.1,-60,0.3\n0.2,0,0.2\n0.3,60,0.1\n"),
        ("a.csv", "phi_deg,psi_deg,theta_deg\r\n0.3,0.1,-60\r\n0.2,0.2,0\r\n0.1,0.3,60\r\n"),
        ("a.csv", "\ufeffpsi,theta,phi\n0.1, -60, 0.3\n0.2, 0, 0.2\n0.3, 60, 0.1\n"),
        ("a.csv", "image;Psi (deg);Theta (deg);Phi (deg)\n1;0.1;-60;0.3\n2;0.2;0;0.2\n3;0.3;60;0.1\n"),
    ],
)
def test_three_named_columns(tmp_path, name, text):
    table = read(tmp_path, name, text)
    assert table.geometry == "lot"
    np.testing.assert_allclose(table.values_deg, [[0.1, -60, 0.3], [0.2, 0, 0.2], [0.3, 60, 0.1]])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.tlt", "  -60.00\n    0.00\n   60.00\n"),
        ("a.rawtlt", "-6e1\n0\n6e1"),
        ("a.txt", "# degrees\n-60\n\n0\n60\n"),
        ("a.csv", "-60\n0\n60\n"),
    ],
)
def test_one_angle_a_line(tmp_path, name, text):
    table = read(tmp_path, name, text)
    assert table.geometry == "lot"
    np.testing.assert_array_equal(table.values_deg, [-60, 0, 60])


@pytest.mark.parametrize(
    "text",
    [
        "-60,5\n0\n60,25\n",
        "theta_deg\n-60,5\n0,0\n60,25\n",
        "angle (deg)\n-60,5\n0\n60,25\n",
        "psi;theta;phi\n0;-60,5;0\n0;0;0\n0,0;60,25;0\n",
        "psi\ttheta\tphi\n0,0\t-60,5\t0\n0\t0\t0\n0\t60,25\t0\n",
    ],
)
def test_commas_before_decimals(tmp_path, text):
    values = read(tmp_path, "a.csv", text).values_deg
    np.testing.assert_array_equal(values if values.ndim == 1 else values[:, 1], [-60.5, 0, 60.25])


@pytest.mark.parametrize(
    "text",
    ["psi,theta,phi\n0,-60,0\n0,0,5,0\n", "psi,theta,phi\n0,0,-60,5,0,0\n0,0,0,5,0,0\n", "1,10\n2,20\n3,30\n"],
)
def test_commas_that_may_be_both_are_named(tmp_path, text):
    with pytest.raises(InputError, match="where commas stand before decimals, write points"):
        read(tmp_path, "a.csv", text)


@pytest.mark.parametrize("header", ["theta_deg", "tilt", "angle (deg)", "Theta [degrees]"])
def test_one_named_column(tmp_path, header):
    np.testing.assert_array_equal(read(tmp_path, "a.csv", f"{header}\n-60\n0\n60\n").values_deg[:, 1], [-60, 0, 60])


@pytest.mark.parametrize(
    "text",
    [
        "tilt;note\n-70,500;ok\n0,000;\n60,25;ok, but dark\n",
        'note,tilt\na;b,-70.5\n,0\n"dark, drifts",60.25\n',
        "tilt\tnote\n-70,5\tok\n0,0\tok\n60,25\tdrifts a lot\n",
        "image theta_deg\na.tif -70.5\nb.tif 0\nc.tif 60.25\n",
    ],
)
def test_words_in_columns_of_other_names_do_not_matter(tmp_path, text):
    np.testing.assert_array_equal(read(tmp_path, "a.csv", text).values_deg[:, 1], [-70.5, 0, 60.25])


def test_three_columns_without_a_header_are_resires(tmp_path):
    table = read(tmp_path, "a.txt", "0 -60 1\n0 0 1\n0 60 1\n")
    assert table.geometry == "resire"
    assert table.values_deg.shape == (3, 3)


MDOC = """PixelSpacing = 0.71
Voltage = 300
ImageFile = a.mrc
[T = SerialEM: somewhere]
{title}
[ZValue = 2]
TiltAngle = 60.01
RotationAngle = 3.34915
[ZValue = 0]
TiltAngle = -59.98
RotationAngle = 3.34915
[ZValue = 1]
TiltAngle = 0.02
RotationAngle = 3.34915
"""


@pytest.mark.parametrize("title", ["[T =     Tilt axis angle = -86.7, binning = 1  spot = 7  camera = 1]", ""])
def test_mdoc_by_section_number_and_with_its_axis(tmp_path, title):
    """The title and RotationAngle - 90 are the same angle in a file that SerialEM wrote."""
    table = read(tmp_path, "a.mdoc", MDOC.format(title=title))
    np.testing.assert_array_equal(table.values_deg, [-59.98, 0.02, 60.01])
    assert table.pixel_size_A == 0.71
    assert table.tilt_axis_deg == pytest.approx(-86.7, abs=0.06)


def test_axis_from_an_mdoc_turns_as_imod_says():
    """IMOD: counter-clockwise from vertical with row 0 at the bottom. A point on the axis does not move under tilt."""
    from scipy.spatial.transform import Rotation

    axis_deg = 30.0
    x, y = -np.sin(np.deg2rad(axis_deg)), np.cos(np.deg2rad(axis_deg))  # counter-clockwise from +y, x right, y up
    from napari_lot.physics.geometry import turn_axis

    tilt = turn_axis(Rotation.from_euler("y", 50, degrees=True).as_matrix(), axis_deg)
    np.testing.assert_allclose(tilt @ [x, y, 0], [x, y, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.csv", "", "the angle file is empty"),
        ("a.csv", "# nothing\n", "no angles in the file"),
        ("a.csv", "theta_deg\n", "no angles below the header"),
        ("a.csv", "theta_deg\n1\ntwo\n3\n", r"line 3 is not a number \('two'\)"),
        ("a.csv", "note,tilt\nok,1\nok,two\n", r"line 3: tilt is not a number \('two'\)"),
        ("a.tlt", "1\n2\n3x\n", r"line 3 is not a number \('3x'\)"),
        ("a.csv", "psi_deg,theta_deg,phi_deg\n0,1,0\n0,2\n", "line 3 has 2 values where the others have 3"),
        ("a.csv", "alpha,beta\n1,2\n", r"no angle column in the header \(alpha,beta\)"),
        ("a.csv", "theta_rad\n0.1\n0.2\n", "the header says radians"),
        ("a.txt", "1 2\n3 4\n", "2 columns without a header"),
        ("a.mdoc", "PixelSpacing = 1\n", "the file has no TiltAngle"),
        ("a.mdoc", "[ZValue = 0]\nTiltAngle = 1\n[ZValue = 1]\nx = 1\n", "section 1 has no TiltAngle"),
        ("a.mdoc", "[ZValue = 0]\nTiltAngle = one\n", "is not a number: correct the .mdoc"),
    ],
)
def test_bad_angle_files(tmp_path, name, text, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        read(tmp_path, name, text)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)
    assert (tmp_path / name).read_text() == text


def test_angle_file_of_bytes(tmp_path):
    (tmp_path / "a.csv").write_bytes(bytes(range(128, 256)))
    with pytest.raises(InputError, match="not a text file of angles"):
        read_angles(tmp_path / "a.csv")


def test_missing_angle_file_and_folder(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.tlt: no such file: check the name of the angle file"):
        read_angles(tmp_path / "nowhere.tlt")
    with pytest.raises(InputError, match="this is a folder"):
        read_angles(tmp_path)
