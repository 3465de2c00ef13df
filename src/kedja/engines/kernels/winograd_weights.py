"""The kernel of a 3×3 convolution's gradient by its weights, and by its bias, in the manner of `winograd`.

dw = Gᵀ [ Σ (Bᵀ d B) ⊙ (A g Aᵀ) ] G, summed over the fours of outputs: d are the 4×4 inputs a four sees, g its four
gradients. The sums are 16 matrix products of (channels × fours) with (fours × outputs).

Each part of the units has sums of its own; the last phase adds them up in the order of their numbers and transforms
them back. Buffers: x, g, then dw, with `sums` the sum of g, and the room for the parts.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir

from kedja.engines.kernels import bands
from kedja.engines.kernels.builder import Builder, Int, Variable
from kedja.engines.kernels.tile import accumulate
from kedja.engines.kernels.winograd import POINTS, both_ways, spread_input

__all__ = ["FIELDS", "WinogradWeights", "write"]

FIELDS = (
    "prepare", "work", "finish",
    *bands.FIELDS,  # rows and columns are those of the fours
    "outs", "blocks", "groups", "parts",
    "out_rows", "out_columns",
    "padded", "between", "sums_between",  # as in `winograd`, the last of A g Aᵀ
    "tiles",  # of channels; each of the 16 has so many times `entries` rows
)  # fmt: skip


class WinogradWeights(NamedTuple):
    """What a kernel is made for."""

    dtype: str
    entries: int
    vectors: int
    ragged: bool
    sums: bool = False


def write(b: Builder, kind: WinogradWeights) -> None:
    """The kernel's phases, as functions of the builder's module."""
    width = kind.vectors * b.lanes
    with b.phase("work", FIELDS) as (buffer, n, chunk):
        x, g, parts = buffer(0), buffer(1), buffer(3 + kind.sums)
        part, group = chunk // n.groups, chunk % n.groups
        size, block_size = _sizes(n, kind, width)
        first, last = group * n.blocks // n.groups, (group + 1) * n.blocks // n.groups
        mine = b.at(parts, part * n.blocks * block_size)
        b.clear(b.at(mine, first * block_size), (last - first) * block_size)
        v_bytes = n.between * (POINTS * b.itemsize)
        with b.scratch(v_bytes + n.sums_between * (POINTS * b.itemsize)) as v_room:
            z_room = b.after(v_room, v_bytes)
            with bands.units(b, n, x, part * n.units // n.parts, (part + 1) * n.units // n.parts) as unit:
                spread_input(b, n, unit, v_room)
                with b.loop(last - first) as i:
                    block = first + i
                    home = b.at(mine, block * block_size)
                    _spread_given(b, kind, n, unit, g, block * width, z_room, b.at(home, size * POINTS))
                    with b.loop(POINTS) as point, b.loop(n.tiles) as tile:
                        rows = b.at(home, point * size + tile * (kind.entries * width))
                        vs, zs = b.at(v_room, point * n.between), b.at(z_room, point * n.sums_between)
                        _products(b, kind, n, unit, tile * kind.entries, vs, zs, rows)
    with b.phase("finish", FIELDS) as (buffer, n, chunk):
        size, block_size = _sizes(n, kind, width)
        step = n.blocks * block_size
        begin, end = chunk * n.channels // n.finish, (chunk + 1) * n.channels // n.finish
        parts = buffer(3 + kind.sums)
        with b.loop(end - begin) as i, b.loop(n.blocks) as block:
            c, out = begin + i, block * width
            for v, mask in enumerate(b.masks(n.outs - out, kind.vectors, kind.ragged)):
                row = b.at(parts, block * block_size + c * width + v * b.lanes)
                u = [[_added(b, n, b.at(row, size * (4 * r + s)), step) for s in range(4)] for r in range(4)]
                for k, dw in enumerate(both_ways(u, lambda a: _collect_weights(b, a))):
                    b.store(dw, b.at(buffer(2), (n.channels * k + c) * n.outs + out + v * b.lanes), mask)
        if kind.sums:
            with b.when(chunk.compare("==", 0)), b.loop(n.blocks) as block:
                for v, mask in enumerate(b.masks(n.outs - block * width, kind.vectors, kind.ragged)):
                    total = _added(b, n, b.at(parts, block * block_size + size * POINTS + v * b.lanes), step)
                    b.store(total, b.at(buffer(3), block * width + v * b.lanes), mask)


def _sizes(n: Any, kind: WinogradWeights, width: int) -> tuple[Int, Int]:
    """Numbers of one of the 16, and of a block: all of them and the sums of g."""
    size = n.tiles * (kind.entries * width)
    return size, size * POINTS + width


def _spread_given(
    b: Builder, kind: WinogradWeights, n: Any, unit: bands.Unit, g: Any, out: Int, z_room: Any, sums: Any
) -> None:
    """A g Aᵀ of a unit and a block: [16][fours][lanes]; what lies outside counts as 0. Adds up g on the way."""
    width = kind.vectors * b.lanes
    rows_before = unit.first // n.columns
    image, row = rows_before // n.rows, rows_before % n.rows
    totals: list[Variable] = []
    if kind.sums:
        totals = [b.variable(b.load(b.at(sums, b.whole(v * b.lanes)))) for v in range(kind.vectors)]
    with b.loop(unit.places // n.columns) as r, b.loop(n.columns) as c:
        t = r * n.columns + c
        top, left = (row + r) % n.rows * 2, c * 2
        first = ((image + (row + r) // n.rows) * n.out_rows + top) * n.out_columns + left
        for v in range(kind.vectors):
            lanes = n.outs - out - v * b.lanes
            grid = []
            for i in range(2):
                below = (top + i).compare("<", n.out_rows)
                beside = [(left + j).compare("<", n.out_columns) for j in range(2)]
                masks = [b.mask(b.choose(b.ir.and_(below, there), lanes, 0)) for there in beside]
                at = b.at(g, (first + n.out_columns * i) * n.outs + out + v * b.lanes)
                grid.append([b.load(b.at(at, n.outs * j), masks[j]) for j in range(2)])
            if kind.sums:
                some = b.ir.fadd(b.ir.fadd(*grid[0]), b.ir.fadd(*grid[1]))
                totals[v].set(b.ir.fadd(totals[v].get(), some))
            target = b.at(z_room, t * width + v * b.lanes)
            for point, z in enumerate(both_ways(grid, lambda a: _spread_two(b, a))):
                b.store(z, b.at(target, n.sums_between * point))
    for v, total in enumerate(totals):
        b.store(total.get(), b.at(sums, b.whole(v * b.lanes)))


def _spread_two(b: Builder, g: list[Any]) -> list[Any]:
    return [g[0], b.ir.fadd(g[0], g[1]), b.ir.fsub(g[0], g[1]), b.ir.fsub(b.zero, g[1])]


def _products(
    b: Builder, kind: WinogradWeights, n: Any, unit: bands.Unit, begin: Int, v: Any, z: Any, rows: Any
) -> None:
    """Add what a unit gives to one of the 16, for the channels of a register tile; past the last it is done again."""
    where = [
        [b.at(rows, b.whole((t * kind.vectors + k) * b.lanes)) for k in range(kind.vectors)]
        for t in range(kind.entries)
    ]
    sums = [[b.variable(b.load(place)) for place in row] for row in where]
    sources = [b.at(v, (begin + t).least(n.channels - 1)) for t in range(kind.entries)]
    accumulate(b, sources, n.padded, z, unit.places, sums)
    for row, places in zip(sums, where, strict=True):
        for total, place in zip(row, places, strict=True):
            b.store(total.get(), place)


def _added(b: Builder, n: Any, first: Any, step: Int) -> Any:
    """One vector of all parts, in order."""
    total = b.variable(b.load(first))
    with b.loop(n.parts - 1) as p:
        total.set(b.ir.fadd(total.get(), b.load(b.at(first, (p + 1) * step))))
    return total.get()


def _collect_weights(b: Builder, u: list[Any]) -> list[Any]:
    half = ir.Constant(b.vector, [0.5] * b.lanes)
    both = b.ir.fmul(half, b.ir.fadd(u[1], u[2]))
    return [b.ir.fadd(u[0], both), b.ir.fmul(half, b.ir.fsub(u[1], u[2])), b.ir.fadd(both, u[3])]
