"""Fill pages from the package itself: ``<!-- settings -->`` becomes the table of every setting of a run of orbitals,
``<!-- voxel settings -->`` that of the voxel methods."""

from pydantic.fields import FieldInfo

from napari_lot.cli.options import SETTING_OF, bounds_text, flag_of
from napari_lot.cli.voxel import SETTING_OF as VOXEL_SETTING_OF
from napari_lot.settings import Settings
from napari_lot.settings.voxel import Grid
from napari_lot.voxel.methods import METHODS


def table(section: str, fields: dict[str, FieldInfo], flags: dict[str, str]) -> list[str]:
    """One Markdown table: name, flag, default, range, meaning. ``flags`` by ``section.name``."""
    lines = [f"### {section}", "", "| name | flag | default | range | meaning |", "| --- | --- | --- | --- | --- |"]
    for name, field in fields.items():
        default = field.default
        if isinstance(default, tuple):
            default = ", ".join(map(str, default))
        flag = flags.get(f"{section}.{name}")
        lines.append(
            f"| `{name}` | {f'`{flag}`' if flag else ''} | {'' if default is None else default} "
            f"| {bounds_text(field)} | {field.description} |"
        )
    return [*lines, ""]


def settings_table() -> str:
    """The sections of a run of orbitals."""
    flags: dict[str, str] = {}
    for parameter, settings in SETTING_OF.items():
        for setting in settings:
            flags.setdefault(setting, flag_of(parameter))
    models = {name: field.annotation for name, field in Settings.model_fields.items()}
    return "\n".join(line for name, model in models.items() for line in table(name, model.model_fields, flags))


def voxel_settings_table() -> str:
    """The sections of a voxel reconstruction that no other run has."""
    flags = {}
    for parameter, setting in VOXEL_SETTING_OF.items():
        for place in [setting] if "." in setting else [f"{method}.{setting}" for method in METHODS]:
            flags[place] = flag_of(parameter)
    sections = {"grid": Grid, **{name: entry.section for name, entry in METHODS.items()}}
    return "\n".join(line for name, model in sections.items() for line in table(name, model.model_fields, flags))


def on_page_markdown(markdown: str, **_: object) -> str:
    """Called by MkDocs for every page."""
    return markdown.replace("<!-- settings -->", settings_table()).replace(
        "<!-- voxel settings -->", voxel_settings_table()
    )
