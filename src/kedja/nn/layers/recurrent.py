"""Recurrent layers: one cell, applied step after step to a sequence, with the state it hands on (scope 2.2).

The part of a step that does not depend on the state, x W + b, is computed for all steps at once, in one product; the
loop over the steps is a `scan`, so gradients through time, both engines and the formula of a step come from there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kedja.errors import ShapeError
from kedja.graph.dtypes import DType
from kedja.graph.node import Array, Tensor
from kedja.graph.shapes import Shape
from kedja.nn import activations, initializers
from kedja.nn.layers.layer import LAYERS, Layer
from kedja.nn.layers.numbers import whole
from kedja.ops import scan, transpose, where, zeros

__all__ = ["GRU", "LSTM", "Recurrent", "SimpleRNN"]


class Recurrent(Layer):
    """What the recurrent layers share. A subclass says how many gates and states it has, and what one step does.

    Shapes: x (N, steps, features) → (N, units), the output of the last step; with `return_sequences` (N, steps, units).
    A second input is a mask (N, steps), 0 where there is no step (padding): the state then stays as it is, and the
    output is repeated. Further inputs are the state to start from, (N, units) each; it is 0 otherwise. `return_state`
    gives (output, state, …). `reverse` begins at the last step; outputs still stand at the step they belong to.
    `init` draws the kernel W (features, gates · units), `recurrent_init` the matrix U (units, gates · units).
    Raises ShapeError for inputs, masks or states that do not have these shapes, and when the features change.
    """

    gates = 1
    states = 1

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        *,
        use_bias: bool = True,
        return_sequences: bool = False,
        return_state: bool = False,
        reverse: bool = False,
        init: Any = "glorot_uniform",
        recurrent_init: Any = "orthogonal",
        bias_init: Any = "zeros",
        regularizer: Any = None,
        constraint: Any = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name, dtype)
        self.units = whole(f"{type(self).__name__}: units is the width of the state", units)
        self.activation = activations.get(activation)
        self.activation_name = activations.name_of(activation)
        self.use_bias = use_bias
        self.return_sequences, self.return_state, self.reverse = return_sequences, return_state, reverse
        self.init, self.recurrent_init, self.bias_init = init, recurrent_init, bias_init
        self.regularizer, self.constraint = regularizer, constraint
        self.n_in = -1

    @property
    def gives(self) -> int | None:  # type: ignore[override]
        """The output and the states, with `return_state`; else one tensor."""
        return 1 + self.states if self.return_state else None

    def build(self, x: Shape, *others: Shape) -> None:
        self.expect_sequences(x)
        self.n_in = x[-1]
        wide = self.gates * self.units
        self.kernel = self.parameter(
            "kernel", (x[-1], wide), self.init, regularizer=self.regularizer, constraint=self.constraint
        )
        self.recurrent = self.parameter("recurrent", (self.units, wide), self.recurrent_init)
        self.bias = self.parameter("bias", (wide,), self.start_of_bias()) if self.use_bias else None

    def start_of_bias(self) -> Any:
        """How the bias is drawn."""
        return self.bias_init

    def step(self, z: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """The next state, its first part the output, from z = x W + b (N, gates · units) and the state before."""
        raise NotImplementedError(f"{type(self).__name__} does not say what a step does")

    def call(self, x: Tensor, mask: Tensor | None = None, *state: Tensor) -> Any:
        self._expect(x, mask, state)
        z = transpose(x, (1, 0, 2)) @ self.kernel  # time first: a loop takes slices of the first axis
        z = z if self.bias is None else z + self.bias
        begin = state or tuple(zeros((x.shape[0], self.units), x.dtype) for _ in range(self.states))
        real = None if mask is None else as_steps(mask)

        def step(before: tuple[Tensor, ...], now: Any) -> tuple[Any, Any]:
            after = self.step(now[0], *before)
            if real is not None:
                after = tuple(where(now[1], new, old) for new, old in zip(after, before, strict=True))
            return after, after[0] if self.return_sequences else None

        last, outputs = scan(step, begin, (z, real), reverse=self.reverse)
        y = transpose(outputs, (1, 0, 2)) if self.return_sequences else last[0]
        return (y, *last) if self.return_state else y

    def gate(self, z: Tensor, k: int) -> Tensor:
        """The columns of gate number k."""
        return z[:, k * self.units : (k + 1) * self.units]

    def expect_sequences(self, x: Shape) -> None:
        """Raise unless x is the shape of sequences."""
        if len(x) != 3:
            hint = " One number a step is one feature: x[..., None]." if len(x) == 2 else ""
            raise ShapeError(f"needs sequences (N, steps, features) and got an input of shape {x}.{hint}")

    def _expect(self, x: Tensor, mask: Tensor | None, state: tuple[Tensor, ...]) -> None:
        self.expect_sequences(x.shape)
        n, steps, features = x.shape
        if features != self.n_in:
            raise ShapeError(
                f"was built for {self.n_in} features a step and got an input of shape {x.shape}. "
                "Give the same number of features as at the first call, or make a new layer."
            )
        if mask is not None and mask.shape != (n, steps):
            raise ShapeError(
                f"got a mask of shape {mask.shape}; sequences of shape {x.shape} need one of shape {(n, steps)}, "
                "1 for each step that is there and 0 for padding."
            )
        if state and [s.shape for s in state] != [(n, self.units)] * self.states:
            got = ", ".join(str(s.shape) for s in state)
            raise ShapeError(
                f"got a state of shapes {got}; it starts from {self.states} of shape {(n, self.units)}, "
                "given after the sequences and the mask."
            )


LAYERS.pop("Recurrent", None)  # nothing is made of it alone


def as_steps(mask: Tensor) -> Tensor:
    """A mask (N, steps) of any type as one truth value for each step and row, time first: (steps, N, 1)."""
    real = mask if mask.dtype == np.bool_ else mask != 0
    return transpose(real, (1, 0)).reshape((*reversed(mask.shape), 1))


class SimpleRNN(Recurrent):
    """The plain recurrent layer, h′ = f(x W + b + h U). Inputs, outputs and options: `Recurrent`.

    Parameters: kernel W (features, units), recurrent U (units, units), bias b (units,).
    Derivative: backpropagation through time: with g = ∂J/∂h′ ⊙ f′, which comes from the output and from the next
    step: ∂J/∂W += xᵀ g, ∂J/∂U += hᵀ g, ∂J/∂b += Σ g, ∂J/∂h = g Uᵀ.
    Source: Elman 1990.

    >>> import kedja as kj
    >>> SimpleRNN(4)(kj.zeros((8, 10, 2))).shape
    (8, 4)
    """

    def step(self, z: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        (h,) = state
        return (self.activation(z + h @ self.recurrent),)


class LSTM(Recurrent):
    """Long short-term memory: a state c that is kept, added to and read through gates.

    (i, f, g, o) = x W + b + h U, in this order;  c′ = σ(f) ⊙ c + σ(i) ⊙ tanh g,  h′ = σ(o) ⊙ tanh c′.
    Inputs, outputs and options: `Recurrent`; the state is (h, c). `activation` stands for tanh, `recurrent_activation`
    for σ. With `unit_forget_bias` the bias of f starts at 1, so that c is kept at first.
    Parameters: kernel W (features, 4 units), recurrent U (units, 4 units), bias b (4 units,).
    Derivative: backpropagation through time, through the gates; ∂J/∂c = σ(f) ⊙ ∂J/∂c′ is what keeps it from
    vanishing.
    Source: Hochreiter and Schmidhuber 1997; the forget gate Gers et al. 2000, its bias Jozefowicz et al. 2015.

    >>> import kedja as kj
    >>> LSTM(4, return_sequences=True)(kj.zeros((8, 10, 2)), kj.ones((8, 10))).shape
    (8, 10, 4)
    """

    gates = 4
    states = 2

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        *,
        recurrent_activation: Any = "sigmoid",
        unit_forget_bias: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(units, activation, **options)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = unit_forget_bias

    def start_of_bias(self) -> Any:
        return ForgetBias(self.bias_init) if self.unit_forget_bias else self.bias_init

    def step(self, z: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        h, c = state
        z = z + h @ self.recurrent
        i, f, o = (self.recurrent_activation(self.gate(z, k)) for k in (0, 1, 3))
        c = f * c + i * self.activation(self.gate(z, 2))
        return o * self.activation(c), c


class ForgetBias(initializers.Initializer):
    """Another initialiser, but 1 in the second quarter: the bias of the forget gate."""

    def __init__(self, others: Any = "zeros") -> None:
        self.others = initializers.get(others)

    def draw(self, key: Array, shape: Shape, dtype: DType) -> Any:
        values = self.others(key, shape, dtype)
        values[shape[0] // 4 : shape[0] // 2] = 1
        return values


class GRU(Recurrent):
    """Gated recurrent unit: a gate z that keeps the old state, and one, r, that forgets it for the new candidate.

    With (z, r, n) = x W + b and (z₊, r₊, n₊) = h U + b′, in this order:
    h′ = u ⊙ h + (1 − u) ⊙ tanh(n + s ⊙ n₊),  u = σ(z + z₊),  s = σ(r + r₊).
    `reset_after=False` is the form of the paper: n₊ = (s ⊙ h) Uₙ, with one bias.
    Inputs, outputs and options: `Recurrent`. `activation` stands for tanh, `recurrent_activation` for σ.
    Parameters: kernel W (features, 3 units), recurrent U (units, 3 units), bias b and recurrent_bias b′ (3 units,).
    Derivative: backpropagation through time, through the gates; ∂J/∂h has the part u ⊙ ∂J/∂h′, which passes
    unchanged where u is 1.
    Source: Cho et al. 2014; `reset_after` as in cuDNN.

    >>> import kedja as kj
    >>> GRU(4)(kj.zeros((8, 10, 2))).shape
    (8, 4)
    """

    gates = 3

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        *,
        recurrent_activation: Any = "sigmoid",
        reset_after: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(units, activation, **options)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.reset_after = reset_after

    def build(self, x: Shape, *others: Shape) -> None:
        super().build(x, *others)
        two = self.use_bias and self.reset_after
        self.recurrent_bias = self.parameter("recurrent_bias", (3 * self.units,), self.bias_init) if two else None

    def step(self, z: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        (h,) = state
        if self.reset_after:
            w = h @ self.recurrent
            w = w if self.recurrent_bias is None else w + self.recurrent_bias
            u, s = (self.recurrent_activation(self.gate(z, k) + self.gate(w, k)) for k in (0, 1))
            candidate = self.gate(z, 2) + s * self.gate(w, 2)
        else:
            w = h @ self.recurrent[:, : 2 * self.units]
            u, s = (self.recurrent_activation(self.gate(z, k) + self.gate(w, k)) for k in (0, 1))
            candidate = self.gate(z, 2) + (s * h) @ self.recurrent[:, 2 * self.units :]
        return (u * h + (1.0 - u) * self.activation(candidate),)
