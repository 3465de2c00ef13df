"""A node written as mathematics, in text or TeX (scope 1.4)."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from kedja.graph.node import CONSTANT, VARIABLE, Tensor, ancestors
from kedja.ops.notation import ATOM, SUM, Notation

__all__ = ["formula", "tex", "text"]

LONG = 160  # a shared part longer than this is written once and given a name
GREEK = {
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi",
    "pi", "rho", "sigma", "tau", "phi", "chi", "psi", "omega",
}  # fmt: skip


def text(node: Tensor) -> str:
    """The formula of a node, as plain text.

    >>> import kedja as kj
    >>> x = kj.Parameter(2.0, name="x")
    >>> kj.sin(x * x).text(), kj.grad(kj.sin(x * x), x).text()
    ('sin(x * x)', '2 * cos(x * x) * x')
    """
    return formula(node, "text")


def tex(node: Tensor) -> str:
    r"""The formula of a node, as LaTeX.

    >>> import kedja as kj
    >>> kj.exp(-kj.Parameter(1.0, name="x")).tex()
    'e^{-x}'
    """
    return formula(node, "tex")


def formula(node: Tensor, style: str, names: dict[Tensor, str] | None = None) -> str:
    """The formula in one style. Parts that are long and used more than once get a name and follow after "where"."""
    order = ancestors([node])
    uses: dict[Tensor, int] = {}
    for n in order:
        for x in n.inputs:
            uses[x] = uses.get(x, 0) + 1
    written: dict[Tensor, tuple[str, int]] = {}
    named: list[str] = []
    counts: dict[str, int] = {}
    for n in order:
        if names and n in names:
            written[n] = names[n], ATOM
            continue
        if not n.inputs and n.is_leaf:
            written[n] = leaf(n, style) or (unnamed(n, style, counts), ATOM)
            continue
        notation: Notation = getattr(n.op, style)
        parts = [parenthesised(*written[x], notation.need(i), style) for i, x in enumerate(n.inputs)]
        body = fill(notation.template, parts, n.attrs)
        written[n] = body, notation.level
        if n.name and n is not node:
            written[n] = symbol(n.name, style), ATOM
            named.append(f"{written[n][0]} = {body}")
        elif len(body) > LONG and uses.get(n, 0) > 1:
            name = f"v{len(named) + 1}" if style == "text" else f"v_{{{len(named) + 1}}}"
            written[n] = name, ATOM
            named.append(f"{name} = {body}")
    main = written[node][0]
    if not named:
        return main
    if style == "text":
        return f"{main}  where " + "; ".join(named)
    return main + r" \quad\text{where}\quad " + r",\; ".join(named)


def fill(template: str, parts: list[str], attrs: dict[str, Any]) -> str:
    """The template with inputs and attributes put in."""
    if "{*}" in template:
        template = template.replace("{*}", ", ".join(f"{{{i}}}" for i in range(len(parts))))
    return template.format(*parts, **attrs)


def parenthesised(written: str, level: int, need: int, style: str) -> str:
    """In parentheses when it binds less tightly than needed."""
    if level >= need:
        return written
    return rf"\left({written}\right)" if style == "tex" else f"({written})"


def unnamed(node: Tensor, style: str, counts: dict[str, int]) -> str:
    """A name for a leaf that has none, counted in this formula: w1, w2 for variables, x1, x2 for inputs."""
    stem = "w" if node.op is VARIABLE else "x"
    counts[stem] = counts.get(stem, 0) + 1
    return f"{stem}{counts[stem]}" if style == "text" else f"{stem}_{{{counts[stem]}}}"


def leaf(node: Tensor, style: str) -> tuple[str, int] | None:
    """A constant's number, or a leaf's name; None when it has none."""
    if node.name:
        return symbol(node.name, style), ATOM
    if node.op is CONSTANT:
        value: np.ndarray[Any, Any] = node.attrs["value"]
        if not value.shape:
            shown = number(value, style)
            return shown, SUM if shown.startswith("-") else ATOM
        if value.size <= 4 and value.ndim == 1:
            return "[" + ", ".join(number(v, style) for v in value) + "]", ATOM
        return f"const{list(value.shape)}" if style == "text" else rf"C_{{{'×'.join(map(str, value.shape))}}}", ATOM
    return None


def number(value: Any, style: str) -> str:
    """A number as a person writes it: 2, 0.5, 1e-08."""
    if isinstance(value, np.ndarray):
        value = value[()]
    if value.dtype.kind == "b" or value.dtype.kind in "iu":
        return str(value.item())
    plain = 1e-4 <= abs(float(value)) < 1e6 or value == 0
    shown = np.format_float_positional(value, trim="-") if plain else f"{value:g}"
    if style == "tex" and "e" in shown:
        mantissa, exponent = shown.split("e")
        shown = rf"{mantissa} \cdot 10^{{{int(exponent)}}}"
    return {"inf": r"\infty", "-inf": r"-\infty"}.get(shown, shown) if style == "tex" else shown


def symbol(name: str, style: str) -> str:
    """A name, in TeX with its number as a subscript: w1 → w_{1}, theta → \\theta, dense/kernel → upright."""
    if style == "text":
        return name
    match = re.fullmatch(r"([A-Za-z]+)_?(\d+|[a-z])?", name)
    if match and (len(match[1]) == 1 or match[1] in GREEK):
        stem = "\\" + match[1] if match[1] in GREEK else match[1]
        return f"{stem}_{{{match[2]}}}" if match[2] else stem
    return r"\text{" + name.replace("_", r"\_") + "}"
