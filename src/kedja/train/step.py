"""One training step, and one step of evaluation, as graphs: what both engines run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kedja.diff import grad
from kedja.graph.node import Tensor, placeholder
from kedja.graph.trace import Graph, trace
from kedja.graph.variables import State, Variable
from kedja.nn.layers import Denormalize
from kedja.nn.losses import Loss
from kedja.nn.model import Module
from kedja.ops import cast, mean, random, where
from kedja.ops import sum as total
from kedja.optim import Optimizer
from kedja.train.metrics import Metric, link_of

__all__ = ["Batch", "evaluation_graph", "losses_of", "training_graph"]


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
        return [mean(e) for e in each]
    whole = total(weight)
    whole = where(whole == 0, 1.0, whole)  # a batch of rows that all weigh nothing teaches nothing
    return [total(e * weight) / whole for e in each]


def training_graph(
    model: Module,
    loss: Loss,
    optimizer: Optimizer,
    memory: State,
    metrics: Sequence[Metric],
    batch: Batch,
    parameters: Mapping[str, Variable],
) -> Graph:
    """Forward, backward and update. Inputs: the batch, the optimiser's scalars, the key of the run.

    Outputs: the loss, each metric, and for weighted rows their total weight.
    """
    nodes = batch.placeholders()
    dtype = next(iter(parameters.values())).dtype
    scalars = [placeholder((), dtype, name) for name in optimizer.scalars]
    key = placeholder((2,), "uint32", "key")

    def step(*inputs: Tensor) -> list[Tensor]:
        xs, t, weight = _unpacked(batch, inputs[: len(nodes)], dtype)
        here = random.fold(inputs[-1], memory["optimizer.steps"])
        y = model(*xs, training=True, key=here)
        each = losses_of(model, loss, t, y)
        link = link_of(y, loss.name)
        values = _averages([each, *(m.per_example(t, y, link) for m in metrics)], weight)
        aim = values[0]
        if loss.reduction == "sum":
            aim = total(each if weight is None else each * weight)
        gradients = grad(aim, list(parameters.values()))
        optimizer.with_scalars(inputs[len(nodes) : -1]).update(parameters, gradients, memory)
        found = [aim, *values[1:]]
        return found if weight is None or not batch.weighted else [*found, total(weight)]

    return trace(step, [*nodes, *scalars, key])


def evaluation_graph(model: Module, loss: Loss | None, metrics: Sequence[Metric], batch: Batch) -> Graph:
    """Outputs: Σw, Σwℓ, and Σw·metric of one batch, to be added up over batches; statistics are not touched."""
    nodes = batch.placeholders()

    def step(*inputs: Tensor) -> list[Tensor]:
        dtype = next((v.dtype for v in model.parameters), np.dtype(np.float32))
        xs, t, weight = _unpacked(batch, inputs, dtype)
        y = model(*xs, training=False)
        each = [losses_of(model, loss, t, y)] if loss is not None else []
        link = link_of(y, loss.name if loss is not None else None)
        each += [m.per_example(t, y, link) for m in metrics]
        assert weight is not None
        return [total(weight), *(total(e * weight) for e in each)]

    return trace(step, nodes)
