"""The plain ones and those that squash the numbers into an interval (scope 2.3).

The hard forms have derivative 0 at their corners, as relu has at 0.
"""

from __future__ import annotations

from typing import Any

from kedja.graph.node import Tensor
from kedja.nn.activations.entry import activation, cases, checked, floats
from kedja.ops import absolute, cast, exp, sigmoid, sign, tanh, where
from kedja.ops import softplus as softplus_op

__all__ = [
    "exponential", "hard_sigmoid", "hard_tanh", "identity", "log_sigmoid", "sigmoid", "softsign", "step", "tanh",
]  # fmt: skip


@activation("x", "1", r"(-\infty, \infty)", "scope 2.3", layer="Identity", aliases=("linear",))
def identity(x: Any) -> Tensor:
    """x itself. Derivative: 1. A stack of layers with it is one linear layer.

    >>> import kedja as kj
    >>> identity(kj.tensor(2.0)).item()
    2.0
    """
    return x if isinstance(x, Tensor) else floats("identity", x)


@activation(
    cases(r"1 & x > 0", r"0 & x \leq 0"), "0", "[0, 1]", "McCulloch and Pitts 1943; Rosenblatt 1958", layer="Step",
    aliases=("heaviside",), kinks=(0.0,),
)  # fmt: skip
def step(x: Any) -> Tensor:
    """1 above 0, else 0. Derivative: 0 everywhere, so gradients learn nothing through it; the perceptron rule does.

    step(0) = 0, as relu′(0) is. Source: McCulloch and Pitts 1943; Rosenblatt 1958.

    >>> step([-1.0, 0.0, 2.0]).tolist()
    [0.0, 0.0, 1.0]
    """
    z = floats("step", x)
    return cast(z > 0, z.dtype)


activation(
    r"\sigma(x) = \frac{1}{1 + e^{-x}}", r"\sigma(x) (1 - \sigma(x))", "(0, 1)", "Verhulst 1845; scope 2.3",
    layer="Sigmoid", aliases=("logistic",),
)(sigmoid)  # fmt: skip
activation(r"\tanh x", r"1 - \tanh^{2} x", "(-1, 1)", "LeCun et al. 1998", layer="Tanh")(tanh)


@activation(
    cases(r"0 & x \leq -3", r"1 & x \geq 3", r"\frac{x}{6} + \frac{1}{2} & \text{else}"),
    cases(r"\frac{1}{6} & -3 < x < 3", r"0 & \text{else}"), "[0, 1]", "Howard et al. 2019",
    layer="HardSigmoid", aliases=("hardsigmoid",), kinks=(-3.0, 3.0),
)  # fmt: skip
def hard_sigmoid(x: Any) -> Tensor:
    """x/6 + ½, cut off at 0 and 1. Derivative: 1/6 for −3 < x < 3, else 0. Source: Howard et al. 2019.

    >>> hard_sigmoid([-4.0, 0.0, 4.0]).tolist()
    [0.0, 0.5, 1.0]
    """
    z = floats("hard_sigmoid", x)
    return where(z >= 3, 1.0, where(z <= -3, 0.0, z / 6 + 0.5))


@activation(
    r"\ln \sigma(x) = -\ln(1 + e^{-x})", r"1 - \sigma(x)", r"(-\infty, 0)", "scope 2.3", layer="LogSigmoid",
    aliases=("logsigmoid",),
)  # fmt: skip
def log_sigmoid(x: Any) -> Tensor:
    """ln σ(x) = −ln(1 + e⁻ˣ), without underflow. Derivative: 1 − σ(x) = σ(−x).

    >>> log_sigmoid([-1e4, 1e4]).tolist()
    [-10000.0, -0.0]
    """
    return -softplus_op(-floats("log_sigmoid", x))


@activation(
    cases(r"l & x \leq l", r"h & x \geq h", r"x & \text{else}"), cases(r"1 & l < x < h", r"0 & \text{else}"), "[-1, 1]",
    "Collobert 2004", layer="HardTanh", aliases=("hardtanh",), kinks=(-1.0, 1.0),
)  # fmt: skip
def hard_tanh(x: Any, low: Any = -1.0, high: Any = 1.0) -> Tensor:
    """x, cut off at `low` and `high`. Derivative: 1 for low < x < high, else 0. Source: Collobert 2004.

    >>> hard_tanh([-4.0, 0.5, 4.0]).tolist()
    [-1.0, 0.5, 1.0]
    """
    z = floats("hard_tanh", x)
    checked("hard_tanh", "low", low)
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        checked("hard_tanh", "high", high)
    else:
        checked("hard_tanh", "high", high, above=low)
    return where(z >= high, high, where(z <= low, low, z))


@activation(
    r"\frac{x}{1 + |x|}", r"\frac{1}{(1 + |x|)^{2}}", "(-1, 1)", "Bergstra et al. 2009", layer="Softsign",
    aliases=("soft_sign",),
)  # fmt: skip
def softsign(x: Any) -> Tensor:
    """x / (1 + |x|): levels off more slowly than tanh. Derivative: 1 / (1 + |x|)². Source: Bergstra et al. 2009.

    From 1 on it is written sign(x) (1 − 1/(1 + |x|)), the same, whose derivative is exact where the quotient's would
    be the difference of nearly equal numbers.

    >>> softsign([-1.0, 0.0, 3.0]).tolist()
    [-0.5, 0.0, 0.75]
    """
    z = floats("softsign", x)
    size = absolute(z)
    rest = 1 / (1 + size)
    return where(size < 1, z * rest, sign(z) * (1 - rest))


@activation("e^{x}", "e^{x}", r"(0, \infty)", "scope 2.3", layer="Exponential", aliases=("exp",))
def exponential(x: Any) -> Tensor:
    """eˣ, for outputs that must be positive, as a Poisson rate. Derivative: eˣ. Above 88 it is infinite in float32.

    >>> exponential([0.0]).tolist()
    [1.0]
    """
    return exp(floats("exponential", x))
