"""Small maps brought to the size of the image they are of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kedja.graph.node import Array

__all__ = ["enlarged"]


def enlarged(maps: Array, sizes: Sequence[int]) -> Array:
    """Maps (n, *places) at other sizes, linear between the middles of their cells and constant beyond the outermost.

    The cells of both cover the same stretch, so cell i of m reaches from i/m to (i + 1)/m of it.

    >>> enlarged(np.array([[0.0, 1.0]]), [4]).tolist()
    [[0.0, 0.25, 0.75, 1.0]]
    """
    for axis, n in enumerate(sizes, start=1):
        m = maps.shape[axis]
        if m == n:
            continue
        at = np.clip((np.arange(n) + 0.5) * m / n - 0.5, 0, m - 1)
        low = np.minimum(at.astype(np.int64), max(m - 2, 0))
        share = (at - low).astype(maps.dtype).reshape([-1 if a == axis else 1 for a in range(maps.ndim)])
        high = np.minimum(low + 1, m - 1)
        maps = np.take(maps, low, axis) * (1 - share) + np.take(maps, high, axis) * share
    return maps
