"""The innermost loop of kernels that sum products: a tile of sums that stay in registers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kedja.engines.kernels.builder import Builder, Int, Variable

__all__ = ["AHEAD", "accumulate"]

AHEAD = 2  # how many numbers are loaded before their products


def accumulate(
    b: Builder, sources: Sequence[Any], step: Int | None, panel: Any, run: Int, sums: Sequence[Sequence[Variable]]
) -> None:
    """sums[t][v] += Σ_q sources[t][q · step] · panel[q, v]; without a step the sources' numbers are neighbours."""
    vectors = len(sums[0])
    with b.loop(run) as q:
        q = b.opaque(q)
        ws = [b.load(b.at(panel, q * (vectors * b.lanes) + v * b.lanes)) for v in range(vectors)]
        here = q if step is None else b.opaque(q * step)
        for t, source in enumerate(sources):
            if t >= AHEAD:
                here = b.opaque(here, [s.get() for s in sums[t - AHEAD]])
            number = b.splat(b.number(source, here))
            for total, w in zip(sums[t], ws, strict=True):
                total.set(b.fma(number, w, total.get()))
