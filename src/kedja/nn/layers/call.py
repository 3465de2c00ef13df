"""How the present call of a layer is meant: it travels with the outermost call to the layers inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import local
from typing import TYPE_CHECKING, Any, NamedTuple

from kedja.graph.node import Array, Tensor

if TYPE_CHECKING:
    from kedja.nn.layers.layer import Layer

__all__ = ["Call", "calls", "outermost", "watching"]


class Call(NamedTuple):
    """How the present call is meant."""

    training: bool = False
    key: Tensor | None = None
    seed: Array | None = None  # from which layers not built yet draw their weights
    dtype: Any = None  # of variables made by layers that do not say their own
    root: Layer | None = None  # the outermost layer of this call, and where in it each layer stands
    places: dict[Layer, str] | None = None
    path: str = ""
    watch: Callable[[Layer, str, Any, Any], None] | None = None  # told of every layer's inputs and output
    scalars: Mapping[tuple[Layer, str], Tensor] | None = None  # numbers of layers that are arguments of the program


class _Calls(local):
    now = Call()


calls = _Calls()


def outermost() -> bool:
    """Whether no layer is being called at the moment."""
    return calls.now.root is None


@contextmanager
def watching(watch: Callable[[Layer, str, Any, Any], None]) -> Iterator[None]:
    """Inside, `watch(layer, path, inputs, output)` is told of every call of a layer, the innermost first."""
    before = calls.now
    calls.now = before._replace(watch=watch)
    try:
        yield
    finally:
        calls.now = before
