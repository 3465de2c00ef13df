"""Optimisers from one start on one landscape: their paths, and how fast they come down (scope 4.2, 8.5)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kedja.diff import grad
from kedja.engines import get_engine
from kedja.errors import DataError, GraphError, KedjaError, ShapeError, one_of
from kedja.explain.pictures.landscapes import LANDSCAPES, Landscape
from kedja.explain.pictures.loss_surface import contours
from kedja.explain.pictures.marks import number
from kedja.explain.pictures.picture import INK, LINES, Plotted, decades, quiet, returned
from kedja.explain.show.table import Table
from kedja.explain.words import _
from kedja.graph.node import Array, Tensor, placeholder
from kedja.graph.trace import Graph, trace
from kedja.graph.variables import Parameter
from kedja.ops import reshape
from kedja.optim import SGD, Momentum, Optimizer, minimize
from kedja.optim import get as get_optimizer
from kedja.optim.minimizer import Minimizer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Race", "Runner", "race"]

ALPHAS = (0.5, 0.9, 0.99)  # of scope 4.2
NEAR = 1e-3  # of the value at the start: from there on a runner has arrived
FAR = 1e3  # in lengths of the picture: from there on it is lost
GRID = 120


class Runner(NamedTuple):
    """One optimiser: its points (steps + 1, 2), the values there, and the first step below a thousandth of the start's
    height above the lowest (None: not arrived)."""

    name: str
    rule: str
    path: Array
    values: Array
    arrived: int | None


class Race(Plotted):
    """Optimisers side by side on one function; `runners` holds their paths."""

    figure_size = (9.4, 3.9)

    def __init__(
        self, name: str, formula: str, runners: Sequence[Runner], lowest: float, minima: Sequence[tuple[float, float]],
        grid: tuple[Array, Array, Array],
    ) -> None:  # fmt: skip
        self.name, self.formula, self.runners, self.lowest = name, formula, list(runners), lowest
        self.minima, self.across, self.up, self.heights = list(minima), *grid

    def __getitem__(self, name: str) -> Runner:
        for runner in self.runners:
            if runner.name == name:
                return runner
        raise one_of("runner", name, [r.name for r in self.runners])

    @property
    def table(self) -> Table:
        """Who arrived after how many steps, and where everybody ended."""
        rows = []
        for r in self.runners:
            end = ", ".join(number(float(v), 3) for v in r.path[-1])
            lost = not np.isfinite(r.values[-1]) or _far(r.path[-1], self.across, self.up)
            arrived = _("diverged") if lost else f"{r.arrived:,}" if r.arrived is not None else _("not yet")
            rows.append((r.name, arrived, number(float(r.values[-1]), 3), f"({end})"))
        return Table((_("optimiser"), _("steps to arrive"), _("value at the end"), _("end")), rows, right=(1, 2))

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the paths and the values on them."""
        return {r.name: {"rule": r.rule, "path": r.path.tolist(), "values": r.values.tolist()} for r in self.runners}

    def paint(self, figure: Figure) -> None:
        left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
        contours(left, self.across, self.up, self.heights, self.lowest, light=True)
        for k, r in enumerate(self.runners):
            colour, dashes = LINES[k % len(LINES)]
            height = np.where(r.values > self.lowest, r.values - self.lowest, np.nan)
            right.plot(np.arange(len(height)), height, color=colour, linestyle=dashes, linewidth=1.5, label=r.name)
            # The longest path lies below the others, or it would cover them.
            length = float(np.nansum(np.linalg.norm(np.diff(r.path, axis=0), axis=1)))
            order = 2 + 1 / (1 + length)
            thin = 1.0 if length > 6 * float(np.ptp(self.across)) else 1.9
            left.plot(*r.path.T, color=colour, linewidth=thin, linestyle=dashes, zorder=order)
            left.plot(*r.path[-1], "osD^vPX"[k % 7], color=colour, markersize=6, markeredgecolor="white", zorder=4)
        start = self.runners[0].path[0]
        left.plot(*start, "s", color=INK, markersize=6, zorder=5)
        left.annotate(_("start"), start, xytext=(6, 6), textcoords="offset points", fontsize=8, color=INK, zorder=5)
        for m in self.minima:
            left.plot(*m, "*", color="white", markersize=12, markeredgecolor=INK, zorder=3.5)
        quiet(left, f"{self.name}: {self.formula}" if self.formula else self.name, xlabel="x₁", ylabel="x₂")
        left.set(xlim=(self.across[0], self.across[-1]), ylim=(self.up[0], self.up[-1]))
        quiet(right, _("height above the lowest"), xlabel=_("step"), yscale="log")
        low, high = right.get_ylim()
        top = 30 * max(float(r.values[0]) - self.lowest for r in self.runners)
        right.set_ylim(max(low, 1e-14), min(high, top))
        decades(right)
        right.minorticks_off()
        right.grid(axis="y", alpha=0.25, linewidth=0.8)
        right.legend(frameon=False, fontsize=8)


def race(
    function: Any = "valley", optimizers: Any = None, *, start: Any = None, steps: int = 200, rate: float | None = None,
    span: Any = None, path: str | os.PathLike[str] | None = None,
) -> Race:  # fmt: skip
    """Optimisers on a landscape of two numbers, from one start, in float64.

    `function`: "valley", "rosenbrock", "beale", "himmelblau", or one of your own of a tensor x with x[0] and x[1].
    `optimizers`: names or objects of kj.optim by the name they shall have, {"Adam": kj.optim.Adam(0.1)}, or a list; by
    default plain descent and momentum 0.5, 0.9 and 0.99, all at the same learning rate `rate`. A runner has arrived
    when its height above the lowest value is a thousandth of that at the start. White stars are minima.

    Raises ShapeError for a function that does not give one number, DataError for a start that is no two numbers.
    Source: scope 4.2, 8.5; Polyak 1964.

    >>> found = race("valley", steps=300)
    >>> {r.name: r.arrived for r in found.runners}
    {'plain descent': 160, 'momentum 0.5': 77, 'momentum 0.9': 36, 'momentum 0.99': None}
    """
    landscape = _landscape(function, start, span, rate)
    begin = np.asarray(landscape.start if start is None else start, dtype=np.float64)
    if begin.shape != (2,) or not np.isfinite(begin).all():
        raise DataError(f"race: the start is two numbers, got {start!r}")
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise DataError(f"race: steps is a whole number, at least 1; got {steps!r}")
    rules = _rules(optimizers, landscape.rate)
    across, up = (np.linspace(*s, GRID) for s in landscape.span)
    heights = _heights(landscape.function, across, up)
    paths = {name: _run(landscape.function, rule, begin, steps, (across, up)) for name, rule in rules.items()}
    every = [heights.ravel(), *(values for _p, values in paths.values())]
    lowest = 0.0 if landscape.minima else float(np.nanmin(np.concatenate(every)))
    runners = []
    for name, (points, values) in paths.items():
        near = np.flatnonzero(values - lowest <= NEAR * (values[0] - lowest))
        runners.append(Runner(name, repr(rules[name]), points, values, int(near[0]) if near.size else None))
    found = Race(landscape.name, landscape.formula, runners, lowest, landscape.minima, (across, up, heights))
    return returned(found, path)


def _landscape(function: Any, start: Any, span: Any, rate: float | None) -> Landscape:
    if isinstance(function, str):
        if function not in LANDSCAPES:
            raise one_of("landscape", function, LANDSCAPES)
        known = LANDSCAPES[function]
    elif callable(function):
        if start is None or (span is None and np.shape(start) != (2,)):
            raise DataError("race: a function of your own needs start=(x₁, x₂)")
        x, y = (float(v) for v in start)
        reach = 1.5 * max(abs(x), abs(y), 1.0)
        box = ((-reach, reach), (-reach, reach))
        name = getattr(function, "__name__", "f")
        known = Landscape("f" if name == "<lambda>" else name, function, (), (x, y), box, 0.01, "")
    else:
        raise GraphError(f"race: takes a landscape's name or a function, got {type(function).__name__}")
    box = known.span
    if span is not None:
        (left, right), (lower, upper) = span
        box = ((float(left), float(right)), (float(lower), float(upper)))
    at = known.rate if rate is None else float(rate)
    return Landscape(known.name, known.function, known.minima, known.start, box, at, known.formula)


def _rules(optimizers: Any, rate: float) -> dict[str, Optimizer]:
    if optimizers is None:
        rules: dict[str, Optimizer] = {_("plain descent"): SGD(rate)}
        return rules | {_("momentum {alpha:g}").format(alpha=a): Momentum(rate, a) for a in ALPHAS}
    if isinstance(optimizers, Mapping):
        return {str(name): get_optimizer(rule) for name, rule in optimizers.items()}
    several = optimizers if isinstance(optimizers, list | tuple) else [optimizers]
    if not several:
        raise DataError("race: there is no optimiser")
    found: dict[str, Optimizer] = {}
    for rule in map(get_optimizer, several):
        name = type(rule).__name__
        found[name if name not in found else repr(rule)] = rule
    return found


def _run(
    function: Callable[[Tensor], Tensor], rule: Optimizer, start: Array, steps: int, box: tuple[Array, Array]
) -> tuple[Array, Array]:
    """The points of one optimiser and the values there; it ends early where it is lost."""
    if isinstance(rule, Minimizer):
        found = minimize(function, start, method=rule, iterations=steps, path=True, dtype="float64", engine="reference")
        assert found.path is not None
        points = np.array(found.path)
        return points, np.array([_value(function, p) for p in points])
    x = Parameter(start, "x", dtype="float64")
    memory = rule.make_slots({"x": x})

    def step() -> Tensor:
        value = _one(function(x))
        rule.update({"x": x}, [grad(value, x)], memory)
        return value

    program = get_engine("reference").program(trace(step, []))
    held = {v: np.array(v.value) for v in program.variables}
    updated = [v for v, _node in program.graph.updates]
    trodden, values = [start], []
    with np.errstate(all="ignore"):
        for k in range(steps + 1):
            new, (value,) = program([held[v] for v in program.variables], [])
            values.append(float(value))
            if k == steps or not np.isfinite(value) or _far(trodden[-1], *box):
                break
            held |= dict(zip(updated, map(np.asarray, new), strict=True))
            trodden.append(np.array(held[x]))
    return np.array(trodden), np.array(values)


def _one(value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise GraphError(f"race: the function gave {value!r}, which does not depend on x through kedja's ops")
    if value.size != 1:
        raise ShapeError(f"race: the function must give one number, got shape {value.shape}")
    return reshape(value, ())


def _value(function: Callable[[Tensor], Tensor], point: Array) -> float:
    x = placeholder((2,), "float64")
    program = get_engine("reference").program(Graph([x], [_one(function(x))]))
    return float(program([], [point])[1][0])


def _heights(function: Callable[[Tensor], Tensor], across: Array, up: Array) -> Array:
    """The function on the grid, all places at once where it allows that, else one by one."""
    a, b = np.meshgrid(across, up)
    points = np.stack([a.ravel(), b.ravel()])
    try:
        every = placeholder(points.shape, "float64")
        node = function(every)
        if node.shape == points.shape[1:]:
            with np.errstate(all="ignore"):
                found = get_engine("reference").program(Graph([every], [node]))([], [points])[1][0]
            if _same(float(found[0]), _value(function, points[:, 0])):
                return np.asarray(found).reshape(a.shape)
    except (KedjaError, AttributeError):
        pass  # it works on two numbers alone
    x = placeholder((2,), "float64")
    node = _one(function(x))
    program = get_engine("reference").program(Graph([x], [node]))
    with np.errstate(all="ignore"):
        single = [float(program([], [np.array(p)])[1][0]) for p in points.T]
    return np.array(single).reshape(a.shape)


def _same(a: float, b: float) -> bool:
    return bool(np.isclose(a, b, rtol=1e-12, atol=0, equal_nan=True))


def _far(point: Array, across: Array, up: Array) -> bool:
    reach = max(across[-1] - across[0], up[-1] - up[0])
    return not np.isfinite(point).all() or bool(np.abs(point).max() > FAR * reach)
