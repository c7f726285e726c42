"""Reference arrays for the probe, computed by abTEM, an independent multislice program.

Regenerate with one command (about a minute on one core), where the extra ``bench`` (abTEM 1.0.11) is installed:

    python benchmarks/oracles/make_probe_reference.py

Writes tests/physics/data/abtem_probe.npz (intensities of the free probe at several depths, upstream and downstream of
its entrance plane) and tests/physics/data/abtem_atom_scan.npz (HAADF images of one off-centre atom under coma). Each
file holds its settings as JSON under "cases". Shares no code with the package.

Conventions turned here, once: abTEM arrays are [x, y], stored ones [v, u] = [y, x]. abTEM counts defocus from the
plane in which the probe is built; in free flight that plane is our w = 0. For the atom it is the entrance surface, and
our w = 0 is put in the middle of the cell.
"""

from __future__ import annotations

import json
from pathlib import Path

import abtem
import ase
import numpy as np
from abtem.multislice import FresnelPropagator

DATA = Path(__file__).resolve().parents[2] / "tests" / "physics" / "data"

# lengths in Å, angles in degrees; depth: plane of observation, downstream of the plane w = 0
PROBES = {
    "in focus": {"energy_eV": 300e3, "semiangle_mrad": 25.0, "depth_A": [-40.0, 0.0, 17.5]},
    "overfocus": {"energy_eV": 300e3, "semiangle_mrad": 25.0, "defocus_A": 35.0, "depth_A": [-20.0, 30.0]},
    "underfocus": {"energy_eV": 200e3, "semiangle_mrad": 21.4, "defocus_A": -50.0, "depth_A": [-60.0, 25.0]},
    "spherical": {
        "energy_eV": 300e3, "semiangle_mrad": 20.0, "defocus_A": 30.0, "c30_A": 8.0e4, "depth_A": [-40.0, 40.0],
    },
    "astigmatism": {
        "energy_eV": 300e3, "semiangle_mrad": 25.0, "defocus_A": -8.0, "c12_A": 22.0, "phi12_deg": 28.0,
        "depth_A": [-15.0, 15.0],
    },
    "coma": {
        "energy_eV": 300e3, "semiangle_mrad": 25.0, "defocus_A": 5.0, "c21_A": 1500.0, "phi21_deg": 35.0,
        "depth_A": [-20.0, 0.0, 20.0],
    },
    "threefold": {
        "energy_eV": 80e3, "semiangle_mrad": 30.0, "c23_A": 1200.0, "phi23_deg": -17.0, "depth_A": [-10.0, 22.0],
    },
    "fifth order": {
        "energy_eV": 300e3, "semiangle_mrad": 32.0, "defocus_A": 12.0, "c30_A": -3.0e4, "c50_A": 4.0e7,
        "depth_A": [-25.0, 25.0],
    },
    "mixed": {
        "energy_eV": 200e3, "semiangle_mrad": 24.0, "defocus_A": -12.0, "c12_A": 10.0, "phi12_deg": 70.0,
        "c21_A": 700.0, "phi21_deg": -120.0, "c23_A": 600.0, "phi23_deg": 15.0, "c30_A": 2.0e4, "c50_A": -1.0e7,
        "depth_A": [-30.0, 30.0],
    },
}  # fmt: skip
PIXEL_A, SHAPE_VU = 0.2, (48, 56)

# two atoms: on either side of the focal plane, coma along different azimuths
SCANS = {
    "downstream": {
        "energy_eV": 200e3, "semiangle_mrad": 20.0, "defocus_A": 0.0, "c21_A": 3500.0, "phi21_deg": 30.0, "c30_A": 3e4,
        "atom_uvw_A": [0.9, -0.55, 6.0], "element": "Si",
    },
    "upstream": {
        "energy_eV": 200e3, "semiangle_mrad": 20.0, "defocus_A": 14.0, "c21_A": 2500.0, "phi21_deg": -110.0,
        "c30_A": 3e4, "atom_uvw_A": [-0.7, 0.4, -5.0], "element": "Si",
    },
}  # fmt: skip
CELL_UVW_A = (12.0, 14.4, 20.0)
FINE_UV = (240, 288)  # 0.05 Å: angles up to 167 mrad after the antialiasing aperture
SCAN_PIXEL_A, SCAN_SHAPE_VU = 0.3, (28, 26)
INNER_OUTER_MRAD = (90.0, 160.0)


def abtem_probe(case: dict, defocus_A: float, gpts: tuple[int, int], extent_uv: tuple[float, float]) -> abtem.Probe:
    """abTEM's probe for a case; aberration names and azimuths are the same as ours, in radians."""
    return abtem.Probe(
        energy=case["energy_eV"],
        semiangle_cutoff=case["semiangle_mrad"],
        gpts=gpts,
        extent=extent_uv,
        soft=True,
        aberrations={
            "C10": -defocus_A,
            "C12": case.get("c12_A", 0.0),
            "phi12": np.deg2rad(case.get("phi12_deg", 0.0)),
            "C21": case.get("c21_A", 0.0),
            "phi21": np.deg2rad(case.get("phi21_deg", 0.0)),
            "C23": case.get("c23_A", 0.0),
            "phi23": np.deg2rad(case.get("phi23_deg", 0.0)),
            "C30": case.get("c30_A", 0.0),
            "C50": case.get("c50_A", 0.0),
        },
    )


def probe_intensities(case: dict) -> np.ndarray:
    """|psi(r)|^2 at the case's depths, axis at pixel [0, 0], unit sum, (D, V, U) float32."""
    v, u = SHAPE_VU
    # twice finer than stored: abTEM's antialiasing aperture cuts at two thirds of the band
    probe = abtem_probe(case, case.get("defocus_A", 0.0), (2 * u, 2 * v), (u * PIXEL_A, v * PIXEL_A))
    images = []
    for depth in case["depth_A"]:
        waves = probe.build(scan=(0.0, 0.0), lazy=False)
        if depth:
            waves = FresnelPropagator().propagate(waves, thickness=depth)
        image = np.squeeze(waves.intensity().array).T[::2, ::2]
        images.append(image / image.sum())
    return np.array(images, np.float32)


def atom_scan(case: dict) -> np.ndarray:
    """HAADF image of one atom, scanned in a window centred on the optical axis, (V, U) float32, peak 1."""
    u, v, w = case["atom_uvw_A"]
    centre = np.array(CELL_UVW_A) / 2
    atoms = ase.Atoms(case["element"], positions=[centre + np.array([u, v, w])], cell=CELL_UVW_A, pbc=True)
    potential = abtem.Potential(atoms, gpts=FINE_UV, slice_thickness=1.0, projection="infinite")
    probe = abtem_probe(case, case["defocus_A"] + centre[2], FINE_UV, CELL_UVW_A[:2])
    rows, columns = SCAN_SHAPE_VU
    half = SCAN_PIXEL_A * (np.array([columns, rows]) - 1) / 2
    scan = abtem.GridScan(
        start=tuple(centre[:2] - half), end=tuple(centre[:2] + half), gpts=(columns, rows), endpoint=True
    )
    detector = abtem.AnnularDetector(*INNER_OUTER_MRAD)
    image = probe.scan(potential, scan=scan, detectors=detector, lazy=False).array.T
    return np.asarray(image / image.max(), np.float32)


def main() -> None:
    """Compute and write both files."""
    abtem.config.set({"precision": "float64", "diagnostics.progress_bar": False})
    DATA.mkdir(parents=True, exist_ok=True)
    arrays = {name: probe_intensities(case) for name, case in PROBES.items()}
    about = {"pixel_size_A": PIXEL_A, "abtem": abtem.__version__}
    np.savez_compressed(DATA / "abtem_probe.npz", cases=json.dumps({"about": about, "cases": PROBES}), **arrays)
    arrays = {name: atom_scan(case) for name, case in SCANS.items()}
    about |= {"pixel_size_A": SCAN_PIXEL_A, "cell_uv_A": CELL_UVW_A[:2], "detector_mrad": INNER_OUTER_MRAD}
    np.savez_compressed(DATA / "abtem_atom_scan.npz", cases=json.dumps({"about": about, "cases": SCANS}), **arrays)
    for path in sorted(DATA.glob("abtem_*.npz")):
        print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
