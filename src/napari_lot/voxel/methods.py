"""The voxel methods by name: what runs each, and which section of the settings is its own."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from pydantic import ValidationError

from napari_lot.errors import InputError
from napari_lot.settings.section import Frozen
from napari_lot.settings.voxel import Art, Resire, Sart, Sirt, VoxelSettings, Wbp
from napari_lot.settings.voxel_fourier import Est, Genfire
from napari_lot.settings.whole import in_words, shortened
from napari_lot.voxel.method import Method


@dataclass(frozen=True)
class Entry:
    """A method: its function as ``module:name``, its section of the settings, and what it is in a few words."""

    place: str
    section: type[Frozen]
    words: str

    def load(self) -> Method:
        """The function; its module is imported now."""
        module, _, name = self.place.partition(":")
        found: Method = getattr(import_module(module), name)
        return found


METHODS: dict[str, Entry] = {
    "wbp": Entry("napari_lot.voxel.realspace.wbp:wbp", Wbp, "weighted back-projection"),
    "art": Entry("napari_lot.voxel.realspace.art:art", Art, "algebraic reconstruction technique"),
    "sart": Entry("napari_lot.voxel.realspace.sart:sart", Sart, "simultaneous algebraic reconstruction technique"),
    "sirt": Entry("napari_lot.voxel.realspace.sirt:sirt", Sirt, "simultaneous iterative reconstruction technique"),
    "est": Entry("napari_lot.voxel.fourier.est:est", Est, "equal-slope tomography"),
    "genfire": Entry(
        "napari_lot.voxel.fourier.genfire:genfire", Genfire, "generalised Fourier iterative reconstruction"
    ),
    "resire": Entry("napari_lot.voxel.realspace.resire:resire", Resire, "real-space iterative reconstruction"),
}


def method_entry(name: str) -> Entry:
    """The method of a name.

    Raises
    ------
    InputError
        There is none.
    """
    if name not in METHODS:
        close = difflib.get_close_matches(name.lower(), METHODS, 1)
        meant = f"; did you mean {close[0]}?" if close else "."
        raise InputError(f"METHOD: there is no voxel method {name!r}: take one of {', '.join(METHODS)}{meant}")
    return METHODS[name]


def sections(method: str) -> dict[str, type[Frozen]]:
    """The sections of the settings of a run by name: ``data``, ``grid`` and the method's own."""
    shared: dict[str, Any] = {name: VoxelSettings.model_fields[name].annotation for name in ("data", "grid")}
    return {**shared, method: method_entry(method).section}


def voxel_settings(
    method: str,
    values: Mapping[str, Mapping[str, Any]] | None = None,
    where: str = "settings",
    origins: Mapping[str, str] | None = None,
) -> VoxelSettings:
    """Validate nested settings of a method; every problem becomes one sentence.

    >>> voxel_settings("sirt", {"sirt": {"iterations": 30}, "grid": {"bin": 2}}).method.iterations
    30
    >>> voxel_settings("sirt", {"sirt": {"relaxation": 3}})
    Traceback (most recent call last):
    napari_lot.errors.InputError: settings: sirt.relaxation: input should be less than 2 (given: 3).

    Parameters
    ----------
    method : str
    values : mapping
        ``{section: {name: value}}`` with the sections ``data``, ``grid`` and the method's name. Sections of the other
        methods are left to them: one file may hold the settings of all.
    where : str
        Where the values come from, for the message.
    origins : mapping, optional
        Where a single ``section.name`` comes from, where that differs.

    Raises
    ------
    InputError
        Unknown method, section or name, wrong type or value out of bounds.
    """
    own, found = sections(method), {}
    for section, names in (values or {}).items():
        if section in METHODS and section != method:
            continue
        if section not in own:
            known = ", ".join(("data", "grid", *METHODS))
            places = [place for name, place in (origins or {}).items() if name.startswith(f"{section}.")]
            raise InputError(f"{(places or [where])[0]}: {section}: there is no such section: take one of {known}.")
        try:
            found[section] = own[section].model_validate(dict(names))
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join([section, *map(str, first["loc"][:1])])
            said = in_words(error)
            if first["type"] == "extra_forbidden":
                close = difflib.get_close_matches(str(first["loc"][0]), own[section].model_fields, 1, 0.5)
                said += f"; did you mean {section}.{close[0]}?" if close else ""
            source = (origins or {}).get(name)
            place = source if source is not None and source.startswith("--") else f"{source or where}: {name}"
            raise InputError(f"{place}: {said} (given: {shortened(first['input'])}).") from None
    chosen: Any = {("method" if section == method else section): given for section, given in found.items()}
    chosen.setdefault("method", own[method]())
    return VoxelSettings(**chosen)
