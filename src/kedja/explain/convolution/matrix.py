"""Convolution as a matrix: sparse, because a window is small, and shared, because it is the same one everywhere."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kedja.errors import DataError, GraphError, KedjaError, ShapeError
from kedja.explain.convolution.letters import reads
from kedja.explain.show.table import Table, Tabular
from kedja.graph.node import Array, Tensor, ancestors, placeholder, tensor
from kedja.graph.shapes import Shape, as_shape
from kedja.nn.layers.layer import Layer
from kedja.ops.convolution import conv
from kedja.optim.curve import drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ConvMatrix", "conv_matrix"]

DENSE = 1 << 29  # bytes; a larger matrix is given sparse only
READABLE = 24  # columns and rows up to which the matrix itself is written
Numbers = NDArray[np.int64]


class ConvMatrix(Tabular):
    """The matrix M of a convolution: `conv(x).ravel() == M.matrix @ x.ravel()`, without bias and activation.

    `rows`, `columns` and `numbers` list the places that hold a weight, and which one: weight k is `kernel.flat[k]`.
    The transposed matrix is that of the transposed convolution with the same kernel, stride and padding.
    """

    def __init__(
        self, kernel: Array, input_shape: Shape, output_shape: Shape, rows: Numbers, columns: Numbers,
        numbers: Numbers, biases: int | None = None,
    ) -> None:  # fmt: skip
        self.kernel, self.input_shape, self.output_shape = kernel, input_shape, output_shape
        self.rows, self.columns, self.numbers, self.biases = rows, columns, numbers, biases

    @property
    def shape(self) -> Shape:
        """(numbers in the output, numbers in the input)."""
        return math.prod(self.output_shape), math.prod(self.input_shape)

    @property
    def size(self) -> int:
        """How many places the matrix has: as many weights as a dense layer in its place would have."""
        return math.prod(self.shape)

    @property
    def nonzeros(self) -> int:
        """How many places hold a weight; all others are 0, whatever the weights are."""
        return len(self.rows)

    @property
    def parameters(self) -> int:
        """How many different weights there are."""
        return self.kernel.size

    @property
    def uses(self) -> Numbers:
        """At how many places each weight stands, in the shape of the kernel."""
        return np.bincount(self.numbers, minlength=self.kernel.size).reshape(self.kernel.shape)

    @property
    def matrix(self) -> Array:
        """M as a NumPy array. Raises DataError above half a gigabyte: use `sparse()`."""
        found = self._empty(0, self.kernel.dtype)
        found[self.rows, self.columns] = self.kernel.ravel()[self.numbers]
        return found

    @property
    def pattern(self) -> Numbers:
        """For every place the number of the weight that stands there, −1 where none does."""
        found = self._empty(-1, np.dtype(np.int64))
        found[self.rows, self.columns] = self.numbers
        return found

    def sparse(self) -> Any:
        """M as a scipy.sparse array in rows (CSR). Raises KedjaError without SciPy."""
        try:
            from scipy.sparse import csr_array
        except ImportError as error:
            raise KedjaError("sparse() makes an array of SciPy, which is missing: pip install scipy") from error
        return csr_array((self.kernel.ravel()[self.numbers], (self.rows, self.columns)), shape=self.shape)

    def _empty(self, fill: int, dtype: Any) -> Array:
        if self.size * dtype.itemsize > DENSE:
            raise DataError(
                f"the matrix has {self.shape[0]:,} × {self.shape[1]:,} = {self.size:,} places, "
                f"{self.size * dtype.itemsize / 2**30:.1f} GiB; take it as sparse(), or a smaller input."
            )
        return np.full(self.shape, fill, dtype)

    # --- showing ------------------------------------------------------------------------------------------------
    @property
    def table(self) -> Table:
        """The counts beside those of a dense layer."""
        m, n = self.shape
        rows = [
            ("places", f"{self.size:,}", f"{m:,} × {n:,}"),
            ("that hold a weight", f"{self.nonzeros:,}", f"{100 * self.nonzeros / self.size:.3g} %"),
            ("different weights", f"{self.parameters:,}", f"each stands {_span(self.uses)} times"),
        ]
        if self.biases is not None:
            rows.append(("parameters with biases", f"{self.parameters + self.biases:,}", f"{self.biases:,} biases"))
        rows.append(("a dense layer", f"{self.size + m:,}", f"{self.size:,} weights, {m:,} biases"))
        return Table(("matrix", "number", ""), rows, right=(1,))

    def _cells(self) -> list[list[str]] | None:
        """The matrix written in weights w1, w2, …, where it is small."""
        if max(self.shape) > READABLE:
            return None
        return [["·" if k < 0 else f"w{k + 1}" for k in row] for row in self.pattern.tolist()]

    def __str__(self) -> str:
        cells = self._cells()
        if cells is None:
            return str(self.table)
        width = max(len(c) for row in cells for c in row)
        return "\n".join([*(" ".join(c.rjust(width) for c in row) for row in cells), "", str(self.table)])

    def markdown(self) -> str:
        """The counts as a table in Markdown, below the matrix where it is small."""
        if self._cells() is None:
            return self.table.markdown()
        return f"$${self.tex()}$$\n\n{self.table.markdown()}"

    def tex(self) -> str:
        """The matrix in TeX with weights w₁, w₂, …; of a large one the counts."""
        cells = self._cells()
        if cells is None:
            return self.table.tex()
        lines = (" & ".join("0" if c == "·" else f"w_{{{c[1:]}}}" for c in row) for row in cells)
        columns = "c" * self.shape[1]  # the environment pmatrix stops at ten columns
        return rf"\left(\begin{{array}}{{{columns}}} " + r" \\ ".join(lines) + r" \end{array}\right)"

    def to_dict(self) -> dict[str, Any]:
        """Plain data: shapes, counts, and the places that hold a weight."""
        return {
            "input_shape": list(self.input_shape), "output_shape": list(self.output_shape),
            "nonzeros": self.nonzeros, "parameters": self.parameters, "dense_parameters": self.size + self.shape[0],
            "rows": self.rows.tolist(), "columns": self.columns.tolist(), "numbers": self.numbers.tolist(),
        }  # fmt: skip

    def plot(self, path: str | os.PathLike[str] | None = None, ax: Axes | None = None) -> Figure:
        """The matrix, coloured by which weight of the kernel stands at a place; returns the Figure.

        `path` also writes it to a file (.png, .svg, .pdf).
        """
        pattern = np.ma.masked_less(self.pattern, 0)

        def draw(axes: Axes) -> None:
            from matplotlib import colormaps

            k = self.parameters
            colours, last = ("tab10", 9) if k <= 10 else ("tab20", 19) if k <= 20 else ("viridis", k - 1)
            shades = colormaps[colours].with_extremes(bad="white")
            axes.imshow(pattern, cmap=shades, vmin=0, vmax=last, interpolation="none", zorder=3)
            axes.set(xlabel=f"input, {_by(self.input_shape)}", ylabel=f"output, {_by(self.output_shape)}")
            axes.locator_params(integer=True)

        return drawn(draw, path, ax)


def conv_matrix(
    what: Any, input_shape: Any, stride: Any = None, padding: Any = None, dilation: Any = None, groups: Any = None
) -> ConvMatrix:
    """The matrix that a convolution is: y = M x for the flattened input of one example.

    `what` is a convolutional layer (plain, depthwise, transposed), which knows its geometry, or a kernel:
    (*sizes, channels in / groups, channels out), or (*sizes) without channels. `input_shape` is that of one example,
    (height, width, channels), with None before it if you like; of a kernel without channels, (height, width).
    Defaults for a kernel are those of `kj.conv`. A layer that has no weights yet is built.

    Raises ShapeError when the kernel does not fit, GraphError for other layers, and for geometry beside a layer.
    Source: scope 2.5.

    >>> m = conv_matrix([[1.0, 2.0], [3.0, 4.0]], (2, 3))
    >>> m.matrix.tolist()
    [[1.0, 2.0, 0.0, 3.0, 4.0, 0.0], [0.0, 1.0, 2.0, 0.0, 3.0, 4.0]]
    >>> m.nonzeros, m.parameters, m.uses.tolist()
    (8, 4, [[2, 2], [2, 2]])
    """
    shape = _one_example(input_shape)
    given = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    given = {name: value for name, value in given.items() if value is not None}
    if isinstance(what, Layer):
        if given:
            raise GraphError(f"conv_matrix: a layer knows its {', '.join(given)}; change the layer instead")
        node, biases = _convolution_of(what, shape)
        kernel = node.inputs[1]
    elif isinstance(what, type) and issubclass(what, Layer):
        raise GraphError(f"conv_matrix: a class is not a layer yet: write {what.__name__}(…)")
    else:
        kernel, biases = tensor(what), None
        bare = kernel.ndim == len(shape)
        if not bare and not 3 <= kernel.ndim == len(shape) + 1:
            raise ShapeError(
                f"conv_matrix: a kernel {kernel.shape} does not go with an input {shape}. A kernel is (*sizes, "
                "channels in / groups, channels out) for an input (*sizes, channels), or (*sizes) for (*sizes)."
            )
        whole = kernel.reshape((*kernel.shape, 1, 1)) if bare else kernel
        node = conv(placeholder((1, *shape, 1) if bare else (1, *shape), kernel.dtype), whole, **given)
    return _matrix(node, np.asarray(kernel.numpy()), shape, biases)


def _one_example(shape: Any) -> Shape:
    found = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    found = as_shape(found[1:] if found[:1] == (None,) else found)
    if not found or min(found) < 1:
        raise ShapeError(f"conv_matrix: input_shape is the shape of one example, as in (28, 28, 1); got {shape!r}")
    return found


def _convolution_of(layer: Layer, shape: Shape) -> tuple[Tensor, int]:
    """The one convolution in the layer's graph, and how many biases it has."""
    known = next((v.dtype for v in layer.state.of_kind("trainable").values()), layer.dtype)
    x = placeholder((1, *shape), known)
    y = layer(x)
    found = [n for n in ancestors([y]) if n.op.name in ("conv", "conv_transpose")]
    if len(found) != 1 or found[0].inputs[0] is not x:
        raise GraphError(
            f"conv_matrix: {type(layer).__name__} is not one convolution but has {len(found)} in it; "
            "give a layer like Conv2D or ConvTranspose2D, or its kernel"
        )
    return found[0], layer.count_parameters() - found[0].inputs[1].size


def _matrix(node: Tensor, kernel: Array, shape: Shape, biases: int | None) -> ConvMatrix:
    """The places a convolution of the graph reads. A transposed one is the transposed matrix of its convolution."""
    turned = node.op.name == "conv_transpose"
    sizes = node.attrs["sizes"] if turned else node.inputs[0].shape[1:-1]
    names = np.arange(kernel.size).reshape(node.inputs[1].shape)
    if turned:  # the graph holds a transposed kernel with its two channel axes swapped; weights are named as it is
        kernel = np.swapaxes(kernel, -1, -2)
        names = np.swapaxes(np.arange(kernel.size).reshape(kernel.shape), -1, -2)
    places, into, outs = math.prod(names.shape[:-2]), *names.shape[-2:]
    groups = node.attrs["groups"]
    padding = tuple(zip(node.attrs["low"], node.attrs["high"], strict=True))
    _, table = reads(sizes, names.shape[:-2], node.attrs["stride"], padding, node.attrs["dilation"])
    window, _, channel, out = np.ogrid[: len(table), :places, :into, :outs]
    at = table[:, :, None, None]
    here = np.broadcast_to(at >= 0, (len(table), places, into, outs))
    rows = np.broadcast_to(window * outs + out, here.shape)[here]
    first = out // (outs // groups) * into  # an output channel reads its group of the input's channels
    columns = np.broadcast_to(at * (groups * into) + first + channel, here.shape)[here]
    numbers = np.broadcast_to(names.reshape(1, places, into, outs), here.shape)[here]
    if turned:
        rows, columns = columns, rows
    bare = kernel.ndim == len(shape)
    return ConvMatrix(kernel, shape, node.shape[1:-1] if bare else node.shape[1:], rows, columns, numbers, biases)


def _span(uses: Numbers) -> str:
    low, high = int(uses.min()), int(uses.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _by(shape: Shape) -> str:
    return "×".join(map(str, shape))
