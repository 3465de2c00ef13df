"""The kernel of a 3×3 convolution with 2.25 times fewer products: Winograd's F(2×2, 3×3).

Four neighbouring outputs see 4×4 inputs d. They are Aᵀ[(G w Gᵀ) ⊙ (Bᵀ d B)]A: 16 products for a channel and an output
channel where the plain sum has 36. Summed over the channels the products are 16 independent matrix products, each of
(fours of outputs × channels) with (channels × outputs). Its error is of the order of the plain sum's own rounding.
Source: Winograd 1980; Lavin, Gray 2015, "Fast Algorithms for Convolutional Neural Networks".

Weights are transformed first: [block of outputs][16][channels][lanes]. Then, for a unit of fours, its inputs are
transformed to V [16][fours][channels]; for each block the sums are collected in M [16][fours][lanes], and transformed
back into the outputs.

Buffers: x, w, then those of the epilogue (bias, scale; mask), then the results (y; what is pooled) and the room for the
transformed weights. With weights that are transformed already: x, these, bias, mask, the results. Of the kernel that
transforms: w, scale, and the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from llvmlite import ir

from kedja.engines.kernels import bands
from kedja.engines.kernels.activation import RELU
from kedja.engines.kernels.builder import Builder, Int
from kedja.engines.kernels.elementwise import Act
from kedja.engines.kernels.epilogue import pooled
from kedja.engines.kernels.tile import accumulate

__all__ = ["FIELDS", "POINTS", "Packing", "Winograd", "apart", "both_ways", "spread_input", "write"]

FIELDS = (
    "prepare", "work", "finish",
    *bands.FIELDS,  # rows and columns are those of the fours
    "outs", "blocks", "groups",
    "out_rows", "out_columns",
    "padded",  # numbers of a four in V: the channels up to whole vectors, or a little more
    "between", "sums_between",  # numbers of one of the 16, in V and in M
    "w_start", "w_rows", "w_columns", "w_channels", "w_outs",
)  # fmt: skip

POINTS = 16
LINE = 16  # channels whose weights are neighbours: so many are gathered at a time where the outputs are far apart


class Winograd(NamedTuple):
    """What a kernel is made for."""

    dtype: str
    places: int  # fours of a register tile
    vectors: int
    ragged: bool
    bias: bool = False
    scaled: bool = False
    act: Act | None = None
    masked: bool = False
    packed: bool = False  # whether the weights come transformed, with the scale
    pooled: str | None = None  # whether the "max" or the "sum" of each four is a result
    whole: bool = True  # whether y is one


class Packing(NamedTuple):
    """A kernel that only transforms weights."""

    dtype: str
    vectors: int
    ragged: bool
    scaled: bool


def apart(kind: Winograd) -> tuple[Packing, Winograd]:
    """Two kernels that together do what one does: the first transforms the weights, the second does the rest."""
    return Packing(kind.dtype, kind.vectors, kind.ragged, kind.scaled), kind._replace(scaled=False, packed=True)


def write(b: Builder, kind: Winograd | Packing) -> None:
    """The kernel's phases, as functions of the builder's module."""
    if isinstance(kind, Packing) or not kind.packed:
        _write_weights(b, kind)
    if isinstance(kind, Winograd):
        _write_work(b, kind)


def _place(kind: Winograd | Packing, name: str) -> int:
    """The number of a buffer."""
    epilogue = [part for part in ("bias", "scaled", "masked") if getattr(kind, part, False)]
    if isinstance(kind, Packing):
        return ["w", *epilogue, "packed"].index(name)
    made = [result for result, part in (("y", "whole"), ("pooled", "pooled")) if getattr(kind, part)]
    whole = ["x", "packed", *epilogue, *made] if kind.packed else ["x", "w", *epilogue, *made, "packed"]
    return whole.index(name)


# --- G w Gᵀ ---------------------------------------------------------------------------------------------------------
def _write_weights(b: Builder, kind: Winograd | Packing) -> None:
    width = kind.vectors * b.lanes
    with b.phase("prepare", FIELDS) as (buffer, n, chunk):
        w, packed = b.at(buffer(_place(kind, "w")), n.w_start), buffer(_place(kind, "packed"))
        lines = (n.channels + (LINE - 1)) // LINE
        items = n.blocks * lines
        first, last = chunk * items // n.prepare, (chunk + 1) * items // n.prepare
        near = n.w_outs.compare("==", 1)
        with b.scratch(b.whole(9 * LINE * width * b.itemsize)) as gathered:
            b.clear(gathered, b.whole(9 * LINE * width))
            with b.loop(last - first) as i:
                block, c = (first + i) // lines, (first + i) % lines * LINE
                some = (n.channels - c).least(LINE)
                source = b.at(w, block * width * n.w_outs + c * n.w_channels)
                with b.when(n.w_outs.compare("!=", 1)):
                    _gather(b, n, source, gathered, (n.outs - block * width).least(width), some, width)
                begin = b.ir.select(near, source, gathered)
                rows = b.choose(near, n.w_rows, 3 * LINE * width)
                columns = b.choose(near, n.w_columns, LINE * width)
                channels = b.choose(near, n.w_channels, width)
                target = b.at(packed, block * POINTS * n.channels * width + c * width)
                masks = b.masks(n.outs - block * width, kind.vectors, kind.ragged)
                scale = buffer(_place(kind, "scaled")) if kind.scaled else None
                scales = [
                    None if scale is None else b.load(b.at(scale, block * width + v * b.lanes), mask)
                    for v, mask in enumerate(masks)
                ]
                with b.loop(some) as k:
                    for v in range(kind.vectors):
                        here = b.at(begin, k * channels + v * b.lanes)
                        at = [[b.at(here, rows * r + columns * s) for s in range(3)] for r in range(3)]
                        ws = [[b.load(place, masks[v]) for place in row] for row in at]
                        if kind.scaled:
                            ws = [[b.ir.fmul(w, scales[v]) for w in row] for row in ws]
                        for point, u in enumerate(both_ways(ws, lambda a: _spread_weights(b, a))):
                            b.store(u, b.at(target, (n.channels * point + k) * width + v * b.lanes))


def _gather(b: Builder, n: Any, source: Any, target: Any, filled: Int, some: Int, width: int) -> None:
    """[row][column][channel][output] of weights whose outputs are far apart; along the channels, as they lie."""
    with b.loop(3) as r, b.loop(3) as s, b.loop(filled) as k, b.loop(some) as c:
        number = b.number(source, r * n.w_rows + s * n.w_columns + k * n.w_outs + c * n.w_channels)
        b.put(number, target, ((r * 3 + s) * LINE + c) * width + k)


def both_ways(grid: Sequence[Sequence[Any]], change: Any) -> list[Any]:
    """A change along the columns of a grid of vectors, then along its rows; row by row."""
    columns = [change(list(column)) for column in zip(*grid, strict=True)]
    return [z for row in zip(*columns, strict=True) for z in change(list(row))]


def _spread_weights(b: Builder, w: list[Any]) -> list[Any]:
    half = ir.Constant(b.vector, [0.5] * b.lanes)
    outer, middle = b.ir.fadd(w[0], w[2]), w[1]
    return [
        w[0],
        b.ir.fmul(half, b.ir.fadd(outer, middle)),
        b.ir.fmul(half, b.ir.fsub(outer, middle)),
        w[2],
    ]


# --- Bᵀ d B ---------------------------------------------------------------------------------------------------------
def spread_input(b: Builder, n: Any, unit: bands.Unit, v_room: Any) -> None:
    """V of a unit: [16][fours][channels]."""
    row = n.wide * n.pitch
    with b.loop(unit.places) as t:
        window = b.at(unit.source, b.load_int(unit.table, t))
        target = b.at(v_room, t * n.padded)
        with b.loop((n.channels + (b.lanes - 1)) // b.lanes) as i:
            lane = i * b.lanes
            mask = b.mask(n.channels - lane)
            here = b.at(window, lane)
            d = [[b.load(b.at(here, row * r + n.pitch * s), mask) for s in range(4)] for r in range(4)]
            for point, v in enumerate(both_ways(d, lambda a: _spread_four(b, a))):
                b.store(v, b.at(target, n.between * point + lane))


def _spread_four(b: Builder, d: list[Any]) -> list[Any]:
    sub = b.ir.fsub
    return [sub(d[0], d[2]), b.ir.fadd(d[1], d[2]), sub(d[2], d[1]), sub(d[1], d[3])]


# --- Aᵀ M A ---------------------------------------------------------------------------------------------------------
def _collect(b: Builder, m: list[Any]) -> list[Any]:
    return [b.ir.fadd(b.ir.fadd(m[0], m[1]), m[2]), b.ir.fsub(b.ir.fsub(m[1], m[2]), m[3])]


def _write_work(b: Builder, kind: Winograd) -> None:
    width = kind.vectors * b.lanes
    with b.phase("work", FIELDS) as (buffer, n, chunk):
        x, packed = buffer(0), buffer(_place(kind, "packed"))
        parts = n.work // n.groups
        part, group = chunk // n.groups, chunk % n.groups
        first, last = group * n.blocks // n.groups, (group + 1) * n.blocks // n.groups
        v_bytes = n.between * (POINTS * b.itemsize)
        m_bytes = n.sums_between * (POINTS * b.itemsize)
        with b.scratch(v_bytes + m_bytes + 2 * width * b.itemsize) as v_room:
            m_room = b.after(v_room, v_bytes)
            spare = b.after(m_room, m_bytes)  # for outputs that do not exist
            b.clear(spare, b.whole(2 * width))
            with bands.units(b, n, x, part * n.units // parts, (part + 1) * n.units // parts) as unit:
                spread_input(b, n, unit, v_room)
                with b.loop(last - first) as i:
                    block = first + i
                    with b.loop(POINTS) as point:
                        panel = b.at(packed, (block * POINTS + point) * n.channels * width)
                        vs, ms = b.at(v_room, point * n.between), b.at(m_room, point * n.sums_between)
                        with b.loop((unit.places + (kind.places - 1)) // kind.places) as tile:
                            _products(b, kind, n, unit, tile * kind.places, panel, vs, ms)
                    _finish(b, kind, n, buffer, unit, block * width, m_room, spare)


def _products(b: Builder, kind: Winograd, n: Any, unit: bands.Unit, begin: Int, panel: Any, vs: Any, ms: Any) -> None:
    """One of the 16 products, for the fours of a register tile; past the unit's end the last is done again."""
    width = kind.vectors * b.lanes
    places = [(begin + t).least(unit.places - 1) for t in range(kind.places)]
    sums = [[b.variable(b.zero) for _ in range(kind.vectors)] for _ in places]
    accumulate(b, [b.at(vs, p * n.padded) for p in places], None, panel, n.channels, sums)
    for place, row in zip(places, sums, strict=True):
        for v, total in enumerate(row):
            b.store(total.get(), b.at(ms, place * width + v * b.lanes))


def _finish(
    b: Builder, kind: Winograd, n: Any, buffer: Any, unit: bands.Unit, out: Int, m_room: Any, spare: Any
) -> None:
    """The outputs of a unit and a block, four at a time, with the epilogue."""
    width = kind.vectors * b.lanes
    masks = b.masks(n.outs - out, kind.vectors, kind.ragged)
    y = buffer(_place(kind, "y")) if kind.whole else None
    rows_before = unit.first // n.columns
    image, row = rows_before // n.rows, rows_before % n.rows
    given = buffer(_place(kind, "bias")) if kind.bias else None
    bias = [None if given is None else b.load(b.at(given, out + v * b.lanes), masks[v]) for v in range(kind.vectors)]
    with b.loop(unit.places // n.columns) as r, b.loop(n.columns) as c:
        t = r * n.columns + c
        top, left = (row + r) % n.rows * 2, c * 2
        first = ((image + (row + r) // n.rows) * n.out_rows + top) * n.out_columns + left
        below = (top + 1).compare("<", n.out_rows)
        beside = (left + 1).compare("<", n.out_columns)
        there = [[None, beside], [below, b.ir.and_(below, beside)]]
        for v in range(kind.vectors):
            at = b.at(m_room, t * width + v * b.lanes)
            m = [[b.load(b.at(at, n.sums_between * (4 * i + j))) for j in range(4)] for i in range(4)]
            found = both_ways(m, lambda a: _collect(b, a))
            for i in range(2):
                for j in range(2):
                    value = found[2 * i + j]
                    if kind.bias:
                        value = b.ir.fadd(value, bias[v])
                    if kind.act and not kind.masked:
                        value = kind.act.of(b, value)
                    if kind.masked:
                        mask = b.at(
                            buffer(_place(kind, "masked")), (first + n.out_columns * i + j) * n.outs + out + v * b.lanes
                        )
                        if there[i][j] is not None:
                            mask = b.ir.select(there[i][j], mask, spare)
                        value = (kind.act or RELU).through(b, b.load(mask, masks[v]), value)
                    found[2 * i + j] = value
                    if kind.whole:
                        place = b.at(y, (first + n.out_columns * i + j) * n.outs + out + v * b.lanes)
                        if there[i][j] is not None:
                            place = b.ir.select(there[i][j], place, spare)
                        b.store(value, place, masks[v])
            if kind.pooled:
                number = ((image + (row + r) // n.rows) * (n.out_rows // 2) + top // 2) * (n.out_columns // 2) + c
                place = b.at(buffer(_place(kind, "pooled")), number * n.outs + out + v * b.lanes)
                place = b.ir.select(there[1][1], place, spare)
                b.store(pooled(b, kind.pooled, found), place, masks[v])
