"""Whether several models are built alike, so that one graph is the graph of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kedja.errors import GraphError, ShapeError
from kedja.nn.layers.layer import Layer
from kedja.nn.model import Module

__all__ = ["expect_alike"]


def expect_alike(models: Sequence[Module]) -> None:
    """Raise unless all models have the same layers, settings and shapes; run-time numbers may differ."""
    first = models[0]
    parts = [anatomy(model) for model in models]
    states = [model.state for model in models]
    for k, model in enumerate(models[1:], 1):
        for (path, ours), (other, theirs) in zip(parts[0], parts[k], strict=False):
            if (path, ours) != (other, theirs):
                raise GraphError(
                    f"member {k} is built unlike member 0: {other} is {theirs}, there {path} is {ours}. Members of an "
                    "ensemble differ in their weights and in run-time numbers such as a dropout rate."
                )
        if len(parts[0]) != len(parts[k]):
            raise GraphError(
                f"member {k} has {len(parts[k])} layers and member 0 has {len(parts[0])}: "
                "the members of an ensemble are built alike"
            )
        if not (first.built and model.built):
            continue
        for (path, ours_v), (other, theirs_v) in zip(states[0].items(), states[k].items(), strict=False):
            if (path, ours_v.shape, ours_v.dtype) != (other, theirs_v.shape, theirs_v.dtype):
                raise ShapeError(
                    f"member {k} has {other} of shape {theirs_v.shape} ({theirs_v.dtype.name}), and member 0 has "
                    f"{path} of shape {ours_v.shape} ({ours_v.dtype.name}): members have equal shapes"
                )
        if len(states[0]) != len(states[k]):
            raise ShapeError(f"member {k} has {len(states[k])} variables and member 0 has {len(states[0])}")


def anatomy(model: Module) -> list[tuple[str, str]]:
    """Every layer's path with its class and settings, as text; run-time numbers are left out."""
    return [(path, told(layer)) for path, layer in model.layers_by_path()]


def told(layer: Layer) -> str:
    """A layer's class and settings, frozen or not."""
    arguments = layer.__dict__.get("_arguments", {})
    settings = {k: plainly(v) for k, v in arguments.items() if k not in layer.scalars and k not in ("layers", "name")}
    frozen = "" if layer.trainable else ", frozen"
    return f"{type(layer).__name__}({', '.join(f'{k}={v}' for k, v in settings.items())}{frozen})"


def plainly(value: Any) -> str:
    """A setting as text that two equal ones share: functions by name; layers are told of themselves."""
    if isinstance(value, Layer):
        return type(value).__name__
    if isinstance(value, list | tuple):
        return f"[{', '.join(plainly(v) for v in value)}]"
    return str(getattr(value, "__qualname__", None) or repr(value)).split(" at 0x")[0]
