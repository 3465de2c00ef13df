"""What a method of heat maps can be told, and which method each thing is for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kedja.errors import DataError, ShapeError, one_of
from kedja.explain.heatmaps.asking import Asked
from kedja.graph.node import Array, Tensor

__all__ = ["OPTIONS", "Options"]

OPTIONS: dict[str, tuple[str, ...]] = {
    "cam": ("layer",),
    "grad_cam": ("layer", "signed"),
    "gradient_times_input": (),
    "guided_backprop": (),
    "integrated_gradients": ("steps", "baseline"),
    "occlusion": ("patch", "stride", "baseline"),
    "saliency": (),
    "smooth_grad": ("samples", "noise", "seed"),
}
STEPS, SAMPLES, NOISE = 64, 32, 0.15
PATCHES = 7  # along an axis, when nothing else is said


class Options:
    """The options that were given (None: not), checked when a method asks for them."""

    def __init__(self, methods: Sequence[str], given: Mapping[str, Any]) -> None:
        for method in methods:
            if method not in OPTIONS:
                raise one_of("method", method, OPTIONS)
        for name, value in given.items():
            if value is not None and not any(name in OPTIONS[m] for m in methods):
                users = [m for m, names in OPTIONS.items() if name in names]
                takes = [n for m in methods for n in OPTIONS[m]]
                raise DataError(
                    f"heatmap: {name}= is for {' and '.join(users)}; {' and '.join(methods)} takes "
                    f"{', '.join(takes) + ' alone' if takes else 'nothing of the kind'}"
                )
        self.given = dict(given)

    @property
    def steps(self) -> int:
        """Points on the way from the baseline."""
        return self._whole("steps", STEPS)

    @property
    def samples(self) -> int:
        """Noisy copies of an image."""
        return self._whole("samples", SAMPLES)

    @property
    def noise(self) -> float:
        """The standard deviation of the noise, as a share of what an image spans."""
        found = self.given["noise"]
        if found is None:
            return NOISE
        if isinstance(found, bool) or not isinstance(found, int | float | np.number) or not 0 < found < math.inf:
            raise DataError(f"heatmap: noise is a share of what the image spans, such as {NOISE}; got {found!r}")
        return float(found)

    def _whole(self, name: str, default: int) -> int:
        found = self.given[name]
        if found is None:
            return default
        if isinstance(found, bool) or not isinstance(found, int | np.integer) or found < 1:
            raise DataError(f"heatmap: {name} is a whole number, at least 1; got {found!r}")
        return int(found)

    def baseline(self, asked: Asked) -> Array:
        """What stands for "nothing there", for every image: a number, "mean", or an array of the image's shape."""
        found, x = self.given["baseline"], asked.x
        if found is None:
            return np.zeros_like(x)
        if isinstance(found, str):
            if found != "mean":
                raise one_of("baseline", found, ["mean"])
            pixels = x.reshape(len(x), *asked.form)
            means = pixels.mean(tuple(range(1, pixels.ndim - 1)), keepdims=True)
            return np.broadcast_to(means, pixels.shape).reshape(x.shape).astype(x.dtype)
        array = np.asarray(found.numpy() if isinstance(found, Tensor) else found)
        if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
            raise DataError(f'heatmap: baseline is a number, "mean", or an image; got {found!r}')
        if array.size == x[0].size:
            array = array.reshape(x[0].shape)
        elif array.shape not in ((), (asked.form[-1],)):
            raise ShapeError(
                f"heatmap: the baseline has shape {array.shape}; it is one number, one for each of the "
                f"{asked.form[-1]} channels, or an image {asked.form}"
            )
        elif x.ndim == 2:
            array = np.broadcast_to(array, asked.form).reshape(x.shape[1:])
        return np.broadcast_to(array, x.shape).astype(x.dtype)

    def windows(self, places: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The size of the patch that covers, and how far it moves, along each axis of places."""
        patch = self._sizes("patch", places, [max(1, round(n / PATCHES)) for n in places])
        for p, n in zip(patch, places, strict=True):
            if p > n:
                raise ShapeError(f"heatmap: a patch of {_by(patch)} does not fit on an image of {_by(places)}")
        stride = self._sizes("stride", places, [-(-p // 2) for p in patch])
        for s, p in zip(stride, patch, strict=True):
            if s > p:
                raise DataError(
                    f"heatmap: a patch of {_by(patch)} that moves by {_by(stride)} leaves places uncovered: "
                    f"stride is at most {_by(patch)}"
                )
        return patch, stride

    def _sizes(self, name: str, places: Sequence[int], default: Sequence[int]) -> tuple[int, ...]:
        found = self.given[name]
        if found is None:
            return tuple(default)
        sizes = (found,) * len(places) if np.ndim(found) == 0 else tuple(found)
        whole = all(isinstance(n, int | np.integer) and not isinstance(n, bool) and n > 0 for n in sizes)
        if len(sizes) != len(places) or not whole:
            raise ShapeError(
                f"heatmap: {name} is a whole number, or one for each of the {len(places)} axes of places; got {found!r}"
            )
        return tuple(int(n) for n in sizes)


def _by(sizes: Sequence[int]) -> str:
    return "×".join(map(str, sizes))
