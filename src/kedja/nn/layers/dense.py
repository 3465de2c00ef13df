"""Dense: every input connected to every unit, or those connected that a mask says; and Tied, its transpose."""

from __future__ import annotations

from typing import Any

import numpy as np

from kedja.errors import DataError, GraphError, ShapeError
from kedja.graph.dtypes import DType
from kedja.graph.node import Array, Tensor, tensor
from kedja.graph.shapes import Shape
from kedja.nn import activations, initializers
from kedja.nn.layers.layer import Layer
from kedja.nn.layers.numbers import whole
from kedja.ops import transpose

__all__ = ["Dense", "Tied"]


class Dense(Layer):
    """Fully connected layer, y = f(x W + b); with a mask M of zeros and ones, y = f(x (W∘M) + b).

    Shapes: x (…, n_in) → y (…, units); W, M (n_in, units); b (units,).
    `init` draws W: a name, an object of kj.initializers, or "auto" (He before ReLU, else Glorot uniform). b is 0.
    `mask` says which input is connected to which unit (1) and which is not (0): weights of connections that are not
    there start at 0, get no gradient and stay 0. They are stored and counted with the others. `regularizer` is a
    penalty on W of its own, `constraint` the set W is brought back to after every step.
    Derivative: with g = ∂J/∂y ⊙ f′(x W + b): ∂J/∂W = xᵀ g, ∂J/∂b = Σ g over the rows, ∂J/∂x = g Wᵀ.
    Raises ShapeError when x has no axis, its last axis changes after the first call, or the mask has another shape than
    W. Source: scope 1.1, 2.2; Rosenblatt 1958.

    >>> import kedja as kj
    >>> Dense(3)(kj.tensor([[1.0, 2.0]])).shape
    (1, 3)
    >>> Dense(2, init=kj.initializers.Constant(1.0), mask=[[1, 0], [1, 1]])(kj.tensor([[1.0, 2.0]])).tolist()
    [[3.0, 2.0]]
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        *,
        use_bias: bool = True,
        init: Any = "glorot_uniform",
        bias_init: Any = "zeros",
        mask: Any = None,
        regularizer: Any = None,
        constraint: Any = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name, dtype)
        self.units = whole(f"{type(self).__name__}: units is how many outputs the layer has", units)
        self.activation = activations.get(activation)
        self.activation_name = activations.name_of(activation)
        self.use_bias = use_bias
        self.init, self.bias_init = init, bias_init
        self.mask = None if mask is None else as_mask(mask, self.units)
        self.regularizer, self.constraint = regularizer, constraint
        self.n_in = -1

    def build(self, x: Shape) -> None:
        if not x:
            raise ShapeError("got a single number; a dense layer needs at least one axis of features")
        init = self.init
        if self.mask is not None:
            if self.mask.shape != (x[-1], self.units):
                raise ShapeError(
                    f"the mask has shape {self.mask.shape}, and the kernel {(x[-1], self.units)}: one row for each of "
                    f"the {x[-1]} features of the input {x}, one column for each of the {self.units} units"
                )
            init = _Masked(initializers.get(init, self.activation_name), self.mask)
        self.n_in = x[-1]
        self.kernel = self.parameter(
            "kernel", (x[-1], self.units), init, regularizer=self.regularizer, constraint=self.constraint
        )
        self.bias = self.parameter("bias", (self.units,), self.bias_init) if self.use_bias else None

    def call(self, x: Tensor) -> Tensor:
        if x.shape[-1:] != (self.n_in,):
            raise ShapeError(
                f"was built for {self.n_in} features and got an input of shape {x.shape}. "
                "Give the same number of columns as at the first call, or make a new layer."
            )
        y = x @ self.weights()
        return self.activation(y if self.bias is None else y + self.bias)

    def weights(self) -> Tensor:
        """The weights of the connections that are there: W, or W∘M."""
        return self.kernel if self.mask is None else self.kernel * tensor(self.mask, dtype=self.kernel.dtype)


def as_mask(mask: Any, units: int) -> Array:
    """A mask of zeros and ones with a column for each unit."""
    array = np.asarray(mask.numpy() if isinstance(mask, Tensor) else mask)
    if array.ndim != 2 or array.shape[1] != units:
        raise ShapeError(
            f"Dense: the mask has shape {array.shape}; it needs one row for each input and one column for each of the "
            f"{units} units"
        )
    if not np.isin(array, (0, 1)).all():
        odd = array[~np.isin(array, (0, 1))].flat[0]
        raise DataError(f"Dense: the mask says which connections there are, 1 or 0; it has {odd!r}")
    return array.astype(np.int8)


class _Masked(initializers.Initializer):
    """Starting values with 0 where there is no connection."""

    def __init__(self, inner: initializers.Initializer, mask: Array) -> None:
        self.inner, self.mask = inner, mask

    def draw(self, key: Array, shape: Shape, dtype: DType) -> Any:
        return self.inner(key, shape, dtype) * self.mask


class Tied(Layer):
    """The transpose of a dense layer, y = f(x Wᵀ + b), with the same W: the decoder of an autoencoder.

    Shapes: x (…, units of the dense layer) → y (…, n_in of it); b (n_in,) is its own. The gradient of W is the sum of
    that from both places (scope 2.8). A model with both saves W once. `units`, the number of outputs, is needed only
    where the dense layer has not met its input yet.
    Derivative: as Dense with Wᵀ: ∂J/∂W gets gᵀ x from here, with g = ∂J/∂y ⊙ f′(x Wᵀ + b), beside what it gets
    there.
    Raises GraphError when it cannot know how many outputs there are. Source: scope 2.8; Vincent et al. 2010.

    >>> import kedja as kj
    >>> coder = kj.nn.Dense(2, "tanh")
    >>> net = kj.Sequential([coder, Tied(coder)])
    >>> net(kj.zeros((5, 7))).shape, net.count_parameters()  # 7·2 weights, 2 + 7 biases
    ((5, 7), 23)
    """

    def __init__(
        self, dense: Dense, units: int | None = None, activation: Any = None, *, use_bias: bool = True,
        bias_init: Any = "zeros", name: str | None = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(name, dtype)
        if not isinstance(dense, Dense):
            raise GraphError(f"Tied: it shares the weights of a Dense layer, give that layer; got {dense!r}")
        self.dense = dense
        self.units = units if units is None else whole("Tied: units is how many outputs the layer has", units)
        self.activation = activations.get(activation)
        self.activation_name = activations.name_of(activation)
        self.use_bias, self.bias_init = use_bias, bias_init

    def build(self, x: Shape) -> None:
        if not self.dense.built:
            if self.units is None:
                raise GraphError(
                    "the layer it shares its weights with has not met its input yet: call that one first, "
                    "or say how many outputs this one has, units="
                )
            # Only its weights are made here, in its own place; what it computes is of no interest.
            self.dense(np.zeros((1, self.units)))
        if self.units not in (None, self.dense.n_in):
            raise ShapeError(f"units={self.units}, and the layer it is the transpose of has {self.dense.n_in} inputs")
        self.bias = self.parameter("bias", (self.dense.n_in,), self.bias_init) if self.use_bias else None

    def call(self, x: Tensor) -> Tensor:
        if x.shape[-1:] != (self.dense.units,):
            raise ShapeError(
                f"is the transpose of a layer of {self.dense.units} units, so it takes {self.dense.units} features; "
                f"got an input of shape {x.shape}"
            )
        y = x @ transpose(self.dense.weights())
        return self.activation(y if self.bias is None else y + self.bias)
