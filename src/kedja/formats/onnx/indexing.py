"""Elements read and written at positions."""

from __future__ import annotations

from typing import Any

import numpy as np

from kedja import ops
from kedja.formats.onnx.registry import operator
from kedja.graph.node import Tensor
from kedja.graph.shapes import as_axis

REDUCTIONS = {"none": "set", "add": "add", "mul": "mul", "max": "max", "min": "min"}


@operator("Gather")
def gather(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    """Slices at positions along an axis."""
    return ops.take(x, indices, axis)


@operator("GatherElements")
def gather_elements(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    """One element per position; along other axes the positions may cover a part of x only."""
    at = as_axis(axis, x.ndim)
    part = tuple(slice(None) if i == at else slice(0, n) for i, n in enumerate(indices.shape))
    return ops.take_along_axis(x[part], indices, at)


@operator("GatherND")
def gather_nd(x: Tensor, indices: Tensor, *, batch_dims: int = 0) -> Tensor:
    """Elements or slices at positions of several numbers."""
    return ops.gather_nd(x, indices, batch_dims)


@operator("ScatterElements")
def scatter_elements(x: Tensor, indices: Tensor, updates: Tensor, *, axis: int = 0, reduction: str = "none") -> Tensor:
    """x with one update per position."""
    return ops.put_along_axis(x, indices, updates, axis, REDUCTIONS[reduction])


@operator("Scatter")
def scatter(x: Tensor, indices: Tensor, updates: Tensor, *, axis: int = 0) -> Tensor:
    """The older name of ScatterElements."""
    return scatter_elements(x, indices, updates, axis=axis)


@operator("ScatterND")
def scatter_nd(x: Tensor, indices: Tensor, updates: Tensor, *, reduction: str = "none") -> Tensor:
    """x with elements or slices written at positions of several numbers."""
    return ops.scatter_nd(x, indices, updates, REDUCTIONS[reduction])


@operator("OneHot", known=("depth",))
def one_hot(indices: Tensor, depth: Any, values: Tensor, *, axis: int = -1) -> Tensor:
    """values[1] where an index names the place, values[0] elsewhere and for indices out of range."""
    n = int(np.asarray(depth).item())
    at = as_axis(axis, indices.ndim + 1)
    index = ops.expand_dims(ops.cast(indices, "int64"), at)
    counted = ops.where(index < 0, index + n, index)
    places = ops.reshape(ops.arange(n), (n, *(1,) * (indices.ndim - at)))
    return ops.where(counted == places, values[1], values[0])
