"""How a product of two matrices is divided, and where a kernel of our own is faster than XLA: the rules.

Shapes and the processor alone decide. The order of a sum is that of k in any case.
"""

from __future__ import annotations

import numpy as np

from kedja.engines.kernels import product
from kedja.engines.kernels.elementwise import ARRAY, Program
from kedja.engines.kernels.plans import APART_BYTES, CHUNKS, Plan, fitting
from kedja.engines.kernels.target import LINE_BYTES, Target

__all__ = ["plan_product", "product_pays"]

FEWEST_PRODUCTS = 1 << 13  # for less a call is not worth it
FEWEST_ROWS, MOST_ROWS = 16, 512  # of the factor that does not lie transposed: b is packed for them all

STRETCH = 1024  # products that a sum takes at most before other columns have their turn
LONG = 256  # and so many where that is not enough for all
TILES = 16  # of a chunk of rows, each of which packs all of b for itself
CHUNK_PRODUCTS = 1 << 20  # less is not worth a chunk of its own,
TWO_PRODUCTS = 1 << 18  # and less than this not a second thread
COPIED = 1 << 15  # numbers copied apart, of which the same is true
OVERLAPPING = 8  # sums in a tile of an update: while the processor divides and takes roots it begins with the next
FEW_TILES, FEW_CHUNKS, SHORT = 2, 4, 128  # so few that stretches of k are summed apart, if none is shorter than this


def product_pays(rows: int, columns: int, depth: int, left: bool) -> bool:
    """Whether the kernel is at least as fast as XLA."""
    if rows * columns * depth < FEWEST_PRODUCTS:
        return False
    return depth <= STRETCH if left else FEWEST_ROWS <= rows <= MOST_ROWS


def plan_product(
    rows: int, columns: int, depth: int, dtype: str, target: Target, program: Program,
    left: bool = False, right: bool = False, waits: int = 0,
) -> Plan:  # fmt: skip
    """y (rows, columns) from a (rows, depth) and b (depth, columns), of which each may lie transposed."""
    itemsize = np.dtype(dtype).itemsize
    target = fitting(target, columns, itemsize)
    if left and program.of(ARRAY):
        high, vectors = min(OVERLAPPING, rows), 1
    else:
        high, vectors = _tile(rows, columns, target, itemsize)
    width = vectors * target.lanes(itemsize)
    tiles, blocks = -(-rows // high), -(-columns // width)
    products = rows * columns * depth
    chunks = max(1, 2 * (products >= TWO_PRODUCTS), min(CHUNKS, products // CHUNK_PRODUCTS))
    # What lies transposed is packed by the chunk that needs it, so chunks share the rows; else the columns first.
    row_groups = min(tiles, chunks, max(2, tiles // TILES) if left else max(1, chunks // blocks))
    column_groups = min(blocks, -(-chunks // row_groups))
    stretch = depth if depth <= STRETCH else LONG
    apart = not left and depth * itemsize % APART_BYTES == 0 and high > 1
    # Few rows: each thread reads a part of b of its own, the one whose update it will most likely make.
    parts = not (left or right or apart) and tiles <= FEW_TILES and 1 < chunks <= min(FEW_CHUNKS, depth // SHORT)
    if parts:
        stretch = -(-depth // chunks)
        row_groups, column_groups = 1, -(-depth // stretch)
    pitch = depth + LINE_BYTES // itemsize if apart else 0
    numbers = {
        "prepare": (min(CHUNKS, rows) if rows * depth >= COPIED else 1) if apart else 0,
        "work": row_groups * column_groups, "finish": int(parts), "rows": rows, "columns": columns, "depth": depth,
        "tiles": tiles, "blocks": blocks, "row_groups": row_groups, "column_groups": column_groups,
        "stretch": stretch, "stretches": -(-depth // stretch), "pitch": pitch,
    }  # fmt: skip
    kind = product.Product(dtype, high, vectors, columns % width != 0, program, left, right, waits, parts)
    room = chunks * tiles * blocks * high * width if parts else rows * pitch
    return Plan(kind, target, tuple(numbers[name] for name in product.FIELDS), max(1, room))


def _tile(rows: int, columns: int, target: Target, itemsize: int) -> tuple[int, int]:
    """Rows and vectors of a tile: of those that fit the registers the ones that compute least beside the result."""
    most = 26 if target.registers == 32 else 12 if target.fma else 10
    shapes = [(high, v) for v in range(1, 5) for high in range(1, most // v + 1)]

    def cost(shape: tuple[int, int]) -> int:
        high, v = shape
        # As many steps as there are products, or loads where these are more; and a little for each step of the loop.
        return -(-rows // high) * -(-columns // (v * target.lanes(itemsize))) * (max(high * v, high + v) + 2)

    return min(shapes, key=cost)
