"""TIFF stacks: plain, ImageJ and OME, with the pixel size where they give one."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_lot.errors import InputError
from napari_lot.progress import Progress, counted, nothing
from napari_lot.series.raw import RawSeries, check_size, damaged, plausible_pixel_size, reason_of, unit_in_A

_LOG_LOCK = threading.Lock()


# A page chain or description that points beyond the end: tifffile logs it and goes on with what is left.
_CUT_SHORT = re.compile(r"corrupt|truncated|invalid page offset|tifftag 270 .*invalid value offset")


def read_tiff(path: Path, progress: Progress = nothing, what: str = "tilt series") -> RawSeries:
    """Images of a TIFF with axes of length 1 dropped; (T, V, U) for a stack.

    The pixel size comes from OME ``PhysicalSizeX``, ImageJ's unit and resolution, or the resolution tags in centimetres
    or inches, when it is one that a microscope can have (a printer's 72 dpi is not). ``what`` is what the file is to
    hold.

    Raises
    ------
    InputError
        Not a TIFF, truncated, in colour, of pages that differ, compressed in an unknown way, or absurdly large.
    """
    try:
        with quiet() as complaints, tifffile.TiffFile(path) as tif:
            _check_pages(tif, path, what)
            series = tif.series[0]
            if "S" in series.axes and series.keyframe.samplesperpixel >= 3:
                raise InputError(
                    f"{path}: this is an RGB colour stack: save it in grey (one value per pixel) and try again."
                )
            check_size(path, series.shape, series.dtype.itemsize, what.split()[-1])
            if any(_CUT_SHORT.search(text) for text in complaints):
                raise damaged(path, "TIFF")
            images = np.squeeze(_images(series, progress))
            size, metadata = _pixel_size(tif, path)
            if any(_CUT_SHORT.search(text) for text in complaints):
                raise damaged(path, "TIFF")
    except InputError:
        raise
    except Exception as error:  # a damaged file makes the decoder fail in every way there is
        raise _unreadable(path, reason_of(error)) from None
    return RawSeries(images=images, pixel_size_A=size, metadata=metadata)


def _images(series: Any, progress: Progress) -> NDArray[Any]:
    """The array of a series; page by page where pages are stored one by one and each is an image."""
    pages = [] if series.dataoffset is not None else list(series.pages)
    if len(pages) < 2 or any(page is None or page.shape != series.shape[-2:] for page in pages):
        return np.asarray(series.asarray())
    images: NDArray[Any] = np.empty((len(pages), *series.shape[-2:]), series.dtype)
    for i in counted(range(len(pages)), progress):
        images[i] = series.asarray(key=i)
    return images.reshape(series.shape)


def _unreadable(path: Path, reason: str) -> InputError:
    """tifffile's many complaints: either a package is missing, or the file is not what it should be."""
    if "imagecodecs" in reason:
        name = re.search(r"(COMPRESSION|PREDICTOR)\.(\w+)", reason)
        kind = f"{name[2]} {'compression' if name[1] == 'COMPRESSION' else 'predictor'}" if name else "compression"
        return InputError(
            f"{path}: the {kind} of this TIFF cannot be read: save it uncompressed, or install the package imagecodecs."
        )
    return damaged(path, "TIFF", reason)


def _check_pages(tif: Any, path: Path, what: str) -> None:
    """Every strip must lie inside the file, and there must be as many pages as the file says."""
    if not len(tif.pages) or not tif.series:
        raise damaged(path, "TIFF", "no image in it")
    end = path.stat().st_size
    shapes = set()
    for page in tif.pages:
        if 0 in page.shape:
            raise damaged(path, "TIFF", f"page {page.index} has no pixels")
        shapes.add(tuple(page.shape))
        check_size(path, page.shape, what=what.split()[-1])
        if any(start + size > end for start, size in zip(page.dataoffsets, page.databytecounts, strict=False)):
            raise damaged(path, "TIFF", f"page {page.index} reaches beyond the end of the file")
    if len(shapes) > 1:
        listed = " and ".join(" x ".join(str(n) for n in shape) for shape in sorted(shapes)[:2])
        raise InputError(f"{path}: the images differ in size ({listed}): a {what} needs images of one size.")
    declared = 0
    if tif.is_imagej:
        declared = int((tif.imagej_metadata or {}).get("images", 0))
    elif tif.is_shaped and tif.shaped_metadata:
        shape = tif.shaped_metadata[0].get("shape", ())
        declared = int(np.prod(shape[:-2])) if len(shape) > 2 else 0
        if "S" in tif.series[0].axes:
            declared = 0
    held = sum(len(series) for series in tif.series)
    # ImageJ and tifffile may keep one page header for a contiguous stack: count images by the series, not by headers.
    planes = max(held, int(np.prod(tif.series[0].shape[:-2])) if len(tif.series) == 1 else held)
    if planes < declared:
        raise damaged(path, "TIFF", f"{planes} of {declared} images are there")
    for series in tif.series:
        first = series.pages[0]
        if first is not None and series.dataoffset is not None and series.dataoffset + series.nbytes > end:
            raise damaged(path, "TIFF", "the images reach beyond the end of the file")


def _pixel_size(tif: Any, path: Path) -> tuple[float | None, dict[str, Any]]:
    metadata: dict[str, Any] = {"format": "TIFF"}
    x = y = None
    if tif.is_ome:
        metadata["format"] = "OME-TIFF"
        x, y = _ome_size(tif.ome_metadata)
    elif tif.is_imagej:
        metadata["format"] = "ImageJ TIFF"
        factor = unit_in_A(str((tif.imagej_metadata or {}).get("unit", "")))
        if factor is not None:
            x, y = (None if r is None else factor / r for r in _resolution(tif.pages[0]))
    else:
        factor = {2: 2.54e8, 3: 1e8}.get(int(tif.pages[0].resolutionunit or 0))
        if factor is not None:
            x, y = (None if r is None else factor / r for r in _resolution(tif.pages[0]))
    x, y = plausible_pixel_size(x), plausible_pixel_size(y)
    if x is not None and y is not None and abs(x - y) > 1e-3 * x:
        raise InputError(f"{path}: the pixels are not square ({x:g} x {y:g} Å): resample the series to square pixels.")
    return x, metadata


def _resolution(page: Any) -> tuple[float | None, float | None]:
    """Pixels per unit along x and y, None where a tag is absent or zero."""
    result = []
    for name in ("XResolution", "YResolution"):
        tag = page.tags.get(name)
        value = tag.value if tag is not None else None
        if isinstance(value, tuple):
            value = value[0] / value[1] if value[1] else None
        result.append(float(value) if value else None)
    return result[0], result[1]


def _ome_size(xml: str | None) -> tuple[float | None, float | None]:
    try:
        root = ElementTree.fromstring(xml or "")
    except ElementTree.ParseError:
        return None, None
    pixels = next((e for e in root.iter() if e.tag.endswith("}Pixels") or e.tag == "Pixels"), None)
    if pixels is None:
        return None, None
    sizes = []
    for axis in "XY":
        value = pixels.get(f"PhysicalSize{axis}")
        factor = unit_in_A(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        try:
            sizes.append(float(value) * factor if value is not None and factor is not None else None)
        except ValueError:
            sizes.append(None)
    return sizes[0], sizes[1]


@contextmanager
def quiet() -> Iterator[list[str]]:
    """Collect what tifffile logs (a damaged file is first of all logged) instead of letting it reach the terminal."""
    texts: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            texts.append(record.getMessage().lower())

    logger = logging.getLogger("tifffile")
    handler = Collector()
    with _LOG_LOCK:
        propagate = logger.propagate
        logger.addHandler(handler)
        logger.propagate = False
        try:
            yield texts
        finally:
            logger.removeHandler(handler)
            logger.propagate = propagate
