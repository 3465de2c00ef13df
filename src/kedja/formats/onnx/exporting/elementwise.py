"""Writers of ops that work element by element. Most have one ONNX operator."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import helper

from kedja.formats.onnx.exporting.sites import Site
from kedja.formats.onnx.exporting.writer import WRITERS, Write, Writer, writes

__all__ = ["PLAIN"]

PLAIN = {
    "absolute": "Abs", "add": "Add", "arccos": "Acos", "arccosh": "Acosh", "arcsin": "Asin", "arcsinh": "Asinh",
    "arctan": "Atan", "arctanh": "Atanh", "ceil": "Ceil", "cos": "Cos", "cosh": "Cosh", "divide": "Div", "erf": "Erf",
    "exp": "Exp", "floor": "Floor", "greater": "Greater", "greater_equal": "GreaterOrEqual", "isnan": "IsNaN",
    "less": "Less", "less_equal": "LessOrEqual", "log": "Log", "logical_and": "And", "logical_not": "Not",
    "logical_or": "Or", "logical_xor": "Xor", "maximum": "Max", "minimum": "Min", "multiply": "Mul", "negative": "Neg",
    "power": "Pow", "reciprocal": "Reciprocal", "round": "Round", "sigmoid": "Sigmoid", "sign": "Sign", "sin": "Sin",
    "sinh": "Sinh", "softplus": "Softplus", "sqrt": "Sqrt", "subtract": "Sub", "tan": "Tan", "tanh": "Tanh",
    "equal": "Equal", "recognised": "",
}  # fmt: skip


def _plain(op: str) -> Write:
    return lambda w, s: w.add(op, *map(w.of, s.inputs))


WRITERS.update({ours: _plain(theirs) for ours, theirs in PLAIN.items() if theirs})


def number(w: Writer, s: Site, value: float) -> str:
    """A number of the site's type."""
    return w.constant(np.array(value, s.inputs[0].dtype))


@writes("recognised")
def recognised(w: Writer, s: Site) -> str:
    """A function that ONNX has as one operator: `operator` and its attributes."""
    attrs: dict[str, Any] = {k: v for k, v in s.attrs.items() if k != "operator"}
    return w.add(s.attrs["operator"], *map(w.of, s.inputs), **attrs)


@writes("square")
def square(w: Writer, s: Site) -> str:
    x = w.of(s.inputs[0])
    return w.add("Mul", x, x)


@writes("relu")
def relu(w: Writer, s: Site) -> str:
    x = w.of(s.inputs[0])
    return w.add("Relu", x) if s.dtype.kind == "f" else w.add("Max", x, number(w, s, 0))


@writes("expm1")
def expm1(w: Writer, s: Site) -> str:
    """eˣ − 1 = tanh(x/2) (eˣ + 1), which keeps its digits near 0."""
    x = w.of(s.inputs[0])
    half = w.add("Tanh", w.add("Mul", x, number(w, s, 0.5)))
    return w.add("Mul", half, w.add("Add", w.add("Exp", x), number(w, s, 1)))


@writes("log1p")
def log1p(w: Writer, s: Site) -> str:
    """With u = 1 + x as it is rounded, ln u · x / (u − 1) keeps the digits that 1 + x lost (Kahan)."""
    x = w.of(s.inputs[0])
    u = w.add("Add", x, number(w, s, 1))
    off = w.add("Sub", u, number(w, s, 1))
    plain = w.add("Or", w.add("Equal", off, number(w, s, 0)), w.add("IsInf", x))
    safe = w.add("Where", plain, number(w, s, 1), off)
    return w.add("Where", plain, x, w.add("Mul", w.add("Log", u), w.add("Div", x, safe)))


@writes("not_equal")
def not_equal(w: Writer, s: Site) -> str:
    return w.add("Not", w.add("Equal", *map(w.of, s.inputs)))


@writes("isfinite")
def isfinite(w: Writer, s: Site) -> str:
    x = w.of(s.inputs[0])
    return w.add("Not", w.add("Or", w.add("IsNaN", x), w.add("IsInf", x)))


@writes("fmod")
def fmod(w: Writer, s: Site) -> str:
    return w.add("Mod", *map(w.of, s.inputs), fmod=1)


@writes("remainder")
def remainder(w: Writer, s: Site) -> str:
    return w.add("Mod", *map(w.of, s.inputs), fmod=0)


@writes("floor_divide")
def floor_divide(w: Writer, s: Site) -> str:
    """ONNX cuts towards zero: first the remainder, which has the sign of b, is taken off."""
    a, b = map(w.of, s.inputs)
    return w.add("Div", w.add("Sub", a, w.add("Mod", a, b, fmod=0)), b)


@writes("where")
def where(w: Writer, s: Site) -> str:
    condition, a, b = map(w.of, s.inputs)
    if s.dtype.kind != "b":
        return w.add("Where", condition, a, b)
    return w.add("Or", w.add("And", condition, a), w.add("And", w.add("Not", condition), b))


@writes("cast")
def cast(w: Writer, s: Site) -> str:
    return w.add("Cast", w.of(s.inputs[0]), to=int(helper.np_dtype_to_tensor_dtype(s.dtype)))


@writes("stop_gradient", "custom")
def as_it_is(w: Writer, s: Site) -> str:
    """What matters to derivatives only."""
    return w.of(s.inputs[0])


@writes("softmax")
def softmax(w: Writer, s: Site) -> str:
    return w.add("Softmax", w.of(s.inputs[0]), axis=s.attrs["axis"])


@writes("line")
def line(w: Writer, s: Site) -> str:
    """A constant that is a straight line in the number of examples, such as the n of a mean."""
    from kedja.formats.onnx.exporting.sizes import Size

    n = w.add("Cast", w.root.size(Size(1, 0)), to=int(helper.np_dtype_to_tensor_dtype(s.dtype)))
    n = w.add("Squeeze", n, w.whole(0))
    product = w.add("Mul", n, w.constant(s.attrs["times"], s.dtype))
    return w.add("Add", product, w.constant(s.attrs["plus"], s.dtype))
