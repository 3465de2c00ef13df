"""Starting values of parameters (scope 4.6). Each is drawn from an explicit key, so a seed and a path decide it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from kedja.elsewhere import Answering, missing
from kedja.errors import DataError, KedjaError, ShapeError, one_of
from kedja.graph.dtypes import DType
from kedja.graph.node import Array, tensor
from kedja.graph.shapes import Shape
from kedja.nn.activations import entry_of
from kedja.ops import random

__all__ = [
    "Constant", "GlorotNormal", "GlorotUniform", "Grouped", "HeNormal", "HeUniform", "IdentityMatrix", "Initializer",
    "LeCunNormal", "LeCunUniform", "Normal", "Ones", "Orthogonal", "ScaledNormal", "TruncatedNormal", "Uniform",
    "Zeros", "fans", "get", "symmetric",
]  # fmt: skip


def fans(shape: Shape, groups: int = 1) -> tuple[int, int]:
    """How many numbers flow into and out of one unit: (in, out) for a matrix, times the field for a convolution.

    The kernel of a convolution in groups is (*field, in/groups, out): an input reaches the outputs of its group only.

    >>> fans((784, 100)), fans((3, 3, 16, 32)), fans((3, 3, 1, 32), groups=32)
    ((784, 100), (144, 288), (9, 9))
    """
    if len(shape) < 2:
        return max(shape[0], 1) if shape else 1, max(shape[0], 1) if shape else 1
    field = math.prod(shape[:-2])
    return max(field * shape[-2], 1), max(field * shape[-1] // groups, 1)


class Initializer(Answering):
    """Something that fills a shape from a key. Subclasses say how in `draw`."""

    waits = False  # whether drawing may wait until the values are first read: it never fails, whatever the shape

    def __call__(self, key: Array, shape: Shape, dtype: DType) -> Array:
        """The starting values, as an array of this shape and type."""
        return np.array(self.draw(key, shape, dtype), dtype)

    def draw(self, key: Array, shape: Shape, dtype: DType) -> Any:
        raise KedjaError(f"{type(self).__name__} does not say how to draw: define draw(self, key, shape, dtype)")

    def draw_groups(self, key: Array, shape: Shape, dtype: DType, groups: int) -> Any:
        """The same for the kernel of a convolution in groups, for those that look at the shape."""
        return self.draw(key, shape, dtype)

    def config(self) -> dict[str, Any]:
        """The class's name and its numbers, from which it can be made again."""
        return {"class": type(self).__name__, **vars(self)}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in vars(self).items())})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = object.__hash__


class Constant(Initializer):
    """W = c: one number everywhere.

    >>> Constant(0.5)(random.key_words(0), (2,), np.dtype("float32")).tolist()
    [0.5, 0.5]
    """

    waits = True

    def __init__(self, value: float = 0.0) -> None:
        self.value = value

    def draw(self, key: Array, shape: Shape, dtype: DType) -> Any:
        return np.full(shape, self.value, dtype)


class Zeros(Initializer):
    """W = 0, the usual start of biases. For kernels it makes all units learn the same."""

    def draw(self, key: Array, shape: Shape, dtype: DType) -> Any:
        return np.zeros(shape, dtype)


class Ones(Initializer):
    """W = 1, the usual start of scales."""

    def draw(self, key: Array, shape: Shape, dtype: DType) -> Any:
        return np.ones(shape, dtype)


class IdentityMatrix(Initializer):
    """W = c I, with c = `gain`: a layer that starts by passing its input on. A matrix that is not square has 0 besides.

    >>> IdentityMatrix()(random.key_words(0), (2, 3), np.dtype("float32")).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def draw(self, key: Array, shape: Shape, dtype: DType) -> Any:
        if len(shape) != 2:
            raise ShapeError(f"the initializer 'identity' is for matrices, got the shape {shape}; take 'orthogonal'")
        return self.gain * np.eye(*shape, dtype=dtype)


class Uniform(Initializer):
    """w from U(low, high), evenly on [low, high)."""

    def __init__(self, low: float = -0.05, high: float = 0.05) -> None:
        self.low, self.high = low, high

    def draw(self, key: Array, shape: Shape, dtype: DType) -> Any:
        return random.uniform(tensor(key), shape, self.low, self.high, dtype).numpy()


class Normal(Initializer):
    """w from N(μ, σ), with μ = `mean` and σ = `std`."""

    def __init__(self, mean: float = 0.0, std: float = 0.05) -> None:
        self.mean, self.std = mean, std

    def draw(self, key: Array, shape: Shape, dtype: DType) -> Any:
        return random.normal(tensor(key), shape, self.mean, self.std, dtype).numpy()


class TruncatedNormal(Initializer):
    """w from N(μ, σ) where |w − μ| ≤ 2σ: what lies further out is drawn again, so that no weight starts out large.

    `std` is the σ of the normal before it is cut, as in Keras, JAX and TensorFlow; the standard deviation of what
    comes out is 0.8796 of it (by √(1 − 4φ(2)/(2Φ(2) − 1))).

    >>> bool(abs(TruncatedNormal(std=0.5)(random.key_words(0), (1000,), np.dtype("float32"))).max() <= 1.0)
    True
    """

    def __init__(self, mean: float = 0.0, std: float = 0.05) -> None:
        if std < 0:
            raise DataError(f"TruncatedNormal: std is at least 0, got {std}")
        self.mean, self.std = mean, std

    def draw(self, key: Array, shape: Shape, dtype: DType) -> Any:
        z = np.empty(math.prod(shape), dtype)
        missing, times = np.arange(z.size), 0
        while missing.size:  # each time 4.6 % are too far out
            again = random.normal(tensor(random.fold_array(key, times)), (missing.size,), dtype=dtype).numpy()
            z[missing] = again
            missing, times = missing[np.abs(again) > 2], times + 1
        return self.mean + self.std * z.reshape(shape)


class Orthogonal(Initializer):
    """Wᵀ W = c² I, with c = `gain`: orthonormal columns (rows, if it is wider than high), which keep lengths.

    From the QR decomposition of a normal matrix, with the signs of R's diagonal put into Q, so that every orthogonal
    matrix is equally likely. The kernel of a convolution counts as a matrix (field · in, out).
    Source: Saxe et al. 2014; Mezzadri 2007.

    >>> q = Orthogonal()(random.key_words(0), (5, 3), np.dtype("float32"))
    >>> bool(np.allclose(q.T @ q, np.eye(3), atol=1e-6))
    True
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def draw(self, key: Array, shape: Shape, dtype: DType) -> Any:
        if len(shape) < 2:
            raise ShapeError(f"the initializer 'orthogonal' is for kernels of two axes or more, got the shape {shape}")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = (max(rows, columns), min(rows, columns))
        noise = random.normal(tensor(key), tall, dtype="float64").numpy()
        q, r = np.linalg.qr(noise)
        q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
        return self.gain * (q if rows >= columns else q.T).reshape(shape)

    def draw_groups(self, key: Array, shape: Shape, dtype: DType, groups: int) -> Any:
        """One orthogonal matrix for each group."""
        one = (*shape[:-1], shape[-1] // groups)
        return np.concatenate([self.draw(random.fold_array(key, i), one, dtype) for i in range(groups)], -1)


class _Scaled(Initializer):
    """Noise whose spread is worked out from the shape."""

    uniform, waits = False, True

    def spread(self, fan_in: int, fan_out: int) -> float:
        """Standard deviation of the normal, or half-width of the uniform distribution."""
        raise KedjaError(f"{type(self).__name__} does not say its spread")

    def draw(self, key: Array, shape: Shape, dtype: DType) -> Any:
        return self.draw_groups(key, shape, dtype, 1)

    def draw_groups(self, key: Array, shape: Shape, dtype: DType, groups: int) -> Any:
        s = self.spread(*fans(shape, groups))
        if self.uniform:
            return random.uniform(tensor(key), shape, -s, s, dtype).numpy()
        return random.normal(tensor(key), shape, 0.0, s, dtype).numpy()


class GlorotUniform(_Scaled):
    """w from U(−s, s) with s = √(6 / (fan_in + fan_out)), for sigmoid and tanh. Source: Glorot and Bengio 2010."""

    uniform = True

    def spread(self, fan_in: int, fan_out: int) -> float:
        return math.sqrt(6 / (fan_in + fan_out))


class GlorotNormal(_Scaled):
    """w from N(0, σ) with σ = √(2 / (fan_in + fan_out)). Source: Glorot and Bengio 2010."""

    def spread(self, fan_in: int, fan_out: int) -> float:
        return math.sqrt(2 / (fan_in + fan_out))


class HeUniform(_Scaled):
    """w from U(−s, s) with s = √(6 / fan_in), for ReLU. Source: He et al. 2015."""

    uniform = True

    def spread(self, fan_in: int, fan_out: int) -> float:
        return math.sqrt(6 / fan_in)


class HeNormal(_Scaled):
    """w from N(0, σ) with σ = √(2 / fan_in), for ReLU. Source: He et al. 2015."""

    def spread(self, fan_in: int, fan_out: int) -> float:
        return math.sqrt(2 / fan_in)


class LeCunUniform(_Scaled):
    """w from U(−s, s) with s = √(3 / fan_in): variance 1/fan_in. Source: LeCun et al. 1998."""

    uniform = True

    def spread(self, fan_in: int, fan_out: int) -> float:
        return math.sqrt(3 / fan_in)


class LeCunNormal(_Scaled):
    """w from N(0, σ) with σ = √(1 / fan_in): a linear layer keeps the variance; for SELU. Source: LeCun et al. 1998."""

    def spread(self, fan_in: int, fan_out: int) -> float:
        return 1 / math.sqrt(fan_in)


class ScaledNormal(LeCunNormal):
    """w from N(0, σ) with σ = 1/√fan_in, as the notes start their digit network (scope 4.6, 8.2): see LeCunNormal."""


class Grouped(Initializer):
    """Another initialiser, for the kernel of a convolution in groups: fans and orthogonality are those of one group.

    Layers wrap what the user gave when they make such a kernel, (*field, in/groups, out).

    >>> kernel = Grouped(get("he"), 64)(random.key_words(0), (3, 3, 1, 64), np.dtype("float32"))
    >>> kernel.std().round(1).item()  # √(2/9) = 0.47
    0.5
    """

    def __init__(self, initializer: Any, groups: int) -> None:
        self.initializer, self.groups = initializer, groups

    @property
    def waits(self) -> bool:  # type: ignore[override]
        """As the other one."""
        return get(self.initializer).waits

    def draw(self, key: Array, shape: Shape, dtype: DType) -> Any:
        return get(self.initializer).draw_groups(key, shape, dtype, self.groups)


NAMES: dict[str, Callable[[], Initializer]] = {
    "constant": Constant,
    "glorot": GlorotUniform,
    "glorot_normal": GlorotNormal,
    "glorot_uniform": GlorotUniform,
    "he": HeNormal,
    "he_normal": HeNormal,
    "he_uniform": HeUniform,
    "identity": IdentityMatrix,
    "lecun": LeCunNormal,
    "kaiming_normal": HeNormal,
    "kaiming_uniform": HeUniform,
    "lecun_normal": LeCunNormal,
    "lecun_uniform": LeCunUniform,
    "normal": Normal,
    "ones": Ones,
    "orthogonal": Orthogonal,
    "random_normal": Normal,
    "random_uniform": Uniform,
    "scaled_normal": ScaledNormal,
    "truncated_normal": TruncatedNormal,
    "uniform": Uniform,
    "xavier": GlorotUniform,
    "xavier_normal": GlorotNormal,
    "xavier_uniform": GlorotUniform,
    "zeros": Zeros,
}
CLASSES: dict[str, type[Initializer]] = {
    c.__name__: c
    for c in (
        Constant, GlorotNormal, GlorotUniform, HeNormal, HeUniform, IdentityMatrix, LeCunNormal, LeCunUniform, Normal,
        Ones, Orthogonal, ScaledNormal, TruncatedNormal, Uniform, Zeros,
    )
}  # fmt: skip


def get(initializer: Any, activation: Any = None) -> Initializer:
    """The initialiser a name, number, object or saved configuration stands for.

    A number is that number everywhere. "auto" looks at the activation that follows: He before relu and its relatives,
    LeCun before selu, else Glorot.

    >>> get("glorot"), get(0.1), get("auto", "gelu"), get("auto", "selu"), get("auto", "tanh")
    (GlorotUniform(), Constant(value=0.1), HeNormal(), LeCunNormal(), GlorotUniform())
    """
    if isinstance(initializer, Grouped):
        return Grouped(get(initializer.initializer, activation), initializer.groups)
    if isinstance(initializer, Initializer):
        return initializer
    if isinstance(initializer, int | float | np.integer | np.floating) and not isinstance(initializer, bool):
        if not math.isfinite(initializer):
            raise DataError(f"a starting value is a finite number, got {initializer!r}")
        return Constant(float(initializer))
    if isinstance(initializer, dict):
        rest = {k: v for k, v in initializer.items() if k != "class"}
        if initializer.get("class") not in CLASSES:
            raise one_of("initializer", initializer.get("class"), CLASSES)
        return CLASSES[initializer["class"]](**rest)
    if isinstance(initializer, type) and issubclass(initializer, Initializer):
        return initializer()
    if initializer == "auto":
        entry = entry_of(activation)
        return NAMES[entry.init if entry is not None else "glorot_uniform"]()
    if not isinstance(initializer, str) or initializer not in NAMES:
        raise one_of("initializer", initializer, [*NAMES, "auto"])
    return NAMES[initializer]()


def symmetric(model: Any) -> list[str]:
    """The kernels of hidden layers all of whose units start alike (scope 4.6), by their path in `model.state`.

    Such units compute the same number and, as long as what follows treats them alike too, get the same gradient: the
    layer is one unit, however wide. The output layer is not counted, since its targets differ.

    >>> import kedja as kj
    >>> net = kj.Sequential([kj.nn.Dense(4, "tanh", init="zeros"), kj.nn.Dense(1)]).build((None, 2))
    >>> symmetric(net)
    ['dense_1.kernel']
    """
    model.expect_weights()
    last = model
    while getattr(last, "output_layer", None) is not None:
        last = last.output_layer
    kernels = {path: v for path, v in model.state.of_kind("trainable").items() if "kernel" in path.rsplit(".", 1)[-1]}
    spared = set(last.state.values()) if last is not model else set()
    if not spared & set(kernels.values()):  # what ends the model is an activation, or not known: spare the last kernel
        spared = set(list(kernels.values())[-1:])
    return [path for path, v in kernels.items() if v not in spared and _alike(np.asarray(v.value))]


def _alike(kernel: Array) -> bool:
    """Whether there are several units, the last axis, and all have the same weights."""
    return kernel.ndim > 1 and kernel.size > 0 and kernel.shape[-1] > 1 and bool((kernel == kernel[..., :1]).all())


def __getattr__(name: str) -> Any:
    raise missing(__name__, name, __all__)
