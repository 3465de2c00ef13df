r"""Reads the TeX in which a formula is printed, and computes it: what the documentation says is held against the code.

Known are numbers, + − and products without a sign, \frac, \sqrt, powers, |x|, definitions by cases, the functions in
`FUNCTIONS` and letters; further definitions follow the formula after `, \quad`.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import special, stats

TOKEN = re.compile(r"\\operatorname\{[a-z]+\}|\\[a-zA-Z]+|\d+\.?\d*|[a-zA-Z]|[-+/(){}^|,]")
FUNCTIONS = {
    r"\max": np.maximum, r"\min": np.minimum, r"\tanh": np.tanh, r"\ln": np.log, r"\sigma": special.expit,
    r"\Phi": stats.norm.cdf, r"\varphi": stats.norm.pdf, r"\operatorname{erf}": special.erf,
}  # fmt: skip
COMPARISONS = {"<": np.less, ">": np.greater, r"\leq": np.less_equal, r"\geq": np.greater_equal}


def computed(tex: str, known: Mapping[str, Any]) -> Any:
    """The value of a formula for these values of its letters; both sides of a = b must be the same."""
    if not tex.startswith(r"\begin{cases}"):
        tex, *definitions = tex.split(r", \quad ")
        for definition in definitions:
            letter, body = definition.split(" = ")
            known = {**known, letter: computed(body, known)}
    else:
        inside = tex.removeprefix(r"\begin{cases}").removesuffix(r"\end{cases}")
        lines = [line.split("&") for line in inside.split(r"\\")]
        conditions = [holds(condition.split(r", \quad")[0].strip(), known) for _, condition in lines]
        return np.select(conditions, [computed(value.strip(), known) * np.ones_like(known["x"]) for value, _ in lines])
    first, *others = [Reader(side, known).whole() for side in tex.split(" = ")]
    for other in others:
        np.testing.assert_allclose(other, first, rtol=1e-12, atol=1e-12)
    return first


def holds(condition: str, known: Mapping[str, Any]) -> Any:
    """Where a condition such as 0 < x < 6 is true."""
    if condition == r"\text{else}":
        return np.ones(known["x"].shape, bool)
    parts = re.split(r"(<|>|\\leq|\\geq)", condition)
    values = [Reader(side.strip(), known).whole() for side in parts[::2]]
    found = [COMPARISONS[sign](a, b) for sign, a, b in zip(parts[1::2], values, values[1:], strict=False)]
    return np.logical_and.reduce(found)


class Reader:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, tex: str, known: Mapping[str, Any]) -> None:
        rest = re.sub(r"\\,|\\left(?=[(|])|\\right(?=[)|])|\s", " ", tex)
        self.tokens, self.known = TOKEN.findall(rest), {"e": math.e, r"\pi": math.pi, **known}
        assert "".join(self.tokens) == rest.replace(" ", ""), f"cannot read {tex!r}"

    def whole(self) -> Any:
        """All of it."""
        value = self.sum()
        assert not self.tokens, f"left over: {self.tokens}"
        return value

    def take(self, token: str) -> None:
        """The next token, which must be this one."""
        assert self.tokens.pop(0) == token

    def sum(self) -> Any:
        """Products with signs between them."""
        negative = self.tokens[0] == "-"
        if negative:
            self.tokens.pop(0)
        value = -self.product() if negative else self.product()
        while self.tokens and self.tokens[0] in "+-":
            sign = self.tokens.pop(0)
            value = value + self.product() if sign == "+" else value - self.product()
        return value

    def product(self) -> Any:
        """Factors side by side, or with a stroke between them."""
        value = self.factor()
        while self.tokens and self.tokens[0] not in ("+", "-", ")", "}", ",", "|"):
            if self.tokens[0] == "/":
                self.take("/")
                value = value / self.factor()
            else:
                value = value * self.factor()
        return value

    def factor(self) -> Any:
        """An atom, perhaps to a power."""
        value = self.atom()
        if self.tokens and self.tokens[0] == "^":
            self.take("^")
            value = value ** self.group()
        return value

    def group(self) -> Any:
        """What stands in braces."""
        self.take("{")
        value = self.sum()
        self.take("}")
        return value

    def atom(self) -> Any:
        """A number, letter, bracket, fraction, root or function."""
        token = self.tokens.pop(0)
        if token in FUNCTIONS:
            return self.function(token)
        if token == r"\frac":
            return self.group() / self.group()
        if token == r"\sqrt":
            return np.sqrt(self.group())
        if token in "(|":
            value = self.sum()
            self.take(")" if token == "(" else "|")
            return value if token == "(" else np.abs(value)
        return float(token) if token[0].isdigit() else self.known[token]

    def function(self, name: str) -> Any:
        """A function of what follows: arguments in brackets, or the next factor."""
        power = None
        if self.tokens[0] == "^":
            self.take("^")
            power = self.group()
        arguments = []
        if self.tokens[0] == "(":
            while self.tokens.pop(0) in "(,":
                arguments.append(self.sum())
                if self.tokens[0] == ")":
                    self.take(")")
                    break
        else:
            arguments.append(self.factor())
        value = FUNCTIONS[name](*arguments)
        return value if power is None else value**power
