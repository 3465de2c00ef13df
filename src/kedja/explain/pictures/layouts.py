"""Where the channels of an image and of the maps inside a network lie: last, as here, or first, as in other libraries.

Convolutions and poolings of the graph have their channels last. A model that came from elsewhere turns its maps before
and after each of them, so the way from the nearest one, or to it, says what the axes of a node are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kedja.graph.node import Tensor, placeholder
from kedja.graph.trace import Graph
from kedja.nn.model import Module
from kedja.train.evaluation import input_shapes

__all__ = ["channels_axes", "channels_axis", "channels_first"]

WINDOWS = ("conv", "conv_transpose", "max_pool", "sum_pool")
KEEP = ("concatenate", "flip", "pad", "slice")  # the sizes change, the axes do not


def channels_axes(end: Tensor) -> dict[Tensor, int]:
    """The axis of the channels of the nodes above `end`, where the convolutions before them say it."""
    known: dict[Tensor, int] = {}
    for n in Graph([], [end]).order:
        name = getattr(n.op, "name", "")
        axes = {known[i] for i in _inputs(n) if i in known}
        if name in WINDOWS:
            known[n] = n.ndim - 1
        elif len(axes) == 1:
            axis = axes.pop()
            known[n] = n.attrs["axes"].index(axis) if name == "transpose" else axis
    return known


def channels_axis(node: Tensor, end: Tensor, known: Mapping[Tensor, int]) -> int:
    """The axis of the channels of a node above `end`, by `channels_axes` or by what comes after; else the last one."""
    found = known[node] if node in known else _after(node, end)
    return node.ndim - 1 if found is None else found


def channels_first(model: Module, form: Sequence[Any], dtype: Any) -> bool:
    """Whether a model takes its images as (channels, *places).

    Where the form leaves sizes of places open, as (3, None, None) does, that says it; else the graph does.

    >>> import kedja as kj
    >>> net = kj.Sequential([kj.nn.Conv2D(4, 3, "relu"), kj.nn.GlobalAveragePool(), kj.nn.Dense(3)])
    >>> net = net.build((None, 8, 8, 1), seed=0)
    >>> channels_first(net, (8, 8, 1), "float32"), channels_first(net, (3, None, 8), "float32")
    (False, True)
    """
    if len(form) < 2 or len(input_shapes(model)) != 1:
        return False
    if None in form:
        return form[0] is not None and None in form[1:]
    x = placeholder((1, *form), dtype, "x")
    output = model(x)
    return isinstance(output, Tensor) and _after(x, output) == 1


def _after(node: Tensor, end: Tensor) -> int | None:
    """The axis of the channels, as the first convolution after the node says."""
    where: dict[Tensor, tuple[int, ...]] = {node: tuple(range(node.ndim))}  # for each axis, which of the node's it is
    for n in Graph([node], [end]).order:
        source = next((i for i in _inputs(n) if i in where), None)
        name = getattr(n.op, "name", "")
        if n is node:
            continue
        if name in WINDOWS and n.inputs[0] in where:
            return where[n.inputs[0]][-1]
        if source is not None:
            axes = where[source]
            where[n] = tuple(axes[a] for a in n.attrs["axes"]) if name == "transpose" else axes
    return None


def _inputs(node: Tensor) -> list[Tensor]:
    """The inputs of a node that have its axes, in the same order or, of a transpose, in another.

    A mean that keeps its axes is a reshape of a sum; then it is what is summed.
    """
    name = getattr(node.op, "name", "")
    if name == "reshape" and getattr(node.inputs[0].op, "name", "") in ("max", "min", "sum"):
        whole = node.inputs[0].inputs[0]
        pairs = zip(node.shape, whole.shape, strict=False)
        return [whole] if node.ndim == whole.ndim and all(n in (1, m) for n, m in pairs) else []
    kept = name in ("transpose", *WINDOWS, *KEEP)
    return [i for i in node.inputs if i.ndim == node.ndim and (kept or i.shape == node.shape)]
