"""The derivative of a formula, rule by rule, with its value at a point and the numeric check (scope 1.3, 1.4, 1.8)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from kedja.errors import DataError
from kedja.explain.derivatives import derivation_text as shown_as
from kedja.explain.derivatives.expression import Expression
from kedja.explain.derivatives.functions import CONSTANTS, FUNCTIONS
from kedja.explain.derivatives.grammar import ExpressionError, parse, value_of
from kedja.explain.derivatives.worked import Worked
from kedja.explain.words import _

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Derivation", "derive"]


class Derivation(Worked):
    """A derivative with everything that leads to it; it prints as text, Markdown, TeX or HTML with MathML.

    `expression` is what was typed, `steps` the rules applied, `result` the tidy derivative. `node` and `gradient` are
    the graphs kedja computes with. `at` holds what is known at the point asked for, `notes` what is special there.
    `checked` is at how many places formula and graph were compared, `worst` how far apart they were at most.
    """

    def __str__(self) -> str:
        return shown_as.text(self)

    __repr__ = __str__

    def markdown(self) -> str:
        """The steps as a table in Markdown, formulas in TeX between dollar signs."""
        return shown_as.markdown(self)

    def tex(self) -> str:
        r"""The derivation as an `align*` of TeX, a line for each rule."""
        return shown_as.tex(self)

    def html(self) -> str:
        """A page of its own: formulas in MathML and the plot, all in one file, nothing loaded from elsewhere."""
        return shown_as.page(self)

    def _repr_html_(self) -> str:
        return shown_as.html(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; what is not finite is None."""
        return shown_as.plain(self)

    def plot(
        self, path: str | os.PathLike[str] | None = None, ax: Axes | None = None,
        bounds: tuple[float, float] | None = None,
    ) -> Figure:  # fmt: skip
        """The function and its derivative, and the tangent at the point; returns the Figure.

        `bounds` are the ends of the axis; default: three to either side of the point. `path` also writes a file.
        """
        return shown_as.plot(self, path, ax, bounds)


def derive(expression: str, wrt: str | None = None, at: float | str | Mapping[str, Any] | None = None) -> Derivation:
    """The derivative of an expression by the rules of calculus, each one a step.

    `wrt` is the letter to differentiate by; it may be left out where there is one letter only. `at` is where to work
    it out: a number, or a number for every letter, as in `at={"x": 2, "a": 0.5}`. The value and the slope there come
    from kedja's own graph, `kj.grad`; the steps explain it, and a central difference judges both.

    Raises ExpressionError, pointing at the character, for what the grammar does not have, and DataError where the
    function is not defined at the point or a letter has no value. Source: scope 1.3, 1.8.

    >>> print(derive("x**2 * sin(x)", at=2))
    f(x) = x**2 * sin(x)
    <BLANKLINE>
    f′(x) = d/dx[x**2 * sin(x)]
          = d/dx[x**2] * sin(x) + x**2 * d/dx[sin(x)]   product: (u v)′ = u′ v + u v′
          = 2 * x * sin(x) + x**2 * d/dx[sin(x)]        square: (x²)′ = 2 x
          = 2 * x * sin(x) + x**2 * cos(x)              sine: (sin x)′ = cos x
    <BLANKLINE>
    at x = 2
      f                    3.637189707
      f′                   1.972602361   by the graph: x**2 * cos(x) + sin(x) * 2 * x
      by the formula       1.972602361   differs from the graph by at most ... at 40 places
      by perturbation      1.972602361   (f(x + h) - f(x - h)) / 2h, differs by 2.8e-10
    """
    tree = parse(expression)
    found = Derivation(expression, tree, _letter(tree, wrt))
    values = _values(found, at)
    if values is not None:
        found.look(values)
    return found


def _letter(tree: Expression, wrt: str | None) -> str:
    if wrt is None:
        if len(tree.names) > 1:
            told = ", ".join(tree.names)
            raise DataError(_("derive: say by which letter, wrt= one of {names}").format(names=told))
        return tree.names[0] if tree.names else "x"
    if not isinstance(wrt, str) or not wrt.isidentifier() or wrt in FUNCTIONS or wrt in CONSTANTS:
        raise DataError(_("derive: wrt is a letter of the expression, got {what!r}").format(what=wrt))
    return wrt


def _values(found: Derivation, at: Any) -> dict[str, float] | None:
    """A finite number for every letter; None when no place was asked for."""
    if at is None:
        return None
    given = dict(at) if isinstance(at, Mapping) else {found.wrt: at}
    for name in given:
        if name not in found.names:
            known = ", ".join(found.names)
            raise DataError(_("derive: {name} is none of the letters {known}").format(name=name, known=known))
    missing = [n for n in found.names if n not in given]
    if missing:
        example = ", ".join(f'"{n}": {i}' for i, n in enumerate(found.names, 1))
        words = ",".join(f"{n}={i}" for i, n in enumerate(found.names, 1))
        told = _("derive: give {names} a value too, as in at={{{example}}}, on the command line --at {words}")
        raise DataError(told.format(names=", ".join(missing), example=example, words=words))
    values = {}
    for name in found.names:
        value = given[name]
        try:
            values[name] = value_of(value) if isinstance(value, str) else float(value)
        except (TypeError, ValueError) as error:
            if isinstance(error, ExpressionError):
                raise
            raise DataError(_("derive: {name} is a number, got {value!r}").format(name=name, value=value)) from None
        if not np.isfinite(values[name]):
            raise DataError(_("derive: {name} must be finite, got {value}").format(name=name, value=values[name]))
    return values
