"""The kernels of max-pooling over windows that lie side by side, and of its gradient.

The gradient looks for each window's largest again, which costs less than to remember where it was, and writes every
number of the input once: g where the first largest stands, 0 elsewhere.

Buffers: x and y; for the gradient x, g and dx.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir

from kedja.engines.kernels.activation import RELU
from kedja.engines.kernels.builder import Builder, Int

__all__ = ["FIELDS", "Pool", "larger", "write"]

FIELDS = (
    "prepare", "work", "finish",
    "images", "rows", "columns", "in_rows", "in_columns", "channels",
)  # fmt: skip


class Pool(NamedTuple):
    """What a kernel is made for."""

    dtype: str
    window_rows: int
    window_columns: int
    ragged: bool
    back: bool = False
    positive: bool = False  # in the gradient: only where the largest is positive, which is that through a relu


def write(b: Builder, kind: Pool) -> None:
    """The kernel's one phase."""
    with b.phase("work", FIELDS) as (buffer, n, chunk):
        total = n.images * n.rows
        first, last = chunk * total // n.work, (chunk + 1) * total // n.work
        row = n.in_columns * n.channels
        with b.loop(last - first) as i:
            at = first + i
            image, r = at // n.rows, at % n.rows
            above = (image * n.in_rows + r * kind.window_rows) * row
            if kind.back:
                _clear_rest(b, kind, n, buffer(2), above, row, r)
            with b.loop(n.columns) as c, b.loop((n.channels + (b.lanes - 1)) // b.lanes) as v:
                lane = v * b.lanes
                mask = b.mask(n.channels - lane) if kind.ragged else None
                corner = above + c * kind.window_columns * n.channels + lane
                out = (at * n.columns + c) * n.channels + lane
                best, conditions = _largest(b, kind, n, buffer(0), corner, row, mask)
                if kind.back:
                    given = b.load(b.at(buffer(1), out), mask)
                    given = RELU.through(b, best, given) if kind.positive else given
                    _give(b, kind, n, buffer(2), corner, row, mask, given, conditions)
                else:
                    b.store(best, b.at(buffer(1), out), mask)


def _places(kind: Pool, n: Any, corner: Int, row: Int) -> list[Int]:
    return [corner + row * i + n.channels * j for i in range(kind.window_rows) for j in range(kind.window_columns)]


def larger(b: Builder, here: Any, best: Any) -> Any:
    """Where a number is larger than the best before, or missing where nothing was missing: a missing number wins."""
    return b.ir.and_(b.ir.fcmp_unordered(">", here, best), b.ir.fcmp_ordered("ord", best, best))


def _largest(b: Builder, kind: Pool, n: Any, x: Any, corner: Int, row: Int, mask: Any) -> tuple[Any, list[Any]]:
    """The largest of a window, and for each place but the first whether it was larger than all before it."""
    best, won = None, []
    for at in _places(kind, n, corner, row):
        here = b.load(b.at(x, at), mask)
        if best is None:
            best = here
            continue
        wins = larger(b, here, best)
        best = b.ir.select(wins, here, best)
        won.append(wins)
    return best, won


def _give(
    b: Builder, kind: Pool, n: Any, dx: Any, corner: Int, row: Int, mask: Any, given: Any, wins: list[Any]
) -> None:
    """Each place gets what is given if it won and none after it did."""
    places = _places(kind, n, corner, row)
    free = None  # whether no later place has won
    for i in range(len(places) - 1, -1, -1):
        won = wins[i - 1] if i else None
        mine = won if free is None else free if won is None else b.ir.and_(won, free)
        b.store(given if mine is None else b.ir.select(mine, given, b.zero), b.at(dx, places[i]), mask)
        if won is not None:
            lost = b.ir.xor(won, ir.Constant(won.type, [1] * b.lanes))
            free = lost if free is None else b.ir.and_(free, lost)


def _clear_rest(b: Builder, kind: Pool, n: Any, dx: Any, above: Int, row: Int, r: Int) -> None:
    """Zeros where no window reaches: the columns left over beside these rows, and the rows left over below the last."""
    covered = n.columns * kind.window_columns * n.channels
    for i in range(kind.window_rows):
        b.clear(b.at(dx, above + row * i + covered), row - covered)
    with b.when((r + 1).compare("==", n.rows)):
        left = n.in_rows - n.rows * kind.window_rows
        b.clear(b.at(dx, above + row * kind.window_rows), left * row)
