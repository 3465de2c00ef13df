"""The rules of differentiation as a textbook has them, one step at a time (scope 1.3).

A formula that is being differentiated holds parts d/dx[u] that are still to be worked out. Each step takes the first of
them and does what its outermost sign or function asks. The steps explain; the derivative kedja computes with is the
graph's, and the two are held against each other.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

from kedja.explain.derivatives.expression import Binary, Call, Constant, Expression, Name, Negative, Number, Slope

__all__ = ["FUNCTION_RULES", "RULES", "Rule", "Step", "steps"]

LETTERS = "uvwpqrs"


class Rule(NamedTuple):
    """A rule: its name, and the formula it is in text and in TeX."""

    name: str
    text: str
    tex: str


class Step(NamedTuple):
    """One rule applied: what it was applied to, what came of it, and the whole formula after it.

    `where` says what a letter of the chain rule stands for.
    """

    rule: Rule
    before: Expression
    after: Expression
    whole: Expression
    where: tuple[str, Expression] | None = None


def _(text: str) -> str:
    """Marks a name for the catalogues of translations; it is looked up when it is shown."""
    return text


RULES = {
    "constant": Rule(_("constant"), "c′ = 0", r"c' = 0"),
    "variable": Rule(_("variable"), "x′ = 1", r"x' = 1"),
    "constant multiple": Rule(_("constant multiple"), "(c u)′ = c u′", r"(c\,u)' = c\,u'"),
    "sum": Rule(_("sum"), "(u + v)′ = u′ + v′", r"(u + v)' = u' + v'"),
    "difference": Rule(_("difference"), "(u - v)′ = u′ - v′", r"(u - v)' = u' - v'"),
    "product": Rule(_("product"), "(u v)′ = u′ v + u v′", r"(u\,v)' = u'\,v + u\,v'"),
    "quotient": Rule(
        _("quotient"), "(u / v)′ = (u′ v - u v′) / v²", r"\left(\frac{u}{v}\right)' = \frac{u'\,v - u\,v'}{v^2}"
    ),
    "reciprocal": Rule(_("reciprocal"), "(1 / v)′ = -v′ / v²", r"\left(\frac{1}{v}\right)' = -\frac{v'}{v^2}"),
    "chain": Rule(
        _("chain"), "d/dx[f(u)] = d/du[f(u)] · d/dx[u]",
        r"\frac{d}{dx}\left[f(u)\right] = \frac{d}{du}\left[f(u)\right] \cdot \frac{d}{dx}\left[u\right]",
    ),
    "power": Rule(_("power"), "(xⁿ)′ = n xⁿ⁻¹", r"(x^n)' = n\,x^{n-1}"),
    "square": Rule(_("square"), "(x²)′ = 2 x", r"(x^2)' = 2\,x"),
    "general power": Rule(
        _("power with a variable exponent"), "(u^v)′ = u^v (v ln u)′", r"(u^v)' = u^v\,(v \ln u)'"
    ),
    "exponential": Rule(_("exponential to base a"), "(a^x)′ = a^x ln a", r"(a^x)' = a^x \ln a"),
    "exp": Rule(_("exponential"), "(e^x)′ = e^x", r"(e^x)' = e^x"),
    "change of base": Rule(
        _("change of base"), "log_a u = ln u / ln a", r"\log_a u = \frac{\ln u}{\ln a}"
    ),
    "log": Rule(_("logarithm to base a"), "(log_a x)′ = 1 / (x ln a)", r"(\log_a x)' = \frac{1}{x \ln a}"),
    "sqrt": Rule(_("square root"), "(√x)′ = 1 / (2 √x)", r"(\sqrt{x})' = \frac{1}{2 \sqrt{x}}"),
    "ln": Rule(_("natural logarithm"), "(ln x)′ = 1 / x", r"(\ln x)' = \frac{1}{x}"),
    "sin": Rule(_("sine"), "(sin x)′ = cos x", r"(\sin x)' = \cos x"),
    "cos": Rule(_("cosine"), "(cos x)′ = -sin x", r"(\cos x)' = -\sin x"),
    "tan": Rule(
        _("tangent"), "(tan x)′ = 1 / cos² x = 1 + tan² x", r"(\tan x)' = \frac{1}{\cos^2 x} = 1 + \tan^2 x"
    ),
    "arcsin": Rule(_("arcsine"), "(arcsin x)′ = 1 / √(1 - x²)", r"(\arcsin x)' = \frac{1}{\sqrt{1 - x^2}}"),
    "arccos": Rule(_("arccosine"), "(arccos x)′ = -1 / √(1 - x²)", r"(\arccos x)' = -\frac{1}{\sqrt{1 - x^2}}"),
    "arctan": Rule(_("arctangent"), "(arctan x)′ = 1 / (1 + x²)", r"(\arctan x)' = \frac{1}{1 + x^2}"),
    "tanh": Rule(_("hyperbolic tangent"), "(tanh x)′ = 1 - tanh² x", r"(\tanh x)' = 1 - \tanh^2 x"),
    "sigmoid": Rule(_("sigmoid"), "σ(x)′ = σ(x) (1 - σ(x))", r"\sigma(x)' = \sigma(x)\,(1 - \sigma(x))"),
    "relu": Rule(
        _("ReLU"), _("relu(x)′ = 1 for x > 0, else 0; at the kink 0"),
        r"\operatorname{relu}(x)' = 1 \text{ for } x > 0, \text{ else } 0",
    ),
    "abs": Rule(_("absolute value"), _("|x|′ = sign x; at the kink 0"), r"|x|' = \operatorname{sign} x"),
    "flat": Rule(_("steps are flat"), "sign(x)′ = step(x)′ = 0", r"\operatorname{sign}(x)' = 0"),
}  # fmt: skip
"""All rules by their key, in the order of the calculus table."""

TWO = Number(Fraction(2))
ONE = Number(Fraction(1))
E = Constant("e")
FUNCTION_RULES: dict[str, Callable[[Expression], Expression]] = {
    "sqrt": lambda u: 1 / (2 * Call("sqrt", (u,))),
    "exp": lambda u: Call("exp", (u,)),
    "ln": lambda u: 1 / u,
    "sin": lambda u: Call("cos", (u,)),
    "cos": lambda u: -Call("sin", (u,)),
    "tan": lambda u: 1 / Call("cos", (u,)) ** 2,
    "arcsin": lambda u: 1 / Call("sqrt", (1 - u**2,)),
    "arccos": lambda u: -(1 / Call("sqrt", (1 - u**2,))),
    "arctan": lambda u: 1 / (1 + u**2),
    "tanh": lambda u: 1 - Call("tanh", (u,)) ** 2,
    "sigmoid": lambda u: Call("sigmoid", (u,)) * (1 - Call("sigmoid", (u,))),
    "relu": lambda u: Call("step", (u,)),
    "abs": lambda u: Call("sign", (u,)),
    "sign": lambda u: Number(Fraction(0)),
    "step": lambda u: Number(Fraction(0)),
}
"""f′ of every function of one argument."""


def steps(e: Expression, by: str) -> list[Step]:
    """The derivative of e by a letter, rule by rule; the last step's `whole` is the derivative, not yet tidied.

    >>> from kedja.explain.derivatives.grammar import parse
    >>> for step in steps(parse("x**2 * sin(x)"), "x"):
    ...     print(f"{step.rule.name}: {step.whole}")
    product: d/dx[x**2] * sin(x) + x**2 * d/dx[sin(x)]
    square: 2 * x * sin(x) + x**2 * d/dx[sin(x)]
    sine: 2 * x * sin(x) + x**2 * cos(x)
    """
    whole: Expression = Slope(e, by)
    free = [letter for letter in LETTERS if not e.depends_on(letter)]
    free += [f"u{i}" for i in range(1, 1000) if not e.depends_on(f"u{i}")]
    found: list[Step] = []
    while (slope := next((part for part in whole.walk() if isinstance(part, Slope)), None)) is not None:
        key, after = _applied(slope, free)
        where = None if slope.inner is None else (slope.by, slope.inner)
        put = after if slope.inner is None else after.put(slope.by, slope.inner)
        if key == "chain":
            outer = next(part for part in after.walk() if isinstance(part, Slope))
            where = (outer.by, outer.inner or ONE)
            free.remove(outer.by)
        whole = _replaced(whole, slope, put)
        found.append(Step(RULES[key], slope, after, whole, where))
    return found


def _replaced(whole: Expression, slope: Slope, by: Expression) -> Expression:
    """The formula with the first place where this slope stands worked out."""
    if whole is slope:
        return by
    parts = list(whole.parts)
    for i, part in enumerate(parts):
        if any(p is slope for p in part.walk()):
            parts[i] = _replaced(part, slope, by)
            return whole.with_parts(*parts)
    return whole


def _applied(slope: Slope, free: list[str]) -> tuple[str, Expression]:
    """The rule for the outermost part of u in d/dx[u], and what it makes of it."""
    e, x = slope.of, slope.by

    def d(u: Expression) -> Expression:
        return Slope(u, x)

    if not e.depends_on(x):
        return "constant", Number(Fraction(0))
    inner = _inner(e, x)
    if inner is not None and not isinstance(inner, Name):
        letter = free[0]
        outer = _around(e, x, Name(letter))
        return "chain", Slope(outer, letter, inner) * d(inner)
    match e:
        case Name():
            return "variable", ONE
        case Negative(u):
            return "constant multiple", -d(u)
        case Binary("+", u, v):
            return "sum", d(u) + d(v)
        case Binary("-", u, v):
            return "difference", d(u) - d(v)
        case Binary("*", u, v):
            if not u.depends_on(x):
                return "constant multiple", u * d(v)
            if not v.depends_on(x):
                return "constant multiple", v * d(u)
            return "product", d(u) * v + u * d(v)
        case Binary("/", u, v):
            if not v.depends_on(x):
                return "constant multiple", d(u) / v
            if u == ONE:
                return "reciprocal", -(d(v) / v**2)
            if not u.depends_on(x):
                return "constant multiple", u * d(1 / v)
            return "quotient", (d(u) * v - u * d(v)) / v**2
        case Binary("^", u, v):
            return _power(e, u, v, x)
        case Call("log", (u, base)):
            if base.depends_on(x):
                return "change of base", d(Call("ln", (u,)) / Call("ln", (base,)))
            return "log", 1 / (u * Call("ln", (base,)))
        case Call(f, (u,)):
            return "flat" if f in ("sign", "step") else f, FUNCTION_RULES[f](u)
    raise TypeError(f"no rule for {e!r}")


def _power(e: Expression, u: Expression, v: Expression, x: str) -> tuple[str, Expression]:
    if u.depends_on(x) and v.depends_on(x):
        return "general power", e * Slope(v * Call("ln", (u,)), x)
    if v.depends_on(x):
        return ("exp", e) if u == E else ("exponential", e * Call("ln", (u,)))
    if v == TWO:
        return "square", 2 * u
    if isinstance(v, Number):
        return "power", v * u ** Number(v.value - 1, v.decimal)
    return "power", v * u ** (v - 1)


def _inner(e: Expression, x: str) -> Expression | None:
    """What the function or power e is taken of, as far as it depends on x."""
    match e:
        case Binary("^", u, v) if u.depends_on(x) != v.depends_on(x):
            return u if u.depends_on(x) else v
        case Call("log", (u, base)):
            return None if base.depends_on(x) else u
        case Call(_f, (u,)):
            return u
    return None


def _around(e: Expression, x: str, letter: Name) -> Expression:
    """The function or power e, taken of the letter."""
    if isinstance(e, Binary):
        return e.with_parts(*(letter if part.depends_on(x) else part for part in e.parts))
    return e.with_parts(letter, *e.parts[1:])
