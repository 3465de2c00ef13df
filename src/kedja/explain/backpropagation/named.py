"""What the passes need to know of a graph: who is shown, under which name, and what is written otherwise."""

from __future__ import annotations

from kedja.errors import one_of
from kedja.explain.show.naming import Name, Symbol
from kedja.graph.node import Tensor

__all__ = ["LEVELS", "Named"]

LEVELS = ("layer", "op", "element")


class Named:
    """The names of a graph's nodes, and which of them are shown, in order, up to `end`, which is called `error`.

    `layer_of` has the layer a node belongs to, `rules` what is said of it. `written` are nodes whose formula is shown
    as another graph of the same value, `slopes` the same for gradients.
    """

    shown: list[Tensor]
    error: Symbol
    end: Tensor

    def __init__(self, level: str) -> None:
        if level not in LEVELS:
            raise one_of("level", level, LEVELS)
        self.level = level
        self.names: dict[Tensor, Name] = {}
        self.layer_of: dict[Tensor, str] = {}
        self.written: dict[Tensor, Tensor] = {}
        self.slopes: dict[Tensor, Tensor] = {}
        self.rules: dict[Tensor, str] = {}
