"""The inputs each op is tried on: they stand in its stanza, and tests are generated from them alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Sample", "Samples", "arrays", "boolean", "elementwise_samples", "integer", "nonzero", "positive", "real"]

Array = np.ndarray[Any, Any]
Domain = Callable[["np.random.Generator", tuple[int, ...]], Array]


class Sample(NamedTuple):
    """One call: arrays (float64 ones are taken to the type under test) and attributes.

    `smooth` is False where the derivative does not exist or is not to be compared (kinks, extremes).
    """

    args: tuple[Array, ...]
    attrs: Any = {}  # noqa: RUF012  (never changed); or a function dtype → attributes, when they hold a body
    smooth: bool = True
    label: str = ""


Samples = Callable[["np.random.Generator"], Iterable[Sample]]  # in quotes: NumPy loads its random room when it is named


def real(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Any number, away from the kink at 0 so that perturbation does not step over it."""
    return np.asarray(rng.uniform(0.1, 2.0, shape) * rng.choice([-1.0, 1.0], shape))


def positive(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Numbers above 0."""
    return rng.uniform(0.2, 3.0, shape)


nonzero = real


def inside(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Numbers inside (−1, 1)."""
    return rng.uniform(-0.9, 0.9, shape)


def above_minus_one(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Numbers above −1."""
    return rng.uniform(-0.8, 3.0, shape)


def above_one(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Numbers above 1."""
    return rng.uniform(1.2, 4.0, shape)


def fractional(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Numbers that are not near a whole number or a half."""
    return np.asarray(rng.integers(-5, 5, shape) + rng.choice([0.2, 0.3, 0.7, 0.8], shape))


def integer(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Whole numbers, none of them 0, with repetitions."""
    return np.asarray(rng.integers(1, 4, shape) * rng.choice([-1, 1], shape))


def boolean(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """True and False."""
    return rng.integers(0, 2, shape).astype(bool)


def coarse(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Few different numbers, so that comparisons also meet equal ones."""
    return rng.integers(-2, 3, shape).astype(float)


EXTREMES = np.array([0.0, -0.0, 1e-30, -1e-30, 1e4, -1e4, 1e30, -1e30, np.inf, -np.inf, np.nan])


def elementwise_samples(domains: Sequence[Domain]) -> Samples:
    """Same shape, broadcast, single number, empty and size-1 inputs, and extremes (values only)."""

    def samples(rng: np.random.Generator) -> Iterable[Sample]:
        n = len(domains)

        def draw(*shapes: tuple[int, ...]) -> tuple[Array, ...]:
            return tuple(d(rng, s) for d, s in zip(domains, shapes, strict=True))

        yield Sample(draw(*[(3, 4)] * n), label="matrix")
        yield Sample(draw(*[()] * n), label="number")
        yield Sample(draw(*[(0, 3)] * n), label="empty")
        yield Sample(draw(*[(1,)] * n), label="size 1")
        if n > 1:
            yield Sample(draw((3, 1), *[(4,)] * (n - 1)), label="broadcast both ways")
            yield Sample(draw(*[()] * (n - 1), (2, 1, 3)), label="broadcast a number")
            yield Sample(draw((2, 1, 3), *[(1,)] * (n - 1)), label="broadcast size 1")
        if domains[0] not in (integer, boolean):
            args = [EXTREMES]
            args += [d(rng, EXTREMES.shape) if d in (boolean, integer) else np.roll(EXTREMES, 3) for d in domains[1:]]
            yield Sample(tuple(args), smooth=False, label="extremes")

    return samples


def arrays(*cases: Any) -> Samples:
    """Samples from (shapes, attrs) pairs, filled with distinct real numbers: `arrays(([(2, 3)], {"axes": (0,)}))`."""

    def samples(rng: np.random.Generator) -> Iterable[Sample]:
        for shapes, attrs in cases:
            yield Sample(tuple(distinct(rng, s) if isinstance(s, tuple) else np.asarray(s) for s in shapes), attrs)

    return samples


def distinct(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Numbers no two of which are close, so that maxima and orders are smooth there."""
    n = int(np.prod(shape))
    return (rng.permutation(n) - n / 2 + 0.25 + rng.uniform(-0.1, 0.1, n)).reshape(shape) * 0.37
