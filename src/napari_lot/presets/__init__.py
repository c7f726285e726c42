"""Named sets of settings: YAML files in the user's configuration folder, and those that ship.

A kind is a folder of each: ``microscope`` holds what the lens is, ``run`` how to reconstruct (sections ``model``,
``start``, ``solver`` and ``data.withhold``), neither what was measured. A preset has the form of a ``--config`` file of
the command line. Its first lines, where they are comments, say what it is for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from platformdirs import user_config_path

from napari_lot.errors import InputError
from napari_lot.files import write_whole
from napari_lot.settings import load_settings, settings_from_dict
from napari_lot.settings.whole import shortened

KINDS = ("microscope", "run")
_STEPS = {"data": "step 1, Data", "microscope": "step 2, Probe"}
_RUN = "step 3, Reconstruct"
_NAME = re.compile(r"[^\W_][\w ,.-]{0,39}")


@dataclass(frozen=True)
class Preset:
    """A named set of settings in a file; ``shipped`` ones cannot be changed or deleted."""

    name: str
    path: Path
    kind: str
    shipped: bool = False

    @property
    def about(self) -> str:
        """The comment at the top of its file, '' for none."""
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return ""
        found = []
        for line in lines:
            if not line.startswith("#"):
                break
            found.append(line.lstrip("# ").rstrip())
        return " ".join(found)


def presets_folder(kind: str) -> Path:
    """Where the user's own presets of a kind are, made when the first is saved.

    ``presets`` in the configuration folder and the kind in that; the configuration folder is

    ``~/.config/napari-lot`` on Linux, ``~/Library/Application Support/napari-lot`` on macOS,
    ``%LOCALAPPDATA%/napari-lot`` on Windows.
    """
    return user_config_path("napari-lot", appauthor=False) / "presets" / kind


def presets(kind: str) -> list[Preset]:
    """Those of a kind that ship, then the user's own by name."""
    folder = presets_folder(kind)
    own = folder.glob("[!.]*.yaml") if folder.is_dir() else ()  # not what is being written
    found = [Preset(name, path, kind, shipped=True) for name, path in _shipped(kind).items()]
    return found + [Preset(path.stem, path, kind) for path in sorted(own, key=lambda path: path.stem.lower())]


def _shipped(kind: str) -> dict[str, Path]:
    return {path.stem: path for path in sorted((Path(__file__).parent / kind).glob("*.yaml"))}


def _step_of(section: str, name: str) -> str:
    """The step of the window that a setting belongs to."""
    return _RUN if (section, name) == ("data", "withhold") else _STEPS.get(section, _RUN)


def load_preset(preset: Preset) -> dict[str, dict[str, Any]]:
    """Validated settings of a preset, ``{section: {name: value}}``; only what it says.

    Raises
    ------
    InputError
        No YAML, an unknown setting, a wrong value, or one that belongs to another step.
    """
    values = load_settings(preset.path)
    for section, content in values.items():
        if content is not None and not isinstance(content, dict):
            raise InputError(
                f"{preset.path}: {section}: expected names and values below it, found {shortened(content)}."
            )
    values = {section: content for section, content in values.items() if content}
    own = _STEPS["microscope"] if preset.kind == "microscope" else _RUN
    for section, content in values.items():
        for name in content:
            if (step := _step_of(section, name)) != own:
                raise InputError(
                    f"{preset.path}: {section}.{name} is no part of a preset of this kind: take the line out, and give "
                    f"it in {step}."
                )
    settings = settings_from_dict(values, str(preset.path))
    return {
        section: {name: getattr(getattr(settings, section), name) for name in values[section]} for section in values
    }


def save_preset(
    kind: str, name: str, values: dict[str, dict[str, Any]], about: str = "", overwrite: bool = False
) -> Preset:
    """Write settings under a name into the user's folder; whole or not at all.

    Raises
    ------
    InputError
        No usable name, one that ships or (without ``overwrite``) exists, or a folder that cannot be written.
    """
    name = name.strip()
    if not _NAME.fullmatch(name):
        raise InputError(
            f"Preset {name!r}: give a name of at most 40 letters, digits, spaces, ',', '.', '-' or '_', beginning with "
            "a letter or digit."
        )
    if name.lower() in {shipped.lower() for shipped in _shipped(kind)}:
        raise InputError(f"Preset {name!r}: this one ships with the program; choose another name.")
    path = presets_folder(kind) / f"{name}.yaml"
    if path.exists() and not overwrite:
        raise InputError(f"Preset {name!r}: exists already; choose another name, or delete it first.")
    text = "".join(f"# {line}\n" for line in about.splitlines()) + yaml.safe_dump(_plain(values), sort_keys=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot write the preset there: {error.strerror or error}.") from None
    return Preset(name, path, kind)


def delete_preset(preset: Preset) -> None:
    """Delete one of the user's own.

    Raises
    ------
    InputError
        It ships with the program, or its file cannot be deleted.
    """
    if preset.shipped:
        raise InputError(f"Preset {preset.name!r}: ships with the program and cannot be deleted.")
    try:
        preset.path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{preset.path}: cannot delete the preset: {error.strerror or error}.") from None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
