"""Columns: the front of a model that takes raw rows of a table, by the names of their columns (scope 6)."""

from __future__ import annotations

import dataclasses
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kedja.data.check import unresolved
from kedja.data.columns import as_columns, days_of, is_missing, is_table, kind_of, labels_of, names_of, numbers_of
from kedja.errors import DataError, ShapeError, UnknownNameError, one_of
from kedja.graph.node import Tensor
from kedja.graph.shapes import Shape
from kedja.nn.layers.preprocessing.categories import MISSING, CategoryEmbedding, CategoryEncoding
from kedja.nn.layers.preprocessing.impute import Impute
from kedja.nn.layers.preprocessing.preprocessing import Preprocessing
from kedja.nn.layers.scaling import Normalize
from kedja.ops import concatenate, cos, sin, take

__all__ = ["Column", "Columns"]

KINDS = ("number", "category", "date", "nothing")
MOST_ONE_HOT = 30  # categories; more get learned vectors
YEAR = 365.2425
ENOUGH_OF_A_YEAR = 300.0  # days a column must span before the season is told apart from the trend
NOT_YET = "it knows no columns yet: fit the model, or adapt(table) it to training rows"
RARE = 2  # a category met less often is one of the others


@dataclass(frozen=True)
class Column:
    """What is done with one column: its kind, why it is left out, what is taken off it, its categories."""

    name: str
    kind: str
    why: str = ""
    offset: float = 0.0
    missing: bool = False
    seasons: bool = False
    categories: tuple[str, ...] = ()
    others: bool = False

    @property
    def outputs(self) -> list[str]:
        """The names of the numbers made of it on the graph, without indicators."""
        if self.kind == "category":
            if len(self.categories) > MOST_ONE_HOT:
                return [self.name]
            named = [f"{self.name} = {category or '(missing)'}" for category in self.categories]
            return [f"{self.name} = (other)", *named] if self.others else named
        return [self.name] if self.kind != "nothing" else []

    def told(self, strategy: str) -> str:
        """The treatment in words."""
        if self.kind == "nothing":
            return f"left out: {self.why}"
        if self.kind == "category":
            empty = MISSING in self.categories
            several = f"{len(self.categories) - empty} categories" + (" and a missing one" if empty else "")
            how = "one-hot" if len(self.categories) <= MOST_ONE_HOT else "learned vectors"
            return f"{several}, {how}" + (", rare ones together" if self.others else "")
        found = "standardised" if self.kind == "number" else "date: days, standardised"
        found += ", with the season" if self.seasons else ""
        found += ", an offset taken off first" if self.kind == "number" and self.offset else ""
        return found + (f", missing: {strategy.replace('_', ' ')} and an indicator" if self.missing else "")


class Columns(Preprocessing):
    """y = the columns of a table side by side, each as numbers a network learns well from.

    A number is imputed (`missing`: "median", "mean", "most_frequent" or "constant", with an indicator when some were
    missing in training) and standardised, (x − mean) / std. A category is one-hot, or a learned vector when there are
    more than 30; one met only once in training shares a place with the other rare ones, and with those of later rows
    that nobody has seen. A date is the days since the median one, standardised, with sin and cos of the season when the
    dates span a year. What says nothing is left out: a column with one value, or text that is another in each row.
    `kinds` decides otherwise, by name: {"zip": "category", "id": "nothing"}.

    Everything is learned by `adapt` from training rows (`fit` does it, on the rows it learns from) and saved with the
    model. Later rows are matched by the names of their columns: any order, further columns are passed over, a missing
    one is named in the error. An array instead of a table is taken as what `encode` gives.

    Shapes: a table of n rows, on the graph its codes (n, columns used) → y (n, width).
    Derivative: ∂J/∂x = ∂J/∂y / std for numbers that are there, 0 for missing ones and for categories.
    Raises DataError, naming row and column. Source: scope 6.

    >>> import kedja as kj
    >>> table = {"area": [50, 70, None], "town": ["Lund", "Umeå", "Lund"], "planet": ["Earth"] * 3}
    >>> front = kj.nn.Columns().adapt(table)
    >>> print(front.treatments)
    area    number    standardised, missing: median and an indicator
    town    category  2 categories, one-hot
    planet  nothing   left out: every row has Earth
    >>> front({"town": ["Paris"], "area": [60]}).numpy().tolist()
    [[0.0, 0.0, 0.0, 0.0]]
    """

    takes_missing = True

    def __init__(
        self, kinds: Mapping[str, str] | None = None, *, missing: str = "median", name: str | None = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(name, dtype)
        self.kinds = dict(kinds or {})
        for column, kind in self.kinds.items():
            if kind not in KINDS:
                raise one_of(f"kind for the column {column!r}", kind, KINDS)
        self.missing = missing
        self.impute, self.scale = Impute(missing), Normalize()
        self.encodings: list[Preprocessing] = []
        self._columns: tuple[Column, ...] = ()
        self._passed_over: set[str] = set()

    # --- what is known of the columns -------------------------------------------------------------------------------
    @property
    def columns(self) -> tuple[Column, ...]:
        """What is done with each column."""
        return self._columns

    @property
    def adapted(self) -> bool:
        return bool(self._columns)

    @property
    def names(self) -> list[str]:
        """The columns that rows must have."""
        return [c.name for c in self._columns if c.kind != "nothing"]

    @property
    def outputs(self) -> list[str]:
        """What each number of y is: the name of a column, of a category, or of an indicator."""
        amounts = [c for c in self._columns if c.kind in ("number", "date")]
        found = [c.name for c in amounts] + [f"{c.name} (missing)" for c in amounts if c.missing]
        found += [f"{c.name} ({wave})" for wave in ("sin", "cos") for c in amounts if c.seasons]
        for column, encoding in zip([c for c in self._columns if c.kind == "category"], self.encodings, strict=True):
            if isinstance(encoding, CategoryEmbedding):
                found += [f"{column.name} ({i + 1})" for i in range(encoding.table.shape[1])]
            else:
                found += column.outputs
        return found

    @property
    def treatments(self) -> Treatments:
        """A table of what is done with each column."""
        return Treatments([(c.name, c.kind, c.told(self.missing)) for c in self._columns])

    # --- learning them ----------------------------------------------------------------------------------------------
    def adapt(self, values: Any) -> Columns:
        """Learn kinds, categories, fill values, means and deviations from training rows. Returns the layer itself."""
        if not is_table(values):
            raise DataError(
                f"{self.title}: takes a table with named columns (a dict of columns, a list of dicts, a data frame), "
                f"got {type(values).__name__}"
            )
        columns = as_columns(values)
        for name in self.kinds:
            if name not in columns:
                raise one_of("column", name, columns)
        place = getattr(values, "place", None)
        found = tuple(self._studied(name, cells, place) for name, cells in columns.items())
        if all(c.kind == "nothing" for c in found):
            raise DataError(
                f"{self.title}: no column says anything: " + "; ".join(f"{c.name!r}, {c.why}" for c in found)
            )
        self._furnish(found)
        codes = self.encode(values)
        which = self._amounts()
        if len(which):
            block = codes[:, which]
            self.impute.adapt(block)
            self.scale.adapt(np.where(np.isnan(block), np.asarray(self.impute.values.value, np.float64), block))
        return self

    def _studied(self, name: str, cells: NDArray[Any], place: Any) -> Column:
        kind, why = kind_of(cells)
        asked = self.kinds.get(name)
        if asked == "nothing" or (asked is None and kind == "nothing"):
            return Column(name, "nothing", "as asked" if asked else why)
        kind = asked or kind
        missing = bool(is_missing(cells).any())
        if missing and bool(is_missing(cells).all()):
            return Column(name, "nothing", "no row has a value")
        if kind == "category":
            counts = Counter(MISSING if label is None else label for label in labels_of(cells))
            met = CategoryEncoding().adapt(list(counts)).categories or []
            often = [category for category in met if counts[category] >= RARE]
            # With almost nothing but rare ones, each keeps its own place; those of later rows have none.
            kept = often if len(often) >= 2 else met
            others = len(kept) < len(met) or len(kept) > MOST_ONE_HOT
            return Column(name, kind, missing=missing, categories=tuple(kept), others=others)
        if kind == "date":
            days = days_of(name, cells, place)
            known = days[~np.isnan(days)]
            seasons = bool(np.ptp(known) >= ENOUGH_OF_A_YEAR)
            return Column(name, kind, offset=float(np.floor(np.median(known))), missing=missing, seasons=seasons)
        values = numbers_of(name, cells, place)
        known = values[~np.isnan(values)]
        # Large numbers that differ little (identifiers, time stamps) would be one number in float32.
        offset = float(np.median(known)) if unresolved(known[:, None], np.float32) is not None else 0.0
        return Column(name, kind, offset=offset, missing=missing)

    def _furnish(self, columns: tuple[Column, ...]) -> None:
        """The layers inside, for these columns; their numbers come from `adapt` or from a file."""
        self._columns = columns
        amounts = [c for c in columns if c.kind in ("number", "date")]
        indicated = [i for i, c in enumerate(amounts) if c.missing]
        self.impute = Impute(self.missing, indicator=indicated, dtype=self.dtype)
        self.scale = Normalize(dtype=self.dtype)
        self.encodings = [
            CategoryEncoding(c.categories, unknown="column" if c.others else "zeros", dtype=self.dtype)
            if len(c.categories) <= MOST_ONE_HOT
            else CategoryEmbedding(c.categories, dtype=self.dtype)
            for c in columns
            if c.kind == "category"
        ]

    def _amounts(self) -> NDArray[np.int64]:
        """Which of the columns used are numbers or dates."""
        used = [c for c in self._columns if c.kind != "nothing"]
        return np.array([i for i, c in enumerate(used) if c.kind != "category"], np.int64)

    # --- raw rows ---------------------------------------------------------------------------------------------------
    def encode(self, values: Any, name: str = "x") -> NDArray[np.float64]:
        """Raw rows as numbers (n, columns used): NaN for a missing number, a code for a category, days for a date."""
        if not is_table(values):
            return values  # type: ignore[no-any-return]  # codes already, or for the checks of arrays to refuse
        if not self._columns:
            raise DataError(f"{self.title}: {NOT_YET}")
        self._expect(values, name)
        columns = as_columns(values, only=self.names)
        place = getattr(values, "place", None)
        encodings = iter(self.encodings)
        coded = [
            self._coded(c, columns[c.name], next(encodings) if c.kind == "category" else None, place)
            for c in self._columns
            if c.kind != "nothing"
        ]
        return np.stack(coded, axis=1)

    def _coded(self, column: Column, cells: Any, encoding: Preprocessing | None, place: Any) -> NDArray[np.float64]:
        if encoding is not None:
            return np.asarray(encoding.encode(cells), np.float64)
        numbers = (days_of if column.kind == "date" else numbers_of)(column.name, cells, place)
        return numbers - column.offset

    def _expect(self, values: Any, name: str) -> None:
        """Name the columns that are not there; note, once, those nobody asked for."""
        there = names_of(values) or list(as_columns(values))
        lacking = [needed for needed in self.names if needed not in there]
        if lacking:
            said = str(one_of("column", lacking[0], there)).removeprefix("unknown column").strip()
            others = f" ({len(lacking)} are missing in all: {', '.join(lacking[:8])}.)" if len(lacking) > 1 else ""
            raise UnknownNameError(f"{name} lacks the column {said}{others}")
        further = set(there) - {c.name for c in self._columns} - self._passed_over
        if further:
            self._passed_over |= further
            shown = ", ".join(sorted(further)[:8]) + (" …" if len(further) > 8 else "")
            warnings.warn(f"columns the model was not trained with are passed over: {shown}", stacklevel=6)

    def _input(self, x: Any) -> Any:
        if isinstance(x, Tensor):
            return x
        return super()._input(self.encode(x))

    # --- on the graph -----------------------------------------------------------------------------------------------
    def build(self, x: Shape) -> None:
        used = len(self.names)
        if not self._columns:
            raise DataError(f"{self.title}: {NOT_YET}")
        if len(x) != 2 or x[1] != used:
            names = ", ".join(self.names[:8])
            raise ShapeError(f"{self.title}: takes rows of {used} columns ({names}), got shape {x}")

    def call(self, x: Tensor) -> Tensor:
        return concatenate(list(self._blocks(x)), axis=-1)

    def _blocks(self, x: Tensor) -> Iterator[Tensor]:
        which = self._amounts()
        if len(which):
            filled = self.impute(take(x, which, axis=1))
            amounts = filled[:, : len(which)]
            yield self.scale(amounts)
            if filled.shape[1] > len(which):
                yield filled[:, len(which) :]
            dates = [c for c in self._columns if c.kind in ("number", "date")]
            seasons = [i for i, c in enumerate(dates) if c.seasons]
            if seasons:
                angle = take(amounts, np.array(seasons, np.int64), axis=1) * (2 * np.pi / YEAR)
                yield from (sin(angle), cos(angle))
        used = [c for c in self._columns if c.kind != "nothing"]
        coded = [i for i, c in enumerate(used) if c.kind == "category"]
        for i, encoding in zip(coded, self.encodings, strict=True):
            yield encoding(x[:, i : i + 1])

    # --- files ------------------------------------------------------------------------------------------------------
    def to_config(self) -> dict[str, Any]:
        """What it was made with, and the columns as they are known."""
        columns = [{**dataclasses.asdict(c), "categories": list(c.categories)} for c in self._columns]
        own = {k: dict(v) if isinstance(v, Mapping) else v for k, v in self._arguments.items()}
        return {**own, "columns": columns}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], classes: Any = None) -> Columns:
        """Made again from plain data."""
        layer = cls(**{k: v for k, v in config.items() if k != "columns"})
        known = tuple(Column(**{**c, "categories": tuple(c["categories"])}) for c in config["columns"])
        if known:
            layer._furnish(known)
        return layer


@dataclass(frozen=True)
class Treatments:
    """What is done with each column, as a table: `str` for a terminal, HTML in a notebook."""

    rows: Sequence[tuple[str, str, str]]

    def __str__(self) -> str:
        widths = [max((len(row[i]) for row in self.rows), default=0) for i in (0, 1)]
        return "\n".join(f"{a:{widths[0]}}  {b:{widths[1]}}  {c}" for a, b, c in self.rows)

    __repr__ = __str__

    def markdown(self) -> str:
        """As a Markdown table."""
        lines = ["| column | kind | treatment |", "|---|---|---|"]
        return "\n".join(lines + ["| " + " | ".join(c.replace("|", "\\|") for c in row) + " |" for row in self.rows])

    def to_dict(self) -> dict[str, dict[str, str]]:
        """As plain data: column → kind and treatment."""
        return {name: {"kind": kind, "treatment": told} for name, kind, told in self.rows}

    def _repr_html_(self) -> str:
        from html import escape

        head = "".join(f"<th>{word}</th>" for word in ("column", "kind", "treatment"))
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in self.rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
