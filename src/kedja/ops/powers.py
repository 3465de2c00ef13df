"""Powers and logarithms to any base, composed from the ops of the calculus table."""

from __future__ import annotations

from typing import Any

from kedja.graph.dtypes import is_float
from kedja.graph.node import Tensor
from kedja.ops.elementwise import divide, log, raise_to, reciprocal, sqrt, square
from kedja.ops.op import operands
from kedja.ops.shaping import full


def power(x: Any, p: Any) -> Tensor:
    """x to the power p. Exponents 0, 1, 2, −1 and ½ written as numbers become cheaper ops with the same derivative.

    >>> from kedja.graph import tensor
    >>> power(tensor([1.0, 2.0]), 3).numpy().tolist()
    [1.0, 8.0]
    """
    if type(p) in (int, float) and isinstance(x, Tensor):
        if p == 2:
            return square(x)
        if p == 1:
            return x
        if p == 0:
            return full(x.shape, 1, x.dtype)
        if is_float(x.dtype) and p == 0.5:
            return sqrt(x)
        if is_float(x.dtype) and p == -1:
            return reciprocal(x)
    return raise_to(*operands("power", (x, p)))


def logarithm(x: Any, base: Any) -> Tensor:
    """Logarithm to any base: log_a x = ln x / ln a, with derivative 1/(x ln a) (scope 1.3).

    >>> from kedja.graph import tensor
    >>> logarithm(tensor(8.0), 2).numpy().round(4).item()
    3.0
    """
    x, base = operands("logarithm", (x, base))
    return divide(log(x), log(base))


__all__ = ["logarithm", "power"]
