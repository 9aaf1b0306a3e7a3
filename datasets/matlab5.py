"""Read the numeric arrays of MATLAB files of version 5, with every length checked.

A file is a header and a row of elements, one a variable; an element may be a zlib stream, which
ends in a checksum. An array's element holds its class, its size, its name and its values, which
may be stored in a smaller type than that of the class.

Reference:
    MathWorks, *MAT-File Format*, chapter "Level 5 MAT-Files".
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pdeinv.datasets.hdf5 import DAMAGED, Contents, Stored, Variable, outer_part
from pdeinv.files import reading_failure

__all__ = ["StoredMatlab5", "survey_matlab5"]

_HEADER = 128  # bytes before the first element
_PREFIX = 2048  # bytes of an element within which its values begin
_MOST = 1000  # elements
_MATRIX, _COMPRESSED = 14, 15
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8",
           13: "u8"}  # fmt: skip
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8",
            15: "u8"}  # fmt: skip
_OTHERS = {1: "cells", 2: "structures", 3: "objects", 4: "text", 5: "a sparse matrix"}
_COMPLEX, _LOGICAL = 0x0800, 0x0200
_ERRORS = (OSError, ValueError, KeyError, struct.error, zlib.error, MemoryError)


@dataclass(frozen=True)
class _Place:
    """Where an array's values are.

    Arguments:
        position, length: of the element in the file, in bytes.
        compressed: whether it is a zlib stream.
        total: bytes of the array's element, its tag included, when it is decompressed.
        start: where the values begin in it.
        dtype: type in which they are stored.
    """

    position: int
    length: int
    compressed: bool
    total: int
    start: int
    dtype: str


@dataclass(frozen=True)
class _Array(Variable):
    """A variable and the place of its values, None where they are no real numbers."""

    place: _Place | None = None


def survey_matlab5(path: Path) -> Contents:
    """Return what a version-5 file holds.

    Raises:
        InputError: the file is damaged, in use or protected.
    """
    variables: dict[str, Variable] = {}
    try:
        with path.open("rb") as stream:
            order = {b"IM": "<", b"MI": ">"}[stream.read(_HEADER)[126:]]
            for position, length, compressed in _elements(stream, order):
                array = _array(stream, order, position, length, compressed)
                variables[array.name] = array
    except _ERRORS as error:
        raise reading_failure(path, error, DAMAGED) from None
    return Contents({}, variables)


class StoredMatlab5(Stored):
    """A variable of a version-5 file, which is read as a whole; the last time is kept."""

    _kept: np.ndarray | None = None

    def _block(self, key: tuple) -> np.ndarray:
        if self._kept is None:
            self._kept = self._load()
        return outer_part(self._kept, key)

    def _load(self) -> np.ndarray:
        """Return the variable; of axes other than the fields', the last index alone."""
        variable = self.variable
        assert isinstance(variable, _Array) and variable.place is not None
        place = variable.place
        self.check((2, *variable.shape))  # the stored bytes too
        try:
            with open(self.path, "rb") as stream:
                content = (
                    b"".join(_inflated(stream, place.position, place.length, place.total))
                    if place.compressed
                    else _read(stream, place.position, place.total)
                )
            values = np.frombuffer(
                content, place.dtype, math.prod(variable.shape), place.start
            ).reshape(variable.shape, order="F")
        except _ERRORS as error:
            raise reading_failure(self.shown, error, DAMAGED) from None
        for axis in set(range(values.ndim)) - set(self.order):
            values = values.take([-1], axis)
        return np.array(values, self.dtype)


def _elements(stream: BinaryIO, order: str) -> Iterator[tuple[int, int, bool]]:
    """Yield position, length and whether it is compressed, of each element of a file."""
    size, position = stream.seek(0, 2), _HEADER
    for _ in range(_MOST):
        if position == size:
            return
        kind, length = struct.unpack(f"{order}II", _read(stream, position, 8))
        if kind not in (_MATRIX, _COMPRESSED) or position + 8 + length > size:
            raise ValueError(f"the element at byte {position} has type {kind} and length {length}")
        compressed = kind == _COMPRESSED
        # An array's own tag belongs to it, that of a stream does not
        yield (position + 8, length, True) if compressed else (position, length + 8, False)
        position += 8 + length
    raise ValueError(f"it has more than {_MOST} elements")


def _array(stream: BinaryIO, order: str, position: int, length: int, compressed: bool) -> _Array:
    """Return the array of an element, from its beginning."""
    head = (
        next(_inflated(stream, position, length, _PREFIX), b"")
        if compressed
        else _read(stream, position, min(_PREFIX, length))
    )
    kind, inner = struct.unpack_from(f"{order}II", head)
    if kind != _MATRIX or (not compressed and inner + 8 != length):
        raise ValueError(f"the array at byte {position} has type {kind} and length {inner}")
    (word, _), at = _numbers(head, 8, order, 6)
    if word & 0xFF not in _CLASSES | _OTHERS:  # the rest has another order
        return _Array(f"element at byte {position}", problem="holds values of another class")
    shape, at = _numbers(head, at, order, 5)
    name, at = _numbers(head, at, order, 1)
    named = bytes(n & 0xFF for n in name).decode("latin-1")
    problem = None
    if word & 0xFF not in _CLASSES or word & _LOGICAL:
        problem = f"holds no numbers but {_OTHERS.get(word & 0xFF, 'truth values')}"
    elif word & _COMPLEX:
        problem = "holds complex numbers"
    if problem:
        return _Array(named, tuple(shape), problem=problem)
    stored, count, start, _ = _tag(head, at, order)
    dtype = np.dtype(order + _STORED[stored])
    if dtype.kind == "f" and _CLASSES[word & 0xFF][0] != "f":
        raise ValueError(f"{named} holds integers, stored as {dtype}")
    if min(shape) < 0 or math.prod(shape) * dtype.itemsize != count or start + count > inner + 8:
        size = " x ".join(map(str, shape))
        raise ValueError(f"{named} has the size {size} and {count} bytes of values")
    place = _Place(position, length, compressed, inner + 8, start, dtype.str)
    return _Array(named, tuple(shape), _CLASSES[word & 0xFF], (None,) * len(shape), place=place)


def _tag(head: bytes, at: int, order: str) -> tuple[int, int, int, int]:
    """Return type, length and start of a part of an element, and where the next part begins."""
    kind, length = struct.unpack_from(f"{order}II", head, at)
    if kind >> 16:  # a short part, in the second half of its tag
        return kind & 0xFFFF, kind >> 16, at + 4, at + 8
    return kind, length, at + 8, at + 8 + length + -length % 8


def _numbers(head: bytes, at: int, order: str, wanted: int) -> tuple[list[int], int]:
    """Return the integers of a part of an element, and where the next part begins."""
    kind, length, start, end = _tag(head, at, order)
    if kind != wanted and not (wanted == 1 and kind in (2, 16)):  # names may be UTF-8
        raise ValueError(f"a part of an array has type {kind}, not {wanted}")
    if start + length > len(head):
        raise ValueError(f"a part of an array has {length} bytes")
    dtype = np.dtype(order + _STORED[wanted])
    return np.frombuffer(head, dtype, length // dtype.itemsize, start).tolist(), end


def _read(stream: BinaryIO, position: int, count: int) -> bytes:
    stream.seek(position)
    content = stream.read(count)
    if len(content) < count:
        raise ValueError(f"it ends after {position + len(content)} bytes")
    return content


def _inflated(stream: BinaryIO, position: int, length: int, most: int) -> Iterator[bytes]:
    """Yield parts of a zlib stream up to so many bytes; check the sum where that is all of it."""
    inflater, done = zlib.decompressobj(), 0
    stream.seek(position)
    while not inflater.eof:
        waiting = inflater.unconsumed_tail
        if not waiting:
            waiting = stream.read(min(1 << 20, length))
            length -= len(waiting)
            if not waiting:
                raise ValueError("a compressed array ends early")
        part = inflater.decompress(waiting, max(1, most - done))
        done += len(part)
        if done > most:
            raise ValueError("a compressed array is longer than it declares")
        if part:
            yield part
    if done < most:
        raise ValueError("a compressed array is shorter than it declares")
