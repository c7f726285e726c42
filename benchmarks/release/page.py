"""The page of what was built and tried."""

from __future__ import annotations

from typing import Any


def make_page(found: dict[str, Any]) -> str:
    """The page of the documentation, of what ``main`` has found."""
    files = ", ".join(f"`{name}` {size / 1e6:.2f} MB" for name, size in found["files"].items())
    lines = [
        "# Release",
        "",
        f"Built and tried on {found['machine']}: {files or 'nothing was built'}. Each environment is new, has nothing "
        f"but `{found['torch']}` and then `napari-lot[all]` from the wheel, and is used from an empty folder. Seconds "
        "are those of a machine on which other work went on.",
        "",
        *_table(found["built"]),
    ]
    for one in found["environments"]:
        lines += [
            "",
            f"## Python {one['python']}",
            "",
            f"PyTorch {one['torch'] or 'not installed'}; the environment has {one['megabytes']:,} MB.",
            "",
            *_table(one["checks"]),
        ]
    if found["absent"]:
        lines += ["", "Asked for, and not there: " + ", ".join(found["absent"]) + "."]
    lines += ["", "Make this page again: `make check-release`.", ""]
    return "\n".join(lines)


def _table(checks: list[dict[str, Any]]) -> list[str]:
    rows = [
        f"| {check['name']} | {'passed' if check['passed'] else '**failed**'} | {check['seconds']:g} | "
        f"{check['said'].replace('|', '¦')} |"
        for check in checks
    ]
    return ["| tried | | s | last line |", "| --- | --- | --- | --- |", *rows]
