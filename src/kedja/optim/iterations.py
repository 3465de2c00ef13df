"""Iterations of a minimiser, with the surface of an engine's loop: so `fit` runs them as it runs steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kedja.engines.choice import choose
from kedja.engines.engine import Engine, LoopResult
from kedja.graph.trace import Graph
from kedja.graph.variables import State, Variable
from kedja.ops.random import fold_array
from kedja.optim.minimizer import GRADIENT, PREFIX, STEPS, Memory, Minimizer, Point

__all__ = ["MinimizerLoop"]

Array = np.ndarray[Any, Any]


class MinimizerLoop:
    """A loop whose steps are iterations of a minimiser.

    The graph is a training step: its first output is the loss, the one called "penalty" is added to it, and its updates
    are the gradient and the statistics of layers. Inside the counter of steps is held at 0, so that dropout draws one
    mask for the whole run: a search along a line needs one function. A row of the table tells of the point after an
    iteration; it has one number more than the graph puts out, the number of evaluations so far.
    """

    padded = ordered = False

    def __init__(
        self, rule: Minimizer, graph: Graph, memory: State, parameters: Sequence[Variable], engine: str | Engine,
        columns: Sequence[str] = ("loss",),
    ) -> None:  # fmt: skip
        self.rule, self.graph, self.memory, self.parameters = rule, graph, memory, list(parameters)
        self.penalty = list(columns).index("penalty") if "penalty" in columns else None
        pure = Graph(graph.inputs, graph.ends)  # without updates: nothing is written before a point is taken
        self.program = choose(engine, pure).program(pure)
        self.report = self.program.report
        self.variables = list(dict.fromkeys([*graph.variables, *self.parameters, *memory.values()]))
        self.reason: str | None = None  # why the last run stopped before its end
        self._known: tuple[list[Any], list[Any], Point] | None = None

    def put(self, array: Any) -> Any:
        self._known = None  # other data: the loss that is known is another's
        return self.program.put(array)

    def run(
        self, state: Sequence[Any], data: Sequence[Any], order: Any, arguments: Sequence[Any], start: int, stop: int
    ) -> LoopResult:
        values = dict(zip(self.variables, state, strict=True))
        slots = {path.removeprefix(PREFIX): v for path, v in self.memory.items() if path != GRADIENT}
        memory = {name: np.asarray(values[v]) for name, v in slots.items()}
        rule: Any = self.rule.with_scalars([float(a) for a in arguments[: len(self.rule.scalars)]])
        key = fold_array(np.asarray(arguments[-1]), "minimiser")
        calls = 0

        def evaluate(x: Array) -> Point:
            nonlocal calls
            calls += 1
            return self.point(x, values, [*data, *arguments])

        point = self.begin(values, data, arguments)
        calls = 0 if int(memory["steps"]) else 1  # a point asked for again because a run goes on is no new one
        self.reason, rows, done = None, [], start
        while done < stop and self.reason is None:
            done += 1
            if not point.finite:
                rows.append([*point.rest[0], float(memory["evaluations"]) + calls])
                return LoopResult([values[v] for v in self.variables], np.array(rows), done, False)
            here = fold_array(key, int(memory["steps"]))
            point, memory, self.reason = rule.iterate(evaluate, point, memory, here)
            memory = memory | {"steps": memory["steps"] + 1, "evaluations": memory["evaluations"] + calls}
            calls = 0
            rows.append([*point.rest[0], float(memory["evaluations"])])
            self.take(point, memory, values)
        self._known = [values[p] for p in self.parameters], [*data, *arguments], point
        table = np.array(rows, np.float64).reshape(len(rows), sum(o.size for o in self.graph.outputs) + 1)
        return LoopResult([values[v] for v in self.variables], table, done, True)

    def point(self, x: Array, values: Mapping[Variable, Any], inputs: Sequence[Any]) -> Point:
        """The loss and the gradient where the parameters are `x` and all else is as in `values`."""
        here = {**values, **self.parted(x), self.memory[STEPS]: np.zeros((), np.int64)}
        _, ends = self.program([here[v] for v in self.program.variables], inputs)
        n = len(self.graph.outputs)
        row = [float(number) for e in ends[:n] for number in np.ravel(np.asarray(e))]
        written = {v: e for (v, _), e in zip(self.graph.updates, ends[n:], strict=True)}
        gradient = written.pop(self.memory[GRADIENT], None) if GRADIENT in self.memory else None
        loss = row[0] + (row[self.penalty] if self.penalty is not None else 0.0)
        return Point(x, loss, None if gradient is None else np.asarray(gradient), (row, written))

    def parted(self, x: Array) -> dict[Variable, Array]:
        """The vector, cut into the parameters."""
        ends = np.cumsum([p.size for p in self.parameters])
        parts = np.split(x, ends[:-1])
        return {p: part.reshape(p.shape).astype(p.dtype) for p, part in zip(self.parameters, parts, strict=True)}

    def take(self, point: Point, memory: Memory, values: dict[Variable, Any]) -> None:
        """Move to a point: parameters, what layers counted there, and the memory."""
        values.update(self.parted(point.x))
        values.update(point.rest[1])
        if point.gradient is not None:
            values[self.memory[GRADIENT]] = point.gradient
        for path, variable in self.memory.items():
            if path != GRADIENT:
                values[variable] = np.asarray(memory[path.removeprefix(PREFIX)], variable.dtype)

    def begin(self, values: Mapping[Variable, Any], data: Sequence[Any], arguments: Sequence[Any]) -> Point:
        """The point where the parameters are: the one a run ended in, unless something was changed since."""
        weights = [values[p] for p in self.parameters]
        if self._known is not None:
            known, given, point = self._known
            rest = zip(arguments, given[len(data) :], strict=True)
            same = all(a is b for a, b in zip([*weights, *data], [*known, *given], strict=False))
            if same and all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in rest):
                return point
        point = self.point(np.concatenate([np.ravel(np.asarray(w)) for w in weights]), values, [*data, *arguments])
        self._known = weights, [*data, *arguments], point
        return point
