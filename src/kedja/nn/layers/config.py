"""A layer as plain data (for JSON), and back. Classes are looked up by name in a list; nothing is ever executed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import local
from typing import Any

import numpy as np

from kedja.errors import FormatError
from kedja.graph.node import bind
from kedja.nn import activations, constraints, initializers, regularizers
from kedja.nn.layers.layer import LAYERS, Layer

__all__ = ["plain", "rebuilt"]

CONFIGURED = (initializers.Initializer, regularizers.Regularizer, constraints.Constraint)
AGAIN = "(the same layer)"  # instead of a class: the layer stands elsewhere in the model too,
NUMBER = "shared_as"  # and has this number there


class _Shared(local):
    """The layers written or read so far in one model, so that one that stands in two places stays one."""

    written: dict[Layer, dict[str, Any]] | None = None
    read: dict[int, Layer] | None = None


shared = _Shared()


@contextmanager
def _whole(which: str) -> Iterator[Any]:
    """Inside, the layers known so far; the outermost one begins with none and forgets them."""
    before = getattr(shared, which)
    known = {} if before is None else before
    setattr(shared, which, known)
    try:
        yield known
    finally:
        setattr(shared, which, before)


def plain(value: Any) -> Any:
    """`value` as numbers, strings, lists and dicts with a "class" entry.

    >>> import kedja as kj
    >>> plain(kj.nn.Dense(3, activation="tanh"))
    {'class': 'Dense', 'units': 3, 'activation': 'tanh'}
    """
    if isinstance(value, Layer):
        with _whole("written") as known:
            if value in known:  # the first place gets a number, this one refers to it
                number = 1 + sum(NUMBER in c for c in known.values())
                return {"class": AGAIN, NUMBER: known[value].setdefault(NUMBER, number)}
            whole = hasattr(value, "to_config")
            found = value.to_config() if whole else {k: plain(v) for k, v in value._arguments.items()}
            frozen = {} if value.trainable else {"trainable": False}
            known[value] = {"class": type(value).__name__, **found, **frozen}
            return known[value]
    if isinstance(value, CONFIGURED):
        return {k: plain(v) for k, v in value.config().items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.dtype):
        return value.name
    if value is None or isinstance(value, bool | int | float | str):
        return value
    named = activations.config_of(value)
    if named is not None:
        return named
    raise FormatError(
        f"{value!r} cannot be written into a model file: kedja saves names and numbers, never code. "
        "Use a named activation, or make it a Layer class of its own and give it to kj.load(classes=[...])."
    )


def rebuilt(config: Any, classes: Mapping[str, type[Layer]] | None = None) -> Any:
    """What `plain` wrote, made again; classes of the user's own are given in `classes`.

    >>> rebuilt({"class": "Dense", "units": 3})
    Dense(units=3)
    """
    known = {**LAYERS, **(classes or {})}
    if isinstance(config, list):
        return [rebuilt(c, classes) for c in config]
    if not isinstance(config, dict):
        return config
    if "class" not in config:
        return {k: rebuilt(v, classes) for k, v in config.items()}
    name = config["class"]
    for room in (initializers, regularizers, constraints):
        if name in room.CLASSES:
            return room.get(config)
    with _whole("read") as before:
        if name == AGAIN:
            if config.get(NUMBER) not in before:
                raise FormatError(
                    f"the model file refers to a shared layer {config.get(NUMBER)!r} and does not have it"
                )
            return before[config[NUMBER]]
        layer = _made(config, name, known, classes)
        if NUMBER in config:
            before[config[NUMBER]] = layer
        return layer


def _made(config: Mapping[str, Any], name: str, known: Mapping[str, type[Layer]], classes: Any) -> Layer:
    """A layer of the class `name` from its configuration."""
    if name not in known:
        raise FormatError(
            f"the model uses a class {name!r} that kedja does not know. "
            f"If it is yours: kj.load(path, classes=[{name}])."
        )
    cls = known[name]
    arguments = {k: v for k, v in config.items() if k not in ("class", "trainable", NUMBER)}
    try:
        if hasattr(cls, "from_config"):
            layer: Layer = cls.from_config(arguments, classes)
        else:
            layer = cls(**{k: rebuilt(v, classes) for k, v in arguments.items()})
    except (TypeError, KeyError) as error:
        raise FormatError(f"the model file does not fit the class {name}: {error}") from None
    layer.trainable = bool(config.get("trainable", True))
    return layer


def _config(layer: Layer) -> Any:
    """The arguments a layer was made with, as plain data."""
    return plain(layer)


bind(Layer, config=_config)
