"""One program for several networks: the graph of one, mapped over values that have an axis of members in front."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kedja.graph.dtypes import is_float
from kedja.graph.node import Tensor, placeholder
from kedja.graph.trace import Graph
from kedja.graph.variables import Variable
from kedja.nn.model import Module
from kedja.ops import cast, isfinite, where
from kedja.ops import sum as total
from kedja.ops.control import item, map_op
from kedja.train.training import training_of

__all__ = ["Stacked", "lanes", "side_by_side", "values_of", "variables_of"]

Array = np.ndarray[Any, Any]


class Stacked:
    """The graph of one network made one of several: W (n_in, n_out) → W (members, n_in, n_out), and so every variable.

    The first `data` inputs are the rows of a batch: the same for all members (`together`), or, one member after the
    other, rows of each one's own. Every later input (a number of the run, its key) has one value for each member. The
    outputs get the axis of members too; with `verdict` a number comes before them, the mean loss of the members whose
    loss is finite, which ends a loop only when no member is left.
    """

    def __init__(
        self, graph: Graph, paths: Mapping[Variable, str], members: int, data: int, *, together: bool, verdict: bool,
        held: dict[Variable, Variable] | None = None,
    ) -> None:  # fmt: skip
        kept = [v for v in graph.variables if v in paths]
        outside = [v for v in graph.variables if v not in paths]  # nobody's own: the same for all
        held = {} if held is None else held  # stacked variables there are already, of another program over the same
        for v in kept:
            if v not in held:
                held[v] = Variable(np.zeros((members, *v.shape), v.dtype), paths[v], dtype=v.dtype, kind="slot")
        many = {v: held[v] for v in kept}
        rows, rest = graph.inputs[:data], graph.inputs[data:]
        if together:
            given = [placeholder(t.shape, t.dtype, t.name) for t in rows]
            slices: list[Tensor] = []
        else:
            given = [placeholder((members * t.shape[0], *t.shape[1:]), t.dtype, t.name) for t in rows]
            slices = [g.reshape((members, *t.shape)) for g, t in zip(given, rows, strict=True)]
        each = [placeholder((members, *t.shape), t.dtype, t.name) for t in rest]
        around = [*(given if together else []), *outside]
        body = Graph([*kept, *rest, *([] if together else rows), *(rows if together else []), *outside], graph.ends)
        mapped = [*many.values(), *each, *slices]
        node = map_op(*mapped, *around, body=body, sequences=len(mapped), length=members)
        outs = [item(node, index=i) for i in range(len(body.outputs))]
        k = len(graph.outputs)
        updates = [(many[v], out) for (v, _), out in zip(graph.updates, outs[k:], strict=True)]
        self.graph = Graph([*given, *each], [*([mean_of_finite(outs[0])] if verdict else []), *outs[:k]], updates)
        self.members = members
        self.paths = {stack: paths[v] for v, stack in many.items()}


def mean_of_finite(losses: Tensor) -> Tensor:
    """The mean of those that are finite; 0/0 when none is."""
    ok = isfinite(losses)
    return total(where(ok, losses, 0.0)) / total(cast(ok, losses.dtype))


def variables_of(model: Module) -> dict[str, Variable]:
    """Everything of a model that a step reads or writes, by path: its state and its optimiser's memory."""
    return {**model.state, **training_of(model).memory}


def values_of(
    variables: Sequence[Variable], paths: Mapping[Variable, str], own: Sequence[Mapping[str, Variable]]
) -> list[Any]:  # fmt: skip
    """What a stacked program starts from: the values of all models, one behind the other along a new first axis."""
    return [
        np.stack([np.asarray(o[paths[v]].raw) for o in own]) if v in paths else v.raw for v in variables
    ]  # fmt: skip


def lanes(members: int, engine: str) -> list[list[int]]:
    """The members cut into groups that run side by side: on a CPU one for each core, as equal as can be.

    The steps of a small network are too short for XLA to share them among cores; networks know nothing of each other.

    >>> lanes(3, "reference")
    [[0, 1, 2]]
    """
    cores = 1
    if engine == "xla":
        from kedja.engines.xla.devices import device

        if device().platform == "cpu":
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    groups = [list(map(int, part)) for part in np.array_split(np.arange(members), min(cores, members))]
    return groups


def side_by_side(tasks: Sequence[Any]) -> list[Any]:
    """Call all of them, each in a thread of its own; programs of XLA run outside Python's lock."""
    if len(tasks) == 1:
        return [tasks[0]()]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(len(tasks)) as pool:
        return [future.result() for future in [pool.submit(task) for task in tasks]]


def finite(values: Sequence[Any]) -> bool:
    """Whether every floating-point number is finite."""
    arrays = [np.asarray(v) for v in values]
    return all(bool(np.isfinite(a).all()) for a in arrays if is_float(a.dtype))
