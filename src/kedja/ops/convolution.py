"""Convolution: a product of an input and a kernel, and its two adjoints, which together are closed (scope 2.5).

For one output channel y[n, p] = Σ x[n, s·p + d·q − before, c] w[q, c], over the places q of the kernel and the
channels c. Like every library of this trade, `conv` does not flip the kernel: mathematicians call this
cross-correlation. It is linear in x and in w, so there are three ops, each other's derivatives: from (x, w) to y, from
(y, w) back to x, and from (x, y) to w.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from kedja.errors import ShapeError
from kedja.graph.dtypes import DType
from kedja.graph.node import Array, Tensor, same_dtype
from kedja.graph.shapes import Shape, size
from kedja.ops.notation import ATOM, PRODUCT, Notation
from kedja.ops.op import Op, bilinear, located, operands
from kedja.ops.samples import Sample, distinct
from kedja.ops.shaping import swap_last
from kedja.ops.windows import Windows, count, resolve, spans

__all__ = ["conv", "conv_transpose"]

PATCH_BYTES = 1 << 26  # more examples than fill this are convolved in portions, so that patches do not fill the memory


# --- the meaning in NumPy: patches of the input, and matrix products ------------------------------------------------
def _patches(x: Array, out: Shape, kernel: Shape, place: dict[str, Shape], groups: int) -> Array:
    """What each window sees: (groups, N · windows, places · channels of the group)."""
    n, c = x.shape[0], x.shape[-1] // groups
    x = np.pad(x, [(0, 0), *zip(place["low"], place["high"], strict=True), (0, 0)])
    seen = np.empty((groups, n, *out, *kernel, c), x.dtype)
    split = np.moveaxis(x.reshape(*x.shape[:-1], groups, c), -2, 0)
    for q, where in spans(out, Windows(kernel, **place)):
        at: Any = (..., *q, slice(None))
        seen[at] = split[(slice(None), slice(None), *where)]
    return seen.reshape(groups, n * size(out), size(kernel) * c)


def _grouped(w: Array, groups: int) -> Array:
    """A kernel as one matrix per group: (groups, places · channels in, channels out)."""
    return np.moveaxis(w.reshape(size(w.shape[:-1]), groups, w.shape[-1] // groups), 1, 0)


def _portions(n: int, size_of_one: int) -> Iterator[slice]:
    step = max(1, PATCH_BYTES // max(1, size_of_one))
    return (slice(a, a + step) for a in range(0, n, step))


def _conv(x: Array, w: Array, groups: int, **place: Shape) -> Array:
    kernel, outs = w.shape[:-2], w.shape[-1]
    out = count(x.shape[1:-1], Windows(kernel, **place))
    y = np.empty((x.shape[0], *out, outs), x.dtype)
    matrix = _grouped(w, groups)
    for rows in _portions(len(x), size(out) * size(kernel) * x.shape[-1] * x.itemsize):
        part = x[rows]
        found = np.matmul(_patches(part, out, kernel, place, groups), matrix)
        y[rows] = np.moveaxis(found, 0, 1).reshape(len(part), *out, outs)
    return y


def _conv_transpose(g: Array, w: Array, sizes: Shape, groups: int, **place: Shape) -> Array:
    kernel, out, c = w.shape[:-2], g.shape[1:-1], w.shape[-2]
    padded = [n + a + b for n, a, b in zip(sizes, place["low"], place["high"], strict=True)]
    inner = tuple(slice(a, a + n) for a, n in zip(place["low"], sizes, strict=True))
    x = np.empty((len(g), *sizes, groups * c), g.dtype)
    back = np.swapaxes(_grouped(w, groups), 1, 2)
    for rows in _portions(len(g), size(out) * size(kernel) * groups * c * g.itemsize):
        part = g[rows]
        given = np.moveaxis(part.reshape(len(part) * size(out), groups, -1), 1, 0)
        sent = np.matmul(given, back).reshape(groups, len(part), *out, *kernel, c)
        total = np.zeros((len(part), *padded, groups, c), g.dtype)
        by_group = np.moveaxis(total, -2, 0)
        for q, where in spans(out, Windows(kernel, **place)):
            by_group[(slice(None), slice(None), *where)] += sent[(..., *q, slice(None))]
        x[rows] = total.reshape(len(part), *padded, groups * c)[(slice(None), *inner)]
    return x


def _conv_kernel(x: Array, g: Array, kernel: Shape, groups: int, **place: Shape) -> Array:
    out, c, outs = g.shape[1:-1], x.shape[-1] // groups, g.shape[-1]
    total = np.zeros((groups, size(kernel) * c, outs // groups), x.dtype)
    for rows in _portions(len(x), size(out) * size(kernel) * x.shape[-1] * x.itemsize):
        part = g[rows]
        given = np.moveaxis(part.reshape(len(part) * size(out), groups, -1), 1, 0)
        seen = _patches(x[rows], out, kernel, place, groups)
        total += np.matmul(np.swapaxes(seen, 1, 2), given)
    return np.moveaxis(total, 0, 1).reshape(*kernel, c, outs)


# --- shapes ---------------------------------------------------------------------------------------------------------
def _conv_spec(x: Tensor, w: Tensor, groups: int, **place: Shape) -> tuple[Shape, DType]:
    out = count(x.shape[1:-1], Windows(w.shape[:-2], **place), came=x.shape)
    return (x.shape[0], *out, w.shape[-1]), same_dtype((x, w))


def _transpose_spec(g: Tensor, w: Tensor, sizes: Shape, groups: int, **place: Shape) -> tuple[Shape, DType]:
    out = count(sizes, Windows(w.shape[:-2], **place))
    if g.shape[1:-1] != out:
        raise ShapeError(f"an input of size {sizes} has windows {out}, not {g.shape[1:-1]}")
    return (g.shape[0], *sizes, groups * w.shape[-2]), same_dtype((g, w))


def _kernel_spec(x: Tensor, g: Tensor, kernel: Shape, groups: int, **place: Shape) -> tuple[Shape, DType]:
    out = count(x.shape[1:-1], Windows(kernel, **place), came=x.shape)
    if g.shape[:-1] != (x.shape[0], *out):
        raise ShapeError(f"{x.shape} has windows {(x.shape[0], *out)}, not {g.shape[:-1]}")
    return (*kernel, x.shape[-1] // groups, g.shape[-1]), same_dtype((x, g))


# --- the three ops --------------------------------------------------------------------------------------------------
def _of(node: Tensor) -> dict[str, Any]:
    """The attributes all three share."""
    return {k: node.attrs[k] for k in ("stride", "low", "high", "dilation", "groups")}


def _sizes(x: Tensor) -> Shape:
    return x.shape[1:-1]


CASES: tuple[tuple[Any, ...], ...] = (  # (x, w, stride, padding, dilation, groups)
    ((2, 5, 6, 3), (3, 2, 3, 4), 1, "valid", 1, 1),
    ((2, 7, 6, 2), (3, 3, 2, 3), (2, 3), ((2, 0), (1, 2)), 1, 1),  # stride leaves places unread, padding uneven
    ((1, 7, 7, 2), (2, 3, 2, 2), 2, "same", 2, 1),
    ((2, 4, 4, 4), (3, 3, 2, 6), 1, 1, 1, 2),
    ((2, 5, 4, 3), (2, 2, 1, 6), (2, 1), "same", 1, 3),  # depthwise
    ((2, 4, 5, 1), (3, 3, 1, 2), 1, "same", 1, 1),  # one channel
    ((3, 3, 4, 2), (1, 1, 2, 3), 1, "valid", 1, 1),  # a matrix product at each place
    ((1, 5, 5, 2), (1, 1, 2, 2), 2, 1, 1, 1),
    ((2, 16, 1), (6, 1, 1), 1, (2, 3), 1, 1),
    ((2, 11, 2), (3, 2, 3), 3, "valid", 3, 1),
    ((1, 3, 4, 3, 2), (2, 2, 2, 2, 2), 1, "valid", 1, 1),
    ((1, 4, 3, 5, 2), (2, 1, 3, 1, 2), (2, 1, 2), "same", 1, 2),
    ((0, 4, 4, 2), (3, 3, 2, 3), 1, "same", 1, 1),
    ((1, 1, 1, 1), (1, 1, 1, 1), 1, "valid", 1, 1),
    ((2, 3, 1), (2, 1, 1), 5, "valid", 1, 1),
)  # fmt: skip


def _drawn(rng: np.random.Generator, take: str) -> Iterator[Sample]:
    """The cases as samples of one of the three: `take` names its two inputs among x, w, and y."""
    for x, w, stride, padding, dilation, groups in CASES:
        windows = resolve(x[1:-1], w[:-2], stride, padding, dilation)
        shapes = {"x": x, "w": w, "y": (x[0], *count(x[1:-1], windows), w[-1])}
        more = {"yw": {"sizes": x[1:-1]}, "xy": {"kernel": w[:-2]}}.get(take, {})
        given = tuple(0.2 * distinct(rng, shapes[name]) for name in take)
        yield Sample(given, {**windows.placing(), "groups": groups, **more})


STAR = Notation(r"{0} \star {1}", PRODUCT, (PRODUCT, ATOM))
correlate: Op = bilinear(
    "conv", _conv, _conv_spec, accepts="number",
    adjoints=(lambda node, g: spread(g, node.inputs[1], sizes=_sizes(node.inputs[0]), **_of(node)),
              lambda node, g: collect(node.inputs[0], g, kernel=node.inputs[1].shape[:-2], **_of(node))),
    tex=STAR, text="conv({0}, {1})", samples=lambda rng: _drawn(rng, "xw"),
    doc="y[n, p, k] = Σ a[n, s·p + d·q − low, c] b[q, c, k] over q and c: a cross-correlation, channels last.",
)  # fmt: skip
spread: Op = bilinear(
    "conv_transpose", _conv_transpose, _transpose_spec, accepts="number",
    adjoints=(lambda node, g: correlate(g, node.inputs[1], **_of(node)),
              lambda node, g: collect(g, node.inputs[0], kernel=node.inputs[1].shape[:-2], **_of(node))),
    tex=Notation(r"{0} \star^{{T}} {1}", PRODUCT, (PRODUCT, ATOM)), text="conv_transpose({0}, {1})",
    samples=lambda rng: _drawn(rng, "yw"),
    doc="The adjoint of conv by its input, y[n, s·p + d·q − low, c] = Σ a[n, p, k] b[q, c, k]: each number is spread.",
)  # fmt: skip
collect: Op = bilinear(
    "conv_kernel", _conv_kernel, _kernel_spec, accepts="number",
    adjoints=(lambda node, g: spread(node.inputs[1], g, sizes=_sizes(node.inputs[0]), **_of(node)),
              lambda node, g: correlate(node.inputs[0], g, **_of(node))),
    tex=Notation(r"{0} \star_{{w}} {1}", PRODUCT, (PRODUCT, ATOM)), text="conv_kernel({0}, {1})",
    samples=lambda rng: _drawn(rng, "xy"),
    doc="The adjoint of conv by its kernel, y[q, c, k] = Σ a[n, s·p + d·q − low, c] b[n, p, k] over n and p.",
)  # fmt: skip


# --- what users call ------------------------------------------------------------------------------------------------
def conv(x: Any, kernel: Any, stride: Any = 1, padding: Any = "valid", dilation: Any = 1, groups: int = 1) -> Tensor:
    """Cross-correlation of a batch with a kernel, along any number of axes: 1-D, 2-D, 3-D and more.

    Shapes: x (N, *n, C_in), kernel (*k, C_in / groups, C_out) → (N, *m, C_out), where along each axis
    m = ⌊(n + before + after − dilation·(k − 1) − 1) / stride⌋ + 1. Group i of the output channels reads only group i
    of the input channels; with groups = C_in each channel has kernels of its own (depthwise).
    Padding: "valid", "same" (⌈n / stride⌉, an odd zero at the end), a number, or per axis a number or (before, after).
    For convolution in the sense of mathematics flip the kernel: conv(x, kj.flip(kernel, (0, 1))).

    Raises ShapeError when the kernel does not fit, or channels and groups do not.
    Source: scope 2.5; LeCun et al. 1989; Dumoulin and Visin 2016.

    >>> import kedja as kj
    >>> x = kj.tensor([[[1.0], [2.0], [4.0], [8.0]]])
    >>> kj.conv(x, kj.tensor([[[-1.0]], [[1.0]]])).numpy().ravel().tolist()
    [1.0, 2.0, 4.0]
    """
    x, kernel = operands("conv", (x, kernel))
    try:
        groups = _checked(x, kernel, groups)
        into, outs = kernel.shape[-2:]
        if x.shape[-1] != into * groups:
            raise ShapeError(_channels(x, kernel, groups))
        if outs % groups:
            raise ShapeError(f"{groups} groups do not divide the {outs} output channels of the kernel {kernel.shape}")
        windows = resolve(_sizes(x), kernel.shape[:-2], stride, padding, dilation)
    except (ShapeError, ValueError) as error:
        raise located(error, "conv") from None  # type: ignore[arg-type]
    return correlate(x, kernel, **windows.placing(), groups=groups)


def _checked(x: Tensor, kernel: Tensor, groups: Any) -> int:
    """Refuse ranks and groups that cannot be; the groups as an int."""
    k = kernel.ndim - 2
    if k < 1:
        raise ShapeError(f"the kernel {kernel.shape} needs at least 3 axes: (*sizes, channels in, channels out)")
    if x.ndim != k + 2:
        need = f"(N, {', '.join(['n'] * k)}, channels)"
        hint = " For one example add the axis of the batch: x[None]." if x.ndim == k + 1 else ""
        raise ShapeError(
            f"a kernel {kernel.shape} slides along {k} {'axis' if k == 1 else 'axes'} and needs an input of "
            f"{k + 2} axes, {need}; got {x.shape}.{hint}"
        )
    if size(kernel.shape[:-2]) == 0:
        raise ShapeError(f"the kernel {kernel.shape} has no places: each of its sizes must be at least 1")
    try:
        found = operator.index(groups)
    except TypeError:
        raise ShapeError(f"groups must be a whole number, got {groups!r}") from None
    if found < 1:
        raise ShapeError(f"groups must be at least 1, got {groups}")
    return found


def _channels(x: Tensor, kernel: Tensor, groups: int) -> str:
    """What to say of an input and a kernel whose channels differ."""
    got, each = x.shape[-1], kernel.shape[-2]
    if got % groups:
        return f"{groups} groups do not divide the {got} channels of the input {x.shape}"
    said = (
        f"the input {x.shape} has {got} channels (its last axis), the kernel {kernel.shape} is made for {each * groups}"
    )
    if groups > 1:
        said += f" = {groups} groups of {each}"
    hints = []
    if x.shape[1] == each * groups:
        hints.append("Channels come last here: if the input is (N, channels, …), move them with kj.transpose.")
    if kernel.shape[-1] == got and groups == 1:
        hints.append("A kernel is (*sizes, channels in, channels out): are its last two axes swapped?")
    if each and got % each == 0 and kernel.shape[-1] % (got // each) == 0:
        hints.append(f"With groups={got // each} it would fit.")
    return said + "." + "".join(f"\n  {hint}" for hint in hints)


def conv_transpose(
    x: Any,
    kernel: Any,
    stride: Any = 1,
    padding: Any = "valid",
    dilation: Any = 1,
    groups: int = 1,
    output_padding: Any = 0,
) -> Tensor:
    """Transposed convolution: the adjoint of `conv`, which sends each number of x back along the kernel and adds up.

    Shapes: x (N, *n, C_in), kernel (*k, C_in, C_out / groups) → (N, *m, C_out). The padding is that of the convolution
    from m to n that this is the adjoint of: it is cut away here, so m = stride·(n − 1) + dilation·(k − 1) + 1 −
    before − after + output_padding. "same" gives n·stride. Nothing is flipped.
    Several m have the same n; `output_padding` (less than the stride) chooses a larger one.

    Raises ShapeError as `conv` does.
    Source: scope 2.5; Zeiler et al. 2010; Dumoulin and Visin 2016.

    >>> import kedja as kj
    >>> x = kj.tensor([[[1.0], [10.0]]])
    >>> kj.conv_transpose(x, kj.tensor([[[1.0]], [[2.0]], [[3.0]]]), stride=2).numpy().ravel().tolist()
    [1.0, 2.0, 13.0, 20.0, 30.0]
    """
    x, kernel = operands("conv_transpose", (x, kernel))
    try:
        groups = _checked(x, kernel, groups)
        sizes, windows = _adjoint_of(x, kernel, stride, padding, dilation, output_padding)
        if x.shape[-1] != kernel.shape[-2]:
            raise ShapeError(
                f"the input {x.shape} has {x.shape[-1]} channels (its last axis), the kernel {kernel.shape} is made "
                f"for {kernel.shape[-2]}: kernels are (*sizes, channels in, channels out / groups)"
            )
        if x.shape[-1] % groups:
            raise ShapeError(f"{groups} groups do not divide the {x.shape[-1]} channels of the input {x.shape}")
    except (ShapeError, ValueError) as error:
        raise located(error, "conv_transpose") from None  # type: ignore[arg-type]
    return spread(x, swap_last(kernel), sizes=sizes, **windows.placing(), groups=groups)


def _adjoint_of(
    x: Tensor, kernel: Tensor, stride: Any, padding: Any, dilation: Any, output_padding: Any
) -> tuple[Shape, Windows]:
    """The convolution whose adjoint is asked for: the sizes of its input, and its windows."""
    ns = _sizes(x)
    bare = resolve(ns, kernel.shape[:-2], stride, "valid", dilation)
    extra = resolve(ns, kernel.shape[:-2], 1, output_padding).low if output_padding != 0 else (0,) * len(ns)
    for more, s in zip(extra, bare.stride, strict=True):
        if more >= s:
            raise ShapeError(f"output_padding {output_padding!r} must be less than the stride {s}")
    if isinstance(padding, str) and padding.lower() == "same":
        sizes = tuple(n * s for n, s in zip(ns, bare.stride, strict=True))
        if any(extra):
            raise ShapeError('padding="same" gives n·stride already; leave output_padding out')
        return sizes, resolve(sizes, kernel.shape[:-2], stride, "same", dilation)
    windows = resolve(ns, kernel.shape[:-2], stride, padding, dilation)
    sizes = tuple(
        s * (n - 1) + e - a - b + more
        for n, s, e, a, b, more in zip(
            ns, windows.stride, windows.extent, windows.low, windows.high, extra, strict=True
        )
    )
    if min(sizes) < 1:
        raise ShapeError(
            f"padding {padding!r} cuts everything away: the output would have size {'×'.join(map(str, sizes))}"
        )
    return sizes, windows
