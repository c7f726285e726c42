"""The studies as a page."""

from __future__ import annotations

from typing import Any

ABOUT = {
    "error_bars": (
        "Error bars",
        "(found − true) / error bar of every atom of a 200-atom silicon particle over repeated noise draws, standard "
        "deviation on x, y and z: 1 where error bars are calibrated. 40 tilts from −70 to 70 degrees, 0.3 Å pixels.",
    ),
    "misaligned": (
        "Misaligned series",
        "2,000 atoms of silicon and of platinum, 60 tilts at 2e4 e/Å² each: with nothing "
        "wrong, and with shifts of 2 pixels rms, angle "
        "errors of 1 degree rms about all three axes and 2 % of current. RMSD after the common rotation is removed; "
        "remaining angle errors rms about u, v and w.",
    ),
    "alloy": (
        "Three elements",
        "Co, Pd and Pt at random on an amorphous particle, 60 tilts at 1.7e4 e/Å² each, shifts of 1 pixel rms, angle "
        "errors of 0.3 degrees rms, 2 % of current. Elements by the mixture of scattering strengths.",
    ),
    "adaptive": (
        "Adaptive probe",
        "`--probe rigid` and `--probe adaptive`, Gaussian orbitals and learnt ones, RMSD at a cutoff of 1 Å. Withheld "
        "R: of every sixth tilt, in a second run. The last rows are a simulated series of which only energy and "
        "semi-angle were told (true: defocus 25 Å, C12 15 Å at 30°, C21 600 Å at 70°).",
    ),
}


def make_page(found: dict[str, Any]) -> str:
    """Markdown of all studies that were run."""
    lines = [
        "# Studies",
        "",
        "Beyond finding atoms: what error bars, misalignment, several elements and an unknown probe do to a result.",
        "Every run starts from the grid. Series are made by the package's own fast image model, which tests the fit",
        "and not the physics, unless the case is named (see [accuracy](results-accuracy.md) for those).",
        "",
        "Make this page again: `python -m benchmarks.studies`; `--full`: 20 noise draws, 18,000 atoms, three seeds.",
    ]
    for name, (title, about) in ABOUT.items():
        if name not in found:
            continue
        rows = found[name]["rows"]
        columns = list(dict.fromkeys(key for row in rows for key in row))
        lines += ["", f"## {title}", "", about, "", f"Measured on {found[name]['machine']}.", ""]
        lines += ["| " + " | ".join(c.replace("_", " ") for c in columns) + " |", "| " + "--- | " * len(columns)]
        lines += ["| " + " | ".join(_text(row.get(c)) for c in columns) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(_text(v) for v in value)
    if isinstance(value, dict):
        return ", ".join(f"{k} {_text(v)}" for k, v in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)
