"""The ops: what each means, how it differentiates, how it is written, and on which inputs it is tried.

`from kedja import ops; ops.OPS` is the table of them all. Importing this room gives tensors their operators.
"""

from typing import Any

from kedja.graph.node import Tensor, bind
from kedja.ops import random
from kedja.ops.control import map, scan
from kedja.ops.elementwise import *  # noqa: F403
from kedja.ops.elementwise import (
    absolute,
    add,
    cast,
    divide,
    equal,
    floor_divide,
    greater,
    greater_equal,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    multiply,
    negative,
    not_equal,
    reciprocal,
    remainder,
    sqrt,
    square,
    subtract,
)
from kedja.ops.elementwise import power as _power
from kedja.ops.formula import formula, tex, text
from kedja.ops.indexing import getitem, scatter_add, take, take_along_axis
from kedja.ops.linalg import dot, matmul
from kedja.ops.op import OPS, Op, is_differentiable
from kedja.ops.op import operands as _operands
from kedja.ops.reductions import *  # noqa: F403
from kedja.ops.reductions import argmax, max, mean, min, sum
from kedja.ops.shaping import *  # noqa: F403
from kedja.ops.shaping import full, reshape, transpose


def power(x: Any, p: Any) -> Tensor:
    """x to the power p. Whole-number exponents 0, 1, 2 and −1, ½ become cheaper ops with the same derivative.

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
        if x.dtype.kind == "f" and p == 0.5:
            return sqrt(x)
        if x.dtype.kind == "f" and p == -1:
            return reciprocal(x)
    return _power(*_operands("power", (x, p)))


def logarithm(x: Any, base: float) -> Tensor:
    """Logarithm to any base: log_a x = ln x / ln a, with derivative 1/(x ln a) (scope 1.3).

    >>> from kedja.graph import tensor
    >>> round(logarithm(tensor(8.0), 2).item(), 4)
    3.0
    """
    from kedja.ops.elementwise import log

    x, base = _operands("logarithm", (x, base))
    return divide(log(x), log(base))


def softplus(x: Any) -> Tensor:
    """ln(1 + eˣ), computed as max(x, 0) + ln(1 + e^(−|x|)) so that it does not overflow.

    >>> from kedja.graph import tensor
    >>> softplus(tensor([1000.0, 0.0])).numpy().round(4).tolist()
    [1000.0, 0.6931]
    """
    from kedja.ops.elementwise import exp, log1p, relu

    x = _operands("softplus", (x,))[0]
    return relu(x) + log1p(exp(-absolute(x)))


def _shape_arguments(args: Any) -> Any:
    return args[0] if len(args) == 1 else args


bind(
    Tensor,
    __add__=lambda a, b: add(a, b), __radd__=lambda a, b: add(b, a),
    __sub__=lambda a, b: subtract(a, b), __rsub__=lambda a, b: subtract(b, a),
    __mul__=lambda a, b: multiply(a, b), __rmul__=lambda a, b: multiply(b, a),
    __truediv__=lambda a, b: divide(a, b), __rtruediv__=lambda a, b: divide(b, a),
    __floordiv__=lambda a, b: floor_divide(a, b), __mod__=lambda a, b: remainder(a, b),
    __pow__=lambda a, b: power(a, b), __rpow__=lambda a, b: power(b, a),
    __matmul__=lambda a, b: matmul(a, b), __rmatmul__=lambda a, b: matmul(b, a),
    __neg__=lambda a: negative(a), __abs__=lambda a: absolute(a), __invert__=lambda a: logical_not(a),
    __and__=lambda a, b: logical_and(a, b), __or__=lambda a, b: logical_or(a, b),
    __lt__=lambda a, b: less(a, b), __le__=lambda a, b: less_equal(a, b),
    __gt__=lambda a, b: greater(a, b), __ge__=lambda a, b: greater_equal(a, b),
    __eq__=lambda a, b: equal(a, b), __ne__=lambda a, b: not_equal(a, b),
    __getitem__=getitem, text=text, tex=tex,
    sum=sum, mean=mean, max=max, min=min, argmax=argmax,
    reshape=reshape, transpose=transpose, astype=cast, T=property(lambda a: transpose(a)),
)  # fmt: skip
