"""Forms show what the settings say: unit, bounds, default, help; and give back what was typed."""

from __future__ import annotations

from typing import Any

import pytest

from napari_lot.settings import Data, Microscope, Model, Solver


def make(model: Any, names: list[str], qtbot: Any, **options: Any) -> Any:
    from napari_lot.gui.forms.settings_form import SettingsForm

    form = SettingsForm(model, names, **options)
    qtbot.addWidget(form)
    form.show()
    qtbot.waitExposed(form)
    return form


def test_every_microscope_field_has_unit_bounds_and_help(qtbot: Any) -> None:
    form = make(Microscope, list(Microscope.model_fields), qtbot)
    for name, field in form.fields.items():
        box = field.native
        assert box.toolTip() == Microscope.model_fields[name].description
        assert box.suffix().strip() in ("eV", "mrad", "Å", "°"), name
    assert form.fields["semiangle_mrad"].native.maximum() == 200
    assert form.fields["source_size_A"].native.minimum() == 0
    assert form.fields["c30_A"].native.minimum() == -1e9


def test_defaults_are_the_settings_defaults(qtbot: Any) -> None:
    form = make(Microscope, list(Microscope.model_fields), qtbot)
    assert Microscope(**form.values()) == Microscope()
    assert "energy_eV" not in form.values()
    assert form.fields["energy_eV"].native.text() == "not set"


def test_typed_numbers_arrive_and_can_be_unset_again(qtbot: Any, hand: Any) -> None:
    form = make(Microscope, ["energy_eV", "defocus_A"], qtbot)
    changes = []
    form.changed.connect(lambda: changes.append(form.values()))
    hand.type(form.fields["energy_eV"].native, "200000")
    hand.type(form.fields["defocus_A"].native, "-12.5")
    assert form.values() == {"energy_eV": 200000.0, "defocus_A": -12.5}
    assert changes
    hand.type(form.fields["energy_eV"].native, "0")
    assert "energy_eV" not in form.values()


def test_a_value_put_in_is_not_rounded_to_what_is_shown(qtbot: Any, hand: Any) -> None:
    form = make(Microscope, ["source_size_A", "defocus_A"], qtbot)
    form.set_values({"source_size_A": 0.70644601})
    hand.type(form.fields["defocus_A"].native, "5")
    assert form.values()["source_size_A"] == 0.70644601
    hand.type(form.fields["source_size_A"].native, "0.5")
    assert form.values()["source_size_A"] == 0.5


def test_the_wheel_does_not_change_a_number(qtbot: Any) -> None:
    from qtpy.QtCore import QPoint, QPointF, Qt
    from qtpy.QtGui import QWheelEvent
    from qtpy.QtWidgets import QApplication

    form = make(Microscope, ["defocus_A"], qtbot)
    box = form.fields["defocus_A"].native
    event = QWheelEvent(
        QPointF(5, 5),
        QPointF(box.mapToGlobal(QPoint(5, 5))),
        QPoint(),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(box, event)
    assert form.values()["defocus_A"] == 0.0


def test_optional_whole_number_says_what_unset_means(qtbot: Any, hand: Any) -> None:
    form = make(Solver, ["threads", "seed"], qtbot, unset={"threads": "all cores"})
    threads = form.fields["threads"].native
    assert threads.text() == "all cores"
    assert form.values() == {"seed": 0}
    hand.type(threads, "2")
    assert threads.text() == "2"
    assert form.values() == {"threads": 2, "seed": 0}
    assert type(form.values()["threads"]) is int
    form.fields["threads"].value = None
    assert threads.text() == "all cores"


@pytest.mark.parametrize(("model", "name"), [(Data, "pixel_size_A"), (Model, "spacing_A")])
def test_an_unset_length_stays_unset(qtbot: Any, model: Any, name: str) -> None:
    form = make(model, [name], qtbot)
    assert form.values() == {}


@pytest.mark.parametrize("text", ["0.3216", "0.19447", "12", "0.2"])
def test_a_length_is_shown_as_it_was_typed(qtbot: Any, hand: Any, text: str) -> None:
    form = make(Data, ["pixel_size_A"], qtbot)
    box = form.fields["pixel_size_A"].native
    hand.type(box, text)
    assert form.values() == {"pixel_size_A": float(text)}
    assert box.text() == f"{text} Å", "all digits, and no zeros at the end"
    assert box.fontMetrics().horizontalAdvance(box.text()) < box.lineEdit().width(), "nothing is cut off"


def test_a_default_can_be_left_to_the_file(qtbot: Any, hand: Any) -> None:
    form = make(Data, ["tilt_axis_deg", "counts"], qtbot, unset=dict.fromkeys(("tilt_axis_deg", "counts"), "ask it"))
    axis, counts = (form.fields[name].native for name in ("tilt_axis_deg", "counts"))
    assert form.values() == {}
    assert (axis.text(), counts.currentText()) == ("ask it", "ask it")
    hand.type(axis, "0")
    hand.choose(counts, "no")
    assert form.values() == {"tilt_axis_deg": 0.0, "counts": False}
    hand.type(axis, "-4.25")
    hand.choose(counts, "yes")
    assert form.values() == {"tilt_axis_deg": -4.25, "counts": True}
    hand.type(axis, "")
    hand.choose(counts, "ask it")
    assert form.values() == {}, "emptied, it is the file's again"
    assert axis.text() == "ask it"


def test_choices_come_from_the_literals() -> None:
    from napari_lot.gui.forms.settings_form import choices_of

    assert {"direct", "rigid"} <= set(choices_of(Model, "probe"))
    assert "positions" in choices_of(Solver, "refine")
    with pytest.raises(TypeError):
        choices_of(Model, "spacing_A")


def test_choices_are_words_and_keep_their_values(qtbot: Any) -> None:
    from napari_lot.gui.forms.settings_form import SettingsForm, choices_of

    of_solver = ["widths", "error_bars", "handedness", "distortion", "device"]
    for model, names in ((Model, ["likelihood"]), (Solver, of_solver)):
        form = SettingsForm(model, names)
        qtbot.addWidget(form)
        for name in names:
            box = form.fields[name].native
            shown = [box.itemText(i) for i in range(box.count())]
            assert not {"lsq", "species", "block", "tilt_sense", "cpu", "auto"} & set(shown)
            assert "_" not in "".join(shown) + box.toolTip()
            values = choices_of(model, name)
            for value, text in zip(values, shown, strict=True):
                form.set_values({name: value})
                assert (form.values()[name], box.currentText()) == (value, text)
