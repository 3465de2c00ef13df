"""The kernel of a convolution, which is also that of its gradient by the input.

The weights are first packed: [block of outputs][place and channel][lanes], with zeros where the last block is not full,
multiplied by the channel's scale if there is one, and the bias at the head of each block. Then, for every block and
every tile of `places` output places, the numbers acc[place][vector] += x[place's window, q] · w[q, vector] are summed
in registers over all q, a run of neighbouring numbers at a time. The order of the sum depends on the kernel alone.

Where weights stay as they are for many calls, they are packed by a kernel of its own, and this one takes them packed.

Buffers: x, w, then those of the epilogue (bias; scale; what is added; mask), then the results (y; what is pooled;
moments) and the room for packed weights, behind which lie the moments of parts. With weights that are packed already:
x, these, what is added, mask, the results. Of the kernel that packs: w, bias, scale, and the packed weights.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir

from kedja.engines.kernels import bands, epilogue
from kedja.engines.kernels.activation import RELU
from kedja.engines.kernels.builder import Builder, Int, Variable
from kedja.engines.kernels.elementwise import Act
from kedja.engines.kernels.tile import accumulate

__all__ = ["FIELDS", "Conv", "Packing", "apart", "write"]

FIELDS = (
    "prepare", "work", "finish",  # the chunks of each phase
    *bands.FIELDS,
    "outs", "blocks", "groups",  # channels out, blocks of them, and how many portions of blocks are chunks of their own
    "outer", "outer_step", "middle", "middle_step", "run",  # the sum over q: two loops around a run of neighbours
    "depth", "kernel_rows", "kernel_columns",  # the channels that an output sees, and how large the kernel is
    "strip", "strip_step", "strip_low", "kept",  # of a narrow gradient: see `_write_narrow`
    "sums_start",  # where the moments of parts lie in the room
    # The kernel as it lies in memory: where it begins, and its steps.
    "w_start", "w_rows", "w_columns", "w_channels", "w_outs",
)  # fmt: skip


RESULTS = {"y": "whole", "pooled": "pooled", "moments": "summed"}  # and what of a kind says that they are wanted
TOGETHER = 8  # outputs that are far apart and packed together: more would fall on one another in the cache


class Conv(NamedTuple):
    """What a kernel is made for; everything else is a number it is given."""

    dtype: str
    places: int
    vectors: int
    ragged: bool  # whether the last block is not full
    bias: bool = False
    act: Act | None = None  # applied last; with `masked` it is that of the other array
    scaled: bool = False  # whether each channel of the sum is multiplied by a number of its own, before the bias
    plus: bool = False  # whether an array like y is added, before the activation
    masked: bool = False  # whether y is multiplied by the derivative of what gave another array
    each: bool = False  # whether each channel is convolved by itself (depthwise)
    narrow: bool = False  # whether vectors hold neighbouring places of an image of few channels
    packed: bool = False  # whether the weights come packed, with bias and scale
    pooled: str | None = None  # whether the "max" or the "sum" of each 2×2 window is a result
    whole: bool = True  # whether y is one
    summed: bool = False  # whether mean and variance of each channel are


class Packing(NamedTuple):
    """A kernel that only packs weights."""

    dtype: str
    vectors: int
    ragged: bool
    bias: bool
    scaled: bool


def apart(kind: Conv) -> tuple[Packing, Conv]:
    """Two kernels that together do what one does: the first packs, the second does the rest."""
    packing = Packing(kind.dtype, kind.vectors, kind.ragged, kind.bias, kind.scaled)
    return packing, kind._replace(bias=False, scaled=False, packed=True)


def write(b: Builder, kind: Conv | Packing) -> None:
    """The kernel's phases, as functions of the builder's module."""
    if isinstance(kind, Packing) or not kind.packed:
        _write_packing(b, kind)
    if isinstance(kind, Conv):
        _write_work(b, kind)


def _place(kind: Conv | Packing, name: str) -> int:
    """The number of a buffer."""
    given = [part for part in ("bias", "scaled", "plus", "masked") if getattr(kind, part, False)]
    if isinstance(kind, Packing):
        return ["w", *given, "packed"].index(name)
    made = [result for result, part in RESULTS.items() if getattr(kind, part)]
    whole = ["x", "packed", *given, *made] if kind.packed else ["x", "w", *given, *made, "packed"]
    return whole.index(name)


def _write_packing(b: Builder, kind: Conv | Packing) -> None:
    width = kind.vectors * b.lanes
    with b.phase("prepare", FIELDS) as (buffer, n, chunk):
        w, packed = buffer(_place(kind, "w")), buffer(_place(kind, "packed"))
        size = (n.kernel_rows * n.kernel_columns * n.depth + 1) * width
        with b.when(chunk.compare("==", 0)), b.loop(n.blocks) as block:
            head = b.at(packed, block * size)
            b.clear(head, b.whole(width))
            if kind.bias:
                bias = b.at(buffer(_place(kind, "bias")), block * width)
                b.copy(head, bias, (n.outs - block * width).least(width))
        body = b.at(packed, b.whole(width))
        scale = buffer(_place(kind, "scaled")) if kind.scaled else None
        with b.ir.if_else(n.w_outs.compare("==", 1)) as (neighbours, apart):
            with neighbours:
                _pack_rows(b, kind, n, chunk, b.at(w, n.w_start), scale, body, size)
            with apart:
                _pack_columns(b, kind, n, chunk, b.at(w, n.w_start), body, size)


def _pack_rows(b: Builder, kind: Conv | Packing, n: Any, chunk: Int, w: Any, scale: Any, body: Any, size: Int) -> None:
    """The outputs are neighbours: what is read goes on and on."""
    width = kind.vectors * b.lanes
    rows = n.kernel_rows * n.kernel_columns
    first, last = chunk * n.depth // n.prepare, (chunk + 1) * n.depth // n.prepare
    with b.loop(rows) as at, b.loop(last - first) as i, b.loop(n.blocks) as block:
        c = first + i
        r, s = at // n.kernel_columns, at % n.kernel_columns
        source = b.at(w, r * n.w_rows + s * n.w_columns + c * n.w_channels + block * width)
        target = b.at(body, block * size + (at * n.depth + c) * width)
        for v, mask in enumerate(b.masks(n.outs - block * width, kind.vectors, kind.ragged)):
            found = b.load(b.at(source, b.whole(v * b.lanes)), mask)
            if scale is not None:
                found = b.ir.fmul(found, b.load(b.at(scale, block * width + v * b.lanes), mask))
            b.store(found, b.at(target, b.whole(v * b.lanes)))


def _pack_columns(b: Builder, kind: Conv | Packing, n: Any, chunk: Int, w: Any, body: Any, size: Int) -> None:
    """The outputs are far apart: what they read goes on side by side."""
    width = kind.vectors * b.lanes
    first, last = chunk * n.blocks // n.prepare, (chunk + 1) * n.blocks // n.prepare
    size_of_place = n.depth * width
    with b.loop(last - first) as i, b.loop(n.kernel_rows) as r, b.loop(n.kernel_columns) as s:
        block = first + i
        filled = (n.outs - block * width).least(width)
        source = b.at(w, block * width * n.w_outs + r * n.w_rows + s * n.w_columns)
        target = b.at(body, block * size + (r * n.kernel_columns + s) * size_of_place)
        if kind.ragged:
            b.clear(target, size_of_place)
        with b.loop((filled + (TOGETHER - 1)) // TOGETHER) as p, b.loop(n.depth) as c:
            first_lane = p * TOGETHER
            with b.loop((filled - first_lane).least(TOGETHER)) as k:
                lane = first_lane + k
                b.put(b.number(source, c * n.w_channels + lane * n.w_outs), target, c * width + lane)


def _write_work(b: Builder, kind: Conv) -> None:
    width = kind.vectors * b.lanes
    with b.phase("work", FIELDS) as (buffer, n, chunk):
        names = [name for name in ("y", "pooled", "plus", "masked") if getattr(kind, RESULTS.get(name, name))]
        arrays = {name: buffer(_place(kind, name)) for name in names}
        x, packed = buffer(0), buffer(_place(kind, "packed"))
        parts = n.work // n.groups
        part, group = chunk // n.groups, chunk % n.groups
        first_block, last_block = group * n.blocks // n.groups, (group + 1) * n.blocks // n.groups
        size = (n.outer * n.middle * n.run + 1) * width
        begin, end = part * n.units // parts, (part + 1) * n.units // parts
        if kind.narrow:
            _write_narrow(b, kind, n, x, arrays["y"], packed, arrays.get("masked"), begin, end)
            return
        sums = b.at(packed, n.sums_start + part * n.blocks * (2 * width)) if kind.summed else None
        if kind.summed:
            b.clear(b.at(sums, first_block * (2 * width)), (last_block - first_block) * (2 * width))
        by_windows = kind.pooled is not None
        units = bands.units(b, n, x, begin, end, by_windows, by_windows and kind.whole)
        with units as unit, b.loop(last_block - first_block) as i:
            block = first_block + i
            with b.loop((unit.places + (kind.places - 1)) // kind.places) as tile:
                for t in range(kind.places if kind.plus else 0):
                    # What is added lies in memory: asked for when the sum is done, it would be waited for.
                    place = (tile * kind.places + t).least(unit.places - 1)
                    for v in range(kind.vectors):
                        b.prefetch(b.at(arrays["plus"], (unit.first + place) * n.outs + block * width + v * b.lanes))
                first, out = tile * kind.places, block * width
                places, found = _tile(b, kind, n, unit, first, b.at(packed, block * size), out)
                tiled = [[z.get() for z in row] for row in found]
                values = epilogue.finish(b, kind, unit, n.outs, places, tiled, out, arrays)
                if kind.summed:
                    count = (unit.places - first).least(kind.places)
                    before = unit.first + first - bands.places_before(n, begin)
                    epilogue.join_tile(b, values, count, before, b.at(sums, block * (2 * width)))
    if kind.summed:
        with b.phase("finish", FIELDS) as (buffer, n, chunk):
            parts = b.at(buffer(_place(kind, "packed")), n.sums_start)
            epilogue.write_moments(b, kind, n, parts, buffer(_place(kind, "moments")))


def _write_narrow(b: Builder, kind: Conv, n: Any, x: Any, y: Any, packed: Any, mask: Any, begin: Int, end: Int) -> None:
    """The gradient by an image of few channels, which would not fill a vector.

    A vector holds what one place of the output's gradient sends to neighbouring places of a row, all their channels, as
    they lie in memory. It is added to a strip, a row of the image with its padding, from which the row is then cut.
    The kernel is one column wide for this; the places are (row of the image, column of the output).
    """
    most = n.unit_images * n.unit_rows
    table_bytes = (most * n.columns * 8 + 63) // 64 * 64
    with b.scratch(table_bytes + most * n.strip * b.itemsize) as table:
        strips = b.after(table, table_bytes)
        with b.loop(most) as r, b.loop(n.columns) as c:
            b.store_int(r * n.strip + c * n.strip_step, table, r * n.columns + c)
        with bands.units(b, n, x, begin, end) as unit:
            rows = unit.places // n.columns
            b.clear(strips, rows * n.strip)
            with b.loop((unit.places + (kind.places - 1)) // kind.places) as tile:
                first = tile * kind.places
                places, sums = _tile(b, kind, n, unit, first, packed, b.whole(0))
                for t, place in enumerate(places):
                    # Past the end the last place was done again: nothing of it is added.
                    lanes = b.choose((first + t).compare("<", unit.places), n.outs, 0)
                    strip = b.at(strips, b.load_int(table, place))
                    for v in range(kind.vectors):
                        some = b.mask(lanes - v * b.lanes)
                        here = b.at(strip, b.whole(v * b.lanes))
                        b.store(b.ir.fadd(b.load(here, some), sums[t][v].get()), here, some)
            with b.loop(rows) as r, b.loop((n.kept + (b.lanes - 1)) // b.lanes) as i:
                lane = i * b.lanes
                some = b.mask(n.kept - lane)
                at = (unit.first // n.columns + r) * n.kept + lane
                found = b.load(b.at(strips, r * n.strip + n.strip_low + lane), some)
                if kind.masked:
                    found = (kind.act or RELU).through(b, b.load(b.at(mask, at), some), found)
                b.store(found, b.at(y, at), some)


def _tile(
    b: Builder, kind: Conv, n: Any, unit: bands.Unit, begin: Int, weights: Any, out: Int
) -> tuple[list[Int], list[list[Variable]]]:
    """The sums of `places` places and `vectors` vectors. Past the unit's end the last place is done again.

    Or the last window, where windows are pooled.
    """
    together = epilogue.WINDOW if kind.pooled else 1
    places = [
        (begin + t).least(unit.places - together) + i for t in range(0, kind.places, together) for i in range(together)
    ]
    some = b.masks(n.outs - out, kind.vectors, kind.ragged) if kind.each else None
    windows = [b.at(unit.source, b.load_int(unit.table, p)) for p in places]
    starts = [b.load(b.at(weights, b.whole(v * b.lanes))) for v in range(kind.vectors)]
    sums = [[b.variable(starts[v]) for v in range(kind.vectors)] for _ in places]
    row = b.variable(ir.Constant(ir.IntType(64), kind.vectors * b.lanes))
    with b.loop(n.outer) as i, b.loop(n.middle) as j:
        offset = i * n.outer_step + j * n.middle_step + (out if kind.each else 0)
        here = b.at(weights, b.whole(row.get()))
        accumulate(b, windows, None, here, n.run, sums, offset, some)
        row.set((b.whole(row.get()) + n.run * (kind.vectors * b.lanes)).value)
    return places, sums
