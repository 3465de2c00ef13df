"""Lambda: any function of tensors as a layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kedja import ops
from kedja.errors import FormatError, GraphError, one_of
from kedja.graph.node import Tensor
from kedja.nn import activations
from kedja.nn.layers.layer import Layer

__all__ = ["Lambda"]


class Lambda(Layer):
    """y = f(x₁, x₂, …) for a function f of tensors, one of kedja's by name ("square", "exp", "tanh") or the user's.

    A function of the user's is code, which is never written into a model file: saving raises FormatError. A class of
    your own, class Mine(kj.nn.Layer) with call(self, x), can be saved. Raises GraphError when f gives no tensor.
    Derivative: that of f, as kedja finds it from the ops it is made of.

    >>> import kedja as kj
    >>> Lambda(lambda x: x * 2.0 + 1.0)(kj.tensor([[1.0]])).tolist()
    [[3.0]]
    >>> Lambda("square")(kj.tensor([[3.0]])).tolist()
    [[9.0]]
    """

    def __init__(self, function: Callable[..., Any] | str, name: str | None = None) -> None:
        super().__init__(name)
        self.function = named(function) if isinstance(function, str) else function
        if not callable(self.function):
            raise GraphError(f"Lambda: takes a function of tensors, or the name of one; got {function!r}")

    def call(self, *xs: Tensor) -> Tensor:
        y = self.function(*xs)
        if not isinstance(y, Tensor):
            raise GraphError(
                f"its function gave {type(y).__name__}, not a tensor: it computes on tensors, with kj.exp and the "
                "like, not on arrays"
            )
        return y

    def to_config(self) -> dict[str, Any]:
        """The name of the function, if it is one of kedja's."""
        found = {name: f for name, f in _known().items() if f is self.function}
        if not found:
            name = getattr(self.function, "__name__", type(self.function).__name__)
            raise FormatError(
                f"{self.title}: the function {name} cannot be written into a model file: kedja saves names and "
                "numbers, never code. Make it a Layer class of its own and give it to kj.load(classes=[...])."
            )
        rest = {} if self.name is None else {"name": self.name}
        return {"function": min(found, key=len), **rest}


def _known() -> dict[str, Any]:
    """Functions of tensors that go by name."""
    return {**activations.NAMES, **{name: f for name in ops.__all__ if callable(f := getattr(ops, name))}}


def named(name: str) -> Any:
    """The function of kedja with this name."""
    known = _known()
    if name not in known:
        raise one_of("function", name, known)
    return known[name]
