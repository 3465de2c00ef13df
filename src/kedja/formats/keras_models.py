"""Whole models from `.keras` files: Sequential and Functional ones of common layers, made of ours, with weights."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kedja.errors import FormatError, KedjaError
from kedja.formats.keras import description
from kedja.formats.weights import load_weights
from kedja.nn import Input, Model, Sequential
from kedja.nn import layers as nn
from kedja.nn.layers import Layer
from kedja.nn.model import Module

__all__ = ["from_keras"]

Config = Mapping[str, Any]
DAMAGED = (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError, KedjaError)


def from_keras(path: str | os.PathLike[str]) -> Module:
    """The model in a `.keras` file (Keras 3), made of our layers, with its weights. Needs h5py.

    Sequential and Functional models of layers that are in `kedja.formats.keras_models.LAYERS`. Nothing in the file is
    executed: a Lambda, or a class of the user's, is refused by its name. What was compiled is not taken over.

    Raises FormatError naming the layer that has no counterpart here, or what is damaged.
    """
    said = description(path)
    try:
        model = _model(said, str(path))
        shape = _input_shapes(said)
        if isinstance(model, Sequential) and shape is None:
            raise FormatError(
                f"{path}: the model does not say the shape of its input; call it on data and save it again"
            )
        model.build(*([shape] if isinstance(model, Sequential) else []))
    except FormatError:
        raise
    except DAMAGED as error:
        raise FormatError(f"{path}: its description cannot be understood: {type(error).__name__} {error}") from error
    load_weights(model, path, "keras", known=dict(_places(said["config"]["layers"])))
    return model


def _places(layers: Any, ours: str = "", at: str = "layers/") -> Iterator[tuple[str, str]]:
    """Where in the weights each layer has its own, by its path here: Keras counts the layers of a class, in order."""
    counts: dict[str, int] = {}
    for said in layers:
        kind = re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", said["class_name"])).lower()
        number = counts[kind] = counts.get(kind, -1) + 1
        place = f"{at}{kind}_{number}" if number else f"{at}{kind}"
        path = f"{ours}{said['config'].get('name')}"
        yield path, place
        if "layers" in said["config"]:
            yield from _places(said["config"]["layers"], f"{path}.", f"{place}/layers/")


def _input_shapes(said: Config) -> Any:
    shape = said["config"].get("build_input_shape") or said.get("build_config", {}).get("input_shape")
    for layer in said["config"]["layers"]:
        if layer["class_name"] == "InputLayer":
            shape = layer["config"].get("batch_shape") or layer["config"].get("batch_input_shape")
    return None if shape is None else tuple(shape)


def _model(said: Config, where: str) -> Module:
    kind, config = said["class_name"], said["config"]
    if kind == "Sequential":
        layers = [_layer(layer, where) for layer in config["layers"] if layer["class_name"] != "InputLayer"]
        return Sequential(layers, name=config.get("name"))
    if kind in ("Functional", "Model"):
        return _functional(config, where)
    raise FormatError(f"{where} holds a {kind}; Sequential and Functional models are read")


def _functional(config: Config, where: str) -> Module:
    """Layer calls in the order of the file; each finds its inputs by the name of a layer and the number of a call."""
    made: dict[tuple[str, int], Any] = {}
    waiting = [(layer, number) for layer in config["layers"] for number in range(max(1, len(layer["inbound_nodes"])))]
    layers: dict[str, Any] = {}
    while waiting:
        later = []
        for said, number in waiting:
            name, nodes = said["name"], said["inbound_nodes"]
            if said["class_name"] == "InputLayer":
                made[name, 0] = Input(tuple(said["config"]["batch_shape"][1:]), name)
                continue
            node = nodes[number]
            if node.get("kwargs", {}).get("mask") is not None:
                raise FormatError(f"{where}: the layer {name!r} is called with a mask, which is not read")
            inputs = list(_histories(node["args"]))
            if any(key not in made for key in inputs):
                later.append((said, number))
                continue
            layer = layers.setdefault(name, _layer(said, where))
            made[name, number] = layer(*(made[key] for key in inputs))
        if len(later) == len(waiting):
            raise FormatError(f"{where}: the layer {later[0][0]['name']!r} is called on something that is not there")
        waiting = later
    inputs = [made[name, number] for name, number in _ends(config["input_layers"])]
    outputs = [made[name, number] for name, number in _ends(config["output_layers"])]
    one = inputs[0] if len(inputs) == 1 else inputs
    return Model(one, outputs[0] if len(outputs) == 1 else outputs, config.get("name"))


def _histories(args: Any) -> Any:
    """Where the tensors among the arguments of a call come from."""
    if isinstance(args, Mapping):
        if args.get("class_name") == "__keras_tensor__":
            name, number, _ = args["config"]["keras_history"]
            yield name, number
        return
    for value in args if isinstance(args, list) else ():
        yield from _histories(value)


def _ends(said: Any) -> list[tuple[str, int]]:
    some = [said] if said and isinstance(said[0], str) else said
    return [(name, number) for name, number, _ in some]


# --- layers ---------------------------------------------------------------------------------------------------------
def _layer(said: Config, where: str) -> Layer:
    kind, config = said["class_name"], said["config"]
    if kind in ("Sequential", "Functional"):
        inner = _model(said, where)
        inner.name = config.get("name")
        return inner
    if kind not in LAYERS:
        raise FormatError(f"{where}: there is no counterpart here of the layer {config.get('name')!r}, a {kind}; "
                          f"known: {', '.join(sorted(LAYERS))}")  # fmt: skip
    if config.get("data_format", "channels_last") not in ("channels_last", None):
        raise FormatError(f"{where}: the layer {config.get('name')!r} has its channels first; here they stand last")
    layer = LAYERS[kind](config)
    layer.name = config.get("name")
    layer.trainable = bool(config.get("trainable", True))
    return layer


def _act(given: Any, slope: float = 0.0) -> str | None:
    """The name of an activation; Keras's names are ours, but for "linear"."""
    if isinstance(given, Mapping):
        given = given.get("config", {}).get("name") if isinstance(given.get("config"), Mapping) else given.get("config")
    if given is not None and not isinstance(given, str):
        raise FormatError(f"the activation {given!r} has no name")
    return None if given in (None, "linear") else given


def _pair(sizes: Any) -> Any:
    return tuple(sizes) if isinstance(sizes, list) else sizes


def _conv(cls: Any, **more: Callable[[Config], Any]) -> Callable[[Config], Layer]:
    def make(c: Config) -> Layer:
        filters = (c["filters"],) if "filters" in c and "Depthwise" not in cls.__name__ else ()
        if c["padding"] == "causal":
            raise FormatError(
                f"the layer {c.get('name')!r} has causal padding, which is not read: pad in front instead"
            )
        given = {name: how(c) for name, how in more.items()}
        found: Layer = cls(
            *filters, _pair(c["kernel_size"]), _act(c["activation"]), stride=_pair(c["strides"]), padding=c["padding"],
            dilation=_pair(c["dilation_rate"]), use_bias=c["use_bias"], **given,
        )  # fmt: skip
        return found

    return make


def _multiplied(cls: Any) -> Callable[[Config], Layer]:
    return _conv(cls, multiplier=lambda c: c["depth_multiplier"])


def _pool(cls: Any) -> Callable[[Config], Layer]:
    return lambda c: cls(_pair(c["pool_size"]), stride=_pair(c["strides"]), padding=c["padding"])


def _recurrent(cls: Any) -> Callable[[Config], Layer]:
    def make(c: Config) -> Layer:
        if c.get("return_state") or c.get("stateful"):
            raise FormatError(f"the layer {c.get('name')!r} hands on its state, which is not read")
        gated = {} if cls is nn.SimpleRNN else {"recurrent_activation": _act(c["recurrent_activation"])}
        after = {"reset_after": c["reset_after"]} if cls is nn.GRU else {}
        found: Layer = cls(
            c["units"], _act(c["activation"]), use_bias=c["use_bias"], return_sequences=c["return_sequences"],
            reverse=c.get("go_backwards", False), **gated, **after,
        )  # fmt: skip
        return found

    return make


def _bidirectional(c: Config) -> Layer:
    inner = c["layer"]
    merges = {"concat": "concat", "sum": "sum", "ave": "mean", "mul": "multiply"}
    layer = _layer(inner, c.get("name", "bidirectional"))
    layer.name = None
    return nn.Bidirectional(layer, merges[c["merge_mode"]])  # type: ignore[arg-type]


def _batch_norm(c: Config) -> Layer:
    axis = c["axis"][0] if isinstance(c["axis"], list) else c["axis"]
    return nn.BatchNorm(c["momentum"], c["epsilon"], center=c["center"], scale=c["scale"], axis=axis)


def _layer_norm(c: Config) -> Layer:
    axis = tuple(c["axis"]) if isinstance(c["axis"], list) else c["axis"]
    return nn.LayerNorm(axis=axis, epsilon=c["epsilon"], center=c["center"], scale=c["scale"])


def _global(cls: Any) -> Callable[[Config], Layer]:
    return lambda c: cls(keepdims=c.get("keepdims", False))


def _padding(c: Config) -> Layer:
    return nn.Pad(tuple(map(tuple, c["padding"])))


def _attention(c: Config) -> Layer:
    return nn.MultiHeadAttention(c["num_heads"], c["key_dim"], c.get("value_dim"), use_bias=c["use_bias"])


LAYERS: dict[str, Callable[[Config], Layer]] = {
    "Activation": lambda c: nn.Activation(_act(c["activation"]) or "identity"),
    "Add": lambda c: nn.Add(),
    "AveragePooling1D": _pool(nn.AveragePool1D),
    "AveragePooling2D": _pool(nn.AveragePool2D),
    "BatchNormalization": _batch_norm,
    "Bidirectional": _bidirectional,
    "Concatenate": lambda c: nn.Concatenate(c["axis"]),
    "Conv1D": _conv(nn.Conv1D, groups=lambda c: c["groups"]),
    "Conv1DTranspose": _conv(nn.ConvTranspose1D),
    "Conv2D": _conv(nn.Conv2D, groups=lambda c: c["groups"]),
    "Conv2DTranspose": _conv(nn.ConvTranspose2D),
    "Conv3D": _conv(nn.Conv3D, groups=lambda c: c["groups"]),
    "Dense": lambda c: nn.Dense(c["units"], _act(c["activation"]), use_bias=c["use_bias"]),
    "DepthwiseConv2D": _multiplied(nn.DepthwiseConv2D),
    "Dropout": lambda c: nn.Dropout(c["rate"]),
    "Embedding": lambda c: nn.Embedding(c["input_dim"], c["output_dim"]),
    "Flatten": lambda c: nn.Flatten(),
    "GRU": _recurrent(nn.GRU),
    "GlobalAveragePooling1D": _global(nn.GlobalAveragePool),
    "GlobalAveragePooling2D": _global(nn.GlobalAveragePool),
    "GlobalMaxPooling1D": _global(nn.GlobalMaxPool),
    "GlobalMaxPooling2D": _global(nn.GlobalMaxPool),
    "LSTM": _recurrent(nn.LSTM),
    "LayerNormalization": _layer_norm,
    "MaxPooling1D": _pool(nn.MaxPool1D),
    "MaxPooling2D": _pool(nn.MaxPool2D),
    "MaxPooling3D": _pool(nn.MaxPool3D),
    "Multiply": lambda c: nn.Multiply(),
    "ReLU": lambda c: nn.Activation("relu"),
    "Rescaling": lambda c: nn.Rescale(c["scale"], c["offset"]),
    "Reshape": lambda c: nn.Reshape(tuple(c["target_shape"])),
    "SeparableConv2D": _multiplied(nn.SeparableConv2D),
    "SimpleRNN": _recurrent(nn.SimpleRNN),
    "Softmax": lambda c: nn.Activation("softmax"),
    "ZeroPadding2D": _padding,
}
