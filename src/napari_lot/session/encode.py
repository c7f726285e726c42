"""Values of a session as HDF5 groups: arrays as data sets, everything else as JSON that anybody can read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from napari_lot.progress import Progress, counted, in_pieces, nothing
from napari_lot.series.raw import check_size
from napari_lot.series.stored import Attributes, check_text

FACTS = "facts"
_TUPLE = "__tuple__"
CHECKSUM = "sha256"
LARGEST_CHUNK = 2**31
"""Bytes of an array that are written as one piece; HDF5 takes less than 2^32."""


def put(group: h5py.Group, values: Mapping[str, Any], progress: Progress = nothing) -> None:
    """Write values under their names: arrays one by one, the rest together as the JSON text ``facts``."""
    facts = {}
    for name, value in values.items():
        if isinstance(value, np.ndarray):
            put_array(group, name, value, progress)
        else:
            facts[name] = _tagged(value)
    put_text(group, FACTS, json.dumps(facts, ensure_ascii=False, indent=1))


def put_array(group: h5py.Group, name: str, values: NDArray[Any], progress: Progress = nothing) -> None:
    """An array with HDF5's checksum of it: what is damaged later is never read in place of what was written.

    Stacks of images are written image by image, so that other threads are never held up for long.
    """
    array = np.ascontiguousarray(values)
    if array.ndim == 3 and array.nbytes > 2**20:
        data = group.create_dataset(name, array.shape, array.dtype, chunks=(1, *array.shape[1:]), fletcher32=True)
        for i in counted(range(len(array)), progress):
            data[i] = array[i]
    elif array.ndim and 0 < array.nbytes < LARGEST_CHUNK:
        group.create_dataset(name, data=array, chunks=array.shape, fletcher32=True)
    else:
        group.create_dataset(name, data=array)


def put_text(group: h5py.Group, name: str, text: str) -> None:
    """A text of any length (attributes end at 64 kB); what of a file's name is no UTF-8 becomes JSON's escapes."""
    content = text.encode("utf-8", "backslashreplace")
    item = group.create_dataset(name, data=content, dtype=h5py.string_dtype())
    item.attrs[CHECKSUM] = np.bytes_(hashlib.sha256(content).hexdigest())


def get(group: h5py.Group, progress: Progress = nothing) -> dict[str, Any]:
    """What ``put`` wrote; groups inside are left to the caller. Stacks come image by image, with a word before each."""
    values: dict[str, Any] = {name: _untagged(value) for name, value in get_json(group, FACTS, {}).items()}
    for name, item in group.items():
        if isinstance(item, h5py.Dataset) and h5py.check_string_dtype(item.dtype) is None:
            values[name] = whole(item, progress)
    return values


def whole(item: h5py.Dataset, progress: Progress = nothing) -> Any:
    """An array that the file can hold; stacks image by image."""
    if item.dtype.kind not in "biufc":  # of any other kind an element may say that it has any length
        raise ValueError(f"{str(item.name).rpartition('/')[2]} holds no numbers")
    check_size(Path(item.file.filename), item.shape, item.dtype.itemsize)
    return in_pieces(item, progress) if item.ndim == 3 and item.chunks else item[()]


def get_json(group: h5py.Group, name: str, default: Any) -> Any:
    """A JSON text of a group, or ``default`` where there is none."""
    if name not in group:
        return default
    item = group[name]
    check_text(item)
    content = item[()]
    told = Attributes(item, all_in_header=True).get(CHECKSUM)  # files of before have none
    if told is not None and told != np.bytes_(hashlib.sha256(content).hexdigest()):
        raise ValueError(f"{name} is not what was written")
    return json.loads(content)


def _tagged(value: Any) -> Any:
    """JSON's types, but a tuple can be told from a list when it is read."""
    if isinstance(value, tuple):
        return {_TUPLE: [_tagged(item) for item in value]}
    return plain(value, _tagged)


def plain(value: Any, of: Any = None) -> Any:
    """A value in JSON's types; NaN and infinity are kept."""
    of = of or plain
    if isinstance(value, Mapping):
        return {str(name): of(item) for name, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return of(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [of(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _untagged(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {_TUPLE}:
            return tuple(_untagged(item) for item in value[_TUPLE])
        return {name: _untagged(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_untagged(item) for item in value]
    return value


def same_images(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether two stacks are the same, image by image; NaN equals NaN."""
    return a.shape == b.shape and all(np.array_equal(x, y, equal_nan=True) for x, y in zip(a, b, strict=True))
