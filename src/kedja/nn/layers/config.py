"""A layer as plain data (for JSON), and back. Classes are looked up by name in a list; nothing is ever executed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kedja.errors import FormatError
from kedja.graph.node import bind
from kedja.nn import activations, initializers
from kedja.nn.layers.layer import LAYERS, Layer

__all__ = ["plain", "rebuilt"]


def plain(value: Any) -> Any:
    """`value` as numbers, strings, lists and dicts with a "class" entry.

    >>> import kedja as kj
    >>> plain(kj.nn.Dense(3, activation="tanh"))
    {'class': 'Dense', 'units': 3, 'activation': 'tanh'}
    """
    if isinstance(value, Layer):
        whole = hasattr(value, "to_config")
        found = value.to_config() if whole else {k: plain(v) for k, v in value._arguments.items()}
        frozen = {} if value.trainable else {"trainable": False}
        return {"class": type(value).__name__, **found, **frozen}
    if isinstance(value, initializers.Initializer):
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
    name = activations.name_of(value)
    if name in activations.NAMES:
        return name
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
    if name in initializers.CLASSES:
        return initializers.get(config)
    if name not in known:
        raise FormatError(
            f"the model uses a class {name!r} that kedja does not know. "
            f"If it is yours: kj.load(path, classes=[{name}])."
        )
    cls = known[name]
    arguments = {k: v for k, v in config.items() if k not in ("class", "trainable")}
    try:
        if hasattr(cls, "from_config"):
            layer = cls.from_config(arguments, classes)
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
