"""Pooling layers (scope 2.6): the largest or the mean of each window, or of everything."""

from __future__ import annotations

from typing import Any

from kedja.errors import ShapeError
from kedja.graph.node import Tensor
from kedja.graph.shapes import Shape
from kedja.nn.layers.convolution import AXES
from kedja.nn.layers.layer import Layer
from kedja.ops import max as largest
from kedja.ops import mean
from kedja.ops.pooling import max_pool, mean_pool
from kedja.ops.windows import count, resolve

__all__ = [
    "AveragePool1D", "AveragePool2D", "AveragePool3D", "GlobalAveragePool", "GlobalMaxPool", "MaxPool1D", "MaxPool2D",
    "MaxPool3D",
]  # fmt: skip


class _Pool(Layer):
    """A window that slides over `rank` axes."""

    rank = 2

    def __init__(
        self, size: Any = 2, *, stride: Any = None, padding: Any = "valid", dilation: Any = 1, name: str | None = None
    ) -> None:  # fmt: skip
        super().__init__(name)
        try:
            resolve((1,) * self.rank, size, size if stride is None else stride, padding, dilation, "window")
        except ShapeError as error:
            raise ShapeError(f"{type(self).__name__}: {error}") from None
        self.size, self.stride, self.padding, self.dilation = size, stride, padding, dilation

    def check(self, x: Shape) -> None:
        """Refuse an input the window does not fit, in the layer's own words."""
        if len(x) != self.rank + 2:
            raise ShapeError(f"needs an input {AXES[self.rank]}, got {x}.")
        stride = self.size if self.stride is None else self.stride
        count(x[1:-1], resolve(x[1:-1], self.size, stride, self.padding, self.dilation, "window"), "window", x)


class _MaxPool(_Pool):
    """The largest of each window."""

    def call(self, x: Tensor) -> Tensor:
        self.check(x.shape)
        return max_pool(x, self.size, self.stride, self.padding, self.dilation)


class MaxPool1D(_MaxPool):
    """y[n, p, c] = max(x[n, s·p + d·q − before, c]) over q: the largest number of each window of steps.

    Shapes: x (N, n, C) → (N, m, C), m = ⌊(n + before + after − dilation·(size − 1) − 1) / stride⌋ + 1.
    The stride is the size unless given; padding never wins.  Source: scope 2.6; Ranzato et al. 2007.
    Derivative: ∂J/∂x gets ∂J/∂y at the place of the largest (the first of several), and 0 elsewhere; windows that
    overlap add up.

    >>> import kedja as kj
    >>> MaxPool1D(2)(kj.tensor([[[1.0], [5.0], [3.0], [2.0]]])).numpy().ravel().tolist()
    [5.0, 3.0]
    """

    rank = 1


class MaxPool2D(_MaxPool):
    """y[n, i, j, c] = max(x[n, s·i + p, s·j + q, c]), the largest of each window of an image: else as `MaxPool1D`.

    Derivative: as for `MaxPool1D`.

    >>> import kedja as kj
    >>> MaxPool2D(3, stride=2, padding="same")(kj.zeros((1, 7, 8, 4))).shape
    (1, 4, 4, 4)
    """

    rank = 2


class MaxPool3D(_MaxPool):
    """y = max(x) of each window of a volume, as `MaxPool1D` along three axes.

    Derivative: as for `MaxPool1D`.

    >>> import kedja as kj
    >>> MaxPool3D(2)(kj.zeros((1, 4, 6, 8, 2))).shape
    (1, 2, 3, 4, 2)
    """

    rank = 3


class _AveragePool(_Pool):
    """The mean of each window."""

    def __init__(
        self, size: Any = 2, *, stride: Any = None, padding: Any = "valid", dilation: Any = 1,
        count_padding: bool = False, name: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(size, stride=stride, padding=padding, dilation=dilation, name=name)
        self.count_padding = count_padding

    def call(self, x: Tensor) -> Tensor:
        self.check(x.shape)
        return mean_pool(x, self.size, self.stride, self.padding, self.dilation, self.count_padding)


class AveragePool1D(_AveragePool):
    """y[n, p, c] = (1/m) Σ x[n, s·p + d·q − before, c]: the mean of each window of steps, over its m elements.

    Shapes as for `MaxPool1D`.  Source: scope 2.6; LeCun et al. 1998.
    Derivative: ∂J/∂x gets (1/m) ∂J/∂y at each of the m elements of the window; windows that overlap add up.

    >>> import kedja as kj
    >>> AveragePool1D(2)(kj.tensor([[[1.0], [5.0], [3.0], [2.0]]])).numpy().ravel().tolist()
    [3.0, 2.5]
    """

    rank = 1


class AveragePool2D(_AveragePool):
    """y = (1/m) Σ x over each window of an image, as `AveragePool1D` along two axes.

    Derivative: as for `AveragePool1D`.

    >>> import kedja as kj
    >>> AveragePool2D(2)(kj.zeros((1, 28, 28, 6))).shape
    (1, 14, 14, 6)
    """

    rank = 2


class AveragePool3D(_AveragePool):
    """y = (1/m) Σ x over each window of a volume, as `AveragePool1D` along three axes.

    Derivative: as for `AveragePool1D`.

    >>> import kedja as kj
    >>> AveragePool3D((1, 2, 2))(kj.zeros((1, 4, 6, 8, 2))).shape
    (1, 4, 3, 4, 2)
    """

    rank = 3


class _GlobalPool(Layer):
    """One number per channel, from all places."""

    def __init__(self, keepdims: bool = False, name: str | None = None) -> None:
        super().__init__(name)
        self.keepdims = keepdims

    def axes(self, x: Shape) -> Shape:
        """The axes between the examples and the channels."""
        if len(x) < 3:
            raise ShapeError(f"needs an input (N, *sizes, channels) of at least 3 axes, got {x}.")
        return tuple(range(1, len(x) - 1))


class GlobalMaxPool(_GlobalPool):
    """y[n, c] = max(x[n, …, c]), the largest of each channel: (N, *sizes, C) → (N, C), for any sizes (scope 2.6).

    Derivative: ∂J/∂x is ∂J/∂y at the places of the largest, which share it if there are several, and 0 elsewhere.

    >>> import kedja as kj
    >>> GlobalMaxPool()(kj.zeros((2, 7, 7, 64))).shape
    (2, 64)
    """

    def call(self, x: Tensor) -> Tensor:
        return largest(x, self.axes(x.shape), self.keepdims)


class GlobalAveragePool(_GlobalPool):
    """y[n, c] = (1/m) Σ x[n, …, c], the mean of each channel: (N, *sizes, C) → (N, C) (scope 2.6; Lin et al. 2014).

    Derivative: ∂J/∂x = (1/m) ∂J/∂y at each of the m places.

    >>> import kedja as kj
    >>> GlobalAveragePool(keepdims=True)(kj.zeros((2, 5, 64))).shape
    (2, 1, 64)
    """

    def call(self, x: Tensor) -> Tensor:
        return mean(x, self.axes(x.shape), self.keepdims)
