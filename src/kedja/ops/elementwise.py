"""Elementwise ops, in the order of a calculus table (scope 1.3).

A stanza states what the op means (a NumPy function), its partial derivatives as graphs of the inputs and the output y,
how it is written, and the sample inputs its generated tests draw.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kedja.errors import DTypeError
from kedja.graph.dtypes import BOOL, DType, as_dtype, is_float
from kedja.graph.node import CONSTANT, Array, Tensor, same_dtype, tensor
from kedja.graph.shapes import broadcast
from kedja.ops.notation import ATOM, POWER, PRODUCT, SUM, Notation, infix
from kedja.ops.op import Op, elementwise, linear, nondifferentiable, operands
from kedja.ops.samples import (
    Sample,
    above_minus_one,
    above_one,
    boolean,
    coarse,
    fractional,
    inside,
    integer,
    nonzero,
    positive,
    real,
)

# --- sums and products ----------------------------------------------------------------------------------------------
add = elementwise(
    "add", np.add, partials=(lambda a, b, y: 1, lambda a, b, y: 1),
    tex=infix("+", SUM), text=infix("+", SUM), samples=(real, real), accepts="number",
)  # fmt: skip
subtract = elementwise(
    "subtract", np.subtract, partials=(lambda a, b, y: 1, lambda a, b, y: -1),
    tex=infix("-", SUM, PRODUCT), text=infix("-", SUM, PRODUCT), samples=(real, real), accepts="number",
)  # fmt: skip
negative = elementwise(
    "negative", np.negative, partials=(lambda x, y: -1,),
    tex=Notation("-{0}", SUM, (PRODUCT,)), text=Notation("-{0}", SUM, (PRODUCT,)), samples=real, accepts="number",
)  # fmt: skip
multiply = elementwise(
    "multiply", np.multiply, partials=(lambda a, b, y: b, lambda a, b, y: a),
    tex=infix(r"\,", PRODUCT), text=infix("*", PRODUCT), samples=(real, real), accepts="number",
)  # fmt: skip
divide = elementwise(
    "divide", np.divide, partials=(lambda a, b, y: 1 / b, lambda a, b, y: -y / b),
    tex=Notation(r"\frac{{{0}}}{{{1}}}", ATOM, (0,)), text=infix("/", PRODUCT, POWER), samples=(real, nonzero),
)  # fmt: skip
reciprocal = elementwise(
    "reciprocal", np.reciprocal, partials=(lambda x, y: -y * y,),
    tex=Notation(r"\frac{{1}}{{{0}}}", ATOM, (0,)), text=Notation("1 / {0}", PRODUCT, (POWER,)), samples=nonzero,
)  # fmt: skip


# --- powers ---------------------------------------------------------------------------------------------------------
def _power_by_base(x: Tensor, p: Tensor, y: Tensor) -> Tensor:
    slope = p * x ** (p - 1)
    if p.op is CONSTANT and (p.attrs["value"] != 0).all():
        return slope
    return where(p == 0, 0.0, slope)  # x⁰ is flat, also at x = 0 where 0 · 0⁻¹ is not a number


def _power_by_exponent(x: Tensor, p: Tensor, y: Tensor) -> Tensor:
    return where(x == 0, 0.0, y * log(x))


square = elementwise(
    "square", np.square, partials=(lambda x, y: 2 * x,),
    tex=Notation("{0}^{{2}}", POWER, (ATOM,)), text=Notation("{0}**2", POWER, (ATOM,)), samples=real, accepts="number",
)  # fmt: skip
sqrt = elementwise(
    "sqrt", np.sqrt, partials=(lambda x, y: 0.5 / y,), tex=Notation(r"\sqrt{{{0}}}", ATOM, (0,)), samples=positive,
)  # fmt: skip
raise_to = elementwise(
    "power", np.power, partials=(_power_by_base, _power_by_exponent),
    tex=Notation("{0}^{{{1}}}", POWER, (ATOM, 0)), text=infix("**", POWER, ATOM), samples=(positive, real),
)  # fmt: skip

# --- exponentials and logarithms ------------------------------------------------------------------------------------
exp = elementwise("exp", np.exp, partials=(lambda x, y: y,), tex=Notation("e^{{{0}}}", POWER, (0,)), samples=real)
expm1 = elementwise(
    "expm1", np.expm1, partials=(lambda x, y: exp(x),), tex=Notation("e^{{{0}}} - 1", SUM, (0,)), samples=real
)
log = elementwise("log", np.log, partials=(lambda x, y: 1 / x,), tex=r"\ln {0}", samples=positive)
log1p = elementwise(
    "log1p", np.log1p, partials=(lambda x, y: 1 / (1 + x),), tex=r"\ln\left(1 + {0}\right)", samples=above_minus_one
)

# --- trigonometry ---------------------------------------------------------------------------------------------------
sin = elementwise("sin", np.sin, partials=(lambda x, y: cos(x),), tex=r"\sin {0}", samples=real)
cos: Op = elementwise("cos", np.cos, partials=(lambda x, y: -sin(x),), tex=r"\cos {0}", samples=real)
tan = elementwise("tan", np.tan, partials=(lambda x, y: 1 + y * y,), tex=r"\tan {0}", samples=inside)
arcsin = elementwise(
    "arcsin", np.arcsin, partials=(lambda x, y: 1 / sqrt(1 - x * x),), tex=r"\arcsin {0}", samples=inside,
)  # fmt: skip
arccos = elementwise(
    "arccos", np.arccos, partials=(lambda x, y: -1 / sqrt(1 - x * x),), tex=r"\arccos {0}", samples=inside,
)  # fmt: skip
arctan = elementwise("arctan", np.arctan, partials=(lambda x, y: 1 / (1 + x * x),), tex=r"\arctan {0}", samples=real)
sinh = elementwise("sinh", np.sinh, partials=(lambda x, y: cosh(x),), tex=r"\sinh {0}", samples=real)
cosh: Op = elementwise("cosh", np.cosh, partials=(lambda x, y: sinh(x),), tex=r"\cosh {0}", samples=real)
arcsinh = elementwise(
    "arcsinh", np.arcsinh, partials=(lambda x, y: 1 / sqrt(x * x + 1),),
    tex=r"\operatorname{{arsinh}} {0}", samples=real,
)  # fmt: skip
arccosh = elementwise(
    "arccosh", np.arccosh, partials=(lambda x, y: 1 / sqrt(x * x - 1),),
    tex=r"\operatorname{{arcosh}} {0}", samples=above_one,
)  # fmt: skip
arctanh = elementwise(
    "arctanh", np.arctanh, partials=(lambda x, y: 1 / (1 - x * x),),
    tex=r"\operatorname{{artanh}} {0}", samples=inside,
)  # fmt: skip


# --- activations that are primitives --------------------------------------------------------------------------------
def _sigmoid(x: Array) -> Any:
    return 1 / (1 + np.exp(-x))


def _erf(x: Array) -> Any:
    from scipy.special import erf  # loaded when it is used

    return erf(x)


def _bell(x: Tensor, y: Tensor) -> Tensor:
    return 2 / math.sqrt(math.pi) * exp(-square(x))


erf = elementwise(
    "erf", _erf, partials=(_bell,), tex=Notation(r"\operatorname{{erf}}\left({0}\right)", ATOM, (0,)), samples=real
)
tanh = elementwise("tanh", np.tanh, partials=(lambda x, y: 1 - y * y,), tex=r"\tanh {0}", samples=real)
sigmoid = elementwise(
    "sigmoid", _sigmoid, partials=(lambda x, y: y * (1 - y),),
    tex=Notation(r"\sigma\left({0}\right)", ATOM, (0,)), samples=real,
)  # fmt: skip
softplus = elementwise(  # its own op: written with max and |x| it would have a kink at 0, where its slope is ½
    "softplus", lambda x: np.logaddexp(x, np.zeros((), x.dtype)), partials=(lambda x, y: sigmoid(x),),
    tex=r"\ln\left(1 + e^{{{0}}}\right)", samples=real,
)  # fmt: skip
relu = elementwise(  # its own op, so that relu′(0) = 0; max(x, 0) would split the tie
    "relu", lambda x: np.maximum(x, np.zeros((), x.dtype)), partials=(lambda x, y: cast(x > 0, x.dtype),),
    tex=Notation(r"\operatorname{{relu}}\left({0}\right)", ATOM, (0,)), samples=real, accepts="number",
)  # fmt: skip

# --- kinks: |x|′(0) = 0, maximum and minimum split ties -------------------------------------------------------------
absolute = elementwise(
    "absolute", np.absolute, partials=(lambda x, y: sign(x),),
    tex=Notation(r"\left|{0}\right|", ATOM, (0,)), text="abs({0})", samples=real, accepts="number",
)  # fmt: skip
maximum = elementwise(
    "maximum", np.maximum, partials=(lambda a, b, y: share(a, b), lambda a, b, y: share(b, a)),
    tex=Notation(r"\max\left({0}, {1}\right)", ATOM, (0,)), samples=(real, real), accepts="number",
)  # fmt: skip
minimum = elementwise(
    "minimum", np.minimum, partials=(lambda a, b, y: share(b, a), lambda a, b, y: share(a, b)),
    tex=Notation(r"\min\left({0}, {1}\right)", ATOM, (0,)), samples=(real, real), accepts="number",
)  # fmt: skip


def share(winner: Tensor, loser: Tensor) -> Tensor:
    """1 where winner > loser, ½ where they tie, else 0."""
    return 0.5 * (cast(winner > loser, winner.dtype) + cast(winner >= loser, winner.dtype))


# --- steps: no derivative, by statement -----------------------------------------------------------------------------
sign: Op = nondifferentiable(
    "sign", np.sign, samples=real, accepts="number", tex=Notation(r"\operatorname{{sign}}\left({0}\right)", ATOM, (0,)),
)  # fmt: skip
floor = nondifferentiable(
    "floor", np.floor, samples=fractional, accepts="float", tex=Notation(r"\lfloor {0} \rfloor", ATOM, (0,)),
)  # fmt: skip
ceil = nondifferentiable(
    "ceil", np.ceil, samples=fractional, accepts="float", tex=Notation(r"\lceil {0} \rceil", ATOM, (0,)),
)  # fmt: skip
round = nondifferentiable(
    "round", np.rint, samples=fractional, accepts="float",
    tex=Notation(r"\operatorname{{round}}\left({0}\right)", ATOM, (0,)),
)  # fmt: skip
floor_divide = nondifferentiable(
    "floor_divide", np.floor_divide, samples=(integer, integer), accepts="integer",
    tex=Notation(r"\left\lfloor \frac{{{0}}}{{{1}}} \right\rfloor", ATOM, (0,)), text=infix("//", PRODUCT, POWER),
)  # fmt: skip
remainder = nondifferentiable(
    "remainder", np.remainder, samples=(integer, integer), accepts="integer",
    tex=infix(r"\bmod", PRODUCT, POWER), text=infix("%", PRODUCT, POWER),
)  # fmt: skip


# --- comparisons ----------------------------------------------------------------------------------------------------
def _between(sign: str) -> Notation:
    """Comparisons and logic do not chain: a side that is one of them is put in parentheses."""
    return Notation(f"{{0}} {sign} {{1}}", 0, (SUM,))


def _comparison(name: str, compute: Any, sign: str, text: str, accepts: str = "number") -> Any:
    return nondifferentiable(
        name, compute, result=BOOL, samples=(coarse, coarse), accepts=accepts,
        tex=_between(sign), text=_between(text),
    )  # fmt: skip


equal = _comparison("equal", np.equal, "=", "==", accepts="any")
not_equal = _comparison("not_equal", np.not_equal, r"\neq", "!=", accepts="any")
less = _comparison("less", np.less, "<", "<")
less_equal = _comparison("less_equal", np.less_equal, r"\leq", "<=")
greater = _comparison("greater", np.greater, ">", ">")
greater_equal = _comparison("greater_equal", np.greater_equal, r"\geq", ">=")
isfinite = nondifferentiable("isfinite", np.isfinite, result=BOOL, samples=real, accepts="float", tex=None)
isnan = nondifferentiable("isnan", np.isnan, result=BOOL, samples=real, accepts="float", tex=None)

# --- logic ----------------------------------------------------------------------------------------------------------
logical_and = nondifferentiable(
    "logical_and", np.logical_and, samples=(boolean, boolean), accepts="bool",
    tex=_between(r"\land"), text=_between("&"),
)  # fmt: skip
logical_or = nondifferentiable(
    "logical_or", np.logical_or, samples=(boolean, boolean), accepts="bool",
    tex=_between(r"\lor"), text=_between("|"),
)  # fmt: skip
logical_xor = nondifferentiable(
    "logical_xor", np.logical_xor, samples=(boolean, boolean), accepts="bool",
    tex=_between(r"\oplus"), text=_between("^"),
)  # fmt: skip
logical_not = nondifferentiable(
    "logical_not", np.logical_not, samples=boolean, accepts="bool",
    tex=Notation(r"\lnot {0}", FUNCTION := 3, (ATOM,)), text=Notation("~{0}", FUNCTION, (ATOM,)),
)  # fmt: skip


def isinf(x: Any) -> Tensor:
    """Where `x` is ∞ or −∞.

    >>> isinf(tensor([1.0, float("-inf")])).numpy().tolist()
    [False, True]
    """
    x = tensor(x)
    return logical_not(logical_or(isfinite(x), isnan(x)))


# --- choosing -------------------------------------------------------------------------------------------------------
def _where_spec(condition: Tensor, a: Tensor, b: Tensor) -> tuple[Any, DType]:
    if condition.dtype != BOOL:
        raise DTypeError(f"the condition must be boolean, got {condition.dtype.name}. Compare first, as in x > 0.")
    return broadcast([condition.shape, a.shape, b.shape]), same_dtype((a, b))


def _where_adjoint(node: Tensor, g: Tensor) -> tuple[Tensor | None, ...]:
    condition = node.inputs[0]
    return None, where(condition, g, 0.0), where(condition, 0.0, g)


def _where_samples(rng: np.random.Generator) -> Any:
    for c, a, b in (((3, 4),) * 3, ((3, 1), (4,), (3, 4)), ((), (2,), ()), ((0, 2), (0, 2), (1, 2)), ((2, 2), (), ())):
        yield Sample((boolean(rng, c), real(rng, a), real(rng, b)))
    yield Sample((np.array([True, False]), np.array([1.0, np.nan]), np.array([np.inf, 2.0])), smooth=False)


select = linear(
    "where", np.where, _where_spec, adjoint=_where_adjoint, fixed=(0,), samples=_where_samples,
    tex=Notation(r"\begin{{cases}} {1} & {0} \\ {2} & \text{{else}} \end{{cases}}", ATOM, (0,)),
    text="where({0}, {1}, {2})",
    doc="y = b where a is true, else c, element by element.",
)  # fmt: skip


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """`a` where the condition holds, `b` elsewhere, broadcast. The branch not taken receives no gradient.

    >>> where(tensor([True, False]), tensor([1.0, 2.0]), 0.0).numpy().tolist()
    [1.0, 0.0]
    """
    if not isinstance(condition, Tensor):
        condition = tensor(np.asarray(condition))
    return select(condition, *operands("where", (a, b)))


# --- changing the type ----------------------------------------------------------------------------------------------
def _cast_samples(rng: np.random.Generator) -> Any:
    yield Sample((real(rng, (2, 3)),), {"dtype": np.dtype("float64")})
    yield Sample((real(rng, (2, 3)),), {"dtype": np.dtype("float32")}, smooth=False, label="rounds")
    yield Sample((np.array([-2.7, 0.0, 3.9]),), {"dtype": np.dtype("int32")}, smooth=False)
    yield Sample((np.array([0.0, 0.3]),), {"dtype": np.dtype("bool")}, smooth=False)
    yield Sample((np.array([True, False]),), {"dtype": np.dtype("float32")})
    yield Sample((np.arange(3),), {"dtype": np.dtype("float32")})


astype = linear(
    "cast", lambda x, dtype: np.asarray(x).astype(dtype), lambda x, dtype: (x.shape, dtype),
    adjoint=lambda node, g: cast(g, node.inputs[0].dtype), samples=_cast_samples,
    tex=Notation("{0}", ATOM, (ATOM,)), text="cast({0}, '{dtype}')",
    doc="y = a in another type; a number that becomes a whole one loses its fraction.",
)  # fmt: skip


def cast(x: Any, dtype: Any) -> Tensor:
    """`x` as another element type; to integers it is cut towards zero. Between float types gradients flow.

    >>> cast(tensor([1.7, -1.7]), "int32").numpy().tolist()
    [1, -1]
    """
    x, found = tensor(x), as_dtype(dtype)
    return x if x.dtype == found else astype(x, dtype=found)


def _identity_samples(rng: np.random.Generator) -> Any:
    yield Sample((real(rng, (2, 3)),), smooth=False, label="gradient stops here")


stop = nondifferentiable(
    "stop_gradient", lambda x: x, lambda x: (x.shape, x.dtype), samples=_identity_samples,
    tex=Notation(r"\operatorname{{stop}}\left({0}\right)", ATOM, (0,)),
    doc="y = a, through which no derivative flows.",
)  # fmt: skip


def stop_gradient(x: Any) -> Tensor:
    """`x`, treated as a constant by every derivative.

    >>> import kedja as kj
    >>> w = kj.tensor(3.0)
    >>> kj.grad(w * kj.stop_gradient(w), w).item()
    3.0
    """
    x = tensor(x)
    return stop(x) if is_float(x.dtype) else x


__all__ = [
    "absolute", "add", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctanh", "cast", "ceil", "cos", "cosh",
    "divide", "equal", "erf", "exp", "expm1", "floor", "floor_divide", "greater", "greater_equal", "isfinite", "isinf",
    "isnan", "less", "less_equal", "log", "log1p", "logical_and", "logical_not", "logical_or", "logical_xor", "maximum",
    "minimum",
    "multiply", "negative", "not_equal", "reciprocal", "relu", "round", "sigmoid", "sign", "sin",
    "sinh", "softplus", "sqrt", "square", "stop_gradient", "subtract", "tan", "tanh", "where",
]  # fmt: skip
