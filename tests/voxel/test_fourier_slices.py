"""Transforms of images against the direct sum, projections of a volume against those of Gaussian balls."""

import numpy as np
import pytest
from gaussian_balls import Balls, everywhere

from napari_lot.voxel.fourier.slices import ImageTransforms, Reprojector, r_factor


@pytest.mark.parametrize("field", [(12, 15), (13, 10)])
def test_a_transform_at_any_frequency_is_the_direct_sum(field):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, *field)).astype(np.float32)
    shifts = np.array([[0.3, -0.7], [1.2, 0.4]])
    transforms = ImageTransforms(images, (5.2, 6.9), shifts)
    qv, qu = rng.uniform(-0.5, 0.5, (2, 200))
    qv[:4], qu[:4] = [0.499, -0.499, 0.0, 0.499], [0.499, 0.2, 0.0, -0.499]
    for t, (du, dv) in enumerate(shifts):
        at_v = np.exp(-2j * np.pi * np.outer(qv, np.arange(field[0]) - 5.2 - dv))
        at_u = np.exp(-2j * np.pi * np.outer(qu, np.arange(field[1]) - 6.9 - du))
        direct = np.einsum("qv,qu,vu->q", at_v, at_u, images[t])
        assert np.abs(transforms.at(t, qv, qu) - direct).max() < 1e-4 * np.abs(direct).max()


@pytest.mark.parametrize("shape", [(36, 40, 38), (37, 33, 41)])
def test_projections_of_balls_at_general_angles(shape):
    balls = Balls.some(sigma_A=0.8)
    tilts = balls.tilts(everywhere(5), (42, 35), (19.3, 17.8), np.random.default_rng(2).uniform(-2, 2, (5, 2)))
    found = np.array(list(Reprojector(tilts, shape, 2).project(balls.volume(shape), lambda: None)))
    assert np.abs(found - tilts.images).max() < 1e-3 * tilts.images.max()


def test_what_lies_beyond_the_field_does_not_come_back_into_it():
    ball = Balls([[6.0, 0, 0]], [1.0], 0.8)
    tilts = ball.tilts([0.0, 180.0], (30, 14), (14.5, 6.5))
    found = np.array(list(Reprojector(tilts, (36, 36, 36)).project(ball.volume((36, 36, 36)), lambda: None)))
    assert np.abs(found - tilts.images).max() < 2e-3


def test_r_factor_by_hand():
    measured, calculated = np.array([[2.0, -2.0, 4.0]], np.float32), np.array([[1.0, -2.0, 40.0]], np.float32)
    assert r_factor(measured, calculated, np.array([[True, True, False]])) == pytest.approx(0.25)
    assert np.isnan(r_factor(0 * measured, calculated, None))
