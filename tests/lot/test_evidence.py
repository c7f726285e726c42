"""What tilts show where points are seen, against the interpolation of a library."""

import numpy as np
from scipy import ndimage

from napari_lot.lot.evidence import _add_seen
from napari_lot.physics.geometry import rotations


def test_points_are_looked_up_bilinearly_and_show_nothing_outside_the_field():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(3, 20, 25)).astype(np.float32)
    points = rng.uniform(-12, 12, (500, 3))  # many of them outside
    turned = rotations(np.array([[0.0, -40.0, 0.0], [0.0, 0.0, 0.0], [4.0, 65.0, 2.0]]))
    matrices, middles, factors = np.ascontiguousarray(turned[:, :2]) / 0.9, rng.uniform(9, 13, (3, 2)), rng.random(3)
    total = np.full(len(points), 0.5)
    _add_seen(points, matrices, middles, images, factors, total)
    expected = np.full(len(points), 0.5)
    for j, image in enumerate(images):
        u, v = matrices[j] @ points.T + middles[j][:, None]
        expected += factors[j] * ndimage.map_coordinates(image, [v, u], order=1, mode="constant", cval=0.0)
    assert (expected == 0.5).any()
    np.testing.assert_allclose(total, expected, atol=1e-5)
