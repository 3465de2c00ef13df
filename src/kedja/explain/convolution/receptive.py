"""Sizes along a network: the arithmetic of every layer, its parameters, and how much of the input a number sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from kedja import nn
from kedja.errors import GraphError
from kedja.explain.show.table import Table, Tabular
from kedja.graph.dtypes import get_default_dtype
from kedja.graph.node import Tensor
from kedja.graph.shapes import Shape, as_shape
from kedja.graph.trace import trace
from kedja.nn.layers import activation, convolution, dropout, merge, normalization, pooling, scaling, shape
from kedja.nn.layers.call import watching
from kedja.nn.layers.dense import Dense
from kedja.nn.layers.layer import Layer
from kedja.nn.layers.residual import Residual
from kedja.ops.windows import output_size, resolve

__all__ = ["SizeRow", "Sizes", "sizes"]

CONVOLUTIONS = (
    convolution.Conv1D, convolution.Conv2D, convolution.Conv3D, convolution.DepthwiseConv1D,
    convolution.DepthwiseConv2D, convolution.SeparableConv1D, convolution.SeparableConv2D,
)  # fmt: skip
POOLINGS = (
    pooling.MaxPool1D, pooling.MaxPool2D, pooling.MaxPool3D, pooling.AveragePool1D, pooling.AveragePool2D,
    pooling.AveragePool3D,
)  # fmt: skip
TRANSPOSED = (convolution.ConvTranspose1D, convolution.ConvTranspose2D, convolution.ConvTranspose3D)
WHOLE = (  # look at every place
    pooling.GlobalAveragePool, pooling.GlobalMaxPool, normalization.GroupNorm, normalization.InstanceNorm,
)  # fmt: skip
ONE_BY_ONE = (  # each place by itself
    normalization.BatchNorm, normalization.RMSNorm, shape.Crop, shape.Flatten, shape.Pad, scaling.Normalize,
    scaling.Denormalize,
)  # fmt: skip
ONE_BY_ONE_FILES = (activation.__name__, dropout.__name__)  # every layer there is


class Field(NamedTuple):
    """How far along each axis of the input a number looks, and how far apart what two neighbours look at is."""

    size: Shape
    jump: Shape


class SizeRow(NamedTuple):
    """A layer: how its output's size comes about, its parameters, those of a dense layer in its place (convolutions
    alone), and how far along the input each of its numbers sees: per axis, "all", or None where that is not known.
    """

    name: str
    kind: str
    arithmetic: str
    output: Shape
    parameters: int
    dense_parameters: int | None
    sees: Shape | str | None


class Sizes(Tabular):
    """The sizes along a network, a row a layer; it prints as a table. `rows` holds the same as plain values."""

    def __init__(self, input_shape: Shape, rows: Sequence[SizeRow]) -> None:
        self.input_shape, self.rows = input_shape, list(rows)

    @property
    def table(self) -> Table:
        """What is shown."""
        head = ("layer", "sizes", "output", "parameters", "dense instead", "sees")
        cells = [("input", "", _by(self.input_shape), "", "", "")]
        for r in self.rows:
            dense = "" if r.dense_parameters is None else f"{r.dense_parameters:,}"
            sees = "–" if r.sees is None else r.sees if isinstance(r.sees, str) else _by(r.sees)
            own = f"{r.parameters:,}" if r.parameters else ""
            cells.append((f"{r.name} ({r.kind})", r.arithmetic, _by(r.output), own, dense, sees))
        used = [i for i in range(len(head)) if i < 3 or any(row[i] for row in cells)]
        rows = [tuple(row[i] for i in used) for row in cells]
        return Table(tuple(head[i] for i in used), rows, tuple(used.index(i) for i in (3, 4, 5) if i in used))

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the input's shape, and a dict for every layer."""
        plain = [
            {k: list(v) if isinstance(v, tuple) else v for k, v in row._asdict().items()} for row in self.rows
        ]  # fmt: skip
        return {"input_shape": list(self.input_shape), "layers": plain}


def sizes(net: Any, input_shape: Any) -> Sizes:
    """Each layer's size arithmetic, parameters and receptive field, for a model or a list of layers.

    `input_shape` is that of one example, (32, 32, 3), with None before it if you like. "dense instead" is how many
    parameters a dense layer from all inputs to all outputs of a convolution would have; "sees" how far along
    the input one number looks (its receptive field, gaps included: rows × columns), "–" where layers of other kinds
    stand before. A field may be larger than the input. Nothing is built or changed.

    Raises GraphError for what is no layer, and the layers' own errors where sizes do not fit.
    Source: scope 2.5; Dumoulin and Visin 2016; Araujo, Norris and Sim 2019.

    >>> import kedja as kj
    >>> print(sizes([kj.nn.Conv2D(32, 3)], (32, 32, 3)))
    layer              sizes            output    parameters  dense instead  sees
    ─────────────────────────────────────────────────────────────────────────────
    input                               32×32×3
    conv2d_1 (Conv2D)  32 − 3 + 1 = 30  30×30×32         896     88,502,400   3×3
    """
    one = tuple(input_shape) if isinstance(input_shape, tuple | list) else (input_shape,)
    example = as_shape(one[1:] if one[:1] == (None,) else one)
    if isinstance(net, list | tuple):
        net = nn.Sequential(list(net))
    elif isinstance(net, Layer) and not isinstance(net, nn.Module):
        net = nn.Sequential([net])
    elif not isinstance(net, nn.Module):
        raise GraphError(f"sizes: takes a model or a list of layers, got {net!r}")
    known = next((v.dtype for v in net.state.of_kind("trainable").values()), net.dtype or get_default_dtype())
    specs = [((2, *example), known)]
    walk = _Walk()
    undo = net.restore_point()
    try:
        trace(net, specs)  # makes the variables; some layers try others out while they are built
        with watching(walk.look):
            trace(lambda x: net(walk.begin(x)), specs)
    finally:
        undo()
    return Sizes(example, list(walk.rows.values()))


class _Walk:
    """What is known of each node between layers, from the input on."""

    def __init__(self) -> None:
        self.fields: dict[Tensor, Field | str | None] = {}
        self.of_layers: dict[Layer, Field | str | None] = {}
        self.rows: dict[str, SizeRow] = {}

    def begin(self, x: Tensor) -> Tensor:
        """The input sees itself."""
        ones = (1,) * max(x.ndim - 2, 1)
        self.fields[x] = Field(ones, ones)
        return x

    def look(self, layer: Layer, path: str, inputs: Any, output: Any) -> None:
        """Told of every call, the innermost first."""
        given = [x for x in inputs if isinstance(x, Tensor)]
        if not isinstance(output, Tensor) or not given:
            return
        before = [self.fields.get(x) for x in given]
        if isinstance(layer, Residual):
            before.append(self.of_layers.get(layer.layer))
            self.fields.setdefault(output, _past(before))
        elif not any(isinstance(v, Layer) for _, v in layer.members()):  # layers of others are shown by these
            field = self.fields[output] = _seen(layer, given, output, before)
            self.rows.setdefault(path, _row(layer, path, given[0].shape, output.shape, field))
        self.of_layers[layer] = self.fields.get(output)


def _row(layer: Layer, path: str, x: Shape, y: Shape, field: Field | str | None) -> SizeRow:
    dense = (_count(x) + 1) * _count(y) if isinstance(layer, (*CONVOLUTIONS, *TRANSPOSED)) else None
    sees = field.size if isinstance(field, Field) else field
    written = _arithmetic(layer, x[1:], y[1:])
    return SizeRow(path, type(layer).__name__, written, y[1:], layer.count_parameters(), dense, sees)


def _joined(fields: Sequence[Field]) -> Field | None:
    """What sees as much as all of these together; None for images of different scale."""
    if len({(len(f.size), f.jump) for f in fields}) > 1:
        return None
    return Field(tuple(map(max, zip(*(f.size for f in fields), strict=True))), fields[0].jump)


def _past(before: Sequence[Field | str | None]) -> Field | str | None:
    """The field of a sum of an input and what is made of it, which is wider unless it is not known."""
    fields = [f for f in before if isinstance(f, Field)]
    if len(fields) < len(before):
        return "all" if None not in before else None
    inner = fields[-1]
    return _joined([Field(f.size, inner.jump) for f in fields])


def _count(shape: Shape) -> int:
    found = 1
    for n in shape[1:]:
        found *= n
    return found


def _by(shape: Shape) -> str:
    return "×".join(map(str, shape)) or "1"


def _seen(layer: Layer, xs: list[Tensor], y: Tensor, before: list[Field | str | None]) -> Field | str | None:
    """The field of a layer's output, from those of its inputs."""
    if None in before:
        return None
    if "all" in before:
        return "all"
    fields = [f for f in before if isinstance(f, Field)]
    first = fields[0]
    if isinstance(layer, (*CONVOLUTIONS, *POOLINGS)):
        w = _windows(layer, xs[0].shape[1:-1])
        size = tuple(f + (e - 1) * j for f, e, j in zip(first.size, w.extent, first.jump, strict=True))
        return Field(size, tuple(j * s for j, s in zip(first.jump, w.stride, strict=True)))
    if isinstance(layer, WHOLE):
        return "all"
    if isinstance(layer, Dense):
        return "all" if xs[0].ndim == 2 else first  # of an image: each pixel by itself
    if isinstance(layer, normalization.LayerNorm):
        return first if layer.axis in (-1, xs[0].ndim - 1) and xs[0].ndim > 2 else "all"
    if type(layer).__module__ == merge.__name__ and not isinstance(layer, merge.Dot):
        return _joined(fields)
    if isinstance(layer, ONE_BY_ONE) or type(layer).__module__ in ONE_BY_ONE_FILES:
        return first
    if isinstance(layer, shape.Reshape) and xs[0].ndim == 2 and first == Field((1,), (1,)) and y.ndim > 2:
        ones = (1,) * (y.ndim - 2)  # rows of pixels made images: the input is taken as these
        return Field(ones, ones)
    return None


def _windows(layer: Any, spatial: Shape) -> Any:
    stride = layer.size if layer.stride is None else layer.stride
    return resolve(spatial, layer.size, stride, layer.padding, layer.dilation, "window")


def _arithmetic(layer: Any, x: Shape, y: Shape) -> str:
    """How the sizes of y come from those of x, with their numbers; axes that do the same are said once."""
    if isinstance(layer, (*CONVOLUTIONS, *POOLINGS)):
        w = _windows(layer, x[:-1])
        axes = zip(x, w.size, w.stride, zip(w.low, w.high, strict=True), w.dilation, strict=False)
        lines = [output_size(n, k, s, ((a, b),), d).steps[-1] for n, k, s, (a, b), d in axes]
    elif isinstance(layer, TRANSPOSED):
        lines = [_widened(layer, x[:-1], i, m) for i, m in enumerate(y[:-1])]
    elif isinstance(layer, shape.Flatten) and len(x) > 1:
        lines = ["·".join(map(str, x)) + f" = {y[0]}"]
    elif isinstance(layer, shape.Upsample):
        lines = [f"{n}·{m // n} = {m}" for n, m in zip(x[:-1], y[:-1], strict=True)]
    elif isinstance(layer, shape.Pad | shape.Crop):
        sign = "+" if isinstance(layer, shape.Pad) else "−"
        lines = [f"{n} {sign} {abs(m - n)} = {m}" for n, m in zip(x[:-1], y[:-1], strict=True)]
    else:
        return ""
    return lines[0] if len(set(lines)) == 1 else ", ".join(lines)


def _widened(layer: Any, sizes: Shape, i: int, found: int) -> str:
    """The arithmetic of a transposed convolution along one axis."""
    n = sizes[i]
    if isinstance(layer.padding, str) and layer.padding.lower() == "same":
        w = resolve(sizes, layer.size, layer.stride, "valid", layer.dilation)
        return f"{n}·{w.stride[i]} = {found}"
    w = resolve(sizes, layer.size, layer.stride, layer.padding, layer.dilation)
    line = f"{w.stride[i]}·({n} − 1) + {w.extent[i]}"
    cut = w.low[i] + w.high[i]
    line += f" − {cut}" if cut else ""
    more = found - (w.stride[i] * (n - 1) + w.extent[i] - cut)
    return f"{line}{f' + {more}' if more else ''} = {found}"
