"""Images with larger pixels: means of square blocks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float32]
Mask = NDArray[np.bool_]


def _blocks(stack: NDArray[np.generic], times: int) -> NDArray[np.generic]:
    """(T, V, U) -> (T, V', times, U', times); rows and columns that fill no block are left out."""
    count, rows, columns = stack.shape
    v, u = rows // times, columns // times
    return stack[:, : v * times, : u * times].reshape(count, v, times, u, times)


def binned(images: Images, usable: Mask | None, times: int) -> Images:
    """Means of blocks of the pixels that count, (T, V', U'); 0 where none does."""
    if usable is None:
        return images if times == 1 else np.asarray(_blocks(images, times).mean((2, 4)), np.float32)
    kept = np.where(usable, images, 0).astype(np.float32)
    if times == 1:
        return kept
    share = np.asarray(_blocks(usable, times).mean((2, 4)), np.float32)
    return np.asarray(_blocks(kept, times).mean((2, 4)) / np.maximum(share, 1e-6), np.float32)


def binned_mask(usable: Mask, times: int) -> Mask:
    """Blocks of which more than half counts."""
    return usable if times == 1 else np.asarray(_blocks(usable, times).mean((2, 4)) > 0.5)


def binned_place(place: float, times: int) -> float:
    """A place in pixels in those of the binned image: the middle of the first block is 0."""
    return (place - 0.5 * (times - 1)) / times
