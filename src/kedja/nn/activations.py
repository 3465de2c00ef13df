"""Activation functions by name (scope 2.3). Each is a function on the graph; the ops say its value and derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kedja.errors import one_of
from kedja.graph.node import Tensor
from kedja.ops import relu, sigmoid, softmax, tanh

__all__ = ["NAMES", "get", "identity", "name_of", "relu", "sigmoid", "softmax", "tanh"]

Activation = Callable[[Tensor], Tensor]


def identity(x: Tensor) -> Tensor:
    """f(x) = x.

    >>> import kedja as kj
    >>> identity(kj.tensor(2.0)).item()
    2.0
    """
    return x


NAMES: dict[str, Activation] = {
    "identity": identity,
    "linear": identity,
    "relu": relu,
    "sigmoid": sigmoid,
    "softmax": softmax,
    "tanh": tanh,
}


def get(activation: Any) -> Activation:
    """The function a name stands for; None is the identity, a function is itself.

    >>> get("tanh") is tanh, get(None) is identity
    (True, True)
    """
    if activation is None:
        return identity
    if callable(activation):
        found: Activation = activation
        return found
    if activation not in NAMES:
        raise one_of("activation", activation, NAMES)
    return NAMES[activation]


def name_of(activation: Any) -> str:
    """The name an activation is saved and shown under.

    >>> name_of(None), name_of(relu)
    ('linear', 'relu')
    """
    if activation is None:
        return "linear"
    if isinstance(activation, str):
        return activation
    for name, function in NAMES.items():
        if function is activation:
            return name
    return str(getattr(activation, "__name__", type(activation).__name__))
