"""Convolutional layers in one, two and three dimensions (scope 2.5): plain, transposed, depthwise, separable.

Images are channels last, (N, height, width, channels); kernels (*size, channels in, channels out). As everywhere in
this trade the kernel is not flipped.
"""

from __future__ import annotations

from typing import Any

from kedja.errors import KedjaError, ShapeError
from kedja.graph.node import Tensor
from kedja.graph.shapes import Shape
from kedja.nn import activations, initializers
from kedja.nn.layers.layer import Layer
from kedja.nn.layers.numbers import whole
from kedja.ops.convolution import conv, conv_transpose
from kedja.ops.windows import count, resolve

__all__ = [
    "Conv1D", "Conv2D", "Conv3D", "ConvTranspose1D", "ConvTranspose2D", "ConvTranspose3D", "DepthwiseConv1D",
    "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D",
]  # fmt: skip

AXES = {1: "(N, steps, channels)", 2: "(N, height, width, channels)", 3: "(N, depth, height, width, channels)"}


class _Sliding(Layer):
    """What convolutional layers share: a kernel that slides over `rank` axes, a bias per filter, an activation."""

    rank = 2

    def __init__(
        self, size: Any, activation: Any, stride: Any, padding: Any, dilation: Any, use_bias: bool, init: Any,
        bias_init: Any, regularizer: Any, constraint: Any, name: str | None, dtype: Any,
    ) -> None:  # fmt: skip
        super().__init__(name, dtype)
        try:
            resolve((1,) * self.rank, size, stride, padding, dilation)  # refuses what can be no size
        except KedjaError as error:
            raise type(error)(f"{type(self).__name__}: {error}") from None
        self.size, self.stride, self.padding, self.dilation = size, stride, padding, dilation
        self.activation = activations.get(activation)
        self.activation_name = activations.name_of(activation)
        self.use_bias, self.init, self.bias_init = use_bias, init, bias_init
        self.regularizer, self.constraint = regularizer, constraint
        self.channels = -1

    def field(self) -> Shape:
        """The size of the kernel along each axis it slides over."""
        return resolve((1,) * self.rank, self.size).size

    def make_kernel(self, shape: Shape, groups: int = 1, name: str = "kernel") -> Tensor:
        """A kernel of this shape, with the layer's starting values, penalty and constraint."""
        init = initializers.Grouped(self.init, groups) if groups > 1 else self.init
        return self.parameter(name, shape, init, regularizer=self.regularizer, constraint=self.constraint)

    def make_bias(self, filters: int) -> Tensor | None:
        """A bias per filter, where there is one."""
        return self.parameter("bias", (filters,), self.bias_init, penalised=False) if self.use_bias else None

    def check(self, x: Shape) -> None:
        """Refuse an input that the layer was not made for, in the layer's own words."""
        if len(x) != self.rank + 2:
            fix = ""
            if len(x) == 2 and self.rank == 2:
                fix = " Rows of pixels become images with kj.nn.Reshape((28, 28, 1)), say."
            elif len(x) == self.rank + 1:
                fix = " The last axis is the channels: x[..., None] gives one."
            raise ShapeError(f"needs an input {AXES[self.rank]}, got {x}.{fix}")
        if self.channels not in (-1, x[-1]):
            raise ShapeError(
                f"was built for {self.channels} channels and got an input of shape {x}. "
                "Channels stand last; give as many as at the first call, or make a new layer."
            )

    def check_groups(self, groups: int, filters: int) -> None:
        """Refuse groups that leave channels over."""
        for what, n in (("channels of the input", self.channels), ("filters", filters)):
            if n % groups:
                raise ShapeError(f"groups={groups} must divide the {what}: {n} / {groups} = {n / groups:g}")

    def checked(self, x: Tensor) -> Tensor:
        """The input, if the layer was made for it and a kernel fits it; the message is in the layer's own words."""
        self.check(x.shape)
        windows = resolve(x.shape[1:-1], self.size, self.stride, self.padding, self.dilation)
        count(x.shape[1:-1], windows, "kernel", x.shape)
        return x

    def finished(self, y: Tensor) -> Tensor:
        """Bias and activation."""
        return self.activation(y if self.bias is None else y + self.bias)


class _Conv(_Sliding):
    """Plain convolution."""

    def __init__(
        self, filters: int, size: Any, activation: Any = None, *, stride: Any = 1, padding: Any = "valid",
        dilation: Any = 1, groups: int = 1, use_bias: bool = True, init: Any = "glorot_uniform",
        bias_init: Any = "zeros", regularizer: Any = None, constraint: Any = None, name: str | None = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            size, activation, stride, padding, dilation, use_bias, init, bias_init, regularizer, constraint, name, dtype
        )
        self.filters = whole(f"{type(self).__name__}: filters is how many channels come out", filters)
        self.groups = whole(f"{type(self).__name__}: groups is into how many parts the channels are divided", groups)

    def build(self, x: Shape) -> None:
        self.check(x)
        self.channels = x[-1]
        self.check_groups(self.groups, self.filters)
        self.kernel = self.make_kernel((*self.field(), self.channels // self.groups, self.filters), self.groups)
        self.bias = self.make_bias(self.filters)

    def call(self, x: Tensor) -> Tensor:
        return self.finished(conv(self.checked(x), self.kernel, self.stride, self.padding, self.dilation, self.groups))


class Conv1D(_Conv):
    """Convolution along one axis: y[n, p, k] = f(b_k + Σ x[n, s·p + d·q − before, c] W[q, c, k]), over q and c.

    Shapes: x (N, steps, C) → y (N, steps′, filters); W (size, C / groups, filters); b (filters,).
    Padding is "valid", "same", a number or (before, after).
    Derivative: with g = ∂J/∂y ⊙ f′: ∂J/∂x is the transposed convolution of g with W, ∂J/∂W[q, c, k] = Σ x[n, s·p +
    d·q − before, c] g[n, p, k] over n and p, ∂J/∂b = Σ g.
    Raises ShapeError when the kernel does not fit, and for another number of channels than at the first call.
    Source: scope 2.5; LeCun et al. 1989.

    >>> import kedja as kj
    >>> Conv1D(4, 6)(kj.zeros((2, 16, 1))).shape
    (2, 11, 4)
    """

    rank = 1


class Conv2D(_Conv):
    """Convolution over an image: y[n, i, j, k] = f(b_k + Σ x[n, s·i + d·p − top, s·j + d·q − left, c] W[p, q, c, k]).

    Shapes: x (N, h, w, C) → y (N, h′, w′, filters); W (kh, kw, C / groups, filters); b (filters,).
    Derivative: as for `Conv1D`, the sums over both axes.
    Source: scope 2.5; LeCun et al. 1989.

    >>> import kedja as kj
    >>> layer = Conv2D(32, 3)
    >>> layer(kj.zeros((1, 32, 32, 3))).shape, layer.count_parameters()
    ((1, 30, 30, 32), 896)
    """

    rank = 2


class Conv3D(_Conv):
    """Convolution over a volume, y = f(b + x ⋆ W): as `Conv1D` along three axes.

    Shapes: x (N, d, h, w, C) → y (N, d′, h′, w′, filters); W (kd, kh, kw, C / groups, filters).
    Derivative: as for `Conv1D`, the sums over the three axes.
    Source: scope 2.5.

    >>> import kedja as kj
    >>> Conv3D(2, (1, 3, 3), padding="same")(kj.zeros((1, 4, 8, 8, 1))).shape
    (1, 4, 8, 8, 2)
    """

    rank = 3


class _ConvTranspose(_Sliding):
    """Transposed convolution."""

    def __init__(
        self, filters: int, size: Any, activation: Any = None, *, stride: Any = 1, padding: Any = "valid",
        dilation: Any = 1, groups: int = 1, output_padding: Any = 0, use_bias: bool = True,
        init: Any = "glorot_uniform", bias_init: Any = "zeros", regularizer: Any = None, constraint: Any = None,
        name: str | None = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            size, activation, stride, padding, dilation, use_bias, init, bias_init, regularizer, constraint, name, dtype
        )
        self.filters = whole(f"{type(self).__name__}: filters is how many channels come out", filters)
        self.groups = whole(f"{type(self).__name__}: groups is into how many parts the channels are divided", groups)
        self.output_padding = output_padding

    def build(self, x: Shape) -> None:
        self.check(x)
        self.channels = x[-1]
        self.check_groups(self.groups, self.filters)
        self.kernel = self.make_kernel((*self.field(), self.channels, self.filters // self.groups))
        self.bias = self.make_bias(self.filters)

    def call(self, x: Tensor) -> Tensor:
        self.check(x.shape)
        y = conv_transpose(
            x, self.kernel, self.stride, self.padding, self.dilation, self.groups, self.output_padding
        )  # fmt: skip
        return self.finished(y)


class ConvTranspose1D(_ConvTranspose):
    """Transposed convolution along one axis, y[n, s·p + d·q − before, k] += x[n, p, c] W[q, c, k]: each step is spread.

    Shapes: x (N, n, C) → y (N, n′, filters), n′ = (n − 1)·stride + dilation·(size − 1) + 1 − padding + output_padding,
    and n·stride with padding "same"; W (size, C, filters / groups). The padding is that of the convolution it reverses.
    Derivative: with g = ∂J/∂y ⊙ f′: ∂J/∂x is the convolution of g with W, and ∂J/∂W that of a convolution from y to
    x.
    Source: scope 2.5; Zeiler et al. 2010.

    >>> import kedja as kj
    >>> ConvTranspose1D(4, 3, stride=2)(kj.zeros((1, 5, 2))).shape
    (1, 11, 4)
    """

    rank = 1


class ConvTranspose2D(_ConvTranspose):
    """Transposed convolution over an image, y = f(b + x ⋆ᵀ W): as `ConvTranspose1D` along two axes.

    Derivative: as for `ConvTranspose1D`.

    >>> import kedja as kj
    >>> ConvTranspose2D(4, 3, stride=2, padding="same")(kj.zeros((1, 5, 7, 2))).shape
    (1, 10, 14, 4)
    """

    rank = 2


class ConvTranspose3D(_ConvTranspose):
    """Transposed convolution over a volume, y = f(b + x ⋆ᵀ W): as `ConvTranspose1D` along three axes.

    Derivative: as for `ConvTranspose1D`.

    >>> import kedja as kj
    >>> ConvTranspose3D(1, 2, stride=2)(kj.zeros((1, 2, 3, 4, 2))).shape
    (1, 4, 6, 8, 1)
    """

    rank = 3


class _DepthwiseConv(_Sliding):
    """Each channel convolved by itself."""

    def __init__(
        self, size: Any, activation: Any = None, *, multiplier: int = 1, stride: Any = 1, padding: Any = "valid",
        dilation: Any = 1, use_bias: bool = True, init: Any = "glorot_uniform", bias_init: Any = "zeros",
        regularizer: Any = None, constraint: Any = None, name: str | None = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            size, activation, stride, padding, dilation, use_bias, init, bias_init, regularizer, constraint, name, dtype
        )
        self.multiplier = whole(f"{type(self).__name__}: multiplier is how many channels come of each", multiplier)

    def build(self, x: Shape) -> None:
        self.check(x)
        self.channels = x[-1]
        self.kernel = self.make_kernel((*self.field(), 1, self.channels * self.multiplier), self.channels)
        self.bias = self.make_bias(self.channels * self.multiplier)

    def call(self, x: Tensor) -> Tensor:
        return self.finished(
            conv(self.checked(x), self.kernel, self.stride, self.padding, self.dilation, self.channels)
        )


class DepthwiseConv1D(_DepthwiseConv):
    """Convolution of each channel by itself: y[n, p, k] = f(b_k + Σ x[n, s·p + d·q − before, ⌊k/m⌋] W[q, 0, k]) over q.

    Shapes: x (N, n, C) → y (N, n′, C·multiplier); W (size, 1, C·multiplier).
    Derivative: as for `Conv1D`, each channel by itself.
    Source: scope 2.5; Sifre 2014.

    >>> import kedja as kj
    >>> DepthwiseConv1D(3, multiplier=2)(kj.zeros((1, 9, 4))).shape
    (1, 7, 8)
    """

    rank = 1


class DepthwiseConv2D(_DepthwiseConv):
    """Convolution over an image, y = f(b + x ⋆ W), each channel by itself: as `DepthwiseConv1D` along two axes.

    Derivative: as for `Conv1D`, each channel by itself, the sums over both axes.

    >>> import kedja as kj
    >>> layer = DepthwiseConv2D(3, padding="same")
    >>> layer(kj.zeros((1, 8, 8, 16))).shape, layer.count_parameters()
    ((1, 8, 8, 16), 160)
    """

    rank = 2


class _SeparableConv(_DepthwiseConv):
    """A depthwise convolution, then one of size 1 that mixes the channels."""

    def __init__(
        self, filters: int, size: Any, activation: Any = None, *, multiplier: int = 1, stride: Any = 1,
        padding: Any = "valid", dilation: Any = 1, use_bias: bool = True, init: Any = "glorot_uniform",
        bias_init: Any = "zeros", regularizer: Any = None, constraint: Any = None, name: str | None = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            size, activation, multiplier=multiplier, stride=stride, padding=padding, dilation=dilation,
            use_bias=use_bias, init=init, bias_init=bias_init, regularizer=regularizer, constraint=constraint,
            name=name, dtype=dtype,
        )  # fmt: skip
        self.filters = whole(f"{type(self).__name__}: filters is how many channels come out", filters)

    def build(self, x: Shape) -> None:
        self.check(x)
        self.channels = x[-1]
        middle = self.channels * self.multiplier
        self.kernel = self.make_kernel((*self.field(), 1, middle), self.channels)
        self.mixing = self.make_kernel((*(1,) * self.rank, middle, self.filters), name="mixing")
        self.bias = self.make_bias(self.filters)

    def call(self, x: Tensor) -> Tensor:
        each = conv(self.checked(x), self.kernel, self.stride, self.padding, self.dilation, self.channels)
        return self.finished(conv(each, self.mixing))


class SeparableConv1D(_SeparableConv):
    """y = f(b + (x ⋆ W) V): a depthwise convolution along one axis, then a mixture V of the channels at every step.

    Shapes: x (N, n, C) → y (N, n′, filters); W (size, 1, C·multiplier), mixing (1, C·multiplier, filters).
    Derivative: through both, by the chain rule: the mixture as a Dense, the first as `DepthwiseConv1D`.
    Source: scope 2.5; Chollet 2017.

    >>> import kedja as kj
    >>> SeparableConv1D(5, 3)(kj.zeros((1, 9, 4))).shape
    (1, 7, 5)
    """

    rank = 1


class SeparableConv2D(_SeparableConv):
    """y = f(b + (x ⋆ W) V) over an image: each channel by itself, then a mixture V of the channels at every pixel.

    Derivative: as for `SeparableConv1D`.

    >>> import kedja as kj
    >>> layer = SeparableConv2D(32, 3)
    >>> layer(kj.zeros((1, 32, 32, 3))).shape, layer.count_parameters()
    ((1, 30, 30, 32), 155)
    """

    rank = 2
