"""The torch.nn.Sequential that an exported state dict belongs to, as source code, where the model is a plain stack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kedja.errors import FormatError
from kedja.graph.node import Tensor
from kedja.graph.shapes import Shape
from kedja.nn import layers as nn
from kedja.nn.activations import entry_of
from kedja.nn.activations.names import Parametrised
from kedja.nn.layers.activation import _Function
from kedja.nn.layers.augmentation.layer import _Augmentation
from kedja.nn.layers.call import watching
from kedja.nn.layers.layer import Layer
from kedja.nn.model import Module, Sequential
from kedja.ops.windows import resolve
from kedja.train.evaluation import input_shapes, model_dtype

__all__ = ["activation_of", "snippet"]

# PyTorch's modules for activations without parameters; those with some are made by functions below.
MODULES = {
    "relu": "ReLU", "sigmoid": "Sigmoid", "tanh": "Tanh", "relu6": "ReLU6", "selu": "SELU", "gelu": "GELU",
    "mish": "Mish", "softsign": "Softsign", "softplus": "Softplus", "log_sigmoid": "LogSigmoid", "swish": "SiLU",
    "hard_sigmoid": "Hardsigmoid", "hard_swish": "Hardswish", "tanh_shrink": "Tanhshrink",
}  # fmt: skip
WITH_NUMBERS = {
    "leaky_relu": "LeakyReLU({slope})", "elu": "ELU({alpha})", "celu": "CELU({alpha})",
    "hard_tanh": "Hardtanh({low}, {high})", "soft_shrink": "Softshrink({threshold})",
    "hard_shrink": "Hardshrink({threshold})",
}  # fmt: skip


def snippet(model: Module, file: str) -> tuple[str, str]:
    """Code that makes the module and loads the file, or "" and why there is none."""
    try:
        lines = [line for name, layer in _layers(model) for line in _lines(name, layer, *_shapes(model)[name])]
    except FormatError as error:
        return "", str(error)
    image = len(input_shapes(model)[0]) > 2
    body = "\n".join(f'    ("{name}", {code}),' for name, code in lines)
    order = "  # input: channels first, (N, C, …); output as from kedja, channels first where it is an image"
    return (
        "from collections import OrderedDict\n\nimport torch\nfrom torch import nn\n\n"
        f"net = nn.Sequential(OrderedDict([\n{body}\n])){order if image else ''}\n"
        f'net.load_state_dict(torch.load("{file}", weights_only=True))\nnet.eval()'
    ), ""


def _layers(model: Module) -> Sequence[tuple[str, Layer]]:
    if not isinstance(model, Sequential):
        raise FormatError(f"it is of class {type(model).__name__}, not Sequential")
    return [(name, layer) for name, layer in model.members() if isinstance(layer, Layer)]


def _shapes(model: Module) -> dict[str, tuple[Shape, Shape]]:
    """What each layer takes and gives."""
    found: dict[str, tuple[Shape, Shape]] = {}

    def look(layer: Layer, path: str, inputs: Any, output: Any) -> None:
        if path and isinstance(inputs[0], Tensor) and isinstance(output, Tensor):
            found[path] = (inputs[0].shape, output.shape)

    from kedja.graph.trace import trace

    with watching(look):
        trace(lambda *xs: model(*xs), [((2, *s[1:]), model_dtype(model)) for s in input_shapes(model)])
    return found


Lines = list[tuple[str, str]]


def _lines(name: str, layer: Any, x: Shape, y: Shape) -> Lines:
    if isinstance(layer, nn.Dropout | nn.GaussianNoise | nn.GaussianDropout | nn.AlphaDropout | _Augmentation):
        return [(name, f"nn.Dropout({layer.rate})")] if type(layer) is nn.Dropout else []  # others: in training only
    for kinds, write in TABLE:
        if type(layer) in kinds:
            lines = write(name, layer, x, y)
            if hasattr(layer, "activation") and type(layer) is not nn.Activation:
                lines += _active(f"{name}_activation", activation_of(layer), len(y))
            return lines
    if isinstance(layer, _Function):
        return _active(name, activation_of(layer), len(y))
    raise FormatError(f"{name} is a {type(layer).__name__}, which this does not write")


def activation_of(layer: Any) -> tuple[str, dict[str, Any]]:
    """Name and parameters of a layer's activation. Raises FormatError for a function of one's own."""
    function = getattr(layer, "activation", None) or layer
    entry = entry_of(function)
    if entry is None or entry.name in ("prelu", "rrelu", "glu"):
        raise FormatError(f"{layer.title} has the activation {getattr(function, '__name__', function)!r}")
    given = {}
    if isinstance(function, Parametrised):
        given = {k: v for k, v in function.config().items() if k in entry.parameters}
    elif isinstance(function, Layer):
        given = {k: getattr(function, k) for k in entry.parameters}
    return entry.name, {**entry.parameters, **given}


def _active(name: str, activation: tuple[str, dict[str, Any]], rank: int) -> Lines:
    kind, numbers = activation
    if kind == "identity":
        return []
    if kind in ("softmax", "log_softmax"):
        axis = numbers["axis"] % rank
        there = 1 if axis == rank - 1 else axis + 1  # channels stand second there
        return [(name, f"nn.{'Softmax' if kind == 'softmax' else 'LogSoftmax'}(dim={there})")]
    if kind == "gelu_tanh" or numbers.get("approximate"):
        return [(name, 'nn.GELU(approximate="tanh")')]
    if kind in WITH_NUMBERS:
        return [(name, "nn." + WITH_NUMBERS[kind].format(**numbers))]
    if kind not in MODULES or numbers.get("beta", 1.0) != 1.0:
        raise FormatError(f"{name} is the activation {kind}, which PyTorch has not")
    return [(name, f"nn.{MODULES[kind]}()")]


def _dense(name: str, layer: Any, x: Shape, y: Shape) -> Lines:
    if layer.mask is not None or len(x) != 2:
        raise FormatError(f"{name} is a Dense with a mask, or on inputs {x}")
    return [(name, f"nn.Linear({x[-1]}, {y[-1]}{'' if layer.use_bias else ', bias=False'})")]


def _conv(name: str, layer: Any, x: Shape, y: Shape) -> Lines:
    w = resolve(x[1:-1], layer.size, layer.stride, layer.padding, layer.dilation)
    groups = getattr(layer, "groups", x[-1])
    options = {"stride": (w.stride, 1), "dilation": (w.dilation, 1)}
    lines, padding = _padded(name, w, "0")
    parts = [f"{x[-1]}, {y[-1]}, {w.size}", padding]
    parts += [f"{k}={v}" for k, (v, plain) in options.items() if set(v) != {plain}]
    parts += [f"groups={groups}"] if groups != 1 else []
    parts += ["bias=False"] if not layer.use_bias else []
    return [*lines, (name, f"nn.Conv{len(w.size)}d({', '.join(p for p in parts if p)})")]


def _padded(name: str, w: Any, fill: str) -> tuple[Lines, str]:
    """Padding alike on both sides is an option; any other is a module before."""
    if w.low == w.high:
        return [], f"padding={w.low}" if any(w.low) else ""
    ends = [n for pair in reversed(list(zip(w.low, w.high, strict=True))) for n in pair]
    return [(f"{name}_padding", f"nn.ConstantPad{len(w.size)}d({tuple(ends)}, {fill})")], ""


def _pool(name: str, layer: Any, x: Shape, y: Shape) -> Lines:
    largest = "Max" in type(layer).__name__
    w = resolve(x[1:-1], layer.size, layer.stride or layer.size, layer.padding, layer.dilation, "window")
    lines, padding = _padded(name, w, 'float("-inf")')
    if not largest and (lines or set(w.dilation) != {1}):
        raise FormatError(f"{name} is a mean over windows padded on one side, or dilated, which PyTorch has not")
    parts = [f"{w.size}", f"stride={w.stride}", padding]
    parts += [f"dilation={w.dilation}"] if set(w.dilation) != {1} else []
    parts += ["count_include_pad=False"] if not largest and padding else []
    kind = f"nn.{'Max' if largest else 'Avg'}Pool{len(w.size)}d"
    return [*lines, (name, f"{kind}({', '.join(p for p in parts if p)})")]


def _whole(name: str, layer: Any, x: Shape, y: Shape) -> Lines:
    kind = "Max" if "Max" in type(layer).__name__ else "Avg"
    if len(y) != 2:
        raise FormatError(f"{name} keeps its axes")
    return [
        (name, f"nn.Adaptive{kind}Pool{len(x) - 2}d(1)"),
        (f"{name}_flat", "nn.Flatten()"),
    ]


def _batch_norm(name: str, layer: Any, x: Shape, y: Shape) -> Lines:
    if layer.center != layer.scale or layer.axis not in (-1, len(x) - 1) or len(x) > 5:
        raise FormatError(f"{name} is a BatchNorm that PyTorch has not")
    rank = max(len(x) - 2, 1)
    affine = "" if layer.scale else ", affine=False"
    return [(name, f"nn.BatchNorm{rank}d({x[-1]}, eps={layer.epsilon}{affine})")]


def _scaled(name: str, layer: Any, x: Shape, y: Shape) -> Lines:
    if len(x) > 5 or layer.mean.shape != x[-1:]:
        raise FormatError(f"{name} scales inputs {x} by {layer.mean.shape} numbers")
    return [(name, f"nn.BatchNorm{max(len(x) - 2, 1)}d({x[-1]}, eps=0.0, affine=False)")]


def _flatten(name: str, layer: Any, x: Shape, y: Shape) -> Lines:
    return [(name, "nn.Flatten()")]


def _function(name: str, layer: Any, x: Shape, y: Shape) -> Lines:
    return _active(name, activation_of(layer), len(y))


TABLE: tuple[tuple[tuple[type[Layer], ...], Callable[[str, Any, Shape, Shape], Lines]], ...] = (
    ((nn.Dense,), _dense),
    ((nn.Conv1D, nn.Conv2D, nn.Conv3D, nn.DepthwiseConv1D, nn.DepthwiseConv2D), _conv),
    ((nn.MaxPool1D, nn.MaxPool2D, nn.MaxPool3D, nn.AveragePool1D, nn.AveragePool2D, nn.AveragePool3D), _pool),
    ((nn.GlobalAveragePool, nn.GlobalMaxPool), _whole),
    ((nn.BatchNorm,), _batch_norm),
    ((nn.Normalize, nn.Denormalize), _scaled),
    ((nn.Flatten,), _flatten),
    ((nn.Activation,), _function),
)
