"""Shape arithmetic, and the messages when it does not work out."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

from kedja.errors import GraphError, ShapeError

__all__ = ["Shape", "as_axes", "as_axis", "as_shape", "broadcast", "matmul_shape", "reshaped", "size"]

Shape = tuple[int, ...]


def size(shape: Shape) -> int:
    """How many elements a tensor of this shape has.

    >>> size((3, 4))
    12
    """
    return math.prod(shape)


def as_shape(shape: Any) -> Shape:
    """A shape from an int or a sequence of ints.

    >>> as_shape(3), as_shape([2, 3])
    ((3,), (2, 3))
    """
    try:
        return (operator.index(shape),)
    except TypeError:
        pass
    try:
        return tuple(operator.index(n) for n in shape)
    except TypeError:
        raise GraphError(
            f"a shape is a whole number or a tuple of them, known while the graph is built; got {shape!r}"
        ) from None


def broadcast(shapes: Sequence[Shape]) -> Shape:
    """The shape that all `shapes` stretch to: aligned at the right, each axis equal or 1.

    >>> broadcast([(3, 1), (4,)])
    (3, 4)
    """
    if len(shapes) == 2 and shapes[0] == shapes[1]:  # the common case
        return shapes[0]
    rank = max(map(len, shapes), default=0)
    out = []
    for axis in range(-rank, 0):
        sizes = {s[axis] for s in shapes if -axis <= len(s)} - {1}
        if len(sizes) > 1:
            a, b = _first_clash(shapes, axis)
            clash = f"shapes {a} and {b} do not broadcast: axis {axis} has {a[axis]} and {b[axis]}."
            raise ShapeError(clash + _fix(a, b))
        out.append(sizes.pop() if sizes else 1)
    return tuple(out)


def _first_clash(shapes: Sequence[Shape], axis: int) -> tuple[Shape, Shape]:
    long = [s for s in shapes if -axis <= len(s) and s[axis] != 1]
    return long[0], next(s for s in long if s[axis] != long[0][axis])


def _fix(a: Shape, b: Shape) -> str:
    if len(a) == 1 and len(b) >= 2 and a[0] == b[0]:
        return f"\n  For one number per row, make the first a column: reshape it to {(a[0],) + (1,) * (len(b) - 1)}."
    if len(b) == 1 and len(a) >= 2 and b[0] == a[0]:
        return f"\n  For one number per row, make the second a column: reshape it to {(b[0],) + (1,) * (len(a) - 1)}."
    if a == b[::-1]:
        return "\n  One is the other's transpose: use .T on one of them."
    return "\n  Axes match from the right; each pair must be equal, or one of them 1."


def as_axis(axis: Any, rank: int, what: str = "axis") -> int:
    """`axis` counted from the front.

    >>> as_axis(-1, 3)
    2
    """
    try:
        number = operator.index(axis)
    except TypeError:
        raise GraphError(f"{what} must be a whole number, got {axis!r}") from None
    if not -rank <= number < rank:
        names = f"0 to {rank - 1} or {-rank} to -1" if rank else "none: it is a single number"
        raise ShapeError(f"{what} {number} is out of range for a tensor with {rank} axes (there are {names})")
    return number % rank


def as_axes(axis: Any, rank: int) -> Shape:
    """Sorted axes from None (all), one, or several.

    >>> as_axes(None, 2), as_axes(-1, 2), as_axes((1, 0), 2)
    ((0, 1), (1,), (0, 1))
    """
    if axis is None:
        return tuple(range(rank))
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    found = tuple(sorted(as_axis(a, rank) for a in axes))
    if len(set(found)) != len(found):
        raise ShapeError(f"axis {axis!r} names one axis twice")
    return found


def reshaped(shape: Shape, target: Any) -> Shape:
    """The shape `target` means for a tensor of `shape`, with one -1 worked out.

    >>> reshaped((4, 6), (-1, 8))
    (3, 8)
    """
    wanted = as_shape(target)
    n = size(shape)
    if wanted.count(-1) > 1 or any(k < -1 for k in wanted):
        raise ShapeError(f"cannot reshape to {wanted}: at most one size may be -1, the others at least 0")
    if -1 in wanted:
        rest = size(tuple(k for k in wanted if k != -1))
        if rest and n % rest == 0:
            return tuple(n // rest if k == -1 else k for k in wanted)
    elif size(wanted) == n:
        return wanted
    raise ShapeError(f"cannot reshape {shape} ({n} elements) to {wanted}: the number of elements must stay the same")


def matmul_shape(a: Shape, b: Shape) -> Shape:
    """Shape of a @ b: (…, n, k) @ (…, k, m) → (…, n, m), leading axes broadcast; a single vector drops its axis.

    >>> matmul_shape((2, 3), (3, 5)), matmul_shape((3,), (3, 5))
    ((2, 5), (5,))
    """
    if not a or not b:
        raise ShapeError(f"matmul needs at least one axis on both sides, got {a} @ {b}. With a number use * instead.")
    inner_b = b[-2] if len(b) > 1 else b[0]
    if a[-1] != inner_b:
        hint = ""
        if len(a) >= 2 and a[-2] == inner_b:
            hint = " Did you mean a.T @ b?"
        elif len(b) >= 2 and a[-1] == b[-1]:
            hint = " Did you mean a @ b.T?"
        raise ShapeError(
            f"{a} @ {b}: the last axis of the first ({a[-1]}) must equal "
            f"the {'second-last' if len(b) > 1 else 'only'} axis of the second ({inner_b}).{hint}"
        )
    batch = broadcast([a[:-2], b[:-2]])
    return batch + a[-2:-1] + (b[-1:] if len(b) > 1 else ())
