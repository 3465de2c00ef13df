"""Shrinkage: small numbers become 0 or smaller still (scope 2.3), as in sparse coding and the lasso.

At ±threshold the derivative is 0, as relu's is at 0.
"""

from __future__ import annotations

from typing import Any

from kedja.graph.node import Tensor
from kedja.nn.activations.entry import activation, cases, checked, floats
from kedja.ops import absolute, relu, tanh, where

__all__ = ["hard_shrink", "soft_shrink", "tanh_shrink"]


@activation(
    r"x - \tanh x", r"\tanh^{2} x", r"(-\infty, \infty)", "scope 2.3", layer="TanhShrink", aliases=("tanhshrink",),
)  # fmt: skip
def tanh_shrink(x: Any) -> Tensor:
    """x − tanh x: flat about 0. Derivative: tanh² x.

    >>> tanh_shrink([0.0, 1e4]).tolist()
    [0.0, 9999.0]
    """
    z = floats("tanh_shrink", x)
    return z - tanh(z)


@activation(
    cases(r"x - \lambda & x > \lambda", r"x + \lambda & x < -\lambda", r"0 & \text{else}"),
    cases(r"1 & |x| > \lambda", r"0 & |x| \leq \lambda"), r"(-\infty, \infty)", "Donoho and Johnstone 1994",
    layer="SoftShrink", aliases=("softshrink",), kinks=(-0.5, 0.5),
)  # fmt: skip
def soft_shrink(x: Any, threshold: Any = 0.5) -> Tensor:
    """x moved towards 0 by λ = threshold, and 0 within it. Derivative: 1 where |x| > λ, else 0.

    Source: Donoho and Johnstone 1994.

    >>> soft_shrink([-2.0, 0.3, 2.0]).tolist()
    [-1.5, 0.0, 1.5]
    """
    z = floats("soft_shrink", x)
    checked("soft_shrink", "threshold", threshold, least=0)
    return relu(z - threshold) - relu(-z - threshold)


@activation(
    cases(r"x & |x| > \lambda", r"0 & |x| \leq \lambda"), cases(r"1 & |x| > \lambda", r"0 & |x| \leq \lambda"),
    r"(-\infty, \infty)", "Donoho and Johnstone 1994", layer="HardShrink", aliases=("hardshrink",), kinks=(-0.5, 0.5),
)  # fmt: skip
def hard_shrink(x: Any, threshold: Any = 0.5) -> Tensor:
    """x where |x| > λ = threshold, else 0: it jumps there. Derivative: 1 where |x| > λ, else 0.

    Source: Donoho and Johnstone 1994.

    >>> hard_shrink([-2.0, 0.3, 2.0]).tolist()
    [-2.0, 0.0, 2.0]
    """
    z = floats("hard_shrink", x)
    return where(absolute(z) <= checked("hard_shrink", "threshold", threshold, least=0), 0.0, z)
