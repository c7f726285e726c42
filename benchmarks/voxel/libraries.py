"""SIRT of ASTRA and SART of scikit-image in place of our own, with everything else of the program the same.

    python -m benchmarks.voxel.libraries sirt-astra SERIES ...     as  napari-lot voxel sirt SERIES ...

Both take two-dimensional slices about a single tilt axis, on the processor: tilts are moved to the middle first, and
slices are shared out over the cores. ASTRA (GPL) is no dependency: ``pip install astra-toolbox``.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from benchmarks.voxel.cases import LIBRARIES
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from napari_lot.settings.voxel import Sart, Sirt
from napari_lot.voxel.method import Iterate, Poll, Tilts
from napari_lot.voxel.volume import Volume

Images = NDArray[np.float32]
Slice = Callable[[Images], Images]


def is_there(method: str) -> bool:
    """Whether a method needs no library, or one that is installed."""
    return method not in LIBRARIES or importlib.util.find_spec(method.partition("-")[2]) is not None


def astra_sirt(tilts: Tilts, shape: tuple[int, int, int], settings: Sirt, poll: Poll) -> Iterator[Iterate]:
    """ASTRA's SIRT, which has no relaxation, with ``settings.iterations``."""
    one = partial(_astra_slice, _angles(tilts), (shape[0], shape[2]), settings.iterations, settings.positivity)
    yield from _whole(tilts, shape, settings.iterations, one, shape[2])


def skimage_sart(tilts: Tilts, shape: tuple[int, int, int], settings: Sart, poll: Poll) -> Iterator[Iterate]:
    """scikit-image's ``iradon_sart`` with ``settings.iterations`` and ``relaxation``; its slices are squares."""
    side = max(shape[0], shape[2])
    clip = (0.0, np.inf) if settings.positivity else None
    one = partial(
        _skimage_slice, np.rad2deg(_angles(tilts)), (shape[0], shape[2]), settings.iterations, settings.relaxation, clip
    )
    yield from _whole(tilts, shape, settings.iterations, one, side)


def _whole(tilts: Tilts, shape: tuple[int, int, int], iterations: int, one: Slice, columns: int) -> Iterator[Iterate]:
    """All slices of a volume (Z, Y, X), from sinograms (T, columns) with the axis in the middle."""
    centred = np.empty((len(tilts), shape[1], columns), np.float32)
    middle = (np.array(centred.shape[1:]) - 1) / 2
    for j, image in enumerate(tilts.images):
        seen = np.array(tilts.center_px) + tilts.shifts_px[j, ::-1]
        affine_transform(image, np.eye(2), seen - middle, centred.shape[1:], centred[j], order=3)
    centred /= tilts.pixel_size_A  # paths are counted in pixels
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        slices = list(pool.map(one, np.ascontiguousarray(centred.transpose(1, 0, 2)), chunksize=4))
    volume = Volume.centred(np.ascontiguousarray(np.stack(slices, 1)), tilts.pixel_size_A)
    yield Iterate(volume, iterations, iterations, np.full(len(tilts), np.nan), message="Done.")


def _angles(tilts: Tilts) -> NDArray[np.float64]:
    """Tilt angles in radians, of a series about the columns of the images.

    Raises
    ------
    RuntimeError
        The axis lies elsewhere.
    """
    turned = tilts.rotations
    if np.abs(turned[:, 1] - (0.0, 1.0, 0.0)).max() > 1e-6:
        raise RuntimeError("slices are of a single tilt axis along the columns")
    return np.arctan2(turned[:, 0, 2], turned[:, 0, 0])


def _astra_slice(
    angles: NDArray[np.float64], sides: tuple[int, int], iterations: int, positivity: bool, sinogram: Images
) -> Images:
    import astra

    grid = astra.create_vol_geom(*sides)
    rays = astra.create_proj_geom("parallel", 1.0, sinogram.shape[1], angles)
    projector = astra.create_projector("linear", rays, grid)
    data, found = astra.data2d.create("-sino", rays, sinogram), astra.data2d.create("-vol", grid, 0.0)
    settings = astra.astra_dict("SIRT")
    settings |= {"ProjectorId": projector, "ProjectionDataId": data, "ReconstructionDataId": found}
    settings["option"] = {"MinConstraint": 0.0} if positivity else {}
    run = astra.algorithm.create(settings)
    astra.algorithm.run(run, iterations)
    image = astra.data2d.get(found)[::-1].astype(np.float32)  # its z is up
    astra.algorithm.delete(run)
    astra.data2d.delete([data, found])
    astra.projector.delete(projector)
    return image


def _skimage_slice(
    degrees: NDArray[np.float64],
    sides: tuple[int, int],
    iterations: int,
    relaxation: float,
    clip: tuple[float, float] | None,
    sinogram: Images,
) -> Images:
    from skimage.transform import iradon_sart

    image: Any = None
    for _ in range(iterations):
        # with z down its positive turns are ours the other way round
        image = iradon_sart(sinogram.T, -degrees, image, clip=clip, relaxation=relaxation, dtype=np.float32)
    first = [(len(image) - side) // 2 for side in sides]
    return np.asarray(image[first[0] : first[0] + sides[0], first[1] : first[1] + sides[1]], np.float32)


def main() -> None:
    """As ``napari-lot voxel``."""
    from napari_lot.cli import main as program
    from napari_lot.voxel import methods

    name, *others = sys.argv[1:]
    ours, _, package = name.partition("-")
    place = f"benchmarks.voxel.libraries:{package}_{ours}"
    methods.METHODS[ours] = replace(methods.METHODS[ours], place=place)
    program(["voxel", ours, *others])


if __name__ == "__main__":
    main()
