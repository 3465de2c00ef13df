"""Safetensors: a header that says where in the file each tensor lies, and nothing that is ever executed.

The header is eight bytes with its length, then JSON: name → type, shape, and the first and last byte of the numbers. A
file is believed only as far as it agrees with itself, and nothing is made larger than the file is.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kedja.errors import FormatError

__all__ = ["packed_tensors", "read_tensors", "unpacked_tensors"]

Array = NDArray[Any]
TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1", "U64": "<u8",
    "U32": "<u4", "U16": "<u2", "U8": "<u1", "BOOL": "|b1", "BF16": "<u2", "C64": "<c8",
}  # fmt: skip
LARGEST_HEADER = 100 << 20  # as the format says
FACTS = "__metadata__"


def read_tensors(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The tensors of a .safetensors file by name, in the order of their places in it. bfloat16 becomes float32.

    Raises FormatError, naming the file, when it is damaged or no such file.

    >>> import tempfile; path = Path(tempfile.mkdtemp(), "x.safetensors")
    >>> _ = path.write_bytes(packed_tensors({"w": np.ones((2, 3), np.float32)}))
    >>> read_tensors(path)["w"].shape
    (2, 3)
    """
    try:
        blob = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise FormatError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return unpacked_tensors(blob, str(path))


def unpacked_tensors(blob: bytes, where: str) -> dict[str, Array]:
    """The tensors in the bytes of a safetensors file; `where` is what messages call it.

    >>> unpacked_tensors(b"\\x08\\0\\0\\0\\0\\0\\0\\x10{}      ", "x.safetensors")
    Traceback (most recent call last):
    kedja.errors.FormatError: x.safetensors is damaged: its header claims 1,152,921,504,606,846,984 bytes, ...
    """
    entries, start = _header(blob, where)
    room = len(blob) - start
    found: dict[str, Array] = {}
    reached = 0
    for name, entry in sorted(entries.items(), key=lambda item: _begin(item[1])):
        code, shape, (first, last) = _entry(name, entry, where)
        if first != reached:
            what = "overlaps the one before" if first < reached else f"leaves {first - reached} bytes unused before it"
            raise FormatError(f"{where} is damaged: the tensor {name!r} {what} (bytes {first} to {last})")
        dtype = np.dtype(TYPES[code])
        needed = math.prod(shape) * dtype.itemsize
        if last - first != needed:
            raise FormatError(
                f"{where} is damaged: the tensor {name!r} {list(shape)} of {code} needs {needed:,} bytes and is given "
                f"{last - first:,}"
            )
        if last > room:
            raise FormatError(
                f"{where} is damaged: it ends after {room:,} bytes of numbers, and the tensor {name!r} "
                f"goes on to {last:,}"
            )
        array = np.frombuffer(blob, dtype, math.prod(shape), start + first).reshape(shape)
        found[name] = _widened(array) if code == "BF16" else array.astype(dtype.newbyteorder("="))
        reached = last
    if reached != room:
        raise FormatError(f"{where} is damaged: {room - reached:,} bytes after the last tensor belong to none")
    return found


def packed_tensors(tensors: Mapping[str, Any], facts: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a safetensors file; arrays of any strides are written in row order."""
    from safetensors.numpy import save

    return save({name: np.array(a, order="C") for name, a in tensors.items()}, dict(facts) if facts else None)


def _header(blob: bytes, where: str) -> tuple[dict[str, Any], int]:
    if len(blob) < 8:
        raise FormatError(f"{where} is damaged: {len(blob)} bytes are too few for a safetensors file")
    length = int.from_bytes(blob[:8], "little")
    if length > min(len(blob) - 8, LARGEST_HEADER):
        raise FormatError(
            f"{where} is damaged: its header claims {length:,} bytes, and the file has {len(blob) - 8:,} "
            "after the first 8"
        )
    try:
        said = json.loads(blob[8 : 8 + length].decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where} is damaged: its header is no JSON ({error})") from error
    if not isinstance(said, dict):
        raise FormatError(f"{where} is damaged: its header is no JSON object")
    said.pop(FACTS, None)
    return said, 8 + length


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands there twice")
    return found


def _begin(entry: Any) -> int:
    """Where a tensor begins, if it says so at all: for the order in which they are looked at."""
    try:
        return int(entry["data_offsets"][0])
    except (KeyError, IndexError, TypeError, ValueError, OverflowError):
        return 0


def _entry(name: str, entry: Any, where: str) -> tuple[str, tuple[int, ...], tuple[int, int]]:
    good = isinstance(entry, dict) and entry.keys() == {"dtype", "shape", "data_offsets"}
    if not good or not _wholes(entry["shape"]) or not _wholes(entry["data_offsets"]) or len(entry["data_offsets"]) != 2:
        raise FormatError(
            f"{where} is damaged: what its header says of the tensor {name!r} is no type, shape and place"
        )
    if not isinstance(entry["dtype"], str) or entry["dtype"] not in TYPES:
        raise FormatError(f"{where}: the tensor {name!r} has the type {entry['dtype']!r}; known: {', '.join(TYPES)}")
    if len(entry["shape"]) > 32:
        raise FormatError(f"{where} is damaged: the tensor {name!r} has {len(entry['shape'])} axes")
    first, last = entry["data_offsets"]
    return entry["dtype"], tuple(entry["shape"]), (first, last)


def _wholes(values: Any) -> bool:
    return isinstance(values, list) and all(type(n) is int and 0 <= n < 2**63 for n in values)


def _widened(halves: Array) -> Array:
    """bfloat16 is the upper half of float32."""
    return (halves.astype(np.uint32) << 16).view(np.float32)
