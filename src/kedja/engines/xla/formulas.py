"""What a graph makes of each number of a result by itself, in any nodes: found, and written as a program for kernels.

- A function of z alone, in several nodes: sigmoid, swish, elu and all that is made of the same ops. Nobody else
  may need z, or what lies between.
- A gradient that a kernel makes, then what is done to it with the help of one other array: for a sigmoid of y, for
  swish of z. What only this needs of the array is computed along with it, and so is what somebody else keeps, if the
  kernel would otherwise read a second array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from kedja.engines.xla.activations import Ended, Through, number
from kedja.graph.node import Tensor
from kedja.ops import elementwise as e
from kedja.ops.convolution import collect, correlate

__all__ = ["ELEMENTWISE", "SMOOTH", "Formulas", "programmed"]

MOST_STEPS = 32
ELEMENTWISE = (
    e.add, e.subtract, e.multiply, e.divide, e.negative, e.reciprocal, e.square, e.sqrt, e.absolute, e.relu, e.maximum,
    e.minimum, e.greater, e.greater_equal, e.less, e.less_equal, e.astype, e.select, e.stop,
)  # fmt: skip
SMOOTH = (e.exp, e.expm1, e.sigmoid, e.softplus, e.tanh)
FLOATS = ("float32", "float64")


def programmed(
    given: Sequence[tuple[str, Tensor]], nodes: Sequence[Tensor], outputs: Sequence[Tensor],
    inputs: Callable[[Tensor], Sequence[Tensor]] = lambda node: node.inputs,
) -> Any:  # fmt: skip
    """Nodes as a kernel's program. Given are its inputs, each with its kind; else they read numbers."""
    from kedja.engines.kernels.elementwise import Program

    place = {x: i for i, (_, x) in enumerate(given)}
    steps: list[tuple[str, tuple[int, ...]]] = []
    literals = []
    for node in nodes:
        for x in inputs(node):
            if x not in place:
                place[x] = len(given) + len(steps)
                literals.append((place[x], float(np.asarray(x.attrs["value"]).reshape(()))))
                steps.append(("literal", ()))
        place[node] = len(given) + len(steps)
        steps.append((node.op.name, tuple(place[x] for x in inputs(node))))
    return Program(tuple(kind for kind, _ in given), tuple(steps), tuple(place[x] for x in outputs), tuple(literals))


class Formulas:
    """Looks for them in the nodes that a graph computes, each with its users; a user None is the end of the graph.

    `taken` are the nodes that are not computed each by itself, None for those that are left out.
    """

    def __init__(
        self, order: Sequence[Tensor], users: Mapping[Tensor, Sequence[Tensor | None]], taken: Mapping[Tensor, Any]
    ) -> None:
        self.place = {node: i for i, node in enumerate(order)}
        self.users, self.taken = users, taken

    def of(self, z: Tensor) -> Ended | None:
        """The longest function of z alone."""
        from kedja.engines.kernels.elementwise import Formula

        last = None
        for inside in self._closed(z, alone=True):
            last = inside
        if last is None:
            return None
        *inner, y = last
        return Ended(y, Formula(programmed([("sum", z)], last, [y])), tuple(inner))

    def through(self, made: Tensor) -> tuple[Tensor, Through] | None:
        """The last node that is made of a gradient and one other array, which stands for z, and how."""
        from kedja.engines.kernels.elementwise import Formula

        found = None
        for inside in self._closed(made, alone=False):
            value, helping = self._array(made, inside)
            if value is not None:
                *inner, node = inside
                nodes = sorted((*inside, *helping), key=self.place.__getitem__)
                program = programmed([("sum", made), ("array", value)], nodes, [node])
                found = node, Through(made, value, Formula(program), tuple(inner))
        return found

    def _closed(self, z: Tensor, alone: bool) -> Iterator[list[Tensor]]:
        """Ever more nodes that z leads to, where nobody else needs any of these but the last."""
        if z.dtype.name not in FLOATS:
            return
        inside: dict[Tensor, None] = {z: None}
        waiting = self._later(z)
        while waiting and len(inside) <= MOST_STEPS:
            node = min(waiting, key=self.place.__getitem__)
            waiting.discard(node)
            others = self._read([node], inside)
            if not self._simple(node, z) or (others and (alone or any(x.shape != z.shape for x in others))):
                return
            inside[node] = None
            waiting |= self._later(node)
            if node.dtype == z.dtype and all(u in inside for x in inside if x is not node for u in self.users[x]):
                yield list(inside)[1:]

    def _later(self, node: Tensor) -> set[Tensor]:
        return {user for user in self.users[node] if user is not None}

    def _read(self, nodes: Sequence[Tensor], inside: Mapping[Tensor, None]) -> set[Tensor]:
        """What they read from outside, but for numbers that are known."""
        return {x for node in nodes for x in node.inputs if x not in inside and number(x) is None}

    def _simple(self, node: Tensor, like: Tensor) -> bool:
        """Whether a kernel can compute the node from single numbers."""
        kinds = (like.dtype.name, "bool")
        return (
            node.op in (*ELEMENTWISE, *SMOOTH) and node in self.place and node not in self.taken
            and node.shape == like.shape and all(x.dtype.name in kinds for x in (node, *node.inputs))
            and (node.op is not e.astype or (node.dtype == like.dtype and node.inputs[0].dtype.name == "bool"))
        )  # fmt: skip

    def _array(self, made: Tensor, inside: Sequence[Tensor]) -> tuple[Tensor | None, Sequence[Tensor]]:
        """The one array that is read, and what the kernel has to compute of it; None if there must be more of them."""
        nodes = {made: None, **dict.fromkeys(inside)}
        helping: list[Tensor] = []
        read = self._read(inside, nodes)
        while len(nodes) <= MOST_STEPS:
            some = [x for x in read if self._simple(x, made)]
            some = [x for x in some if all(y.shape == made.shape for y in self._read([x], nodes))]
            mine = [x for x in some if all(user in nodes for user in self.users[x])]
            more = mine or (some if len(read) > 1 else [])
            if not more:
                break
            helping.append(max(more, key=self.place.__getitem__))
            nodes[helping[-1]] = None
            read = self._read((*inside, *helping), nodes)
        if len(read) != 1:
            return None, ()
        (value,) = read
        fits = value.shape == made.shape and value.dtype == made.dtype and self._lies(value)
        return (value if fits and self._cheap(nodes) else None), helping

    def _cheap(self, nodes: Mapping[Tensor, None]) -> bool:
        """Whether a kernel loses no time: of smooth functions it may compute one, which would be kept for it otherwise.

        While it waits for memory the compiler has time for those that only the gradient needs; a kernel has none.
        """
        smooth = [node for node in nodes if node.op in SMOOTH]
        return len(smooth) <= 1 and all(any(user not in nodes for user in self.users[node]) for node in smooth)

    def _lies(self, node: Tensor) -> bool:
        """Whether a convolution makes or reads the node. Others the compiler may never lay down, but make anew."""
        if node in self.taken:
            return self.taken[node] is not None
        return any(user is not None and user.op in (correlate, collect) for user in (node, *self.users[node]))
