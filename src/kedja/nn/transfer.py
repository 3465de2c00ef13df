"""Going on from what a network has learned: which layers are frozen, and another head on the same body (scope 5, 6)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from kedja.errors import GraphError, one_of
from kedja.graph.node import bind
from kedja.nn.functional import Model, Symbol
from kedja.nn.layers.dense import Dense
from kedja.nn.layers.layer import Layer
from kedja.nn.model import Module, Sequential

__all__: list[str] = []


def parts_of(model: Module) -> dict[str, Layer]:
    """The layers directly inside, by name, in order."""
    return {name: value for name, value in model.members() if isinstance(value, Layer)}


def chosen(model: Module, place: str | int | None, what: str, from_end: bool) -> list[Layer]:
    """The layers before (or from) a place: a name includes that layer, a number counts as in a list."""
    parts = parts_of(model)
    if place is None:
        return list(parts.values())
    if isinstance(place, bool) or not isinstance(place, str | int):
        raise GraphError(f"{what} is the name of a layer, or a number of layers; got {place!r}")
    layers = list(parts.values())
    if isinstance(place, int):
        return layers[place:] if from_end else layers[:place]
    if place not in parts:
        raise one_of(f"layer, in {what},", place, parts)
    at = list(parts).index(place)
    return layers[at:] if from_end else layers[: at + 1]


def _freeze(model: Module, upto: str | int | None = None) -> Module:
    """Hold the layers from the input up to this one (a name, that layer included; or how many); None: all. Returns it.

    A frozen layer keeps its weights: no gradient, no penalty, no decay. A frozen batch norm keeps its statistics too
    and uses the running ones. Nothing is frozen that `upto` does not reach, and nothing set free.

    >>> import kedja as kj
    >>> net = kj.Sequential([kj.nn.Dense(8, "relu"), kj.nn.Dense(4, "relu"), kj.nn.Dense(2)])
    >>> [layer.trainable for layer in net.freeze(upto="dense_2").layers]
    [False, False, True]
    """
    for layer in chosen(model, upto, "upto", from_end=False):
        layer.trainable = False
    return model


def _unfreeze(model: Module, downto: str | int | None = None) -> Module:
    """Set layers free again, from the output down to this one (a name, that layer included; or −2: the last two).

    None: all of them, and the model itself. What is inside a layer is set free with it. Returns the model.

    >>> import kedja as kj
    >>> net = kj.Sequential([kj.nn.Dense(8, "relu"), kj.nn.Dense(4, "relu"), kj.nn.Dense(2)]).freeze()
    >>> [layer.trainable for layer in net.unfreeze(downto=-2).layers]
    [False, True, True]
    """
    layers = chosen(model, downto, "downto", from_end=True)
    for layer in [*([model] if downto is None else []), *layers]:
        layer.trainable = True
    for layer in layers:
        for _, inside in layer.layers_by_path():
            inside.trainable = True
    return model


def _with_head(
    model: Module, head: Layer | Sequence[Layer], *, after: str | None = None, share: bool = False
) -> Module:
    """A new model: the body of this one, and `head`, one layer or several, in the place of its last `Dense`.

    The head that goes is the last layer with weights, a Dense, and all that follows it; `after` names the last layer
    that stays instead. The body is copied with its weights, so that training the new model leaves this one alone;
    `share=True` takes the very same layers, and training one changes the other. The new head gets its starting weights
    at the first `fit`, from its seed. Works for `Sequential` and `Model`.

    Raises GraphError for a model without a Dense at its end, unless `after` says where to cut.

    >>> import kedja as kj
    >>> net = kj.Sequential([kj.nn.Dense(8, "relu"), kj.nn.Dense(10)]).build((None, 4), seed=0)
    >>> other = net.with_head(kj.nn.Dense(5)).freeze(upto="dense_1")
    >>> other.build((None, 4), seed=1).predict([[1.0, 2.0, 3.0, 4.0]]).shape
    (1, 5)
    >>> bool((other.layers[0].kernel.numpy() == net.layers[0].kernel.numpy()).all())
    True
    """
    heads: list[Any] = list(head) if isinstance(head, list | tuple) else [head]
    for layer in heads:
        if not isinstance(layer, Layer):
            hint = " A class is not a layer yet: write Dense(5), not Dense." if isinstance(layer, type) else ""
            raise GraphError(f"with_head takes a layer, or a list of layers; got {layer!r}.{hint}")
    if not isinstance(model, Sequential | Model):
        raise GraphError(
            f"with_head works on Sequential and Model; {type(model).__name__} says itself what it computes: "
            "store another layer in its place"
        )
    names = list(parts_of(model))
    if after is not None and after not in names:
        raise one_of("layer, in after,", after, names)
    if not any(layer.built for layer in parts_of(model).values()):
        raise GraphError("with_head: the model has learned nothing yet: build or fit it, or load its weights, first")
    body: Any = model if share else untrained_copy(model)
    made = cut_chain(body, heads, after) if isinstance(body, Sequential) else cut_graph(body, heads, after)
    if "preprocess" in model.info:  # the new model sees the same images
        made.info["preprocess"] = model.info["preprocess"]
    return made


def untrained_copy(model: Module) -> Module:
    """A copy with its weights and without its training."""
    kept: dict[str, Any] = {
        name: model.__dict__.pop(name) for name in ("_training", "history") if name in model.__dict__
    }
    try:
        return copy.deepcopy(model)
    finally:
        model.__dict__.update(kept)


def has_weights(layer: Layer) -> bool:
    """Whether learning changes anything in the layer."""
    return bool(layer.parameters)


def no_head(last: Layer | None) -> GraphError:
    """What to say where the last layer with weights is no Dense."""
    found = f"its last layer with weights is {type(last).__name__}" if last is not None else "no layer has weights"
    return GraphError(
        f"with_head replaces the last Dense, and {found}: say where to cut, with_head(head, after='name of a layer')"
    )


def cut_chain(body: Sequential, heads: list[Layer], after: str | None) -> Sequential:
    """Layers in a row, the end of them exchanged."""
    names, layers = list(parts_of(body)), body.layers
    if after is not None:
        at = names.index(after) + 1
    else:
        at = next((i for i in reversed(range(len(layers))) if has_weights(layers[i])), -1)
        if at < 0 or not isinstance(layers[at], Dense):
            raise no_head(layers[at] if at >= 0 else None)
    kept = layers[:at]
    if not kept:
        raise GraphError("with_head: nothing is left of the model but the new head: train a new model instead")
    named_like(kept, names)
    return Sequential([*kept, *heads], dtype=body.dtype)


def cut_graph(body: Model, heads: list[Layer], after: str | None) -> Model:
    """A graph of layers, what leads to its one output exchanged from some layer on."""
    if not body._single:
        raise GraphError("with_head: the model has several outputs: make the new one with kj.Model(inputs, outputs)")
    names = body._names_of()
    if after is not None:
        calls = [s for s in body._order if s.layer is not None and names[id(s.layer)] == after]
        if len(calls) > 1:
            raise GraphError(
                f"with_head: {after!r} is called {len(calls)} times in the model; name a layer called once"
            )
        start = calls[0]
    else:
        symbol: Symbol = body._outputs[0]
        while not isinstance(symbol.layer, Dense):
            if symbol.layer is None or has_weights(symbol.layer) or len(symbol.inputs) != 1:
                raise no_head(symbol.layer)
            symbol = symbol.inputs[0]
        start = symbol.inputs[0]
    if start.layer is None:
        raise GraphError("with_head: nothing is left of the model but the new head: train a new model instead")
    for layer in body.layers:
        layer.name = layer.name or names[id(layer)]
    for layer in heads:
        start = layer(start)
    return Model(list(body._inputs) if len(body._inputs) > 1 else body._inputs[0], start, dtype=body.dtype)


def named_like(layers: Sequence[Layer], names: Sequence[str]) -> None:
    """Layers keep the names they had: their paths name weights and rates."""
    for layer, name in zip(layers, names, strict=False):
        layer.name = layer.name or name


bind(Module, freeze=_freeze, unfreeze=_unfreeze, with_head=_with_head)
