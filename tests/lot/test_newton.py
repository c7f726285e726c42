"""The small minimiser of local fits: what no image shows stays where it is."""

import numpy as np

from napari_lot.lot.local.newton import minimize


def test_a_parameter_without_curvature_is_not_sent_away():
    """As the place of an atom of no height: all that is left of its slope is rounding."""
    hessian = np.diag([4.0, 2.0, 0.0])
    wanted = np.array([1.0, -2.0, 0.3])

    def function(x):
        rest = x - wanted
        assert np.abs(rest).max() < 100
        return 0.5 * float(rest @ hessian @ rest), hessian @ rest + np.array([0, 0, 1e-15])

    found = minimize(function, np.array([0.0, 0.0, 0.3]), hessian, lambda step, gain: gain < 1e-12)
    np.testing.assert_allclose(found.x, wanted, atol=1e-3)
    assert found.evaluations < 20


def test_a_fit_to_the_end_with_a_rough_hessian():
    curvature = np.array([[4.0, 1.0], [1.0, 2.0]])
    rough = np.diag([3.0, 3.0])
    wanted = np.array([1.0, -2.0])
    found = minimize(
        lambda x: (0.5 * float((x - wanted) @ curvature @ (x - wanted)), curvature @ (x - wanted)),
        np.zeros(2),
        rough,
        lambda step, gain: gain < 1e-14,
    )
    np.testing.assert_allclose(found.x, wanted, atol=1e-6)
