"""All settings of one run, and how they are read and checked."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from napari_lot.errors import InputError
from napari_lot.files import check_readable
from napari_lot.settings.measurement import Data
from napari_lot.settings.microscope import FWHM_PER_SIGMA, Microscope
from napari_lot.settings.model import Model, Start
from napari_lot.settings.section import Frozen
from napari_lot.settings.solver import Solver
from napari_lot.settings.tracing import Tracing
from napari_lot.settings.twice import given_twice


class Output(Frozen):
    """What is written besides the results."""

    autosave_s: float | None = Field(
        20.0, ge=1, le=86400, description="Seconds after which a running fit is saved again; never when absent."
    )
    embed_images: bool = Field(
        True, description="The session holds the measured images; otherwise their path and their SHA-256."
    )


class Settings(Frozen):
    """All settings of one run."""

    microscope: Microscope = Microscope()
    data: Data = Data()
    model: Model = Model()
    start: Start = Start()
    solver: Solver = Solver()
    tracing: Tracing = Tracing()
    output: Output = Output()


# What pydantic says in words of Python's types.
_IN_WORDS = {
    "extra_forbidden": "there is no such setting",
    "missing": "a value is missing",
    "model_type": "expected names and values below it, such as 'seed: 1'",
    "tuple_type": "must be a list",
    "too_short": "must have at least {min_length} of them",
    "too_long": "must have at most {max_length} of them",
    "int_from_float": "must be a whole number",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "string_type": "must be text",
    "string_unicode": "must be text in UTF-8",
}


def in_words(error: ValidationError) -> str:
    """The first problem of some values, as a sentence begins after its place."""
    first = error.errors()[0]
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] in ("float_parsing", "int_parsing"):
        whole = "whole " if first["type"] == "int_parsing" else ""
        message = f"must be a {whole}number{_with_a_point(first['input'])}"
    if first["type"] in _IN_WORDS:
        message = _IN_WORDS[first["type"]].format(**first.get("ctx", {}))
    given = first["input"]
    said_nan = isinstance(given, str) and given.strip().lower() in ("nan", "+nan", "-nan")
    if said_nan or (isinstance(given, float) and given != given):
        message = "must be a number"
    return f"{message[:1].lower()}{message[1:]}"


def _with_a_point(text: Any) -> str:
    """What was probably meant by a number that is none: ``0,25``."""
    pointed = str(text).strip().replace(",", ".")
    if pointed == str(text).strip():
        return ""
    try:
        float(pointed)
    except ValueError:
        return ""
    return f"; did you mean {pointed}, with a point?"


def settings_from_dict(
    values: dict[str, Any], where: str = "settings", origins: Mapping[str, str] | None = None
) -> Settings:
    """Validate nested settings; every problem becomes one sentence.

    >>> settings = settings_from_dict({"model": {"elements": ["Pt"]}, "microscope": {"energy_eV": 300e3}})
    >>> settings.model.elements, settings.microscope.energy_eV
    (('Pt',), 300000.0)
    >>> settings_from_dict({"solver": {"batch_tilts": 0}})
    Traceback (most recent call last):
    napari_lot.errors.InputError: settings: solver.batch_tilts: input should be greater than or equal to 1 (given: 0).

    Parameters
    ----------
    values : dict
        ``{section: {name: value}}``; what is absent keeps its default.
    where : str
        Where the values come from, for the message.
    origins : mapping, optional
        Where a single ``section.name`` comes from, where that differs (a flag of the command line).

    Raises
    ------
    InputError
        Unknown name, wrong type or value out of bounds, naming the setting as section.name.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"{where}: expected sections such as 'microscope:', found {type(values).__name__}.")
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"][:2])
        given = first["input"] if first["type"] != "value_error" else _value_at(values, first["loc"][:2])
        if isinstance(given, tuple | list) and all(isinstance(part, str) for part in given):
            given = ",".join(given)
        said = in_words(error)
        if first["type"] == "extra_forbidden" and (nearest := _nearest(first["loc"][:2])):
            said += f"; did you mean {nearest}?"
        # An unknown section has no origin of its own, but what was put into it has.
        source = next((o for s, o in (origins or {}).items() if s == name or s.startswith(f"{name}.")), None)
        place = source if source is not None and source.startswith("--") else f"{source or where}: {name}".rstrip(": ")
        raise InputError(f"{place}: {said} (given: {shortened(given)}).") from None


_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 2, 80, 80


def shortened(value: Any) -> str:
    """Of a value that was given, as much as helps: a file may hold gigabytes by a few lines of YAML."""
    return _SHORT.repr(value)


def _nearest(path: tuple[int | str, ...]) -> str | None:
    """The setting, or the section, that an unknown one was probably meant to be."""
    if len(path) == 1:
        close = difflib.get_close_matches(str(path[0]), Settings.model_fields, 1)
        return close[0] if close else None
    section, name = map(str, path)
    names = {s: getattr(Settings.model_fields[s].annotation, "model_fields", {}) for s in Settings.model_fields}
    own = difflib.get_close_matches(name, names[section], 1, 0.7)
    if own:
        return f"{section}.{own[0]}"
    return next((f"{other}.{name}" for other in names if name in names[other]), None)


def _value_at(values: dict[str, Any], path: tuple[int | str, ...]) -> Any:
    value: Any = values
    for part in path:
        value = value[part]
    return value


def facts_as_settings(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a file or a case says of microscope and specimen, as ``{section.name: value}``.

    Understood are the microscope's fields under their names, ``element`` or ``elements``, and ``source_sigma_A`` (the
    standard deviation of a Gaussian source, for ``source_size_A``).
    """
    found = {f"microscope.{n}": facts[n] for n in Microscope.model_fields if facts.get(n) is not None}
    if facts.get("source_sigma_A") is not None:
        found.setdefault("microscope.source_size_A", FWHM_PER_SIGMA * float(facts["source_sigma_A"]))
    elements = facts.get("elements") or facts.get("element")
    if elements:
        found["model.elements"] = (elements,) if isinstance(elements, str) else tuple(elements)
    return found


def load_settings(path: str | Path) -> dict[str, Any]:
    """Nested settings from a YAML file, not yet validated (flags are merged over them first).

    Raises
    ------
    InputError
        The file cannot be read, is no YAML, asks for Python objects (which are never made), has no sections, or gives a
        name twice.
    """
    path = Path(path)
    check_readable(path, "settings file", may_be_empty=True)
    try:
        text = path.read_text(encoding="utf-8-sig")
        values = yaml.safe_load(text)
        twice = given_twice(yaml.compose(text, Loader=yaml.SafeLoader))
    # besides its own errors: a date that does not exist, 5000 digits, 1000 brackets
    except (yaml.YAMLError, ValueError, LookupError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        why = "" if mark is None else f" (line {mark.line + 1}: {getattr(error, 'problem', '')})"
        raise InputError(f"{path}: not a YAML settings file{why}; expected sections such as 'microscope:'.") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected sections such as 'microscope:', found {type(values).__name__}.")
    if twice is not None:
        raise InputError(f"{path}: {twice}: delete one of them.")
    return values
