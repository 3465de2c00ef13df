"""Pooling: the largest, the sum or the mean of each window (scope 2.6). Channels are pooled each by itself.

Max-pooling hands its derivative to one element of each window, the first of the largest. That is linear in what is
handed on, so three ops are closed: `max_pool` finds the largest, `max_pool_pick` reads another array of the input's
shape at the winners (forward mode), and `max_pool_scatter` puts numbers back there (reverse mode). The sum is linear;
the mean is the sum divided by constants.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from itertools import product
from typing import Any

import numpy as np

from kedja.errors import ShapeError
from kedja.graph.dtypes import DType, is_float
from kedja.graph.node import Array, Tensor, constant, same_dtype, tensor
from kedja.graph.shapes import Shape
from kedja.ops.notation import ATOM, Notation
from kedja.ops.op import Op, by_hand, linear, located
from kedja.ops.samples import Sample, distinct
from kedja.ops.windows import Windows, count, real_places, resolve, spans

__all__ = ["max_pool", "mean_pool", "sum_pool"]


# --- the meaning in NumPy -------------------------------------------------------------------------------------------
def least(dtype: DType) -> Any:
    """What padding counts as for a maximum: −∞, or the smallest integer."""
    return np.array(-np.inf if is_float(dtype) else np.iinfo(dtype).min, dtype)


def first_real(sizes: Shape, windows: Windows) -> list[Array]:
    """The number of each window's first place that is not padding, which wins when nothing is larger: a sum of these.

    There is one array per axis, shaped to be stretched over (N, *windows, C).
    """
    found, weight = [], 1
    for axis, table in reversed(list(enumerate(real_places(sizes, windows)))):
        first = weight * table.argmax(1).astype(np.int32)
        found.append(first.reshape([-1 if i == axis + 1 else 1 for i in range(len(sizes) + 2)]))
        weight *= windows.size[axis]
    return found


def _seen(x: Array, windows: Windows, fill: Any) -> Iterator[Array]:
    """For each place in a window, what all windows have there."""
    out = count(x.shape[1:-1], windows, "window")
    x = np.pad(x, [(0, 0), *zip(windows.low, windows.high, strict=True), (0, 0)], constant_values=fill)
    for _, where in spans(out, windows):
        yield x[(slice(None), *where)]


def _winners(x: Array, windows: Windows) -> tuple[Array, Array]:
    """The largest of each window and the number of the place where it stands first. NaN counts as the largest."""
    sizes = x.shape[1:-1]
    shape = (x.shape[0], *count(sizes, windows, "window"), x.shape[-1])
    best = np.full(shape, least(x.dtype))
    place = np.broadcast_to(reduce(np.add, first_real(sizes, windows)), shape)
    for i, here in enumerate(_seen(x, windows, least(x.dtype))):
        larger = (here > best) | ((here != here) & (best == best))
        best, place = np.where(larger, here, best), np.where(larger, np.int32(i), place)
    return best, place


def _max(x: Array, **attrs: Shape) -> Array:
    return reduce(np.maximum, _seen(x, Windows(**attrs), least(x.dtype)))


def _pick(x: Array, v: Array, **attrs: Shape) -> Array:
    windows = Windows(**attrs)
    _, place = _winners(x, windows)
    y = np.zeros(place.shape, v.dtype)
    for i, here in enumerate(_seen(v, windows, 0)):
        y = np.where(place == i, here, y)
    return y


def _scatter(x: Array, g: Array, **attrs: Shape) -> Array:
    windows = Windows(**attrs)
    _, place = _winners(x, windows)
    return _put_back((np.where(place == i, g, np.zeros((), g.dtype)) for i in range(int(place.max(initial=-1)) + 1)),
                     x.shape, g.dtype, windows)  # fmt: skip


def _put_back(parts: Iterator[Array], shape: Shape, dtype: DType, windows: Windows) -> Array:
    """Each part, one per place in a window, added where the windows read it."""
    sizes = shape[1:-1]
    padded = [n + a + b for n, a, b in zip(sizes, windows.low, windows.high, strict=True)]
    total = np.zeros((shape[0], *padded, shape[-1]), dtype)
    for part, (_, where) in zip(parts, spans(count(sizes, windows, "window"), windows), strict=False):
        total[(slice(None), *where)] += part
    return total[(slice(None), *(slice(a, a + n) for a, n in zip(windows.low, sizes, strict=True)))]


def _sum(x: Array, **attrs: Shape) -> Array:
    total: Array = reduce(np.add, _seen(x, Windows(**attrs), 0))
    return total


def _spread(g: Array, sizes: Shape, **attrs: Shape) -> Array:
    windows = Windows(**attrs)
    places = (g for _ in product(*map(range, windows.size)))
    return _put_back(places, (g.shape[0], *sizes, g.shape[-1]), g.dtype, windows)


# --- shapes ---------------------------------------------------------------------------------------------------------
def _pooled(x: Tensor, **attrs: Shape) -> Shape:
    return (x.shape[0], *count(x.shape[1:-1], Windows(**attrs), "window", x.shape), x.shape[-1])


def _pool_spec(x: Tensor, **attrs: Shape) -> tuple[Shape, DType]:
    return _pooled(x, **attrs), x.dtype


def _pick_spec(x: Tensor, v: Tensor, **attrs: Shape) -> tuple[Shape, DType]:
    if v.shape != x.shape:
        raise ShapeError(f"what is picked from has shape {v.shape}, the input {x.shape}: they must be the same")
    return _pooled(x, **attrs), same_dtype((x, v))


def _scatter_spec(x: Tensor, g: Tensor, **attrs: Shape) -> tuple[Shape, DType]:
    if g.shape != _pooled(x, **attrs):
        raise ShapeError(f"{x.shape} has windows {_pooled(x, **attrs)}, not {g.shape}")
    return x.shape, same_dtype((x, g))


def _spread_spec(g: Tensor, sizes: Shape, **attrs: Shape) -> tuple[Shape, DType]:
    out = count(sizes, Windows(**attrs), "window")
    if g.shape[1:-1] != out:
        raise ShapeError(f"an input of size {sizes} has windows {out}, not {g.shape[1:-1]}")
    return (g.shape[0], *sizes, g.shape[-1]), g.dtype


# --- the ops --------------------------------------------------------------------------------------------------------
CASES: tuple[tuple[Any, ...], ...] = (  # (x, size, stride, padding, dilation)
    ((2, 4, 6, 3), (2, 3), (2, 3), "valid", 1),  # the windows tile the input
    ((2, 5, 7, 2), (2, 2), (2, 2), "valid", 1),  # the last row and column are left over
    ((2, 5, 6, 2), (3, 3), (1, 2), "same", 1),
    ((1, 6, 7, 2), (2, 3), (2, 1), ((1, 0), (2, 1)), (1, 2)),
    ((2, 7, 2), (3,), (2,), 1, 1),
    ((1, 4, 3, 4, 2), (2, 2, 2), (2, 1, 2), (0, 1, 0), 1),
    ((1, 4, 2, 6, 1), (2, 1, 3), (2, 1, 3), "valid", 1),
    ((2, 5, 1), (2,), (4,), "valid", 2),
    ((0, 4, 4, 2), (2, 2), (2, 2), "valid", 1),
    ((1, 1, 1, 1), (1, 1), (1, 1), "valid", 1),
)  # fmt: skip

NOT_FINITE = np.full(
    (1, 6, 6, 2), -np.inf
)  # nothing larger than padding; in the first channel a missing number here and there
NOT_FINITE[:, 1::4, 1::4, 0] = np.nan


def _placed() -> Iterator[tuple[Shape, Windows]]:
    for x, *geometry in CASES:
        size_, stride, padding, dilation = geometry
        yield x, resolve(x[1:-1], size_, stride, padding, dilation, "window")


def _drawn(rng: np.random.Generator, other: bool) -> Iterator[Sample]:
    for x, windows in _placed():
        yield Sample((distinct(rng, x),), windows._asdict())
    if other:
        windows = resolve((6, 6), 2, 2, what="window")
        ties = rng.integers(0, 2, (1, 6, 6, 2)).astype(float)
        yield Sample((ties,), windows._asdict(), smooth=False, label="ties")
        yield Sample((rng.integers(-9, 9, (1, 5, 4, 2)),), resolve((5, 4), 3, 2, 1, what="window")._asdict())
        yield Sample((NOT_FINITE,), windows._asdict(), smooth=False, label="missing and infinite")


def _drawn_pairs(rng: np.random.Generator, pooled: bool) -> Iterator[Sample]:
    """Two inputs: x, and numbers of its shape (or of its windows'). The first is not moved: it only says who wins."""
    for x, windows in _placed():
        shape = (x[0], *count(x[1:-1], windows, "window"), x[-1]) if pooled else x
        yield Sample((distinct(rng, x), distinct(rng, shape)), windows._asdict())
    for windows in (resolve((6, 6), 2, 2, what="window"), resolve((6, 6), 3, 2, 1, what="window")):
        ties = rng.integers(0, 2, (1, 6, 6, 2)).astype(float)
        shape = (1, 3, 3, 2) if pooled else ties.shape
        yield Sample((ties, distinct(rng, shape)), windows._asdict(), smooth=False, label="ties")
        yield Sample((NOT_FINITE, distinct(rng, shape)), windows._asdict(), smooth=False, label="missing and infinite")


def _drawn_sums(rng: np.random.Generator) -> Iterator[Sample]:
    for x, windows in _placed():
        pooled = (x[0], *count(x[1:-1], windows, "window"), x[-1])
        yield Sample((distinct(rng, pooled),), {"sizes": x[1:-1], **windows._asdict()})


def _of(node: Tensor) -> dict[str, Any]:
    return {k: node.attrs[k] for k in Windows._fields}


def _written(name: str) -> Notation:
    return Notation(rf"\operatorname{{{{{name}}}}}\left({{*}}\right)", ATOM, (0,))


largest: Op = by_hand(
    "max_pool", _max, _pool_spec, accepts="number",
    pull=lambda node, g, needed: (give_back(node.inputs[0], g, **_of(node)),),
    push=lambda node, t: None if t[0] is None else pick(node.inputs[0], t[0], **_of(node)),
    tex=_written("maxpool"), text="max_pool({0}, {size})", samples=lambda rng: _drawn(rng, True),
    doc="y[n, p, c] = max(a[n, s·p + d·q − low, c]) over q: the largest of each window, the first of equals.",
)  # fmt: skip
pick: Op = linear(
    "max_pool_pick", _pick, _pick_spec, fixed=(0,), accepts="number",
    adjoint=lambda node, g: (None, give_back(node.inputs[0], g, **_of(node))),
    tex=_written("pick"), samples=lambda rng: _drawn_pairs(rng, False),
    doc="y[n, p, c] = b[n, w, c], where w is the place of the largest of a in the window p: max_pool in forward mode.",
)  # fmt: skip
give_back: Op = linear(
    "max_pool_scatter", _scatter, _scatter_spec, fixed=(0,), accepts="number",
    adjoint=lambda node, g: (None, pick(node.inputs[0], g, **_of(node))),
    tex=_written("scatter"), samples=lambda rng: _drawn_pairs(rng, True),
    doc="y[n, w, c] += b[n, p, c], where w is the place of the largest of a in the window p: max_pool on the way back.",
)  # fmt: skip
window_sum: Op = linear(
    "sum_pool", _sum, _pool_spec, accepts="number",
    adjoint=lambda node, g: window_spread(g, sizes=node.inputs[0].shape[1:-1], **_of(node)),
    tex=_written("sumpool"), text="sum_pool({0}, {size})", samples=lambda rng: _drawn(rng, False),
    doc="y[n, p, c] = Σ a[n, s·p + d·q − low, c] over q: the sum of each window.",
)  # fmt: skip
window_spread: Op = linear(
    "sum_pool_transpose", _spread, _spread_spec, accepts="number",
    adjoint=lambda node, g: window_sum(g, **_of(node)),
    tex=_written("spread"), text="sum_pool_transpose({0}, {size})", samples=_drawn_sums,
    doc="y[n, s·p + d·q − low, c] += a[n, p, c]: the adjoint of sum_pool, each number given to its whole window.",
)  # fmt: skip


# --- what users call ------------------------------------------------------------------------------------------------
def max_pool(x: Any, size: Any, stride: Any = None, padding: Any = "valid", dilation: Any = 1) -> Tensor:
    """The largest number of each window; padding never wins. Of several largest the first receives the gradient.

    Shapes: x (N, *n, C) → (N, *m, C), m = ⌊(n + before + after − dilation·(size − 1) − 1) / stride⌋ + 1 on each axis.
    The stride is the size unless given. A missing number in a window makes the result missing.

    Raises ShapeError when the window does not fit, or holds nothing but padding.
    Source: scope 2.6; Ranzato et al. 2007.

    >>> import kedja as kj
    >>> kj.max_pool(kj.tensor([[[1.0], [5.0], [3.0], [2.0]]]), 2).numpy().ravel().tolist()
    [5.0, 3.0]
    """
    x, windows = _laid(x, size, stride, padding, dilation, "max_pool")
    return largest(x, **windows._asdict())


def sum_pool(x: Any, size: Any, stride: Any = None, padding: Any = "valid", dilation: Any = 1) -> Tensor:
    """The sum of each window. Shapes, arguments and errors as for `max_pool`; padding counts 0.

    >>> import kedja as kj
    >>> kj.sum_pool(kj.tensor([[[1.0], [5.0], [3.0], [2.0]]]), 2, stride=1).numpy().ravel().tolist()
    [6.0, 8.0, 5.0]
    """
    x, windows = _laid(x, size, stride, padding, dilation, "sum_pool")
    return window_sum(x, **windows._asdict())


def mean_pool(
    x: Any,
    size: Any,
    stride: Any = None,
    padding: Any = "valid",
    dilation: Any = 1,
    count_padding: bool = False,
) -> Tensor:
    """The mean of each window, over its elements; with `count_padding` padding counts as zeros among them.

    Shapes, arguments and errors as for `max_pool`.
    Source: scope 2.6; LeCun et al. 1998.

    >>> import kedja as kj
    >>> x = kj.tensor([[[1.0], [5.0], [3.0]]])
    >>> kj.mean_pool(x, 2, padding="same").numpy().ravel().tolist()
    [3.0, 3.0]
    >>> kj.mean_pool(x, 2, padding="same", count_padding=True).numpy().ravel().tolist()
    [3.0, 1.5]
    """
    x, windows = _laid(x, size, stride, padding, dilation, "mean_pool")
    total = window_sum(x, **windows._asdict())
    if count_padding or not any(windows.low + windows.high):
        return total / float(np.prod(windows.size))
    number: Array = np.ones((), x.dtype)
    for table in real_places(x.shape[1:-1], windows):
        number = number[..., None] * table.sum(1).astype(x.dtype)
    return total / constant(number[None, ..., None])


def _laid(x: Any, size: Any, stride: Any, padding: Any, dilation: Any, name: str) -> tuple[Tensor, Windows]:
    """The input and its windows, each of which holds an element; errors name the function."""
    x = tensor(x)
    try:
        if x.ndim < 3:
            raise ShapeError(
                f"needs an input of at least 3 axes, (N, *sizes, channels), got {x.shape}. "
                "Missing axes of size 1 are added with kj.expand_dims."
            )
        windows = resolve(x.shape[1:-1], size, size if stride is None else stride, padding, dilation, "window")
        count(x.shape[1:-1], windows, "window", x.shape)
        for axis, table in enumerate(real_places(x.shape[1:-1], windows)):
            if not table.any(1).all():
                raise ShapeError(
                    f"along axis {axis + 1} the window at {int(table.any(1).argmin())} of {len(table)} holds nothing "
                    f"but padding: {windows.low[axis]} before and {windows.high[axis]} after is too much for a window "
                    f"of {windows.size[axis]}"
                )
    except ValueError as error:
        raise located(error, name) from None  # type: ignore[arg-type]
    return x, windows
