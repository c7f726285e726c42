"""What each study simulates, runs and measures. Every run starts from the grid."""

from __future__ import annotations

import json
import time
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from napari_lot.analysis.compare import compare
from napari_lot.export import read_atoms
from napari_lot.job import Job, Result
from napari_lot.physics.elements import SYMBOLS
from napari_lot.physics.geometry import rotations
from napari_lot.series.read import read_series
from napari_lot.settings import Microscope, facts_as_settings, settings_from_dict
from napari_lot.simulate.images import Recording, simulate_series, with_cross_section
from napari_lot.simulate.particles import amorphous_sphere

LENS = {"energy_eV": 300e3, "semiangle_mrad": 25.0, "source_size_A": 0.7}
SILICON_A2 = 0.0017
"""Of a silicon atom; others grow with Z^1.7."""
ALIGNED = ["positions", "heights", "width", "center", "shifts", "scale", "background"]


def cross_section_A2(element: str) -> float:
    """Cross-section of an atom on an annular dark-field detector."""
    return float(SILICON_A2 * (SYMBOLS.index(element) / 14) ** 1.7)


@dataclass(frozen=True)
class Options:
    """``full`` sizes, folder of cases, and where independent runs are worked off."""

    full: bool
    cases: Path
    pool: Executor


def run(series: Any, elements: list[str], model: dict[str, Any] | None = None, **solver: Any) -> Result:
    """One run with the facts of the simulation."""
    values = {"microscope": LENS, "model": {"elements": elements, **(model or {})}, "solver": solver}
    job = Job(series, settings_from_dict(values))
    for _ in job.run():
        pass
    assert job.result is not None
    return job.result


def figures(result: Result, truth: Any, rotate: bool = False) -> dict[str, Any]:
    """Recall, precision, RMSD at a cutoff of 1 Å, and the time."""
    found = compare(result.orbitals, truth, 1.0, rotate)
    return {
        "recall": round(found.recall, 5),
        "precision": round(found.precision, 5),
        "rmsd_pm": round(found.rmsd_pm, 3),
        "wall_s": round(result.wall_seconds["total"], 1),
    }


# -- error bars -------------------------------------------------------------------------------------------------------


def error_bars(options: Options) -> list[dict[str, Any]]:
    """(found - true) / sigma over noise draws of a 200-atom particle at two doses: 1 on every axis, if calibrated."""
    rows = []
    for dose in (1.6e4, 1.6e5):
        draws = 20 if options.full else 6
        done = list(options.pool.map(_one_draw, [dose] * draws, range(draws)))
        z, error, sigma = (np.concatenate([d[k] for d in done]) for k in range(3))
        rows.append(
            {
                "dose_e_per_A2": dose,
                "draws": draws,
                "atoms": 200,
                "found_of_all": round(len(z) / (200 * draws), 5),
                "z_std": np.round(z.std(0), 3).tolist(),
                "error_pm": np.round(100 * error.std(0), 3).tolist(),
                "error_bar_pm": np.round(100 * np.sqrt((sigma**2).mean(0)), 3).tolist(),
            }
        )
    return rows


def _one_draw(dose: float, seed: int) -> tuple[Any, Any, Any]:
    atoms = with_cross_section(amorphous_sphere("Si", 17.5, 2.2, atoms=200, seed=1), SILICON_A2)
    recording = Recording(dose_e_per_A2=dose, background=0.3, seed=seed)
    angles = np.linspace(-70, 70, 40)
    series = simulate_series(atoms, angles, 0.3, Microscope(**LENS), recording=recording, threads=1)
    result = run(series, ["Si"], threads=1, seed=seed)
    found = compare(result.orbitals, atoms)
    assert result.sigma_A is not None
    sigma = result.sigma_A[found.found_index]
    return found.displacement_A / sigma, found.displacement_A, sigma


# -- misaligned series ------------------------------------------------------------------------------------------------


def misaligned(options: Options) -> list[dict[str, Any]]:
    """2,000 atoms at 2e4 e/Å^2 per tilt: shifts of 2 pixels rms and angle errors of 1 degree rms, and none."""
    rows = []
    for element, (drift_px, error_deg) in product(("Si", "Pt"), ((0.0, 0.0), (2.0, 1.0))):
        apart, diameter = (2.2, 39.0) if element == "Si" else (2.5, 44.0)
        atoms = amorphous_sphere(element, diameter, apart, atoms=2000, seed=1)
        atoms = with_cross_section(atoms, cross_section_A2(element))
        series, turned = _wrong_angles(atoms, 2e4, drift_px, error_deg)
        refine = [*ALIGNED, "angles"] if error_deg else ALIGNED
        result = run(series, [element], refine=refine)
        row = {
            "element": element,
            "shifts_px": drift_px,
            "angles_deg": error_deg,
            **figures(result, atoms, rotate=True),
        }
        rows.append(row | {"angle_error_deg": angle_error_deg(result, series, turned)})
    return rows


def _wrong_angles(atoms: Any, dose: float, drift_px: float, error_deg: float) -> tuple[Any, Any]:
    """A series with the angles that were asked for, and those that the specimen had, 0.3 Å pixels, 60 tilts."""
    theta = np.linspace(-70, 70, 60)
    asked = np.stack([0 * theta, theta, 0 * theta], 1)
    had = asked + np.random.default_rng(3).normal(0, error_deg, asked.shape)
    recording = Recording(
        dose_e_per_A2=dose, background=0.5, drift_A=0.3 * drift_px, current_spread=0.02 if drift_px else 0.0, seed=4
    )
    series = simulate_series(atoms, had, 0.3, Microscope(**LENS), recording=recording)
    return series.with_changes(angles_deg=asked, metadata={}), had


def angle_error_deg(result: Result, series: Any, had: Any) -> list[float]:
    """Remaining errors rms about the axes of the image, the common rotation removed."""
    mine, true = rotations(result.angles_deg) @ rotations(series.angles_deg), rotations(had)
    u, _, vt = np.linalg.svd(np.einsum("tji,tjk->ik", true, mine))
    common = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    left = Rotation.from_matrix(mine @ (true @ common).transpose(0, 2, 1)).as_rotvec(degrees=True)
    rms: list[float] = np.round(np.sqrt((left**2).mean(0)), 4).tolist()
    return rms


# -- alloys -----------------------------------------------------------------------------------------------------------


def alloy(options: Options) -> list[dict[str, Any]]:
    """Three elements at 1.7e4 e/Å^2 per tilt with drift, gain and angle errors."""
    elements = ["Co", "Pd", "Pt"]
    rows = []
    for count, diameter in ((18_000, 87.0),) if options.full else ((2_000, 42.0),):
        atoms = amorphous_sphere("Co", diameter, 2.3, atoms=count, seed=1)
        kinds = np.random.default_rng(5).integers(0, 3, count)
        atoms = replace(atoms, species=kinds, elements=tuple(elements))
        atoms = with_cross_section(atoms, [cross_section_A2(e) for e in elements])
        series, had = _wrong_angles(atoms, 1.7e4, 1.0, 0.3)
        result = run(series, elements, refine=[*ALIGNED, "angles"])
        found = compare(result.orbitals, atoms, 1.0, rotate=True)
        of = kinds[found.truth_index]
        rows.append(
            {
                "atoms": count,
                **figures(result, atoms, rotate=True),
                "right_element": round(found.species_accuracy, 5),
                "rmsd_of_each_pm": {
                    e: round(float(np.sqrt((found.distance_pm[of == k] ** 2).mean())), 2)
                    for k, e in enumerate(elements)
                },
                "angle_error_deg": angle_error_deg(result, series, had),
            }
        )
    return rows


# -- adaptive probe ---------------------------------------------------------------------------------------------------

PHYSICS = (("rigid", "gaussian"), ("rigid", "learnt"), ("adaptive", "learnt"))
"""Probe and shape of the orbitals."""


def adaptive(options: Options) -> list[dict[str, Any]]:
    """Rigid and adaptive probe: the multislice cases, and a simulated series with aberrations nobody told of."""
    rows = []
    for name in ("pt_deca", "asi208_1p6e5", "asi208_8p0e3"):
        folder = options.cases / name
        if not (folder / "case.json").exists():
            continue
        case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
        series = read_series(
            folder / "series.tif",
            angles=folder / "angles.csv",
            pixel_size_A=case["pixel_size_A"],
            counts=case.get("counts", False),
        )
        truth = read_atoms(folder / "truth.xyz")
        for probe, shape in PHYSICS:
            for seed in (0, 1, 2) if options.full else (0,):
                values: dict[str, dict[str, Any]] = {
                    "model": {"probe": probe, "orbital": shape},
                    "solver": {"seed": seed},
                }
                for setting, value in facts_as_settings(case).items():
                    section, field = setting.split(".")
                    values.setdefault(section, {})[field] = value
                row = {
                    "case": name,
                    "probe": probe,
                    "orbital": shape,
                    "seed": seed,
                    **figures(_job(series, values), truth),
                }
                values["data"] = {"withhold": 6}
                agreement = _job(series, values).agreement(withheld=True)
                rows.append(row | {"withheld_r": None if agreement is None else round(agreement[0], 4)})
    rows += _aberrated()
    return rows


def _job(series: Any, values: dict[str, Any]) -> Result:
    job = Job(series, settings_from_dict(values))
    for _ in job.run():
        pass
    assert job.result is not None
    return job.result


def _aberrated() -> list[dict[str, Any]]:
    lens = Microscope(
        energy_eV=3e5, semiangle_mrad=30.0, defocus_A=25.0, c12_A=15.0, phi12_deg=30.0, c21_A=600.0, phi21_deg=70.0
    )
    atoms = with_cross_section(amorphous_sphere("Pt", 36.0, 2.5, atoms=1000, seed=1), 0.03)
    recording = Recording(dose_e_per_A2=1e5, background=1.0, seed=4)
    series = simulate_series(atoms, np.arange(-70, 71, 4.0), 0.3, lens, recording=recording)
    rows = []
    for probe in ("rigid", "adaptive"):
        began = time.perf_counter()
        plain = {"energy_eV": 3e5, "semiangle_mrad": 30.0}
        result = _job(series, {"microscope": plain, "model": {"probe": probe, "elements": ["Pt"]}})
        found = result.details["microscope"]
        row = {"case": "1,000 Pt, unknown aberrations", "probe": probe, "seed": 0, **figures(result, atoms)}
        row["wall_s"] = round(time.perf_counter() - began, 1)
        rows.append(row | {k: round(found[k], 2) for k in ("defocus_A", "c12_A", "phi12_deg", "c21_A", "phi21_deg")})
    return rows
