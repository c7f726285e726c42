"""The report of a voxel reconstruction: settings, versions, what was found of the series, and how well it agrees."""

from __future__ import annotations

from typing import Any

from napari_lot.report import series_facts, to_plain, versions
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.voxel.methods import METHODS
from napari_lot.voxel.result import VoxelResult


def make_voxel_report(series: TiltSeries, result: VoxelResult, run: dict[str, Any] | None = None) -> dict[str, Any]:
    """Content of ``report.json``; undefined numbers are None.

    Parameters
    ----------
    series : TiltSeries
    result : VoxelResult
    run : dict, optional
        What only the caller knows: ``command`` (str), ``wall_seconds`` ({stage: s}, added to the result's).
    """
    run = run or {}
    fitted, withheld = result.agreement() or (None, None), result.agreement(withheld=True) or (None, None)
    settings, volume = result.settings, result.volume
    sections = settings.model_dump(mode="json")
    report = {
        "method": result.method,
        "method_words": METHODS[result.method].words,
        "iterations": result.iterations,
        "volume": {
            "shape": volume.values.shape,
            "voxel_A": volume.voxel_A,
            "origin_A": volume.origin_A,
            "unit": "intensity of the images per Å",
        },
        "r_factor": {"mean": fitted[0], "per_tilt": result.r_factor},
        "correlation": {"mean": fitted[1], "per_tilt": result.correlation},
        "r_free": result.r_free,
        "history": result.history,
        "corrections": {
            "center_px": result.center_px,
            "shifts_px": result.shifts_px,
            "background": result.background,
        },
        "object": {"kind": result.object},
        "wall_seconds": {**result.wall_seconds, **run.get("wall_seconds", {})},
        "peak_memory_gb": result.peak_memory_gb,
        "stop_reason": result.stop_reason,
        "message": result.message,
        "warnings": result.warnings,
        "series": series_facts(series),
        "settings": {"data": sections["data"], "grid": sections["grid"], result.method: sections["method"]},
        "versions": versions(),
        "command": run.get("command"),
    }
    if result.withheld:
        report |= {"r_withheld": withheld[0], "correlation_withheld": withheld[1], "withheld": result.withheld}
    plain: dict[str, Any] = to_plain(report)
    return plain
