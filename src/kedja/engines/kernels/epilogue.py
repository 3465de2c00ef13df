"""What becomes of a convolution's sums while they lie in registers, and where the results go.

An array is added, the activation applied, or a gradient taken through one. Then y is stored, or what each 2×2 window
of it comes to, or both. For a norm the mean and the squares of each channel are made too: of a tile's places first,
then joined with those of the tiles before it, in their order, as `moments` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kedja.engines.kernels import bands
from kedja.engines.kernels.activation import RELU
from kedja.engines.kernels.builder import Builder, Int
from kedja.engines.kernels.moments import join, real
from kedja.engines.kernels.pool import larger

__all__ = ["WINDOW", "finish", "join_tile", "pooled", "write_moments"]

WINDOW = 4  # places of a 2×2 window

Tile = list[list[Any]]  # of each place its vectors


def finish(
    b: Builder,
    kind: Any,
    unit: bands.Unit,
    outs: Int,
    places: Sequence[Int],
    sums: Tile,
    out: Int,
    arrays: Mapping[str, Any],
) -> Tile:
    """Apply the epilogue to a tile's sums and store what is wanted; gives the values of y.

    `arrays` are the buffers by their names.
    """
    masks = b.masks(outs - out, kind.vectors, kind.ragged)
    values = []
    for place, row in zip(places, sums, strict=True):
        at = place if unit.order is None else b.load_int(unit.order, place)
        found = []
        for v, value in enumerate(row):
            where = (unit.first + at) * outs + out + v * b.lanes
            if kind.plus:
                value = b.ir.fadd(value, b.load(b.at(arrays["plus"], where), masks[v]))
            if kind.masked:
                value = (kind.act or RELU).through(b, b.load(b.at(arrays["masked"], where), masks[v]), value)
            elif kind.act:
                value = kind.act.of(b, value)
            if kind.whole:
                b.store(value, b.at(arrays["y"], where), masks[v])
            found.append(value)
        values.append(found)
    for first in range(0, len(places), WINDOW) if kind.pooled else ():
        window = (unit.first + places[first]) // WINDOW
        for v, mask in enumerate(masks):
            best = pooled(b, kind.pooled, [values[first + i][v] for i in range(WINDOW)])
            b.store(best, b.at(arrays["pooled"], window * outs + out + v * b.lanes), mask)
    return values


def pooled(b: Builder, how: str, window: Sequence[Any]) -> Any:
    """The largest of a window's places, or their sum."""
    found = window[0]
    for here in window[1:]:
        found = b.ir.fadd(found, here) if how == "sum" else b.ir.select(larger(b, here, found), here, found)
    return found


# --- for a norm -----------------------------------------------------------------------------------------------------
def join_tile(b: Builder, values: Tile, count: Int, before: Int, mine: Any) -> None:
    """Mean and squares of the first `count` places of a tile, joined with those of `before` places.

    These lie at `mine`: the means of the tile's lanes, then the squares.
    """
    width = len(values[0]) * b.lanes
    columns = list(zip(*values, strict=True))
    share = b.ir.fdiv(b.everywhere(1.0), real(b, count))
    there = [count.compare(">", t) for t in range(len(values))]
    means, squares = ([b.variable(b.zero) for _ in columns] for _ in range(2))
    with b.ir.if_else(count.compare("==", len(values))) as (full, partly):
        # Only a unit's last tile may be filled partly: the others need not ask which of their places count.
        for branch, some in ((full, None), (partly, there)):
            with branch:
                for column, mean, square in zip(columns, means, squares, strict=True):
                    mean.set(b.ir.fmul(_sum(b, column, some), share))
                    away = [b.ir.fsub(value, mean.get()) for value in column]
                    square.set(_sum(b, [b.ir.fmul(a, a) for a in away], some))
    for v, found in enumerate(zip(means, squares, strict=True)):
        places = [b.at(mine, v * b.lanes), b.at(mine, width + v * b.lanes)]
        totals = [b.variable(b.load(place)) for place in places]
        join(b, totals, [x.get() for x in found], before, count)
        for place, joined in zip(places, totals, strict=True):
            b.store(joined.get(), place)


def _sum(b: Builder, values: Sequence[Any], some: Sequence[Any] | None) -> Any:
    """The sum of those of some vectors that count, by halves: additions that need not wait for one another."""
    found = list(values) if some is None else [b.ir.select(s, v, b.zero) for s, v in zip(some, values, strict=True)]
    while len(found) > 1:
        found = [b.ir.fadd(*pair) for pair in zip(found[::2], found[1::2], strict=False)] + found[len(found) // 2 * 2 :]
    return found[0]


def write_moments(b: Builder, kind: Any, n: Any, parts: Any, y: Any) -> None:
    """Mean and variance of each channel from those of the parts, [part][block][2][lanes of a block]."""
    width = kind.vectors * b.lanes
    many = n.work // n.groups
    with b.loop(n.blocks) as block:
        out = block * width
        for v, mask in enumerate(b.masks(n.outs - out, kind.vectors, kind.ragged)):
            totals = [b.variable(b.zero) for _ in range(2)]
            with b.loop(many) as part:
                here = b.at(parts, (part * n.blocks + block) * (2 * width) + v * b.lanes)
                first = bands.places_before(n, part * n.units // many)
                last = bands.places_before(n, (part + 1) * n.units // many)
                join(b, totals, [b.load(here), b.load(b.at(here, width))], first, last - first)
            totals[1].set(b.ir.fdiv(totals[1].get(), real(b, bands.places_before(n, n.units))))
            for i, total in enumerate(totals):
                b.store(total.get(), b.at(y, n.outs * i + out + v * b.lanes), mask)
