"""Sizes that depend on the batch: a graph is traced for several batch sizes, and a line goes through what differs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kedja.errors import FormatError

__all__ = ["Dim", "Shape", "Size", "generalised", "same"]


@dataclass(frozen=True)
class Size:
    """times · N + plus, where N is the number of examples in a batch."""

    times: int
    plus: int

    def __str__(self) -> str:
        product = "batch" if self.times == 1 else f"{self.times}*batch"
        return product if not self.plus else f"{product}{self.plus:+d}"


Dim = int | Size
Shape = tuple[Dim, ...]


def generalised(values: Sequence[Any], batches: Sequence[int]) -> Any:
    """What an attribute is for any batch, from what it was for these: numbers that differ become a Size.

    >>> generalised([(3, 4), (5, 4)], [3, 5])
    (Size(times=1, plus=0), 4)
    """
    first = values[0]
    if isinstance(first, tuple | list):
        if len({len(v) for v in values}) > 1:
            raise _unlike(values, batches)
        return tuple(generalised(parts, batches) for parts in zip(*values, strict=True))
    if isinstance(first, bool) or not isinstance(first, int | np.integer):
        return first
    if all(v == first for v in values):
        return int(first)
    times = (int(values[1]) - int(first)) // (batches[1] - batches[0])
    plus = int(first) - times * batches[0]
    if any(times * n + plus != v for n, v in zip(batches, values, strict=True)):
        raise _unlike(values, batches)
    return Size(times, plus)


def _unlike(values: Sequence[Any], batches: Sequence[int]) -> FormatError:
    found = ", ".join(f"{v} for {n}" for n, v in zip(batches, values, strict=True))
    return FormatError(
        f"a size depends on the number of examples in a way that is no straight line ({found}). "
        "Save it for one batch size: kj.onnx.save(net, path, batch=32)."
    )


def same(values: Sequence[np.ndarray[Any, Any]]) -> bool:
    """Whether the constants of all traces are one."""
    first = values[0]
    return all(v.shape == first.shape and np.array_equal(v, first, equal_nan=v.dtype.kind == "f") for v in values[1:])
