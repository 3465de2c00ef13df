"""One pass through a model, as a graph, with the calls of its layers: what most pictures of a model begin with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kedja.errors import DataError, GraphError
from kedja.explain.backpropagation.calls import Call
from kedja.explain.backpropagation.record import ready
from kedja.explain.show.writing import seen_through
from kedja.graph.node import Array, Tensor, placeholder, tensor
from kedja.nn.layers.call import watching
from kedja.nn.layers.layer import Layer
from kedja.nn.losses import Loss
from kedja.nn.model import Module
from kedja.ops import mean
from kedja.ops import sum as total
from kedja.train.evaluation import as_inputs, input_shapes, model_dtype
from kedja.train.step import losses_of

__all__ = ["Pass", "as_model", "passed"]


@dataclass
class Pass:
    """Inputs, output, calls in order, and with a target the loss: `each` of a row, `goal` what training lowers."""

    inputs: list[Tensor]
    output: Tensor
    calls: list[Call]
    target: Tensor | None = None
    loss: Loss | None = None
    goal: Tensor | None = None


def as_model(model: Any, who: str) -> Module:
    """The model, or an error that says what came."""
    if not isinstance(model, Module):
        raise GraphError(f"{who}: takes a model, kj.Sequential([...]) or another; got {type(model).__name__}")
    return model


def passed(model: Any, x: Any = None, y: Any = None, loss: Any = None, *, who: str) -> Pass:
    """The model applied to `x` (one example or several), in inference; without `x` to a stand-in for one example."""
    model = as_model(model, who)
    chosen, target = None, None
    if y is not None:
        if x is None:
            raise DataError(f"{who}: a target y goes with an example x")
        arrays, targets, chosen, _rule = ready(model, x, y, loss, None, 0)
        target = tensor(targets, dtype=targets.dtype, name="t")
    elif x is not None:
        model.expect_weights()
        arrays = as_inputs(model, batched(model, x))
    else:
        arrays = []
    given = [tensor(a, dtype=a.dtype, name="x" if len(arrays) == 1 else f"x{i + 1}") for i, a in enumerate(arrays)]
    if x is None:
        model.expect_weights()
        given = [placeholder((1, *s[1:]), model_dtype(model), "x") for s in input_shapes(model)]
    calls: list[Call] = []

    def watch(layer: Layer, path: str, xs: Any, out: Any) -> None:
        if isinstance(out, Tensor) and path and not any(isinstance(v, Layer) for _name, v in layer.members()):
            calls.append(Call(layer, path, tuple(n for n in xs if isinstance(n, Tensor)), out))

    with watching(watch):
        output = model(*given)
    if not isinstance(output, Tensor):
        raise GraphError(f"{who}: takes a model with one output")
    found = Pass(given, output, calls, target, chosen)
    if chosen is not None and target is not None:
        each = losses_of(model, chosen, target, output)
        found.goal = seen_through(mean(each) if chosen.reduction == "mean" else total(each))
    return found


def batched(model: Module, x: Any) -> Any:
    """The inputs, a single example made a batch of one."""
    if isinstance(x, tuple):
        return x
    array: Array = np.asarray(x.numpy() if isinstance(x, Tensor) else x)
    shapes = model.input_shapes or model.known_shapes()
    return array[None] if shapes and array.ndim == len(shapes[0]) - 1 else array
