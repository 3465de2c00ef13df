"""Categories as numbers: one-hot, multi-hot, counted or numbered, or as learned vectors (scope 6).

Names are turned into codes on the host, where rows enter the model: 0 is a category that was not seen, 1 … m are the
known ones in order. On the graph there are only codes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kedja.data.columns import as_columns, cells_of, is_table, label_of, labels_of
from kedja.errors import DataError, ShapeError, one_of
from kedja.graph.dtypes import get_default_dtype, is_float
from kedja.graph.node import Tensor
from kedja.graph.shapes import Shape
from kedja.nn.layers.numbers import whole
from kedja.nn.layers.preprocessing.preprocessing import Preprocessing
from kedja.ops import cast, one_hot, reshape, take
from kedja.ops import max as largest
from kedja.ops import sum as total

__all__ = ["CategoryEmbedding", "CategoryEncoding", "OneHot", "in_order"]

MODES = ("one_hot", "multi_hot", "count", "ordinal")
UNKNOWN = ("column", "zeros", "error")
MISSING = ""  # the category of cells without a value


def in_order(labels: Iterable[str]) -> list[str]:
    """Names of categories: numbers by size, anything else by letter.

    >>> in_order(["10", "9"]), in_order(["10", "9", "x"])
    (['9', '10'], ['10', '9', 'x'])
    """
    found = sorted(labels)
    try:
        return sorted(found, key=float)
    except ValueError:
        return found


class _OfCategories(Preprocessing):
    """A layer that knows categories by name."""

    unknown = "column"

    def __init__(self, categories: Any, min_count: int, name: str | None, dtype: Any) -> None:
        super().__init__(name, dtype)
        self.min_count = whole(f"{type(self).__name__}: min_count is how often a category must be met", min_count)
        self.categories: list[str] | None = None
        if categories is not None:
            self._know([label_of(float(c) if isinstance(c, int | np.number) else c) for c in categories])

    def _know(self, categories: list[str]) -> None:
        twice = [c for c, n in Counter(categories).items() if n > 1]
        if twice or not categories:
            what = f"the category {twice[0]!r} is named twice" if twice else "there is no category"
            raise DataError(f"{type(self).__name__}: {what}")
        self.categories = categories
        self._arguments["categories"] = categories

    @property
    def adapted(self) -> bool:
        return self.categories is not None

    @property
    def codes(self) -> int:
        """How many codes there are: the known categories, and 0."""
        if self.categories is None:
            raise DataError(
                f"{self.title}: it knows no categories yet: give them, CategoryEncoding(['red', 'green']), or "
                "adapt(values) it to the training rows"
            )
        return len(self.categories) + 1

    def adapt(self, values: Any) -> Any:
        """Learn the categories from training rows: those met `min_count` times or more, in order. Returns itself."""
        counts = Counter(MISSING if v is None else v for v in self._labels(values).ravel())
        kept = [label for label, n in counts.items() if n >= self.min_count]
        if not kept:
            raise DataError(
                f"{self.title}: no category occurs {self.min_count} times or more in {sum(counts.values())} values"
            )
        self._know(in_order(kept))
        return self

    def encode(self, values: Any, name: str = "x") -> NDArray[np.int64]:
        """The codes of categories, in the shape they came in: 0 for one that was not seen in training.

        >>> CategoryEncoding(["green", "red"]).encode(["red", "blue", "green"]).tolist()
        [2, 0, 1]
        """
        assert self.codes
        code = {label: number for number, label in enumerate(self.categories or (), 1)}
        labels = self._labels(values)
        found = np.array([code.get(MISSING if v is None else v, 0) for v in labels.ravel()], np.int64)
        if self.unknown == "error" and not found.all():
            row = int(np.argmin(found))
            known = ", ".join(map(repr, (self.categories or [])[:8]))
            raise DataError(
                f"{self.title}: {name} has the category {labels.ravel()[row]!r} in row "
                f"{row // max(1, labels.size // len(labels))} (counting from 0), and knows {known}. "
                'unknown="zeros" lets it pass.'
            )
        return found.reshape(labels.shape)

    def _labels(self, values: Any) -> NDArray[Any]:
        """The names of categories, one or several in a row."""
        if is_table(values):
            columns = list(as_columns(values).values())
        else:
            array = np.asarray(values)
            if array.dtype.kind in "SU" and not isinstance(values, np.ndarray):
                array = np.asarray(values, object)  # of a list with text and numbers NumPy makes text of them all
            if array.ndim not in (1, 2):
                raise ShapeError(f"{self.title}: takes (n,) or (n, k) categories, got the shape {array.shape}")
            if array.ndim == 1:
                return np.array(labels_of(cells_of("x", array)), object)
            columns = [cells_of(f"x[:, {i}]", column) for i, column in enumerate(array.T)]
        return np.stack([np.array(labels_of(column), object) for column in columns], axis=1)

    def _input(self, x: Any) -> Any:
        if isinstance(x, Tensor):
            return x
        return super()._input(self.encode(x))  # what is no tensor holds names


class CategoryEncoding(_OfCategories):
    """y = e(c) for the code c of a category: one-hot, multi-hot, counts or the code itself.

    With "one_hot" e has a 1 at the place of the category; several columns are coded side by side. "multi_hot" puts all
    categories of a row in one vector with a 1 for each that is there, "count" with their number; "ordinal" is the
    number of the category, where their order means something. Numbers as categories are known by what they look like:
    3, 3.0 and "3" are one. Missing values (None, NaN) are a category if there were some in training.

    `unknown` says what becomes of a category that training did not have: with "column" it has a place of its own, the
    first (where categories met less than `min_count` times have trained it); with "zeros" it has none; "error" refuses.

    Shapes: names (n,) or (n, k), on the graph their codes 0 … m → "one_hot" (n, k·w), "multi_hot" and "count" (n, w),
    "ordinal" as the codes; w = m + 1, without a place for the unknown m. Derivative: none, codes are whole numbers.
    Raises DataError for a category that is named twice, and where nothing was given and nothing adapted.
    Source: scope 6.

    >>> import kedja as kj
    >>> layer = kj.nn.CategoryEncoding(unknown="zeros").adapt(["red", "green", "red"])
    >>> layer.categories, layer(["red", "blue"]).numpy().tolist()
    (['green', 'red'], [[0.0, 1.0], [0.0, 0.0]])
    """

    def __init__(
        self, categories: Any = None, mode: str = "one_hot", *, unknown: str = "column", min_count: int = 1,
        name: str | None = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(categories, min_count, name, dtype)
        if mode not in MODES:
            raise one_of("mode", mode, MODES)
        if unknown not in UNKNOWN:
            raise one_of("unknown", unknown, UNKNOWN)
        self.mode, self.unknown = mode, unknown

    def build(self, x: Shape) -> None:
        expect_rows(self.title, x)

    def call(self, x: Tensor) -> Tensor:
        dtype = x.dtype if is_float(x.dtype) else self.dtype or get_default_dtype()
        if self.mode == "ordinal":
            return cast(x, dtype)
        codes = self.codes
        if self.unknown == "column":
            hot = one_hot(whole_numbers(x), codes, dtype)
        else:
            hot = one_hot(whole_numbers(x) - 1, codes - 1, dtype)  # −1 is no place: nothing is 1
        if self.mode == "one_hot" or x.ndim == 1:
            return side_by_side(hot, x)
        return total(hot, 1) if self.mode == "count" else largest(hot, 1)


class OneHot(Preprocessing):
    """y = e_x, the unit vector with a 1 at the place x, for whole numbers x from 0 to classes − 1.

    For categories with names, or numbers with gaps, there is `CategoryEncoding`.
    Shapes: x (n,) → y (n, classes); x (n, k) → y (n, k·classes), side by side. Derivative: none, x is whole.
    Raises DataError for numbers outside 0 … classes − 1 where rows enter a model; on the graph such a row is all 0.
    Source: scope 6.

    >>> import kedja as kj
    >>> OneHot(3)(kj.tensor([2, 0])).numpy().tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """

    def __init__(self, classes: int, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, dtype)
        self.classes = whole("OneHot: classes is how many different numbers there are", classes)

    def build(self, x: Shape) -> None:
        expect_rows(self.title, x)

    def encode(self, values: Any, name: str = "x") -> Any:
        """The same rows, when all of them are numbers from 0 to classes − 1."""
        array = np.asarray(values)
        if array.dtype.kind in "iuf":
            wrong = ~((array >= 0) & (array < self.classes)) | (array != np.floor(array))
            if wrong.any():
                place = tuple(int(i) for i in np.unravel_index(int(np.argmax(wrong)), wrong.shape))
                raise DataError(
                    f"{self.title}: {name} has {array[place]:g} in row {place[0]} (counting from 0); whole numbers "
                    f"from 0 to {self.classes - 1} are expected. CategoryEncoding codes any others."
                )
        return values

    def call(self, x: Tensor) -> Tensor:
        dtype = x.dtype if is_float(x.dtype) else self.dtype or get_default_dtype()
        return side_by_side(one_hot(whole_numbers(x), self.classes, dtype), x)


class CategoryEmbedding(_OfCategories):
    """y = E[c]: for the code c of a category its row of a learned table, where there are too many for one-hot vectors.

    Row 0 is for categories that training did not have; those met less than `min_count` times have trained it. Without
    `units` a vector has 1.6·m^0.56 numbers (50 at most), as fast.ai found to do well.

    Shapes: names (n,) or (n, k), on the graph their codes 0 … m → y (n, k·units); E (m + 1, units).
    Derivative: ∂J/∂E[i] = Σ ∂J/∂y over the places where c = i; none by c.
    Source: Guo & Berkhahn 2016, "Entity embeddings of categorical variables".

    >>> import kedja as kj
    >>> kj.nn.CategoryEmbedding(units=3).adapt(["red", "green"])(["red", "blue"]).shape
    (2, 3)
    """

    def __init__(
        self, categories: Any = None, units: int | None = None, *, min_count: int = 1, init: Any = "uniform",
        regularizer: Any = None, name: str | None = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(categories, min_count, name, dtype)
        self.units = None if units is None else whole("CategoryEmbedding: units is how long a vector is", units)
        self.init, self.regularizer = init, regularizer

    def build(self, x: Shape) -> None:
        expect_rows(self.title, x)
        units = self.units or min(50, round(1.6 * (self.codes - 1) ** 0.56))
        self.table = self.parameter("table", (self.codes, units), self.init, regularizer=self.regularizer)

    def call(self, x: Tensor) -> Tensor:
        return side_by_side(take(self.table, whole_numbers(x)), x)


def expect_rows(title: str, x: Shape) -> None:
    """Refuse what is not one code a row, or several."""
    if len(x) not in (1, 2):
        raise ShapeError(f"{title}: takes (n,) or (n, k) codes, got the shape {x}")


def whole_numbers(x: Tensor) -> Tensor:
    """Codes that arrive as floats, as rows of a model do, as the integers they are."""
    return cast(x, "int32") if is_float(x.dtype) or x.dtype.kind == "b" else x


def side_by_side(vectors: Tensor, x: Tensor) -> Tensor:
    """(n, k, m) → (n, k·m), (n, m) stays."""
    return vectors if x.ndim == 1 else reshape(vectors, (x.shape[0], x.shape[1] * vectors.shape[-1]))
