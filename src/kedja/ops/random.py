"""Random numbers from explicit keys and counters, the same on every engine: Threefry-2×32 (Salmon et al. 2011).

There is no hidden generator. A key is two 32-bit words; `fold` derives another key from it and a number; the bits of
a key depend on nothing else. So a run is repeated exactly from its seed, on either engine, and after a resume.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kedja.errors import DTypeError, GraphError, ShapeError
from kedja.graph.dtypes import DType, as_dtype, get_default_dtype, is_float
from kedja.graph.node import Array, Tensor, tensor
from kedja.graph.shapes import Shape, as_shape, size
from kedja.ops.elementwise import cast, cos, log, remainder, sqrt
from kedja.ops.notation import ATOM, PRODUCT, Notation
from kedja.ops.op import nondifferentiable
from kedja.ops.reductions import argsort
from kedja.ops.samples import Sample

UINT32 = np.dtype(np.uint32)
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA


def threefry(key: Array, x0: Any, x1: Any) -> tuple[Any, Any]:
    """The block cipher: two words of key and two of counter (arrays) to two of output. Works on any 32-bit arrays."""
    k0, k1 = key[0], key[1]
    ks = (k0, k1, k0 ^ k1 ^ key.dtype.type(PARITY))
    x0, x1 = x0 + ks[0], x1 + ks[1]
    for group in range(5):
        for r in ROTATIONS[group % 2]:
            x0 = x0 + x1
            x1 = (x1 << key.dtype.type(r)) | (x1 >> key.dtype.type(32 - r))
            x1 = x1 ^ x0
        x0 = x0 + ks[(group + 1) % 3]
        x1 = x1 + ks[(group + 2) % 3] + key.dtype.type(group + 1)
    return x0, x1


def _bits(key: Array, shape: Shape) -> Array:
    n = size(shape)
    half = (n + 1) // 2
    with np.errstate(over="ignore"):
        a, b = threefry(np.asarray(key), np.arange(half, dtype=np.uint32), np.zeros(half, np.uint32))
    return np.concatenate([a, b])[:n].reshape(shape)


def _fold(key: Array, number: Array) -> Array:
    with np.errstate(over="ignore"):
        a, b = threefry(np.asarray(key), np.asarray([number]).astype(np.uint32), np.ones(1, np.uint32))
    return np.concatenate([a, b])


def _checked_key(key: Tensor) -> None:
    if key.shape != (2,) or key.dtype != UINT32:
        raise DTypeError(f"a key is two uint32 words, got {key.dtype.name} {key.shape}. Use kj.random.key(seed).")


def _bits_spec(key: Tensor, shape: Shape) -> tuple[Shape, DType]:
    _checked_key(key)
    return shape, UINT32


def _fold_spec(key: Tensor, number: Tensor) -> tuple[Shape, DType]:
    _checked_key(key)
    if number.shape != () or number.dtype.kind not in "iu":
        raise DTypeError(f"a key is folded with one whole number, got {number.dtype.name} {number.shape}")
    return (2,), UINT32


def _key(rng: np.random.Generator) -> Array:
    return rng.integers(0, 2**32, 2, dtype=np.uint32)


def _bits_samples(rng: np.random.Generator) -> Any:
    for shape in ((7,), (3, 4), (), (0,), (1,)):
        yield Sample((_key(rng),), {"shape": shape})


def _fold_samples(rng: np.random.Generator) -> Any:
    for number in (0, 1, 2**31 - 1):
        yield Sample((_key(rng), np.array(number, np.int64)))
    yield Sample((_key(rng), np.array(7, np.int32)))


def _unit_samples(rng: np.random.Generator) -> Any:
    yield Sample((rng.integers(0, 2**32, (4, 3), dtype=np.uint32),), {"dtype": np.dtype(np.float32)})
    yield Sample((np.array([0, 2**32 - 1], np.uint32),), {"dtype": np.dtype(np.float32)})
    yield Sample((np.array([0, 2**32 - 1], np.uint32),), {"dtype": np.dtype(np.float64)})


def _unit(bits: Array, dtype: DType) -> Any:
    kept = bits >> np.uint32(dropped_bits(dtype))
    return kept.astype(dtype) * dtype.type(2.0 ** (dropped_bits(dtype) - 32))


random_bits = nondifferentiable(
    "random_bits",
    _bits,
    _bits_spec,
    samples=_bits_samples,
    tex=r"\operatorname{{bits}}\left({0}\right)",
    doc="y = T(k, (i, 0)), 32 random bits for each i: Threefry-2×32 under the key k, on counters.",
)
fold_key = nondifferentiable(
    "fold_key",
    _fold,
    _fold_spec,
    samples=_fold_samples,
    tex=r"\operatorname{{fold}}\left({*}\right)",
    doc="y = T(k, (n, 1)), another key from the key k and a whole number n: Threefry-2×32.",
)
unit_interval = nondifferentiable(  # the upper 24 bits (all 32 for float64): every result is exact, and below 1
    "unit_interval", _unit, lambda bits, dtype: (bits.shape, dtype), samples=_unit_samples,
    tex=Notation(r"2^{{-32}} {0}", PRODUCT, (ATOM,)),
    doc="y = ⌊a / 2ᵈ⌋ · 2ᵈ / 2³², the upper bits of a as a number in [0, 1): d bits are left out, so that it is exact.",
)  # fmt: skip


def dropped_bits(dtype: DType) -> int:
    """How many of 32 random bits a type has no room for, so that the rest are held exactly."""
    return {8: 0, 4: 8}.get(dtype.itemsize, 24 if dtype.name == "bfloat16" else 21)


def _float_type(name: str, dtype: Any) -> DType:
    found = get_default_dtype() if dtype is None else as_dtype(dtype)
    if not is_float(found):
        raise DTypeError(f"{name} gives floating-point numbers, not {found.name}. Use kj.random.integers.")
    return found


def key(seed: int) -> Tensor:
    """The key of a seed, any whole number from 0 to 2⁶⁴ − 1.

    >>> key(7).numpy().tolist()
    [0, 7]
    """
    return tensor(key_words(seed))


def key_words(seed: int) -> Array:
    """The two words of a seed's key, as an array."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**64:
        raise GraphError(f"a seed is a whole number from 0 to 2**64 - 1, got {seed!r}")
    return np.array([int(seed) >> 32, int(seed) & 0xFFFFFFFF], np.uint32)


def fold(parent: Any, number: Any) -> Tensor:
    """Another key, from a key and a whole number or a name; different numbers give unrelated keys.

    A name is folded by its SHA-256, never by Python's `hash`, which differs from run to run.

    >>> bool((fold(key(1), 0).numpy() != fold(key(1), 1).numpy()).all())
    True
    """
    if not isinstance(number, Tensor):
        number = tensor(np.asarray(_word(number), np.int64))
    return fold_key(tensor(parent), number)


def bits(key: Any, shape: Any = ()) -> Tensor:
    """Random 32-bit words.

    >>> bits(key(0), (2,)).numpy().tolist()
    [1797259609, 2579123966]
    """
    return random_bits(tensor(key), shape=as_shape(shape))


def uniform(key: Any, shape: Any = (), low: float = 0.0, high: float = 1.0, dtype: Any = None) -> Tensor:
    """Uniform on [low, high).

    >>> uniform(key(0), (2, 3)).shape
    (2, 3)
    """
    found = _float_type("uniform", dtype)
    u = unit_interval(bits(key, shape), dtype=found)
    return u if (low, high) == (0.0, 1.0) else u * (high - low) + low


def normal(key: Any, shape: Any = (), mean: Any = 0.0, std: Any = 1.0, dtype: Any = None) -> Tensor:
    """Normal with this mean and standard deviation, by Box and Muller: √(−2 ln(1−u₁)) cos 2πu₂.

    >>> normal(key(0), (1000,)).numpy().std().round(1).item()
    1.0
    """
    found = _float_type("normal", dtype)
    whole = as_shape(shape)
    u = uniform(key, (2, *whole), dtype=found)
    z = sqrt(-2.0 * log(1.0 - u[0])) * cos((2.0 * math.pi) * u[1])
    z = z if isinstance(std, float | int) and std == 1 else z * std
    return z if isinstance(mean, float | int) and mean == 0 else z + mean


def bernoulli(key: Any, p: Any, shape: Any = ()) -> Tensor:
    """True with probability p: u < p.

    >>> int(bernoulli(key(0), 0.5, (1000,)).numpy().sum()) in range(450, 550)
    True
    """
    if isinstance(p, float | int) and not 0 <= p <= 1:
        raise GraphError(f"a probability lies between 0 and 1, got {p}")
    drawn: Tensor = uniform(key, shape, dtype=p.dtype if isinstance(p, Tensor) else np.float32) < p
    return drawn


def integers(key: Any, low: int, high: int, shape: Any = (), dtype: Any = "int64") -> Tensor:
    """Whole numbers from low to high − 1; each within 1 part in 2³²/(high − low) of equally likely.

    >>> sorted(set(integers(key(0), 0, 3, (50,)).numpy().tolist()))
    [0, 1, 2]
    """
    if not 0 < high - low <= 2**32 - 1:
        raise ShapeError(f"integers needs low < high, at most 2**32 - 1 apart; got {low} and {high}")
    span = tensor(np.asarray(high - low, np.uint32))
    return cast(remainder(bits(key, shape), span), dtype) + tensor(low, dtype=dtype)


def permutation(key: Any, n: int) -> Tensor:
    """0 … n − 1 in random order: the order of n random words (equal words, if any, stay in order).

    >>> sorted(permutation(key(0), 5).numpy().tolist())
    [0, 1, 2, 3, 4]
    """
    return argsort(bits(key, (n,)))


def permutation_array(words: Array, n: int) -> Array:
    """The same permutation at once, as an array: how `fit` draws the order of an epoch (XLA's sort is slower)."""
    return np.argsort(_bits(words, (n,)), kind="stable")


def uniform_array(words: Array, shape: Any) -> Array:
    """`uniform` on [0, 1) at once, as a float64 array."""
    drawn: Array = _unit(_bits(words, as_shape(shape)), np.dtype(np.float64))
    return drawn


def fold_array(words: Array, number: int | str) -> Array:
    """`fold` at once, on arrays."""
    return _fold(words, np.asarray(_word(number)))


def _word(number: int | str) -> int:
    """The 32-bit word a number or a name is folded as."""
    if isinstance(number, str):
        import hashlib  # OpenSSL: a few milliseconds, and not everybody draws

        return int.from_bytes(hashlib.sha256(number.encode()).digest()[:4], "little")
    if not 0 <= number < 2**32:
        raise GraphError(f"a key is folded with a whole number from 0 to 2**32 - 1 or a name, got {number!r}")
    return int(number)


__all__ = ["bernoulli", "bits", "fold", "integers", "key", "normal", "permutation", "uniform"]
