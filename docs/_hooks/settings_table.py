"""Fill pages from the package itself: ``<!-- settings -->`` becomes the table of every setting."""

from napari_lot.cli.options import SETTING_OF, bounds_text, field_of, flag_of
from napari_lot.settings import Settings


def settings_table() -> str:
    """One Markdown table per section: name, flag, default, range, meaning."""
    flags: dict[str, str] = {}
    for parameter, settings in SETTING_OF.items():
        for setting in settings:
            flags.setdefault(setting, flag_of(parameter))
    lines = []
    for section, model in Settings.model_fields.items():
        lines += [
            f"### {section}",
            "",
            "| name | flag | default | range | meaning |",
            "| --- | --- | --- | --- | --- |",
        ]
        for name in model.annotation.model_fields:
            field = field_of(f"{section}.{name}")
            default = field.default
            if isinstance(default, tuple):
                default = ", ".join(map(str, default))
            flag = flags.get(f"{section}.{name}")
            lines.append(
                f"| `{name}` | {f'`{flag}`' if flag else ''} | {'' if default is None else default} "
                f"| {bounds_text(field)} | {field.description} |"
            )
        lines.append("")
    return "\n".join(lines)


def on_page_markdown(markdown: str, **_: object) -> str:
    """Called by MkDocs for every page."""
    return markdown.replace("<!-- settings -->", settings_table())
