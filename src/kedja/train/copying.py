"""A model to begin with again: a copy that has learned nothing, or only what was frozen in the original."""

from __future__ import annotations

import copy
from collections.abc import Callable
from inspect import signature
from typing import Any, TypeVar

from kedja.errors import GraphError
from kedja.nn.layers.layer import Layer
from kedja.nn.model import Module
from kedja.train import use  # noqa: F401  (lends models `reset`)
from kedja.train.training import Training

__all__ = ["draw_anew", "fresh_copy", "made_by"]

M = TypeVar("M", bound=Module)


def fresh_copy(model: M) -> M:
    """A copy with variables of its own, the same settings, and no memory of having been trained.

    >>> import kedja as kj
    >>> net = kj.Sequential([kj.nn.Dense(2)]).compile(loss="mse")
    >>> made = fresh_copy(net)
    >>> made is net, made.layers[0] is net.layers[0]
    (False, False)
    """
    before = model.__dict__.pop("_training", None)
    try:
        made = copy.deepcopy(model)
    finally:
        if before is not None:
            model.__dict__["_training"] = before
    made.__dict__.pop("history", None)
    training = made.__dict__["_training"] = Training()
    if before is not None:
        training.loss, training.chosen, training.metrics = (
            before.loss,
            before.chosen or before.optimizer,
            before.metrics,
        )
        training.regularizer = before.regularizer
    return made


def draw_anew(model: Module, seed: int) -> None:
    """New starting weights from this seed; what is frozen keeps its own."""
    frozen: list[Layer] = [layer for _, layer in model.layers_by_path() if not layer.trainable]
    kept = [(v, v.raw) for layer in frozen for v in layer.state.values()]
    model.reset(seed)
    for variable, value in kept:
        variable.store(value)


def made_by(net: Module | Callable[..., Module], what: str) -> Callable[[int], Module]:
    """A function that gives a new model for a number: copies of a model, or what a function of the user's gives."""
    if isinstance(net, Module):
        return lambda k: fresh_copy(net)
    if isinstance(net, type) or not callable(net):
        hint = " Make one: write it with brackets." if isinstance(net, type) else ""
        raise GraphError(f"{what} takes a model, or a function that makes one; got {net!r}.{hint}")
    numbered = takes_a_number(net)

    def make(k: int) -> Module:
        model: Any = net(k) if numbered else net()
        if not isinstance(model, Module):
            raise GraphError(f"{what}: the function must give a model, and gave {type(model).__name__}")
        return model

    return make


def takes_a_number(function: Callable[..., Any]) -> bool:
    """Whether a function has an argument that must be, or may be, given by place."""
    kinds = [p.kind for p in signature(function).parameters.values() if p.default is p.empty]
    return any(kind.name.startswith("POSITIONAL") for kind in kinds)
