"""The kernel of sums over all places of each channel: mean and variance, or Σ g and Σ g (x − m).

The places are cut into parts, a part into portions that stay in the cache. Of a portion the mean is taken first and
then the squares of what lies away from it; means and squares are joined as Chan, Golub and LeVeque 1983 do, in the
order of portions and parts, whose number depends on the shape alone.

Buffers: x (or g, x and m), then the two rows of results, and the room for those of the parts.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from kedja.engines.kernels.builder import Builder, Int, Variable

__all__ = ["FIELDS", "PORTION", "Moments", "join", "real", "write"]

FIELDS = (
    "prepare", "work", "finish",
    "places", "channels",
)  # fmt: skip
PORTION = 32  # places whose mean is taken first
VECTORS = 4  # of channels that are summed side by side


class Moments(NamedTuple):
    """What a kernel is made for."""

    dtype: str
    ragged: bool  # whether the last vectors are not full
    back: bool = False  # whether Σ g and Σ g (x − m) are wanted


def write(b: Builder, kind: Moments) -> None:
    """The kernel's phases: the parts, then what they come to together."""
    inputs = 3 if kind.back else 1
    width = VECTORS * b.lanes
    with b.phase("work", FIELDS) as (buffer, n, chunk):
        first, last = chunk * n.places // n.work, (chunk + 1) * n.places // n.work
        mine = b.at(buffer(inputs + 1), chunk * 2 * n.channels)
        b.clear(mine, 2 * n.channels)
        blocks = (n.channels + (width - 1)) // width
        with b.loop((last - first + (PORTION - 1)) // PORTION) as p, b.loop(blocks) as block:
            begin = first + p * PORTION
            count, out = (last - begin).least(PORTION), block * width
            masks = b.masks(n.channels - out, VECTORS, kind.ragged)
            corner = begin * n.channels + out
            if kind.back:
                where = [buffer(i) for i in range(3)]
                _products(b, n, where, corner, count, out, masks, mine)
            else:
                _squares(b, n, buffer(0), corner, count, begin - first, out, masks, mine)
    with b.phase("finish", FIELDS) as (buffer, n, chunk):
        parts, y = buffer(inputs + 1), buffer(inputs)
        with b.loop((n.channels + (b.lanes - 1)) // b.lanes) as block:
            out = block * b.lanes
            (mask,) = b.masks(n.channels - out, 1, kind.ragged)
            totals = [b.variable(b.zero) for _ in range(2)]
            with b.loop(n.work) as part:
                here = b.at(parts, part * 2 * n.channels + out)
                found = [b.load(here, mask), b.load(b.at(here, n.channels), mask)]
                if kind.back:
                    for total, more in zip(totals, found, strict=True):
                        total.set(b.ir.fadd(total.get(), more))
                else:
                    begin = part * n.places // n.work
                    join(b, totals, found, begin, (part + 1) * n.places // n.work - begin)
            if not kind.back:
                totals[1].set(b.ir.fdiv(totals[1].get(), real(b, n.places)))
            for i, total in enumerate(totals):
                b.store(total.get(), b.at(y, i * n.channels + out), mask)


def real(b: Builder, i: Int) -> Any:
    """A whole number in all lanes."""
    return b.splat(b.ir.sitofp(i.value, b.real))


def join(b: Builder, totals: list[Variable], found: list[Any], before: Int, count: Int) -> None:
    """Mean and squares of `before` places, and those of `count` more."""
    away = b.ir.fsub(found[0], totals[0].get())
    share = b.ir.fdiv(real(b, count), real(b, before + count))
    step = b.ir.fmul(away, share)
    totals[0].set(b.ir.fadd(totals[0].get(), step))
    squares = b.ir.fmul(b.ir.fmul(away, step), real(b, before))
    totals[1].set(b.ir.fadd(totals[1].get(), b.ir.fadd(found[1], squares)))


def _squares(
    b: Builder, n: Any, x: Any, corner: Int, count: Int, before: Int, out: Int, masks: list[Any], mine: Any
) -> None:
    """Of a portion the mean, then the squares of the distances from it; joined with what came before."""
    sums = [b.variable(b.zero) for _ in masks]
    with b.loop(count) as i:
        for v, mask in enumerate(masks):
            here = b.load(b.at(x, corner + i * n.channels + v * b.lanes), mask)
            sums[v].set(b.ir.fadd(sums[v].get(), here))
    means = [b.ir.fdiv(s.get(), real(b, count)) for s in sums]
    squares = [b.variable(b.zero) for _ in masks]
    with b.loop(count) as i:
        for v, mask in enumerate(masks):
            away = b.ir.fsub(b.load(b.at(x, corner + i * n.channels + v * b.lanes), mask), means[v])
            squares[v].set(b.fma(away, away, squares[v].get()))
    for v, mask in enumerate(masks):
        places = [b.at(mine, out + v * b.lanes), b.at(mine, n.channels + out + v * b.lanes)]
        totals = [b.variable(b.load(place, mask)) for place in places]
        join(b, totals, [means[v], squares[v].get()], before, count)
        for place, total in zip(places, totals, strict=True):
            b.store(total.get(), place, mask)


def _products(
    b: Builder, n: Any, given: list[Any], corner: Int, count: Int, out: Int, masks: list[Any], mine: Any
) -> None:
    """Σ g and Σ g (x − m) of a portion, added to those before."""
    g, x, m = given
    places = [(b.at(mine, out + v * b.lanes), b.at(mine, n.channels + out + v * b.lanes)) for v in range(len(masks))]
    means = [b.load(b.at(m, out + v * b.lanes), mask) for v, mask in enumerate(masks)]
    sums = [[b.variable(b.load(p, mask)) for p in row] for row, mask in zip(places, masks, strict=True)]
    with b.loop(count) as i:
        for v, mask in enumerate(masks):
            at = corner + i * n.channels + v * b.lanes
            here = b.load(b.at(g, at), mask)
            sums[v][0].set(b.ir.fadd(sums[v][0].get(), here))
            away = b.ir.fsub(b.load(b.at(x, at), mask), means[v])
            sums[v][1].set(b.fma(here, away, sums[v][1].get()))
    for row, totals, mask in zip(places, sums, masks, strict=True):
        for place, total in zip(row, totals, strict=True):
            b.store(total.get(), place, mask)
