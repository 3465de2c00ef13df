"""A model as a Python program that needs NumPy alone: readable, one line a layer, with the functions it uses."""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from kedja.errors import FormatError
from kedja.formats.export import numpy_layers
from kedja.formats.export.program import columns, head, main, predicting, weights_text
from kedja.formats.export.snippet import activation_of
from kedja.graph.node import CONSTANT, Tensor
from kedja.graph.trace import trace
from kedja.graph.variables import Variable
from kedja.nn import layers as nn
from kedja.nn.functional import Arithmetic
from kedja.nn.layers.activation import _Function
from kedja.nn.layers.augmentation.layer import _Augmentation
from kedja.nn.layers.call import watching
from kedja.nn.layers.layer import Layer
from kedja.nn.model import Module
from kedja.ops.windows import resolve
from kedja.train.evaluation import input_shapes, model_dtype

__all__ = ["script"]

SMALL = 20_000  # bytes of weights that lie in the program itself
Array = np.ndarray[Any, Any]

# Layers that are written by what they do to tensors: sums, joins, choices of columns.
OPEN = (
    Module, nn.Residual, nn.Add, nn.Subtract, nn.Multiply, nn.Average, nn.Maximum, nn.Minimum, nn.Concatenate,
    nn.Columns, Arithmetic,
)  # fmt: skip
SKIPPED = (nn.Dropout, nn.GaussianNoise, nn.GaussianDropout, nn.AlphaDropout, _Augmentation)
INFIX = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}
CALLS = {"sin": "np.sin", "cos": "np.cos", "maximum": "np.maximum", "minimum": "np.minimum", "relu": "relu"}


def script(model: Module, beside: str) -> tuple[str, dict[str, Array]]:
    """The program, and the weights that are to lie in the file `beside` it; small ones are inside, and the dict empty.

    Raises FormatError with a list of the layers it does not know.
    """
    shapes = input_shapes(model)
    if len(shapes) > 1:
        raise FormatError(f"--format python is for models with one input; this one has {len(shapes)}.")
    dtype = model_dtype(model)
    found = _Lines(model)
    with watching(found.look):
        graph = trace(lambda x: model(x), [((2, *shapes[0][1:]), dtype)])
    found.refuse()
    if len(graph.outputs) != 1:
        raise FormatError(f"--format python is for models with one output; this one has {len(graph.outputs)}.")
    found.names[graph.inputs[0]] = "x"
    result = found.written(graph.outputs[0])
    weights = {path: np.array(v.value, order="C") for path, v in model.state.items() if path in found.weights}
    inside = sum(a.nbytes for a in weights.values()) <= SMALL
    functions = "\n\n\n".join(inspect.getsource(f).rstrip() for f in found.functions())
    body = [
        functions, predicting(found.lines, result, dtype), columns(model), weights_text(weights, beside, inside),
        main(model, shapes[0]),
    ]  # fmt: skip
    text = "\n\n\n".join(part for part in body if part) + "\n"
    return f"{head(model, shapes[0], text)}\n\n\n{text}", {} if inside else weights


class _Lines:
    """The lines of `predict`, in the order in which the layers are called."""

    def __init__(self, model: Module) -> None:
        self.paths = {v: path for path, v in model.state.items()}
        self.names: dict[Tensor, str] = {}
        self.made: dict[Tensor, tuple[Layer, str, Tensor]] = {}
        self.unknown: dict[str, str] = {}
        self.lines: list[str] = []
        self.used: set[str] = set()
        self.weights: set[str] = set()

    def look(self, layer: Layer, path: str, inputs: Any, output: Any) -> None:
        """One call of a layer."""
        if isinstance(layer, (*SKIPPED, *OPEN)):
            return
        kind = _kind(layer)
        if kind is None or not isinstance(output, Tensor):
            self.unknown[path] = type(layer).__name__
        elif output is not inputs[0]:
            self.made.setdefault(output, (layer, path, inputs[0]))

    def refuse(self) -> None:
        """An error that lists the layers that are not known."""
        if self.unknown:
            listed = ", ".join(f"{path} ({kind})" for path, kind in self.unknown.items())
            raise FormatError(
                f"--format python writes multilayer perceptrons and convolutional networks; it does not know {listed}. "
                "--format onnx knows all layers."
            )

    def functions(self) -> list[Any]:
        """The functions the lines use."""
        needs = {"max_pool": {"pool"}, "average_pool": {"pool"}}
        wanted = self.used | {n for name in self.used for n in needs.get(name, ())}
        return [f for name, f in {**numpy_layers.ACTIVATIONS, **numpy_layers.LAYERS}.items() if name in wanted]

    def call(self, function: str, *arguments: str, **named: Any) -> str:
        """The text of a call of one of the functions."""
        self.used.add(function)
        return f"{function}({', '.join([*arguments, *(f'{k}={v!r}' for k, v in named.items())])})"

    def weight(self, variable: Variable) -> str:
        """The text of a weight."""
        path = self.paths[variable]
        self.weights.add(path)
        return f'W["{path}"]'

    def active(self, layer: Any, text: str) -> str:
        """The activation of a layer around a text."""
        name, numbers = activation_of(layer)
        if name == "gelu":
            name, numbers = ("gelu_tanh" if numbers.get("approximate") not in (False, "none", None) else "gelu"), {}
        return text if name == "identity" else self.call(name, text, **numbers)

    def written(self, output: Tensor) -> str:
        """The name of a value; the lines that make it are written first."""
        stack = [output]
        while stack:
            node = stack[-1]
            if node in self.names:
                stack.pop()
                continue
            needed = [self.made[node][2]] if node in self.made else _inputs(node)
            waiting = [n for n in needed if n not in self.names and not _literal(n)]
            if waiting:
                stack.extend(waiting)
                continue
            stack.pop()
            if node in self.made:
                layer, path, x = self.made[node]
                kind = _kind(layer)
                assert kind is not None
                self.assign(node, path, kind(self, layer, self.names[x], x))
            else:
                self.assign(node, "", self.glue(node))
        return self.names[output]

    def assign(self, node: Tensor, path: str, text: str) -> None:
        """A line of its own."""
        name = re.sub(r"\W", "_", path) if path else "value"
        if keyword.iskeyword(name) or name[0].isdigit() or hasattr(numpy_layers, name) or name in ("W", "x", "np"):
            name += "_"
        taken, k, stem = set(self.names.values()), 2, name
        while name in taken or (name == "value" and not path):
            name, k = f"{stem}_{k - 1 if not path else k}", k + 1
        self.names[node] = name
        self.lines.append(f"{name} = {text}")

    def glue(self, node: Tensor) -> str:
        """An op that belongs to no layer of the table."""
        inputs = [self.names.get(n) or _constant(n) for n in _inputs(node)]
        op, attrs = node.op.name, node.attrs
        if op in INFIX:
            return f"{inputs[0]} {INFIX[op]} {inputs[1]}"
        if op in CALLS:
            if op == "relu":
                self.used.add("relu")
            return f"{CALLS[op]}({', '.join(inputs)})"
        if op == "concatenate":
            return f"np.concatenate([{', '.join(inputs)}], axis={attrs['axis']})"
        if op == "slice":
            parts = zip(attrs["start"], attrs["stop"], attrs["step"], node.inputs[0].shape, strict=True)
            cuts = [":" if (a, b, c) == (0, n, 1) else f"{a}:{b}" + (f":{c}" if c > 1 else "") for a, b, c, n in parts]
            return f"{inputs[0]}[{', '.join(cuts)}]"
        if op == "take" and node.inputs[1].op is CONSTANT and attrs["axis"] == 1:
            return f"{inputs[0]}[:, {np.asarray(node.inputs[1].attrs['value']).tolist()}]"
        raise FormatError(f"--format python has no NumPy for the op {op!r}. --format onnx knows all layers.")


def _inputs(node: Tensor) -> list[Tensor]:
    return list(node.inputs[:1]) if node.op.name == "take" else list(node.inputs)


def _literal(node: Tensor) -> bool:
    return node.op is CONSTANT and node.size <= 64


def _constant(node: Tensor) -> str:
    value = np.asarray(node.attrs["value"])
    return repr(value.item()) if value.ndim == 0 else f"np.array({value.tolist()}, np.{value.dtype.name})"


# --- layers ---------------------------------------------------------------------------------------------------------
Kind = Callable[[_Lines, Any, str, Tensor], str]


def _kind(layer: Layer) -> Kind | None:
    for types, write in TABLE:
        if type(layer) in types:
            return write
    return _function if isinstance(layer, _Function) and layer.entry.name in numpy_layers.ACTIVATIONS else None


def _own(lines: _Lines, layer: Any, *names: str) -> dict[str, str]:
    """The layer's variables that are there."""
    return {n: lines.weight(v) for n in names if (v := getattr(layer, n, None)) is not None}


def _called(lines: _Lines, function: str, x: str, weights: dict[str, str], **named: Any) -> str:
    return lines.call(function, x, *(f"{k}={v}" for k, v in weights.items()), **named)


def _dense(lines: _Lines, layer: Any, x: str, node: Tensor) -> str:
    if layer.mask is not None:
        raise FormatError(f"--format python does not write masked layers: {layer.title}")
    return lines.active(layer, lines.call("dense", x, *_own(lines, layer, "kernel", "bias").values()))


def _windows(layer: Any, node: Tensor, stride: Any) -> dict[str, Any]:
    w = resolve(node.shape[1:-1], layer.size, stride, layer.padding, layer.dilation)
    return {"stride": w.stride, "padding": list(zip(w.low, w.high, strict=True)), "dilation": w.dilation}


def _conv(lines: _Lines, layer: Any, x: str, node: Tensor) -> str:
    groups = getattr(layer, "groups", node.shape[-1])
    where = _windows(layer, node, layer.stride)
    text = lines.call("conv", x, *_own(lines, layer, "kernel", "bias").values(), **where, groups=groups)
    return lines.active(layer, text)


def _separable(lines: _Lines, layer: Any, x: str, node: Tensor) -> str:
    where = _windows(layer, node, layer.stride)
    each = lines.call("conv", x, lines.weight(layer.kernel), **where, groups=node.shape[-1])
    k = layer.rank
    mixing = lines.weight(layer.mixing)
    text = lines.call(
        "conv", each, mixing, *_own(lines, layer, "bias").values(), stride=(1,) * k, padding=[(0, 0)] * k,
        dilation=(1,) * k,
    )  # fmt: skip
    return lines.active(layer, text)


def _pool(lines: _Lines, layer: Any, x: str, node: Tensor) -> str:
    stride = layer.size if layer.stride is None else layer.stride
    size = resolve(node.shape[1:-1], layer.size, 1, 0).size
    name = "max_pool" if "Max" in type(layer).__name__ else "average_pool"
    return lines.call(name, x, size=size, **_windows(layer, node, stride))


def _whole(lines: _Lines, layer: Any, x: str, node: Tensor) -> str:
    name = "global_max_pool" if "Max" in type(layer).__name__ else "global_average_pool"
    return lines.call(name, x, keepdims=bool(getattr(layer, "keepdims", False)))


def _batch_norm(lines: _Lines, layer: Any, x: str, node: Tensor) -> str:
    weights = _own(lines, layer, "mean", "variance", "gamma", "beta")
    return _called(lines, "normalise", x, weights, epsilon=layer.epsilon, axis=layer.axis)


def _layer_norm(lines: _Lines, layer: Any, x: str, node: Tensor) -> str:
    from kedja.graph.shapes import as_axes

    axes = as_axes(layer.axis, node.ndim)
    if axes != tuple(range(node.ndim - len(axes), node.ndim)):
        raise FormatError(f"--format python writes layer normalisation over the last axes only: {layer.title}")
    return _called(lines, "layer_norm", x, _own(lines, layer, "gamma", "beta"), axes=axes, epsilon=layer.epsilon)


def _flatten(lines: _Lines, layer: Any, x: str, node: Tensor) -> str:
    return lines.call("flatten", x)


def _reshape(lines: _Lines, layer: Any, x: str, node: Tensor) -> str:
    return lines.call("reshape", x, shape=tuple(layer.shape))


def _scaling(lines: _Lines, layer: Any, x: str, node: Tensor) -> str:
    name = "restore" if isinstance(layer, nn.Denormalize) else "standardise"
    return lines.call(name, x, *_own(lines, layer, "mean", "std").values())


def _rescale(lines: _Lines, layer: Any, x: str, node: Tensor) -> str:
    return lines.call("rescale", x, scale=float(layer.scale), offset=float(layer.offset))


def _impute(lines: _Lines, layer: Any, x: str, node: Tensor) -> str:
    which = range(node.shape[-1]) if layer.indicator is True else layer.indicator or ()
    return lines.call("impute", x, lines.weight(layer.values), indicator=[int(i) for i in which])


def _category(lines: _Lines, layer: Any, x: str, node: Tensor) -> str:
    if layer.mode != "one_hot":
        raise FormatError(f"--format python does not write CategoryEncoding with mode={layer.mode!r}")
    first = 0 if layer.unknown == "column" else 1
    return lines.call("one_hot", x, classes=layer.codes - first, first=first)


def _one_hot(lines: _Lines, layer: Any, x: str, node: Tensor) -> str:
    return lines.call("one_hot", x, classes=layer.classes)


def _vectors(lines: _Lines, layer: Any, x: str, node: Tensor) -> str:
    return lines.call("vectors", x, lines.weight(layer.table))


def _function(lines: _Lines, layer: Any, x: str, node: Tensor) -> str:
    return lines.active(layer, x)


TABLE: tuple[tuple[tuple[type[Layer], ...], Kind], ...] = (
    ((nn.Dense, nn.Perceptron), _dense),
    ((nn.Conv1D, nn.Conv2D, nn.Conv3D, nn.DepthwiseConv1D, nn.DepthwiseConv2D), _conv),
    ((nn.SeparableConv1D, nn.SeparableConv2D), _separable),
    ((nn.MaxPool1D, nn.MaxPool2D, nn.MaxPool3D, nn.AveragePool1D, nn.AveragePool2D, nn.AveragePool3D), _pool),
    ((nn.GlobalAveragePool, nn.GlobalMaxPool), _whole),
    ((nn.BatchNorm,), _batch_norm),
    ((nn.LayerNorm,), _layer_norm),
    ((nn.Flatten,), _flatten),
    ((nn.Reshape,), _reshape),
    ((nn.Normalize, nn.Denormalize), _scaling),
    ((nn.Rescale,), _rescale),
    ((nn.Impute,), _impute),
    ((nn.CategoryEncoding,), _category),
    ((nn.CategoryEmbedding,), _vectors),
    ((nn.OneHot,), _one_hot),
    ((nn.Activation,), _function),
)
