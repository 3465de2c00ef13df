"""Convolution and correlation as mathematics has them: of two sequences, or two arrays of any rank (scope 2.5).

Both are compositions of `conv`, the sliding product that layers use, which does not flip its kernel.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kedja.errors import KedjaError, ShapeError, one_of
from kedja.graph.node import Tensor, same_dtype
from kedja.graph.shapes import Shape
from kedja.ops.convolution import conv
from kedja.ops.indexing import take
from kedja.ops.op import located, operands
from kedja.ops.padding import pad
from kedja.ops.shaping import concatenate, flip, zeros

__all__ = ["convolve", "correlate"]

MODES = ("full", "same", "valid")
LONG = 64  # shifted products up to this length of the shorter sequence, a matrix product of blocks above


def convolve(a: Any, b: Any, mode: str = "full") -> Tensor:
    """Convolution, y_k = Σ a_i b_(k−i): one of the two is flipped and slides along the other.

    Shapes: both have the same number of axes. Along an axis of n and m places "full" gives all n + m − 1 sums, "valid"
    the |n − m| + 1 that need no place outside either, "same" the middle of the full ones: as many as the longer of two
    sequences has (like np.convolve), as many as `a` has with several axes (like scipy.signal.convolve).
    It commutes (but for "same" with several axes), and turns into a product under Fourier's transform. Types are not
    mixed: integers stay integers. Differentiable in both.

    Raises ShapeError for empty inputs, numbers without an axis, ranks that differ, and for "valid" when neither input
    fits into the other.
    Source: scope 2.5.

    >>> convolve([1.0, 2.0, 3.0], [1.0, 10.0]).tolist()
    [1.0, 12.0, 23.0, 30.0]
    >>> convolve([[1.0, 2.0], [3.0, 4.0]], [[1.0, 1.0]], mode="valid").tolist()
    [[3.0], [7.0]]
    """
    a, b = _checked("convolve", a, b, mode)
    starts, sizes = _kept(a.shape, b.shape, mode, late=False)
    return _part(a, b, starts, sizes)


def correlate(a: Any, b: Any, mode: str = "full") -> Tensor:
    """Cross-correlation, y_k = Σ a_(i+k) b_i: nothing is flipped; b slides along a from its last place to its first.

    The places are those of `convolve(a, flip(b))`: with m places in b, entry m − 1 of the "full" result has no shift.
    Where `conv` is applied to one channel, it is this with mode "valid". It does not commute.
    Modes and errors are those of `convolve`; np.correlate (whose default is "valid") and scipy.signal.correlate give
    the same.
    Source: scope 2.5.

    >>> correlate([1.0, 2.0, 3.0], [1.0, 10.0]).tolist()
    [10.0, 21.0, 32.0, 3.0]
    """
    a, b = _checked("correlate", a, b, mode)
    starts, sizes = _kept(a.shape, b.shape, mode, late=True)
    return _part(a, flip(b), starts, sizes)


def _checked(name: str, a: Any, b: Any, mode: str) -> tuple[Tensor, Tensor]:
    """Both as tensors, or an error in this function's name."""
    a, b = operands(name, (a, b))
    try:
        if mode not in MODES:
            raise one_of("mode", mode, MODES)
        same_dtype((a, b))
        if a.ndim != b.ndim:
            raise ShapeError(
                f"both need the same number of axes, got shapes {a.shape} and {b.shape}. Add axes of one place, as in "
                "x[None], or take one row."
            )
        if not a.ndim:
            raise ShapeError("needs sequences or arrays, got two numbers: multiply them")
        for which, x in (("first", a), ("second", b)):
            if not x.size:
                raise ShapeError(f"the {which} input is empty, its shape is {x.shape}: there is nothing to slide")
        longer = {n > m for n, m in zip(a.shape, b.shape, strict=True) if n != m}
        if mode == "valid" and len(longer) > 1:
            raise ShapeError(
                f'mode "valid" needs one of the two to fit into the other along every axis; {a.shape} is larger than '
                f'{b.shape} along one and smaller along another. Use mode="full" or "same".'
            )
    except KedjaError as error:
        raise located(error, name) from None
    return a, b


def _kept(a: Shape, b: Shape, mode: str, late: bool) -> tuple[Shape, Shape]:
    """Of all n + m − 1 places along each axis: the first that is kept, and how many are.

    The middle of a sequence cannot always be in the middle. `late`: NumPy correlates a shorter a with a longer b by
    turning both round, so its middle is then the later one.
    """
    if mode == "full":
        return (0,) * len(a), tuple(n + m - 1 for n, m in zip(a, b, strict=True))
    if mode == "valid":
        pairs = [(min(n, m), max(n, m)) for n, m in zip(a, b, strict=True)]
        return tuple(low - 1 for low, _ in pairs), tuple(high - low + 1 for low, high in pairs)
    if len(a) == 1 and a[0] < b[0]:
        return ((a[0] - (0 if late else 1)) // 2,), b
    return tuple((m - 1) // 2 for m in b), a


def _part(a: Tensor, b: Tensor, starts: Shape, sizes: Shape) -> Tensor:
    """These places of the full convolution of a and b."""
    if a.size < b.size:
        a, b = b, a  # the smaller one slides
    if a.ndim == 1 and b.size > LONG:
        return _blocks(a, b)[starts[0] : starts[0] + sizes[0]]
    # Padding by m − 1 gives every place, so this many more or fewer; what is too many is cut off again.
    before = [m - 1 - s for m, s in zip(b.shape, starts, strict=True)]
    after = [s + k - n for n, s, k in zip(a.shape, starts, sizes, strict=True)]
    widths = [(max(low, 0), max(high, 0)) for low, high in zip(before, after, strict=True)]
    y = conv(a.reshape((1, *a.shape, 1)), flip(b).reshape((*b.shape, 1, 1)), padding=widths)
    cuts = tuple(slice(max(-low, 0), max(-low, 0) + k) for low, k in zip(before, sizes, strict=True))
    return y[(0, *cuts, 0)]


def _blocks(a: Tensor, b: Tensor) -> Tensor:
    """The full convolution of two long sequences, block by block.

    With i = tB + u the sum over places becomes one over blocks t, of products of B numbers with a B × 2B matrix of b's:
    a convolution with B channels and m / B places. So neither memory nor the compiled program grows with n · m.
    """
    n, m = a.shape[0], b.shape[0]
    width = math.isqrt(m - 1) + 1
    rows, places = -(-n // width), -(-m // width)
    parts = pad(a, [(0, rows * width - n)]).reshape((1, rows, width))
    inside = np.arange(2 * width) - np.arange(width)[:, None]
    at = width * np.arange(places)[:, None, None] + inside
    at[(at >= m) | (inside < 0) | (inside >= width)] = m  # the zero put behind b
    kernel = take(pad(b, [(0, 1)]), at)
    y = conv(parts, flip(kernel, 0), padding=places - 1)[0]
    gap = zeros((1, width), y.dtype)
    whole = concatenate([y[:, :width], gap]) + concatenate([gap, y[:, width:]])
    return whole.reshape((-1,))[: n + m - 1]
