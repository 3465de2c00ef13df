"""Looking a model over: one call of it on a graph, and what each layer in it took, gave, and costs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from kedja.errors import GraphError, KedjaError, one_of
from kedja.graph.dtypes import get_default_dtype
from kedja.graph.node import Tensor, ancestors, bind
from kedja.graph.trace import trace
from kedja.graph.variables import Variable
from kedja.nn.counting import multiply_adds
from kedja.nn.layers.call import watching
from kedja.nn.layers.layer import Layer, trainable
from kedja.nn.losses import logits_of
from kedja.nn.model import Module, with_batch
from kedja.nn.summary import Row, Summary

__all__ = ["summarised"]

ITSELF = "(the model itself)"


class Survey:
    """The layers that were called in one call of a model, in order, with what stands in the table about each."""

    def __init__(self, names: Sequence[str], inputs: Sequence[Tensor], batch: int) -> None:
        self.batch = batch
        self.layers: dict[str, tuple[Layer, Any]] = {}  # by path: the layer, and the output of its first call
        self.sources: dict[str, dict[str, None]] = {}
        self.work: dict[str, int] = {}
        self.widths: list[int] = [_units(x, batch) for x in inputs]
        self.made: dict[Tensor, tuple[str, int]] = dict(zip(inputs, [(n, 1) for n in names], strict=True))
        self.counted: set[Tensor] = set()

    def look(self, layer: Layer, path: str, inputs: Any, output: Any) -> None:
        """One call of a layer is done; layers inside it were told of before it."""
        given, outputs = _tensors(inputs), _tensors(output)
        inside = [n for n in ancestors(outputs, given) if n not in self.counted and n not in set(given)]
        self.counted.update(inside)
        self.work[path] = self.work.get(path, 0) + multiply_adds(inside)
        if not path or not _shown(layer):
            return
        self.layers.setdefault(path, (layer, output))
        found = [self.source(x) for x in given]
        self.sources.setdefault(path, {}).update((name, None) for f in found for name, _ in f)
        level = max((n for f in found for _, n in f), default=1)
        if has_units(layer):
            level += 1
            units = getattr(layer, "units", None)  # a recurrent layer has the same ones in every step
            self.widths.append(units if isinstance(units, int) else _units(outputs[0], self.batch))
        self.made.update((y, (path, level)) for y in outputs)

    def source(self, x: Tensor) -> list[tuple[str, int]]:
        """Which layers (or inputs) a value comes from, and how many layers of units lie up to there."""
        found: dict[str, int] = {}
        seen: set[Tensor] = set()
        stack = [x]
        while stack:
            node = stack.pop()
            if node in self.made:
                name, level = self.made[node]
                found[name] = max(level, found.get(name, 0))
            elif node not in seen:
                seen.add(node)
                stack.extend(node.inputs)
        return list(found.items())

    def depth(self, outputs: Sequence[Tensor]) -> int:
        """Layers of units on the longest way, the input counted."""
        return max((n for y in outputs for _, n in self.source(y)), default=1)


def summarised(model: Module, shapes: Sequence[Any], layout: str, batch_size: int | None) -> Summary:
    """The Summary of a model for inputs of these shapes; a model not built yet is not built after it either."""
    if layout not in ("hwc", "chw"):
        raise one_of("layout", layout, ("chw", "hwc"))
    whole = isinstance(batch_size, int) and not isinstance(batch_size, bool)
    if batch_size is not None and (not whole or batch_size < 1):
        raise GraphError(
            f"summary: batch_size is the rows of one training step, at least 1, or None; got {batch_size!r}"
        )
    if model.built and model.input_shapes:
        shapes = model.input_shapes
    shapes = shapes or model.known_shapes()
    if not shapes:
        raise GraphError(
            f"{model.title} has not met its input yet: say its shape, as in net.summary((None, 784)), or fit it first. "
            "The first axis is that of the examples; images are net.summary((None, 28, 28, 1))."
        )
    own = model.state.of_kind("trainable", "statistic").values()
    dtype = next((v.dtype for v in own), model.dtype or get_default_dtype())
    sizes = [with_batch(s) for s in shapes]
    n = sizes[0][0] if sizes[0] else 1
    undo = None if model.built else model.restore_point()
    found: list[Survey] = []

    def called(*xs: Tensor) -> Any:
        found.append(Survey(_input_names(model, len(xs)), xs, n))
        with watching(found[0].look):
            return model(*xs)

    try:
        graph = trace(called, [(s, dtype) for s in sizes])
        survey = found[0]
        learning = set(trainable(model).values())

        def row(path: str, layer: Layer, output: Any) -> Row:
            vars_ = [v for _, v in layer.members() if isinstance(v, Variable) and v.kind == "trainable"]
            return Row(
                path or ITSELF, type(layer).__name__, _shape(output, n, layout), sum(v.size for v in vars_),
                sum(v.size for v in vars_ if v in learning), survey.work.get(path, 0) // n,
                tuple(survey.sources.get(path, ())),
            )  # fmt: skip

        rows = [row(path, layer, output) for path, (layer, output) in survey.layers.items()]
        if any(v.kind == "trainable" for _, v in model.members() if isinstance(v, Variable)):
            rows.append(row("", model, graph.outputs[0]))
        parameters = {v for v in model.state.values() if v.kind == "trainable"}
        memory = None
        if batch_size is not None and learning:
            with suppress(KedjaError):  # what cannot be trained (an op without a derivative) can still be looked at
                memory = model.training_memory(batch_size=batch_size)
        return Summary(
            model.name or type(model).__name__, rows, sum(v.size for v in parameters),
            sum(v.size for v in parameters & learning), _kept(model) + _notes(graph.outputs),
            multiply_adds=multiply_adds(graph.order) // n, depth=survey.depth(graph.outputs), width=max(survey.widths),
            activations=sum(_numbers(output, n) for _, output in survey.layers.values()),
            weight_bytes=sum(v.size * v.dtype.itemsize for v in model.state.values()), memory=memory,
            batch_size=batch_size,
        )  # fmt: skip
    finally:
        if undo is not None:
            undo()


def has_units(layer: Layer) -> bool:
    """Whether a layer is one of units, joined to those before by weights: it has a matrix, or a kernel, of its own."""
    return any(isinstance(v, Variable) and v.kind == "trainable" and v.ndim > 1 for _, v in layer.members())


def _shown(layer: Layer) -> bool:
    """Layers made of others are shown by these, unless they have variables of their own."""
    members = [value for _, value in layer.members()]
    return not any(isinstance(v, Layer) for v in members) or any(isinstance(v, Tensor) for v in members)


def _input_names(model: Module, n: int) -> list[str]:
    given = [s.name for s in getattr(model, "_inputs", [])]
    plain = ["input"] if n == 1 else [f"input {i + 1}" for i in range(n)]
    return [name or other for name, other in zip(given or plain, plain, strict=True)]


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [t for v in value for t in _tensors(v)] if isinstance(value, list | tuple) else []


def _units(x: Tensor, batch: int) -> int:
    """How many numbers x holds for each example."""
    return x.size // batch if x.shape[:1] == (batch,) else x.size


def _numbers(output: Any, batch: int) -> int:
    return sum(_units(t, batch) for t in _tensors(output))


def _shape(output: Any, batch: int, layout: str) -> Any:
    if not isinstance(output, Tensor):
        return tuple(_shape(o, batch, layout) for o in output)
    shape = output.shape
    if layout == "chw" and len(shape) >= 4:
        shape = (shape[0], shape[-1], *shape[1:-1])
    return (None, *shape[1:]) if shape[:1] == (batch,) else shape


def _kept(model: Module) -> list[str]:
    """What it keeps besides parameters (batch norm's mean and variance), which peers count as not trainable."""
    kept = sum(v.size for v in model.state.of_kind("statistic").values())
    return [f"{kept:,} statistics are kept with them, which gradients do not change."] * bool(kept)


def _notes(outputs: Sequence[Tensor]) -> list[str]:
    words = {"sigmoid": "A binary cross-entropy", "softmax": "A cross-entropy"}
    return [
        f'{words[y.op.name]} uses the pre-activation of the {y.op.name} (from_logits="auto").'
        for y in outputs if logits_of(y) is not None
    ]  # fmt: skip


def _summary(model: Module, *shapes: Any, layout: str = "hwc", batch_size: int | None = 32) -> Summary:
    """A table of the layers: kind, output shape, parameters, multiply-adds.

    Before the first call it needs the shapes of the inputs, the axis of the examples first. Below the table stand the
    sums, and how much memory training takes on batches of `batch_size` rows (None leaves that out).

    `layout="chw"` shows images as (N, C, H, W).

    >>> import kedja as kj
    >>> print(kj.Sequential([kj.nn.Dense(100, "sigmoid"), kj.nn.Dense(10)]).summary((None, 784)))
    layer    kind   output       parameters  multiply-adds
    ──────────────────────────────────────────────────────
    dense_1  Dense  (None, 100)      78,500         78,400
    dense_2  Dense  (None, 10)        1,010          1,000
    ──────────────────────────────────────────────────────
    79,510 parameters, all trainable
    79,400 multiply-adds and 110 activations for each example; depth 3, width 784
    Weights take 310.6 KiB; training on batches of 32 takes about 1.3 MiB.
    """
    return summarised(model, shapes, layout, batch_size)


bind(Module, summary=_summary)
