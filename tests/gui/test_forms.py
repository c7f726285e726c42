"""Forms show what the settings say: unit, bounds, default, help; and give back what was typed."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtWidgets import QLabel

from napari_lot.settings import Data, Microscope, Model, Solver


def make(model: Any, names: list[str], qtbot: Any, **options: Any) -> Any:
    from napari_lot.gui.forms.settings_form import SettingsForm

    form = SettingsForm(model, names, **options)
    qtbot.addWidget(form)
    form.show()
    qtbot.waitExposed(form)
    form.activateWindow()
    qtbot.waitUntil(form.isActiveWindow)
    return form


def test_every_microscope_field_has_unit_bounds_and_help(qtbot: Any) -> None:
    form = make(Microscope, list(Microscope.model_fields), qtbot)
    for name, field in form.fields.items():
        box = field.native
        assert box.toolTip() == Microscope.model_fields[name].description.replace(" eV", " keV")
        assert box.suffix().strip() in ("keV", "mrad", "Å", "°"), name
    assert form.fields["semiangle_mrad"].native.maximum() == 200
    assert form.fields["source_size_A"].native.minimum() == 0
    assert form.fields["c30_A"].native.minimum() == -1e9


def test_defaults_are_the_settings_defaults(qtbot: Any) -> None:
    form = make(Microscope, list(Microscope.model_fields), qtbot)
    assert Microscope(**form.values()) == Microscope()
    assert "energy_eV" not in form.values()
    assert form.fields["energy_eV"].native.text() == "not set (keV)"


def test_typed_numbers_arrive_and_can_be_unset_again(qtbot: Any, hand: Any) -> None:
    form = make(Microscope, ["energy_eV", "defocus_A"], qtbot)
    changes = []
    form.changed.connect(lambda: changes.append(form.values()))
    hand.type(form.fields["energy_eV"].native, "200")
    hand.type(form.fields["defocus_A"].native, "-12.5")
    assert form.values() == {"energy_eV": 200000.0, "defocus_A": -12.5}
    assert changes
    hand.type(form.fields["energy_eV"].native, "")
    assert "energy_eV" not in form.values()


@pytest.mark.parametrize(
    ("model", "name", "text", "value", "shown"),
    [
        (Data, "pixel_size_A", "0,25", 0.25, "0.25 Å"),
        (Data, "pixel_size_A", "25 pm", 0.25, "0.25 Å"),
        (Microscope, "energy_eV", "300", 300_000.0, "300 keV"),
        (Microscope, "energy_eV", "300000 eV", 300_000.0, "300 keV"),
        (Microscope, "energy_eV", "299,9 kV", 299_900.0, "299.9 keV"),
        (Microscope, "defocus_A", "1,5", 1.5, "1.5 Å"),
        (Microscope, "defocus_A", "-1e5", -1e5, "-100000 Å"),
        (Microscope, "defocus_A", "-12,5 nm", -125.0, "-125 Å"),
        (Microscope, "c30_A", "1.2e7", 1.2e7, "12000000 Å"),
        (Microscope, "c30_A", "-0,0000123", -0.0000123, "-0.0000123 Å"),
        (Microscope, "phi12_deg", "-12.25°", -12.25, "-12.25°"),
        (Solver, "seed", "12", 12, "12"),
    ],
)
@pytest.mark.parametrize("country", ["C", "de_DE"])
def test_a_number_is_taken_as_it_is_typed(
    qtbot: Any, hand: Any, model: Any, name: str, text: str, value: float, shown: str, country: str
) -> None:
    from qtpy.QtCore import QLocale

    before = QLocale()
    QLocale.setDefault(QLocale(country))
    try:
        form = make(model, [name], qtbot)
        box = form.fields[name].native
        hand.type(box, text)
        assert form.values()[name] == value
        assert box.text() == shown
        assert not form.refusals
    finally:
        QLocale.setDefault(before)


def test_a_number_is_pasted_with_its_unit(qtbot: Any, hand: Any) -> None:
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication

    form = make(Data, ["pixel_size_A"], qtbot)
    box = form.fields["pixel_size_A"].native
    hand.click(box)
    QApplication.clipboard().setText("12.5 Å")
    QTest.keyClick(box, Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)
    QTest.keyClick(box, Qt.Key.Key_Return)
    assert form.values() == {"pixel_size_A": 12.5}, "it took the place of 'not set'"


@pytest.mark.parametrize(
    ("model", "name", "text", "why"),
    [
        (Data, "pixel_size_A", "0.25 mrad", "'0.25 mrad' is no number; give one in Å"),
        (Data, "pixel_size_A", "0", "0 Å must be above 0.001 Å, or empty for 'from the file'"),
        (Data, "pixel_size_A", "-1", "-1 Å must be above 0.001 Å, or empty for 'from the file'"),
        (Data, "pixel_size_A", "0.0005", "0.0005 Å must be above 0.001 Å"),
        (Data, "pixel_size_A", "2 µm", "2 µm must be at most 100 Å"),
        (Microscope, "defocus_A", "1,234.5", "'1,234.5' is no number"),
        (Microscope, "c12_A", "-5", "-5 Å must be at least 0 Å."),
        (Microscope, "energy_eV", "300000", "300000 keV is too high for a microscope; did you mean 300000 eV?"),
        (Microscope, "energy_eV", "1", "1 keV must be above 1 keV, or empty for 'not set'."),
        (Microscope, "energy_eV", "5e6 eV", "5e6 eV must be at most 3000 keV."),
        (Solver, "seed", "2.5", "2.5 is not a whole number."),
    ],
)
def test_what_is_refused_stays_and_is_explained(
    qtbot: Any, hand: Any, model: Any, name: str, text: str, why: str
) -> None:
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QToolTip

    form = make(model, [name], qtbot, unset={"pixel_size_A": "from the file"})
    box = form.fields[name].native
    changes: list[Any] = []
    hand.type(box, text, enter=False)
    form.changed.connect(lambda: changes.append(form.values()))
    assert not form.refusals, "half a number is no mistake yet"
    QTest.keyClick(box, Qt.Key.Key_Return)
    assert box.text().startswith(text), "nothing of it is gone"
    assert why in form.refusals[name]
    assert why in box.toolTip()
    said = form.findChild(QLabel, "refusals")
    assert said.isVisible()
    assert why in said.text()
    assert not changes
    box.clearFocus()
    qtbot.wait(20)
    assert box.text().startswith(text)
    form.fields[name].value = 3 if model is Solver else 5000.0 if name == "energy_eV" else 5.0
    assert not said.isVisible()
    assert why not in QToolTip.text(), "it does not hang over the field until the mouse moves"
    assert box.toolTip() == model.model_fields[name].description.replace(" eV", " keV")


def test_the_value_before_stays_until_there_is_another(qtbot: Any, hand: Any) -> None:
    form = make(Microscope, ["c12_A", "defocus_A"], qtbot)
    c12 = form.fields["c12_A"].native
    hand.type(c12, "25")
    hand.type(c12, "25 furlongs", enter=False)
    hand.click(form.fields["defocus_A"].native)
    assert "25 furlongs" in c12.text()
    assert form.values()["c12_A"] == 25.0
    assert "c12_A" in form.refusals
    hand.type(c12, "30 pm")
    assert form.values()["c12_A"] == 0.3
    assert not form.refusals


def test_half_a_number_is_no_value(qtbot: Any, hand: Any) -> None:
    form = make(Microscope, ["defocus_A", "c12_A"], qtbot)
    box, values = form.fields["defocus_A"].native, []
    form.fields["defocus_A"].on_change(values.append)
    hand.type(box, "1e5")
    hand.type(box, "1e9")
    hand.type(box, "-40", enter=False)
    hand.click(form.fields["c12_A"].native)
    assert values == [1e5, -40.0]


def test_a_pause_takes_what_is_typed_and_leaves_its_text(qtbot: Any, hand: Any) -> None:
    from qtpy.QtTest import QTest

    form = make(Data, ["pixel_size_A"], qtbot)
    field, values = form.fields["pixel_size_A"], []
    hand.type(field.native, "0.3")
    field.on_change(lambda _: values.append(field.value))
    hand.type(field.native, "40", enter=False)
    assert not values
    hand.until(lambda: values == [40.0])
    assert (field.native.text(), field.native.lineEdit().cursorPosition()) == ("40 Å", 2)
    QTest.keyClicks(field.native, "0")
    hand.until(lambda: values == [40.0, 0.3])  # the value from before: 400 Å is out of bounds
    assert field.native.text() == "400 Å"
    assert "400 Å must be at most 100 Å" in form.refusals["pixel_size_A"]
    hand.type(field.native, "abc", enter=False)
    hand.until(lambda: "'abc' is no number" in form.refusals.get("pixel_size_A", ""))
    assert field.value == 0.3


def test_what_is_refused_after_a_pause_puts_back_the_value_before(qtbot: Any, hand: Any) -> None:
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    form = make(Data, ["pixel_size_A"], qtbot)
    field = form.fields["pixel_size_A"]
    for leave in (lambda: QTest.keyClick(field.native, Qt.Key.Key_Return), field.native.clearFocus):
        hand.type(field.native, "0.3")
        hand.type(field.native, "40", enter=False)
        hand.until(lambda: field.value == 40.0)
        QTest.keyClicks(field.native, "0")
        leave()
        assert field.value == 0.3
        assert field.native.lineEdit().text().startswith("400")
        assert form.refusals


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
    assert (axis.text(), counts.currentText()) == ("ask it (°)", "ask it")
    hand.type(axis, "0")
    hand.choose(counts, "no")
    assert form.values() == {"tilt_axis_deg": 0.0, "counts": False}
    hand.type(axis, "-4.25")
    hand.choose(counts, "yes")
    assert form.values() == {"tilt_axis_deg": -4.25, "counts": True}
    hand.type(axis, "")
    hand.choose(counts, "ask it")
    assert form.values() == {}, "emptied, it is the file's again"
    assert axis.text() == "ask it (°)"


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
