"""Forms made from the settings' pydantic fields: one definition of name, unit, bounds, default and help."""

from __future__ import annotations

import types
import typing
from typing import Any, Literal, get_args, get_origin

import annotated_types
from magicgui.widgets import create_widget
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractSpinBox, QCheckBox, QFormLayout, QLabel, QSizePolicy, QWidget

UNITS = {"eV": "eV", "mrad": "mrad", "A": "Å", "deg": "°", "px": "px", "minutes": "min"}
NOT_SET = "not set"

# What a person calls a setting, where the field's own name says it badly.
LABELS = {
    "energy_eV": "Energy",
    "semiangle_mrad": "Semi-angle",
    "defocus_A": "Defocus",
    "c12_A": "Astigmatism C12",
    "phi12_deg": "  azimuth φ12",
    "c21_A": "Coma C21",
    "phi21_deg": "  azimuth φ21",
    "c23_A": "3-fold astig. C23",
    "phi23_deg": "  azimuth φ23",
    "c30_A": "Spherical C30 (Cs)",
    "c50_A": "5th order C50",
    "source_size_A": "Source size (FWHM)",
    "focal_spread_A": "Focal spread (σ)",
    "pixel_size_A": "Pixel size",
    "tilt_axis_deg": "Tilt axis",
    "thickness_A": "Film thickness",
    "spacing_A": "Neighbour distance",
    "probe": "Model",
}

# (decimals, step) by unit: fine enough to type any sensible value, coarse enough to read.
_PRECISION = {"eV": (0, 10_000.0), "mrad": (2, 0.5), "Å": (3, 1.0), "°": (2, 1.0), "px": (2, 0.5), "min": (1, 1.0)}


def unit_of(name: str) -> str:
    """Unit that a field's name ends in, '' for a plain number."""
    return UNITS.get(name.rsplit("_", 1)[-1], "") if "_" in name else ""


def label_of(name: str) -> str:
    """Label of a field: its name without the unit, in words."""
    if name in LABELS:
        return LABELS[name]
    stem = name.rsplit("_", 1)[0] if unit_of(name) else name
    return stem.replace("_", " ").capitalize()


def bounds_of(field: FieldInfo) -> tuple[float | None, float | None]:
    """Smallest and largest value of a numeric field, None where open."""
    low: float | None = None
    high: float | None = None
    for item in field.metadata:
        if isinstance(item, annotated_types.Ge):
            low = typing.cast(float, item.ge)
        elif isinstance(item, annotated_types.Gt):
            low = typing.cast(float, item.gt)
        elif isinstance(item, annotated_types.Le):
            high = typing.cast(float, item.le)
        elif isinstance(item, annotated_types.Lt):
            high = typing.cast(float, item.lt)
    return low, high


def _split_optional(annotation: Any) -> tuple[Any, bool]:
    """``(float, True)`` for ``float | None``."""
    if get_origin(annotation) in (typing.Union, types.UnionType):
        parts = [part for part in get_args(annotation) if part is not type(None)]
        if len(parts) == 1:
            return parts[0], True
    return annotation, False


class Field:
    """One setting as a labelled widget; an optional number shows 'not set' at the bottom of its range."""

    def __init__(self, name: str, info: FieldInfo, unset_text: str = NOT_SET) -> None:
        self.name = name
        kind, self.optional = _split_optional(info.annotation)
        self.unit = unit_of(name)
        low, high = bounds_of(info)
        default = info.get_default(call_default_factory=True)
        options: dict[str, Any] = {"tooltip": info.description or ""}
        self._number = kind in (int, float)
        self._exact: Any = None
        self._shown: Any = None
        if self._number:
            # The bottom of an optional number means "not set", so it has to lie outside the valid range.
            self._unset = min(0, low or 0) if not (low is not None and low < 0) else low - 1
            if kind is int and self.optional:
                self._unset = (low or 0) - 1
            options["min"] = self._unset if self.optional else (low if low is not None else -1_000_000_000)
            options["max"] = high if high is not None else 1_000_000_000
            if kind is float:
                options["step"] = _PRECISION.get(self.unit, (4, 0.01))[1]
            value = self._unset if default is None else default
        else:
            value = default
        # magicgui's box for whole numbers cannot say "not set"; the one for decimals can, with none of them.
        self._whole = kind is int and self.optional
        if self._whole:
            options["step"] = 1
        shown_as = float if self._whole else kind
        self.widget = create_widget(value=value, annotation=shown_as, name=name, options=options)
        native: QWidget = self.widget.native
        self.native = native
        native.setObjectName(name)
        native.setToolTip(info.description or "")
        native.setAccessibleName(label_of(name))
        if isinstance(native, QCheckBox):
            native.setText("")  # the row has the label already
        if self._number and isinstance(native, QAbstractSpinBox):
            if kind is float:
                native.setDecimals(_PRECISION.get(self.unit, (4, 0.01))[0])
            elif self._whole:
                native.setDecimals(0)
            if self.unit:
                native.setSuffix(f" {self.unit}" if self.unit != "°" else "°")
            if self.optional:
                native.setSpecialValueText(unset_text)
            native.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
            native.setAlignment(Qt.AlignmentFlag.AlignRight)
            native.setMinimumWidth(90)
            native.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            # Scrolling the panel must never change a number under the pointer.
            native.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            native.wheelEvent = lambda event: event.ignore()

    @property
    def value(self) -> Any:
        """The setting's value; None where an optional one is not set."""
        value = self.widget.value
        if self._number and self.optional and value <= self._unset:
            return None
        if self._whole:
            return int(value)
        # The box shows three digits; what was put in keeps all of them until somebody types.
        return self._exact if self._exact is not None and value == self._shown else value

    @value.setter
    def value(self, value: Any) -> None:
        self.widget.value = self._unset if (value is None and self._number) else value
        self._exact, self._shown = value, self.widget.value


class SettingsForm(QWidget):
    """A two-column form of some fields of a settings model.

    Parameters
    ----------
    model : type of pydantic.BaseModel
        The settings section.
    names : sequence of str
        Fields to show, in order.
    unset : dict, optional
        What an optional number shows while it is not set, by field ('from the file', 'all cores', ...).
    """

    changed = Signal()

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
        self.fields: dict[str, Field] = {}
        for name in names:
            info = model.model_fields[name]
            field = Field(name, info, (unset or {}).get(name, NOT_SET))
            label = QLabel(label_of(name))
            label.setToolTip(info.description or "")
            label.setBuddy(field.native)
            layout.addRow(label, field.native)
            field.widget.changed.connect(self._emit)
            self.fields[name] = field

    def _emit(self, *_: Any) -> None:
        self.changed.emit()

    def values(self) -> dict[str, Any]:
        """Field values by name; unset optional ones are left out."""
        return {name: field.value for name, field in self.fields.items() if field.value is not None}

    def set_values(self, values: dict[str, Any]) -> None:
        """Fill the form; names that it does not show are ignored."""
        for name, value in values.items():
            if name in self.fields:
                self.fields[name].value = value


def choices_of(model: type[BaseModel], name: str) -> tuple[str, ...]:
    """The allowed words of a Literal field, or of a tuple of Literals."""
    annotation = model.model_fields[name].annotation
    if get_origin(annotation) is tuple:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is not Literal:
        raise TypeError(f"{name} is not a choice")
    return get_args(annotation)
