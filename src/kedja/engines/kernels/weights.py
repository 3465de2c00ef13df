"""The kernel of a convolution's gradient by its weights, and by its bias.

dw[q, vector] = Σ x[place's window, q] · g[place, vector] over all places of all images. A tile is `entries` neighbours
of q and a block of vectors, summed in registers over the places of a unit. Each part of the units has sums of its own,
which the last phase adds up in the order of their numbers: how many there are depends on the shapes alone.

Buffers: x, g, then dw, with `sums` the sum of g, and the room for the parts.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from kedja.engines.kernels import bands
from kedja.engines.kernels.builder import Builder, Int
from kedja.engines.kernels.tile import AHEAD

__all__ = ["FIELDS", "Weights", "write"]

FIELDS = (
    "prepare", "work", "finish",
    *bands.FIELDS,
    "outs", "blocks", "groups", "parts",
    "depth", "kernel_rows", "kernel_columns", "dilation_rows", "dilation_columns",
    "tiles",  # of entries; a block of the parts has so many times `entries` rows, and one for the sums
)  # fmt: skip


class Weights(NamedTuple):
    """What a kernel is made for."""

    dtype: str
    entries: int
    vectors: int
    ragged: bool
    sums: bool = False
    each: bool = False  # whether each channel is convolved by itself (depthwise)


def write(b: Builder, kind: Weights) -> None:
    """The kernel's phases, as functions of the builder's module."""
    width = kind.vectors * b.lanes
    with b.phase("work", FIELDS) as (buffer, n, chunk):
        x, g, parts = buffer(0), buffer(1), buffer(3 + kind.sums)
        part, group = chunk // n.groups, chunk % n.groups
        block_size = (n.tiles * kind.entries + 1) * width
        first, last = group * n.blocks // n.groups, (group + 1) * n.blocks // n.groups
        mine = b.at(parts, part * n.blocks * block_size)
        b.clear(b.at(mine, first * block_size), (last - first) * block_size)
        entries = n.kernel_rows * n.kernel_columns * n.depth
        with b.scratch(entries * 8) as table:
            _fill_entries(b, n, table)
            with (
                bands.units(b, n, x, part * n.units // n.parts, (part + 1) * n.units // n.parts) as unit,
                b.loop(last - first) as i,
            ):
                block = first + i
                out = block * width
                masks = b.masks(n.outs - out, kind.vectors, kind.ragged)
                home = b.at(mine, block * block_size)
                given = b.at(g, unit.first * n.outs + out)
                with b.loop(n.tiles) as tile:
                    begin = tile * kind.entries
                    at = [b.load_int(table, (begin + t).least(entries - 1)) for t in range(kind.entries)]
                    _tile(b, kind, n, unit, at, given, masks, b.at(home, begin * width), out)
                if kind.sums:
                    _sum(b, kind, n, unit, given, masks, b.at(home, n.tiles * kind.entries * width))
    with b.phase("finish", FIELDS) as (buffer, n, chunk):
        entries = n.kernel_rows * n.kernel_columns * n.depth
        block_size = (n.tiles * kind.entries + 1) * width
        begin, end = chunk * entries // n.finish, (chunk + 1) * entries // n.finish
        parts = buffer(3 + kind.sums)
        step = n.blocks * block_size
        # Along the outputs first: the result is written as it lies.
        with b.loop(end - begin) as i, b.loop(n.blocks) as block:
            e = begin + i
            target = b.at(buffer(2), e * n.outs + block * width)
            _add_up(b, kind, n, b.at(parts, block * block_size + e * width), step, target, block * width)
        if kind.sums:
            with b.when(chunk.compare("==", 0)), b.loop(n.blocks) as block:
                sums = b.at(parts, block * block_size + n.tiles * kind.entries * width)
                _add_up(b, kind, n, sums, step, b.at(buffer(3), block * width), block * width)


def _fill_entries(b: Builder, n: Any, table: Any) -> None:
    """Where each entry of the kernel lies from the beginning of a window."""
    row = b.choose(n.copied.compare("!=", 0), n.wide, n.in_columns) * n.pitch
    with b.loop(n.kernel_rows) as r, b.loop(n.kernel_columns) as s, b.loop(n.depth) as c:
        place = r * n.dilation_rows * row + s * n.dilation_columns * n.pitch + c
        b.store_int(place, table, (r * n.kernel_columns + s) * n.depth + c)


def _tile(
    b: Builder, kind: Weights, n: Any, unit: bands.Unit, at: list[Int], given: Any, masks: list[Any], home: Any,
    out: Int,
) -> None:  # fmt: skip
    """Add what a unit's places give to the sums of one tile."""
    where = [
        [b.at(home, b.whole((t * kind.vectors + v) * b.lanes)) for v in range(kind.vectors)] for t in range(len(at))
    ]
    sums = [[b.variable(b.load(place)) for place in row] for row in where]
    sources = [b.at(unit.source, a) for a in at]
    with b.loop(unit.places) as m:
        place = b.opaque(b.load_int(unit.table, m))
        gs = [b.load(b.at(given, m * n.outs + v * b.lanes), masks[v]) for v in range(kind.vectors)]
        for t, source in enumerate(sources):
            if t >= AHEAD:
                place = b.opaque(place, [s.get() for s in sums[t - AHEAD]])
            number = None if kind.each else b.splat(b.number(source, place))
            for v, g in enumerate(gs):
                if kind.each:
                    number = b.load(b.at(source, place + out + v * b.lanes), masks[v])
                sums[t][v].set(b.fma(number, g, sums[t][v].get()))
    for row, places in zip(sums, where, strict=True):
        for total, place in zip(row, places, strict=True):
            b.store(total.get(), place)


def _sum(b: Builder, kind: Weights, n: Any, unit: bands.Unit, given: Any, masks: list[Any], home: Any) -> None:
    """Add the unit's g to the sums of g."""
    for v in range(kind.vectors):
        where = b.at(home, b.whole(v * b.lanes))
        total = b.variable(b.load(where))
        with b.loop(unit.places) as m:
            total.set(b.ir.fadd(total.get(), b.load(b.at(given, m * n.outs + v * b.lanes), masks[v])))
        b.store(total.get(), where)


def _add_up(b: Builder, kind: Weights, n: Any, first: Any, step: Int, target: Any, out: Int) -> None:
    """One row of the result: the rows of all parts, in order."""
    for v, mask in enumerate(b.masks(n.outs - out, kind.vectors, kind.ragged)):
        total = b.variable(b.load(b.at(first, b.whole(v * b.lanes))))
        with b.loop(n.parts - 1) as p:
            total.set(b.ir.fadd(total.get(), b.load(b.at(first, (p + 1) * step + v * b.lanes))))
        b.store(total.get(), b.at(target, b.whole(v * b.lanes)), mask)
