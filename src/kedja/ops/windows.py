"""The size arithmetic of windows that slide over an input: what convolution and pooling share (scope 2.5, 2.6)."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from kedja.errors import ShapeError, one_of
from kedja.graph.node import Array
from kedja.graph.shapes import Shape

__all__ = ["OutputSize", "Windows", "count", "output_size", "resolve"]


class Windows(NamedTuple):
    """How windows lie over the axes of an input; one number per axis everywhere.

    `low` and `high` are the places added before and after the input, `dilation` the distance between neighbours in a
    window, `stride` the distance between neighbouring windows.
    """

    size: Shape
    stride: Shape
    low: Shape
    high: Shape
    dilation: Shape

    @property
    def extent(self) -> Shape:
        """How far a window reaches, its gaps included: dilation · (size − 1) + 1."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.size, self.dilation, strict=True))

    @property
    def is_bare(self) -> bool:
        """Whether there is no padding."""
        return not any(self.low + self.high)

    def placing(self) -> dict[str, Shape]:
        """The attributes of an op that knows the size already: stride, low, high, dilation."""
        return {"stride": self.stride, "low": self.low, "high": self.high, "dilation": self.dilation}


def resolve(
    sizes: Shape, size: Any, stride: Any = 1, padding: Any = "valid", dilation: Any = 1, what: str = "kernel"
) -> Windows:
    """The windows that a user's arguments mean for an input whose sliding axes have these sizes.

    Size, stride and dilation are one number for all axes, or one per axis. Padding is "valid" (none), "same" (as
    TensorFlow does it: ⌈n / stride⌉ windows, an odd zero at the end), a number, or per axis a number or
    (before, after).

    Raises ShapeError for numbers that cannot be, and for a count of them that does not fit the axes.

    >>> resolve((28, 28), 5, padding="same").low, resolve((7,), 2, stride=2, padding="same").high
    ((2, 2), (1,))
    """
    rank = len(sizes)
    k = _per_axis(size, rank, f"the size of the {what}", 1)
    s = _per_axis(stride, rank, "stride", 1)
    d = _per_axis(dilation, rank, "dilation", 1)
    extent = tuple(b * (a - 1) + 1 for a, b in zip(k, d, strict=True))
    low, high = _padded(sizes, extent, s, padding)
    return Windows(k, s, low, high, d)


def _per_axis(value: Any, rank: int, name: str, least: int) -> Shape:
    numbers = value if isinstance(value, tuple | list) else (value,) * rank
    try:
        found = tuple(operator.index(n) for n in numbers)
    except TypeError:
        raise ShapeError(f"{name} must be a whole number, or one per axis; got {value!r}") from None
    if len(found) != rank:
        raise ShapeError(
            f"{name} {value!r} has {len(found)} numbers for {rank} {_axes(rank)}: give one, or one per axis"
        )
    if any(n < least for n in found):
        raise ShapeError(f"{name} must be at least {least}, got {value!r}")
    return found


def _axes(rank: int) -> str:
    return "axis" if rank == 1 else "axes"


def _padded(sizes: Shape, extent: Shape, stride: Shape, padding: Any) -> tuple[Shape, Shape]:
    rank = len(sizes)
    if isinstance(padding, str):
        if padding.lower() == "valid":
            return (0,) * rank, (0,) * rank
        if padding.lower() != "same":
            raise one_of("padding", padding, ("same", "valid"))
        total = [max((-(-n // s) - 1) * s + e - n, 0) for n, e, s in zip(sizes, extent, stride, strict=True)]
        return tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
    entries: Sequence[Any] = padding if isinstance(padding, tuple | list) else (padding,) * rank
    if rank == 1 and len(entries) == 2 and not any(isinstance(p, tuple | list) for p in entries):
        entries = (entries,)  # two numbers for one axis can only be (before, after)
    try:
        pairs = [tuple(operator.index(a) for a in (p if isinstance(p, tuple | list) else (p, p))) for p in entries]
    except TypeError:
        pairs = []
    if len(pairs) != rank or any(len(p) != 2 for p in pairs):
        raise ShapeError(
            f'padding must be "valid", "same", a number, or one number or (before, after) for each of the {rank} '
            f"{_axes(rank)}; got {padding!r}"
        )
    if any(min(p) < 0 for p in pairs):
        raise ShapeError(f"padding must be at least 0, got {padding!r}. To cut an input, index it: x[:, 1:-1].")
    return tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)


def count(sizes: Shape, windows: Windows, what: str = "kernel", came: Shape | None = None) -> Shape:
    """How many windows fit along each axis: ⌊(n + before + after − dilation·(size − 1) − 1) / stride⌋ + 1.

    `what` and `came` (the shape of the whole input) are for the message. Raises ShapeError when not one fits.
    Source: scope 2.5; Dumoulin and Visin 2016.

    >>> count((28, 28), resolve((28, 28), 5, stride=2))
    (12, 12)
    """
    spare = [n + a + b - e for n, a, b, e in zip(sizes, windows.low, windows.high, windows.extent, strict=True)]
    if min(spare, default=0) < 0:
        raise ShapeError(_misfit(sizes, windows, what, came))
    return tuple(r // s + 1 for r, s in zip(spare, windows.stride, strict=True))


def _misfit(sizes: Shape, windows: Windows, what: str, came: Shape | None) -> str:
    at = next(i for i in range(len(sizes)) if _spare(sizes, windows, i) < 0)
    gaps = ""
    if windows.extent != windows.size:
        gaps = f" (which its dilation spreads over {_by(windows.extent)})"
    shape = f", {came}" if came else ""
    padded = "Without padding" if not any(windows.low + windows.high) else "Even with this padding"
    room = _by(tuple(n + a + b for n, a, b in zip(sizes, windows.low, windows.high, strict=True)))
    also = "" if padded.startswith("Without") else f" (padded to {room})"
    rows, result = _axis_name(len(sizes), at), _formula(sizes[at], windows, at)
    smaller = f"a smaller {what}" if windows.extent == windows.size else f"a smaller {what} or dilation"
    return (
        f"the {_by(windows.size)} {what}{gaps} does not fit the {_by(sizes)} input{also} it got{shape}.\n"
        f'  {padded} the output would have {result} {rows}. Use padding="same", {smaller}, or one pooling layer fewer.'
    )


def _spare(sizes: Shape, windows: Windows, i: int) -> int:
    return sizes[i] + windows.low[i] + windows.high[i] - windows.extent[i]


def _by(sizes: Shape) -> str:
    """How sizes are said: 5×5, or size 5 for one axis."""
    return "×".join(map(str, map(int, sizes))) if len(sizes) != 1 else f"size-{int(sizes[0])}"


def _axis_name(rank: int, axis: int) -> str:
    return {1: ("steps",), 2: ("rows", "columns"), 3: ("planes", "rows", "columns")}.get(rank, ("places",) * rank)[axis]


def _formula(n: int, windows: Windows, i: int) -> str:
    """The arithmetic of one axis with its numbers filled in: 16 − 6 + 1 = 11."""
    k, s, d = windows.size[i], windows.stride[i], windows.dilation[i]
    taken = f"{int(n)}"
    if windows.low[i] or windows.high[i]:
        taken += f" + {windows.low[i]} + {windows.high[i]}"
    taken += f" − {k}" if d == 1 else f" − {d}·({k} − 1)"
    found = _spare((0,) * i + (int(n),), windows, i) // s + 1
    if s == 1:
        return f"{taken}{' + 1' if d == 1 else ''} = {found}"
    return f"⌊({taken}{'' if d == 1 else ' − 1'})/{s}⌋ + 1 = {found}"


class OutputSize(int):
    """A number of windows that knows how it came about: `str()` writes the arithmetic, layer by layer."""

    steps: tuple[str, ...]

    def __new__(cls, value: int, steps: tuple[str, ...]) -> OutputSize:
        """The number, and a line for each layer on the way to it."""
        self = super().__new__(cls, value)
        self.steps = steps
        return self

    def __str__(self) -> str:
        return "\n".join(self.steps)

    def __reduce__(self) -> Any:
        return OutputSize, (int(self), self.steps)


def output_size(n: int, size: int, stride: int = 1, padding: Any = "valid", dilation: int = 1) -> OutputSize:
    """How many windows of `size` fit an axis of n places; it prints as the arithmetic, also through several layers.

    ⌊(n + before + after − dilation·(size − 1) − 1) / stride⌋ + 1. Raises ShapeError when not one fits.
    Source: scope 2.5.

    >>> from kedja.ops.windows import output_size
    >>> n = output_size(output_size(output_size(16, 6), 6), 6)
    >>> n == 1
    True
    >>> print(n)
    16 − 6 + 1 = 11
    11 − 6 + 1 = 6
    6 − 6 + 1 = 1
    >>> print(output_size(16, 6, padding="same"))
    16 + 2 + 3 − 6 + 1 = 16
    """
    windows = resolve((int(n),), size, stride, padding, dilation, "window")
    (found,) = count((int(n),), windows, "window")
    earlier = n.steps if isinstance(n, OutputSize) else ()
    return OutputSize(found, (*earlier, _formula(n, windows, 0)))


def real_places(sizes: Shape, windows: Windows) -> list[Array]:
    """For each axis a table [window, place in it]: whether that place is an element of the input and not padding."""
    found = []
    for i, n in enumerate(count(sizes, windows, "window")):
        starts = np.arange(n)[:, None] * windows.stride[i] - windows.low[i]
        at = starts + np.arange(windows.size[i]) * windows.dilation[i]
        found.append((at >= 0) & (at < sizes[i]))
    return found


def spans(out: Shape, windows: Windows) -> Iterator[tuple[Shape, tuple[slice, ...]]]:
    """For each place in a window, in order, the slices of the padded input that all windows have there.

    >>> list(spans((3,), resolve((6,), 2, stride=2)))
    [((0,), (slice(0, 5, 2),)), ((1,), (slice(1, 6, 2),))]
    """
    for q in product(*map(range, windows.size)):
        axes = zip(q, out, windows.stride, windows.dilation, strict=True)
        yield q, tuple(slice(a * d, a * d + s * (n - 1) + 1, s) for a, n, s, d in axes)
