"""Where raw rows enter a model: what codes them, what is measured on them, and on which of them (scope 6).

Means, medians and categories are taken from the rows a model learns from. A validation row that helped to choose them
would have told the model something about itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kedja.data.check import check_array
from kedja.data.columns import is_table, rows_of
from kedja.errors import DataError, GraphError
from kedja.graph.dtypes import default_dtype, get_default_dtype
from kedja.graph.node import Tensor, tensor
from kedja.nn.layers import Denormalize
from kedja.nn.layers.layer import Layer
from kedja.nn.layers.preprocessing import Preprocessing
from kedja.nn.model import Module, Sequential

__all__ = ["adapt", "coded", "entrance"]


def entrance(model: Layer) -> Preprocessing | None:
    """The layer that rows meet first, if it is one of those that may code them."""
    layer: Layer | None = model
    while isinstance(layer, Module):
        layer = next((inside for _, inside in layer.members() if isinstance(inside, Layer)), None)
    return layer if isinstance(layer, Preprocessing) else None


def coded(model: Module, x: Any, name: str) -> Any:
    """Rows as the numbers the model's first layer takes; a table needs a `Columns` there."""
    if isinstance(x, Tensor) or (isinstance(x, np.ndarray) and x.dtype.kind in "fc" and entrance(model) is None):
        return x
    front = entrance(model)
    if front is not None:
        return front.encode(x, name)
    if isinstance(x, dict) or (isinstance(x, list) and is_table(x)):
        raise DataError(
            f"{name} is a table, and the model takes arrays: let it begin with kj.nn.Columns(), or give an array."
        )
    return x


def adapt(model: Module, x: Any, y: Any, which: NDArray[np.int64] | None) -> None:
    """Adapt what is not adapted yet at the front of the model, and a `Denormalize` at its end, to the rows `which`.

    `which` None means all rows. Only a chain of preprocessing layers at the front is adapted: what stands behind a
    layer that learns sees something else after every step.
    """
    waiting = [layer for layer in front_of(model) if not layer.adapted]
    with default_dtype(model.dtype or get_default_dtype()):
        if waiting:
            _adapt_front(list(front_of(model)), waiting, x, which)
        last = model.output_layer
        if isinstance(last, Denormalize) and not last.adapted:
            last.adapt(_columns_of_numbers(last, y, which))


def _adapt_front(front: list[Preprocessing], waiting: list[Preprocessing], x: Any, which: Any) -> None:
    if isinstance(x, tuple):
        raise GraphError(f"{waiting[0].title}: adapt it to the training rows first: layer.adapt(values)")
    rows: Any = x if which is None else rows_of(x, which)
    for layer in front:
        if not layer.adapted:
            layer.adapt(rows)
        if layer is waiting[-1]:
            return
        codes = layer.encode(rows)  # what the next one meets
        rows = layer(tensor(check_array(codes, missing=layer.takes_missing, dtype=get_default_dtype()))).numpy()


def _columns_of_numbers(last: Denormalize, y: Any, which: Any) -> Any:
    targets = np.asarray(y.numpy() if isinstance(y, Tensor) else y)
    if targets.dtype.kind not in "biuf":
        raise DataError(f"{last.title}: the targets are no numbers: {targets.dtype}")
    targets = targets if which is None else targets[which]
    return targets if targets.ndim > 1 else targets.reshape(-1, 1)


def front_of(model: Layer) -> Iterator[Preprocessing]:
    """The preprocessing layers a row passes before it meets any other, in order."""
    if isinstance(model, Preprocessing):
        yield model
    if not isinstance(model, Sequential):
        first = entrance(model) if isinstance(model, Module) else None
        if first is not None:
            yield first
        return
    for layer in model.layers:
        if isinstance(layer, Sequential):
            inside = list(front_of(layer))
            yield from inside
            if len(inside) < len(layer.layers):
                return
        elif isinstance(layer, Preprocessing):
            yield layer
        else:
            return
