"""Sequences of tensors: Python lists while the graph is built, so positions in them must be known then."""

from __future__ import annotations

from typing import Any

import numpy as np

from kedja import ops
from kedja.errors import FormatError
from kedja.formats.onnx.registry import operator
from kedja.formats.onnx.shaping import numbers
from kedja.formats.onnx.values import Value
from kedja.graph.node import Tensor, tensor
from kedja.graph.shapes import as_axis

Sequence = list[Value]


@operator("SequenceConstruct", coded=True)
def construct(*xs: Value) -> Sequence:
    """These tensors, in this order."""
    return list(xs)


@operator("SequenceEmpty")
def empty(*, dtype: int = 1) -> Sequence:
    """No tensor yet."""
    return []


@operator("SequenceInsert", known=("position",), coded=True)
def insert(sequence: Sequence, x: Value, position: Any = None) -> Sequence:
    """One more, before the position; at the end without one."""
    n = len(sequence)
    at = n if position is None or numbers(position) == [n] else place(position, n)
    return [*sequence[:at], x, *sequence[at:]]


@operator("SequenceErase", known=("position",), coded=True)
def erase(sequence: Sequence, position: Any = None) -> Sequence:
    """All but the one at the position; the last goes without one."""
    at = place(-1 if position is None else position, len(sequence))
    return [*sequence[:at], *sequence[at + 1 :]]


@operator("SequenceAt", known=("position",), coded=True)
def at(sequence: Sequence, position: Any) -> Value:
    """The one at the position."""
    return sequence[place(position, len(sequence))]


@operator("SequenceLength", coded=True)
def length(sequence: Sequence) -> Tensor:
    """How many there are."""
    return tensor(np.array(len(sequence), np.int64))


@operator("ConcatFromSequence")
def joined(sequence: Sequence, *, axis: int, new_axis: int = 0) -> Tensor:
    """All of them along an axis, which is a new one where `new_axis` says so."""
    return ops.stack(sequence, axis) if new_axis else ops.concatenate(sequence, axis)


@operator("SplitToSequence", known=("split",))
def split(x: Tensor, split: Any = None, *, axis: int = 0, keepdims: int = 1) -> Sequence:
    """Pieces along an axis: of these sizes, of this one size, or of size 1, whose axis goes unless `keepdims`."""
    n = x.shape[as_axis(axis, x.ndim)]
    if split is None:
        pieces = list(ops.split(x, [1] * n, axis))
        return pieces if keepdims else [ops.squeeze(p, axis) for p in pieces]
    sizes = numbers(split)
    if not np.asarray(split).ndim:
        step = sizes[0]
        sizes = [min(step, n - start) for start in range(0, n, step)]
    return list(ops.split(x, sizes, axis))


def place(position: Any, n: int) -> int:
    """A position from either end, as one from the start."""
    (found,) = numbers(position)
    if not -n <= found < n:
        raise FormatError(f"position {found} of a sequence that has {n} places")
    return found % n
