"""A derivative worked out: its steps, its graphs, and what is known of it at a point (scope 1.3, 1.4, 1.8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from kedja.diff import grad, numeric_gradient
from kedja.errors import DataError
from kedja.explain.derivatives.expression import Binary, Call, Expression
from kedja.explain.derivatives.functions import FUNCTIONS
from kedja.explain.derivatives.notation import shown
from kedja.explain.derivatives.rules import Step, steps
from kedja.explain.derivatives.tidy import tidy
from kedja.explain.words import _
from kedja.graph.node import Array, Tensor, placeholder, tensor
from kedja.graph.trace import Graph

__all__ = ["Point", "Worked"]

SAMPLES, SPREAD = 40, 3.0  # places at which the formula is held against the graph
KINKED = ("abs", "relu", "sign", "step")


class Point(NamedTuple):
    """What is known at one place: the value, the slope by kedja's graph, by the formula, and by perturbation.

    `numeric` is None where the function is not defined on both sides. `left` and `right` are the slopes on each side.
    """

    values: dict[str, float]
    value: float
    slope: float
    by_formula: float
    numeric: float | None
    left: float
    right: float

    @property
    def smooth(self) -> bool:
        """Whether the slopes on both sides agree, as far as a small step can tell."""
        return bool(abs(self.left - self.right) <= 1e-2 * max(1.0, abs(self.left), abs(self.right)))


class Worked:
    """A derivative with everything that leads to it, as data; `Derivation` shows it."""

    def __init__(self, source: str, expression: Expression, wrt: str) -> None:
        self.source, self.expression, self.wrt = source, expression, wrt
        self.steps: list[Step] = steps(expression, wrt)
        self.raw = self.steps[-1].whole
        self.result = tidy(self.raw)
        names = list(dict.fromkeys([wrt, *expression.names]))
        self.inputs = {name: placeholder((), "float64", name) for name in names}
        self.node = _node(expression, self.inputs)
        self.gradient: Tensor = grad(self.node, self.inputs[wrt])
        self.at: Point | None = None
        self.notes: list[str] = []
        self.checked, self.worst = self._compared()

    @property
    def names(self) -> list[str]:
        """The letters: the one it is differentiated by, then the others."""
        return list(self.inputs)

    def slopes(self, values: Mapping[str, Any]) -> tuple[Array, Array]:
        """f and f′ by the graph, at many places: an array for the letter, arrays or numbers for the others."""
        at = np.asarray(values[self.wrt], np.float64)
        inputs = {
            n: tensor(np.broadcast_to(np.asarray(values[n], np.float64), at.shape), "float64") for n in self.names
        }
        y = _node(self.expression, inputs)
        y = y + 0 * inputs[self.wrt] if y.shape != at.shape else y
        with np.errstate(all="ignore"):
            graph: Any = Graph((), [y, grad(y.sum(), inputs[self.wrt])])
            f, g = graph.run([])
        return np.asarray(f), np.asarray(g)

    def _compared(self) -> tuple[int, float]:
        """The formula against the graph at seeded places, where the function and both are defined."""
        rng = np.random.default_rng(0)
        values = {n: rng.uniform(-SPREAD, SPREAD, SAMPLES) for n in self.names}
        values = {n: np.where(np.arange(SAMPLES) % 2, np.abs(v), v) for n, v in values.items()}
        with np.errstate(all="ignore"):
            f, by_graph = self.slopes(values)
            off = np.abs(self.result.at(values) - by_graph) / np.maximum(1.0, np.abs(by_graph))
        off = off[np.isfinite(off) & np.isfinite(f)]
        return len(off), float(off.max(initial=0.0))

    def look(self, values: dict[str, float]) -> None:
        """Work out everything at one place."""
        _defined(self.expression, values)
        x = values[self.wrt]
        inputs = {n: tensor(v, "float64", name=n) for n, v in values.items()}
        y = _node(self.expression, inputs)
        with np.errstate(all="ignore"):
            slope = float(grad(y, inputs[self.wrt]).numpy())
            central = float(numeric_gradient(y, inputs[self.wrt]))
        h = 1e-6 * max(1.0, abs(x))
        f = [float(self.expression.at({**values, self.wrt: x + k * h})) for k in (-1, 0, 1)]
        self.at = Point(
            values, f[1], slope, float(self.result.at(values)), central if np.isfinite(central) else None,
            (f[1] - f[0]) / h, (f[2] - f[1]) / h,
        )  # fmt: skip
        self.notes = _notes(self.expression, self.at, self.wrt)


def _node(expression: Expression, inputs: Mapping[str, Tensor]) -> Tensor:
    made = expression.graph(inputs)
    return made if isinstance(made, Tensor) else tensor(made, "float64")


def _defined(e: Expression, values: Mapping[str, float]) -> None:
    """DataError that names the innermost part which has no value here."""
    if np.isfinite(e.at(values)):
        return
    bad = next((part for part in e.parts if not np.isfinite(part.at(values))), None)
    if bad is not None:
        return _defined(bad, values)
    where = ", ".join(f"{n} = {shown(v)}" for n, v in values.items())
    why = _("the number is too large")
    if isinstance(e, Call) and np.isnan(e.at(values)) | bool(FUNCTIONS[e.function].domain):
        u = e.arguments[0]
        why = _("{f} takes {domain}, and {u} is {value}").format(
            f=e.function, domain=_(FUNCTIONS[e.function].domain), u=u, value=shown(float(u.at(values)))
        )
    elif isinstance(e, Binary) and e.sign == "/" and e.right.at(values) == 0:
        why = _("it divides by {v}, which is 0").format(v=e.right)
    elif isinstance(e, Binary) and e.sign == "^":
        base, exponent = (shown(float(p.at(values))) for p in e.parts)
        why = _("{base} to the power {exponent} is no real number").format(base=base, exponent=exponent)
    raise DataError(_("derive: {part} is not defined at {where}: {why}.").format(part=e, where=where, why=why))


def _notes(e: Expression, at: Point, wrt: str) -> list[str]:
    """What is special here: kinks and their convention, a slope that is no number, one side only."""
    notes: list[str] = []
    here = f"{wrt} = {shown(at.values[wrt])}"
    for part in e.walk():
        if isinstance(part, Call) and part.function in KINKED and part.depends_on(wrt):
            u = part.arguments[0]
            if u.at(at.values) == 0:
                kind = _("a jump") if part.function in ("sign", "step") else _("a kink")
                told = _("{part} has {kind} where {u} = 0, as it is at {here}; kedja's convention is {f}′(0) = 0.")
                notes.append(told.format(part=part, kind=kind, u=u, here=here, f=part.function))
    if np.isnan(at.slope):
        told = _("The graph's rules give nan at {here}: they multiply ∞ by 0. Put together, the formula gives {slope}.")
        notes.append(told.format(here=here, slope=shown(at.by_formula)))
    elif np.isinf(at.slope):
        notes.append(_("f has no finite slope at {here}: its tangent is upright.").format(here=here))
    if at.numeric is None:
        notes.append(
            _("f is defined on one side of {here} only: perturbation has nothing to compare.").format(here=here)
        )
    elif not at.smooth:
        told = _("The slope from the left is {left}, from the right {right}; perturbing to both sides gives {both}.")
        sides = (f"{side:.5g}" for side in (at.left, at.right, at.numeric))
        notes.append(told.format(**dict(zip(("left", "right", "both"), sides, strict=True))))
    return notes
