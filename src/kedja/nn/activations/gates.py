"""Smooth relatives of the rectifier: x times a gate that opens as x grows (scope 2.3). Most are not monotone."""

from __future__ import annotations

import math
from typing import Any

from kedja.errors import ShapeError, one_of
from kedja.graph.node import Tensor
from kedja.graph.shapes import as_axis
from kedja.nn.activations.entry import activation, cases, checked, floats
from kedja.nn.activations.squashing import hard_sigmoid
from kedja.ops import sigmoid, tanh
from kedja.ops import softplus as softplus_op
from kedja.ops.elementwise import erf

__all__ = ["gelu", "gelu_tanh", "glu", "hard_swish", "mish", "softplus", "swish"]

CUBIC = 0.044715  # of the tanh form of GELU
APPROXIMATE = {False: False, "none": False, True: True, "tanh": True}


@activation(
    r"x\,\Phi(x) = \frac{x}{2} \left(1 + \operatorname{erf} \frac{x}{\sqrt{2}}\right)", r"\Phi(x) + x\,\varphi(x)",
    r"[-0.16998, \infty)", "Hendrycks and Gimpel 2016", layer="GELU", monotone=False, init="he_normal",
)  # fmt: skip
def gelu(x: Any, approximate: bool | str = False) -> Tensor:
    """x Φ(x), with Φ the distribution function of the standard normal: ½ x (1 + erf(x/√2)).

    `approximate=True` (or "tanh") is the form with tanh, `gelu_tanh`. Derivative: Φ(x) + x φ(x).
    Source: Hendrycks and Gimpel 2016.

    >>> gelu([-1e4, 0.0, 1e4]).tolist()
    [-0.0, 0.0, 10000.0]
    """
    if not isinstance(approximate, bool | str) or approximate not in APPROXIMATE:
        raise one_of("approximate=", approximate, ["none", "tanh"])
    if APPROXIMATE[approximate]:
        return gelu_tanh(x)
    z = floats("gelu", x)
    return z * (0.5 + 0.5 * erf(z * math.sqrt(0.5)))


@activation(
    r"\frac{x}{2} (1 + \tanh u), \quad u = \sqrt{\frac{2}{\pi}} (x + 0.044715\,x^{3})",
    r"\frac{1}{2} (1 + \tanh u) + \frac{x}{2} (1 - \tanh^{2} u) \sqrt{\frac{2}{\pi}} (1 + 0.134145\,x^{2})",
    r"[-0.17005, \infty)", "Hendrycks and Gimpel 2016", layer="GELUTanh", monotone=False, init="he_normal",
)  # fmt: skip
def gelu_tanh(x: Any) -> Tensor:
    """½ x (1 + tanh u), u = √(2/π) (x + 0.044715 x³): GELU without erf, within 5e-4 of it.

    Computed as x σ(2u), which is the same and keeps its digits where tanh u is near −1.
    Derivative: ½ (1 + tanh u) + ½ x (1 − tanh² u) u′. Source: Hendrycks and Gimpel 2016.

    >>> gelu_tanh([-1e4, 0.0, 1e4]).tolist()
    [-0.0, 0.0, 10000.0]
    """
    z = floats("gelu_tanh", x)
    return z * sigmoid((2 * math.sqrt(2 / math.pi)) * z * (1 + CUBIC * (z * z)))


@activation(
    r"x\,\sigma(\beta x)", r"\sigma(\beta x) (1 + \beta x (1 - \sigma(\beta x)))", r"[-0.27847, \infty)",
    "Elfwing et al. 2018; Ramachandran et al. 2017", layer="Swish", monotone=False, aliases=("silu",),
    init="he_normal",
)  # fmt: skip
def swish(x: Any, beta: Any = 1.0) -> Tensor:
    """x σ(βx), with β = 1 also called SiLU. Derivative: σ(βx) (1 + βx (1 − σ(βx))).

    Source: Elfwing et al. 2018; Ramachandran et al. 2017.

    >>> swish([-1e4, 0.0, 1e4]).tolist()
    [-0.0, 0.0, 10000.0]
    """
    z = floats("swish", x)
    return z * sigmoid(checked("swish", "beta", beta) * z)


@activation(
    r"\frac{1}{\beta} \ln(1 + e^{\beta x})", r"\sigma(\beta x)", r"(0, \infty)", "Dugas et al. 2001", layer="Softplus",
)  # fmt: skip
def softplus(x: Any, beta: Any = 1.0) -> Tensor:
    """ln(1 + e^(βx)) / β, a smooth rectifier: it goes to relu as β grows. Derivative: σ(βx). Source: Dugas et al. 2001.

    >>> softplus([-1e4, 1e4], beta=2.0).tolist()
    [0.0, 10000.0]
    """
    z = floats("softplus", x)
    checked("softplus", "beta", beta, above=0)
    y: Tensor = softplus_op(beta * z) / beta
    return y


@activation(
    r"x \tanh s, \quad s = \frac{1}{\beta} \ln(1 + e^{\beta x})", r"\tanh s + x\,\sigma(\beta x) (1 - \tanh^{2} s)",
    r"[-0.30885, \infty)", "Misra 2019", layer="Mish", monotone=False, init="he_normal",
)  # fmt: skip
def mish(x: Any, beta: Any = 1.0) -> Tensor:
    """x tanh(s), s = ln(1 + e^(βx)) / β. Derivative: tanh s + x σ(βx) (1 − tanh² s). Source: Misra 2019 (β = 1).

    >>> mish([-1e4, 0.0, 1e4]).tolist()
    [-0.0, 0.0, 10000.0]
    """
    z = floats("mish", x)
    return z * tanh(softplus(z, checked("mish", "beta", beta, above=0)))


@activation(
    cases(r"0 & x \leq -3", r"x & x \geq 3", r"\frac{x (x + 3)}{6} & \text{else}"),
    cases(r"0 & x \leq -3", r"1 & x \geq 3", r"\frac{2 x + 3}{6} & \text{else}"),
    r"[-0.375, \infty)", "Howard et al. 2019", layer="HardSwish", monotone=False,
    aliases=("hard_silu", "hardswish"), kinks=(-3.0, 3.0), init="he_normal",
)  # fmt: skip
def hard_swish(x: Any) -> Tensor:
    """x · hard_sigmoid(x): 0 up to −3, x from 3, x (x + 3)/6 between. Derivative: 0, 1, (2x + 3)/6.

    Source: Howard et al. 2019.

    >>> hard_swish([-4.0, 1.5, 4.0]).tolist()
    [-0.0, 1.125, 4.0]
    """
    z = floats("hard_swish", x)
    return z * hard_sigmoid(z)


@activation(
    r"a\,\sigma(b), \quad (a, b) = x", r"\frac{\partial}{\partial a} = \sigma(b), \quad "
    r"\frac{\partial}{\partial b} = a\,\sigma(b) (1 - \sigma(b))", r"(-\infty, \infty)", "Dauphin et al. 2017",
    layer="GLU", monotone=False, elementwise=False,
)  # fmt: skip
def glu(x: Any, axis: int = -1) -> Tensor:
    """a σ(b), where a and b are the two halves of x along the axis, which comes out half as long.

    Derivative: σ(b) by a, a σ(b) (1 − σ(b)) by b. Source: Dauphin et al. 2017.

    >>> glu([[3.0, 0.0]]).tolist()
    [[1.5]]
    """
    z = floats("glu", x)
    place = as_axis(axis, z.ndim)
    if z.shape[place] % 2:
        raise ShapeError(f"glu halves axis {axis} of {z.shape}, and {z.shape[place]} is odd: give it an even size")
    half, before = z.shape[place] // 2, (slice(None),) * place
    return z[(*before, slice(None, half))] * sigmoid(z[(*before, slice(half, None))])
