"""Products of a few rows by one matrix, again and again: the matrix is packed once, in blocks as wide as a tile.

A block holds, for each row of the matrix, the numbers of its columns side by side, with zeros beyond the last column.
"""

from __future__ import annotations

from typing import Any

from kedja.engines.kernels.builder import Builder, Int
from kedja.engines.kernels.tile import accumulate

__all__ = ["multiply", "pack", "pack_turned"]


def pack(b: Builder, width: int, matrix: Any, packed: Any, first: Int, last: Int, depth: Int, columns: Int) -> None:
    """Rows `first` to `last` of a matrix (depth, columns)."""
    with b.loop((columns + (width - 1)) // width) as block, b.loop(last - first) as i:
        q = first + i
        target = b.at(packed, (block * depth + q) * width)
        there = (columns - block * width).least(width)
        b.copy(target, b.at(matrix, q * columns + block * width), there)
        b.clear(b.at(target, there), b.whole(width) - there)


def pack_turned(
    b: Builder, width: int, matrix: Any, packed: Any, first: Int, last: Int, depth: Int, columns: Int
) -> None:
    """The same of a matrix that lies as (columns, depth)."""
    with b.loop((columns + (width - 1)) // width) as block:
        corner = b.at(packed, block * depth * width)
        there = (columns - block * width).least(width)
        with b.loop(there) as j, b.loop(last - first) as i:
            q = first + i
            b.put(b.number(matrix, (block * width + j) * depth + q), corner, q * width + j)
        with b.loop(last - first) as i:
            b.clear(b.at(corner, (first + i) * width + there), b.whole(width) - there)


def multiply(
    b: Builder, rows: int, vectors: int, source: Any, source_pitch: Int, packed: Any, depth: Int, columns: Int,
    count: Int, sums: Any, sums_pitch: Int,
) -> None:  # fmt: skip
    """sums = source · matrix, in tiles of `rows` by `vectors`; of the last tile all rows are computed, and written."""
    width = vectors * b.lanes
    with b.loop((columns + (width - 1)) // width) as block, b.loop((count + (rows - 1)) // rows) as tile:
        sources = [b.at(source, (tile * rows + t) * source_pitch) for t in range(rows)]
        totals = [[b.variable(b.zero) for _ in range(vectors)] for _ in range(rows)]
        accumulate(b, sources, None, b.at(packed, block * depth * width), depth, totals)
        for t, row in enumerate(totals):
            for v, total in enumerate(row):
                b.store(total.get(), b.at(sums, (tile * rows + t) * sums_pitch + block * width + v * b.lanes))
