"""One training step, and one step of evaluation, as graphs: what both engines run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kedja.diff import grad
from kedja.errors import DataError
from kedja.graph.node import Tensor, placeholder, tensor
from kedja.graph.trace import Graph, trace
from kedja.graph.variables import State, Variable
from kedja.nn.layers import Denormalize
from kedja.nn.losses import Loss
from kedja.nn.model import Module
from kedja.nn.precision import Low, allowing, forward
from kedja.ops import cast, expand_dims, mean, random, sqrt, square, where
from kedja.ops import sum as total
from kedja.train.accumulation import added_up
from kedja.train.augment import blended
from kedja.train.metrics import Metric, Whole, link_of
from kedja.train.scalars import LayerScalars, Scalars

__all__ = ["WEIGHT", "Batch", "columns", "evaluation_graph", "losses_of", "training_graph"]

WEIGHT = "weight of the rows"  # the output that says how much the rows of a step weigh together


class Batch:
    """The shapes and types of a batch: inputs, targets, whether rows have weights, whether it is padded."""

    def __init__(self, x: Sequence[Any], y: Any, rows: int, weighted: bool, padded: bool) -> None:
        self.x = [((rows, *a.shape[1:]), a.dtype) for a in x]
        self.y = ((rows, *y.shape[1:]), y.dtype)
        self.rows, self.weighted, self.padded = rows, weighted, padded

    def placeholders(self) -> list[Tensor]:
        """One input node per array, in the order a loop feeds them: x…, y, weights, mask."""
        dtype = self.x[0][1] if self.x[0][1].kind == "f" else np.dtype(np.float32)
        nodes = [placeholder(s, d, f"x{i + 1}" if len(self.x) > 1 else "x") for i, (s, d) in enumerate(self.x)]
        nodes.append(placeholder(*self.y, "t"))
        if self.weighted:
            nodes.append(placeholder((self.rows,), dtype, "weight"))
        if self.padded:
            nodes.append(placeholder((self.rows,), "bool", "real"))
        return nodes

    def key(self) -> Any:
        """What a compiled program depends on."""
        return tuple(self.x), self.y, self.rows, self.weighted, self.padded


def losses_of(model: Module, loss: Loss, targets: Tensor, output: Tensor) -> Tensor:
    """The loss of each row. With a `Denormalize` at the end it is taken in standard units, where it is well scaled."""
    if loss.reduction == "none":
        raise DataError(f'{loss.name} with reduction="none" is a number per row: train with "mean" or "sum"')
    last = model.output_layer
    if isinstance(last, Denormalize):
        return loss.per_example(last.standard(cast(targets, output.dtype)), last.standard(output))
    return loss.per_example(targets, output)


def _unpacked(batch: Batch, nodes: Sequence[Tensor], dtype: Any) -> tuple[list[Tensor], Tensor, Tensor | None]:
    """Inputs, targets, and the weight of each row (None: all 1)."""
    n = len(batch.x)
    weight: Tensor | None = None
    if batch.weighted:
        weight = cast(nodes[n + 1], dtype)
    if batch.padded:
        real = cast(nodes[-1], dtype)
        weight = real if weight is None else weight * real
    return list(nodes[:n]), nodes[n], weight


def _averages(each: Sequence[Tensor], weight: Tensor | None) -> list[Tensor]:
    if weight is None:
        return [mean(e) if e.ndim == 1 else mean(e, 0) for e in each]
    whole = _whole(weight)
    return [_weighed(e, weight) / cast(whole, e.dtype) for e in each]


def _whole(weight: Tensor) -> Tensor:
    """Σw, or 1 where that is 0: a batch of rows that all weigh nothing teaches nothing."""
    whole = total(weight)
    return where(whole == 0, 1.0, whole)


def _weighed(each: Tensor, weight: Tensor) -> Tensor:
    """Σw·e over the rows: of one number per row, or of each of several."""
    w = cast(weight, each.dtype)
    return total(each * w) if each.ndim == 1 else total(each * expand_dims(w, 1), 0)


def training_graph(
    model: Module, loss: Loss, scalars: Scalars, memory: State, metrics: Sequence[Metric], batch: Batch,
    parameters: Mapping[str, Variable], with_norm: bool = False, low: Low | None = None, micro: int | None = None,
) -> Graph:  # fmt: skip
    """Forward, backward and update. Inputs: the batch, the numbers in `scalars`, the key of the run.

    `low`: what forward and backward compute in, where it is not the type of the weights. `micro`: how many rows
    they take at a time, where that is not all of the batch. Outputs: what `columns` names.
    """
    nodes = batch.placeholders()
    dtype = next(iter(parameters.values())).dtype
    numbers = scalars.placeholders(dtype)
    key = placeholder((2,), "uint32", "key")
    wanted = list(parameters.values())

    def step(*inputs: Tensor) -> list[Tensor]:
        xs, t, weight = _unpacked(batch, inputs[: len(nodes)], dtype)
        given = scalars.given(inputs[len(nodes) : -1])
        here = random.fold(inputs[-1], memory["optimizer.steps"])

        rows = [*xs, t]
        if scalars.mixing is not None:  # then rows have a second target, and the part that the first one has
            mixed = scalars.mixing.mix(xs, random.fold(here, "mixing"), **given.mixing)
            rows, weight = mixed.rows(t, weight)

        def measured(rows: Sequence[Tensor], key: Tensor) -> list[Tensor]:
            y = forward(model, rows[: len(batch.x)], low, training=True, key=key, scalars=given.layers)
            link = link_of(y, loss.name)
            targets = rows[len(batch.x) :]

            def each(figure: Callable[[Tensor], Tensor]) -> Tensor:
                return figure(targets[0]) if len(targets) == 1 else blended(figure, *targets)

            figures = [each(lambda t: losses_of(model, loss, t, y))]
            return figures + [each(lambda t, m=m: m.per_example(t, y, link)) for m in metrics]  # type: ignore[misc]

        penalties = [r.penalty(p) for p, r in given.penalties]
        penalty = add_up(penalties) if penalties else None
        if micro is None:
            each, *others = measured(rows, here)
            values = _averages([each, *others], weight)
            if loss.reduction == "sum":
                values[0] = total(each if weight is None else each * weight)
            gradients = grad(values[0] if penalty is None else values[0] + penalty, wanted)
        else:
            values, gradients = _accumulated(measured, rows, weight, here, micro, wanted, loss.reduction == "sum")
            if penalty is not None:
                gradients = [g + p for g, p in zip(gradients, grad(penalty, wanted), strict=True)]
        found = values
        if weight is not None and batch.weighted:
            found.append(total(weight))
        if penalty is not None:
            found.append(penalty)
        if with_norm:
            found.append(sqrt(add_up([total(square(g)) for g in gradients])))
        given.optimizer.update(parameters, gradients, memory)
        return found

    return allowing(trace(step, [*nodes, *numbers, key]), low)


def _accumulated(
    measured: Callable[[Sequence[Tensor], Tensor], list[Tensor]], rows: Sequence[Tensor],
    weight: Tensor | None, key: Tensor, micro: int, wanted: Sequence[Tensor], summed: bool,
) -> tuple[list[Tensor], list[Tensor]]:  # fmt: skip
    """Averages over all rows (the loss their sum where it is `summed`) and gradients of the loss, by microbatches."""
    arrays = [*rows] if weight is None else [*rows, weight]
    whole = tensor(float(rows[0].shape[0])) if weight is None else _whole(weight)

    def one(given: Sequence[Tensor], key: Tensor) -> list[Tensor]:
        each = measured(given[: len(rows)], key)
        sums = [total(e) if e.ndim == 1 else total(e, 0) for e in each] if weight is None else [
            _weighed(e, given[-1]) for e in each
        ]  # fmt: skip
        return [*sums, *grad(sums[0] if summed else sums[0] / cast(whole, sums[0].dtype), wanted)]

    ends = added_up(one, arrays, micro, key)
    sums, gradients = ends[: -len(wanted)], ends[-len(wanted) :]
    kept = 1 if summed else 0
    return [*sums[:kept], *(s / cast(whole, s.dtype) for s in sums[kept:])], gradients


def columns(graph: Graph, metrics: Sequence[Metric], batch: Batch, penalised: bool, with_norm: bool) -> list[str]:
    """What each number is that a training step puts out; a metric of several has its name on each of them."""
    rest = [(batch.weighted, WEIGHT), (penalised, "penalty"), (with_norm, "gradient_norm")]
    names = ["loss", *(m.name for m in metrics), *(name for there, name in rest if there)]
    return [name for name, output in zip(names, graph.outputs, strict=True) for _ in range(output.size)]


def add_up(terms: Sequence[Tensor]) -> Tensor:
    """t₁ + t₂ + …"""
    whole = terms[0]
    for term in terms[1:]:
        whole = whole + term
    return whole


def evaluation_graph(
    model: Module, loss: Loss | None, metrics: Sequence[Metric], batch: Batch, low: Low | None = None
) -> Graph:  # fmt: skip
    """Outputs of one batch: Σw, Σwℓ and Σw·metric, to be added up over batches, then the scores of `Whole` metrics.

    Statistics are not touched. Inputs: the batch, then the run-time numbers of the layers.
    """
    nodes = batch.placeholders()
    dtype = next((v.dtype for v in model.parameters), np.dtype(np.float32))
    scalars = LayerScalars(model)
    numbers = [placeholder((), dtype, name) for name in scalars.names]

    def step(*inputs: Tensor) -> list[Tensor]:
        xs, t, weight = _unpacked(batch, inputs[: len(nodes)], dtype)
        y = forward(model, xs, low, training=False, scalars=scalars.given(inputs[len(nodes) :]))
        each = [losses_of(model, loss, t, y)] if loss is not None else []
        link = link_of(y, loss.name if loss is not None else None)
        each += [m.per_example(t, y, link) for m in metrics if not m.whole]
        scores = [m.scores(y, link) for m in metrics if isinstance(m, Whole)]
        assert weight is not None
        return [total(cast(weight, "float64")), *(_weighed(e, weight) for e in each), *scores]

    return allowing(trace(step, [*nodes, *numbers]), low)
