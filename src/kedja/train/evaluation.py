"""Evaluate and predict: whole data sets through a model, in batches of one size, averaged exactly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from kedja.data.check import check_array
from kedja.engines import Engine, choose, get_engine, known_as
from kedja.engines.engine import Program
from kedja.errors import DataError, GraphError, ShapeError
from kedja.graph.dtypes import get_default_dtype
from kedja.graph.node import Tensor
from kedja.graph.trace import Graph, trace
from kedja.nn.layers.embedding import Embedding
from kedja.nn.losses import Loss
from kedja.nn.model import Module
from kedja.nn.precision import Low, allowing, check_precision, forward
from kedja.ops import OPS
from kedja.ops.indexing import first_outside, out_of_range, read_as_positions
from kedja.ops.linalg import product
from kedja.train.adapting import coded, entrance
from kedja.train.metrics import LIKELIHOODS, Metric, Whole, link_of
from kedja.train.metrics.metric import threshold
from kedja.train.scalars import LayerScalars
from kedja.train.step import Batch, evaluation_graph
from kedja.train.training import training_of

__all__ = ["Evaluator", "as_inputs", "as_targets", "decide", "evaluator", "output_shape", "predict", "probabilities"]

Array = np.ndarray[Any, Any]
ROWS = 1024
SMALL = 2e8  # multiply-adds below which NumPy is done before XLA has compiled


def model_dtype(model: Module) -> Any:
    """The floating-point type the model computes in."""
    own = (v.dtype for _, v in model.variables_by_path() if v.kind in ("trainable", "statistic"))
    return next(own, model.dtype or get_default_dtype())


def as_inputs(model: Module, x: Any, name: str = "x", learning: bool = False) -> list[Array]:
    """The inputs as arrays the model can take: one, or one per input of a model with several (given as a tuple)."""
    parts = list(x) if isinstance(x, tuple) else [coded(model, x, name)]
    dtype, front = model_dtype(model), entrance(model)
    missing = front is not None and front.takes_missing
    names = [name] if len(parts) == 1 else [f"{name}[{i}]" for i in range(len(parts))]
    arrays = [
        check_array(_plain(part), own, dtype=dtype, learning=learning, missing=missing)
        for part, own in zip(parts, names, strict=True)
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
    return array if loss is None else loss.check_targets(array, outputs, name)


def output_shape(model: Module, inputs: Sequence[Array], keep: bool = False) -> tuple[int, ...]:
    """The shape of the output for these inputs; found by tracing, nothing is computed.

    `keep`: the model stays as it is, so the newest graph is kept with it and serves again for the same shapes.
    """
    shapes = [a.shape for a in inputs]
    flat = any(len(s) == 1 for s in shapes)
    column = ShapeError(f"x has shape {shapes[0]}: one number a row is a column, x.reshape(-1, 1)") if flat else None
    specs = tuple([(a.shape, a.dtype) for a in inputs])
    training = training_of(model)
    if keep and training.traced is not None and training.traced[0] == specs:
        graph = training.traced[1]
    else:
        try:
            graph = trace(lambda *xs: model(*xs), specs)
        except ShapeError as error:
            raise (column or error) from None
        training.traced = (specs, graph) if keep else None
    if len(graph.outputs) != 1:
        raise GraphError(
            f"fit and evaluate work on models with one output; this one has {len(graph.outputs)}. "
            "Add up their losses yourself, in a function for kj.compile that takes kj.grad of the sum."
        )
    if column is not None and graph.outputs[0].shape[:1] != shapes[0]:
        raise column
    check_positions(model, graph, inputs)
    return graph.outputs[0].shape


def check_positions(model: Module, graph: Graph, inputs: Sequence[Array]) -> None:
    """Refuse rows that hold positions outside their table (embeddings): inside a loop nobody would look at them."""
    positions = read_as_positions(graph.order)
    if not positions:
        return
    given = dict(zip(graph.inputs, inputs, strict=False))  # run-time numbers may follow the rows
    tables: dict[Tensor, tuple[str, Embedding]] = {
        layer.table: (path, layer) for path, layer in model.layers_by_path() if isinstance(layer, Embedding)
    }
    for node, reader, n in positions:
        array = given.get(node)
        if array is None:
            continue
        if reader.inputs[0] in tables:
            path, layer = tables[reader.inputs[0]]
            try:
                layer.expect_positions(array)
            except DataError as error:
                raise DataError(f'Embedding "{path}": {error}') from None
        outside = first_outside(array, n)
        if outside is not None:
            row = int(np.argwhere(array == outside)[0][0])
            source = f"\n  at {reader.source}" if reader.source else ""
            raise DataError(f"row {row} of the input: {out_of_range(outside, n)}{source}")


def evaluator(
    model: Module, loss: Loss | None, metrics: Sequence[Metric], x: Sequence[Array], y: Array, weights: Array | None,
    engine: str | Engine, low: Low | None = None,
) -> Evaluator:  # fmt: skip
    """An Evaluator for these data; its program is kept with the model and serves again for the same shapes."""
    rows = min(len(y), ROWS)
    batches = -(-len(y) // max(rows, 1))
    batch = Batch(x, y, rows, weights is not None, padded=True)
    program = measuring(model, loss, metrics, batch, batches, engine, low)
    return Evaluator(model, program, loss, metrics, x, y, weights, rows)


def measuring(
    model: Module, loss: Loss | None, metrics: Sequence[Metric], batch: Batch, batches: int, engine: str | Engine,
    low: Low | None = None,
) -> Program:  # fmt: skip
    """The program that evaluates batches like this one, of which there are so many; kept with the model."""
    programs = training_of(model).programs
    measured = (loss.structure() if loss is not None else None, tuple(m.structure() for m in metrics))
    key = (*measured, batch.key(), batches > 1, known_as(engine), low)
    if key not in programs:
        graph = evaluation_graph(model, loss, metrics, batch, low)
        programs[key] = suited(engine, graph, batches).program(graph)
    found: Program = programs[key]
    return found


class Evaluator:
    """The mean loss and metrics of one data set, again and again: batches lie ready, the program is compiled."""

    def __init__(
        self, model: Module, program: Program, loss: Loss | None, metrics: Sequence[Metric], x: Sequence[Array],
        y: Array, weights: Array | None, rows: int,
    ) -> None:  # fmt: skip
        self.scalars = LayerScalars(model)
        self.program, self.loss, self.metrics = program, loss, list(metrics)
        self.y, self.weights = y, np.ones(len(y)) if weights is None else weights
        arrays = [*x, y] + ([] if weights is None else [weights])
        self.batches = [_padded(arrays, at, rows) for at in range(0, len(arrays[0]), rows)]

    def rows_in_batches(self) -> Iterable[list[Array]]:
        """The batches, one after the other."""
        return self.batches

    def __call__(self) -> dict[str, float]:
        state = [v.raw for v in self.program.variables]
        summed = 1 + (self.loss is not None) + sum(not m.whole for m in self.metrics)
        sums: list[Any] = [0.0] * summed
        scores: list[list[Array]] = []
        numbers = self.scalars.values()
        for batch in self.rows_in_batches():
            _, outputs = self.program(state, [*batch, *numbers])
            sums = [s + np.asarray(o, np.float64) for s, o in zip(sums, outputs, strict=False)]
            scores.append([np.asarray(o)[np.asarray(batch[-1])] for o in outputs[summed:]])
        found: dict[str, float] = {}
        weight, *rest = sums
        if self.loss is not None:
            found["loss"] = float(rest.pop(0) / (1.0 if self.loss.reduction == "sum" else weight))
        whole = iter([np.concatenate(parts) for parts in zip(*scores, strict=True)])
        for m in self.metrics:
            if isinstance(m, Whole):
                found[m.name] = float(m.figure(self.y, next(whole), self.weights))
            else:
                found[m.name] = float(m.finish(rest.pop(0) / weight))
        return found


def _padded(arrays: Sequence[Array], at: int, rows: int) -> list[Array]:
    """`rows` rows from `at`, the last one repeated where there are fewer, and the mask of the real ones."""
    real = min(rows, len(arrays[0]) - at)
    found = [a[at : at + real] for a in arrays]
    if real < rows:
        found = [np.concatenate([f, np.repeat(f[-1:], rows - real, 0)]) for f in found]
    return [*found, np.arange(rows) < real]


def predict(
    model: Module, x: Any, engine: str | Engine = "auto", cache: dict[Any, Any] | None = None, precision: Any = None
) -> Any:
    """The model's raw output for every row; a tuple of arrays when it has several outputs."""
    low = check_precision(precision, model_dtype(model))
    model.expect_weights()
    inputs = as_inputs(model, x)
    n = len(inputs[0])
    rows = min(n, ROWS)
    program, numbers = predicting(model, inputs, rows, -(-n // max(rows, 1)), engine, cache, low)
    check_positions(model, program.graph, inputs)
    state = [v.raw for v in program.variables]
    parts: list[list[Array]] = []
    for at in range(0, n, rows):
        real = min(rows, n - at)
        _, outputs = program(state, [*_padded(inputs, at, rows)[:-1], *numbers])
        parts.append([np.asarray(o)[:real] for o in outputs])
    whole = [np.concatenate(p) for p in zip(*parts, strict=True)]
    return whole[0] if program.graph.structure is ... else tuple(whole)


def predicting(
    model: Module, inputs: Sequence[Array], rows: int, batches: int, engine: str | Engine,
    cache: dict[Any, Any] | None, low: Low | None,
) -> tuple[Program, list[float]]:  # fmt: skip
    """The program that predicts `rows` rows like these at a time, so many times, and the run-time numbers it takes."""
    name = known_as(engine)
    scalars = LayerScalars(model)
    key = (name, low, rows, batches > 1, tuple(scalars.names), tuple((a.shape[1:], a.dtype.name) for a in inputs))
    cache = {} if cache is None else cache
    if key not in cache:
        specs: list[Any] = [((rows, *a.shape[1:]), a.dtype) for a in inputs]
        k = len(specs)
        graph: Graph = trace(
            lambda *xs: forward(model, xs[:k], low, scalars=scalars.given(xs[k:])),
            [*specs, *(((), model_dtype(model)) for _ in scalars.names)],
        )
        cache[key] = suited(engine, graph, batches).program(allowing(graph, low))
    program: Program = cache[key]
    return program, list(scalars.values())


def suited(engine: str | Engine, graph: Graph, times: int) -> Engine:
    """The engine asked for; for "auto" NumPy where it is done with all of it before XLA has compiled."""
    if known_as(engine)[0] == "auto" and work(graph) * times < SMALL:
        return get_engine("reference")
    return choose(engine, graph)


def work(graph: Graph) -> float:
    """About how many multiply-adds a graph is: for products, the length of their sums times the size of the result."""
    found = 0.0
    for node in graph.order:
        if node.inputs and node.op.kind == "bilinear":
            kernel = node.inputs[1]
            sums = kernel.size / max(kernel.shape[-1], 1) if kernel.ndim else 1
            found += (
                max(node.size, node.inputs[0].size) * sums
                if node.op is not product
                else (node.size * node.inputs[0].shape[-1])
            )
        elif not node.is_leaf and node.op.runs_graphs:
            found += work(node.attrs["body"]) * node.attrs["length"]
        else:
            found += node.size
    return found


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
    return (single > threshold(_link(model, raw, loss))).astype(np.int64)
