"""Ops that fold axes away: sum, max, min, argmax, cumulative sum; mean, variance and log-sum-exp from them."""

from __future__ import annotations

from typing import Any

import numpy as np

from kedja.errors import DTypeError, ShapeError
from kedja.graph.dtypes import BOOL, INT64, DType, is_float
from kedja.graph.node import Tensor, tensor
from kedja.graph.shapes import Shape, as_axes, as_axis
from kedja.ops.elementwise import cast, exp, isfinite, log, stop_gradient, where
from kedja.ops.notation import FUNCTION, PRODUCT, Notation
from kedja.ops.op import Op, by_hand, linear, nondifferentiable
from kedja.ops.samples import Sample, arrays, boolean
from kedja.ops.shaping import broadcast_to, flip, reshape


def _kept(shape: Shape, axes: Shape) -> Shape:
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def _reduced(x: Tensor, axes: Shape) -> tuple[Shape, DType]:
    return tuple(n for i, n in enumerate(x.shape) if i not in axes), x.dtype


def _spread(node: Tensor, g: Tensor) -> Tensor:
    """A reduced tensor, stretched back over the axes it lost."""
    x = node.inputs[0]
    return broadcast_to(reshape(g, _kept(x.shape, node.attrs["axes"])), x.shape)


REDUCTIONS = arrays(
    ([(3, 4)], {"axes": (0,)}), ([(3, 4)], {"axes": (1,)}), ([(2, 3, 4)], {"axes": (0, 2)}),
    ([(3, 4)], {"axes": (0, 1)}), ([(5,)], {"axes": (0,)}), ([(1, 1)], {"axes": (0,)}),
    ([()], {"axes": ()}), ([(2, 3)], {"axes": ()}),
)  # fmt: skip


def _sum_samples(rng: np.random.Generator) -> Any:
    yield from REDUCTIONS(rng)
    yield Sample((np.zeros((0, 3)),), {"axes": (0,)}, label="empty")
    yield Sample((np.array([1e30, 1.0, -1e30, np.inf]),), {"axes": (0,)}, smooth=False, label="extremes")


# --- sum ------------------------------------------------------------------------------------------------------------
reduce_sum = linear(
    "sum", lambda x, axes: np.sum(x, axis=axes, dtype=x.dtype), _reduced, adjoint=_spread, samples=_sum_samples,
    tex=Notation(r"\sum {0}", FUNCTION, (PRODUCT,)), accepts="number",
    doc="y = Σ a over these axes.",
)  # fmt: skip


def unbroadcast(g: Tensor, shape: Shape) -> Tensor:
    """The adjoint of stretching: `g` summed back over the axes along which `shape` was repeated."""
    if g.shape == shape:
        return g
    ahead = g.ndim - len(shape)
    axes = (*range(ahead), *(i + ahead for i, n in enumerate(shape) if n == 1 and g.shape[i + ahead] != 1))
    return reshape(reduce_sum(g, axes=axes) if axes else g, shape)


def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Sum over the axes (all by default).

    >>> sum(tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0).numpy().tolist()
    [4.0, 6.0]
    """
    x = tensor(x)
    if x.dtype == BOOL:
        raise DTypeError("sum of booleans: convert first, kj.cast(x, 'int64') counts, kj.cast(x, 'float32') averages.")
    return _folded(reduce_sum, x, axis, keepdims)


def _folded(op: Any, x: Tensor, axis: Any, keepdims: bool) -> Tensor:
    axes = as_axes(axis, x.ndim)
    y: Tensor = op(x, axes=axes) if axes or not x.ndim else x
    return reshape(y, _kept(x.shape, axes)) if keepdims else y


def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Arithmetic mean over the axes: Σx / n.

    >>> mean(tensor([[1.0, 2.0], [3.0, 4.0]])).item()
    2.5
    """
    x = tensor(x)
    if not is_float(x.dtype):
        raise DTypeError(f"mean of {x.dtype.name} numbers is not a whole number: use kj.cast(x, 'float32') first.")
    n = int(np.prod([x.shape[a] for a in as_axes(axis, x.ndim)], dtype=int))
    return sum(x, axis, keepdims) / (n if n else float("nan"))


def variance(x: Any, axis: Any = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
    """Mean squared distance from the mean: Σ(x − x̄)² / (n − ddof).

    >>> variance(tensor([1.0, 3.0])).item()
    1.0
    """
    x = tensor(x)
    n = int(np.prod([x.shape[a] for a in as_axes(axis, x.ndim)], dtype=int))
    away = x - mean(x, axis, keepdims=True)
    return sum(away * away, axis, keepdims) / (n - ddof if n > ddof else float("nan"))


# --- largest and smallest: ties share the gradient ------------------------------------------------------------------
def _extreme_spec(x: Tensor, axes: Shape) -> tuple[Shape, DType]:
    if 0 in [x.shape[a] for a in axes]:
        raise ShapeError(f"no largest or smallest element along an empty axis of shape {x.shape}")
    return _reduced(x, axes)


def _winners(node: Tensor) -> Tensor:
    """The share each element has in the result: 1 for a single winner, 1/k for each of k that tie."""
    x = node.inputs[0]
    won = cast(x == _spread(node, node), x.dtype)
    return won / _spread(node, reduce_sum(won, axes=node.attrs["axes"]))


def _extreme_pull(node: Tensor, g: Tensor, needed: Any) -> tuple[Tensor]:
    return (_spread(node, g) * _winners(node),)


def _extreme_push(node: Tensor, tangents: Any) -> Tensor | None:
    (t,) = tangents
    return None if t is None else reduce_sum(t * _winners(node), axes=node.attrs["axes"])


reduce_max = by_hand(
    "max", lambda x, axes: np.max(x, axis=axes), _extreme_spec, pull=_extreme_pull, push=_extreme_push,
    samples=REDUCTIONS, tex=r"\max {0}", accepts="number",
    doc="y = max(a) over these axes; those that tie share the derivative.",
)  # fmt: skip
reduce_min = by_hand(
    "min", lambda x, axes: np.min(x, axis=axes), _extreme_spec, pull=_extreme_pull, push=_extreme_push,
    samples=REDUCTIONS, tex=r"\min {0}", accepts="number",
    doc="y = min(a) over these axes; those that tie share the derivative.",
)  # fmt: skip


def max(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Largest element over the axes; elements that tie share the gradient.

    >>> max(tensor([[1.0, 5.0], [3.0, 4.0]]), axis=1).numpy().tolist()
    [5.0, 4.0]
    """
    return _folded(reduce_max, tensor(x), axis, keepdims)


def min(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Smallest element over the axes; elements that tie share the gradient.

    >>> min(tensor([[1.0, 5.0], [3.0, 4.0]])).item()
    1.0
    """
    return _folded(reduce_min, tensor(x), axis, keepdims)


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """ln Σ eˣ without overflow: the largest x is taken out first.

    >>> round(logsumexp(tensor([1000.0, 1000.0])).item(), 3)
    1000.693
    """
    x = tensor(x)
    top = stop_gradient(max(x, axis, keepdims=True))
    top = where(isfinite(top), top, 0.0)  # −∞ − (−∞) would not be a number
    y = log(sum(exp(x - top), axis, keepdims=True)) + top
    return y if keepdims else reshape(y, sum(x, axis).shape)


# --- all, any -------------------------------------------------------------------------------------------------------
def _logical_samples(rng: np.random.Generator) -> Any:
    for shape, axes in (((3, 4), (0,)), ((3, 4), (0, 1)), ((0, 2), (0,)), ((2,), ())):
        yield Sample((boolean(rng, shape),), {"axes": axes})


reduce_all = nondifferentiable(
    "all", lambda x, axes: np.all(x, axis=axes), _reduced, samples=_logical_samples, accepts="bool", tex=r"\forall {0}",
    doc="y = a₁ ∧ a₂ ∧ …: whether all are true, over these axes.",
)  # fmt: skip
reduce_any = nondifferentiable(
    "any", lambda x, axes: np.any(x, axis=axes), _reduced, samples=_logical_samples, accepts="bool", tex=r"\exists {0}",
    doc="y = a₁ ∨ a₂ ∨ …: whether any is true, over these axes.",
)  # fmt: skip


def all(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Whether every element along the axes is true.

    >>> all(tensor([True, False])).item()
    False
    """
    return _folded(reduce_all, _boolean("all", x), axis, keepdims)


def any(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Whether some element along the axes is true.

    >>> any(tensor([True, False])).item()
    True
    """
    return _folded(reduce_any, _boolean("any", x), axis, keepdims)


def _boolean(name: str, x: Any) -> Tensor:
    found = tensor(x)
    if found.dtype != BOOL:
        raise DTypeError(f"{name} needs booleans, got {found.dtype.name}. Compare first, as in x > 0.")
    return found


# --- where the largest stands, and order ----------------------------------------------------------------------------
def _arg_spec(x: Tensor, axis: int) -> tuple[Shape, DType]:
    if x.shape[axis] == 0:
        raise ShapeError(f"no largest or smallest element along axis {axis} of shape {x.shape}")
    return x.shape[:axis] + x.shape[axis + 1 :], INT64


ALONG = arrays(([(3, 4)], {"axis": 0}), ([(3, 4)], {"axis": 1}), ([(5,)], {"axis": 0}), ([(2, 1, 3)], {"axis": 1}),
               ([np.array([2.0, 5.0, 5.0, 1.0])], {"axis": 0}))  # fmt: skip

first_max = nondifferentiable(
    "argmax", lambda x, axis: np.argmax(x, axis=axis), _arg_spec, samples=ALONG, accepts="number",
    tex=r"\operatorname{{argmax}} {0}",
    doc="a[y] = max(a): where the largest stands along an axis, the first of equals.",
)  # fmt: skip
first_min = nondifferentiable(
    "argmin", lambda x, axis: np.argmin(x, axis=axis), _arg_spec, samples=ALONG, accepts="number",
    tex=r"\operatorname{{argmin}} {0}",
    doc="a[y] = min(a): where the smallest stands along an axis, the first of equals.",
)  # fmt: skip
stable_order = nondifferentiable(
    "argsort", lambda x, axis: np.argsort(x, axis=axis, kind="stable"), lambda x, axis: (x.shape, INT64),
    samples=ALONG, accepts="number", tex=r"\operatorname{{argsort}} {0}",
    doc="a[y₁] ≤ a[y₂] ≤ …: the order that sorts an axis; equals keep theirs.",
)  # fmt: skip


def argmax(x: Any, axis: Any = None) -> Tensor:
    """Position of the first largest element along the axis (of the flattened tensor by default), int64.

    >>> argmax(tensor([[1.0, 5.0], [3.0, 2.0]]), axis=1).numpy().tolist()
    [1, 0]
    """
    return _placed(first_max, x, axis)


def argmin(x: Any, axis: Any = None) -> Tensor:
    """Position of the first smallest element, as `argmax`.

    >>> argmin(tensor([4.0, 1.0, 3.0])).item()
    1
    """
    return _placed(first_min, x, axis)


def argsort(x: Any, axis: int = -1) -> Tensor:
    """Positions that put the elements in ascending order; equal elements keep theirs. Sorting is take_along_axis of it.

    >>> argsort(tensor([3.0, 1.0, 2.0])).numpy().tolist()
    [1, 2, 0]
    """
    return _placed(stable_order, x, axis)


def _placed(op: Any, x: Any, axis: Any) -> Tensor:
    x = tensor(x)
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    y: Tensor = op(x, axis=as_axis(axis, x.ndim))
    return y


# --- running sum ----------------------------------------------------------------------------------------------------
running_sum: Op = linear(
    "cumsum", lambda x, axis: np.cumsum(x, axis=axis, dtype=x.dtype), lambda x, axis: (x.shape, x.dtype),
    adjoint=lambda node, g: flip(running_sum(flip(g, node.attrs["axis"]), **node.attrs), node.attrs["axis"]),
    samples=arrays(([(3, 4)], {"axis": 0}), ([(3, 4)], {"axis": 1}), ([(0,)], {"axis": 0}), ([(1,)], {"axis": 0})),
    accepts="number",
    doc="yᵢ = a₁ + … + aᵢ along an axis.",
)  # fmt: skip


def cumsum(x: Any, axis: int = -1) -> Tensor:
    """Running sum along the axis: y_k = x_0 + … + x_k.

    >>> cumsum(tensor([1.0, 2.0, 3.0])).numpy().tolist()
    [1.0, 3.0, 6.0]
    """
    return _placed(running_sum, x, axis)


__all__ = [
    "all", "any", "argmax", "argmin", "argsort", "cumsum", "logsumexp", "max", "mean", "min", "sum", "variance",
]  # fmt: skip
