"""The values around a node: what graphs inside operators may read, and how they are built."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import onnx

from kedja.errors import FormatError
from kedja.formats.onnx.values import Value

__all__ = ["Scope"]

Build = Callable[[onnx.GraphProto, Mapping[str, Value]], list[Value]]


@dataclass(frozen=True)
class Scope:
    """The values by name that were made before a node, and the way to build a graph that reads them."""

    values: Mapping[str, Value]
    build: Build

    def inside(self, graph: onnx.GraphProto, given: Sequence[Value] = ()) -> list[Value]:
        """The outputs of a graph inside an operator; `given` are its inputs, in order."""
        if len(given) != len(graph.input):
            raise FormatError(f"the graph {graph.name!r} inside takes {len(graph.input)} inputs, got {len(given)}")
        return self.build(graph, {**self.values, **{i.name: x for i, x in zip(graph.input, given, strict=True)}})
