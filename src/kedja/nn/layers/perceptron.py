"""Perceptron: a step of a weighted sum, and the rule by which it learned before there were gradients."""

from __future__ import annotations

from typing import Any

from kedja.diff.custom import custom_gradient
from kedja.graph.node import Tensor
from kedja.nn.activations import step
from kedja.nn.layers.dense import Dense

__all__ = ["Perceptron"]


@custom_gradient
def learnable_step(z: Tensor) -> Any:
    """1 above 0, else 0; what comes back passes as it is, where the step's own derivative, 0, would stop it."""
    return step(z), lambda g: g


class Perceptron(Dense):
    """ŷ = step(x W + b), 1 above 0 and else 0, learning by the perceptron rule w ← w + ε (t − ŷ) x.

    The step has no slope to follow. Here what the loss says of ŷ is handed on to the weighted sum, and with the loss
    ½(t − ŷ)² that is ŷ − t: plain gradient descent on one point at a time is then the perceptron rule, exactly.

        net = kj.Sequential([kj.nn.Perceptron()])
        net.fit(x, t, loss="half_sse", optimizer=kj.optim.SGD(1.0), batch_size=1, epochs=20)

    If a line separates the classes, the rule finds one after finitely many mistakes, at most (R/γ)² where R is the
    longest (x, 1) and γ the margin (Novikoff 1962); if none does, as for XOR, it never rests. Weights start at 0, so ε
    only scales them. Several units are several perceptrons side by side.
    Shapes: x (…, n_in) → ŷ (…, units); W (n_in, units); b (units,).
    Derivative: ∂ŷ/∂z is taken as 1, with z = x W + b, where the true one is 0; so ∂J/∂W = xᵀ ∂J/∂ŷ.
    Raises ShapeError as Dense does. Source: scope 2.1; Rosenblatt 1958.

    >>> import kedja as kj
    >>> x, t = [[0, 0], [0, 1], [1, 0], [1, 1]], [[0], [0], [0], [1]]
    >>> net = kj.Sequential([Perceptron()])
    >>> h = net.fit(x, t, loss="half_sse", optimizer=kj.optim.SGD(1.0), batch_size=1, epochs=10, shuffle=False, seed=0)
    >>> net.predict(x).tolist()
    [[0.0], [0.0], [0.0], [1.0]]
    """

    def __init__(
        self, units: int = 1, *, use_bias: bool = True, init: Any = "zeros", bias_init: Any = "zeros",
        mask: Any = None, name: str | None = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            units, use_bias=use_bias, init=init, bias_init=bias_init, mask=mask, name=name, dtype=dtype
        )  # fmt: skip
        self.activation, self.activation_name = learnable_step, "step"
