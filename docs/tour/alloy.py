"""A simulated Co/Pt particle in a microscope with unknown aberrations: an adaptive probe, two elements."""

from __future__ import annotations

import numpy as np

from napari_lot.atoms import Orbitals
from napari_lot.series import TiltSeries
from napari_lot.settings import Microscope
from napari_lot.simulate.images import Recording, simulate_series, with_cross_section
from napari_lot.simulate.particles import amorphous_sphere
from tour.guide import Guide

ATOMS = 200
NOMINAL = Microscope(energy_eV=3e5, semiangle_mrad=30.0)
LENS = Microscope(
    energy_eV=3e5, semiangle_mrad=30.0, defocus_A=20.0, c12_A=12.0, phi12_deg=30.0, c21_A=500.0, phi21_deg=70.0
)
COBALT_PLATINUM_E_PER_A2 = (0.012, 0.03)


def alloy_series() -> TiltSeries:
    """21 noisy images of 200 atoms, two of five of them platinum."""
    places = amorphous_sphere("Pt", 24.0, 2.5, atoms=ATOMS, width_A=0.5, seed=3).positions
    kinds = (np.random.default_rng(0).random(ATOMS) < 0.4).astype(int)
    particle = with_cross_section(
        Orbitals.create(places, 1.0, 0.5, kinds, ("Co", "Pt")), list(COBALT_PLATINUM_E_PER_A2)
    )
    recording = Recording(dose_e_per_A2=2e5, background=1.0, seed=2)
    return simulate_series(particle, np.arange(-70, 71, 7.0), 0.3, LENS, recording=recording)


def walk(guide: Guide) -> None:
    """Fit it with a probe that knows energy and semi-angle only."""
    bench, viewer = guide.bench, guide.viewer
    bench.state.set_series(alloy_series())
    bench.state.microscope = NOMINAL
    bench.state.element = "Co, Pt"
    guide.wait(0.5)
    guide.open("run")
    guide.choose("probe", "adaptive")
    guide.click("start")
    guide.must(500, lambda: not bench.state.running, "The run")
    guide.open("inspect")
    guide.click("view_atoms")
    guide.choose("color_by", "element")
    guide.scroll_to("color_by")
    guide.shot("alloy_elements")
    guide.click("show_probe_change")
    viewer.dims.set_point(viewer.dims.ndim - 3, 15.0)
    guide.scroll_to("probe_text")
    guide.shot("alloy_probe")
