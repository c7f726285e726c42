"""The results page, made from the measured figures, and remarks that are kept with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.voxel.cases import CASES, METHODS, WORDS

HEAD = """# Orbitals and voxels

The same series, reconstructed by local-orbital tomography (LOT) and by seven voxel methods whose volumes are traced.
Every line is one run of the command line in a process of its own, with the defaults of its method and the facts that
come with the case (angles, pixel size, element, whether the images are counts; for LOT also energy, semi-angle and
source size, which a voxel method has no use for). Nothing is tuned to a case, and the rotation centre is not given.
*SART of scikit-image* and *SIRT of ASTRA* are these libraries on the CPU in place of our own SART and SIRT, with as
many iterations, slices shared out over the cores; preparation, tracing and files are ours
(`python -m benchmarks.voxel.libraries`).
*LOT from peaks* is LOT that begins with the peaks of a volume (`--start peaks`) in place of a grid.

Atoms are matched one to one as mutual nearest neighbours within 1 Å after the mean shift is removed; RMSD is that of
the pairs, and rms x, y, z are its parts, y the tilt axis and z the beam of the untilted specimen. R is the sum of
|measured - reprojected| over the sum of |measured|, vacuum taken off, its mean over the tilts: where the images are
noisy a low R means that noise was fitted. Wall time is that of the whole program, tracing and files included, and
memory its peak; CPU time, of all threads together, well below the wall time says that the machine had other work.
"""

CAPTIONS = {
    "errors": "RMSD of the atoms that were found, and how many are missing or false, by method.",
    "deviations": "How far the atoms lie from where they are (as Fig. 4 of the paper).",
    "axes": "The parts of the deviations along x, the tilt axis y, and the beam z.",
    "images": "Images of the last case near 0 degrees, reprojections, and what is left over (as Fig. 3 of the paper).",
}

START = """## The start from peaks

What `--start peaks` begins with, by method and iterations: recall, precision, RMSD in pm of the peaks, and CPU seconds
of volume and tracing, from images that are binned as long as 6 voxels lie between neighbours
(`python -m benchmarks.voxel.start`).
"""

SOURCES = """## Where the cases come from

`asi208_*`: public data of Liao et al., Nature (2026), "Methods for accurate determination of the 3D atomic structure of
amorphous materials". `pt2000_wedge` is made by `napari-lot simulate` with a fixed seed: its images follow the image
model of LOT exactly but for the noise, which favours LOT; those of the other two do not.

Make this page again: `python -m benchmarks.voxel --cases FOLDER`; single rows: `--only CASE ... --methods METHOD ...`.
"""

COLUMNS = (
    "method",
    "recall",
    "precision",
    "RMSD / pm",
    "median / pm",
    "rms x, y, z / pm",
    "R",
    "wall / s",
    "CPU / s",
    "memory / GB",
)


def make_page(
    rows: list[dict[str, Any]],
    machine: str,
    figures: dict[str, str],
    remarks: dict[str, str],
    start: Sequence[dict[str, Any]] = (),
) -> str:
    """The page as Markdown. ``remarks`` are sentences by case, or by ``all``, that somebody found out."""
    lines = [HEAD, f"Measured on {machine}.\n"]
    if remarks.get("all"):
        lines += [remarks["all"], ""]
    lines += _figures(figures, ("errors", "deviations", "axes"))
    for case in CASES:
        these = sorted((r for r in rows if r["case"] == case.name), key=lambda r: METHODS.index(r["method"]))
        lines += [f"## `{case.name}`", "", case.about[0].upper() + case.about[1:] + ".", ""]
        if not these:
            lines += ["Not run.", ""]
            continue
        lines += ["| " + " | ".join(COLUMNS) + " |", "| --- " * len(COLUMNS) + "|"]
        lines += [_line(row) for row in these]
        lines.append("")
        lines += [f"{WORDS[row['method']]} failed: {row['error']}\n" for row in these if "error" in row]
        if remarks.get(case.name):
            lines += [remarks[case.name], ""]
        shown = [row for row in these if row["method"] in ("lot", "sirt")]
        lines += ["```", *(row["command"] for row in shown), "```", ""]
    lines += _figures(figures, ("images",))
    if start:
        lines += [START, *_start_table(start), ""]
        lines += [remarks["start"], ""] if remarks.get("start") else []
    return "\n".join([*lines, SOURCES])


def _start_table(start: Sequence[dict[str, Any]]) -> list[str]:
    cases = list(dict.fromkeys(row["case"] for row in start))
    lines = ["| method | " + " | ".join(f"`{case}`" for case in cases) + " |", "| --- " * (len(cases) + 1) + "|"]
    for method, iterations in dict.fromkeys((row["method"], row["iterations"]) for row in start):
        cells = []
        for case in cases:
            found = [r for r in start if (r["case"], r["method"], r["iterations"]) == (case, method, iterations)]
            cells += [
                f"{row['recall']:.3f}, {row['precision']:.3f}, {row['rmsd_pm']:.3g}, {row['cpu_s']:.2g}"
                for row in found
            ]
        lines.append(f"| {WORDS[method]}{f' {iterations}' if iterations else ''} | " + " | ".join(cells) + " |")
    return lines


def _figures(figures: dict[str, str], kinds: tuple[str, ...]) -> list[str]:
    found = []
    for kind in kinds:
        if kind in figures:
            found += [f"![{CAPTIONS[kind]}](figures/{figures[kind]})", "", f"*{CAPTIONS[kind]}*", ""]
    return found


def _line(row: dict[str, Any]) -> str:
    if "rmsd_pm" not in row:
        end = f"{row['wall_s']:.4g} | {row['cpu_s']:.4g} | {row['peak_memory_gb']:.3g} |"
        return f"| {WORDS[row['method']]} | – | – | – | – | – | – | {end}"
    parts = ", ".join(f"{value:.3g}" for value in row["rms_xyz_pm"])
    return (
        f"| {WORDS[row['method']]} | {row['recall']:.4g} | {row['precision']:.4g} | {row['rmsd_pm']:.4g} "
        f"| {row['median_pm']:.4g} | {parts} | {100 * row['r_factor']:.2f} % | {row['wall_s']:.4g} "
        f"| {row['cpu_s']:.4g} | {row['peak_memory_gb']:.3g} |"
    )
