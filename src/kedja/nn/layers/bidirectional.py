"""A recurrent layer that reads the sequence from both ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kedja.errors import GraphError, one_of
from kedja.graph.node import Tensor
from kedja.graph.shapes import Shape
from kedja.nn.layers.layer import Layer
from kedja.nn.layers.recurrent import Recurrent
from kedja.ops import concatenate

__all__ = ["Bidirectional"]

MERGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "concat": lambda a, b: concatenate([a, b], axis=-1),
    "sum": lambda a, b: a + b,
    "mean": lambda a, b: (a + b) / 2,
    "multiply": lambda a, b: a * b,
}


class Bidirectional(Layer):
    """y = [f(x), b(x)]: two recurrent layers made alike, one of which reads from the end; their outputs are merged.

    `layer` is the one that reads forwards (and is called so); `backwards` is made with its settings, and has weights
    of its own. `merge`: "concat", "sum", "mean" or "multiply" of the outputs, (…, units) each. Without
    `return_sequences` it merges what each gives after its last step. With `return_state` the states follow, those of
    `forwards` first.
    Inputs: x (N, steps, features), a mask (N, steps), and the states to start from, those of `forwards` first.
    Derivative: ∂J/∂x = the sum of what both layers send back; each gets its part of ∂J/∂y.
    Source: Schuster and Paliwal 1997.

    >>> import kedja as kj
    >>> Bidirectional(kj.nn.LSTM(4, return_sequences=True))(kj.zeros((8, 10, 2))).shape
    (8, 10, 8)
    """

    def __init__(self, layer: Recurrent, merge: str = "concat", name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, dtype)
        if not isinstance(layer, Recurrent):
            raise GraphError(f"Bidirectional: it takes a recurrent layer (SimpleRNN, LSTM, GRU), got {layer!r}")
        if layer.built:
            raise GraphError("Bidirectional: the layer has weights already; give it one that is new")
        if merge not in MERGES:
            raise one_of("merge of a Bidirectional layer", merge, MERGES)
        self.merge = merge
        self.forwards = layer
        self.backwards = type(layer)(**{**layer._arguments, "reverse": not layer.reverse})

    @property
    def gives(self) -> int | None:  # type: ignore[override]
        """The merged output and the states of both, with `return_state`; else one tensor."""
        return 1 + 2 * self.forwards.states if self.forwards.return_state else None

    def build(self, x: Shape, *others: Shape) -> None:
        self.forwards.expect_sequences(x)

    def call(self, x: Tensor, mask: Tensor | None = None, *state: Tensor) -> Any:
        half = len(state) // 2
        head = (x,) if mask is None else (x, mask)
        there = self.forwards(*head, *state[:half])
        back = self.backwards(*head, *state[half:])
        if not self.forwards.return_state:
            return MERGES[self.merge](there, back)
        return (MERGES[self.merge](there[0], back[0]), *there[1:], *back[1:])
