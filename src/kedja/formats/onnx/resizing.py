"""Resize and Upsample: along each axis every output is a weighted mean of inputs, with weights known beforehand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from kedja import ops
from kedja.errors import one_of
from kedja.formats.onnx.registry import operator
from kedja.formats.onnx.shaping import numbers
from kedja.graph.dtypes import is_float
from kedja.graph.node import Tensor, tensor
from kedja.graph.shapes import as_axis

Array = np.ndarray[Any, Any]
MODES = ("cubic", "linear", "nearest")


class Axis(NamedTuple):
    """One axis: the sizes before and after, how much larger it gets, and the part of it that is meant.

    The size after it is a whole number; ONNX measures most places by `length`, which need not be one.
    """

    before: int
    after: int
    scale: Any
    start: float
    end: float

    @property
    def length(self) -> Any:
        """The size after it, not rounded."""
        return self.before * self.scale


def half_pixel(i: Array, a: Axis) -> Any:
    """(i + ½)/scale − ½: middles of pixels lie on each other."""
    return (i + 0.5) / a.scale - 0.5


def align_corners(i: Array, a: Axis) -> Any:
    """The first and the last pixel lie on the first and the last."""
    return i * (a.before - 1) / (a.length - 1) if a.length > 1 else 0 * i


def symmetric(i: Array, a: Axis) -> Any:
    """As half_pixel, with what rounding the size leaves over on both sides alike."""
    return a.before / 2 * (1 - a.after / a.length) + half_pixel(i, a)


def crop(i: Array, a: Axis) -> Any:
    """From start to end of the part that is meant."""
    wide = a.before - 1
    if a.length > 1:
        return a.start * wide + i * (a.end - a.start) * wide / (a.length - 1)
    return 0 * i + 0.5 * (a.start + a.end) * wide


# Where each output lies in the input.
PLACES: dict[str, Callable[[Array, Axis], Any]] = {
    "align_corners": align_corners,
    "asymmetric": lambda i, a: i / a.scale,
    "half_pixel": half_pixel,
    "half_pixel_symmetric": symmetric,
    "pytorch_half_pixel": lambda i, a: half_pixel(i, a) if a.length > 1 else 0 * i,
    "tf_crop_and_resize": crop,
    "tf_half_pixel_for_nn": lambda i, a: (i + 0.5) / a.scale,
}
ROUNDED: dict[str, Callable[[Array], Array]] = {
    "ceil": np.ceil,
    "floor": np.floor,
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
}


def triangle(t: Array, a: float) -> Array:
    """1 − |t|, and 0 beyond 1."""
    found: Array = np.maximum(1 - np.abs(t), 0)
    return found


def keys(t: Array, a: float) -> Array:
    """The cubic kernel of Keys (1981) with slope a at 1; 0 beyond 2."""
    t = np.abs(t)
    near: Array = (a + 2) * t**3 - (a + 3) * t**2 + 1
    far: Array = a * (t**3 - 5 * t**2 + 8 * t - 4)
    return np.where(t <= 1, near, np.where(t < 2, far, 0))


KERNELS = {"cubic": (keys, 2), "linear": (triangle, 1)}


def weights(places: Array, before: int, mode: str, narrow: float, cubic: float, exclude: bool) -> Array:
    """The matrix (outputs × inputs) of weights; `narrow` < 1 widens the kernel, against aliasing."""
    kernel, reach = KERNELS[mode]
    m = math.ceil(reach / narrow) + 1
    positions = np.floor(places)[:, None] + np.arange(-m, m + 1)
    w = kernel((positions - places[:, None]) * narrow, cubic)
    if exclude:
        w = np.where((positions >= 0) & (positions < before), w, 0)
    w = w / w.sum(1, keepdims=True)
    found = np.zeros((len(places), before))
    rows = np.broadcast_to(np.arange(len(places))[:, None], w.shape)
    np.add.at(found, (rows, np.clip(positions, 0, before - 1).astype(int)), w)
    return found


@operator("Resize", known=("roi", "scales", "sizes"))
def resize(
    x: Tensor, roi: Any = None, scales: Any = None, sizes: Any = None, *, antialias: int = 0, axes: Any = None,
    coordinate_transformation_mode: str = "half_pixel", cubic_coeff_a: float = -0.75, exclude_outside: int = 0,
    extrapolation_value: float = 0.0, keep_aspect_ratio_policy: str = "stretch", mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor", opset: int,
) -> Tensor:  # fmt: skip
    """x with other sizes, interpolated along one axis after the other."""
    if opset < 11:  # (x, scales), and the only places there were
        scales, roi, coordinate_transformation_mode, nearest_mode = roi, None, "asymmetric", "floor"
    for what, value, known in (
        ("mode", mode, MODES), ("coordinate_transformation_mode", coordinate_transformation_mode, PLACES),
        ("nearest_mode", nearest_mode, ROUNDED),
    ):  # fmt: skip
        if value not in known:
            raise one_of(what, value, known)
    over = list(range(x.ndim)) if axes is None else [as_axis(a, x.ndim) for a in numbers(axes)]
    region = [0.0] * len(over) + [1.0] * len(over) if roi is None or not np.size(roi) else np.ravel(roi).tolist()
    outside: list[tuple[int, Array]] = []
    for i, (a, (after, scale)) in enumerate(
        zip(over, wanted(x, over, scales, sizes, keep_aspect_ratio_policy), strict=True)
    ):
        axis = Axis(x.shape[a], after, scale, float(region[i]), float(region[i + len(over)]))
        cropped = coordinate_transformation_mode == "tf_crop_and_resize"
        if axis.before == after and scale == 1 and not cropped:
            continue
        places = PLACES[coordinate_transformation_mode](np.arange(after, dtype=np.float32), axis)
        if mode == "nearest":
            index = np.clip(ROUNDED[nearest_mode](places), 0, axis.before - 1).astype(np.int64)
            x = ops.take(x, tensor(index), a)
        else:
            narrow = min(float(scale), 1.0) if antialias else 1.0
            x = mixed(x, weights(places, axis.before, mode, narrow, cubic_coeff_a, bool(exclude_outside)), a)
        if cropped:
            outside.append((a, (places < 0) | (places > axis.before - 1)))
    for a, beyond in outside:
        mask = np.reshape(beyond, (-1, *(1,) * (x.ndim - 1 - a)))
        x = ops.where(tensor(mask), extrapolation_value, x)
    return x


def wanted(x: Tensor, over: Sequence[int], scales: Any, sizes: Any, policy: str) -> list[tuple[int, Any]]:
    """The new size of each axis, and how much larger that is: a float32, as where places are rounded that shows."""
    if sizes is None or not np.size(sizes):
        factors = [np.float32(s) for s in np.ravel(scales)]
        return [(math.floor(np.float32(x.shape[a]) * s), s) for a, s in zip(over, factors, strict=True)]
    asked = [np.float32(n / x.shape[a]) for a, n in zip(over, numbers(sizes), strict=True)]
    if policy == "stretch":
        return list(zip(numbers(sizes), asked, strict=True))
    factor = min(asked) if policy == "not_larger" else max(asked)
    return [(math.floor(factor * x.shape[a] + 0.5), factor) for a in over]


def mixed(x: Tensor, matrix: Array, axis: int) -> Tensor:
    """The matrix applied along an axis; whole numbers go through float32 and are rounded."""
    dtype = x.dtype if is_float(x.dtype) else np.dtype(np.float32)
    y = ops.moveaxis(ops.cast(x, dtype), axis, -1) @ tensor(matrix.T.astype(dtype), dtype=dtype)
    return ops.cast(ops.moveaxis(y, -1, axis), x.dtype)


@operator("Upsample", known=("scales",))
def upsample(x: Tensor, scales: Any, *, mode: str = "nearest") -> Tensor:
    """The older Resize: every output takes what lies at i / scale."""
    mode = "linear" if mode == "bilinear" else mode
    return resize(
        x, None, scales, mode=mode, coordinate_transformation_mode="asymmetric", nearest_mode="floor", opset=11
    )
