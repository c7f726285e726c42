"""The page, made from the measured figures and nothing else."""

from __future__ import annotations

from typing import Any

from benchmarks.paper.study import order

HEAD = """# The paper's studies

Mao, Cui and Yu reconstruct a five-fold twinned platinum particle (M0; 25,790 atoms, their Figs. 2 to 4) and amorphous
silicon of 25,000 to 200,000 atoms (M1 to M6, Figs. 5 and 6) from noise-free multislice images at 25 mrad, by direct
projection and with a rigid and an adaptive depth-dependent probe. Here the same is done with this package, from the
regular grid, at sizes that two cores can do: a smaller particle is as thick compared to the depth of focus,
1.77 λ/α², where the semi-angle is larger. 300 kV and no aberrations, as there.

Images come from two sources, and every line says from which:

- *fast image model*: this package's own, but of atoms that are no Gaussians (two widths each), so that the fit cannot
  be perfect. It tests the fit and the effect of the probe, not the physics of scattering.
- *multislice*: abTEM with PRISM, atoms at rest, M0 turned away from zone axes; an independent program. The detector
  begins at 1.1 semi-angles (in the paper 1.2), where images are not quite incoherent.

RMSD of mutual nearest neighbours within 1 Å after the mean shift is removed; recall and precision at the same cutoff.
The images have no noise: with the default `aliasing` of 0.01 the sampling of the grid is the largest error, so that
now 0.001 is taken; each line says which it was made with. Wall times are those of the fit as it came, also where the
machine had other work besides.
The paper's own figures for M0: 4.3 (direct), 2.2 (rigid) and 1.7 pm (adaptive); above 20 pm for 200,000 atoms, direct.

Make this page again: `python -m benchmarks.paper` (`m0`, `sizes`; `--source fast` or `multislice`; `--full` for the
sizes of the paper by the fast image model: hours). The multislice part goes on where it was stopped.
"""

COLUMNS = (
    ("object", "object"),
    ("semiangle_mrad", "α / mrad"),
    ("thickness_A", "thickness / Å"),
    ("depth_of_focus_A", "depth of focus / Å"),
    ("tilts", "tilts"),
    ("probe", "probe"),
    ("recall", "recall"),
    ("precision", "precision"),
    ("rmsd_pm", "RMSD / pm"),
    ("median_pm", "median / pm"),
    ("r_factor", "R"),
    ("aliasing", "aliasing"),
    ("wall_s", "wall / s"),
)
TITLES = {
    "m0-multislice": "M0, multislice",
    "m0-fast": "M0, fast image model",
    "m0-fast-full": "M0 in full, fast image model",
    "sizes-fast": "Accuracy against size, fast image model",
    "sizes-fast-full": "M1 to M6 in full, fast image model",
}
FIGURES = {
    "images": "Images near 0 degrees and what each probe leaves over (Fig. 3 of the paper).",
    "histogram": "Deviations of the atoms (Fig. 4 of the paper).",
    "size": "RMSD against size (Fig. 6 of the paper).",
}


def make_page(found: dict[str, Any]) -> str:
    """Markdown of all that was run, and in words what was not."""
    lines = [HEAD]
    for name, title in TITLES.items():
        if name not in found:
            continue
        part = found[name]
        lines += [f"## {title}", "", f"Images: {part['rows'][0]['images']}. Measured on {part['machine']}.", ""]
        lines += ["| " + " | ".join(title for _, title in COLUMNS) + " |", "| --- " * len(COLUMNS) + "|"]
        lines += ["| " + " | ".join(_text(key, row.get(key)) for key, _ in COLUMNS) + " |" for row in part["rows"]]
        lines += ["", *(f"- {sentence}" for sentence in order(part["rows"])), ""]
        lines += [
            f"![{FIGURES[kind]}](figures/{file})\n\n*{FIGURES[kind]}*\n" for kind, file in part["figures"].items()
        ]
    missing = [title for name, title in TITLES.items() if name not in found]
    missing += [f"{TITLES[name]}: {', '.join(part['left'])}" for name, part in found.items() if part.get("left")]
    if missing:
        lines += ["## Not yet run", "", *(f"- {title}" for title in missing), ""]
    return "\n".join(lines)


def _text(key: str, value: Any) -> str:
    if value is None:
        return ""
    if key == "r_factor":
        return f"{100 * value:.2f} %"
    return f"{value:g}" if isinstance(value, float) else str(value)
