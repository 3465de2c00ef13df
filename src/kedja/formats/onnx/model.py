"""An ONNX graph as a model: each node that works on the input is a layer, and the tensors it learns are its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import onnx

from kedja import ops
from kedja.errors import FormatError, GraphError, ShapeError, one_of
from kedja.formats.onnx.graph import build, inputs_of, opsets, refuse_unknown
from kedja.formats.onnx.preparing import array_of, has_numbers, lightened
from kedja.formats.onnx.registry import OPERATORS, domain_of, translate
from kedja.formats.onnx.scope import Scope
from kedja.formats.onnx.values import Value, Words, attributes, element_type, value_of
from kedja.formats.onnx.weights import Place, Plan, planned, readable
from kedja.graph.node import Tensor
from kedja.graph.variables import Parameter, Variable
from kedja.nn.layers.layer import LAYERS, Layer
from kedja.nn.model import Module, NameCounter

__all__ = ["OnnxModel", "OnnxNode"]


class OnnxNode(Layer):
    """One node of an ONNX graph, with the weights that are used there first."""

    def __init__(self, node: onnx.NodeProto, opset: int, name: str) -> None:
        super().__init__(name)
        self._node, self._opset = node, opset
        self._attributes = attributes(node)
        self._own: dict[str, tuple[str, Variable]] = {}  # by tensor: the name here, and the variable
        self.built = True

    @property
    def op_type(self) -> str:
        """ONNX's name of the operator."""
        return str(self._node.op_type)

    def members(self) -> Iterator[tuple[str, Any]]:
        yield from self._own.values()

    def redraw(self, seed: int) -> None:
        """Nothing: weights that were imported are not drawn."""

    def call(self, *given: Tensor) -> Any:
        rest = iter(given)
        inputs = [self._own[n][1] if n in self._own else next(rest) if n else None for n in self._node.input]
        made = translate(self._node, inputs, self._opset, self._attributes)
        kept = [y for name, y in zip(self._node.output, made, strict=True) if name and y is not None]
        return kept[0] if len(kept) == 1 else tuple(kept)


@cache
def kind_of(op_type: str) -> type[OnnxNode]:
    """A class named like the operator, as tables show it."""
    return type(op_type, (OnnxNode,), {"__module__": "onnx", "__doc__": f"ONNX's {op_type}."})


class OnnxModel(Module):
    """y = f(x₁, …), the graph of an ONNX file, layouts and names as they are there. `kj.onnx.load` makes it.

    `trainable`: True, all weights learn; False, they are all frozen (`unfreeze` sets them free); names (of tensors of
    the file, of parameters, or of layers): these learn, the other weights are kept as statistics.
    `channels_last`: images come (N, H, W, C) and are turned to ONNX's (N, C, H, W) first.
    """

    def __init__(
        self, model: onnx.ModelProto, trainable: bool | Iterable[str] = True, channels_last: bool = False,
        name: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(name)
        refuse_unknown(model)
        self._proto = model
        self._channels_last = channels_last
        self._versions = opsets(model)
        self._plan: Plan = planned(model.graph)
        self._stored = {t.name: t for t in model.graph.initializer}
        self._trainable: Any = trainable if isinstance(trainable, bool) else sorted(names_in(trainable))
        self._layers = self._made_layers()
        self._variables = self._made_variables()
        self.input_shapes = [self._shape(i) for i in model.graph.input]
        self.built = True
        if trainable is False:
            for layer in self._layers.values():
                layer.trainable = False

    # --- what it is made of -----------------------------------------------------------------------------------------
    def _made_layers(self) -> dict[int, OnnxNode]:
        counter, found = NameCounter(), {}
        owned: dict[int, list[str]] = {}
        for name, place in self._plan.weights.items():
            owned.setdefault(place.node, []).append(name)
        for i, node in enumerate(self._proto.graph.node):
            entry = OPERATORS[domain_of(node), node.op_type]
            if set(node.output) <= self._plan.still or entry.coded or "scope" in entry.context:
                continue
            layer = kind_of(node.op_type)(node, self._versions[domain_of(node)], "")
            layer.name = layer_name(node, owned.get(i, ()), counter, layer)
            found[i] = layer
        return found

    def _made_variables(self) -> dict[str, Variable]:
        chosen = self._chosen()
        found = {}
        for tensor, place in self._plan.weights.items():
            layer, own = self._layers[place.node], self._own_name(tensor, place)
            array = array_of(self._stored[tensor])
            learns = not place.statistic and (chosen is None or tensor in chosen)
            make: Any = Parameter if learns else Variable
            variable = make(array, own, dtype=array.dtype)
            found[tensor] = variable
            layer._own[tensor] = (own, variable)
        return found

    def _own_name(self, tensor: str, place: Place) -> str:
        layer = self._layers[place.node]
        clean = readable(tensor)
        prefix = f"{layer.name}."
        name = place.role if clean is None else clean.removeprefix(prefix)
        taken = {n for n, _ in layer._own.values()}
        return next(n for n in (name, *(f"{name}_{k}" for k in range(2, 99))) if n not in taken)

    def _chosen(self) -> set[str] | None:
        """The tensors that learn; None for all."""
        if isinstance(self._trainable, bool):
            return None
        known: dict[str, set[str]] = {}
        for tensor, place in self._plan.weights.items():
            layer = str(self._layers[place.node].name)
            for name in (tensor, layer, f"{layer}.{self._own_name(tensor, place)}"):
                known.setdefault(name, set()).add(tensor)
        for name in self._trainable:
            if name not in known:
                raise one_of("tensor, parameter or layer, in trainable,", name, known)
        return {tensor for name in self._trainable for tensor in known[name]}

    def members(self) -> Iterator[tuple[str, Any]]:
        for layer in self._layers.values():
            yield str(layer.name), layer

    @property
    def layers(self) -> list[Layer]:
        """The nodes that work on the input, in order."""
        return list(self._layers.values())

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs in the file."""
        return inputs_of(self._proto.graph)

    @property
    def output_names(self) -> list[str]:
        """The names of the outputs in the file."""
        return [o.name for o in self._proto.graph.output]

    @property
    def gives(self) -> int | None:  # type: ignore[override]
        """How many outputs a call returns as a tuple; None when it returns one tensor."""
        return None if len(self.output_names) == 1 else len(self.output_names)

    @property
    def output_layer(self) -> Layer | None:
        made = [layer for layer in self._layers.values() if self.output_names[0] in layer._node.output]
        return made[0] if made and self.gives is None else None

    def redraw(self, seed: int) -> None:
        """The weights as they were in the ONNX file: nothing is drawn. A model that was saved has forgotten them."""
        before = {name: array_of(self._stored[name]) for name in self._variables}
        if any(not has_numbers(self._stored[name]) for name in before):
            raise GraphError(
                "the weights this model began with stand in the ONNX file: to start over, load that with kj.onnx.load"
            )
        for name, variable in self._variables.items():
            variable.store(before[name])

    # --- calling ----------------------------------------------------------------------------------------------------
    def _shape(self, entry: onnx.ValueInfoProto) -> tuple[Any, ...]:
        if not entry.type.tensor_type.HasField("shape"):
            return (None,)
        dims = entry.type.tensor_type.shape.dim
        sizes = [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in dims]
        if self._channels_last and len(sizes) > 2:
            sizes = [sizes[0], *sizes[2:], sizes[1]]
        return (None, *sizes[1:]) if sizes else ()

    def _given(self, entry: onnx.ValueInfoProto, x: Tensor) -> Tensor:
        """An input as the graph wants it: checked, of the right type, channels first."""
        wanted = self._shape(entry)
        known = entry.type.tensor_type.HasField("shape")
        if known and (len(wanted) != x.ndim or any(a not in (None, b) for a, b in zip(wanted, x.shape, strict=True))):
            hint = " Images are (N, C, H, W) here; channels_last=True turns them." if x.ndim == 4 else ""
            raise ShapeError(f"the input {entry.name!r} has the shape {wanted}, got {x.shape}.{hint}")
        dtype = element_type(entry.type.tensor_type.elem_type)
        x = x if x.dtype == dtype else ops.cast(x, dtype)
        return ops.moveaxis(x, -1, 1) if self._channels_last and x.ndim > 2 else x

    def call(self, *xs: Tensor) -> Any:
        graph, words = self._proto.graph, Words()
        if len(xs) != len(graph.input):
            raise ShapeError(f"the model has the inputs {self.input_names}, got {len(xs)}")
        values: dict[str, Value] = {
            name: value_of(t, words) for name, t in self._stored.items() if name not in self._variables
        }
        values.update(self._variables)
        values.update({i.name: self._given(i, x) for i, x in zip(graph.input, xs, strict=True)})
        scope = Scope(values, lambda inner, around: build(inner, around, self._versions, words))
        for i, node in enumerate(graph.node):
            layer = self._layers.get(i)
            if layer is not None:
                parts = layer(*(values[n] for n in node.input if n and n not in layer._own))
                made = list(parts) if isinstance(parts, tuple) else [parts]
                values.update(zip([n for n in node.output if n], made, strict=False))
                continue
            inputs = [values[n] if n else None for n in node.input]
            outputs = translate(node, inputs, self._versions[domain_of(node)], words=words, scope=scope)
            values.update({n: y for n, y in zip(node.output, outputs, strict=True) if n})
        found = [values[name] for name in self.output_names]
        for name, y in zip(self.output_names, found, strict=True):
            if not isinstance(y, Tensor):
                raise FormatError(f"the output {name!r} is no tensor of numbers; kj.onnx.prepare runs such models")
        return found[0] if self.gives is None else tuple(found)

    # --- as a file --------------------------------------------------------------------------------------------------
    def to_config(self) -> dict[str, Any]:
        """The graph without the numbers of its weights, and what was chosen, as plain data."""
        from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]

        return {
            "name": self.name, "trainable_weights": self._trainable, "channels_last": self._channels_last,
            "graph": MessageToDict(lightened(self._proto, self._plan.weights), preserving_proto_field_name=True),
            "frozen": [layer.name for layer in self._layers.values() if not layer.trainable],
        }  # fmt: skip

    @classmethod
    def from_config(cls, config: Mapping[str, Any], classes: Any = None) -> OnnxModel:
        """The model that `to_config` wrote; its weights are zero until they are restored."""
        from google.protobuf.json_format import ParseDict, ParseError

        try:
            proto = ParseDict(config["graph"], onnx.ModelProto())
        except ParseError as error:
            raise FormatError(f"the ONNX graph in the model file is damaged: {error}") from error
        model = cls(proto, config["trainable_weights"], config["channels_last"], config["name"])
        for layer in model._layers.values():
            layer.trainable = layer.name not in config["frozen"]
        return model

    def __repr__(self) -> str:
        return f"OnnxModel({self._proto.graph.name!r}, {', '.join(self.input_names)} → {', '.join(self.output_names)})"


def names_in(given: Any) -> list[str]:
    """Names as a list; one name is a list of one."""
    return [given] if isinstance(given, str) else [str(name) for name in given]


def layer_name(node: onnx.NodeProto, weights: Sequence[str], counter: NameCounter, layer: Layer) -> str:
    """What the names of its weights begin with ("conv1" of conv1.weight), or the node's own name, or conv_1."""
    clean = [readable(w) for w in weights]
    prefixes = {c.rpartition(".")[0] if c else "" for c in clean}
    own = readable(node.name) if node.name else None
    names: list[str | None] = [*(prefixes if len(prefixes) == 1 else ()), own]
    for name in names:
        if name and name not in counter.taken:
            counter.taken.add(name)
            return name
    return counter.name(layer)


LAYERS.pop("OnnxNode", None)
LAYERS.pop("OnnxModel", None)
