"""What is one box in the picture of a graph: an op with what it needs no box for, or a layer with all it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kedja.errors import one_of
from kedja.explain.backpropagation.calls import Call, pre_activation
from kedja.explain.pictures.passing import passed
from kedja.explain.show.naming import Symbol
from kedja.explain.show.writing import inlined
from kedja.explain.words import _, counted
from kedja.graph.node import Tensor, ancestors, is_literal
from kedja.graph.variables import Variable
from kedja.nn.layers.layer import Layer
from kedja.nn.model import Module

__all__ = ["Unit", "of_model", "of_ops"]

PARAMETERS = {"kernel": "W", "bias": "b", "recurrent_kernel": "U", "gamma": "γ", "beta": "β"}
LEVELS = ("layer", "op")


@dataclass
class Unit:
    """A box: the nodes in it, inputs before users, and the last, whose value it shows."""

    members: list[Tensor]
    output: Tensor
    rowless: bool = False

    @property
    def shown_shape(self) -> tuple[int, ...]:
        """The shape, without the examples' axis where only one stands in for all."""
        return self.output.shape[1:] if self.rowless and not isinstance(self.output, Variable) else self.output.shape


def of_ops(output: Tensor) -> list[Unit]:
    """A box for every op and every leaf but literals; what only lays numbers out stands with its user."""
    return _grouped(ancestors([output]), {}, output)


def _grouped(order: Sequence[Tensor], layer: dict[Tensor, int], output: Tensor) -> list[Unit]:
    """Boxes in topological order: one for each layer (nodes that are given its number), one for each other node."""
    users: dict[Tensor, list[Tensor]] = {}
    for node in order:
        for x in dict.fromkeys(node.inputs):
            users.setdefault(x, []).append(node)
    owner: dict[Tensor, Any] = {}
    for node in reversed(order):
        above = {owner[u] for u in users.get(node, ()) if u in owner}
        hidden = node is not output and ((not node.is_leaf and inlined(node)) or is_literal(node))
        if node in layer:
            owner[node] = ("layer", layer[node])
        elif hidden and len(above) == 1:
            owner[node] = next(iter(above))
        elif not is_literal(node) or node is output:
            owner[node] = node
    boxes: dict[Any, list[Tensor]] = {}
    for node in order:
        if node in owner:
            boxes.setdefault(owner[node], []).append(node)
    units = [Unit(members, members[-1]) for members in boxes.values()]
    return sorted(units, key=lambda u: u.output.serial)


def of_model(
    model: Module, x: Any, y: Any, loss: Any, level: str | None
) -> tuple[list[Unit], dict[Tensor, Symbol], dict[Tensor, str]]:
    """The boxes of a model (with the loss, where a target is given), their names, and of layers what they are."""
    if level is not None and level not in LEVELS:
        raise one_of("level", level, LEVELS)
    found = passed(model, x, y, loss, who="draw_graph")
    goal = found.output if found.goal is None else found.goal
    chosen, t, out, calls = found.loss, found.target, found.output, found.calls
    order = ancestors([goal])
    names: dict[Tensor, Symbol] = {goal: Symbol("E")} if chosen is not None else {}
    kinds: dict[Tensor, str] = {}
    if level == "op":
        _name_ops(model, calls, names)
        return _grouped(order, {}, goal), names, kinds
    inside, layer_of = set(order), dict[Tensor, int]()
    for i, call in enumerate(calls):
        if call.output not in set(call.inputs) and call.output not in layer_of:
            for node in ancestors([call.output], call.inputs):
                if node not in set(call.inputs):
                    layer_of.setdefault(node, i)
    if chosen is not None:
        before = set(ancestors([out]))
        for node in order:
            if node not in before and node is not t:
                layer_of.setdefault(node, len(calls))
        kinds[goal] = _("loss: {name}").format(name=chosen.name)
    units = [Unit(u.members, u.output, rowless=True) for u in _grouped(order, layer_of, goal)]
    for unit in units:
        i = layer_of.get(unit.output, len(calls))
        if i < len(calls) and not isinstance(unit.output, Variable):
            names.setdefault(unit.output, Symbol(calls[i].path))
            # A loss of logits takes what stands before the last activation.
            kinds[unit.output] = _kind(calls[i].layer, calls[i].output in inside)
    return units, names, kinds


def _kind(layer: Layer, whole: bool) -> str:
    """Dense, sigmoid, 12 weights; not `whole`: Dense before sigmoid."""
    parts = [type(layer).__name__]
    known = getattr(layer, "activation_name", None)
    if isinstance(known, str) and known not in ("identity", "linear"):
        parts = [*parts, known] if whole else [_("{kind} before {name}").format(kind=parts[0], name=known)]
    if n := layer.count_parameters():
        parts.append(counted("{n} weight", "{n} weights", n))
    return ", ".join(parts)


def _name_ops(model: Module, calls: Sequence[Call], names: dict[Tensor, Symbol]) -> None:
    """W⁽¹⁾, b⁽¹⁾, net⁽¹⁾, o⁽¹⁾, numbered by the layers that have weights."""
    weighted = [c for c in calls if c.variables]
    for i, call in enumerate(weighted):
        mark = str(i + 1) if len(weighted) > 1 else ""
        for name, variable in call.variables.items():
            names.setdefault(variable, Symbol(PARAMETERS.get(name, name), mark))
        net = pre_activation(call)
        names.setdefault(net, Symbol("net", mark))
        names.setdefault(call.output, Symbol("o", mark))
    for path, variable in model.state.items():
        names.setdefault(variable, Symbol(path))
