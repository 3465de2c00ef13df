"""Arithmetic and elementary functions of ONNX."""

from __future__ import annotations

from functools import reduce
from typing import Any

from kedja import ops
from kedja.formats.onnx.registry import define, operator
from kedja.graph.dtypes import is_float
from kedja.graph.node import Tensor

SAME = {
    "Abs": ops.absolute, "Acos": ops.arccos, "Acosh": ops.arccosh, "Add": ops.add, "Asin": ops.arcsin,
    "Asinh": ops.arcsinh, "Atan": ops.arctan, "Atanh": ops.arctanh, "Ceil": ops.ceil, "Cos": ops.cos, "Cosh": ops.cosh,
    "Erf": ops.erf, "Exp": ops.exp, "Floor": ops.floor, "IsNaN": ops.isnan, "Log": ops.log, "Mul": ops.multiply,
    "Neg": ops.negative, "Reciprocal": ops.reciprocal, "Round": ops.round, "Sign": ops.sign, "Sin": ops.sin,
    "Sinh": ops.sinh, "Sqrt": ops.sqrt, "Sub": ops.subtract, "Tan": ops.tan,
}  # fmt: skip


def _entered(name: str, function: Any) -> None:
    """An op's call takes any inputs; as an operator it has no attributes."""
    define(name, lambda *xs: function(*xs))


for _name, _op in SAME.items():
    _entered(_name, _op)


@operator("Div")
def div(a: Tensor, b: Tensor) -> Tensor:
    """a / b; of whole numbers cut towards zero."""
    if is_float(a.dtype):
        return ops.divide(a, b)
    return ops.floor_divide(a - ops.fmod(a, b), b)


@operator("Mod")
def mod(a: Tensor, b: Tensor, *, fmod: int = 0) -> Tensor:
    """What is left of a after whole steps of b, with the sign of b (fmod=0) or a (fmod=1)."""
    return ops.fmod(a, b) if fmod else ops.remainder(a, b)


@operator("Pow")
def power(x: Tensor, p: Tensor) -> Tensor:
    """x to the power p, in the type of x; whole numbers go through float64."""
    if is_float(x.dtype):
        return ops.power(x, ops.cast(p, x.dtype))
    return ops.cast(ops.power(ops.cast(x, "float64"), ops.cast(p, "float64")), x.dtype)


@operator("Max")
def maximum(*xs: Tensor) -> Tensor:
    """The largest of several, element by element."""
    return reduce(ops.maximum, xs)


@operator("Min")
def minimum(*xs: Tensor) -> Tensor:
    """The smallest of several, element by element."""
    return reduce(ops.minimum, xs)


@operator("Sum")
def total(*xs: Tensor) -> Tensor:
    """The sum of several, element by element."""
    return reduce(ops.add, xs)


@operator("Mean")
def mean(*xs: Tensor) -> Tensor:
    """The mean of several, element by element."""
    y: Tensor = total(*xs) / len(xs)
    return y


@operator("Clip")
def clip(x: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """x kept between min and max."""
    return x if min is None and max is None else ops.clip(x, min, max)


@operator("IsInf")
def isinf(x: Tensor, *, detect_negative: int = 1, detect_positive: int = 1) -> Tensor:
    """Where x is ∞ or −∞, or one of them only."""
    wanted = ops.isinf(x)
    if not detect_negative:
        wanted = ops.logical_and(wanted, x > 0)
    return wanted if detect_positive else ops.logical_and(wanted, x < 0)
