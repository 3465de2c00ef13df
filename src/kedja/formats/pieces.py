"""What a layer's variables are made of elsewhere: names, order of axes, order of gates. One table a dialect.

A `Piece` is a variable of ours and the tensors of another library that hold its numbers, with the way there and back.
`units` finds the layers of a model that have any, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kedja.graph.dtypes import is_float
from kedja.graph.node import Tensor
from kedja.graph.trace import trace
from kedja.graph.variables import Variable
from kedja.nn.layers import BatchNorm, Bidirectional, Layer
from kedja.nn.layers.call import watching
from kedja.nn.model import Module

__all__ = ["Piece", "Unit", "plain_pieces", "units"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Piece:
    """Variables of ours (their paths in the layer; most often one), and the tensors elsewhere with the same numbers.

    `read(*theirs)` gives ours, `write(*ours)` theirs, as tuples.
    """

    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    read: Callable[..., tuple[Array, ...]]
    write: Callable[..., tuple[Array, ...]]

    @classmethod
    def one(
        cls, ours: str, theirs: str, read: Callable[[Array], Array] | None = None,
        write: Callable[[Array], Array] | None = None,
    ) -> Piece:  # fmt: skip
        """One variable and one tensor: the same, or what the functions make of it."""
        there, back = read or _same, write or _same
        return cls((ours,), (theirs,), lambda a: (there(a),), lambda a: (back(a),))

    def shapes(self, *ours: tuple[int, ...]) -> list[tuple[int, ...]]:
        """The shapes of theirs when ours have these."""
        return [np.shape(a) for a in self.write(*(np.broadcast_to(np.float32(0), shape) for shape in ours))]


def _same(a: Array) -> Array:
    return a


class Unit(NamedTuple):
    """A layer with weights of its own: its path, what it is, and the image it sees flattened, (h, w, c), if any."""

    path: str
    layer: Layer
    image: tuple[int, ...] | None = None

    def variable(self, ours: str) -> Variable:
        """The variable at a path in the layer."""
        found: Any = self.layer
        for name in ours.split("."):
            inside = dict(found.members())  # nodes of an ONNX model have their variables as members, not as attributes
            found = inside[name] if name in inside else getattr(found, name)
        assert isinstance(found, Variable)
        return found

    def path_of(self, ours: str) -> str:
        """The path of the variable in the model."""
        return f"{self.path}.{ours}" if self.path else ours


def plain_pieces(layer: Layer) -> list[Piece]:
    """The variables as they are, under our names: for a layer that the other library does not have."""
    own = [name for name, value in layer.members() if isinstance(value, Variable)]
    return [Piece.one(name, name) for name in own]


def units(model: Layer) -> list[Unit]:
    """The layers of a model that hold weights, each once, in the order in which they are stored."""
    images = flattened(model)
    return [Unit(path, layer, images.get(path)) for path, layer in _holders("", model, set())]


def _holders(path: str, layer: Layer, seen: set[int]) -> Iterator[tuple[str, Layer]]:
    if id(layer) in seen:
        return
    seen.add(id(layer))
    if isinstance(layer, Bidirectional):
        yield path, layer
        return
    own = [value for _, value in layer.members() if isinstance(value, Variable)]
    if isinstance(layer, BatchNorm) or any(v.kind == "trainable" for v in own):
        yield path, layer
    for name, value in layer.members():
        if isinstance(value, Layer):
            yield from _holders(f"{path}.{name}" if path else name, value, seen)


# --- what was an image ----------------------------------------------------------------------------------------------
def flattened(model: Layer) -> dict[str, tuple[int, ...]]:
    """Layers that are called on a flattened image (or row of channels), by path, with its shape, channels last.

    Libraries that keep channels first flatten in another order, so weights after it are in another order too.
    """
    found: dict[str, tuple[int, ...]] = {}

    def look(layer: Layer, path: str, inputs: Any, output: Any) -> None:
        if inputs and isinstance(inputs[0], Tensor) and (image := image_behind(inputs[0])) is not None:
            found[path] = image

    if not isinstance(model, Module) or not model.input_shapes:
        return found
    dtype = next((v.dtype for v in model.state.values() if is_float(v.dtype)), np.dtype(np.float32))
    with watching(look):
        trace(lambda *xs: model(*xs, training=False), [((2, *s[1:]), dtype) for s in model.input_shapes])
    return found


def image_behind(x: Tensor) -> tuple[int, ...] | None:
    """The shape of one image whose flattened form this is, past what leaves each number in its place."""
    at = x
    while at.ndim == 2:
        if at.op.name == "reshape":
            before = at.inputs[0]
            return before.shape[1:] if before.ndim > 3 or (before.ndim == 3 and _slid(before)) else None
        same = [i for i in at.inputs if i.shape == at.shape and i.inputs]
        if not same:
            return None
        at = same[0]
    return None


SLIDING = ("conv", "pool")


def _slid(x: Tensor) -> bool:
    """Whether rows (n, steps, channels) come from a convolution or pooling, where others keep the channels first."""
    seen: set[int] = set()
    waiting = [x]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if any(word in node.op.name for word in SLIDING):
            return True
        if node.op.name not in ("scan", "take", "matmul"):
            waiting += node.inputs
    return False
