"""Activations: kedja's own, with ONNX's defaults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kedja import ops
from kedja.formats.onnx.registry import define, operator
from kedja.graph.node import Tensor
from kedja.graph.shapes import as_axis, size
from kedja.nn import activations

for _name, _function in {
    "HardSwish": activations.hard_swish, "Mish": activations.mish, "Relu": ops.relu, "Sigmoid": ops.sigmoid,
    "Softplus": ops.softplus, "Softsign": activations.softsign, "Tanh": ops.tanh,
}.items():  # fmt: skip
    define(_name, lambda x, function=_function: function(x))


@operator("Elu")
def elu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """x above 0, α (eˣ − 1) below."""
    return activations.elu(x, alpha)


@operator("Celu")
def celu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """x above 0, α (e^(x/α) − 1) below."""
    return activations.celu(x, alpha)


@operator("Selu")
def selu(x: Tensor, *, alpha: float = 1.67326319217681884765625, gamma: float = 1.05070102214813232421875) -> Tensor:
    """γ · elu(x, α)."""
    return gamma * activations.elu(x, alpha)


@operator("LeakyRelu")
def leaky_relu(x: Tensor, *, alpha: float = 0.01) -> Tensor:
    """x above 0, α x below."""
    return activations.leaky_relu(x, alpha)


@operator("PRelu")
def prelu(x: Tensor, slope: Tensor) -> Tensor:
    """x above 0, slope · x below."""
    return activations.prelu(x, slope)


@operator("ThresholdedRelu")
def thresholded_relu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """x above α, else 0."""
    return activations.thresholded_relu(x, alpha)


@operator("HardSigmoid")
def hard_sigmoid(x: Tensor, *, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    """αx + β, cut off at 0 and 1."""
    return ops.clip(alpha * x + beta, 0.0, 1.0)


@operator("Gelu")
def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    """x Φ(x), or the form with tanh."""
    return activations.gelu(x, approximate)


@operator("Swish")
def swish(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """x σ(αx)."""
    return activations.swish(x, alpha)


@operator("SwiGLU")
def swiglu(a: Tensor, b: Tensor, *, alpha: float = 1.0) -> Tensor:
    """swish(a) · b."""
    return activations.swish(a, alpha) * b


@operator("Shrink")
def shrink(x: Tensor, *, bias: float = 0.0, lambd: float = 0.5) -> Tensor:
    """x moved by the bias towards 0 where it is further from it than λ, else 0."""
    return ops.where(x > lambd, x - bias, ops.where(x < -lambd, x + bias, 0.0))


def _along(name: str, function: Callable[[Tensor, int], Tensor]) -> None:
    """Enter a function along one axis; before version 13 all axes from it on counted as one."""

    def applied(x: Tensor, *, axis: int | None = None, opset: int) -> Tensor:
        if opset >= 13:
            return function(x, -1 if axis is None else axis)
        at = as_axis(1 if axis is None else axis, x.ndim)
        return ops.reshape(function(ops.reshape(x, (size(x.shape[:at]), -1)), -1), x.shape)

    define(name, applied)


def hardmax(x: Tensor, axis: int) -> Tensor:
    """1 at the first largest along the axis, 0 elsewhere."""
    at = as_axis(axis, x.ndim)
    return ops.moveaxis(ops.one_hot(ops.argmax(x, at), x.shape[at], x.dtype), -1, at)


_along("Softmax", ops.softmax)
_along("LogSoftmax", ops.log_softmax)
_along("Hardmax", hardmax)

# Activations of recurrent operators: the function and the parameters it takes.
RECURRENT: dict[str, tuple[Any, ...]] = {
    "Affine": (lambda x, alpha=1.0, beta=0.0: alpha * x + beta, "alpha", "beta"),
    "Elu": (lambda x, alpha=1.0: activations.elu(x, alpha), "alpha"),
    "HardSigmoid": (lambda x, alpha=0.2, beta=0.5: hard_sigmoid(x, alpha=alpha, beta=beta), "alpha", "beta"),
    "LeakyRelu": (lambda x, alpha=0.01: activations.leaky_relu(x, alpha), "alpha"),
    "Relu": (ops.relu,),
    "ScaledTanh": (lambda x, alpha=1.0, beta=1.0: alpha * ops.tanh(beta * x), "alpha", "beta"),
    "Sigmoid": (ops.sigmoid,),
    "Softplus": (ops.softplus,),
    "Softsign": (activations.softsign,),
    "Tanh": (ops.tanh,),
    "ThresholdedRelu": (lambda x, alpha=1.0: activations.thresholded_relu(x, alpha), "alpha"),
}
