"""What `kj.data.load` gives: arrays to learn from, and what a reader should know about them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kedja.data.split import split_rows
from kedja.errors import DataError

__all__ = ["Dataset", "Task"]

Task = Literal["classification", "regression"]


@dataclass(frozen=True, repr=False, eq=False)
class Dataset:
    """Inputs x (n, …) float32 and targets y, with their names and origin. Unpacks as `x, y = dataset`.

    For classification y holds the labels 0..k−1, (n,) int64; for regression numbers, (n,) float32. (`xor` alone has
    its four targets as the (4, 1) column of 0 and 1 that its truth table shows.) `len()` is the number of rows.
    Sequences are x (n, steps, features). Where they differ in length, zeros follow the end, and `mask` (n, steps) is
    True at the steps that are there: `net.fit((data.x, data.mask), data.y)` for a model with both as inputs.

    >>> data = Dataset(np.zeros((4, 2), np.float32), np.array([0, 1, 0, 1]), "toy", "classification")
    >>> data
    <Dataset toy: 4 rows × 2 features, classification into 2 classes>
    >>> train, test = data.split(test=2)
    >>> len(train), len(test)
    (2, 2)
    """

    x: NDArray[np.float32]
    y: NDArray[Any]
    name: str
    task: Task
    feature_names: tuple[str, ...] | None = None
    class_names: tuple[str, ...] | None = None
    image_shape: tuple[int, int, int] | None = None
    description: str = ""
    source: str = ""
    licence: str = ""
    # The number of rows at the end that are the test by convention, so that published results can be compared.
    test_rows: int | None = None
    mask: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise DataError(f"{self.name}: x has {len(self.x)} rows and y has {len(self.y)}.")

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return iter((self.x, self.y))

    def __len__(self) -> int:
        return len(self.x)

    @property
    def classes(self) -> int | None:
        """The number of classes, None for regression."""
        if self.task == "regression":
            return None
        return len(self.class_names) if self.class_names is not None else int(self.y.max()) + 1

    @property
    def images(self) -> NDArray[np.float32]:
        """x as images (n, height, width, channels). Raises DataError when the rows are not images."""
        if self.image_shape is None:
            raise DataError(f"the rows of {self.name!r} are not images.")
        return self.x.reshape(-1, *self.image_shape)

    def split(
        self, test: float | int | None = None, seed: int | None = None, stratify: bool | None = None
    ) -> tuple[Dataset, Dataset]:
        """Cut into (train, test), shuffled by the seed.

        `test` is a fraction (default 0.2) or a number of rows. Labels are stratified unless `stratify=False`. Without
        any argument a set that comes with a fixed test part (mnist_5k: 4,000 and 1,000) is cut there.
        """
        if test is None and seed is None and stratify is None and self.test_rows is not None:
            rows = np.arange(len(self))
            return self._part(rows[: -self.test_rows]), self._part(rows[-self.test_rows :])
        if stratify is None:
            stratify = self.task == "classification" and self.y.ndim == 1
        train, held_out = split_rows(
            len(self),
            test=0.2 if test is None else test,
            seed=0 if seed is None else seed,
            stratify=self.y.ravel() if stratify else None,
        )
        return self._part(train), self._part(held_out)

    def _part(self, rows: NDArray[np.int64]) -> Dataset:
        mask = None if self.mask is None else self.mask[rows]
        return replace(self, x=self.x[rows], y=self.y[rows], mask=mask, test_rows=None)

    def __repr__(self) -> str:
        size = (
            " × ".join(map(str, self.image_shape)) + " images" if self.image_shape else f"{self.x.shape[-1]} features"
        )
        if self.x.ndim == 3:
            size = f"{'up to ' if self.mask is not None else ''}{self.x.shape[1]} steps × {size}"
        what = f"classification into {self.classes} classes" if self.classes is not None else "regression"
        return f"<Dataset {self.name}: {len(self):,} rows × {size}, {what}>"
