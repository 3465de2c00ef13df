"""The innermost loop of kernels that sum products: a tile of sums that stay in registers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kedja.engines.kernels.builder import Builder, Int, Variable

__all__ = ["AHEAD", "accumulate"]

AHEAD = 2  # how many numbers are loaded before their products


def accumulate(
    b: Builder, sources: Sequence[Any], step: Int | None, panel: Any, run: Int, sums: Sequence[Sequence[Variable]],
    start: Int | None = None, each: Sequence[Any] | None = None, pitch: Int | None = None,
    masks: Sequence[Any] | None = None,
) -> None:  # fmt: skip
    """sums[t][v] += Σ_q sources[t][start + q · step] · panel[q, v]; without a step the sources' numbers are neighbours.

    With `each`, a mask for each vector, every lane of a vector is multiplied by a number of its own, its neighbour's.
    With `pitch` the panel's rows lie so far apart; `masks` says which lanes of its vectors there are.
    """
    vectors = len(sums[0])
    with b.loop(run) as q:
        q = b.opaque(q)
        place = q * (vectors * b.lanes) if pitch is None else b.opaque(q * pitch)
        ws = [b.load(b.at(panel, place + v * b.lanes), masks[v] if masks else None) for v in range(vectors)]
        here = q if step is None else b.opaque(q * step)
        here = here if start is None else start + here
        for t, source in enumerate(sources):
            if t >= AHEAD:
                here = b.opaque(here, [s.get() for s in sums[t - AHEAD]])
            number = None if each else b.splat(b.number(source, here))
            for v, (total, w) in enumerate(zip(sums[t], ws, strict=True)):
                factor = b.load(b.at(source, here + v * b.lanes), each[v]) if each else number
                total.set(b.fma(factor, w, total.get()))
