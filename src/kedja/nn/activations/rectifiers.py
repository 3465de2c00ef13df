"""Rectifiers: x where it is positive, and little or nothing of it below (scope 2.3).

At a kink each takes the derivative from the left, as relu does: relu′(0) = 0, leaky_relu′(0) = slope, elu′(0) = α.
Two functions may give the same number there and still differ in slope: a choice is written with `where`, whose branch
not taken receives no gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kedja.graph.node import Tensor
from kedja.nn.activations.entry import activation, cases, checked, floats
from kedja.ops import expm1, relu, where
from kedja.ops import random as draws

__all__ = ["celu", "elu", "leaky_relu", "prelu", "relu", "relu6", "rrelu", "selu", "thresholded_relu"]

LOW, HIGH = 1 / 8, 1 / 3  # of RReLU's slopes
ALPHA, SCALE = 1.6732632423543772, 1.0507009873554805  # of SELU: they keep mean 0 and variance 1

activation(
    r"\max(0, x)", cases(r"1 & x > 0", r"0 & x \leq 0"), r"[0, \infty)", "Nair and Hinton 2010",
    layer="ReLU", kinks=(0.0,), init="he_normal",
)(relu)  # fmt: skip


def _below(x: Tensor) -> Tensor:
    """min(0, x), with derivative 1 at 0, so that it takes over there from relu, which has 0."""
    return where(x > 0, 0.0, x)


@activation(
    r"\min(\max(0, x), 6)", cases(r"1 & 0 < x < 6", r"0 & \text{else}"), "[0, 6]", "Krizhevsky 2010",
    layer="ReLU6", kinks=(0.0, 6.0), init="he_normal",
)  # fmt: skip
def relu6(x: Any) -> Tensor:
    """min(max(0, x), 6): a rectifier that does not grow for ever. Derivative: 1 for 0 < x < 6, else 0.

    Source: Krizhevsky 2010.

    >>> relu6([-1.0, 2.0, 8.0]).tolist()
    [0.0, 2.0, 6.0]
    """
    z = floats("relu6", x)
    return where(z >= 6, 6.0, relu(z))


@activation(
    cases(r"x & x > 0", r"a\,x & x \leq 0"), cases(r"1 & x > 0", r"a & x \leq 0"), r"(-\infty, \infty)",
    "Maas et al. 2013", layer="LeakyReLU", kinks=(0.0,), init="he_normal",
)  # fmt: skip
def leaky_relu(x: Any, slope: Any = 0.01) -> Tensor:
    """x above 0, slope · x below. Derivative: 1 above 0, else the slope; so no unit is ever dead.

    Source: Maas et al. 2013.

    >>> leaky_relu([-1.0, 2.0]).tolist()
    [-0.009999999776482582, 2.0]
    """
    z = floats("leaky_relu", x)
    return where(z > 0, z, checked("leaky_relu", "slope", slope) * z)


@activation(
    r"\max(0, x) + a \min(0, x)", cases(r"1 & x > 0", r"a & x \leq 0"), r"(-\infty, \infty)", "He et al. 2015",
    layer="PReLU", kinks=(0.0,), init="he_normal",
)  # fmt: skip
def prelu(x: Any, slope: Any = 0.25) -> Tensor:
    """max(0, x) + a · min(0, x), where a is learned: the layer kj.nn.PReLU holds it, and the string "prelu" means that.

    Derivative: 1 above 0, else a; by a it is min(0, x). `slope` broadcasts against x. Source: He et al. 2015.

    >>> prelu([-2.0, 2.0], slope=0.5).tolist()
    [-1.0, 2.0]
    """
    z = floats("prelu", x)
    if np.ndim(slope) == 0:
        checked("prelu", "slope", slope)
    return where(z > 0, z, slope * z)


@activation(
    cases(r"x & x > 0", r"a\,x & x \leq 0, \quad a \sim U(l, h)"), cases(r"1 & x > 0", r"a & x \leq 0"),
    r"(-\infty, \infty)", "Xu et al. 2015", layer="RReLU", kinks=(0.0,), init="he_normal",
)  # fmt: skip
def rrelu(x: Any, low: Any = LOW, high: Any = HIGH, *, key: Any = None) -> Tensor:
    """x above 0, a · x below: each element draws its own a from U(low, high) with the key; without one a is their mean.

    The layer kj.nn.RReLU draws in training and takes the mean in inference, and the string "rrelu" means that.
    Derivative: 1 above 0, else a. Source: Xu et al. 2015.

    >>> rrelu([-48.0, 2.0]).tolist()
    [-11.0, 2.0]
    """
    z = floats("rrelu", x)
    checked("rrelu", "low", low)
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        checked("rrelu", "high", high)
    else:
        checked("rrelu", "high", high, least=low)
    if key is None:
        return where(z > 0, z, (low + high) / 2 * z)
    return where(z > 0, z, (low + (high - low) * draws.uniform(key, z.shape, dtype=z.dtype)) * z)


@activation(
    cases(r"x & x > 0", r"\alpha (e^{x} - 1) & x \leq 0"), cases(r"1 & x > 0", r"\alpha e^{x} & x \leq 0"),
    r"(-1, \infty)", "Clevert et al. 2016", layer="ELU", init="he_normal",
)  # fmt: skip
def elu(x: Any, alpha: Any = 1.0) -> Tensor:
    """x above 0, α (eˣ − 1) below: it levels off at −α. Derivative: 1 above 0, else α eˣ. Source: Clevert et al. 2016.

    >>> elu([-1e4, 2.0]).tolist()
    [-1.0, 2.0]
    """
    z = floats("elu", x)
    y: Tensor = relu(z) + checked("elu", "alpha", alpha) * expm1(_below(z))
    return y


@activation(
    cases(r"\lambda x & x > 0", r"\lambda \alpha (e^{x} - 1) & x \leq 0"),
    cases(r"\lambda & x > 0", r"\lambda \alpha e^{x} & x \leq 0"),
    r"(-1.7581, \infty)", "Klambauer et al. 2017", layer="SELU", kinks=(0.0,), init="lecun_normal",
)  # fmt: skip
def selu(x: Any) -> Tensor:
    """λ · elu(x, α), with λ = 1.0507… and α = 1.6733…: mean 0 and variance 1 stay so from layer to layer.

    Derivative: λ above 0, else λ α eˣ. It wants LeCun's normal start. Source: Klambauer et al. 2017.

    >>> selu([0.0, 1.0]).tolist()
    [0.0, 1.0507010221481323]
    """
    return SCALE * elu(floats("selu", x), ALPHA)


@activation(
    cases(r"x & x > 0", r"\alpha (e^{x/\alpha} - 1) & x \leq 0"), cases(r"1 & x > 0", r"e^{x/\alpha} & x \leq 0"),
    r"(-1, \infty)", "Barron 2017", layer="CELU", init="he_normal",
)  # fmt: skip
def celu(x: Any, alpha: Any = 1.0) -> Tensor:
    """x above 0, α (e^(x/α) − 1) below: an ELU that is smooth for every α > 0. Derivative: 1 above 0, else e^(x/α).

    Source: Barron 2017.

    >>> celu([-1e4, 2.0], alpha=0.5).tolist()
    [-0.5, 2.0]
    """
    z = floats("celu", x)
    checked("celu", "alpha", alpha, above=0)
    y: Tensor = relu(z) + alpha * expm1(_below(z) / alpha)
    return y


@activation(
    cases(r"x & x > \theta", r"0 & x \leq \theta"), cases(r"1 & x > \theta", r"0 & x \leq \theta"), r"[0, \infty)",
    "Konda et al. 2015", layer="ThresholdedReLU", kinks=(1.0,), init="he_normal",
)  # fmt: skip
def thresholded_relu(x: Any, threshold: Any = 1.0) -> Tensor:
    """x above the threshold, else 0: it jumps there. Derivative: 1 above, else 0. Source: Konda et al. 2015.

    >>> thresholded_relu([-1.0, 0.9, 1.0, 1.1], threshold=1.0).tolist()
    [0.0, 0.0, 0.0, 1.100000023841858]
    """
    z = floats("thresholded_relu", x)
    return where(z <= checked("thresholded_relu", "threshold", threshold), 0.0, z)
