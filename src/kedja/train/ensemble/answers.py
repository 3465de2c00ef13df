"""What several networks say to the same rows: every member's outputs and figures, in one program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from kedja.engines import Engine, known_as
from kedja.errors import GraphError
from kedja.graph.node import Tensor
from kedja.graph.trace import trace
from kedja.nn.losses import Loss, logits_of
from kedja.nn.model import Module
from kedja.train.ensemble.stacking import Stacked, lanes, side_by_side, values_of, variables_of
from kedja.train.evaluation import ROWS, _padded, as_inputs, check_positions, model_dtype, suited
from kedja.train.metrics import Metric, Whole, link_of
from kedja.train.scalars import LayerScalars
from kedja.train.step import Batch, evaluation_graph

__all__ = ["Answers", "Judge", "answers"]

Array = np.ndarray[Any, Any]


class Answers(NamedTuple):
    """What the members say: (members, rows, …), pre-activations where a sigmoid or softmax comes last."""

    raw: Array
    ending: str | None  # "sigmoid" or "softmax", when the model ends in one
    link: str  # what the outputs are, see `link_of`


class Many:
    """A graph of one network compiled for several, in groups that run side by side."""

    def __init__(self, models: Sequence[Module], graph: Any, data: int, engine: Engine) -> None:
        self.models, self.data = list(models), data
        self.groups = lanes(len(models), engine.name)
        paths = {v: path for path, v in variables_of(models[0]).items()}
        self.made: dict[int, tuple[Any, Stacked]] = {}
        for group in self.groups:
            if len(group) not in self.made:
                stacked = Stacked(graph, paths, len(group), data, together=True, verdict=False)
                self.made[len(group)] = engine.program(stacked.graph), stacked

    def __call__(self, batches: Sequence[Sequence[Array]], numbers: Sequence[Sequence[float]]) -> list[list[Array]]:
        """For each batch every output, (members, …)."""
        states = self.states()
        columns = [np.asarray([numbers[k] for k in group], np.float64).T for group in self.groups]
        found: list[list[Array]] = []
        for batch in batches:
            tasks = [
                lambda g=g, s=s, c=c: self.made[len(g)][0](s, [*batch, *c])[1]  # noqa: B023  (called at once)
                for g, s, c in zip(self.groups, states, columns, strict=True)
            ]  # fmt: skip
            first = [tasks.pop(0)()] if not found else []  # compiles: once, not in every thread
            parts = first + (side_by_side(tasks) if tasks else [])
            found.append([np.concatenate([np.asarray(p) for p in several]) for several in zip(*parts, strict=True)])
        return found

    def states(self) -> list[list[Any]]:
        """The present values of each group."""
        made = []
        for group in self.groups:
            program, stacked = self.made[len(group)]
            own = [variables_of(self.models[k]) for k in group]
            made.append(values_of(program.variables, stacked.paths, own))
        return made


def answers(models: Sequence[Module], x: Any, engine: str | Engine, cache: dict[Any, Any]) -> Answers:
    """What every model says to every row; the program is kept in `cache`."""
    first = models[0]
    for model in models:
        model.expect_weights()
    inputs = as_inputs(first, x)
    n = len(inputs[0])
    rows = min(n, ROWS)
    scalars = [LayerScalars(model) for model in models]
    name = known_as(engine)
    key = ("outputs", tuple(map(id, models)), name, rows, n > rows, *((a.shape[1:], a.dtype.name) for a in inputs))
    if key not in cache:
        specs: list[Any] = [((rows, *a.shape[1:]), a.dtype) for a in inputs]
        k, ends = len(specs), []

        def outputs(*xs: Tensor) -> Tensor:
            y = first(*xs[:k], scalars=scalars[0].given(xs[k:]))
            if not isinstance(y, Tensor):
                raise GraphError("an ensemble is of models with one output; this one has several")
            z = logits_of(y)
            ends.append((None if z is None else "softmax" if y.op.name == "softmax" else "sigmoid", y))
            return y if z is None else z

        graph = trace(outputs, [*specs, *(((), model_dtype(first)) for _ in scalars[0].names)])
        chosen = suited(engine, graph, -(-n // max(rows, 1)) * len(models))
        cache[key] = Many(models, graph, k, chosen), graph, ends[0]
    program, graph, (ending, y) = cache[key]
    check_positions(first, graph, inputs)
    batches = [_padded(inputs, at, rows)[:-1] for at in range(0, n, rows)]
    parts = program(batches, [s.values() for s in scalars])
    whole = np.concatenate([p[0] for p in parts], axis=1)[:, :n]
    return Answers(whole, ending, link_of(y, None))


class Judge:
    """The loss and metrics of every member on one data set, again and again."""

    def __init__(
        self, models: Sequence[Module], loss: Loss | None, metrics: Sequence[Metric], x: Sequence[Array], y: Array,
        weights: Array | None, engine: str | Engine,
    ) -> None:  # fmt: skip
        self.models, self.loss, self.metrics = list(models), loss, list(metrics)
        self.y, self.weights = y, np.ones(len(y)) if weights is None else weights
        rows = min(len(y), ROWS)
        arrays = [*x, y] + ([] if weights is None else [weights])
        self.batches = [_padded(arrays, at, rows) for at in range(0, len(y), rows)]
        batch = Batch(x, y, rows, weights is not None, padded=True)
        graph = evaluation_graph(models[0], loss, metrics, batch)
        chosen = suited(engine, graph, len(self.batches) * len(models))
        self.program = Many(models, graph, len(arrays) + 1, chosen)

    def __call__(self) -> list[dict[str, float]]:
        """The figures of each member."""
        found = self.program(self.batches, [LayerScalars(model).values() for model in self.models])
        return [self.figures([[o[k] for o in outputs] for outputs in found]) for k in range(len(self.models))]

    def figures(self, outputs: Sequence[Sequence[Array]]) -> dict[str, float]:
        """One member's figures, from its outputs of every batch: Σw, Σwℓ, Σw·metric, then scores of rows."""
        summed = 1 + (self.loss is not None) + sum(not m.whole for m in self.metrics)
        weight, *rest = (sum(np.asarray(o[i], np.float64) for o in outputs) for i in range(summed))
        found: dict[str, float] = {}
        if self.loss is not None:
            found["loss"] = float(rest.pop(0) / (1.0 if self.loss.reduction == "sum" else weight))
        scores = [
            np.concatenate([o[i][b[-1]] for o, b in zip(outputs, self.batches, strict=True)])
            for i in range(summed, len(outputs[0]))
        ]
        for m in self.metrics:
            if isinstance(m, Whole):
                found[m.name] = float(m.figure(self.y, scores.pop(0), self.weights))
            else:
                found[m.name] = float(m.finish(rest.pop(0) / weight))
        return found
