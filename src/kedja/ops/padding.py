"""Padding: zeros or another number around a tensor, or its own elements continued."""

from __future__ import annotations

from typing import Any

import numpy as np

from kedja.errors import ShapeError, one_of
from kedja.graph.node import Tensor, tensor
from kedja.graph.shapes import as_shape
from kedja.ops.elementwise import where
from kedja.ops.indexing import take
from kedja.ops.op import operands
from kedja.ops.shaping import full, pad_zeros

MODES = ("constant", "edge", "reflect", "wrap")


def pad(x: Any, widths: Any, mode: str = "constant", value: Any = 0) -> Tensor:
    """`x` with a border: `widths` is (before, after) for each axis.

    The border holds `value` ("constant"), the nearest element ("edge"), the mirror image without the edge itself
    ("reflect"), or the elements from the other side ("wrap").

    >>> pad(tensor([1.0, 2.0]), [(1, 2)]).numpy().tolist()
    [0.0, 1.0, 2.0, 0.0, 0.0]
    >>> pad(tensor([1.0, 2.0, 3.0]), [(2, 1)], mode="reflect").numpy().tolist()
    [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]
    """
    x = tensor(x)
    pairs = [as_shape(w) for w in widths]
    if len(pairs) != x.ndim or any(len(p) != 2 or min(p) < 0 for p in pairs):
        raise ShapeError(f"pad needs one (before, after) of numbers ≥ 0 per axis of {x.shape}, got {widths}")
    if mode not in MODES:
        raise one_of("mode", mode, MODES)
    if mode != "constant":
        return _continued(x, pairs, mode)
    low, high, none = tuple(p[0] for p in pairs), tuple(p[1] for p in pairs), (0,) * x.ndim
    padded = pad_zeros(x, low=low, high=high, interior=none)
    if not isinstance(value, Tensor) and value == 0:
        return padded
    inside = pad_zeros(full(x.shape, True, "bool"), low=low, high=high, interior=none)
    return where(inside, *operands("pad", (padded, value)))


def _continued(x: Tensor, pairs: Any, mode: str) -> Tensor:
    for axis, (before, after) in enumerate(pairs):
        n = x.shape[axis]
        if before or after:
            if not n:
                raise ShapeError(f"pad: axis {axis} of shape {x.shape} is empty, there is nothing to continue")
            positions: Any = np.pad(np.arange(n), (before, after), mode=mode)  # type: ignore[call-overload]
            x = take(x, positions, axis)
    return x


__all__ = ["pad"]
