"""Evaluate and predict on data that are read while they are used: the next rows come while these are computed on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np

from kedja.data.batches import Batches
from kedja.data.source import Source
from kedja.engines import Engine
from kedja.errors import DataError
from kedja.nn.losses import Loss
from kedja.nn.model import Module
from kedja.nn.precision import Low
from kedja.train.ahead import one_ahead
from kedja.train.evaluation import (
    ROWS,
    Evaluator,
    as_inputs,
    as_targets,
    evaluator,
    measuring,
    output_shape,
    predicting,
)
from kedja.train.metrics import Metric, Whole
from kedja.train.scalars import LayerScalars
from kedja.train.step import Batch
from kedja.train.stream import Feed, sample

__all__ = ["StreamEvaluator", "judge_of", "predict_stream"]

Array = np.ndarray[Any, Any]
BYTES = 16 << 20  # of the rows that go through the model at once
MANY = 1 << 20  # batches, where nobody knows how many


class StreamEvaluator(Evaluator):
    """The mean loss and metrics of a source or of batches; like `Evaluator`, but rows are read each time."""

    def __init__(
        self, model: Module, loss: Loss | None, metrics: Sequence[Metric], data: Source | Batches,
        engine: str | Engine, low: Low | None = None, weights: Array | None = None,
    ) -> None:  # fmt: skip
        x, y = sample(data)
        if y is None:
            raise DataError(f"{data.name} has no targets to compare with.")
        inputs = as_inputs(model, x)
        outputs = output_shape(model, inputs)
        targets = as_targets(model, y, len(inputs[0]), loss, outputs)
        weighted = weights is not None or (isinstance(data, Batches) and data.peek().weight is not None)
        self.feed = Feed(model, data, inputs, targets, loss, outputs, weights, weighted)
        self.rows = rows_at_once(self.feed, len(inputs[0]))
        batch = Batch(inputs, targets, self.rows, weighted, padded=True)
        self.scalars, self.loss, self.metrics = LayerScalars(model), loss, list(metrics)
        self.program = measuring(model, loss, metrics, batch, batches_of(data, self.rows), engine, low)
        self.keeps = any(isinstance(m, Whole) for m in metrics)
        self.y, self.weights = targets, np.ones(0)

    def rows_in_batches(self) -> Iterator[list[Array]]:
        """The rows, with the mask of those that are real; their targets are kept where a metric wants all of them."""
        kept: list[tuple[Array, Array]] = []
        with closing(one_ahead(self.feed.passes(self.rows), "rows")) as passes:
            for arrays, real in passes:
                if self.keeps:
                    weight = arrays[-1][:real] if self.feed.weighted else np.ones(real)
                    kept.append((arrays[self.feed.inputs][:real].copy(), weight.copy()))
                yield [*arrays, np.arange(self.rows) < real]
        self.feed.data.close()
        if self.keeps:
            self.y, self.weights = (np.concatenate(parts) for parts in zip(*kept, strict=True))


def judge_of(
    model: Module, loss: Loss | None, metrics: Sequence[Metric], held_out: Any, engine: str | Engine,
    low: Low | None = None,
) -> Evaluator:  # fmt: skip
    """What evaluates these held-out rows: arrays (inputs, targets, weights), a source or batches."""
    if isinstance(held_out, Source | Batches):
        return StreamEvaluator(model, loss, metrics, held_out, engine, low)
    x, y, weights = held_out
    return evaluator(model, loss, metrics, x, y, weights, engine, low)


def predict_stream(
    model: Module, data: Source | Batches, engine: str | Engine, cache: dict[Any, Any], low: Low | None
) -> Any:
    """The model's raw output for every row of a source or of batches (x, or (x, y) whose y is passed over)."""
    model.expect_weights()
    x, _ = sample(data)
    inputs = as_inputs(model, x)
    feed = Feed(model, data, inputs, None, None, ())
    rows = rows_at_once(feed, len(inputs[0]))
    program, numbers = predicting(model, inputs, rows, batches_of(data, rows), engine, cache, low)
    state = [v.raw for v in program.variables]
    parts: list[list[Array]] = []
    with closing(one_ahead(feed.passes(rows), "rows")) as passes:
        for arrays, real in passes:
            _, outputs = program(state, [*arrays, *numbers])
            parts.append([np.array(o[:real]) for o in map(np.asarray, outputs)])
    data.close()
    whole = [np.concatenate(p) for p in zip(*parts, strict=True)]
    return whole[0] if program.graph.structure is ... else tuple(whole)


def rows_at_once(feed: Feed, first: int) -> int:
    """How many rows go through the model at a time: as many as of arrays, unless they are large."""
    if isinstance(feed.data, Batches):
        return first
    return min(feed.data.rows, max(1, min(ROWS, BYTES // max(feed.row_bytes, 1))))


def batches_of(data: Source | Batches, rows: int) -> int:
    """How often `rows` rows go through the model, about."""
    if isinstance(data, Source):
        return -(-data.rows // rows)
    return data.expected or MANY
