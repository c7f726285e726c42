"""Forms made from the settings' pydantic fields: one definition of name, unit, bounds, default and help."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from magicgui.widgets import create_widget
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QFormLayout, QLabel, QWidget

from napari_lot.gui.forms.number_box import MOST_DECIMALS, NumberBox
from napari_lot.gui.forms.refusal_line import RefusalLine
from napari_lot.gui.forms.words import CHOICES, FACTORS, TIPS, choice_text, label_of, row_label, unit_of

NOT_SET = "not set"

# (decimals, step) by unit: as many digits are shown of a value that nobody has typed.
_PRECISION = {"keV": (5, 10.0), "mrad": (3, 0.5), "Å": (5, 1.0), "°": (3, 1.0), "px": (3, 0.5), "min": (1, 1.0)}


def bounds_of(field: FieldInfo) -> tuple[float | None, float | None]:
    """Smallest and largest value of a numeric field, None where open."""
    low: float | None = None
    high: float | None = None
    for item in field.metadata:
        if isinstance(item, Ge):
            low = typing.cast(float, item.ge)
        elif isinstance(item, Gt):
            low = typing.cast(float, item.gt)
        elif isinstance(item, Le):
            high = typing.cast(float, item.le)
        elif isinstance(item, Lt):
            high = typing.cast(float, item.lt)
    return low, high


def tip_of(name: str, field: FieldInfo) -> str:
    """What a field's tooltip says: its help, with the choices as the window words them."""
    tip = TIPS.get(name, field.description or "")
    for value in CHOICES.get(name, {}):
        if "_" in value:
            tip = tip.replace(value, choice_text(name, value))
    return tip.replace(" in eV", " in keV")


def _split_optional(annotation: Any) -> tuple[Any, bool]:
    """``(float, True)`` for ``float | None``."""
    if get_origin(annotation) in (typing.Union, types.UnionType):
        parts = [part for part in get_args(annotation) if part is not type(None)]
        if len(parts) == 1:
            return parts[0], True
    return annotation, False


class Field:
    """One setting as a labelled widget.

    A number that may be unset shows ``unset_text`` and its unit at the bottom of its range; a yes or no that may be
    unset is a choice of three. A setting is optional where its default is None, or where ``optional`` says so.
    """

    def __init__(self, name: str, info: FieldInfo, unset_text: str = NOT_SET, optional: bool = False) -> None:
        self.name = name
        self._kind, by_itself = _split_optional(info.annotation)
        self.optional = optional or by_itself
        self.unit = unit_of(name)
        self._factor = FACTORS.get(self.unit, 1.0)
        self._exact: Any = None
        self._shown: Any = None
        self._choices: dict[str, bool | None] = {}
        default = None if optional else info.get_default(call_default_factory=True)
        tip = tip_of(name, info)
        self._number = self._kind in (int, float)
        self.native: QWidget
        if self._number:
            self.native = self._number_box(info, unset_text)
            self._changed = self.native.valueChanged
        else:
            if self._kind is bool and self.optional:
                self._choices = {unset_text: None, "yes": True, "no": False}
                widget = create_widget(value=unset_text, name=name, options={"choices": list(self._choices)})
            elif get_origin(self._kind) is Literal:
                offered = [(choice_text(name, value), value) for value in get_args(self._kind)]
                widget = create_widget(
                    value=default, name=name, widget_type="ComboBox", options={"choices": offered, "tooltip": tip}
                )
            else:
                widget = create_widget(value=default, annotation=self._kind, name=name, options={"tooltip": tip})
            self._widget, self.native, self._changed = widget, widget.native, widget.changed
        self.native.setObjectName(name)
        self.native.setToolTip(tip)
        self.native.setAccessibleName(label_of(name))
        if isinstance(self.native, QCheckBox):
            self.native.setText("")  # the row has the label already
        if self._number:
            self.value = default

    def _number_box(self, info: FieldInfo, unset_text: str) -> NumberBox:
        low, high = bounds_of(info)
        # The bottom of an optional number means "not set", so it has to lie outside the valid range.
        self._unset = min(0, low or 0) if not (low is not None and low < 0) else low - 1
        if self._kind is int and self.optional:
            self._unset = (low or 0) - 1
        self._decimals, step = _PRECISION.get(self.unit, (4, 0.01)) if self._kind is float else (0, 1.0)
        box = NumberBox(unset_text if self.optional else "", self.unit, whole=self._kind is int)
        bottom, f = self._unset if self.optional else low, self._factor
        box.setRange(-1_000_000_000 if bottom is None else bottom / f, 1_000_000_000 if high is None else high / f)
        above, below = (any(isinstance(item, kind) for item in info.metadata) for kind in (Gt, Lt))
        box.set_bounds(None if low is None else low / f, above, below)
        box.setSingleStep(step)
        if self.unit:
            box.setSuffix(f" {self.unit}" if self.unit != "°" else "°")
        self._box = box
        return box

    @property
    def box(self) -> NumberBox | None:
        """The box of a number, None for anything else."""
        return self._box if self._number else None

    def on_change(self, call: Callable[..., Any]) -> None:
        """Call when the value changes."""
        self._changed.connect(call)

    @property
    def value(self) -> Any:
        """The setting's value; None where an optional one is not set."""
        if not self._number:
            value = self._widget.value
            return self._choices[value] if self._choices else value
        number = self._box.value()
        if self.optional and number <= self._unset / self._factor:
            return None
        if self._kind is int:
            return round(number)
        # The box shows a few digits; what was put in keeps all of them until somebody types.
        if self._exact is not None and number == self._shown:
            return self._exact
        return number if self._factor == 1 else round(number * self._factor, MOST_DECIMALS)  # 299.9 keV are 299900 eV

    @value.setter
    def value(self, value: Any) -> None:
        if self._number:
            number = self._unset if value is None else value
            self._box.setValue(round(number / self._factor, self._decimals))
            self._exact, self._shown = value, self._box.value()
        elif self._choices:
            self._widget.value = next(text for text, meant in self._choices.items() if meant is value)
        else:
            self._widget.value = value


class SettingsForm(QWidget):
    """A two-column form of some fields of a settings model; below, why a number that was typed is not taken.

    ``changed`` tells that a value is another one, ``refused`` that what is not taken has changed.

    Parameters
    ----------
    model : type of pydantic.BaseModel
        The settings section.
    names : sequence of str
        Fields to show, in order.
    unset : dict, optional
        What a field shows while it is not set ('from the file', 'all cores', ...); a setting with a default of its
        own can be left unset where it is named here.
    """

    changed = Signal()
    refused = Signal()

    def __init__(
        self,
        model: type[BaseModel],
        names: typing.Sequence[str],
        unset: dict[str, str] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        layout = QFormLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setVerticalSpacing(4)
        layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._model = model
        self.fields: dict[str, Field] = {}
        self._refusals = RefusalLine()
        for name in names:
            info = model.model_fields[name]
            field = Field(name, info, (unset or {}).get(name, NOT_SET), optional=name in (unset or {}))
            label = QLabel(row_label(name))
            label.setToolTip(tip_of(name, info))
            label.setBuddy(field.native)
            layout.addRow(label, field.native)
            field.on_change(self._emit)
            self.fields[name] = field
            if field.box is not None:
                self._refusals.watch(name, label_of(name).strip(), field.box)
        layout.addRow(self._refusals)
        self._refusals.changed.connect(self.refused)

    @property
    def refusals(self) -> dict[str, str]:
        """By name, why what was typed into a field is not taken; the field's value is the one before."""
        return self._refusals.said

    def _emit(self, *_: Any) -> None:
        self.changed.emit()

    def values(self) -> dict[str, Any]:
        """Field values by name; unset optional ones are left out."""
        return {name: field.value for name, field in self.fields.items() if field.value is not None}

    def clear(self) -> None:
        """Every field back to unset, or to its default where it cannot be unset."""
        for name, field in self.fields.items():
            field.value = None if field.optional else self._model.model_fields[name].default

    def set_values(self, values: dict[str, Any]) -> None:
        """Fill the form; names that it does not show are ignored."""
        for name, value in values.items():
            if name in self.fields:
                self.fields[name].value = value


def choices_of(model: type[BaseModel], name: str) -> tuple[str, ...]:
    """The allowed words of a Literal field, or of a tuple of Literals; optional or not."""
    annotation, _ = _split_optional(model.model_fields[name].annotation)
    if get_origin(annotation) is tuple:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is not Literal:
        raise TypeError(f"{name} is not a choice")
    return get_args(annotation)
