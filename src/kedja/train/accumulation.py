"""Gradient accumulation: one step over several microbatches, one after the other, in the memory of one.

The gradient of a sum over rows is the sum of the gradients over parts of them, so a step over k·b rows is a loop over k
microbatches of b rows that adds up what each brings, and moves the weights once. The loop is a `scan` in the graph of
the step. What layers count while they run (batch norm's statistics) is handed on from one microbatch to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kedja.errors import DataError
from kedja.graph.node import Tensor, placeholder
from kedja.graph.trace import Graph, captured, trace
from kedja.graph.variables import Variable
from kedja.ops import arange, random, zeros
from kedja.ops.control import item, scan_op
from kedja.optim import Optimizer

__all__ = ["added_up", "check_accumulate"]

One = Callable[[Sequence[Tensor], Tensor], list[Tensor]]


def check_accumulate(accumulate: Any, batch_size: int | None, rule: Optimizer) -> int:
    """How many batches make a step, refused where it is no such number or a step takes all rows at once anyway."""
    if isinstance(accumulate, bool) or not isinstance(accumulate, int | np.integer) or accumulate < 1:
        small = isinstance(accumulate, int | float) and 0 < accumulate < 1
        raise DataError(
            f"accumulate is how many batches make one step, a whole number of at least 1; got {accumulate!r}."
            + " A step cannot be a part of a batch: make batch_size smaller." * small
        )
    if accumulate > 1 and rule.full_batch:
        raise DataError(
            f"accumulate={accumulate}, and {type(rule).__name__} takes all rows in one step. Leave accumulate out, or "
            "use an optimiser that goes batch by batch, such as kj.optim.Adam()."
        )
    if accumulate > 1 and batch_size is None:
        raise DataError(
            f"accumulate={accumulate} says how many batches make one step, and batch_size=None makes all rows one "
            f"batch. For a step over all rows in {accumulate} parts give the rows of a part: "
            f"batch_size=-(-len(x) // {accumulate})."
        )
    return int(accumulate)


def added_up(one: One, arrays: Sequence[Tensor], rows: int, key: Tensor) -> list[Tensor]:
    """Σ over microbatches of `one(their rows, their key)`; the last one is smaller where `rows` does not divide.

    The key of microbatch number i is `key` folded with i. Updates of variables that `one` asks for are recorded in the
    present trace, after the last microbatch.
    """
    whole, left = divmod(arrays[0].shape[0], rows)
    totals: list[Tensor] = []
    state: dict[Variable, Tensor] = {}
    for first, count, size in ((0, whole, rows), (whole, 1, left)):
        if count and size:
            at = first * rows
            parts = [a[at : at + count * size].reshape((count, size, *a.shape[1:])) for a in arrays]
            totals = _looped(one, [*parts, arange(count, "uint32") + first], key, totals, state)
    for variable, value in state.items():
        variable.update(value)
    return totals


def _looped(
    one: One, parts: Sequence[Tensor], key: Tensor, totals: Sequence[Tensor], state: dict[Variable, Tensor]
) -> list[Tensor]:
    """The totals after microbatches of one size, the last of `parts` being their numbers; `state` goes on with them."""
    slices = [placeholder(p.shape[1:], p.dtype) for p in parts]
    graph = trace(lambda *xs: one(xs[:-1], random.fold(key, xs[-1])), slices)
    written = [variable for variable, _ in graph.updates]
    around = [t for t in captured(graph.ends, slices, slices[0].serial) if t not in set(written)]
    so_far = [placeholder(o.shape, o.dtype) for o in graph.outputs]
    body = Graph(
        [*so_far, *written, *slices, *around],  # in the body a variable that is written stands for its present value
        [*(a + o for a, o in zip(so_far, graph.outputs, strict=True)), *(node for _, node in graph.updates)],
    )
    begin = list(totals) or [zeros(o.shape, o.dtype) for o in graph.outputs]
    loop = scan_op(
        *begin, *(state.get(v, v) for v in written), *parts, *around, body=body, carries=len(begin) + len(written),
        sequences=len(slices), length=parts[0].shape[0], reverse=False,
    )  # fmt: skip
    ends = [item(loop, index=i) for i in range(len(begin) + len(written))]
    state.update(zip(written, ends[len(begin) :], strict=True))
    return ends[: len(begin)]
