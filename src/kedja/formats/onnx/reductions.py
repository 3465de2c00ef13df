"""Reductions, positions of extremes, running sums, the largest k."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kedja import ops
from kedja.formats.onnx.registry import define, operator
from kedja.graph.dtypes import BOOL, is_float
from kedja.graph.node import Tensor
from kedja.graph.shapes import Shape, as_axes, as_axis

Reduce = Callable[[Tensor, Shape, bool], Tensor]


def _reduction(name: str, reduce: Reduce) -> None:
    """Enter a reduction. Axes are an input, or an attribute in older versions; none means all, unless that is off."""

    def function(data: Tensor, axes: Any = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Tensor:
        listed = [] if axes is None else [int(a) for a in np.asarray(axes).reshape(-1)]
        over = as_axes(listed, data.ndim) if listed or noop_with_empty_axes else as_axes(None, data.ndim)
        return reduce(data, over, bool(keepdims))

    define(name, function, known=("axes",))


def _extreme(name: str, of_booleans: Any, lowest: bool) -> Reduce:
    """Largest or smallest; of nothing it is what every number beats."""

    def reduce(x: Tensor, axes: Shape, keep: bool) -> Tensor:
        if x.dtype == BOOL:
            found: Tensor = of_booleans(x, axes, keep)
            return found
        if 0 in (x.shape[a] for a in axes):
            shape = [1 if i in axes else n for i, n in enumerate(x.shape) if keep or i not in axes]
            return ops.full(shape, _end(x, lowest), x.dtype)
        found = getattr(ops, name)(x, axes, keep)
        return found

    return reduce


def _end(x: Tensor, lowest: bool) -> Any:
    if is_float(x.dtype):
        return -np.inf if lowest else np.inf
    limits = np.iinfo(x.dtype)
    return limits.min if lowest else limits.max


def _log_sum_exp(x: Tensor, axes: Shape, keep: bool) -> Tensor:
    empty = 0 in (x.shape[a] for a in axes)
    return ops.log(ops.sum(ops.exp(x), axes, keep)) if empty else ops.logsumexp(x, axes, keep)


_reduction("ReduceSum", ops.sum)
_reduction("ReduceMean", ops.mean)
_reduction("ReduceProd", ops.prod)
_reduction("ReduceL1", lambda x, axes, keep: ops.sum(ops.absolute(x), axes, keep))
_reduction("ReduceL2", lambda x, axes, keep: ops.sqrt(ops.sum(ops.square(x), axes, keep)))
_reduction("ReduceSumSquare", lambda x, axes, keep: ops.sum(ops.square(x), axes, keep))
_reduction("ReduceLogSum", lambda x, axes, keep: ops.log(ops.sum(x, axes, keep)))
_reduction("ReduceLogSumExp", _log_sum_exp)
_reduction("ReduceMax", _extreme("max", ops.any, lowest=True))
_reduction("ReduceMin", _extreme("min", ops.all, lowest=False))


def _position(name: str, find: Any) -> None:
    """Enter ArgMax or ArgMin: the first of equals, or the last."""

    def function(data: Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
        at = as_axis(axis, data.ndim)
        found = find(ops.flip(data, at) if select_last_index else data, at)
        found = data.shape[at] - 1 - found if select_last_index else found
        return ops.expand_dims(found, at) if keepdims else found

    define(name, function)


_position("ArgMax", ops.argmax)
_position("ArgMin", ops.argmin)


def _running(name: str, run: Any, neutral: int) -> None:
    """Enter CumSum or CumProd; exclusive leaves the element itself out, reverse starts at the end."""

    def function(x: Tensor, axis: Any, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
        at = as_axis(int(np.asarray(axis).item()), x.ndim)
        y = run(ops.flip(x, at) if reverse else x, at)
        if exclusive:
            widths = [(1, 0) if i == at else (0, 0) for i in range(x.ndim)]
            y = ops.pad(y, widths, value=neutral)[(*(slice(None),) * at, slice(0, x.shape[at]))]
        return ops.flip(y, at) if reverse else y

    define(name, function, known=("axis",))


_running("CumSum", ops.cumsum, 0)
_running("CumProd", ops.cumprod, 1)


@operator("TopK", known=("k",))
def top_k(x: Tensor, k: Any, *, axis: int = -1, largest: int = 1, sorted: int = 1) -> tuple[Tensor, Tensor]:
    """The k largest or smallest along the axis and their positions, in order also where that is not asked for."""
    return ops.top_k(x, int(np.asarray(k).item()), axis, bool(largest))
