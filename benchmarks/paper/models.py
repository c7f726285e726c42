"""The objects of the paper and the lens that they are looked at with: as large as there, or smaller ones.

The particles there, 9 to 19 nm at 25 mrad, are 1.6 to 3.4 times as thick as the depth of focus, 1.77 lambda / alpha^2
= 56 Å. A smaller particle shows the same where the semi-angle is larger: 22 Å of depth of focus at 40 mrad, 14 Å at 50.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_lot.atoms import Orbitals
from napari_lot.physics.geometry import rotations
from napari_lot.physics.optics import wavelength_A
from napari_lot.settings import Microscope
from napari_lot.simulate.alloy import cross_sections_A2, with_cross_section, with_width
from napari_lot.simulate.particles import amorphous_sphere, decahedron
from napari_lot.simulate.settings import Multislice

ENERGY_EV = 300e3
AWAY_DEG = (23.0, 0.0, 14.0)
"""M0 is turned by these (psi, theta, phi) before anything else: no tilt then looks along a low-index zone axis."""
CLOSEST_SILICON_A = 2.32


@dataclass(frozen=True)
class Case:
    """One object, its lens and its series.

    ``multislice`` is None where the images come from the fast image model (of widths that differ from what is fitted).
    """

    name: str
    atoms: Orbitals
    lens: Microscope
    theta_deg: Any
    pixel_size_A: float
    multislice: Multislice | None = None

    @property
    def thickness_A(self) -> float:
        """Diameter of the sphere around the object."""
        return 2.0 * float(np.linalg.norm(self.atoms.positions, axis=1).max())

    @property
    def depth_of_focus_A(self) -> float:
        """1.77 lambda / alpha^2."""
        assert self.lens.energy_eV is not None
        assert self.lens.semiangle_mrad is not None
        return 1.77 * wavelength_A(self.lens.energy_eV) / (1e-3 * self.lens.semiangle_mrad) ** 2

    @property
    def thicker_than_focus(self) -> bool:
        """Whether projection must fail: the object is thicker than the depth of focus."""
        return self.thickness_A > self.depth_of_focus_A


def twin(edge: int, length: int) -> Orbitals:
    """Five-fold twinned platinum decahedron away from zone axes."""
    made = decahedron("Pt", edge, length)
    made = replace(made, positions=made.positions @ rotations([AWAY_DEG])[0].T)
    return with_cross_section(made, cross_sections_A2(["Pt"]))


def amorphous(atoms: int, diameter_A: float) -> Orbitals:
    """Amorphous silicon, no two atoms closer than 2.32 Å."""
    made = amorphous_sphere("Si", diameter_A, CLOSEST_SILICON_A, atoms=atoms, seed=atoms)
    return with_cross_section(made, cross_sections_A2(["Si"]))


def core_and_tail(atoms: Orbitals) -> Orbitals:
    """The same atoms with a shape that is no Gaussian: 70 % of each in one of B = 0.35 Å, 30 % in one of B = 0.8 Å."""
    parts = [with_width(replace(atoms, height=share * atoms.height), b) for share, b in ((0.7, 0.35), (0.3, 0.8))]
    return Orbitals.create(
        np.concatenate([p.positions for p in parts]),
        np.concatenate([p.height for p in parts]),
        np.concatenate([p.width for p in parts]),
        np.concatenate([p.species for p in parts]),
        atoms.elements,
    )


def m0(full: bool) -> Case:
    """M0 by the fast image model: 25,588 atoms (25,790 in the paper) at 25 mrad, or 1,274 at 40."""
    lens = Microscope(energy_eV=ENERGY_EV, semiangle_mrad=25.0 if full else 40.0)
    atoms = twin(21, 18) if full else twin(8, 7)
    theta = np.arange(-72.0, 71.0, 2.0)
    return Case(f"M0, {len(atoms):,} atoms", atoms, lens, theta, 0.35 if full else 0.25)


def m0_multislice() -> Case:
    """M0 small enough for multislice on one core in less than an hour: 561 atoms, 14 Å depth of focus.

    The detector begins at 1.1 semi-angles (1.2 in the paper). The potential is that of atoms at rest, as there.
    """
    lens = Microscope(energy_eV=ENERGY_EV, semiangle_mrad=50.0, source_size_A=0.8)
    settings = Multislice(
        inner_mrad=55.0, sampling_A=0.09, slice_A=2.0, interpolation=7, scan_step_A=0.13, margin_A=3.0
    )
    return Case("M0, 561 atoms", twin(6, 6), lens, np.arange(-70.0, 71.0, 5.0), 0.25, settings)


# Atoms and diameter in Å of M1 to M6.
FULL_SIZES = ((25_000, 90.0), (50_000, 120.0), (75_000, 140.0), (100_000, 150.0), (150_000, 170.0), (200_000, 190.0))
SMALL_SIZES = (500, 1000, 2000, 4000)


def sizes(full: bool) -> list[Case]:
    """M1 to M6 at 25 mrad, or particles of M1's density with 500 to 4,000 atoms at 40; fast image model."""
    lens = Microscope(energy_eV=ENERGY_EV, semiangle_mrad=25.0 if full else 40.0)
    theta = np.arange(-72.0, 71.0, 2.0)
    table = FULL_SIZES if full else [(n, 90.0 * (n / 25_000) ** (1 / 3)) for n in SMALL_SIZES]
    return [Case(f"{n:,} Si", amorphous(n, diameter), lens, theta, 0.35 if full else 0.25) for n, diameter in table]
