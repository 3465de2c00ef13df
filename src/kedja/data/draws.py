"""The random numbers of the data room: the same on every machine and under every NumPy.

NumPy promises that the raw 64-bit words of a bit generator never change, but not that `Generator.permutation` or
`Generator.normal` will go on turning them into the same numbers (NEP 19). So everything here is written down in terms
of the words of Philox-4×64 (Salmon et al. 2011), key = seed, counter = (0, 0, 0, stream). Draws for different
purposes take different streams: rows ordered by the very words that also gave them their noise would be sorted by it.
"""

from __future__ import annotations

import operator

import numpy as np
from numpy.typing import NDArray

from kedja.errors import DataError

__all__ = ["normal", "permutation", "uniform", "words"]


def words(count: int, seed: int, stream: int = 0) -> NDArray[np.uint64]:
    """The first `count` 64-bit words of Philox-4×64 with this key (seed) and stream (top word of the counter).

    Raises DataError when the seed is not a whole number in 0..2¹²⁸−1.

    >>> words(2, seed=0).tolist() == words(3, seed=0)[:2].tolist()
    True
    """
    try:
        key = operator.index(seed)
    except TypeError as error:
        raise DataError(f"seed is {seed!r}: it must be a whole number, 0 or more.") from error
    if not 0 <= key < 2**128:
        raise DataError(f"seed is {key}: it must be a whole number, 0 or more.")
    return np.random.Philox(key=key, counter=np.array([0, 0, 0, stream], np.uint64)).random_raw(count)


def uniform(count: int, seed: int, stream: int = 0) -> NDArray[np.float64]:
    """Numbers in [0, 1): the upper 53 bits of a word, times 2⁻⁵³.

    >>> bool((uniform(100, seed=0) < 1).all())
    True
    """
    return (words(count, seed, stream) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normal(count: int, seed: int, stream: int = 0) -> NDArray[np.float64]:
    """Standard normal numbers, √(−2 ln(1−u)) · cos 2πv.  Source: Box and Muller 1958.

    >>> abs(float(normal(10_000, seed=0).std()) - 1) < 0.02
    True
    """
    u, v = uniform(2 * count, seed, stream).reshape(2, count)
    return np.sqrt(-2.0 * np.log1p(-u)) * np.cos(2.0 * np.pi * v)


def permutation(n: int, seed: int, stream: int = 0) -> NDArray[np.int64]:
    """The numbers 0..n−1 in random order: the stable argsort of n words.

    >>> sorted(permutation(5, seed=0).tolist())
    [0, 1, 2, 3, 4]
    """
    return np.argsort(words(n, seed, stream), kind="stable").astype(np.int64)
