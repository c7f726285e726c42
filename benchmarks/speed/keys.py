"""The key figures of all parts, one number each."""

from __future__ import annotations

from typing import Any


def keys(found: dict[str, Any]) -> dict[str, float]:
    """Numbers by name, ``..._25k`` for 25,000 atoms; of parts that were not run there is none."""
    out: dict[str, float] = {}
    for row in found.get("passes", {}).get("rows", ()):
        size = short(row["atoms"])
        out |= {
            f"pass_ratio_{size}": row["peer_over_ours"],
            f"pass_ms_per_tilt_{size}": row["ms_per_tilt"],
            f"peer_ms_per_tilt_{size}": row["peer_ms_per_tilt"],
            f"fft_ms_per_tilt_{size}": row["fft_ms_per_tilt"],
            f"pass_over_fft_{size}": row["ours_over_fft"],
            f"pass_ratio_torch_threads_{size}": row["peer_by_torch_threads_over_ours"],
            f"pass_cpu_ratio_{size}": row["peer_over_ours_cpu"],
            f"pass_cpu_over_fft_{size}": row["ours_over_fft_cpu"],
        }
        if "peak_gb" in row:
            out[f"peak_gb_{size}"] = row["peak_gb"]
    out |= {f"pass_{name}": value for name, value in found.get("passes", {}).get("accuracy", {}).items()}
    for row in found.get("gpu", {}).get("rows", ()):
        size = short(row["atoms"])
        out |= {f"gpu_pass_s_{size}": row["pass_s"], f"gpu_agreement_{size}": max(row["agreement"].values())}
        if "wall_s" in row.get("run", {}):
            out[f"gpu_grid_to_atoms_s_{size}"] = row["run"]["wall_s"]
    runs = found.get("runs", {})
    for row in runs.get("rows", ()):
        size = short(row["atoms"])
        out |= {f"grid_to_atoms_s_{size}": row["wall_s"], f"run_peak_gb_{size}": row["peak_memory_gb"]}
        out |= {f"run_{name}_{size}": row[name] for name in ("recall", "precision", "rmsd_pm") if name in row}
    if "exponent" in runs:
        out["grid_to_atoms_exponent"] = runs["exponent"]
    for row in found.get("sirt", {}).get("rows", ()):
        out[f"sirt_volume_s_{short(row['atoms'])}"] = row["volume_s"]
    window = found.get("window", {})
    for row in window.get("rows", ()):
        size = short(row["atoms"])
        out |= {
            f"own_ms_per_update_{size}": row["own_ms_per_update"],
            f"gap_ratio_to_bare_napari_{size}": row["gap_ratio_to_bare_napari"],
            f"longest_gap_ms_{size}": row["workbench"]["longest_gap_ms"],
            f"updates_{size}": row["workbench"]["updates"],
            f"updates_per_s_{size}": row["workbench"]["updates_per_s"],
            f"median_updates_per_s_{size}": row["workbench"]["median_updates_per_s"],
        }
    for row in window.get("publishing", ()):
        out[f"publishing_share_{short(row['atoms'])}"] = row["share"]
    start = found.get("start", {})
    names = (
        "import_added_s",
        "import_added_cpu_s",
        "first_atoms_s",
        "first_atoms_cold_s",
        "first_orbitals_s",
        "first_orbitals_cold_s",
        "settled_s",
        "settled_cold_s",
    )
    out |= {name: start[name] for name in names if name in start}
    for name in ("atoms", "tilts", "pixels"):
        if name in found.get("growth", {}):
            out[f"growth_exponent_{name}"] = found["growth"][name]["exponent"]
    return out


def short(atoms: int) -> str:
    """1k, 25k; 247."""
    return f"{atoms // 1000}k" if atoms % 1000 == 0 else str(atoms)
