"""Starting values of parameters (scope 4.6). Each is drawn from an explicit key, so a seed and a path decide it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from kedja.errors import KedjaError, one_of
from kedja.graph.dtypes import DType
from kedja.graph.node import Array, tensor
from kedja.graph.shapes import Shape
from kedja.ops import random

__all__ = [
    "Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Initializer", "Normal", "ScaledNormal",
    "Uniform", "Zeros", "fans", "get",
]  # fmt: skip


def fans(shape: Shape) -> tuple[int, int]:
    """How many numbers flow into and out of one unit: (in, out) for a matrix, times the field for a convolution.

    >>> fans((784, 100)), fans((3, 3, 16, 32))
    ((784, 100), (144, 288))
    """
    if len(shape) < 2:
        return max(shape[0], 1) if shape else 1, max(shape[0], 1) if shape else 1
    field = math.prod(shape[:-2])
    return max(field * shape[-2], 1), max(field * shape[-1], 1)


class Initializer:
    """Something that fills a shape from a key. Subclasses say how in `draw`."""

    def __call__(self, key: Array, shape: Shape, dtype: DType) -> Array:
        """The starting values, as an array of this shape and type."""
        return np.array(self.draw(key, shape, dtype), dtype)

    def draw(self, key: Array, shape: Shape, dtype: DType) -> Any:
        raise KedjaError(f"{type(self).__name__} does not say how to draw: define draw(self, key, shape, dtype)")

    def config(self) -> dict[str, Any]:
        """The class's name and its numbers, from which it can be made again."""
        return {"class": type(self).__name__, **vars(self)}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in vars(self).items())})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = object.__hash__


class Constant(Initializer):
    """One number everywhere.

    >>> Constant(0.5)(random.key_words(0), (2,), np.dtype("float32")).tolist()
    [0.5, 0.5]
    """

    def __init__(self, value: float = 0.0) -> None:
        self.value = value

    def draw(self, key: Array, shape: Shape, dtype: DType) -> Any:
        return np.full(shape, self.value, dtype)


class Zeros(Initializer):
    """Zeros, the usual start of biases. For kernels they make all units learn the same."""

    def draw(self, key: Array, shape: Shape, dtype: DType) -> Any:
        return np.zeros(shape, dtype)


class Uniform(Initializer):
    """Uniform on [low, high)."""

    def __init__(self, low: float = -0.05, high: float = 0.05) -> None:
        self.low, self.high = low, high

    def draw(self, key: Array, shape: Shape, dtype: DType) -> Any:
        return random.uniform(tensor(key), shape, self.low, self.high, dtype).numpy()


class Normal(Initializer):
    """Normal with this mean and standard deviation."""

    def __init__(self, mean: float = 0.0, std: float = 0.05) -> None:
        self.mean, self.std = mean, std

    def draw(self, key: Array, shape: Shape, dtype: DType) -> Any:
        return random.normal(tensor(key), shape, self.mean, self.std, dtype).numpy()


class _Scaled(Initializer):
    """Noise whose spread is worked out from the shape."""

    uniform = False

    def spread(self, fan_in: int, fan_out: int) -> float:
        """Standard deviation of the normal, or half-width of the uniform distribution."""
        raise KedjaError(f"{type(self).__name__} does not say its spread")

    def draw(self, key: Array, shape: Shape, dtype: DType) -> Any:
        s = self.spread(*fans(shape))
        if self.uniform:
            return random.uniform(tensor(key), shape, -s, s, dtype).numpy()
        return random.normal(tensor(key), shape, 0.0, s, dtype).numpy()


class GlorotUniform(_Scaled):
    """Uniform on ±√(6 / (fan_in + fan_out)), for sigmoid and tanh. Source: Glorot and Bengio 2010."""

    uniform = True

    def spread(self, fan_in: int, fan_out: int) -> float:
        return math.sqrt(6 / (fan_in + fan_out))


class GlorotNormal(_Scaled):
    """Normal with σ = √(2 / (fan_in + fan_out)). Source: Glorot and Bengio 2010."""

    def spread(self, fan_in: int, fan_out: int) -> float:
        return math.sqrt(2 / (fan_in + fan_out))


class HeUniform(_Scaled):
    """Uniform on ±√(6 / fan_in), for ReLU. Source: He et al. 2015."""

    uniform = True

    def spread(self, fan_in: int, fan_out: int) -> float:
        return math.sqrt(6 / fan_in)


class HeNormal(_Scaled):
    """Normal with σ = √(2 / fan_in), for ReLU. Source: He et al. 2015."""

    def spread(self, fan_in: int, fan_out: int) -> float:
        return math.sqrt(2 / fan_in)


class ScaledNormal(_Scaled):
    """N(0, σ = 1/√fan_in), as the notes start their digit network (scope 4.6, 8.2)."""

    def spread(self, fan_in: int, fan_out: int) -> float:
        return 1 / math.sqrt(fan_in)


NAMES: dict[str, Callable[[], Initializer]] = {
    "constant": Constant,
    "glorot": GlorotUniform,
    "glorot_normal": GlorotNormal,
    "glorot_uniform": GlorotUniform,
    "he": HeNormal,
    "he_normal": HeNormal,
    "he_uniform": HeUniform,
    "normal": Normal,
    "random_normal": Normal,
    "random_uniform": Uniform,
    "scaled_normal": ScaledNormal,
    "uniform": Uniform,
    "zeros": Zeros,
}
CLASSES = {
    c.__name__: c
    for c in (Constant, GlorotNormal, GlorotUniform, HeNormal, HeUniform, Normal, ScaledNormal, Uniform, Zeros)
}
RELU_LIKE = {"relu"}


def get(initializer: Any, activation: str | None = None) -> Initializer:
    """The initialiser a name, object or saved configuration stands for; "auto" picks He before ReLU, else Glorot.

    >>> get("glorot"), get("auto", "relu"), get("auto", "tanh")
    (GlorotUniform(), HeNormal(), GlorotUniform())
    """
    if isinstance(initializer, Initializer):
        return initializer
    if isinstance(initializer, dict):
        rest = {k: v for k, v in initializer.items() if k != "class"}
        if initializer.get("class") not in CLASSES:
            raise one_of("initializer", initializer.get("class"), CLASSES)
        return CLASSES[initializer["class"]](**rest)
    if initializer == "auto":
        return HeNormal() if activation in RELU_LIKE else GlorotUniform()
    if not isinstance(initializer, str) or initializer not in NAMES:
        raise one_of("initializer", initializer, [*NAMES, "auto"])
    return NAMES[initializer]()
