"""Which kernel serves a convolution, and the numbers it is given: all rules stand here.

Everything here depends on shapes, strides and the processor alone, never on the number of threads, so the order of
sums, and with it every bit, is the same in each run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from kedja.engines.kernels import conv, moments, pool, weights, winograd, winograd_weights
from kedja.engines.kernels.epilogue import WINDOW
from kedja.engines.kernels.target import LINE_BYTES, Target
from kedja.graph.shapes import Shape

__all__ = [
    "Geometry", "Plan", "apart", "fitting", "in_phases", "plan_conv", "plan_moments", "plan_pool", "plan_transpose",
    "plan_weights", "sums_rows",
]  # fmt: skip

FORWARD_BYTES = 1 << 17  # of a unit's scratch: it shares the second-level cache with packed weights
TALL_BYTES = 1 << 19  # the most that such a scratch may have where channels are many
FEW_TILES = 8  # of a unit, at least
CROWDED_BYTES = 4096  # places read so far apart are copied even where nothing else asks for it
WEIGHTS_BYTES = 1 << 18  # the same where weights are summed: the more places, the seldomer sums go to memory and back
APART_BYTES = 512  # places so far apart, or multiples of it, fall on few sets of the first-level cache
CHUNKS = 16  # into so many pieces the work is divided, where there is enough of it
COPYING_CHUNKS = 8  # the same where pieces share a unit and each would copy its input again
PARTS = 8  # sums of a weight gradient that are kept apart, each with a copy of the weights
PART_BYTES = 1 << 22  # of all of these
FOURS_BYTES = 1 << 18  # of the transformed inputs of a unit, where that is enough for
FEWEST_IN_UNIT = 28  # fours, which share the transformed weights of a block
FEWEST_FOURS = 64  # fewer do not repay that weights are transformed
PACK_BYTES = 1 << 16  # more weights than this are packed by several threads
EACH_ROWS = 9  # rows of a register tile where each channel is by itself: as many as a 3×3 kernel has places
SUMMED = 1 << 14  # fewer numbers than this are not worth a kernel's call where they are only summed
SUMMED_BYTES = 1 << 18  # of a product of sums over rows: larger ones leave the cache, and are left to XLA
MOST_PLACES = 16  # of a pooling window, whose places are written out in the code


class Geometry(NamedTuple):
    """A 2-D convolution from (n, *into, channels) to (n, *out, outs)."""

    n: int
    into: Shape
    out: Shape
    channels: int
    outs: int
    kernel: Shape
    stride: Shape
    low: Shape
    high: Shape
    dilation: Shape
    each: bool = False  # each channel by itself (depthwise)


class Plan(NamedTuple):
    """The kernel, its numbers in the order it reads them, and how many numbers its own room must hold, if any."""

    kind: Any
    target: Target
    numbers: tuple[int, ...]
    room: int


def apart(plan: Plan) -> tuple[Plan, Plan] | None:
    """A plan that packs weights and one that takes them packed; None where packing them each time costs nothing."""
    if plan.room * np.dtype(plan.kind.dtype).itemsize <= PACK_BYTES or getattr(plan.kind, "summed", False):
        return None
    family = winograd if isinstance(plan.kind, winograd.Winograd) else conv
    packing, work = family.apart(plan.kind)
    return plan._replace(kind=packing, room=0), plan._replace(kind=work, room=0)


def fitting(target: Target, outs: int, itemsize: int) -> Target:
    """Half-wide vectors where the outputs fill no more: some processors do two of them at a time."""
    if target.bits == 512 and outs <= target.lanes(itemsize) // 2:
        return target._replace(bits=256)
    return target


def _vectors(target: Target, outs: int, itemsize: int) -> tuple[int, int]:
    """Vectors of outputs and rows of a register tile: as many sums as there are registers."""
    needed = -(-outs // target.lanes(itemsize))
    vectors = 1 if needed == 1 else 3 if needed == 3 and target.registers == 32 else 2
    rows = {32: {1: 28, 2: 14, 3: 9}, 16: {1: 12, 2: 6 if target.fma else 5}}[target.registers][vectors]
    return vectors, rows


def _rows(entries: int, most: int) -> int:
    """The rows of a tile of which the entries fill the last one nearly: one of a few, each a kernel of its own."""
    return min((most, most * 3 // 4, most // 2, most // 3), key=lambda rows: -(-entries // rows) * (rows + 2))


def _pitch(channels: int, copied: bool, itemsize: int) -> int:
    """How far apart places lie in the scratch: powers of two would share the same few lines of the cache."""
    return channels + LINE_BYTES // itemsize if copied and channels * itemsize % APART_BYTES == 0 else channels


def _units(
    g: Geometry, copied: bool, gaps: Shape, itemsize: int, rows: int, blocks: int, most: int, step: int = 1
) -> dict[str, int]:
    """How the images are divided into units; `step` rows stay together."""
    reach = [d * (k - 1) + 1 for k, d in zip(g.kernel, g.dilation, strict=True)]
    wide = (g.out[1] - 1) * g.stride[1] + reach[1]
    wide = max(wide, g.low[1] + (g.into[1] - 1) * gaps[1] + 1) if copied else wide
    pitch = _pitch(g.channels, copied, itemsize)
    row_bytes = wide * pitch * itemsize

    def tall(of: int) -> int:
        return (of - 1) * g.stride[0] + reach[0]

    def half(of: int) -> int:
        return -(-of // (2 * step)) * step

    unit_rows = g.out[0]
    while unit_rows > step and tall(unit_rows) * row_bytes > most:
        unit_rows = half(unit_rows)
    # A batch of few images is divided further, but not into less than a few tiles.
    while unit_rows > step and g.n * -(-g.out[0] // unit_rows) < CHUNKS and (unit_rows // 2) * g.out[1] >= 4 * rows:
        unit_rows = half(unit_rows)
    together = 1
    if unit_rows == g.out[0]:
        one = tall(unit_rows) * row_bytes
        while (
            together * g.out[0] * g.out[1] < 8 * rows
            and 2 * together * one <= most
            and g.n // (2 * together) * blocks >= CHUNKS
        ):
            together *= 2
    banded = -(-g.out[0] // unit_rows)
    return {
        "images": g.n, "rows": g.out[0], "columns": g.out[1],
        "in_rows": g.into[0], "in_columns": g.into[1], "channels": g.channels, "pitch": pitch,
        "stride_rows": g.stride[0], "stride_columns": g.stride[1], "low_rows": g.low[0], "low_columns": g.low[1],
        "gap_rows": gaps[0], "gap_columns": gaps[1], "units": -(-g.n // together) * banded,
        "unit_images": together, "unit_rows": unit_rows, "bands": banded,
        "copied": int(copied), "tall": tall(unit_rows), "wide": wide,
    }  # fmt: skip


def _places(numbers: Mapping[str, int], most: int, step: int = 1) -> int:
    """The places of a tile of which a unit's fill the last one nearly; a multiple of `step`."""
    unit = numbers["unit_images"] * numbers["unit_rows"] * numbers["columns"]
    return min(
        range(most // step * step, max(step - 1, most // 2), -step),
        key=lambda places: -(-unit // places) * (places + 1),
    )


def _plan_forward(
    g: Geometry, gaps: Shape, kernel_steps: Mapping[str, int], dtype: str, target: Target, epilogue: Mapping[str, Any]
) -> Plan:
    itemsize = np.dtype(dtype).itemsize
    vectors, places = (1, EACH_ROWS) if g.each else _vectors(target, g.outs, itemsize)
    depth = 1 if g.each else g.channels
    width = vectors * target.lanes(itemsize)
    copied = any(g.low) or any(h > 0 for h in g.high) or any(gap > 1 for gap in gaps)
    blocks = -(-g.outs // width)
    # Where channels are many a unit has a few tiles nevertheless: for each of them all weights are read again.
    most = max(FORWARD_BYTES, min(TALL_BYTES, FEW_TILES * places * g.channels * itemsize))
    copied = copied or (not g.each and g.channels * itemsize * g.stride[1] % CROWDED_BYTES == 0)
    pooled = epilogue.get("pooled")
    if pooled:  # what no window reaches is not computed
        g = g._replace(out=tuple(n // 2 * 2 for n in g.out))
    numbers = _units(g, copied, gaps, itemsize, places, blocks, most, step=2 if pooled else 1)
    places = _places(numbers, places, step=WINDOW if pooled else 1)
    pitch = numbers["pitch"]
    row = (numbers["wide"] if copied else g.into[1]) * pitch
    # Then the places of a kernel's row, and their channels, are one run of neighbours.
    joined = g.dilation[1] == 1 and pitch == g.channels and not g.each
    reduction = g.kernel[0] * g.kernel[1] * depth
    packed = blocks * (reduction + 1) * width
    chunks = COPYING_CHUNKS if copied else CHUNKS
    groups = 1 if numbers["units"] >= chunks else min(blocks, -(-chunks // numbers["units"]))
    numbers |= {
        "prepare": min(blocks, CHUNKS) if packed * itemsize > PACK_BYTES else 1,
        "work": min(numbers["units"], CHUNKS) * groups, "finish": int(bool(epilogue.get("summed"))),
        "outs": g.outs, "blocks": blocks, "groups": groups,
        "outer": g.kernel[0], "outer_step": g.dilation[0] * row, "middle": 1 if joined else g.kernel[1],
        "middle_step": g.dilation[1] * pitch, "run": depth * (g.kernel[1] if joined else 1),
        "depth": depth, "kernel_rows": g.kernel[0], "kernel_columns": g.kernel[1],
        "strip": 0, "strip_step": 0, "strip_low": 0, "kept": 0,
        "sums_start": packed, **kernel_steps,
    }  # fmt: skip
    parts = min(numbers["units"], CHUNKS) * 2 * blocks * width if epilogue.get("summed") else 0
    kind = conv.Conv(dtype, places, vectors, g.outs % width != 0, each=g.each, **epilogue)
    return Plan(kind, target, tuple(numbers[name] for name in conv.FIELDS), packed + parts)


def _winograd_pays(g: Geometry, itemsize: int, target: Target) -> bool:
    """Whether there are enough channels to fill vectors, and fours of outputs for which weights are transformed."""
    fours = g.n * -(-g.out[0] // 2) * -(-g.out[1] // 2)
    return (
        g.kernel == (3, 3) and g.stride == (1, 1) and g.dilation == (1, 1) and not g.each and itemsize == 4
        and min(g.channels, g.outs) >= target.lanes(itemsize) and fours >= FEWEST_FOURS
    )  # fmt: skip


def _fours(g: Geometry, itemsize: int, most: int, width: int, target: Target) -> dict[str, int]:
    """How the fours of outputs are divided into units, and how these lie transformed."""
    lanes = target.lanes(itemsize)
    grid = (-(-g.out[0] // 2), -(-g.out[1] // 2))
    padded = _pitch(-(-g.channels // lanes) * lanes, True, itemsize)
    wide = g._replace(out=grid, kernel=(4, 4), stride=(2, 2))
    # The inputs of a four are as large as a quarter of what they are transformed to.
    room = max(FOURS_BYTES // 4, 4 * FEWEST_IN_UNIT * padded * itemsize)
    numbers = _units(wide, True, (1, 1), itemsize, most, -(-g.outs // width), room)
    fours = numbers["unit_images"] * numbers["unit_rows"] * grid[1]
    line = LINE_BYTES // itemsize  # so that the 16 do not fall on one another in the cache
    return numbers | {
        "out_rows": g.out[0], "out_columns": g.out[1], "padded": padded, "between": fours * padded + line,
        "sums_between": fours * width + line,
    }  # fmt: skip


def _plan_winograd(
    g: Geometry, kernel_steps: Mapping[str, int], dtype: str, target: Target, epilogue: Mapping[str, Any]
) -> Plan:
    itemsize = np.dtype(dtype).itemsize
    vectors, most = _vectors(target, g.outs, itemsize)
    width = vectors * target.lanes(itemsize)
    blocks = -(-g.outs // width)
    numbers = _fours(g, itemsize, most, width, target)
    places = _places(numbers, most)
    packed = winograd.POINTS * blocks * g.channels * width
    groups = 1 if numbers["units"] >= CHUNKS else min(blocks, -(-CHUNKS // numbers["units"]))
    numbers |= {
        "prepare": min(blocks, CHUNKS) if packed * itemsize > PACK_BYTES else 1,
        "work": min(numbers["units"], CHUNKS) * groups, "finish": 0,
        "outs": g.outs, "blocks": blocks, "groups": groups,
        **kernel_steps,
    }  # fmt: skip
    kind = winograd.Winograd(dtype, places, vectors, g.outs % width != 0, **epilogue)
    return Plan(kind, target, tuple(numbers[name] for name in winograd.FIELDS), packed)


def plan_conv(g: Geometry, dtype: str, target: Target, fours: bool = False, **epilogue: Any) -> Plan:
    """y from x and w, by fours (Winograd's) if they may and pay."""
    across = g.outs if g.each else g.channels * g.outs
    steps = {
        "w_start": 0, "w_rows": g.kernel[1] * across, "w_columns": across, "w_channels": g.outs, "w_outs": 1,
    }  # fmt: skip
    target = fitting(target, g.outs, np.dtype(dtype).itemsize)
    if fours and not epilogue.get("plus") and _winograd_pays(g, np.dtype(dtype).itemsize, target):
        served = {k: v for k, v in epilogue.items() if k in winograd.Winograd._fields}
        return _plan_winograd(g, steps, dtype, target, served)
    return _plan_forward(g, (1, 1), steps, dtype, target, epilogue)


def in_phases(into: Shape, kernel: Shape, stride: Shape, dilation: Shape) -> bool:
    """Whether a gradient by the input falls into as many convolutions without gaps as its strides have phases."""
    return (
        stride != (1, 1) and dilation == (1, 1)
        and all(k >= s and n >= s for n, k, s in zip(into, kernel, stride, strict=True))
    )  # fmt: skip


def plan_transpose(g: Geometry, dtype: str, target: Target, fours: bool = False, **epilogue: Any) -> Plan | None:
    """x from y and w: y, spread by the stride, met by the flipped kernel. None where something else is faster."""
    if g.stride != (1, 1) and not g.each:  # most products would be by the zeros between: patches were 3 times faster
        return None
    reach = [d * (k - 1) for k, d in zip(g.kernel, g.dilation, strict=True)]
    low = tuple(r - a for r, a in zip(reach, g.low, strict=True))
    if any(a < 0 for a in low):  # more padding than the kernel reaches over
        return None
    high = tuple(
        i - ((o - 1) * s + 1) - a + r for i, o, s, a, r in zip(g.into, g.out, g.stride, low, reach, strict=True)
    )
    back = Geometry(g.n, g.out, g.into, g.outs, g.channels, g.kernel, (1, 1), low, high, g.dilation, g.each)
    if not g.each and _narrow_pays(g, np.dtype(dtype).itemsize, target):
        return _plan_narrow(g, back, dtype, target, epilogue)
    across = g.outs if g.each else g.channels * g.outs
    target = fitting(target, g.channels, np.dtype(dtype).itemsize)
    steps = {
        "w_start": (g.kernel[0] * g.kernel[1] - 1) * across, "w_rows": -g.kernel[1] * across, "w_columns": -across,
        "w_channels": 1, "w_outs": 1 if g.each else g.outs,
    }  # fmt: skip
    if fours and g.stride == (1, 1) and _winograd_pays(back, np.dtype(dtype).itemsize, target):
        return _plan_winograd(back, steps, dtype, target, epilogue)
    return _plan_forward(back, g.stride, steps, dtype, target, epilogue)


def _narrow_pays(g: Geometry, itemsize: int, target: Target) -> bool:
    """Whether vectors of neighbouring places are better filled than vectors of channels."""

    def cost(target: Target, columns: int, outs: int) -> float:
        vectors = -(-outs // target.lanes(itemsize))
        return (
            float("inf") if vectors > 3 or (vectors == 3 and target.registers < 32) else target.bits * columns * vectors
        )

    as_channels = cost(fitting(target, g.channels, itemsize), g.into[1], g.channels) * g.kernel[1] / g.stride[1]
    as_places = cost(target, g.out[1], g.kernel[1] * g.channels)
    return g.dilation[1] == 1 and 1.2 * as_places < as_channels


def _plan_narrow(g: Geometry, back: Geometry, dtype: str, target: Target, epilogue: Mapping[str, Any]) -> Plan:
    row = g.kernel[1] * g.channels
    reach = max((g.out[1] - 1) * g.stride[1] + g.kernel[1], g.low[1] + g.into[1])
    steps = {
        "w_start": (g.kernel[0] - 1) * row * g.outs, "w_rows": -row * g.outs, "w_columns": 0, "w_channels": 1,
        "w_outs": g.outs, "strip": reach * g.channels, "strip_step": g.stride[1] * g.channels,
        "strip_low": g.low[1] * g.channels, "kept": g.into[1] * g.channels,
    }  # fmt: skip
    rows = back._replace(
        out=(g.into[0], g.out[1]), outs=row, kernel=(g.kernel[0], 1), low=(back.low[0], 0), high=(back.high[0], 0),
        dilation=(g.dilation[0], 1),
    )  # fmt: skip
    return _plan_forward(rows, (g.stride[0], 1), steps, dtype, target, {**epilogue, "narrow": True})


def plan_weights(g: Geometry, dtype: str, target: Target, sums: bool = False, fours: bool = False) -> Plan:
    """w from x and y."""
    itemsize = np.dtype(dtype).itemsize
    target = fitting(target, g.outs, itemsize)
    if fours and _winograd_pays(g, itemsize, target):
        return _plan_winograd_weights(g, dtype, target, sums)
    vectors, most = (1, EACH_ROWS) if g.each else _vectors(target, g.outs, itemsize)
    depth = 1 if g.each else g.channels
    width = vectors * target.lanes(itemsize)
    entries = g.kernel[0] * g.kernel[1] * depth
    rows = _rows(entries, most)
    tiles = -(-entries // rows)
    copied = any(g.low) or any(h > 0 for h in g.high)
    blocks = -(-g.outs // width)
    numbers = _units(g, copied, (1, 1), itemsize, rows, 2 * blocks, WEIGHTS_BYTES)
    size = blocks * (tiles * rows + 1) * width
    parts = max(1, min(PARTS, numbers["units"], PART_BYTES // (size * itemsize)))
    groups = min(blocks, -(-PARTS // parts))
    numbers |= {
        "prepare": 0, "work": parts * groups, "finish": 1 if size * parts * itemsize < PACK_BYTES else CHUNKS,
        "outs": g.outs, "blocks": blocks, "groups": groups, "parts": parts,
        "depth": depth, "kernel_rows": g.kernel[0], "kernel_columns": g.kernel[1],
        "dilation_rows": g.dilation[0], "dilation_columns": g.dilation[1], "tiles": tiles,
    }  # fmt: skip
    kind = weights.Weights(dtype, rows, vectors, g.outs % width != 0, sums, g.each)
    return Plan(kind, target, tuple(numbers[name] for name in weights.FIELDS), size * parts)


def _plan_winograd_weights(g: Geometry, dtype: str, target: Target, sums: bool) -> Plan:
    itemsize = np.dtype(dtype).itemsize
    vectors, most = _vectors(target, g.outs, itemsize)
    width = vectors * target.lanes(itemsize)
    blocks, rows = -(-g.outs // width), _rows(g.channels, most)
    tiles = -(-g.channels // rows)
    numbers = _fours(g, itemsize, most, width, target)
    size = blocks * (winograd.POINTS * tiles * rows + 1) * width
    parts = max(1, min(PARTS, numbers["units"], PART_BYTES // (size * itemsize)))
    groups = min(blocks, -(-PARTS // parts))
    numbers |= {
        "prepare": 0, "work": parts * groups, "finish": min(CHUNKS, g.channels),
        "outs": g.outs, "blocks": blocks, "groups": groups, "parts": parts, "tiles": tiles,
    }  # fmt: skip
    kind = winograd_weights.WinogradWeights(dtype, rows, vectors, g.outs % width != 0, sums)
    return Plan(kind, target, tuple(numbers[name] for name in winograd_weights.FIELDS), size * parts)


def plan_pool(
    shape: Shape, window: Shape, dtype: str, target: Target, back: bool = False, positive: bool = False
) -> Plan | None:
    """The largest of windows that lie side by side over (n, rows, columns, channels), or their gradient."""
    images, *into, channels = shape
    rows, columns = (i // k for i, k in zip(into, window, strict=True))
    if window[0] * window[1] > MOST_PLACES:
        return None
    target = fitting(target, channels, np.dtype(dtype).itemsize)
    ragged = channels % target.lanes(np.dtype(dtype).itemsize) != 0
    kind = pool.Pool(dtype, window[0], window[1], ragged, back, positive)
    work = min(CHUNKS, images * rows)
    return Plan(kind, target, (0, work, 0, images, rows, columns, *into, channels), 1)


def plan_moments(places: int, channels: int, dtype: str, target: Target, back: bool) -> Plan | None:
    """Sums over the places of each channel."""
    if places * channels < SUMMED:
        return None
    ragged = channels % (moments.VECTORS * target.lanes(np.dtype(dtype).itemsize)) != 0
    parts = min(CHUNKS, -(-places // moments.PORTION))
    return Plan(moments.Moments(dtype, ragged, back), target, (0, parts, 1, places, channels), parts * 2 * channels)


def sums_rows(columns: int, outs: int, dtype: str) -> bool:
    """Whether Xᵀ G of many rows is best made as the gradient by the weights of a 1×1 convolution."""
    return columns * outs * np.dtype(dtype).itemsize <= SUMMED_BYTES
