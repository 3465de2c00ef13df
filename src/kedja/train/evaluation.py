"""Evaluate and predict: whole data sets through a model, in batches of one size, averaged exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kedja.data.check import check_array, check_labels
from kedja.engines import Engine, choose, get_engine
from kedja.engines.engine import Program
from kedja.errors import DataError, GraphError, ShapeError
from kedja.graph.dtypes import get_default_dtype
from kedja.graph.node import Tensor
from kedja.graph.trace import Graph, trace
from kedja.nn.losses import Loss
from kedja.nn.model import Module
from kedja.ops import OPS
from kedja.train.metrics import LIKELIHOODS, Metric, link_of
from kedja.train.step import Batch, evaluation_graph
from kedja.train.training import training_of

__all__ = ["Evaluator", "as_inputs", "as_targets", "decide", "evaluator", "output_shape", "predict", "probabilities"]

Array = np.ndarray[Any, Any]
ROWS = 1024
SMALL = 2e8  # multiply-adds below which NumPy is done before XLA has compiled


def model_dtype(model: Module) -> Any:
    """The floating-point type the model computes in."""
    own = model.state.of_kind("trainable", "statistic").values()
    return next((v.dtype for v in own), model.dtype or get_default_dtype())


def as_inputs(model: Module, x: Any, name: str = "x", learning: bool = False) -> list[Array]:
    """The inputs as arrays the model can take: one, or one per input of a model with several (given as a tuple)."""
    parts = list(x) if isinstance(x, tuple) else [x]
    dtype = model_dtype(model)
    arrays = [
        check_array(_plain(p), name if len(parts) == 1 else f"{name}[{i}]", dtype=dtype, learning=learning)
        for i, p in enumerate(parts)
    ]
    for a in arrays[1:]:
        if len(a) != len(arrays[0]):
            raise DataError(f"the inputs have {len(arrays[0])} and {len(a)} rows: they must be equally many")
    shapes = model.input_shapes or model.known_shapes()
    if shapes and len(shapes) != len(arrays):
        raise DataError(
            f"the model has {len(shapes)} inputs and {name} has {len(arrays)}: give a tuple, one array for each"
        )
    for a, s in zip(arrays, shapes, strict=False):
        if a.ndim != len(s):
            fix = " Give a single example as x[None]." if a.ndim == len(s) - 1 else ""
            raise ShapeError(f"{name} has shape {a.shape}, and the model was built for inputs of shape {s}.{fix}")
    return arrays


def _plain(values: Any) -> Any:
    return values.numpy() if isinstance(values, Tensor) else values


def as_targets(
    model: Module, y: Any, rows: int, loss: Loss | None, outputs: tuple[int, ...], name: str = "y",
    learning: bool = False,
) -> Array:  # fmt: skip
    """The targets as an array: as many as rows, labels inside the range the outputs have."""
    array: Array = check_array(_plain(y), name, dtype=model_dtype(model), keep_integers=True, learning=learning)
    if len(array) != rows:
        raise DataError(
            f"{name.replace('y', 'x')} has {rows} rows and {name} has {len(array)}: "
            "there must be one target for each row."
        )
    if loss is not None and loss.name == "cross_entropy" and array.ndim == 1 and len(outputs) == 2 and outputs[-1] > 1:
        array = check_labels(array, outputs[-1])
    elif loss is not None and loss.name == "cross_entropy" and len(outputs) > 1 and array.shape[1:] == outputs[1:]:
        bad = (array < 0).any(-1) | (abs(array.sum(-1) - 1) > 1e-3)
        off = np.flatnonzero(bad.reshape(rows, -1).any(1))
        if off.size:
            raise DataError(
                f"cross_entropy needs rows of {name} that are probabilities (at least 0, adding up to 1), "
                f"and row {off[0]} is {array[off[0]].tolist()}. Use labels, or kj.data.one_hot(labels, {outputs[-1]})."
            )
    if loss is not None and loss.name == "binary_cross_entropy":
        wrong = np.flatnonzero((array.reshape(rows, -1) < 0).any(1) | (array.reshape(rows, -1) > 1).any(1))
        if wrong.size:
            raise DataError(
                f"binary_cross_entropy needs targets from 0 to 1, and row {wrong[0]} of {name} has {array[wrong[0]]}. "
                "For more than two classes use 'cross_entropy' with one output per class."
            )
    return array


def output_shape(model: Module, inputs: Sequence[Array]) -> tuple[int, ...]:
    """The shape of the output for these inputs; found by tracing, nothing is computed."""
    shapes = [a.shape for a in inputs]
    flat = any(len(s) == 1 for s in shapes)
    column = ShapeError(f"x has shape {shapes[0]}: one number a row is a column, x.reshape(-1, 1)") if flat else None
    try:
        graph = trace(lambda *xs: model(*xs), [(a.shape, a.dtype) for a in inputs])
    except ShapeError as error:
        raise (column or error) from None
    if len(graph.outputs) != 1:
        raise GraphError(
            f"fit and evaluate work on models with one output; this one has {len(graph.outputs)}. "
            "Add up their losses yourself, in a function for kj.compile that takes kj.grad of the sum."
        )
    if column is not None and graph.outputs[0].shape[:1] != shapes[0]:
        raise column
    return graph.outputs[0].shape


def evaluator(
    model: Module, loss: Loss | None, metrics: Sequence[Metric], x: Sequence[Array], y: Array, weights: Array | None,
    engine: str | Engine,
) -> Evaluator:  # fmt: skip
    """An Evaluator for these data; its program is kept with the model and serves again for the same shapes."""
    work = len(y) * sum(v.size for v in model.parameters)
    name: Any = "reference" if engine == "auto" and work < SMALL else engine
    rows = min(len(y), ROWS)
    batch = Batch(x, y, rows, weights is not None, padded=True)
    programs = training_of(model).programs
    key = (repr(loss), tuple(metrics), batch.key(), name if isinstance(name, str) else name.name)
    if key not in programs:
        graph = evaluation_graph(model, loss, metrics, batch)
        programs[key] = choose(name, graph).program(graph)
    return Evaluator(programs[key], loss, metrics, [*x, y] + ([] if weights is None else [weights]), rows)


class Evaluator:
    """The mean loss and metrics of one data set, again and again: batches lie ready, the program is compiled."""

    def __init__(
        self, program: Program, loss: Loss | None, metrics: Sequence[Metric], arrays: Sequence[Array], rows: int
    ) -> None:  # fmt: skip
        self.program, self.loss, self.metrics = program, loss, list(metrics)
        self.batches = [_padded(arrays, at, rows) for at in range(0, len(arrays[0]), rows)]

    def __call__(self) -> dict[str, float]:
        sums: Any = 0.0
        state = [v.raw for v in self.program.variables]
        for batch in self.batches:
            _, outputs = self.program(state, batch)
            sums = sums + np.array([np.asarray(o, np.float64) for o in outputs])
        names = (["loss"] if self.loss is not None else []) + [m.name for m in self.metrics]
        finish = ([float] if self.loss is not None else []) + [m.finish for m in self.metrics]
        scale = 1.0 if self.loss is not None and self.loss.reduction == "sum" else sums[0]
        means = [sums[1] / scale, *(sums[2:] / sums[0])] if self.loss is not None else list(sums[1:] / sums[0])
        return {n: float(f(v)) for n, f, v in zip(names, finish, means, strict=True)}


def _padded(arrays: Sequence[Array], at: int, rows: int) -> list[Array]:
    """`rows` rows from `at`, the last one repeated where there are fewer, and the mask of the real ones."""
    real = min(rows, len(arrays[0]) - at)
    found = [a[at : at + real] for a in arrays]
    if real < rows:
        found = [np.concatenate([f, np.repeat(f[-1:], rows - real, 0)]) for f in found]
    return [*found, np.arange(rows) < real]


def predict(model: Module, x: Any, engine: str | Engine = "auto", cache: dict[Any, Any] | None = None) -> Any:
    """The model's raw output for every row; a tuple of arrays when it has several outputs."""
    model.expect_weights()
    inputs = as_inputs(model, x)
    n = len(inputs[0])
    rows = min(n, ROWS)
    work = n * sum(v.size for v in model.parameters)
    name = ("reference" if work < SMALL else "auto") if engine == "auto" else engine
    key = (name, rows, tuple((a.shape[1:], a.dtype.name) for a in inputs))
    cache = {} if cache is None else cache
    if key not in cache:
        graph: Graph = trace(lambda *xs: model(*xs), [((rows, *a.shape[1:]), a.dtype) for a in inputs])
        cache[key] = (get_engine(name) if name != "auto" else choose("auto", graph)).program(graph)
    program: Program = cache[key]
    state = [v.raw for v in program.variables]
    parts: list[list[Array]] = []
    for at in range(0, n, rows):
        real = min(rows, n - at)
        _, outputs = program(state, _padded(inputs, at, rows)[:-1])
        parts.append([np.asarray(o)[:real] for o in outputs])
    whole = [np.concatenate(p) for p in zip(*parts, strict=True)]
    return whole[0] if program.graph.structure is ... else tuple(whole)


def probabilities(model: Module, raw: Array, loss: str | None) -> Array:
    """Probabilities from the raw output: as they are after sigmoid or softmax, else from the logits of the loss."""
    link = _link(model, raw, loss)
    if link == "probabilities":
        return raw
    if link == "logits":
        return np.asarray(_apply("sigmoid" if loss == "binary_cross_entropy" else "softmax", raw))
    raise GraphError(
        "predict_proba: the output of the model is no probability, and its loss "
        f"({loss or 'none yet'}) does not make it one. End it with activation='sigmoid' or 'softmax', "
        f"or train it with {' or '.join(LIKELIHOODS)}."
    )


def _apply(name: str, raw: Array) -> Array:
    with np.errstate(all="ignore"):
        value: Array = OPS[name].compute(raw, **({"axis": raw.ndim - 1} if name == "softmax" else {}))
    return value


def _link(model: Module, raw: Array, loss: str | None) -> str:
    graph = trace(lambda *xs: model(*xs), [((2, *s[1:]), model_dtype(model)) for s in input_shapes(model)])
    return link_of(graph.outputs[0], loss)


def input_shapes(model: Module) -> list[tuple[Any, ...]]:
    """The shapes of the inputs the model was built for."""
    shapes = model.input_shapes or list(model.known_shapes())
    if not shapes:
        raise GraphError("the model has not met its input yet: fit it, or build it with a shape")
    return shapes


def decide(model: Module, raw: Array, loss: str | None) -> Array:
    """The class of each row: the largest output, or for a single output more likely than not (0 or 1)."""
    if raw.ndim > 1 and raw.shape[-1] > 1:
        best: Array = raw.argmax(-1)
        return best
    single = raw.reshape(len(raw))
    return (single > (0.0 if _link(model, raw, loss) == "logits" else 0.5)).astype(np.int64)
