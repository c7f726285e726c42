"""GENFIRE on Gaussian balls, whose projections and transforms are known in closed form."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from gaussian_balls import PIXEL_A, Balls, assert_ends_at_poll, error, everywhere, noisy
from pydantic import ValidationError

from napari_lot.errors import InputError
from napari_lot.settings.voxel_fourier import Est, Genfire
from napari_lot.voxel.fourier import genfire as module
from napari_lot.voxel.fourier.genfire import genfire, resolution_limit
from napari_lot.voxel.fourier.genfire_grid import Grid, Gridding
from napari_lot.voxel.fourier.slices import ImageTransforms
from napari_lot.voxel.fourier.support import hull

SHAPE = (30, 32, 31)
BALLS = Balls.some(radius_A=4.5, sigma_A=0.8)
TRUTH = BALLS.volume(SHAPE)
WEDGE = BALLS.tilts(np.arange(-68.0, 69.0, 4.0), (32, 32))


def run(tilts, shape=SHAPE, **settings):
    return list(genfire(tilts, shape, Genfire(threads=1, **{"oversampling": 2, **settings}), lambda: None))


def gridded(tilts, shape, cutoff=0.5, withheld=0.0, block=1, seed=0, oversampling=2.0):
    grid = Grid.padded(shape, oversampling)
    transforms = ImageTransforms(tilts.images, tilts.center_px, tilts.shifts_px)
    with ThreadPoolExecutor(1) as pool:
        slabs = Gridding(cutoff, withheld, block, seed).slabs(
            grid, transforms, tilts.rotations, PIXEL_A, pool, lambda: None
        )
    whole = np.zeros((*grid.points[:2], grid.columns), np.complex64)
    kept = np.zeros(whole.shape, bool)
    left = np.zeros(whole.shape, bool)
    for (first, end), slab in zip(grid.slabs(), slabs, strict=True):
        part = np.unravel_index(slab.index, (grid.points[0], end - first, grid.columns))
        at = (part[0], part[1] + first, part[2])
        whole[at], kept[at], left[at] = slab.value, True, slab.withheld
    return grid, whole, kept, left


def test_gridded_points_are_the_objects_transform():
    tilts = BALLS.tilts(everywhere(12), (34, 31), (15.2, 16.9), np.random.default_rng(1).uniform(-2, 2, (12, 2)))
    grid, found, measured, _ = gridded(tilts, SHAPE, cutoff=0.05)
    kz, ky, kx = np.meshgrid(*map(np.fft.fftfreq, grid.points), indexing="ij")
    k = np.stack([kx, ky, kz], -1)[..., : grid.columns, :] / PIXEL_A
    exact = np.zeros(k.shape[:3], complex)
    corner = 0.5 * (np.array(SHAPE[::-1]) - 1) * PIXEL_A
    for position, height in zip(BALLS.positions, BALLS.heights, strict=True):
        exact += height * np.exp(-2j * np.pi * (k @ (position + corner)))
    exact *= (2 * np.pi) ** 1.5 * BALLS.sigma_A**3 * np.exp(-2 * np.pi**2 * BALLS.sigma_A**2 * (k**2).sum(-1))
    exact /= PIXEL_A**3
    assert measured.sum() > 1000
    # as far as a point may be from its slice, the transform changes a little
    assert np.abs(found - exact)[measured].max() < 0.02 * np.abs(exact).max()
    assert error(np.abs(found[measured]), np.abs(exact[measured])) < 0.02


def test_a_wider_cutoff_takes_more_points_and_all_nearer_ones():
    _, _, narrow, _ = gridded(WEDGE, SHAPE, cutoff=0.2)
    _, _, wide, _ = gridded(WEDGE, SHAPE, cutoff=0.6)
    assert wide[narrow].all()
    assert wide.sum() > 1.5 * narrow.sum()


@pytest.mark.parametrize("block", [1, 3, 4])
def test_withheld_points_are_a_part_of_all_shells_and_come_with_their_opposites(block):
    tilts = BALLS.tilts(everywhere(20), (32, 32))
    grid, _, measured, withheld = gridded(tilts, SHAPE, withheld=0.1, block=block, seed=3)
    k = np.linalg.norm(np.meshgrid(*map(np.fft.fftfreq, grid.points), indexing="ij"), axis=0)[..., : grid.columns]
    for low, high in ((0.2, 0.3), (0.3, 0.4), (0.4, 0.5)):
        shell = measured & (k >= low) & (k < high)
        assert withheld[shell].mean() == pytest.approx(0.1, abs=0.02 if block == 1 else 0.06)
    opposite = np.roll(withheld[::-1, ::-1, 0], 1, (0, 1))
    assert withheld[..., 0].any()
    assert (withheld[..., 0] == opposite)[measured[..., 0]].all()
    assert not withheld[0, 0, 0]
    assert (withheld != gridded(tilts, SHAPE, withheld=0.1, block=block, seed=4)[3]).any()
    beside = (withheld & np.roll(withheld, 1, 2))[..., 1:][measured[..., 1:] & withheld[..., 1:]].mean()
    assert beside < 0.2 if block == 1 else beside > 0.4


@pytest.mark.parametrize("oversampling", [1.0, 2.0])
def test_an_enforced_volume_is_what_a_plain_padded_fft_gives(oversampling):
    settings = Genfire(
        threads=1, oversampling=oversampling, support="none", withheld=0.1, withheld_block=3 / oversampling
    )
    with ThreadPoolExecutor(1) as pool:
        plan = module._Run(WEDGE, SHAPE, settings, lambda: None, pool, 1)
        values = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
        found, agreement = plan._enforced(values, 0.3)
    grid, measured, kept, withheld = gridded(WEDGE, SHAPE, withheld=0.1, block=3, oversampling=oversampling)
    k = np.linalg.norm(np.meshgrid(*map(np.fft.fftfreq, grid.points), indexing="ij"), axis=0)[..., : grid.columns]
    whole = np.fft.rfftn(values, grid.points, (0, 1, 2))
    away, size = np.abs(measured - whole), np.abs(measured)
    assert agreement.r_k == pytest.approx(away[kept & ~withheld].sum() / size[kept & ~withheld].sum(), rel=1e-4)
    assert agreement.r_free == pytest.approx(away[withheld].sum() / size[withheld].sum(), rel=1e-4)
    take = kept & ~withheld & (k <= 0.3 + 1e-9)
    whole[take] = measured[take]
    plain = np.fft.irfftn(whole, grid.points, (0, 1, 2))[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    assert np.abs(found - plain).max() < 1e-4 * np.abs(plain).max()


def test_tilts_at_any_angles_with_drift_and_a_centre_that_is_not_in_the_middle():
    shifts = np.random.default_rng(1).uniform(-2, 2, (45, 2))
    tilts = BALLS.tilts(everywhere(45), (36, 34), (16.3, 18.1), shifts)
    before = tilts.images.copy()
    found = run(tilts, iterations=20)[-1]
    assert error(found.volume.values, TRUTH) < 0.025
    assert found.r_factor.max() < 0.03
    assert (tilts.images == before).all()
    assert found.volume.origin_A == pytest.approx((-15 * PIXEL_A, -15.5 * PIXEL_A, -14.5 * PIXEL_A))
    # the test can tell: half a pixel of drift that nobody speaks of
    lost = run(replace(tilts, shifts_px=shifts + np.array([0.5, 0])), iterations=20)[-1]
    assert error(lost.volume.values, TRUTH) > 4 * error(found.volume.values, TRUTH)


def test_the_missing_wedge_is_filled_and_iterates_converge():
    found = run(WEDGE, iterations=40, enforcement="all")
    errors = [error(f.volume.values, TRUTH) for f in found]
    assert errors[0] > 0.3
    assert errors[40] < errors[20] < errors[10] < errors[1] < errors[0]
    assert errors[40] < 0.15 * errors[0]
    assert [f.iteration for f in found] == list(range(41))
    r = [np.mean(found[i].r_factor) for i in (0, 5, 20, 40)]
    assert r == sorted(r, reverse=True)
    assert np.isnan(found[4].r_factor).all()
    assert found[40].r_free < 0.5 * found[1].r_free
    assert all((f.volume.values >= 0).all() for f in found[1:])
    nothing_known = run(WEDGE, iterations=40, enforcement="all", positivity=False, support="none")
    assert errors[40] < 0.3 * error(nothing_known[-1].volume.values, TRUTH)


def test_extension_and_suppression_do_as_well():
    limits = [resolution_limit(i, 20, "extension_suppression") for i in range(1, 21)]
    assert limits[0] == pytest.approx(0.1)
    assert limits[9:11] == [1, 1]
    assert limits == pytest.approx(limits[::-1])
    assert [resolution_limit(i, 4, "extension") for i in (1, 2, 3, 4)] == [0.5, 1, 1, 1]
    found = run(WEDGE, iterations=30)
    assert error(found[-1].volume.values, TRUTH) < 0.07
    assert found[-1].r_free == min(f.r_free for f in found[1:])


def test_r_free_of_blocks_tells_when_noise_is_fitted_and_that_of_single_points_does_not():
    tilts = noisy(WEDGE, 0.05)
    found = run(tilts, iterations=40, enforcement="extension")
    assert "predicts the withheld points best and is kept" in found[-1].message
    assert error(found[-1].volume.values, TRUTH) < 0.75 * error(found[-2].volume.values, TRUTH)
    assert found[-1].r_free == min(f.r_free for f in found[1:]) < found[-2].r_free
    single = run(tilts, iterations=40, enforcement="extension", withheld_block=0)
    assert error(single[-1].volume.values, TRUTH) > 0.95 * error(single[-2].volume.values, TRUTH)


def test_noise_raises_r_free():
    r_free = [run(noisy(WEDGE, part), iterations=16)[-1].r_free for part in (0.0, 0.02, 0.1)]
    assert r_free[0] < 0.1
    assert r_free[1] > 1.3 * r_free[0]
    assert r_free[2] > 1.5 * r_free[1]


def test_r_free_tells_that_the_axis_is_elsewhere():
    elsewhere = replace(WEDGE, center_px=(15.5, 17.5))
    right, wrong = (run(t, iterations=25, enforcement="all")[-1].r_free for t in (WEDGE, elsewhere))
    assert wrong > 3 * right


def test_withheld_points_have_no_part_in_the_volume(monkeypatch):
    clean = run(WEDGE, iterations=6, withheld=0.2)
    whole = Gridding.slabs

    def spoilt(*args):
        slabs = whole(*args)
        for slab in slabs:
            slab.value[slab.withheld] *= -5
        return slabs

    monkeypatch.setattr(Gridding, "slabs", spoilt)
    found = run(WEDGE, iterations=6, withheld=0.2)
    for one, other in zip(clean[1:5], found[1:5], strict=True):
        # the direct inversion is made without them, too
        assert (one.volume.values == other.volume.values).all()
        assert other.r_free > 0.9 > one.r_free


def masked(tilts, seed=2):
    """Blocks that may not be used, within the object in a third of the tilts; one tilt that may not be used at all."""
    rng = np.random.default_rng(seed)
    usable = np.ones(tilts.images.shape, bool)
    for t in range(0, len(tilts), 3):
        v, u = rng.integers(9, 17, 2)
        usable[t, v : v + 6, u : u + 6] = False
    usable[4] = False
    return replace(tilts, images=np.where(usable, tilts.images, 0).astype(np.float32), usable=usable)


def test_masked_pixels_show_what_the_volume_shows_there():
    tilts = masked(WEDGE)
    before = tilts.images.copy()
    settings = {"iterations": 40, "enforcement": "all", "oversampling": 3}
    found = run(tilts, **settings)[-1]
    taken_for_zeros = run(replace(tilts, usable=None), **settings)[-1]
    assert error(found.volume.values, TRUTH) < 0.06
    assert error(taken_for_zeros.volume.values, TRUTH) > 2 * error(found.volume.values, TRUTH)
    assert np.isnan(found.r_factor[4])
    assert np.nanmax(found.r_factor) < 0.05
    assert (tilts.images == before).all()


def test_an_object_that_leaves_the_field():
    balls = Balls(BALLS.positions * [1.5, 1, 0.6], BALLS.heights, 0.8)
    shape = (20, 30, 40)
    tilts = balls.tilts(np.arange(-60.0, 61.0, 4.0), (30, 22), isolated=False)
    truth = balls.volume(shape)
    middle = np.s_[:, :, 12:28]
    inside, taken_for_vacuum = (
        error(
            run(t, shape, iterations=40, enforcement="all", oversampling=2.5)[-1].volume.values[middle], truth[middle]
        )
        for t in (tilts, replace(tilts, isolated=True))
    )
    assert inside < 0.35
    assert inside < 0.85 * taken_for_vacuum


def test_the_hull_holds_the_object_and_leaves_out_the_corners():
    region = hull(WEDGE, SHAPE, 0.05, 1.0, 1, lambda: None)
    assert TRUTH[region].sum() > 0.999 * TRUTH.sum()
    assert not region[:, 0].any()
    assert not region[:, :, 0].any()
    assert region.mean() < 0.5


def test_a_support_that_follows_the_volume():
    found = run(WEDGE, iterations=20, support="threshold", threshold_every=5, threshold_level=0.02)[-1].volume.values
    assert error(found, TRUTH) < 0.15
    assert (found == 0).mean() > 0.5


def test_without_withheld_points_there_is_no_r_free():
    assert np.isnan(run(WEDGE, iterations=2, withheld=0)[-1].r_free)


def test_threads_change_nothing():
    one = run(WEDGE, iterations=3)[-1]
    two = list(genfire(WEDGE, SHAPE, Genfire(threads=2, iterations=3, oversampling=2), lambda: None))[-1]
    assert (one.volume.values == two.volume.values).all()
    assert one.r_free == two.r_free


def test_bad_input_is_told_in_a_sentence():
    with pytest.raises(InputError, match=r"^genfire: the settings are not those of GENFIRE"):
        next(genfire(WEDGE, SHAPE, Est(), lambda: None))
    nothing = replace(WEDGE, usable=np.zeros(WEDGE.images.shape, bool))
    with pytest.raises(InputError, match=r"^genfire: no tilt has a usable pixel"):
        next(genfire(nothing, SHAPE, Genfire(), lambda: None))
    elsewhere = replace(WEDGE, shifts_px=WEDGE.shifts_px + 500)
    with pytest.raises(InputError, match=r"^support hull: every voxel is vacuum"):
        next(genfire(elsewhere, SHAPE, Genfire(), lambda: None))
    for wrong in ({"oversampling": 0.5}, {"withheld": 0.9}, {"cutoff": 0}, {"iterations": 0}, {"speed": 1}):
        with pytest.raises(ValidationError):
            Genfire(**wrong)


def test_poll_ends_it_at_once():
    assert_ends_at_poll(lambda poll: genfire(WEDGE, SHAPE, Genfire(threads=2), poll), 40)


def test_torch_is_not_imported():
    code = (
        "import sys, napari_lot.voxel.fourier.genfire, napari_lot.voxel.fourier.est; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
