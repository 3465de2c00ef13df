"""What every heat map begins with: a model in inference as a graph, the images, and the scores that are asked about."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kedja.data.check import check_array
from kedja.engines.engine import Program
from kedja.errors import DataError, GraphError, ShapeError, one_of
from kedja.explain.pictures.layouts import channels_axes, channels_axis, channels_first
from kedja.explain.pictures.passing import as_model
from kedja.graph.node import Array, Tensor, ancestors, placeholder
from kedja.graph.trace import Graph
from kedja.nn.layers.call import watching
from kedja.nn.layers.layer import Layer
from kedja.nn.losses.likelihoods import logits_of
from kedja.nn.model import Module
from kedja.ops import moveaxis, sigmoid, softmax
from kedja.ops import sum as total
from kedja.train.evaluation import input_shapes, model_dtype, suited
from kedja.train.metrics.metric import link_of
from kedja.train.training import training_of

__all__ = ["SCORES", "Asked", "Scored", "asked", "form_of"]

SCORES = ("logit", "probability")
AT_ONCE = 1 << 21  # numbers of the input that one run of the graph takes, about
MOST_ROWS = 64


@dataclass
class Scored:
    """The graph of one run: `each` (rows,) is Σ_c weight[·, c] · score_c, `score` their sum, calls in their order.

    The rows of a batch do not touch each other in inference, so ∂score/∂(row n of a layer) is the gradient of row n
    alone, and one graph serves every class: which one, the weights say.
    """

    x: Tensor
    weight: Tensor
    output: Tensor
    scores: Tensor
    each: Tensor
    score: Tensor
    calls: list[tuple[str, Layer, Tensor]]
    axes: dict[Tensor, int]  # of the channels, for the nodes after a convolution


class Asked:
    """A model and images `x` (n, *shape of its input): `places` are the sizes along which a map is drawn.

    `first`: the model takes its channels first; `x` has them last all the same.
    """

    def __init__(
        self, model: Module, x: Array, form: tuple[int, ...], score: str, names: Sequence[str] | None,
        first: bool = False,
    ) -> None:  # fmt: skip
        self.model, self.x, self.form, self.score, self.first = model, x, form, score, first
        self.places, self.names = form[:-1], None if names is None else list(names)
        self._traced: dict[int, Scored] = {}
        loss = training_of(model).loss
        self.loss = loss.name if loss else None
        scored = self.traced(self.rows_for(len(x)))
        if scored.output.ndim != 2:
            raise ShapeError(
                f"heatmap asks about the score of a class; the model gives {scored.output.shape[1:]} for an example"
            )
        width = scored.output.shape[1]
        self.link = link_of(scored.output, self.loss)
        if self.link == "values" and self.names is not None and width > 1:
            self.link = "logits"  # of classes that have names, as networks from elsewhere give them
        self.yes_or_no = width == 1 and self.link != "values"
        self.classes = 2 if self.yes_or_no else width
        if self.names is not None and len(self.names) != self.classes:
            raise DataError(f"heatmap: {len(self.names)} names for {self.classes} classes")
        self.output = self.run(scored, [scored.output], x)[0]

    def traced(self, rows: int) -> Scored:
        """The graph for so many rows at a time, made once."""
        if rows not in self._traced:
            self._traced[rows] = self._trace(rows)
        return self._traced[rows]

    def _trace(self, rows: int) -> Scored:
        x = placeholder((rows, *self.x.shape[1:]), self.x.dtype, "x")
        calls: list[tuple[str, Layer, Tensor]] = []

        def watch(layer: Layer, path: str, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and path:
                calls.append((path, layer, output))

        with watching(watch):
            output = self.model(moveaxis(x, -1, 1) if self.first else x)
        if not isinstance(output, Tensor):
            raise GraphError("heatmap: takes a model with one output")
        if output.ndim != 2:
            return Scored(x, x, output, output, output, output, calls, {})
        scores = self._scores(output)
        weight = placeholder(output.shape, output.dtype, "weight")
        each = total(scores * weight, axis=1)
        return Scored(x, weight, output, scores, each, total(each), calls, channels_axes(scores))

    def _scores(self, output: Tensor) -> Tensor:
        """What is differentiated: the numbers before sigmoid or softmax, or with score="probability" those after."""
        logits = logits_of(output)
        if self.score == "logit":
            return output if logits is None else logits
        if logits is not None:
            return output
        link = link_of(output, self.loss)
        if link != "logits" and self.names is None:
            raise GraphError(
                'heatmap: the output of the model is no probability, and no loss makes it one: leave score="logit"'
            )
        return sigmoid(output) if self.loss == "binary_cross_entropy" or output.shape[-1] == 1 else softmax(output)

    def rows_for(self, wanted: int) -> int:
        """How many rows one run takes, when so many are wanted in all."""
        return max(1, min(wanted, MOST_ROWS, AT_ONCE // max(int(self.x[0].size), 1)))

    def run(self, scored: Scored, nodes: Sequence[Tensor], x: Array, weight: Array | None = None) -> list[Array]:
        """The values of nodes of this graph for the rows x, any number of them, in runs of the graph's size."""
        rows = scored.x.shape[0]
        given = [scored.x] + ([] if weight is None else [scored.weight])
        graph = Graph(given, nodes)
        program: Program = suited("auto", graph, math.ceil(len(x) / rows)).program(graph)
        state = [v.raw for v in program.variables]
        parts: list[list[Array]] = []
        arrays = [x] + ([] if weight is None else [weight])
        for at in range(0, len(x), rows):
            batch = [a[at : at + rows] for a in arrays]
            real = len(batch[0])
            if real < rows:
                batch = [np.concatenate([b, np.repeat(b[-1:], rows - real, 0)]) for b in batch]
            _, values = program(state, batch)
            parts.append([np.asarray(v)[:real] for v in values])
        return [np.concatenate(p) for p in zip(*parts, strict=True)]

    def weights(self, targets: Array) -> Array:
        """For each target (rows,) the row that picks its score; for the "no" of a single output, the score negated."""
        width = self.output.shape[1]
        if self.yes_or_no:
            return np.where(targets == 1, 1.0, -1.0).astype(self.x.dtype)[:, None]
        return np.eye(width, dtype=self.x.dtype)[targets]

    def pairs(self, targets: Array) -> tuple[Array, Array]:
        """Images and weights for all pairs of an image and one of its targets (n, t), image by image."""
        return np.repeat(self.x, targets.shape[1], 0), self.weights(targets.ravel())

    def node_of(self, scored: Scored, layer: str | Layer | None) -> tuple[str, Tensor, int]:
        """The maps of a layer: of the one named, or the last that has places; (name, node, the axis of its maps)."""
        path, node = self._found(scored, layer)
        return path, node, channels_axis(node, scored.score, scored.axes)

    def _found(self, scored: Scored, layer: str | Layer | None) -> tuple[str, Tensor]:
        above = set(ancestors([scored.score]))
        rank = len(self.places)
        found = [
            (path, node) for path, _, node in scored.calls
            if node.ndim == rank + 2 and node in above and _places(node, scored) > 1
        ]  # fmt: skip
        made = [(path, node) for path, node in found if not _laid_out(node, scored.x)]
        if layer is not None:
            return self._named(scored, layer, [path for path, _ in found], above)
        if not made:
            raise GraphError(
                "heatmap: no layer of the model makes maps, as a convolution does, so there is none to look at; "
                'method="integrated_gradients", "saliency" and "occlusion" ask the input itself and serve any model'
            )
        path, node = max(made, key=lambda pair: pair[1].serial)
        path = next(p for p, n in made if n is node)  # the innermost layer that gave it
        last = _last_like(node, scored)
        return (path, node) if last is node else (f"{last.op.name} after {path}", last)

    def _named(
        self, scored: Scored, layer: str | Layer, fitting: list[str], above: set[Tensor]
    ) -> tuple[str, Tensor]:  # fmt: skip
        known = {path: (own, node) for path, own, node in scored.calls}
        if isinstance(layer, Layer):
            layer = next((path for path, (own, _) in known.items() if own is layer), repr(layer))
        if layer not in known:
            raise one_of("layer", layer, known)
        node = known[layer][1]
        if layer not in fitting:
            if node.ndim == len(self.places) + 2 and node not in above:
                raise GraphError(f'heatmap: the output of the model does not depend on layer "{layer}"')
            those = f"those with places are {', '.join(fitting)}" if fitting else "none of this model has"
            raise ShapeError(
                f'heatmap: layer "{layer}" gives {node.shape[1:]} for an image, and a map needs places, '
                f"({', '.join('abc'[: len(self.places)])}, channels); {those}"
            )
        return layer, node


def _places(node: Tensor, scored: Scored) -> int:
    """How many places the maps of a node have."""
    return math.prod(node.shape[1:]) // max(node.shape[channels_axis(node, scored.score, scored.axes)], 1)


def _laid_out(node: Tensor, x: Tensor) -> bool:
    """Whether a node holds the numbers of the input in another shape alone."""
    while node is not x and getattr(node.op, "name", "") in ("reshape", "transpose", "expand_dims", "cast"):
        node = node.inputs[0]
    return node is x


def _last_like(node: Tensor, scored: Scored) -> Tensor:
    """The last node of this shape that depends on it: an activation or a sum that a model makes without a layer."""
    order = Graph([node, scored.weight], [scored.score]).order
    reached = {node}
    for n in order:
        if any(i in reached for i in n.inputs):
            reached.add(n)
    return max((n for n in reached if n.shape == node.shape), key=lambda n: n.serial)


def asked(
    model: Any, image: Any, shape: Sequence[int] | None, score: str, names: Sequence[str] | None
) -> tuple[Asked, bool]:  # fmt: skip
    """The question put to the model, and whether one image came and not several."""
    model = as_model(model, "heatmap")
    if score not in SCORES:
        raise one_of("score", score, SCORES)
    model.expect_weights()
    shapes = input_shapes(model)
    if len(shapes) != 1:
        raise GraphError(f"heatmap: takes a model with one input; this one has {len(shapes)}")
    expected = tuple(shapes[0][1:])
    first = channels_first(model, expected, model_dtype(model))
    form = form_of(model, expected, shape, first)
    x, single = _images(image, expected, form, model_dtype(model), first)
    whole = (*x.shape[1:],) if len(expected) == len(form) else form
    known = names if names is not None else model.info.get("class_names")
    return Asked(model, x, whole, score, known, first), single


def form_of(model: Module, expected: tuple[Any, ...], shape: Sequence[int] | None, first: bool) -> tuple[Any, ...]:
    """How an input lies in space: (*places, channels); the model may take the channels `first`."""
    if shape is None and len(expected) > 1:
        return (*expected[1:], expected[0]) if first else expected
    given = tuple(shape) if shape is not None else tuple(model.info.get("image_shape") or _reshaped(model))
    if not given:
        raise ShapeError(
            f"heatmap: the model takes rows of {expected[0]} numbers, and a map needs places: "
            "say how a row lies as an image, such as shape=(28, 28, 1)"
        )
    if not all(isinstance(n, int | np.integer) and n > 0 for n in given):
        raise ShapeError(f"heatmap: shape is that of an image, such as (28, 28, 1); got {shape!r}")
    if None not in expected and math.prod(given) != math.prod(expected):
        product = " · ".join(map(str, given))
        raise ShapeError(
            f"heatmap: shape {given} has {product} = {math.prod(given)} numbers, and the model takes "
            f"{math.prod(expected)}"
        )
    return (*given, 1) if len(given) == 2 and len(expected) == 1 else given


def _reshaped(model: Module) -> tuple[int, ...]:
    """The shape a model gives its rows by itself: that of a Reshape it begins with."""
    first: Any = model
    while isinstance(first, Module):
        first = next((inside for _, inside in first.members() if isinstance(inside, Layer)), None)
    found = getattr(first, "shape", ()) if type(first).__name__ == "Reshape" else ()
    return tuple(found) if len(found) > 1 and min(found) > 0 else ()


def _images(
    image: Any, expected: tuple[Any, ...], form: tuple[Any, ...], dtype: Any, first: bool
) -> tuple[Array, bool]:  # fmt: skip
    """The images as rows of the model's input, with the channels last in any case, and whether a single one came."""
    array = check_array(image.numpy() if isinstance(image, Tensor) else np.asarray(image), "image", dtype=dtype)
    for wanted in dict.fromkeys([expected, form, form[:-1] if form[-1] == 1 else form]):
        for single in (True, False):
            given = array.shape if single else array.shape[1:]
            if len(given) == len(wanted) and all(w in (None, n) for w, n in zip(wanted, given, strict=True)):
                rows = array[None] if single else array
                if not len(rows):
                    raise DataError("heatmap: there is no image to ask about")
                if first and wanted == expected:
                    return np.ascontiguousarray(np.moveaxis(rows, 1, -1)), single
                shape = tuple(given) if wanted == expected else _filled(form if first else expected, given)
                return np.ascontiguousarray(rows.reshape(len(rows), *shape)), single
    several = f" or several, (n, {', '.join(map(str, form))})"
    raise ShapeError(f"heatmap: the image has shape {array.shape}, and the model takes one of {form},{several}")


def _filled(expected: tuple[Any, ...], given: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the model's input for an image that came without its axis of one channel, or not as a row."""
    if None not in expected:
        return expected
    return (*given, 1) if len(given) < len(expected) else given
