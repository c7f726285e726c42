"""How long the texts of an HDF5 file say that they are, asked before HDF5 takes memory for them.

A text of any length is a number of bytes and a place elsewhere in the file. HDF5 takes, and clears, the memory that the
number says before it looks at the place: up to 4 GB for four damaged bytes. What stands in the file is asked of the
file itself here, by the HDF5 File Format Specification 3.0 (The HDF Group), IV.A.1 and IV.A.2.m.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from typing import IO, Any

import h5py

_ATTRIBUTE, _CONTINUED = 0x0C, 0x10
_SHARED = 2
"""Flag of a message that stands elsewhere."""
_ELEMENT = 16
"""Bytes of a text's length and place, where lengths and places have 8 bytes."""
_PLAIN = (h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.ENUM, h5py.h5t.STRING)
_MOST_CHUNKS, _LARGEST_CHUNK = 1000, 2**20
"""Of a header; those of a damaged one may lead in a circle."""


class Attributes(Mapping[str, Any]):
    """The attributes of a group or data set that its file can hold.

    Parameters
    ----------
    item : h5py.File, Group or Dataset
    all_in_header : bool
        Refuse those that do not stand in the item's header: few attributes always do, and others cannot be measured.

    Raises
    ------
    KeyError
        There is none of a name.
    ValueError
        One is neither numbers nor text, says that it is longer than the file, or is not in the header.
    """

    def __init__(self, item: Any, all_in_header: bool = False) -> None:
        self._item, self._all_in_header = item, all_in_header

    def __getitem__(self, name: str) -> Any:
        _check(self._item, name, self._all_in_header)
        return self._item.attrs[name]

    def __contains__(self, name: object) -> bool:
        return name in self._item.attrs

    def __iter__(self) -> Iterator[str]:
        return iter(self._item.attrs)

    def __len__(self) -> int:
        return len(self._item.attrs)


def _check(item: Any, name: str, must_be_found: bool) -> None:
    if name not in item.attrs:
        raise KeyError(f"there is no {name}")
    ident = h5py.h5a.open(item.id, name.encode())
    kind = ident.get_type()
    if kind.get_class() not in _PLAIN:  # parts of others may say any length of themselves
        raise ValueError(f"{name} is neither a number nor a text")
    with open(item.file.filename, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if ident.get_storage_size() > size:
            raise ValueError(f"{name} is longer than the file")
        if kind.get_class() != h5py.h5t.STRING or not kind.is_variable_str():
            return
        found = _in_header(file, item, name.encode())
    if found is None:
        if must_be_found:
            raise ValueError(f"{name} is not in the header of its group")
        return
    for at in range(0, len(found) - 3, _ELEMENT):
        if struct.unpack_from("<I", found, at)[0] > size:
            raise ValueError(f"{name} is longer than the file")


def check_text(item: h5py.Dataset) -> None:
    """Refuse a data set that is not one text which the file can hold.

    Raises
    ------
    ValueError
        It is not, in words that begin with its name.
    """
    name = str(item.name).rpartition("/")[2]
    kind = h5py.check_string_dtype(item.dtype)
    if item.shape != () or kind is None:
        raise ValueError(f"{name} is not one text")
    with open(item.file.filename, "rb") as file:
        size, at = os.fstat(file.fileno()).st_size, item.id.get_offset()
        if kind.length is not None:
            length = kind.length
        elif at is None:
            raise ValueError(f"{name} has no place in the file")
        else:
            file.seek(at)
            length = int.from_bytes(file.read(4), "little")
    if length > size:
        raise ValueError(f"{name} is longer than the file")


def _in_header(file: IO[bytes], item: Any, name: bytes) -> bytes | None:
    """Bytes of an attribute's value in the header of an object; None where it is not there."""
    base = item.file.userblock_size
    for kind, data in _messages(file, base + h5py.h5o.get_info(item.id).addr, base):
        if kind == _ATTRIBUTE and (found := _named(data, name)) is not None:
            return found
    return None


def _named(data: bytes, name: bytes) -> bytes | None:
    """The value of an attribute message, if it is of that name."""
    version, *sizes = struct.unpack_from("<BxHHH", data)
    start, step = (9 if version == 3 else 8), (8 if version == 1 else 1)
    if data[start : start + sizes[0]].rstrip(b"\0") != name:
        return None
    return data[start + sum(-(-size // step) * step for size in sizes) :]


def _messages(file: IO[bytes], at: int, base: int) -> Iterator[tuple[int, bytes]]:
    """Kind and content of every message of the object header at ``at``, those of its continuations included."""
    head = _read(file, at, 26)
    if head[:4] == b"OHDR":
        flags = head[5]
        start = 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        size = int.from_bytes(_read(file, at + start, width), "little")
        chunks, edge = [(at + start + width, size)], (4, 4)
        width_of_head = 6 if flags & 4 else 4
    else:
        chunks, edge = [(at + 16, struct.unpack_from("<I", head, 8)[0])], (0, 0)
        width_of_head = 8
    for k in range(_MOST_CHUNKS):
        if k == len(chunks):
            return
        chunk, i = _read(file, *chunks[k]), 0
        while i + width_of_head <= len(chunk):
            kind, size, flags = struct.unpack_from("<HHB" if width_of_head == 8 else "<BHB", chunk, i)
            i += width_of_head
            data = chunk[i : i + size]
            i += size
            if kind == _CONTINUED:
                place, length = struct.unpack_from("<QQ", data)
                chunks.append((base + place + edge[0], length - sum(edge)))
            elif not flags & _SHARED:
                yield kind, data
    raise ValueError("a header goes on without end")


def _read(file: IO[bytes], at: int, size: int) -> bytes:
    """Bytes of the file, as many as there are."""
    file.seek(at)
    return file.read(min(max(size, 0), _LARGEST_CHUNK))
