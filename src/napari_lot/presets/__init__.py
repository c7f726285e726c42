"""Named sets of settings of the fit: YAML files in the user's configuration folder, and those that ship.

A preset holds what says how to reconstruct, not what was measured: sections ``model``, ``start``, ``solver`` and
``data.withhold``. It has the form of a ``--config`` file of the command line. Its first lines, where they are comments,
say what it is for.
"""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from platformdirs import user_config_path

from napari_lot.errors import InputError
from napari_lot.settings import load_settings, settings_from_dict

SHIPPED = ("quick look", "careful", "measured film")
OTHER_STEPS = {"microscope": "step 2, Probe", "data": "step 1, Data"}
_NAME = re.compile(r"[^\W_][\w .-]{0,39}")


@dataclass(frozen=True)
class Preset:
    """A named set of settings in a file; ``shipped`` ones cannot be changed or deleted."""

    name: str
    path: Path
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


def presets_folder() -> Path:
    """Where the user's own presets are, made when the first is saved: ``presets`` in the configuration folder.

    ``~/.config/napari-lot`` on Linux, ``~/Library/Application Support/napari-lot`` on macOS,
    ``%LOCALAPPDATA%/napari-lot`` on Windows.
    """
    return user_config_path("napari-lot", appauthor=False) / "presets"


def presets() -> list[Preset]:
    """Those that ship, then the user's own by name."""
    here = Path(__file__).parent
    found = [Preset(name, here / f"{name.replace(' ', '_')}.yaml", shipped=True) for name in SHIPPED]
    folder = presets_folder()
    own = folder.glob("*.yaml") if folder.is_dir() else ()
    return found + [Preset(path.stem, path) for path in sorted(own, key=lambda path: path.stem.lower())]


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
            raise InputError(f"{preset.path}: {section}: expected names and values below it, found {content!r}.")
    values = {section: content for section, content in values.items() if content}
    for section, content in values.items():
        if section in OTHER_STEPS and (names := [name for name in content if (section, name) != ("data", "withhold")]):
            raise InputError(
                f"{preset.path}: {section}.{names[0]} says something of the measurement, and a preset does not: "
                f"take the line out, and give it in {OTHER_STEPS[section]}."
            )
    settings = settings_from_dict(values, str(preset.path))
    return {
        section: {name: getattr(getattr(settings, section), name) for name in values[section]} for section in values
    }


def save_preset(name: str, values: dict[str, dict[str, Any]], about: str = "", overwrite: bool = False) -> Preset:
    """Write settings under a name into the user's folder; whole or not at all.

    Raises
    ------
    InputError
        No usable name, one that ships or (without ``overwrite``) exists, or a folder that cannot be written.
    """
    name = name.strip()
    if not _NAME.fullmatch(name):
        raise InputError(
            f"Preset {name!r}: give a name of at most 40 letters, digits, spaces, '.', '-' or '_', beginning with a "
            "letter or digit."
        )
    if name.lower() in SHIPPED:
        raise InputError(f"Preset {name!r}: this one ships with the program; choose another name.")
    path = presets_folder() / f"{name}.yaml"
    if path.exists() and not overwrite:
        raise InputError(f"Preset {name!r}: exists already; choose another name, or delete it first.")
    text = "".join(f"# {line}\n" for line in about.splitlines()) + yaml.safe_dump(_plain(values), sort_keys=False)
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{name}-", suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise InputError(f"{path}: cannot write the preset there: {error.strerror or error}.") from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
    return Preset(name, path)


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
