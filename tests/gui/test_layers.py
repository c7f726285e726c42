"""The layers: axes that fit together, the right hand on screen, symmetric residuals, streaming without leftovers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from blank_result import blank_result
from napari_lot.atoms import Orbitals
from napari_lot.series import TiltSeries
from napari_lot.settings import Settings

RED, GREEN, BLUE, WHITE = (1, 0, 0, 1), (0, 1, 0, 1), (0, 0, 1, 1), (1, 1, 1, 1)


def small_series(tilts: int = 5, size: int = 48) -> TiltSeries:
    rng = np.random.default_rng(0)
    angles = np.zeros((tilts, 3))
    angles[:, 1] = np.linspace(-60, 60, tilts)
    return TiltSeries(rng.random((tilts, size, size)).astype(np.float32) + 1, angles, pixel_size_A=0.5)


def make_layers(viewer: Any) -> Any:
    from napari_lot.gui.canvas.layers import WorkbenchLayers

    return WorkbenchLayers(viewer)


def centroid(picture: NDArray[Any], channel: int) -> tuple[float, float]:
    """(row, column) of the pixels in which one colour channel rules."""
    rgb = picture[..., :3].astype(float)
    others = np.delete(rgb, channel, axis=2).max(2)
    rows, columns = np.nonzero(rgb[..., channel] > others + 60)
    assert len(rows) > 20, f"colour {channel} is not on screen"
    return float(rows.mean()), float(columns.mean())


def chiral_cluster(viewer: Any, qtbot: Any) -> Any:
    """White at the origin, red at +x, green at +y, blue at +z: a hand that only a mirror changes."""
    layers = make_layers(viewer)
    layers.show_series(small_series())
    positions = np.array([[0, 0, 0], [6, 0, 0], [0, 6, 0], [0, 0, 6.0]])
    layers.show_atoms(Orbitals.create(positions), 4.0)
    colors = np.zeros((len(layers.atoms.spheres.layer.data), 4), np.float32)
    colors[:4] = [WHITE, RED, GREEN, BLUE]
    layers.atoms.spheres.layer.face_color = colors
    layers.atoms.spheres.layer.face_colorbar.visible = False  # it is coloured, too
    qtbot.wait(100)
    return layers


def test_atoms_are_not_mirrored(viewer: Any, qtbot: Any) -> None:
    layers = chiral_cluster(viewer, qtbot)
    picture = viewer.screenshot(canvas_only=True, flash=False)
    middle = np.array(picture.shape[:2]) / 2
    red, green = centroid(picture, 0), centroid(picture, 1)
    assert red[1] > middle[1] + 20, "x must point right"
    assert abs(red[0] - green[0]) > 20
    assert green[0] > red[0] + 20, "y must point down"
    # Looking along the beam, +z is behind the origin: the white atom hides the blue one.
    rgb = picture[..., :3].astype(int)
    assert not ((rgb[..., 2] > rgb[..., 0] + 60) & (rgb[..., 2] > rgb[..., 1] + 60)).any(), "z must point away"
    layers.close()


def test_atoms_are_framed_below_the_words(viewer: Any, qtbot: Any) -> None:
    layers = make_layers(viewer)
    series = small_series()
    layers.show_series(series)
    half = 0.5 * series.pixel_size_A * (series.images.shape[1] - 1)
    layers.show_atoms(Orbitals.create(np.array([[0, -half, 0], [0, half, 0.0]])), 4.0)
    layers.look_at("atoms")
    camera, (height, _) = viewer.scene.camera, viewer.canvas.size
    top, bottom = (height / 2 + (y - camera.center[1]) * camera.zoom for y in (-half, half))
    overlay = viewer.canvas.overlays.text
    words = (overlay.text.count("\n") + 1) * 2 * overlay.font_size
    assert words + 10 < top < bottom < height
    layers.close()


def test_a_mirroring_camera_would_be_noticed(viewer: Any, qtbot: Any) -> None:
    layers = chiral_cluster(viewer, qtbot)
    viewer.scene.camera.orientation = ("towards", "down", "right")
    qtbot.wait(100)
    picture = viewer.screenshot(canvas_only=True, flash=False)
    centroid(picture, 2)  # the blue atom is in front
    layers.close()


def test_turned_by_hand_the_triple_product_keeps_its_sign(viewer: Any, qtbot: Any) -> None:
    """From any side: what is seen of x, y, z has the determinant of a rotation, not of a mirror."""
    layers = chiral_cluster(viewer, qtbot)
    viewer.scene.camera.angles = (20.0, 35.0, -15.0)
    qtbot.wait(100)
    picture = viewer.screenshot(canvas_only=True, flash=False)
    red, green, blue = (np.array(centroid(picture, c)) for c in range(3))
    rgb = picture[..., :3].astype(int)
    rows, columns = np.nonzero((rgb.min(2) > 120) & (np.ptp(rgb, axis=2) < 30))
    # the scale bar and the text are white, too: the atom is the patch nearest the middle
    near = np.hypot(rows - picture.shape[0] / 2, columns - picture.shape[1] / 2) < 60
    origin = np.array([rows[near].mean(), columns[near].mean()])
    seen = np.array([p - origin for p in (red, green, blue)])[:, ::-1]  # (right, down) of x, y, z in pixels
    # Rows of a rotation are orthonormal: the third (away) is the cross product of the others, and its sign is the hand.
    scale = np.sqrt((seen**2).sum() / 2)
    right, down = (seen / scale).T
    away = np.cross(right, down)
    view = np.array(viewer.scene.camera.view_direction)[::-1]  # (z, y, x) -> (x, y, z): where the camera looks to
    assert np.dot(away, view) > 0.9
    layers.close()


def test_any_way_to_three_dimensions_shows_the_right_hand(viewer: Any, qtbot: Any) -> None:
    layers = chiral_cluster(viewer, qtbot)
    viewer.dims.ndisplay = 2
    viewer.scene.camera.orientation = ("towards", "down", "right")
    viewer.dims.ndisplay = 3
    assert tuple(str(o) for o in viewer.scene.camera.orientation) == ("away", "down", "right")
    layers.close()


def test_axes_units_and_centre_fit_together(viewer: Any) -> None:
    layers = make_layers(viewer)
    series = small_series()
    layers.show_series(series)
    layers.show_atoms(Orbitals.create(np.zeros((3, 3)) + np.arange(3)[:, None]), 3.0)
    measured, atoms = viewer.layers["Measured"], viewer.layers["Atoms"]
    assert measured.data.shape == (5, 1, 48, 48)
    assert [str(u) for u in measured.units] == ["pixel", "angstrom", "angstrom", "angstrom"]
    assert [str(u) for u in atoms.units] == ["angstrom"] * 3
    # the rotation centre, (n - 1) / 2, is the origin that the atoms have
    row, column = series.center_px or (0, 0)
    assert measured.data_to_world((2, 0, row, column)) == pytest.approx((2, 0, 0, 0))
    assert atoms.data[1].tolist() == [1, 1, 1]
    assert viewer.dims.ndim == 4
    layers.close()


def test_projected_atoms_lie_where_the_tilt_shows_them(viewer: Any) -> None:
    layers = make_layers(viewer)
    layers.show_series(small_series())
    layers.show_atoms(Orbitals.create([[3.0, 2.0, 1.0]]), 3.0)
    theta = np.deg2rad(-60.0)
    u = np.cos(theta) * 3.0 + np.sin(theta) * 1.0
    assert layers.projected(0)[0] == pytest.approx([0.0, 2.0, u])
    assert layers.projected(2)[0] == pytest.approx([0.0, 2.0, 3.0])
    layers.look_at("markers")
    viewer.dims.set_point(0, 0)
    assert viewer.layers["Atoms on tilt"].data[0] == pytest.approx([0.0, 2.0, u])
    assert "−60.0°" in viewer.canvas.overlays.text.text
    assert viewer.dims.axis_labels[0] == "tilt −60.0°"
    layers.close()


def test_streaming_leaves_no_atom_behind(viewer: Any, qtbot: Any) -> None:
    layers = make_layers(viewer)
    layers.show_series(small_series())
    rng = np.random.default_rng(1)
    many = Orbitals.create(rng.normal(size=(400, 3)) * 4)
    layers.show_atoms(many, 3.0)
    layer = layers.atoms.spheres.layer
    layers.show_atoms(Orbitals.create([[5.0, 5.0, 0.0]]), 3.0)
    assert layers.atoms.spheres.layer is layer, "no new layer for fewer atoms"
    assert layer.shown.sum() == 1
    assert (np.asarray(layer.size)[1:] == 0).all()
    assert (layer.face_color[1:, 3] == 0).all()
    viewer.canvas.overlays.text.visible = False
    viewer.canvas.overlays.scale_bar.visible = False
    layer.face_colorbar.visible = False
    qtbot.wait(100)
    picture = viewer.screenshot(canvas_only=True, flash=False)
    middle = np.array(picture.shape[:2]) / 2
    rows, columns = np.nonzero(picture[..., :3].max(2) > 40)
    assert len(rows) > 50
    assert rows.min() > middle[0]
    assert columns.min() > middle[1], "one atom, right and below the middle"
    layers.close()


def test_the_bar_of_residuals_has_room_for_numbers() -> None:
    from vispy.visuals.axis import _get_ticks_talbot

    from napari_lot.gui.canvas.stacks import round_up

    for top in np.geomspace(0.01, 9.9, 40):
        high = round_up(top)
        assert top <= high * (1 + 1e-6) < 1.35 * top
        ticks = np.asarray(_get_ticks_talbot(-high, high, 90 / 96, 2))
        assert (np.abs(ticks) <= high * (1 + 1e-9)).sum() >= 3, top


def test_residual_is_measured_minus_calculated_on_symmetric_limits(viewer: Any) -> None:
    layers = make_layers(viewer)
    series = small_series()
    layers.show_series(series)
    calculated = series.images[[1, 3]] * np.float32(0.9)
    list(layers.show_calculated(np.array([1, 3]), calculated))
    residual, shown = viewer.layers["Residual"], viewer.layers["Calculated"]
    assert np.array_equal(shown.data[[1, 3], 0], calculated)
    assert np.allclose(residual.data[[1, 3], 0], series.images[[1, 3]] - calculated)
    low, high = residual.contrast_limits
    assert low == -high
    assert high > 0
    middle = residual.colormap.map(np.array([0.5]))[0]
    assert np.ptp(middle[:3]) < 0.02, "zero is grey"
    assert shown.contrast_limits == viewer.layers["Measured"].contrast_limits
    layers.close()


def test_images_that_nobody_looks_at_wait_until_somebody_does(viewer: Any, monkeypatch: Any) -> None:
    from napari_lot.gui.canvas import stacks

    monkeypatch.setattr(stacks, "WRITTEN_S", 1e6)
    layers = make_layers(viewer)
    series = small_series()
    layers.show_series(series)
    every, first = np.arange(len(series)), series.images * np.float32(0.9)
    list(layers.show_calculated(every, first))
    layers.look_at("images")
    layers.set_tilt(1)
    residual, shown = viewer.layers["Residual"], viewer.layers["Calculated"]
    later = series.images * np.float32(0.5)
    list(layers.show_calculated(every, later))
    assert np.array_equal(shown.data[1, 0], later[1]), "what is looked at is new at once"
    assert np.array_equal(shown.data[3, 0], first[3]), "else the test says nothing"
    layers.set_tilt(3)
    assert np.array_equal(shown.data[3, 0], later[3])
    assert np.array_equal(residual._slice.image.view, series.images[3] - later[3]), "on screen, too"
    layers.settle_atoms()
    assert np.array_equal(shown.data[:, 0], later)
    assert np.array_equal(residual.data[:, 0], series.images - later)


def test_images_that_come_back_are_framed_in_their_boxes(viewer: Any, qtbot: Any) -> None:
    """Beside each other they have a third of the canvas each; the zoom of one alone would cut all of them off."""
    layers = make_layers(viewer)
    series = small_series()
    layers.show_series(series)
    every = np.arange(len(series))
    list(layers.show_calculated(every, series.images))
    layers.look_at("images")
    qtbot.wait(50)
    zoom = viewer.scene.camera.zoom
    for name in ("Measured", "Residual", "Calculated"):
        viewer.layers.remove(viewer.layers[name])
    list(layers.show_calculated(every, series.images))
    qtbot.wait(50)
    assert viewer.canvas.grid.enabled
    assert viewer.scene.camera.zoom == pytest.approx(zoom, rel=0.05)


def test_atoms_that_were_deleted_come_back_to_be_seen(viewer: Any) -> None:
    """The layer was made while something else was looked at."""
    layers = make_layers(viewer)
    layers.show_series(small_series())
    layers.view_chosen = True
    atoms = Orbitals.create(np.arange(12.0).reshape(4, 3))
    layers.show_atoms(atoms, 3.0)
    assert not viewer.layers["Atoms"].visible
    layers.look_at("atoms")
    viewer.layers.remove("Atoms")
    layers.settle_atoms()
    assert viewer.layers["Atoms"].visible
    viewer.layers.remove("Atoms")
    layers.show_atoms(atoms, 3.0)
    assert viewer.layers["Atoms"].visible


def test_a_deleted_layer_comes_back(viewer: Any) -> None:
    layers = make_layers(viewer)
    series = small_series()
    layers.show_series(series)
    atoms = Orbitals.create([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    layers.show_atoms(atoms, 3.0)
    list(layers.show_calculated(np.arange(5), series.images))
    for name in ("Atoms", "Residual", "Calculated"):
        viewer.layers.remove(viewer.layers[name])
    layers.show_atoms(atoms, 3.0)
    list(layers.show_calculated(np.arange(5), series.images))
    assert {"Measured", "Calculated", "Residual", "Atoms"} <= {layer.name for layer in viewer.layers}
    layers.close()


def test_other_layers_are_left_alone(viewer: Any) -> None:
    own = viewer.add_image(np.zeros((20, 20)), name="mine")
    layers = make_layers(viewer)
    series = small_series()
    layers.show_series(series)
    layers.show_atoms(Orbitals.create([[1.0, 2.0, 3.0]]), 3.0)
    for view in ("images", "markers", "atoms"):
        layers.look_at(view)
        assert own.visible
    layers.remove_results()
    assert own in viewer.layers
    layers.close()


def test_our_share_of_an_update_of_25000_atoms_is_short(viewer: Any) -> None:
    """Under 20 ms without napari's slicing and drawing; a generous factor for a busy machine."""
    import time

    layers = make_layers(viewer)
    layers.show_series(small_series())
    rng = np.random.default_rng(2)
    positions, height = rng.normal(size=(25_000, 3)) * 10, rng.random(25_000) + 0.5
    layers.show_atoms(Orbitals.create(positions, height), 2.0)
    layer = layers.atoms.spheres.layer
    layer.refresh = lambda *args, **kwargs: None  # napari's share
    took = []
    for _ in range(5):
        orbitals = Orbitals.create(positions + 0.01, height)
        began = time.process_time()
        layers.show_atoms(orbitals, 2.0)
        took.append(time.process_time() - began)
    assert min(took) < 0.04, f"{1000 * min(took):.1f} ms"
    print(f"{1000 * min(took):.1f} ms")
    layers.close()


@pytest.mark.parametrize("view", ["images", "markers", "atoms"])
def test_layers_that_are_taken_away_do_not_come_back_by_themselves(viewer: Any, qtbot: Any, view: str) -> None:
    layers = chiral_cluster(viewer, qtbot)
    layers.look_at("markers")  # the rings are made
    layers.look_at(view)
    if view != "atoms":
        layers.go_to_tilt(3)

    def comes_back(event: Any) -> None:
        raise AssertionError(f"{event.value} came back")  # and would for ever: what empties the list never ends

    viewer.layers.events.inserted.connect(comes_back)
    try:
        viewer.layers.clear()
    finally:
        viewer.layers.events.inserted.disconnect(comes_back)
    assert not len(viewer.layers)
    assert layers.available(view) is None, "one click brings them back"


@pytest.mark.parametrize("ndisplay", [3, 2])
def test_streaming_points_have_little_to_spare(viewer: Any, qtbot: Any, ndisplay: int) -> None:
    """A grid of orbitals becomes a tenth as many atoms, and rows that show nothing cost almost as much as others."""
    from napari_lot.gui.canvas.points import ROOM, TOO_MUCH, PointsBuffer

    buffer = PointsBuffer("points", 1.0)
    viewer.dims.ndisplay = ndisplay
    first = None
    for n in (3000, 2900, 400, 401, 1500, 0, 700):
        places = np.random.default_rng(n).normal(size=(n, 3))
        colors = np.random.default_rng(n).random((n, 4), np.float32)
        buffer.show(viewer, places, colors)
        qtbot.wait(20)
        layer = buffer.layer
        first = first or layer
        assert layer is first, "napari takes most of a second for a new layer"
        assert n <= len(layer.data) <= TOO_MUCH * max(256, ROOM * n)
        assert layer.shown.sum() == n
        assert layer.shown[:n].all()
        assert np.array_equal(layer.data[:n], places)
        assert np.allclose(layer.face_color[:n], colors)
        assert not layer.face_color[n:].any()
        assert np.array_equal(layer.size, np.where(layer.shown, 1.0, 0.0))
        assert {type(symbol) for symbol in layer.symbol} == {str}


@pytest.mark.parametrize("visible", [True, False])
@pytest.mark.parametrize("count", [5, 3, 4])
def test_settled_points_change_in_their_layer(viewer: Any, qtbot: Any, visible: bool, count: int) -> None:
    """A new layer costs napari most of a second; a hidden one is not sliced, and must not be drawn as it was."""
    from napari_lot.gui.canvas.points import PointsBuffer

    buffer = PointsBuffer("points", 1.0)
    viewer.dims.ndisplay = 3

    def settle(n: int, shift: float) -> tuple[Any, Any]:
        places = np.arange(3.0 * n).reshape(n, 3) + shift
        colors = np.linspace(0, 1, 4 * n, dtype=np.float32).reshape(n, 4)
        features = {"id": np.arange(n) + int(shift), "height": np.full(n, shift)}
        buffer.settle(viewer, places, colors, features, 1.0 + np.arange(n))
        return places, colors

    settle(4, 0.0)
    layer = buffer.layer
    assert layer is not None
    layer.visible = visible
    layer.selected_data = {3}
    qtbot.wait(50)
    places, colors = settle(count, 10.0)
    qtbot.wait(50)
    layer.visible = True
    qtbot.wait(50)
    assert buffer.layer is layer
    assert np.array_equal(layer.data, places)
    assert np.allclose(layer.face_color, colors)
    assert np.array_equal(layer.size, 1.0 + np.arange(count))
    assert layer.shown.all()
    assert list(layer.features["id"]) == [10 + i for i in range(count)]
    assert not layer.selected_data
    assert len(layer._view_data) == count, "what is drawn"
    assert layer.extent.data[1] == pytest.approx(places.max(0))


def test_atoms_that_are_on_screen_are_not_drawn_again(viewer: Any) -> None:
    """While a long pass goes on there are new images of the same atoms."""
    layers = make_layers(viewer)
    layers.show_series(small_series())
    atoms = Orbitals.create(np.arange(12.0).reshape(4, 3))
    layers.show_atoms(atoms, 3.0)
    drawn: list[Any] = []
    viewer.layers["Atoms"].events.set_data.connect(drawn.append)
    layers.show_atoms(atoms, 3.0)
    assert not drawn
    layers.show_atoms(Orbitals.create(atoms.positions + 1.0), 3.0)
    assert drawn
    layers.show_atoms(atoms, 3.0)
    assert np.array_equal(viewer.layers["Atoms"].data[:4], atoms.positions[:, ::-1])
    viewer.layers.remove("Atoms")
    layers.show_atoms(atoms, 3.0)
    assert np.array_equal(viewer.layers["Atoms"].data[:4], atoms.positions[:, ::-1]), "somebody had deleted it"


def test_atoms_of_a_run_are_only_looked_at(viewer: Any, qtbot: Any, notified: Any) -> None:
    """Delete, a drag or a script would change the picture alone: table and files would still have all atoms."""
    from qtpy.QtCore import Qt

    from napari_lot.gui.canvas.layers import OF_FINISHED, OF_UNFINISHED

    layers = make_layers(viewer)
    series = small_series()
    layers.show_series(series)
    atoms = Orbitals.create(np.arange(12.0).reshape(4, 3))
    layers.show_atoms(atoms, 3.0)
    streaming = viewer.layers["Atoms"]
    streaming.selected_data = {1}
    streaming.remove_selected()
    streaming.data = streaming.data[:2]
    assert np.array_equal(streaming.data[:4], atoms.positions[:, ::-1])
    assert streaming.shown.sum() == 4
    assert notified()[-1] == OF_UNFINISHED

    known = {"r_factor": np.zeros(5), "center_px": (23.5, 23.5), "wall_seconds": {}}
    result = blank_result(atoms, series.images, series.images, Settings(), **known)
    layers.show_result(result, 3.0)
    layer = viewer.layers["Atoms"]
    colors, ids = layer.face_color.copy(), list(layer.features["id"])
    layer.selected_data = {1, 2}
    layer.mode = "select"
    native = viewer.window._qt_viewer.canvas.native
    viewer.layers.selection.active = layer
    native.setFocus()
    qtbot.keyClick(native, Qt.Key.Key_Delete)
    layer.pop(0)
    layer.add([1.0, 2.0, 3.0])
    layer._move([0], (9.0, 9.0, 9.0))
    layer.data = layer.data[1:]
    assert np.array_equal(layer.data, atoms.positions[:, ::-1])
    assert np.allclose(layer.face_color, colors)
    assert list(layer.features["id"]) == ids
    assert layer.shown.all()
    assert notified()[-1] == OF_FINISHED
    assert notified().count(OF_FINISHED) == 1, "a key that is held down says it once"

    layers.look_at("markers")
    rings = viewer.layers["Atoms on tilt"]
    rings.selected_data = {0}
    rings.remove_selected()
    assert rings.shown.sum() == 4
    layers.close()
    layer.selected_data = {0}
    layer.remove_selected()
    assert len(layer.data) == 3, "it is the viewer's now"
