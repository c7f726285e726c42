"""A particle of thirty atoms and settings that end soon: for what a run does rather than how well it fits."""

import numpy as np

from napari_lot.simulate.images import simulate_series
from napari_lot.simulate.particles import amorphous_sphere

ANGLES = np.linspace(-70, 70, 21)
# Enough to become atoms; not to converge.
SHORT = {
    "threads": 1,
    "positions_passes": 3,
    "merge_distances": (0.5, 0.66),
    "merge_passes": 2,
    "refine_passes": 2,
    "birth_rounds": 2,
    "birth_steps": 4,
    "polish_steps": 12,
}


def small_particle():
    return amorphous_sphere("Pt", 11.0, 2.5, atoms=30, width_A=0.6, seed=3)


def noisy_series(particle, lens=None):
    """Images of a particle with a constant background of 0.1 and noise of 0.01."""
    series = simulate_series(particle, ANGLES, 0.4, lens, image_shape=(48, 52))
    noise = np.random.default_rng(5).normal(0.1, 0.01, series.images.shape)
    return series.with_changes(images=(series.images + noise).astype(np.float32))


def assert_complete(found, particle, rmsd_A):
    """Every atom of a particle is found once, to within ``rmsd_A``."""
    assert len(found) == len(particle)
    offset = found.positions.mean(0) - particle.positions.mean(0)
    distance = np.linalg.norm((found.positions - offset)[:, None] - particle.positions, axis=2)
    assert sorted(distance.argmin(1)) == list(range(len(particle))), "every atom once"
    assert np.sqrt((distance.min(1) ** 2).mean()) < rmsd_A
