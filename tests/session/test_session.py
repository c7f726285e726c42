"""The session file: what goes in comes out, and what is not there is said in a sentence."""

import json
from dataclasses import fields, replace

import h5py
import numpy as np
import pytest

from napari_lot.analysis.doubts_queue import decision
from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.job import ProbeSlices, Result, Snapshot
from napari_lot.result import Checkpoint
from napari_lot.series.read import read_series
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.session import Autosave, RunState, Session, is_session, read_session, write_session
from napari_lot.settings import settings_from_dict

T = 6
RNG = np.random.default_rng(5)
IMAGES = RNG.normal(3, 1, (T, 12, 15)).astype(np.float32)
SETTINGS = settings_from_dict(
    {
        "microscope": {"energy_eV": 300e3, "semiangle_mrad": 25},
        "model": {"elements": ["Pt", "Fe"]},
        "solver": {"refine": ("positions", "heights"), "seed": 3},
        "data": {"tilt_weights": "1=0.5"},
    }
)


def series(**changes):
    values = {
        "images": IMAGES,
        "angles_deg": np.stack([np.zeros(T), np.linspace(-50, 50, T), np.full(T, 2.0)], 1),
        "pixel_size_A": 0.3,
        "center_px": (5.25, 7.5),
        "tilt_axis_deg": 1.5,
        "mask": RNG.random((T, 12, 15)) < 0.8,
        "counts": False,
        "excluded": (2,),
        "metadata": {"element": "Pt", "elements": ("Pt", "Fe"), "energy_eV": 3e5},
        "warnings": ("a doubt.",),
        "source": "somewhere.mrc",
    }
    return TiltSeries(**{**values, **changes})


def atoms(n=5):
    return Orbitals.create(RNG.normal(size=(n, 3)), 1.5, 0.4, np.arange(n) % 2, ("Pt", "Fe"), 10 + np.arange(n))


def result(measured, **changes):
    calculated = (0.9 * measured.images).astype(np.float32)
    values = {
        "orbitals": atoms(),
        "r_factor": np.array([0.1, np.nan, 0.2, 0.1, 0.1, 0.1]),
        "calculated": calculated,
        "residual": measured.images - calculated,
        "center_px": (5.3, 7.4),
        "shifts_px": RNG.normal(size=(T, 2)),
        "scale": np.ones(T),
        "background": np.zeros(T),
        "probe": ProbeSlices(np.ones((2, 3, 3), np.float32), np.array([-1.0, 1]), 0.1),
        "tilts_seen": np.full(5, T),
        "wall_seconds": {"total": 3.5},
        "stop_reason": "converged",
        "message": "Converged: σ < 3 Å.",
        "settings": SETTINGS,
        "sigma_A": np.full((5, 3), 0.02),
        "withheld": (1,),
        "warnings": ("one", "two"),
        "details": {"log": ["a"] * 20_000, "nan": float("nan"), "edits": [{"action": "deleted", "id": 3}]},
    }
    return Result(**{**values, **changes})


def same(a, b):
    """The same values, types included, in nested dataclasses and containers."""
    if hasattr(a, "__dataclass_fields__"):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if isinstance(a, dict):
        return isinstance(b, dict) and set(a) == set(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, tuple | list):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return a == b or (a != a and b != b)


def test_everything_comes_back(tmp_path):
    measured = series()
    path = tmp_path / "run.lot.h5"
    state = RunState(atoms(3), "refine", 7, 90, float("nan"), np.full(T, np.nan), 12.5, "goes on")
    history = np.array([[1, 0.5, np.nan], [2, 0.4, 0.1]])
    notes = {"decisions": [decision("keep", 3, "Pt", np.ones(3), 0.0, "why", "2026-01-01T00:00:00+00:00")]}
    session = Session(
        measured, SETTINGS, result(measured), state, history, notes, {"view": "atoms", "tilt": 3}, start=atoms(4)
    )
    write_session(path, session)
    found = read_session(path)
    plain = replace(measured, metadata={**measured.metadata, "elements": ["Pt", "Fe"]})
    assert same(found.series, plain)
    assert found.settings == SETTINGS
    assert found.settings.solver.model_fields_set == {"refine", "seed"}
    assert found.settings.data.model_fields_set == {"tilt_weights"}
    assert same(found.result, session.result)
    assert same(found.state, state)
    assert same(found.start, session.start)
    np.testing.assert_array_equal(found.history, history)
    assert (found.notes, found.view) == (notes, session.view)
    assert is_session(path)
    with h5py.File(path) as file:
        assert "residual" not in file["result"], "measured - calculated is not stored twice"


def test_a_residual_that_is_not_the_difference_is_kept(tmp_path):
    measured = series()
    other = result(measured, residual=np.ones_like(IMAGES))
    write_session(tmp_path / "a.lot.h5", Session(measured, SETTINGS, other))
    np.testing.assert_array_equal(read_session(tmp_path / "a.lot.h5").result.residual, 1)


def test_explicit_rotations(tmp_path):
    turn = np.stack([np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]]) for a in range(T)])
    write_session(tmp_path / "a.lot.h5", Session(series(rotations=turn, mask=None), SETTINGS))
    found = read_session(tmp_path / "a.lot.h5")
    np.testing.assert_array_equal(found.series.rotations, turn)
    assert found.series.mask is None
    assert found.orbitals is None


def test_images_left_out_come_from_their_file(tmp_path):
    source = tmp_path / "s.npz"
    np.savez(source, images=IMAGES, angles_deg=np.linspace(-50, 50, T), pixel_size_A=0.3)
    measured = read_series(source)
    path = tmp_path / "run.lot.h5"
    write_session(path, Session(measured, SETTINGS), embed_images=False)
    assert path.stat().st_size < IMAGES.nbytes + 40_000
    np.testing.assert_array_equal(read_session(path).series.images, IMAGES)
    # moved together to another place
    other = tmp_path / "other"
    other.mkdir()
    source.rename(other / "s.npz")
    path.rename(other / "run.lot.h5")
    np.testing.assert_array_equal(read_session(other / "run.lot.h5").series.images, IMAGES)
    np.savez(other / "s.npz", images=IMAGES + 1, angles_deg=np.linspace(-50, 50, T), pixel_size_A=0.3)
    with pytest.raises(InputError, match=r"the images of .*s.npz are not those of this session any more"):
        read_session(other / "run.lot.h5")
    (other / "s.npz").unlink()
    with pytest.raises(InputError, match=r"saved without its images, and .*s.npz is not there"):
        read_session(other / "run.lot.h5")


def test_what_is_not_a_session(tmp_path):
    text = tmp_path / "a.lot.h5"
    text.write_text("no")
    with pytest.raises(InputError, match="not a session of napari-lot"):
        read_session(text)
    assert not is_session(text)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["images"] = IMAGES
    assert not is_session(tmp_path / "b.h5")
    with pytest.raises(InputError, match="not a session"):
        read_session(tmp_path / "b.h5")
    with pytest.raises(InputError, match="no such file: check the name of the session"):
        read_session(tmp_path / "c.h5")
    good = tmp_path / "d.lot.h5"
    write_session(good, Session(series(), SETTINGS))
    with h5py.File(good, "r+") as file:
        file.attrs["schema"] = 2
        file.attrs["version"] = "9.0"
    with pytest.raises(InputError, match=r"written by napari-lot 9.0.*pip install --upgrade"):
        read_session(good)
    with h5py.File(good, "r+") as file:
        file.attrs["schema"] = 1
        del file["settings"]
        file["settings"] = json.dumps({"solver": {"nonsense": 1}})
    with pytest.raises(InputError, match="nonsense"):
        read_session(good)
    with h5py.File(good, "r+") as file:
        del file["series"]["angles_deg"]
        del file["settings"]
        file["settings"] = "{}"
    with pytest.raises(InputError, match="damaged"):
        read_session(good)


def test_a_session_without_settings_or_with_half_a_history_is_refused(tmp_path):
    for name, change, sentence in (
        ("settings", None, "this session has no settings"),
        ("history", np.zeros(3), "the history of this session is damaged"),
    ):
        path = tmp_path / f"{name}.lot.h5"
        write_session(path, Session(series(), SETTINGS))
        with h5py.File(path, "r+") as file:
            del file[name]
            if change is not None:
                file[name] = change
        with pytest.raises(InputError, match=rf"{name}\.lot\.h5: {sentence}: open another copy"):
            read_session(path)


def test_a_session_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "run.lot.h5"
    write_session(path, Session(series(), SETTINGS))
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_lot.session.file.put_text", full)
    with pytest.raises(OSError, match="No space"):
        write_session(path, Session(series(), SETTINGS, result(series())))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["run.lot.h5"]


def snapshot(stage, step, n=5):
    none = np.zeros((0, 12, 15), np.float32)
    r = np.full(T, 0.1 / step)
    return Snapshot(stage, step, 50, atoms(n), 1.0 / step, r, np.zeros(0, np.int64), none, None, float(step), "on")


def test_autosave(tmp_path):
    now = [0.0]
    path = tmp_path / "new" / "autosave.lot.h5"
    autosave = Autosave(path, Session(series(), SETTINGS), 10.0, clock=lambda: now[0])

    def at(seconds, *what):
        now[0] = seconds
        began = autosave.add(snapshot(*what))
        autosave.wait()
        return began

    assert not at(5, "heights", 1, 40)
    assert not path.exists()
    assert at(11, "heights", 2, 40)
    found = read_session(path)
    assert (found.state.step, len(found.orbitals), found.atoms) == (2, 40, None)
    assert not at(20, "positions", 3)
    assert at(22, "refine", 4)
    assert len(read_session(path).atoms) == 5
    assert not at(40, "handedness", 5), "the atoms of the other hand do not replace those that were found"
    assert not at(50, "merge", 6), "nor do molten places"
    now[0] = 50.5
    assert autosave.add(replace(snapshot("merge", 6), checkpoint=Checkpoint({}, {"road": []})))
    autosave.wait()
    found = read_session(path)
    assert (found.state.stage, found.state.checkpoint.words) == ("refine", {"road": []}), "but where the run is goes on"
    assert not at(60.4, "merge", 6)
    assert at(61, "polish", 7)
    found = read_session(path)
    assert found.state.step == 7
    np.testing.assert_allclose(found.history[:, 0], [1, 2, 3, 4, 5, 6, 6, 6, 7])
    np.testing.assert_allclose(found.history[:, 2], 0.1 / np.array([1, 2, 3, 4, 5, 6, 6, 6, 7]))
    autosave.finish(result(series()))
    autosave.wait()
    found = read_session(path)
    assert found.result.stop_reason == "converged"
    assert len(found.history) == 9
    autosave.remove()
    assert not path.exists()
    assert not at(99, "polish", 8)
    assert not path.exists()


def test_autosave_that_cannot_be_written_says_so_and_tries_again(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    autosave = Autosave(blocked / "a.lot.h5", Session(series(), SETTINGS), 0.0)
    assert autosave.add(snapshot("refine", 1))
    autosave.wait()
    assert isinstance(autosave.failure, OSError)
    blocked.unlink()
    autosave.add(snapshot("refine", 2))
    autosave.wait()
    assert autosave.failure is None
    assert read_session(blocked / "a.lot.h5").state.step == 2


@pytest.mark.parametrize("what", ["images", "checkpoint", "words", "settings"])
def test_what_was_damaged_later_is_not_gone_on_with(what, tmp_path):
    """One bit of it: no run goes on from it to another result without a word."""
    path = tmp_path / "a.lot.h5"
    place = np.arange(7.0) * np.pi
    found = replace(
        result(series()), stop_reason="finished early", checkpoint=Checkpoint({"x": place}, {"road": ["a"]})
    )
    write_session(path, Session(series(), SETTINGS, found))
    assert read_session(path).result.checkpoint.words == {"road": ["a"]}
    content = bytearray(path.read_bytes())
    marks = {"images": IMAGES[3].tobytes(), "checkpoint": place.tobytes(), "words": b'"road"', "settings": b'"seed": 3'}
    at = content.index(marks[what]) + len(marks[what]) - 1
    content[at] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"a\.lot\.h5: this session is truncated or damaged \(.*\): open another copy"):
        read_session(path)


def test_a_session_without_checksums_is_read_as_those_of_before(tmp_path):
    path = tmp_path / "a.lot.h5"
    write_session(path, Session(series(), SETTINGS, result(series())))
    with h5py.File(path, "r+") as file:
        for name in ("settings", "notes", "series/facts", "result/facts"):
            del file[name].attrs["sha256"]
        images = file["series/images"][()]
        del file["series/images"]
        file["series"].create_dataset("images", data=images)
    np.testing.assert_array_equal(read_session(path).series.images, IMAGES)
