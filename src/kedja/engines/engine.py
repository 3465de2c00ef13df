"""What an engine is: something that makes a runnable Program, or a Loop of many steps, from a Graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from kedja.errors import ShapeError
from kedja.graph.node import Tensor
from kedja.graph.trace import Graph
from kedja.graph.variables import Variable

__all__ = ["CompileReport", "Engine", "Loop", "LoopResult", "Observer", "Program"]

Array = np.ndarray[Any, Any]
# The most steps of one call of a loop: the rows of its table of outputs, which is laid out anew for each call. With
# more rows a call of one step gets dearer (65,536: 0.2 ms), with fewer a call of many tiny ones is too short to pay.
LOOP_STEPS = 4096


@dataclass
class CompileReport:
    """What was compiled and how long it took."""

    engine: str
    nodes: int
    variables: int
    arguments: int
    lower_seconds: float = 0.0
    compile_seconds: float = 0.0
    from_cache: bool = False

    def __str__(self) -> str:
        how = "loaded from the compile cache" if self.from_cache else "compiled"
        return (
            f"{self.engine}: {self.nodes} nodes, {self.variables} variables, {self.arguments} arguments; "
            f"lowered in {self.lower_seconds:.3f} s, {how} in {self.compile_seconds:.3f} s"
        )


class Program(Protocol):
    """A graph ready to run, pure: (values of its variables, inputs) → (new values of the updated ones, outputs)."""

    graph: Graph
    variables: list[Variable]
    report: CompileReport

    def put(self, array: Any) -> Any: ...

    def __call__(self, state: Sequence[Any], inputs: Sequence[Any]) -> tuple[list[Any], list[Any]]: ...


def check_shapes(graph: Graph, inputs: Sequence[Any]) -> None:
    """Refuse values of other shapes than the graph was traced for."""
    for x, t in zip(inputs, graph.inputs, strict=True):
        if np.shape(x) != t.shape:
            raise ShapeError(f"the program was traced for {t.shape}, got {np.shape(x)}")


@dataclass
class LoopResult:
    """What a stretch of steps gave: state after it, the outputs of each step (rows), and how far it came."""

    state: list[Any]
    outputs: Array
    done: int
    finite: bool


def table_of(graph: Graph) -> tuple[int, Any]:
    """Width and type of a loop's table of outputs: a column for each number of a step, in the widest of their types."""
    return sum(o.size for o in graph.outputs), np.result_type(*(o.dtype for o in graph.outputs))


class Loop(Protocol):
    """Many steps of one graph in a single call.

    The graph's inputs are the batch arrays, then (when `padded`) the mask of real rows, then the arguments. Step i
    takes rows `order[i]` of every data array (−1: padding), or all rows when order is None. Its outputs are numbers,
    or several at once; the first is the loss, and the loop stops after a step whose loss is not finite.
    """

    graph: Graph
    variables: list[Variable]
    report: CompileReport

    def put(self, array: Any) -> Any: ...

    def run(
        self, state: Sequence[Any], data: Sequence[Any], order: Any, arguments: Sequence[Any], start: int, stop: int
    ) -> LoopResult: ...


class Engine(Protocol):
    """`reference` or `xla`."""

    name: str

    def program(self, graph: Graph) -> Program: ...

    def loop(self, graph: Graph, *, data: int, padded: bool, ordered: bool) -> Loop: ...

    def rest(self) -> None:
        """Give back memory that is kept from one call of a loop to the next."""


Observer = Callable[[Tensor, Any], None]
