"""The results page, made from the measured figures and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

HEAD = """# Speed

How long one pass takes, how long it is from a tilt series to atoms, what the window adds, and how soon there is
something to see. Every figure comes from one command:

```
python -m benchmarks.speed                        everything but the long runs
python -m benchmarks.speed runs --sizes 25000     longer ones; 200000 takes ten minutes
python -m benchmarks.speed --quick --json out.json
```

Times are wall times on the machine that is named, medians where repeats are told. *Load* is the number of programs
that wanted a core when a part ended: much more than the cores means that others had a share of them. Compare ratios,
which were measured side by side, rather than seconds.
"""

PASSES = """Loss and all gradients (positions, heights, width, shape, shifts, angles, scale, background) of 72 tilts of
a silicon sphere at 300 kV and 25 mrad, B = 0.5 Å, pixels of 0.35 Å, all cores. The field grows with the particle.

*Peer*: the formulation of the paper in plain PyTorch, written for this comparison: slices of 4 Å, Gaussians on windows
of 9 × 9 pixels scattered by `index_add`, one FFT a slice, autograd, as many threads, in the batches and the way of
sharing out the work that are fastest. It is timed on 16 of the tilts. Its slices make it less accurate than ours (last
table): at the same accuracy it would need more of them, and be slower. *FFTs*: the Fourier transforms of our pass and
nothing else. The same canvas and tilts for all, in turns."""

GPU = """The same pass on a graphics card, and whole runs with defaults. *Off*: the largest relative difference of the
loss, the calculated images and every gradient from those of the processor. The profile is the time that the card was
busy with each part of one pass. How to measure it: [Devices](devices.md)."""

RUNS = """`napari-lot reconstruct` with its defaults, from the regular grid to the last file written. Amorphous silicon,
72 tilts, noise-free images by this package's own image model: this table is of time, and only tells that the atoms
were found. For accuracy on images of other programs see [Accuracy](results-accuracy.md). Recall, precision and RMSD at
a cutoff of 1 Å; memory is the peak."""

SIRT = """What would be run otherwise: a voxel reconstruction of the same stack on the CPU. The time of the whole volume
is that of a few slices times their number, divided by the cores as if nothing were lost, times 50 iterations; no volume
was made. It ends with voxels: atoms would still have to be found in them."""

WINDOW = """A fit of so many atoms, from atoms 0.3 Å off, followed in the 3-D view under Xvfb. There is no graphics
card: the processor draws, too, and has less time for the fit. While missing atoms are looked for there are no updates.

- *Own*: CPU time of the window's thread in this package's Python per update, napari's and vispy's taken off.
- *Gap*: the longest time that the event loop answered to nobody.
- *Bare napari*: a script that draws the snapshots of the same fit in Points and Image layers, without the workbench;
  *idle*: the same snapshots without a fit going on."""

START = """*Added to napari's start*: a fresh Python that imports napari, sets up its plugins and imports this package's
hooks, less the same without this package. *First atoms*: the bundled sample, from the click on Start until atoms (no
longer a grid of orbitals) are in the layer; *first orbitals* until anything is."""

GROWTH = """Each by itself, the others fixed (5,000 atoms in a sphere of 50 Å, 36 tilts, 312 × 312 pixels; more
pixels are a larger field). A straight line time = a + b size is fitted; told is how far the times are off it, and the
exponent of a power between the two largest sizes, where the constant part counts least."""

FIGURES = {
    "passes": "Time of one pass, per tilt.",
    "runs": "Where the time of whole runs goes.",
    "growth": "Time of a pass against atoms, tilts and pixels.",
}


def make_page(found: dict[str, Any], drawn: dict[str, str] | None = None) -> str:
    """Markdown of all that was measured, and in words what was not; ``drawn``: figures by kind."""
    drawn = drawn or {}
    parts: dict[str, tuple[str, str, Callable[[dict[str, Any]], list[str]]]] = {
        "passes": ("One pass", PASSES, _passes),
        "gpu": ("A graphics card", GPU, _gpu),
        "runs": ("From the grid to all atoms", RUNS, _runs),
        "sirt": ("Voxels instead", SIRT, _sirt),
        "window": ("The window", WINDOW, _window),
        "start": ("Start", START, _start),
        "growth": ("Growth", GROWTH, _growth),
    }
    lines = [HEAD]
    for name, (title, about, body) in parts.items():
        if name not in found:
            continue
        part = found[name]
        quick = ", quick form" if part.get("quick") else ""
        load = "" if part.get("load") is None else f" Load {part['load']:g}."
        lines += [f"## {title}", "", about, "", f"Measured on {part['machine']}{quick}.{load}", "", *body(part), ""]
        if name in drawn:
            lines += [f"![{FIGURES[name]}](figures/{drawn[name]})", "", f"*{FIGURES[name]}*", ""]
    missing = [title for name, (title, _, _) in parts.items() if name not in found]
    if missing:
        lines += ["## Not yet measured", "", *(f"- {title}" for title in missing), ""]
    return "\n".join(lines)


def table(titles: tuple[str, ...], rows: list[tuple[Any, ...]]) -> list[str]:
    """A table of Markdown."""
    lines = ["| " + " | ".join(titles) + " |", "| " + " | ".join("---" for _ in titles) + " |"]
    return lines + ["| " + " | ".join(_text(value) for value in row) + " |" for row in rows]


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _passes(part: dict[str, Any]) -> list[str]:
    rows = part["rows"]
    lines = table(
        (
            "atoms",
            "pixels",
            "R",
            "ours / ms a tilt",
            "peer / ms",
            "FFTs alone / ms",
            "peer / ours",
            "ours / FFTs",
            "GB",
        ),
        [
            (
                *(row["atoms"], f"{row['pixels']}²", row["channels"], row["ms_per_tilt"], row["peer_ms_per_tilt"]),
                *(row["fft_ms_per_tilt"], row["peer_over_ours"], row["ours_over_fft"], row["peak_gb"]),
            )
            for row in rows
        ],
    )
    names = tuple(rows[0]["shares"])
    lines += ["", "R is the number of depth channels; GB the peak of a process that makes passes and nothing else."]
    lines += [
        "",
        "Ratios of CPU times, which other programs change less; how the peer was fastest; and the ratio of wall",
    ]
    lines += ["times where it has PyTorch's own threads and no more:", ""]
    more = [
        (
            *(row["atoms"], row["peer_over_ours_cpu"], row["ours_over_fft_cpu"], row["peer_batch"]),
            *(row["peer_tilts_shared_out"], row["peer_by_torch_threads_over_ours"]),
        )
        for row in rows
    ]
    titles = ("peer / ours, CPU", "ours / FFTs, CPU", "tilts a batch", "batches shared out", "peer by threads / ours")
    lines += table(("atoms", *titles), more)
    lines += ["", "Where the time of all threads goes, in %:", ""]
    lines += table(("atoms", *names), [(row["atoms"], *(100 * row["shares"][n] for n in names)) for row in rows])
    a = part["accuracy"]
    lines += [
        "",
        "Error of one tilt of 400 of 25,000 atoms relative to its peak, against a finer grid in double precision:",
        "",
    ]
    lines += table(
        ("", "largest", "rms"),
        [(who, f"{a[f'{key}_largest_error']:.1e}", f"{a[f'{key}_rms_error']:.1e}") for who, key in
         (("ours", "ours"), ("peer", "peer"))],
    )  # fmt: skip
    return lines


def _gpu(part: dict[str, Any]) -> list[str]:
    rows = part["rows"]
    if not rows:
        return [part["said"]]
    lines = table(
        ("atoms", "device", "Triton", "a pass / s", "ms a tilt", "off", "GB", "whole run / s"),
        [
            (
                *(row["atoms"], row["device"], row["triton"], row["pass_s"], row["ms_per_tilt"]),
                *(f"{max(row['agreement'].values()):.1e}", row["peak_device_gb"], row.get("run", {}).get("wall_s")),
            )
            for row in rows
        ],
    )
    names = tuple(rows[0]["profile"])
    lines += ["", "Profile of a pass, in ms:", ""]
    return lines + table(("atoms", *names), [(row["atoms"], *(row["profile"][name] for name in names)) for row in rows])


def _runs(part: dict[str, Any]) -> list[str]:
    rows = part["rows"]
    lines = table(
        ("atoms", "pixels", "wall / s", "CPU / s", "GB", "recall", "precision", "RMSD / pm", "end"),
        [
            (
                *(row["atoms"], f"{row['pixels']}²", row["wall_s"], row["cpu_s"], row["peak_memory_gb"]),
                *(row.get("recall"), row.get("precision"), row.get("rmsd_pm")),
                row.get("stop_reason", row.get("error")),
            )
            for row in rows
        ],
    )
    names = list(dict.fromkeys(name for row in rows for name in row.get("stages_s", {})))
    if names:
        lines += ["", "Seconds by stage:", ""]
        stages = [(row["atoms"], *(row.get("stages_s", {}).get(name) for name in names)) for row in rows]
        lines += table(("atoms", *names), stages)
        lines += _exponents([row for row in rows if row.get("stages_s")], names)
    return lines


def _exponents(rows: list[dict[str, Any]], names: list[str]) -> list[str]:
    """How each stage grows from one size to the next: one power through all of them would hide what bends."""
    if len(rows) < 2:
        return []
    grown = []
    for small, large in pairwise(rows):
        step = np.log(large["atoms"] / small["atoms"])

        def of(name: str, small: dict[str, Any] = small, large: dict[str, Any] = large, step: float = step) -> Any:
            before, after = small["stages_s"].get(name) or 0.0, large["stages_s"].get(name) or 0.0
            # of less than a second most is what any size takes
            return f"{np.log(after / before) / step:.2f}" if min(before, after) >= 1.0 else None

        grown.append((f"{small['atoms']:,} to {large['atoms']:,}", *(of(name) for name in names)))
    about = "How the seconds grow, as the number of atoms to the power of (stages of a second and more):"
    return ["", about, "", *table(("atoms", *names), grown)]


def _sirt(part: dict[str, Any]) -> list[str]:
    return table(
        ("atoms", "program", "slices", "timed", "one slice / s", "iteration / s", "50 iterations / s"),
        [
            (
                *(row["atoms"], row["program"], row["slices"], row["sampled"], row["slice_s"], row["iteration_s"]),
                row["volume_s"],
            )
            for row in part["rows"]
        ],
    )


def _window(part: dict[str, Any]) -> list[str]:
    lines: list[str] = [part["said"], ""] if part.get("said") else []
    for row in part["rows"]:
        ways = (("workbench", "workbench"), ("bare napari", "bare_napari"), ("bare napari, idle", "bare_napari_idle"))
        lines += [f"{row['atoms']:,} atoms:", ""]
        lines += table(
            ("", "updates", "a second", "median a second", "longest gap / ms", "median of each update's longest / ms"),
            [
                (
                    *(who, now["updates"], now["updates_per_s"], now["median_updates_per_s"]),
                    *(now["longest_gap_ms"], now["median_gap_ms"]),
                )
                for who, now in ((who, row[way]) for who, way in ways if way in row)
            ],
        )
        lines += [
            "",
            f"Own: {row['own_ms_per_update']:g} ms per update, of {row['workbench']['slot_ms_per_update']:g} ms with "
            f"what napari does within it. Longest gap: {row['gap_ratio_to_bare_napari']:g} times that of bare napari; "
            f"median: {row['median_gap_ratio_to_bare_napari']:g} times.",
            "",
        ]
        if not row["enough"]:
            lines += ["Fewer than 30 updates, or fewer than 2 a second: the fit did not keep up.", ""]
    for row in part["publishing"]:
        more = ""
        if "with_s" in row:
            more = f" The same steps took {row['with_s']:g} s with snapshots and {row['without_s']:g} s without."
        lines.append(
            f"Without a window, {row['atoms']:,} atoms: making and handing over {row['snapshots']} snapshots takes "
            f"{100 * row['share']:.2f} % of the fit's time.{more}"
        )
    return lines


def _start(part: dict[str, Any]) -> list[str]:
    spread = "" if part.get("spread_s") is None else f", ± {part['spread_s']:g} s from one to the next"
    rows: list[tuple[Any, ...]] = [
        ("napari alone", part["napari_s"]),
        (f"added to it ({part['repeats']} times{spread})", part["import_added_s"]),
    ]
    for key, words in (
        ("import_added_cpu_s", "the same as CPU time, which other programs change less"),
        ("first_orbitals_s", "first orbitals"),
        ("first_atoms_s", "first atoms"),
        ("settled_s", "the grid has condensed, all are fitted as atoms"),
        ("first_orbitals_cold_s", "first orbitals, nothing compiled yet"),
        ("first_atoms_cold_s", "first atoms, nothing compiled yet"),
        ("settled_cold_s", "condensed, nothing compiled yet"),
    ):
        if key in part:
            rows.append((words, part[key]))
    said = ["", part["said"]] if part.get("said") else []
    return [*table(("", "s"), rows), "", "PyTorch is not imported by napari's start.", *said]


def _growth(part: dict[str, Any]) -> list[str]:
    return table(
        ("", "constant / ms", "ms each", "off the line / %", "exponent of the last step", "from", "to"),
        [
            (name, now["constant_ms"], now["ms_each"], *_bends(now, name), now["rows"][0][name], now["rows"][-1][name])
            for name, now in ((name, part[name]) for name in ("atoms", "tilts", "pixels"))
        ],
    ) + (_steps(part["steps"]) if "steps" in part else [])


def _bends(sweep: dict[str, Any], name: str) -> tuple[float, float]:
    """Largest deviation from the fitted line in %, and the exponent between the two largest sizes."""
    size, ms = (np.array([row[key] for row in sweep["rows"]], float) for key in (name, "ms"))
    off = np.abs(ms / (sweep["constant_ms"] + sweep["ms_each"] * size) - 1.0).max()
    return round(100.0 * float(off), 1), round(float(np.log(ms[-1] / ms[-2]) / np.log(size[-1] / size[-2])), 2)


def _steps(part: dict[str, Any]) -> list[str]:
    names = list(part["exponents"])
    rows = [(f"{row['atoms']:,}", *(row["ms"][name] for name in names)) for row in part["rows"]]
    about = (
        "Steps around the passes, in ms: one pass of 18 tilts, hull, grid in the hull, gathering and merging of 8 "
        "orbitals an atom, search for births, error bars; the field grows with the crystallite."
    )
    exponents = ("exponent", *(part["exponents"][name] for name in names))
    return ["", about, "", *table(("atoms", *names), [*rows, exponents])]
