"""Numbers kept inside bounds."""

from __future__ import annotations

from typing import Any

from kedja.errors import GraphError
from kedja.graph.node import Tensor, tensor
from kedja.ops.elementwise import where
from kedja.ops.op import operands


def clip(x: Any, low: Any = None, high: Any = None) -> Tensor:
    """`x`, but `low` where it is below and `high` where it is above; None is no bound. Bounds broadcast.

    The derivative by x is 1 inside and on the bounds, 0 outside. Where low > high the result is high.

    >>> clip(tensor([-2.0, 0.5, 3.0]), 0.0, 1.0).numpy().tolist()
    [0.0, 0.5, 1.0]
    """
    if low is None and high is None:
        raise GraphError("clip needs a bound: low=, high=, or both")
    y = tensor(x)
    if low is not None:
        y, low = operands("clip", (y, low))
        y = where(y < low, low, y)
    if high is not None:
        y, high = operands("clip", (y, high))
        y = where(y > high, high, y)
    return y


__all__ = ["clip"]
