"""What a tilt series must be: every check of `TiltSeries`, each failing with one sentence for the user."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_lot.errors import InputError

MIN_TILTS = 3
BLOCKS, BRIGHTER_EDGE = 8, 0.8
"""Blocks along a side of an image, and how much brighter than its middle the outermost are where atoms are dark, in
standard deviations of the blocks: a particle on vacuum has -2 to -1, a film that fills the field about 0."""
PIXEL_SIZE_RANGE_A = (1e-3, 100.0)


def tilt_list(tilts: Iterable[int], limit: int = 8) -> str:
    """'tilt 4' or 'tilts 1, 2, 5 and 12 more', counted from 0."""
    listed = [int(t) for t in tilts]
    text = ", ".join(str(t) for t in listed[:limit])
    if len(listed) > limit:
        text += f" and {len(listed) - limit} more"
    return f"tilt{'s' if len(listed) > 1 else ''} {text}"


def finite_number(value: Any, what: str, source: str) -> float:
    """A finite float, or InputError naming ``what``."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise InputError(f"{source}: the {what} must be a number, not {value!r}: give it as one.")
    return number


def check_stack_shape(shape: Sequence[int], source: str) -> None:
    """Refuse what cannot be a stack [tilt, v, u], in words that say what it looks like instead."""
    sizes = " x ".join(str(n) for n in shape)
    if len(shape) == 2:
        raise InputError(
            f"{source}: this is a single image ({sizes}), not a tilt series: give a stack, one image per tilt."
        )
    if len(shape) == 4 and shape[-1] in (3, 4):
        raise InputError(
            f"{source}: this is an RGB colour stack ({sizes}): save it in grey (one value per pixel) and try again."
        )
    if len(shape) != 3:
        raise InputError(
            f"{source}: a tilt series needs three dimensions [tilt, v, u], but this has {len(shape)} "
            f"({sizes or 'a number'}): save one image per tilt."
        )
    if 0 in shape:
        raise InputError(f"{source}: the stack is empty ({sizes}): check how it was saved.")
    if len(shape) == 3 and shape[0] == 1:
        raise InputError(f"{source}: this is a single image ({sizes}), not a tilt series: give one image per tilt.")


def check_pixel_type(dtype: np.dtype[Any], source: str) -> None:
    """Refuse what is not made of real numbers."""
    if dtype.kind not in "buif":
        kind = "complex numbers" if dtype.kind == "c" else f"type {str(dtype)[:40]}"
        raise InputError(f"{source}: pixels of {kind} cannot be used: save real numbers (integer or float).")


def checked_stack(images: Any, source: str) -> NDArray[np.float32]:
    """The images as contiguous (T, V, U) float32; the array that was given is not changed."""
    array = np.asarray(images)
    check_pixel_type(array.dtype, source)
    check_stack_shape(array.shape, source)
    with np.errstate(over="ignore"):  # too large for float32 becomes inf and is reported with the pixels
        return np.ascontiguousarray(array, dtype=np.float32)


def check_angles(angles: Any, tilts: int, source: str, *, values_matter: bool = True) -> NDArray[np.float64]:
    """Angles as (T, 3) float64 in degrees; (T,) is taken as theta about y.

    Raises
    ------
    InputError
        Not numbers, another count than ``tilts``, beyond 360 degrees, or radians.
    """
    try:
        array = np.asarray(angles, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{source}: the angles are not numbers: give degrees, one tilt a line.") from None
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 1:
        array = np.stack([np.zeros_like(array), array, np.zeros_like(array)], axis=1)
    if array.ndim != 2 or array.shape[1] != 3:
        raise InputError(
            f"{source}: angles of shape {array.shape} cannot be used: give theta, or psi, theta and phi, for each tilt."
        )
    if len(array) != tilts:
        raise InputError(
            f"{source}: {len(array)} angles but {tilts} images: give exactly one angle per image, in the same order."
        )
    if not np.isfinite(array).all():
        bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
        raise InputError(f"{source}: the angle of {tilt_list(bad)} is not a finite number: correct the angles.")
    if values_matter:
        _check_angle_unit(array, source)
    return array


def _check_angle_unit(angles: NDArray[np.float64], source: str) -> None:
    largest = float(np.abs(angles).max())
    if largest > 360:
        raise InputError(
            f"{source}: the largest angle is {largest:g}, beyond 360: angles must be in degrees, check their unit."
        )
    # A series within +-pi whose steps are all under 0.2 covers at most a few degrees if these are degrees: of no use,
    # and a usual series if they are radians (0.2 rad = 11 degrees).
    steps = np.abs(np.diff(angles, axis=0)).max() if len(angles) > 1 else 0.0
    if 0 < largest <= 1.02 * np.pi and 0 < steps <= 0.2:
        raise InputError(
            f"{source}: the angles run only from {angles.min():.4g} to {angles.max():.4g} in steps up to {steps:.3g}, "
            "which looks like radians: convert them to degrees."
        )


def checked_excluded(excluded: Sequence[int], tilts: int, source: str) -> tuple[int, ...]:
    """Tilts not to use, sorted and once each; InputError where one does not exist."""
    wrong = [t for t in excluded if not 0 <= int(t) < tilts or int(t) != t]
    if wrong:
        raise InputError(
            f"{source}: cannot exclude tilt {wrong[0]}: the {tilts} tilts are counted from 0 to {tilts - 1}."
        )
    return tuple(sorted({int(t) for t in excluded}))


def check_mask(mask: Any, shape: Sequence[int], source: str) -> NDArray[np.bool_] | None:
    """A mask as (T, V, U) bool; (V, U) serves every tilt.

    Raises
    ------
    InputError
        Another shape than the images, values that are not numbers, or no pixel to use.
    """
    if mask is None:
        return None
    array = np.asarray(mask)
    given = " x ".join(str(n) for n in array.shape)
    wanted = " x ".join(str(n) for n in shape)
    if array.shape not in (tuple(shape), tuple(shape[1:])):
        raise InputError(
            f"{source}: the mask ({given}) does not fit the images ({wanted}): "
            "give one of the same rows and columns, 2-D or one per tilt."
        )
    if array.dtype.kind not in "buif":
        raise InputError(
            f"{source}: the mask holds {array.dtype} values: save 1 where a pixel may be used and 0 elsewhere."
        )
    usable = np.nan_to_num(array) > 0 if array.dtype.kind == "f" else array > 0
    if not usable.any():
        raise InputError(
            f"{source}: the mask leaves no pixel to use: it must be 1 where a pixel may be used, 0 elsewhere."
        )
    return np.array(np.broadcast_to(usable, tuple(shape)))


def checked_rotations(rotations: Any, tilts: int, source: str) -> NDArray[np.float64] | None:
    """Explicit matrices as (T, 3, 3) float64; InputError where one is not a rotation."""
    if rotations is None:
        return None
    matrices = np.asarray(rotations, dtype=np.float64)
    if matrices.shape != (tilts, 3, 3):
        raise InputError(
            f"{source}: rotations of shape {matrices.shape} do not fit {tilts} images: give one 3 x 3 matrix each."
        )
    proper = np.abs(matrices @ matrices.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2)) < 1e-4
    proper &= np.linalg.det(matrices) > 0
    if not proper.all():
        raise InputError(
            f"{source}: the matrix of {tilt_list(np.flatnonzero(~proper))} is not a rotation: "
            "it must be orthogonal with determinant +1."
        )
    return matrices


def check_enough(directions: NDArray[np.float64], used: NDArray[np.int64], source: str) -> None:
    """At least three distinct tilts among those used; ``directions`` (T, k) are angles or matrices."""
    distinct = len(np.unique(np.round(directions[used], 6), axis=0))
    if distinct < MIN_TILTS:
        raise InputError(
            f"{source}: only {distinct} distinct tilt{'s' if distinct != 1 else ''} to use: "
            f"tomography needs at least {MIN_TILTS}, and in practice dozens."
        )


def mask_of_finite(
    images: NDArray[Any], mask: NDArray[np.bool_] | None, excluded: Sequence[int], source: str
) -> tuple[NDArray[np.bool_] | None, list[str]]:
    """The mask (T, V, U) without what is NaN or infinite, and the warning that says so; as it was where nothing is."""
    if images.dtype.kind != "f":
        return mask, []
    wrong_of: dict[int, NDArray[np.bool_]] = {}
    for t, image in enumerate(images):
        wrong = ~np.isfinite(image) if mask is None else ~np.isfinite(image) & mask[t]
        if t not in excluded and wrong.any():
            wrong_of[t] = wrong
    if not wrong_of:
        return mask, []
    usable = np.ones(images.shape, bool) if mask is None else mask.copy()
    for t, wrong in wrong_of.items():
        usable[t] &= ~wrong
    count = sum(int(np.count_nonzero(wrong)) for wrong in wrong_of.values())
    are, they = ("s are", "they are") if count > 1 else (" is", "it is")
    return usable, [f"{source}: {count} pixel{are} NaN or infinite, in {tilt_list(wrong_of)}: {they} masked, not used."]


def checked_pixels(
    images: NDArray[np.float32], mask: NDArray[np.bool_] | None, used: NDArray[np.int64], counts: bool, source: str
) -> tuple[NDArray[np.float32], list[str]]:
    """Judge the pixels that may be used; clean those that may not. One tilt at a time keeps memory flat."""
    bad_count, bad_tilts, flat, negative_count, negative_tilts, dark = 0, [], [], 0, [], []
    to_clean = []
    brightest = -np.inf
    is_used = np.zeros(len(images), bool)
    is_used[used] = True
    for t, image in enumerate(images):
        finite = np.isfinite(image)
        if not finite.all():
            to_clean.append(t)
        if not is_used[t]:
            continue
        allowed = image if mask is None else image[mask[t]]
        if allowed.size == 0:
            dark.append(t)
            continue
        wrong = int(np.count_nonzero(~np.isfinite(allowed)))
        if wrong:
            bad_count += wrong
            bad_tilts.append(t)
            continue
        low, high = float(allowed.min()), float(allowed.max())
        brightest = max(brightest, high)
        if low == high:
            flat.append((t, low))
        if counts and low < 0:
            negative_count += int(np.count_nonzero(allowed < 0))
            negative_tilts.append(t)
    if bad_tilts:
        raise InputError(
            f"{source}: {bad_count} pixel{'s are' if bad_count > 1 else ' is'} NaN or infinite, "
            f"in {tilt_list(bad_tilts)}: mask these pixels (--mask) or exclude these tilts (--exclude)."
        )
    if len(flat) == len(used) and all(value == 0 for _, value in flat):
        what = "holds" if len(used) == len(images) else "the images of all tilts that are used hold"
        raise InputError(f"{source}: {what} nothing but zeros: copy or export the series again.")
    if flat:
        kind = "all zero" if all(value == 0 for _, value in flat) else "constant"
        raise InputError(
            f"{source}: the image of {tilt_list(t for t, _ in flat)} is {kind}: "
            "leave it out (--exclude), or put the measured image there."
        )
    if negative_tilts:
        raise InputError(
            f"{source}: {negative_count} negative value{'s' if negative_count > 1 else ''} "
            f"in {tilt_list(negative_tilts)}, but counts cannot be negative: "
            "leave 'counts' off, or give the raw counts."
        )
    if to_clean:
        images = images.copy()
        for t in to_clean:
            np.nan_to_num(images[t], copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    caveats = [f"{source}: the mask leaves nothing of {tilt_list(dark)}: not used."] if dark else []
    if _dark_on_bright(images, mask, used):
        caveats.append(
            f"{source}: the images are brighter at their edges than in their middle: atoms must be bright on dark, as "
            "in HAADF images; invert bright-field images first."
        )
    if counts and brightest < 1:
        caveats.append(f"{source}: the largest value is {brightest:g}, too small for electron counts: check 'counts'.")
    return images, caveats


def _dark_on_bright(images: NDArray[np.float32], mask: NDArray[np.bool_] | None, used: NDArray[np.int64]) -> bool:
    """Whether most images (T, V, U) in use are clearly darker in the middle than along the edges, noise averaged."""
    rows, columns = (size // BLOCKS for size in images.shape[1:])
    if min(rows, columns) < 1:
        return False
    inner = np.zeros((BLOCKS, BLOCKS), bool)
    inner[BLOCKS // 4 : -BLOCKS // 4, BLOCKS // 4 : -BLOCKS // 4] = True
    outer = np.ones((BLOCKS, BLOCKS), bool)
    outer[1:-1, 1:-1] = False

    def block_sums(image: NDArray[Any]) -> NDArray[np.float64]:
        part = image[: BLOCKS * rows, : BLOCKS * columns].reshape(BLOCKS, rows, BLOCKS, columns)
        return np.asarray(part.sum((1, 3), dtype=np.float64))

    found = []
    for t in used:
        image = images[t]
        count = np.full((BLOCKS, BLOCKS), float(rows * columns)) if mask is None else block_sums(mask[t])
        total = block_sums(image if mask is None else np.where(mask[t], image, 0))
        seen = count > 0
        if (seen & inner).any() and (seen & outer).any():
            mean = total / np.maximum(count, 1.0)
            found.append((mean[seen & outer].mean() - mean[seen & inner].mean()) / max(float(mean[seen].std()), 1e-30))
    return bool(found) and float(np.median(found)) > BRIGHTER_EDGE


def duplicate_angles(
    directions: NDArray[np.float64],
    angles: NDArray[np.float64],
    images: NDArray[np.float32],
    used: NDArray[np.int64],
    source: str,
) -> list[str]:
    """Warnings where tilts in use repeat an orientation and that looks like a slip.

    Repeats are recorded on purpose, too, to see what the beam does to a specimen: nothing is said of those. A slip is
    an image that is there twice, or an angle said twice in a row beside one that a regular series skips.
    """
    rounded = np.round(directions[used], 6)
    _, group, count = np.unique(rounded, axis=0, return_inverse=True, return_counts=True)
    group = group.ravel()
    caveats = []
    for which in np.flatnonzero(count > 1):
        first, *others = used[group == which]
        same = [t for t in others if np.array_equal(images[first], images[t])]
        if same:
            caveats.append(
                f"{source}: {tilt_list([first, *same])} hold the same image: leave out all but one (--exclude), or "
                "check how the stack was put together."
            )
    steps = np.linalg.norm(np.diff(directions[used], axis=0), axis=1)
    moving = steps[steps > 1e-6]
    skip = 1.5 * float(np.median(moving)) if len(moving) else np.inf
    around = np.concatenate([[0.0], steps, [0.0]])  # the steps before and after each tilt
    slips = [i for i in np.flatnonzero(steps <= 1e-6) if max(around[i], around[i + 2]) >= skip]
    if slips:
        thetas = ", ".join(f"{angles[used[i], 1]:g}" for i in slips[:5])
        more = f" and {len(slips) - 5} more" if len(slips) > 5 else ""
        caveats.append(
            f"{source}: {len(slips)} angle{'s appear' if len(slips) > 1 else ' appears'} more than once "
            f"(theta {thetas}{more} degrees), where the series skips one: check the angles."
        )
    return caveats


def checked_center(
    center: tuple[float, float] | None, shape: Sequence[int], source: str
) -> tuple[tuple[float, float], list[str]]:
    """(row, column) as floats, the middle by default, with a warning where it lies outside the image."""
    rows, columns = shape[1:]
    if center is None:
        return ((rows - 1) / 2, (columns - 1) / 2), []
    try:
        row, column = (float(c) for c in center)
    except (TypeError, ValueError):
        raise InputError(
            f"{source}: the rotation centre must be two numbers (row, column) in pixels, not {center!r}."
        ) from None
    if not np.isfinite([row, column]).all():
        raise InputError(
            f"{source}: the rotation centre ({row}, {column}) is not finite: give (row, column) in pixels."
        )
    if not (-rows <= row <= 2 * rows and -columns <= column <= 2 * columns):
        raise InputError(
            f"{source}: the rotation centre ({row:g}, {column:g}) is far outside the {rows} x {columns} images: give "
            "(row, column) in pixels."
        )
    caveats = []
    if not (-0.5 <= row <= rows - 0.5 and -0.5 <= column <= columns - 0.5):
        caveats.append(
            f"{source}: the rotation centre ({row:g}, {column:g}) lies outside the {rows} x {columns} images."
        )
    return (row, column), caveats


def checked_pixel_size(value: Any, source: str) -> float:
    """A pixel size in Å that a microscope can have."""
    if value is None:
        raise InputError(
            f"{source}: the pixel size is not known, for nothing here says it: give it in Å (--pixel-size)."
        )
    size = finite_number(value, "pixel size", source)
    low, high = PIXEL_SIZE_RANGE_A
    if size <= 0:
        raise InputError(f"{source}: the pixel size is {size:g} Å, but it must be positive: give it in Å.")
    if not low <= size <= high:
        raise InputError(f"{source}: a pixel size of {size:g} Å is not between {low:g} and {high:g} Å: check its unit.")
    return size
