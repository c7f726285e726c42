"""Named sets of settings as YAML files: those that ship with the package, and a person's own.

A preset is a settings file like any other (``--config FILE`` takes it), of one section or more; what stands in the
comment at its head is its description. A kind is a folder: ``microscope`` or ``run``. A person's own lie in the
configuration folder of the operating system (``own_folder``) and hide a shipped one of the same name.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs
import yaml

from napari_lot.errors import InputError
from napari_lot.settings import Settings, load_settings, settings_from_dict

KINDS = ("microscope", "run")
_SHIPPED = Path(__file__).parent
_NAME = re.compile(r"[^\W_][\w ,.()+-]{0,59}")


@dataclass(frozen=True)
class Preset:
    """A named file of settings."""

    name: str
    path: Path
    shipped: bool

    @property
    def description(self) -> str:
        """What the comment at the head of the file says, in one line."""
        lines = []
        for line in _text(self.path).splitlines():
            if not line.startswith("#"):
                break
            lines.append(line.lstrip("# ").rstrip())
        return " ".join(lines)

    def values(self) -> dict[str, Any]:
        """``{section: {name: value}}``, validated; only what the file says.

        Raises
        ------
        InputError
            The file cannot be read, or holds what is no setting.
        """
        values = load_settings(self.path)
        settings_from_dict(values, where=str(self.path))
        return values


def own_folder(kind: str) -> Path:
    """Where a person's presets of a kind are kept."""
    return platformdirs.user_config_path("napari-lot") / "presets" / kind


def presets(kind: str) -> dict[str, Preset]:
    """All presets of a kind by name, the shipped ones first; a person's own hides a shipped one of its name."""
    found = {path.stem: Preset(path.stem, path, True) for path in sorted((_SHIPPED / kind).glob("*.yaml"))}
    for path in sorted(own_folder(kind).glob("*.yaml")):
        found[path.stem] = Preset(path.stem, path, False)
    return found


def save(kind: str, name: str, settings: Settings, sections: Mapping[str, tuple[str, ...]], replace: bool) -> Preset:
    """Keep some settings as a person's own preset.

    Parameters
    ----------
    kind, name : str
    settings : Settings
    sections : mapping of str to tuple of str
        Names to keep, by section; those at their default are left out.
    replace : bool
        Whether an own preset of that name may be written over.

    Raises
    ------
    InputError
        The name cannot be a file's, is taken, or the file cannot be written.
    """
    name = name.strip()
    if not _NAME.fullmatch(name):
        raise InputError(
            f"Preset {name!r}: a name has up to 60 letters, digits, spaces and , . ( ) + - and begins with a letter "
            "or a digit."
        )
    path = own_folder(kind) / f"{name}.yaml"
    if path.exists() and not replace:
        raise InputError(f"Preset {name!r}: there is one of that name; choose another name, or replace it.")
    dumped = settings.model_dump(mode="json", exclude_defaults=True)
    values = {s: {n: dumped[s][n] for n in names if n in dumped.get(s, {})} for s, names in sections.items()}
    text = yaml.safe_dump({s: v for s, v in values.items() if v}, sort_keys=False, allow_unicode=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".part", delete=False, encoding="utf-8") as part:
            part.write(text)
        Path(part.name).replace(path)
    except OSError as error:
        raise InputError(f"{path}: the preset cannot be written: {error.strerror}.") from None
    return Preset(name, path, False)


def delete(kind: str, name: str) -> None:
    """Delete a person's own preset.

    Raises
    ------
    InputError
        There is no own preset of that name: shipped ones stay.
    """
    found = presets(kind).get(name)
    if found is None or found.shipped:
        raise InputError(f"Preset {name!r}: not one of your own; the ones that come with the program stay.")
    try:
        found.path.unlink()
    except OSError as error:
        raise InputError(f"{found.path}: the preset cannot be deleted: {error.strerror}.") from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
