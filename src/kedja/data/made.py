"""Made data in the plane, for seeing what a network can and cannot separate (scope 2.4, 8.1, 8.4).

The same n, noise and seed give the same rows on every machine (to the last bit of its sin and cos). Classes are equally
large, to within a row, and the rows are in random order.
"""

from __future__ import annotations

import operator

import numpy as np
from numpy.typing import NDArray

from kedja.data.dataset import Dataset
from kedja.data.draws import normal, permutation, uniform
from kedja.errors import DataError

__all__ = ["blobs", "circles", "moons", "spiral", "xor", "xor_cloud"]

# Streams of random words, one a purpose (see draws.py; splits have stream 1).
_PLACE, _NOISE, _ORDER = 2, 3, 4


def xor() -> Dataset:
    """The four rows of the truth table of exclusive or; y is the (4, 1) column of 0 and 1 (scope 8.1).

    >>> x, y = xor()
    >>> x.tolist(), y.ravel().tolist()
    ([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0.0, 1.0, 1.0, 0.0])
    """
    return Dataset(
        x=np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32),
        y=np.array([[0], [1], [1], [0]], np.float32),
        name="xor",
        task="classification",
        feature_names=("x1", "x2"),
        class_names=("0", "1"),
        description="exclusive or: 1 where the two inputs differ",
        source="made",
        licence="none needed",
    )


def xor_cloud(n: int = 400, noise: float = 0.05, seed: int = 0) -> Dataset:
    """Points spread over [−1, 1]², class 1 where the signs of x₁ and x₂ differ; normal noise is added to the points.

    >>> x, y = xor_cloud(100, noise=0)
    >>> bool(((x[:, 0] * x[:, 1] < 0) == y).all())
    True
    """
    n, labels = _labels("xor_cloud", n, 2)
    quadrant = np.arange(n) % 4 // 2
    # 0.05 of the way from each axis stays empty, so that without noise the classes do not touch.
    sizes = 0.05 + 0.95 * uniform(2 * n, seed, _PLACE).reshape(n, 2)
    first = np.where(quadrant == 0, 1.0, -1.0)
    signs = np.stack([first, np.where(labels == 1, -first, first)], axis=1)
    return _dataset("xor_cloud", signs * sizes, labels, noise, seed, "exclusive or of the signs of two inputs")


def moons(n: int = 400, noise: float = 0.1, seed: int = 0) -> Dataset:
    """Two half circles, each reaching into the other: (cos t, sin t) and (1 − cos t, ½ − sin t) for t in 0..π.

    >>> len(moons(100))
    100
    """
    n, labels = _labels("moons", n, 2)
    t = np.pi * _along(labels, 2, last=True)
    upper = np.stack([np.cos(t), np.sin(t)], axis=1)
    lower = np.stack([1 - np.cos(t), 0.5 - np.sin(t)], axis=1)
    points = np.where(labels[:, None] == 0, upper, lower)
    return _dataset("moons", points, labels, noise, seed, "two interleaved half circles")


def circles(n: int = 400, noise: float = 0.05, seed: int = 0, factor: float = 0.5) -> Dataset:
    """A circle of radius 1 (class 0) around one of radius `factor` (class 1).

    >>> x, y = circles(8, noise=0, factor=0.5)
    >>> sorted(set(np.hypot(*x.T).round(3).tolist()))
    [0.5, 1.0]
    """
    if not 0 < factor < 1:
        raise DataError(f"circles: factor={factor!r}: the inner radius must lie between 0 and 1.")
    n, labels = _labels("circles", n, 2)
    t = 2 * np.pi * _along(labels, 2, last=False)
    radius = np.where(labels == 0, 1.0, factor)
    points = radius[:, None] * np.stack([np.cos(t), np.sin(t)], axis=1)
    return _dataset("circles", points, labels, noise, seed, "a circle inside a circle")


def spiral(n: int = 400, noise: float = 0.02, seed: int = 0, classes: int = 2, turns: float = 1.5) -> Dataset:
    """Arms that wind around each other, one a class: radius r in 0..1 at the angle 2π(turns · r + class / classes).

    >>> spiral(300, classes=3)
    <Dataset spiral: 300 rows × 2 features, classification into 3 classes>
    """
    n, labels = _labels("spiral", n, classes)
    # The arms meet in the origin: they begin a little outside it, so that no two classes share a point.
    r = 0.05 + 0.95 * _along(labels, classes, last=True)
    angle = 2 * np.pi * (turns * r + labels / classes)
    points = r[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return _dataset("spiral", points, labels, noise, seed, "spiral arms, one for each class")


def blobs(n: int = 400, noise: float = 0.25, seed: int = 0, classes: int = 3) -> Dataset:
    """Round clusters, one a class, centred at equal distances on the unit circle; `noise` is their deviation.

    >>> np.bincount(blobs(90, classes=3).y).tolist()
    [30, 30, 30]
    """
    n, labels = _labels("blobs", n, classes)
    angle = 2 * np.pi * labels / classes
    return _dataset("blobs", np.stack([np.cos(angle), np.sin(angle)], axis=1), labels, noise, seed, "round clusters")


def _labels(name: str, n: int, classes: int) -> tuple[int, NDArray[np.int64]]:
    """n, and the labels 0, 1, …, 0, 1, …: as many of each class, to within one."""
    try:
        n, classes = operator.index(n), operator.index(classes)
    except TypeError as error:
        raise DataError(f"{name}: n={n!r}, classes={classes!r}: both must be whole numbers.") from error
    if classes < 2:
        raise DataError(f"{name}: classes={classes}: at least 2 are needed.")
    if n < classes:
        raise DataError(f"{name}: n={n} rows cannot show {classes} classes.")
    return n, np.arange(n) % classes


def _along(labels: NDArray[np.int64], classes: int, *, last: bool) -> NDArray[np.float64]:
    """Equal steps through 0..1 for the rows of each class, with the end point (`last`) or without it."""
    counts = np.bincount(labels, minlength=classes)
    steps = np.maximum(counts - 1, 1) if last else counts
    return (np.arange(len(labels)) // classes) / steps[labels]


def _dataset(
    name: str, points: NDArray[np.float64], labels: NDArray[np.int64], noise: float, seed: int, description: str
) -> Dataset:
    if not noise >= 0 or not np.isfinite(noise):
        raise DataError(f"{name}: noise={noise!r}: it is a standard deviation, 0 or more.")
    noisy = points + noise * normal(points.size, seed, _NOISE).reshape(points.shape)
    rows = permutation(len(points), seed, _ORDER)
    return Dataset(
        x=noisy[rows].astype(np.float32),
        y=labels[rows],
        name=name,
        task="classification",
        feature_names=("x1", "x2"),
        class_names=tuple(str(label) for label in range(int(labels.max()) + 1)),
        description=description,
        source="made",
        licence="none needed",
    )
