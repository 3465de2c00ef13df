"""The part of the table op → jax.lax that looks at each number by itself, and programs of such ops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from kedja.ops import division, elementwise
from kedja.ops.op import OPS, Op

__all__ = ["POINTWISE", "Lowering", "evaluated", "stretched"]

Lowering = Callable[..., Any]


def _spread(op: Lowering) -> Lowering:
    """An elementwise `lax` function wants equal shapes: broadcast first."""

    def lowered(*xs: Any) -> Any:  # in `lax`: each call of `jnp` is traced by itself, for half a millisecond
        shapes = {x.shape for x in xs}
        if len(shapes) > 1:
            shape = lax.broadcast_shapes(*shapes)
            xs = tuple(stretched(x, shape) for x in xs)
        return op(*xs)

    return lowered


def stretched(x: Any, shape: tuple[int, ...]) -> Any:
    """The array broadcast to a shape."""
    if x.shape == shape:
        return x
    return lax.broadcast_in_dim(x, shape, tuple(range(len(shape) - x.ndim, len(shape))))


def _power(x: Any, p: Any) -> Any:
    return lax.pow(*jnp.broadcast_arrays(x, p))


def _divide_integers(a: Any, b: Any) -> Any:
    return jnp.floor_divide(a, b)


POINTWISE: dict[Op, Lowering] = {
    elementwise.add: lax.add, elementwise.subtract: lax.sub, elementwise.multiply: lax.mul, elementwise.divide: lax.div,
    elementwise.negative: lax.neg, elementwise.reciprocal: lambda x: lax.div(jnp.ones_like(x), x),
    elementwise.square: lax.square, elementwise.sqrt: lax.sqrt, elementwise.raise_to: _power,
    elementwise.exp: lax.exp, elementwise.expm1: lax.expm1, elementwise.log: lax.log, elementwise.log1p: lax.log1p,
    elementwise.sin: lax.sin, elementwise.cos: lax.cos, elementwise.tan: lax.tan,
    elementwise.arcsin: lax.asin, elementwise.arccos: lax.acos, elementwise.arctan: lax.atan,
    elementwise.sinh: lax.sinh, elementwise.cosh: lax.cosh,
    elementwise.arcsinh: lax.asinh, elementwise.arccosh: lax.acosh, elementwise.arctanh: lax.atanh,
    elementwise.softplus: lambda x: jnp.logaddexp(x, jnp.zeros_like(x)),
    elementwise.erf: lax.erf, elementwise.tanh: lax.tanh, elementwise.sigmoid: lax.logistic,
    elementwise.relu: lambda x: lax.max(x, jnp.zeros_like(x)),
    elementwise.absolute: lax.abs, elementwise.maximum: lax.max, elementwise.minimum: lax.min,
    elementwise.sign: lax.sign, elementwise.floor: lax.floor, elementwise.ceil: lax.ceil,
    elementwise.round: lambda x: lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN),
    elementwise.floor_divide: _divide_integers, elementwise.remainder: jnp.remainder,
    division.fmod: lax.rem,
    elementwise.equal: lax.eq, elementwise.not_equal: lax.ne, elementwise.less: lax.lt, elementwise.less_equal: lax.le,
    elementwise.greater: lax.gt, elementwise.greater_equal: lax.ge,
    elementwise.isfinite: lax.is_finite, elementwise.isnan: jnp.isnan,
    elementwise.logical_and: lax.bitwise_and, elementwise.logical_or: lax.bitwise_or,
    elementwise.logical_xor: lax.bitwise_xor, elementwise.logical_not: lax.bitwise_not,
    elementwise.select: jnp.where, elementwise.stop: lambda x: x,
    elementwise.astype: lambda x, dtype: x.astype(dtype),
}  # fmt: skip
for _op, _lowered in POINTWISE.items():
    if _op.kind == "elementwise" and getattr(_op, "arity", 1) > 1 and _op is not elementwise.raise_to:
        POINTWISE[_op] = _spread(_lowered)


def evaluated(program: Any, values: Sequence[Any]) -> list[Any]:
    """What a kernel's program gives, by the compiler."""
    found = list(values)
    known, dtype = dict(program.literals), values[0].dtype
    for name, operands in program.steps:
        if len(found) in known:
            found.append(np.asarray(known[len(found)], dtype))
        else:
            attrs = {"dtype": dtype} if name == elementwise.astype.name else {}
            found.append(POINTWISE[OPS[name]](*(found[i] for i in operands), **attrs))
    return [found[i] for i in program.outputs]
