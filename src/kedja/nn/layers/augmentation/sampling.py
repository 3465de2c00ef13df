"""Numbers between the places of a series or an image, by one linear interpolation: what all geometry comes down to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kedja.graph.node import Tensor, tensor
from kedja.graph.shapes import broadcast
from kedja.ops import (
    arange,
    broadcast_to,
    cast,
    clip,
    expand_dims,
    floor,
    matmul,
    minimum,
    pad,
    reshape,
    stack,
    stop_gradient,
    take,
    zeros,
)  # fmt: skip

__all__: list[str] = []


def sampled(x: Tensor, places: Sequence[Tensor], fill: str = "constant", value: Any = 0.0) -> Tensor:
    """y[n, p] = x[n, s(p)] with x interpolated linearly along each axis (bilinearly in images).

    x (N, *space, C); `places` has for each axis of space the places s, in steps from the first element, each of a
    shape that broadcasts to (N, *out); y (N, *out, C). Beyond the edge stands `value` ("constant"), the element at the
    edge ("nearest") or the mirror image ("reflect", d c b a | a b c d | d c b a). Between the edge and `value` it
    is interpolated too, so y is continuous in s.
    """
    n, *sizes, channels = x.shape
    if fill == "constant":  # one element of the border on each side is all that interpolation can reach
        x = pad(x, [(0, 0), *((1, 1) for _ in sizes), (0, 0)], value=value)
        places = [clip(s, -1.0, float(m)) + 1.0 for s, m in zip(places, sizes, strict=True)]
        sizes = [m + 2 for m in sizes]
    else:
        if fill == "reflect":
            places = [_folded(s, m) for s, m in zip(places, sizes, strict=True)]
        places = [clip(s, 0.0, float(m - 1)) for s, m in zip(places, sizes, strict=True)]
    lows, parts = [], []
    for s, m in zip(places, sizes, strict=True):
        low = stop_gradient(minimum(floor(s), float(max(m - 2, 0))))
        lows.append(cast(low, "int32"))
        parts.append(cast(expand_dims(s - low, -1), x.dtype))
    rows = reshape(x, (n * math.prod(sizes), channels))
    first = reshape(arange(n, dtype="int32") * sizes[0], (n,) + (1,) * (lows[0].ndim - 1))
    shape = broadcast([first.shape, *(low.shape for low in lows)])

    def between(axis: int, before: Tensor) -> Tensor:
        """The interpolation along this axis and those after it, where `before` counts the places of those before."""
        here = before + lows[axis]
        last = axis + 1 == len(sizes)

        def at(place: Tensor) -> Tensor:
            return take(rows, broadcast_to(place, shape)) if last else between(axis + 1, place * sizes[axis + 1])

        a = at(here)
        return a + parts[axis] * (at(here + 1) - a) if sizes[axis] > 1 else a

    return between(0, first)


def _folded(s: Tensor, size: int) -> Tensor:
    """Places beyond the edges as those of which they are the mirror images, the edge between two elements."""
    t = (s + 0.5) / (2.0 * size)
    back = (t - floor(t)) * (2.0 * size)
    return minimum(back, 2.0 * size - back) - 0.5


def affine(
    x: Tensor, matrix: Sequence[Sequence[Tensor | None]], offset: Sequence[Tensor], fill: str, value: Any
) -> Tensor:  # fmt: skip
    """y[n, p] = x[n, c + A (p − c) + b], c the centre of the image: rows first, then columns.

    `matrix` has the entries of A (None: 0) and `offset` those of b, (N,) each, in elements.
    """
    n, *sizes, _ = x.shape
    middles = [0.5 * (m - 1) for m in sizes]
    still = zeros((n,), offset[0].dtype)
    rows = [
        stack([*(still if a is None else a for a in row), b + c], 1)
        for row, b, c in zip(matrix, offset, middles, strict=True)
    ]
    # One product, as the drawn numbers are then computed once and not again at every place they are used in.
    around = np.indices(sizes).reshape(len(sizes), -1) - np.array(middles)[:, None]
    grid = np.concatenate([around, np.ones((1, math.prod(sizes)))])
    places = matmul(stack(rows, 1), tensor(grid, dtype=still.dtype))
    return sampled(x, [reshape(places[:, i], (n, *sizes)) for i in range(len(sizes))], fill, value)
