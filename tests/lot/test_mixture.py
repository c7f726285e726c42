"""Species by their scattering strength: found, counted and uncertain where they should be."""

import json

import numpy as np
import pytest
from tiny import ANGLES, MIDDLE, PIXEL, make_problem, make_state

from napari_lot.analysis.mixture import fit_mixture
from napari_lot.lot.hull import Hull
from napari_lot.lot.reconstruct import Reconstruction
from napari_lot.physics.geometry import rotations
from napari_lot.settings import Solver

MEANS = np.array([0.16, 0.41, 1.0])


def draw(error, parts=(0.3, 0.4, 0.3), n=3000, scatter=0.03, seed=0):
    rng = np.random.default_rng(seed)
    kind = rng.choice(len(parts), n, p=parts)
    own = MEANS[: len(parts)][kind] * (1 + scatter * rng.normal(size=n))
    return own + error * rng.normal(size=n), kind


@pytest.mark.parametrize(
    "how", [{"elements": ("Co", "Pd", "Pt")}, {"species": 3}, {}], ids=["elements", "given", "bic"]
)
def test_three_species(how):
    strength, kind = draw(0.03)
    found = fit_mixture(strength, 0.03, **how)
    assert len(found) == 3
    np.testing.assert_allclose(found.mean, MEANS, rtol=0.02)
    np.testing.assert_allclose(found.part, [0.3, 0.4, 0.3], atol=0.03)
    assert (found.probability.argmax(1) == kind).mean() > 0.998
    np.testing.assert_allclose(found.probability.sum(1), 1.0)


def test_widths_tell_apart_what_strengths_cannot():
    rng = np.random.default_rng(2)
    kind = rng.integers(0, 2, 2000)
    strength = np.array([1.0, 1.15])[kind] * (1 + 0.05 * rng.normal(size=2000)) + 0.1 * rng.normal(size=2000)
    width = np.array([0.60, 0.50])[kind] + 0.02 * rng.normal(size=2000)
    alone = fit_mixture(strength, 0.1, species=2)
    both = fit_mixture(strength, 0.1, width_A=width, width_error_A=0.02, species=2)
    assert (alone.probability.argmax(1) == kind).mean() < 0.85
    assert (both.probability.argmax(1) == kind).mean() > 0.98
    np.testing.assert_allclose(both.width_A, [0.60, 0.50], atol=0.005)
    assert len(fit_mixture(strength, 0.1, width_A=width, width_error_A=0.02)) == 2, "by BIC"


def test_kinds_without_names():
    strength, _ = draw(0.03)
    drawn = fit_mixture(strength, 0.03).as_dict(("X",))
    assert drawn["elements"] == ["kind 1", "kind 2", "kind 3"]


def test_what_a_drawing_needs():
    strength, kind = draw(0.03)
    found = fit_mixture(strength, 0.03, elements=("Pt", "Co", "Pd"))
    drawn = found.as_dict(("Pt", "Co", "Pd"), unit=2.0)
    assert drawn["elements"] == ["Co", "Pd", "Pt"], "weakest first"
    np.testing.assert_allclose(drawn["counts"], np.bincount(kind), atol=10)
    np.testing.assert_allclose(drawn["mean"], 2 * MEANS, rtol=0.02)
    assert drawn["error"] == pytest.approx(0.06)
    # a scatter of 3 % beside the error bars, so that both together are the histogram's own width
    together = np.hypot(drawn["scatter"], drawn["error"])
    np.testing.assert_allclose(together, [2 * strength[kind == k].std() for k in range(3)], rtol=0.05)
    assert json.loads(json.dumps(drawn)) == drawn


def test_a_rare_light_element_is_found():
    strength, kind = draw(0.02, parts=(0.02, 0.08, 0.9))
    found = fit_mixture(strength, 0.02, elements=("Co", "Pd", "Pt"))
    assert (found.probability.argmax(1) == kind).mean() > 0.995


def test_one_species_is_one_however_large_the_error_bars():
    rng = np.random.default_rng(1)
    for error in (0.02, 0.2):
        found = fit_mixture(1 + error * rng.normal(size=800), error)
        assert len(found) == 1
        assert found.scatter[0] < 0.08, "the scatter is that of the error bars"


def test_probabilities_are_as_often_right_as_they_say():
    strength, kind = draw(0.13, parts=(0.5, 0.5), n=20000)
    found = fit_mixture(strength, 0.13, species=2)
    best = found.probability.argmax(1)
    p = found.probability[np.arange(len(best)), best]
    for low, high in ((0.5, 0.7), (0.7, 0.9), (0.9, 0.99)):
        chosen = (p >= low) & (p < high)
        assert (best == kind)[chosen].mean() == pytest.approx(p[chosen].mean(), abs=0.04)


def test_error_bars_of_every_atom_count():
    """An atom of the same strength is less certain with a wider error bar."""
    strength, _ = draw(0.02, parts=(0.5, 0.5))
    error = np.full(len(strength), 0.02)
    strength[:2] = 0.3
    error[:2] = 0.01, 0.3
    found = fit_mixture(strength, error, species=2)
    assert found.probability[0].max() > found.probability[1].max()


def test_too_few_atoms():
    with pytest.raises(ValueError, match="2 atoms are too few for 3 species"):
        fit_mixture([1.0, 2.0], species=3)


def test_a_run_that_is_stopped_has_the_probabilities_of_its_atoms():
    """A fit sorts orbitals, births and deaths change their number: what was told before is of others."""
    state = make_state()
    problem = make_problem(state, 0.01)
    everywhere = np.ones(problem.observed.shape, bool)
    hull = Hull(everywhere, everywhere, rotations(ANGLES), PIXEL, MIDDLE, isolated=True)
    solver = Reconstruction(problem, state, hull, 2.6, Solver(), ("Co", "Pt"))
    assert solver.tells_species()
    solver.condensed = True
    solver._select(np.array([4, 2, 0, 1]))
    solver.settle()
    assert len(solver.p_element) == 4
    np.testing.assert_array_equal(solver.p_element, solver.mixture.probability.max(1))


def test_a_round_is_that_of_the_formulas():
    """Score by SciPy, means and variances as weighted sums over what each atom of a species is expected to have."""
    from scipy.special import logsumexp
    from scipy.stats import norm

    from napari_lot.analysis.mixture import _better, _Species

    rng = np.random.default_rng(4)
    x, s2 = rng.normal(1.5, 0.5, (300, 2)), rng.uniform(0.01, 0.2, (300, 2))
    species = _Species(np.array([[1.0, 1.2], [2.0, 1.7]]), np.array([[0.1, 0.3], [0.2, 0.05]]), np.array([0.3, 0.7]))
    better, score, belongs = _better(species, x, s2)
    total = species.variance + s2[:, None]
    log = np.log(species.part) + norm.logpdf(x[:, None], species.mean, np.sqrt(total)).sum(-1)
    assert score == pytest.approx(logsumexp(log, 1).sum(), rel=1e-12)
    share = np.exp(log - logsumexp(log, 1, keepdims=True))
    np.testing.assert_allclose(belongs, share, rtol=1e-10)
    own = species.mean + species.variance / total * (x[:, None] - species.mean)
    left = species.variance * s2[:, None] / total
    mean = (share[..., None] * own).sum(0) / share.sum(0)[:, None]
    np.testing.assert_allclose(better.mean, mean, rtol=1e-10)
    variance = (share[..., None] * ((own - mean) ** 2 + left)).sum(0) / share.sum(0)[:, None]
    np.testing.assert_allclose(better.variance, variance, rtol=1e-10)
    np.testing.assert_allclose(better.part, share.mean(0), rtol=1e-10)
