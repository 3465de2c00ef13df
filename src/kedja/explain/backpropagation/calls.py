"""The calls of layers in a pass: what goes in and comes out, and what the activation of a layer is applied to."""

from __future__ import annotations

from typing import NamedTuple

from kedja.explain.show.writing import inlined, seen_through
from kedja.graph.dtypes import is_float
from kedja.graph.node import Tensor, ancestors
from kedja.graph.variables import Variable
from kedja.nn.layers.layer import Layer

__all__ = ["Call", "pre_activation"]


class Call(NamedTuple):
    """One call of a layer, with its place in the model."""

    layer: Layer
    path: str
    inputs: tuple[Tensor, ...]
    output: Tensor

    @property
    def variables(self) -> dict[str, Variable]:
        """The layer's own weights and statistics, by name."""
        return {name: v for name, v in self.layer.members() if isinstance(v, Variable)}

    @property
    def inside(self) -> list[Tensor]:
        """The nodes between the inputs and the output, itself included, in order."""
        outside = set(self.inputs)
        return [n for n in ancestors([self.output], self.inputs) if n not in outside]


def pre_activation(call: Call) -> Tensor:
    """What the activation of a layer is applied to: the last node of its size that uses one of its weights.

    That is the output of a layer without an activation, and the input of a layer that is one.
    """
    if getattr(call.layer, "activation_name", None) in (None, "identity", "linear"):
        return call.output
    own = set(call.variables.values())
    if not own and call.inputs:
        return call.inputs[0]
    inside = call.inside
    sized = [n for n in inside if n.size == call.output.size and is_float(n.dtype)]
    using = [n for n in sized if not own.isdisjoint(seen_through(x) if x.inputs else x for x in n.inputs)]
    last = using[-1] if using else call.output
    for n in inside:  # the same numbers in another shape
        if inlined(n) and n.inputs[0] is last:
            last = n
    return last
