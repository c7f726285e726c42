"""The results page, made from the measured figures and nothing else."""

from __future__ import annotations

from typing import Any

from benchmarks.accuracy.cases import Case, Limit

HEAD = """# Accuracy

Every line is one run of `napari-lot reconstruct` with its defaults and the facts that come with the case (angles,
pixel size, element, energy, semi-angle, source size, mask, whether the images are counts). The rotation centre is not
given, and the start is the regular grid. Atoms are matched one to one as mutual nearest neighbours within 1 Å after the
mean shift is removed. Wall time is that of the whole program, from the start of Python to the last file written; memory
is its peak. CPU time is that of all its threads together: much less than the wall time means that the program had to
wait for others on the same machine.
"""

SOURCES = """## Where the cases come from

`asi208_*`: public data of Liao et al., Nature (2026), "Methods for accurate determination of the 3D atomic structure of
amorphous materials". `ta_strip_rows4_5`: measured by Yuan et al., Nature Materials (2022); its published atoms are a
reference, not truth, and only those well inside the strip count; crowding (found atoms nearest to a counted one and
within 2.5 Å of it, over the number counted) stands in place of precision. `pt_deca` ships with the package. `si25k` and
`si20k_8e3` are made by `benchmarks/independent/thin_slices.py`, which shares no code with the package.

Make this page again: `python -m benchmarks.accuracy --cases FOLDER --score FOLDER/score.py`.
"""

TITLES = {
    "recall": "recall",
    "precision": "precision",
    "crowding": "crowding",
    "rmsd_pm": "RMSD / pm",
    "median_pm": "median / pm",
    "direct_over_rigid": "direct / rigid",
    "over_from_truth": "RMSD / that from the truth",
    "wall_s": "wall / s",
    "peak_memory_gb": "memory / GB",
}


def judged(case: Case, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Runs of the case with the rigid probe, each with the ratios to other runs that the case asks for."""
    rigid = [dict(r) for r in runs if r["case"] == case.name and r["probe"] == "rigid"]

    def others(variant: str) -> dict[int, float | None]:
        return {r["seed"]: r.get("rmsd_pm") for r in runs if r["case"] == case.name and r["probe"] == variant}

    direct, truth = others("direct"), others("truth")
    for run in rigid:
        own, by_direct, from_truth = run.get("rmsd_pm"), direct.get(run["seed"]), truth.get(run["seed"])
        if case.against_direct and own and by_direct is not None:
            run["direct_over_rigid"] = round(by_direct / own, 2)
        if case.against_truth and own and from_truth:
            run["over_from_truth"] = round(own / from_truth, 4)
    return sorted(rigid, key=lambda r: r["seed"])


def missed(case: Case, run: dict[str, Any]) -> list[Limit]:
    """The limits that a run does not keep."""
    return [limit for limit in case.limits if not limit.holds(run.get(limit.figure))]


def _cell(limit: Limit, run: dict[str, Any]) -> str:
    value = run.get(limit.figure)
    text = "–" if value is None else f"{value:.4g}" if limit.figure not in ("recall", "precision") else f"{value:.5g}"
    return text if limit.holds(value) else f"**{text}**"


def make_page(cases: tuple[Case, ...], runs: list[dict[str, Any]], machine: str) -> str:
    """The page as Markdown; figures that miss their limit are bold."""
    lines = [HEAD, f"Measured on {machine}. Figures in bold miss their limit.\n"]
    for case in cases:
        rows = judged(case, runs)
        lines += [f"## `{case.name}`", "", case.about[0].upper() + case.about[1:] + ".", ""]
        if not rows:
            lines += ["Not run.", ""]
            continue
        lines.append(
            "| seed | "
            + " | ".join(TITLES[limit.figure] for limit in case.limits)
            + " | CPU / s | R | atoms | verdict |"
        )
        lines.append("| --- |" + " --- |" * (len(case.limits) + 4))
        lines.append("| limit | " + " | ".join(str(limit) for limit in case.limits) + " | | | | |")
        for run in rows:
            verdict = "**missed**" if missed(case, run) else "kept"
            r_factor = f"{100 * run['r_factor']:.2f} %" if run.get("r_factor") is not None else "–"
            cells = " | ".join(_cell(limit, run) for limit in case.limits)
            lines.append(
                f"| {run['seed']} | {cells} | {run['cpu_s']:.4g} | {r_factor} | {run.get('found', '–')} | {verdict} |"
            )
        lines += [""] + [f"Seed {run['seed']} failed: {run['error']}\n" for run in rows if "error" in run]
        lines += [f"`napari-lot reconstruct series.tif --out out {rows[0]['flags']}`", ""]
        if case.against_direct:
            direct = [r for r in runs if r["case"] == case.name and r["probe"] == "direct"]
            said = ", ".join(f"{r.get('rmsd_pm', '–')} pm in {r['wall_s']} s (seed {r['seed']})" for r in direct)
            lines += [f"By direct projection: {said or 'not run'}.", ""]
        if case.against_truth:
            begun = [r for r in runs if r["case"] == case.name and r["probe"] == "truth"]
            said = ", ".join(f"{r.get('rmsd_pm', '–')} pm, recall {r.get('recall')} (seed {r['seed']})" for r in begun)
            lines += [f"Started from the true atoms: {said or 'not run'}.", ""]
    return "\n".join([*lines, SOURCES])
