"""What a training run was: one row of numbers per epoch, why it stopped, how long it took."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kedja.errors import DataError, FormatError, KedjaError, ShapeError, one_of

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["History"]

NEITHER_GOOD_NOR_BAD = ("learning_rate", "penalty", "gradient_norm", "evaluations")  # they say how a run went
# A metric whose name holds one of these words is better when it is larger; every other one when it is smaller.
LARGER_IS_BETTER = ("accuracy", "precision", "recall", "f1", "auc", "mcc", "r2", "score", "likelihood")


def larger_is_better(name: str) -> bool:
    """Whether a metric of this name is better when it is larger.

    >>> larger_is_better("val_accuracy"), larger_is_better("loss")
    (True, False)
    """
    return any(word in name.lower() for word in LARGER_IS_BETTER)


class History:
    """The record of a run that `fit` returns: metrics by name, one value per epoch.

    Metrics named ``"val_…"`` are those of the validation rows. A metric that was not measured in an epoch is nan
    there. Epoch numbers only rise. The columns grow in place, so appending costs the same at any length.

    >>> history = History(stopped="ran all 3 epochs")
    >>> history.append(1, {"loss": 0.9, "val_loss": 1.0})
    >>> history.extend([2, 3], {"loss": [0.5, 0.4], "val_loss": [0.7, 0.8]})
    >>> history["loss"]
    array([0.9, 0.5, 0.4])
    >>> history.best("val_loss")
    (2, 0.7)
    >>> history
    History: 3 epochs, ran all 3 epochs
      loss      0.9 → 0.4  best 0.4 at epoch 3
      val_loss  1 → 0.8    best 0.7 at epoch 2
    """

    def __init__(
        self,
        *,
        stopped: str = "",
        seconds: float = 0.0,
        steps: int = 0,
        seed: int | None = None,
        engine: str = "",
        compile_seconds: float = 0.0,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.stopped = stopped
        self.seconds = seconds
        self.steps = steps
        self.seed = seed
        self.engine = engine
        self.compile_seconds = compile_seconds
        self.settings: dict[str, Any] = dict(settings or {})
        self._length = 0
        self._epochs = np.zeros(16, dtype=np.int64)
        self._columns: dict[str, np.ndarray] = {}

    # --- writing ------------------------------------------------------------------------------------------------
    def append(self, epoch: int, values: Mapping[str, float]) -> None:
        """Add one epoch.

        >>> history = History()
        >>> history.append(1, {"loss": 0.25})
        >>> history.metrics
        {'loss': [0.25]}
        """
        if epoch < 0 or (self._length and epoch <= self._epochs[self._length - 1]):
            raise self._not_rising(epoch)
        numbers = {_name(name): float(value) for name, value in values.items()}
        self._reserve(1, numbers)
        self._epochs[self._length] = epoch
        for name, value in numbers.items():
            self._columns[name][self._length] = value
        self._length += 1

    def extend(self, epochs: Sequence[int] | np.ndarray, arrays: Mapping[str, Sequence[float] | np.ndarray]) -> None:
        """Add many epochs at once: one array per metric, as long as `epochs`. No Python work per epoch.

        >>> history = History()
        >>> history.extend(range(1, 100_001), {"loss": np.linspace(1, 0, 100_000)})
        >>> len(history)
        100000
        """
        numbers = np.asarray(epochs)
        if numbers.ndim != 1 or (numbers.size and not np.issubdtype(numbers.dtype, np.integer)):
            raise DataError(f"epochs are a list of whole numbers; got shape {numbers.shape}, dtype {numbers.dtype}.")
        if numbers.size and self._length and numbers[0] <= self._epochs[self._length - 1]:
            raise self._not_rising(int(numbers[0]))
        if (np.diff(numbers) <= 0).any() or (numbers < 0).any():
            raise DataError("epoch numbers must rise from 0 or more; these do not. Number them on from the last one.")
        columns = {_name(name): np.asarray(values, dtype=np.float64) for name, values in arrays.items()}
        for name, column in columns.items():
            if column.shape != numbers.shape:
                raise ShapeError(f"{name!r} has shape {column.shape} for {numbers.size} epochs; give one value each.")
        self._reserve(numbers.size, columns)
        rows = slice(self._length, self._length + numbers.size)
        self._epochs[rows] = numbers
        for name, column in columns.items():
            self._columns[name][rows] = column
        self._length += numbers.size

    def merge(self, other: History) -> History:
        """This run continued by `other`, as a new History; also written ``first + second``.

        Epochs of `other` that do not come after this run's are numbered on from its last. Seconds and steps add
        up; the reason it stopped and the engine are the later run's, the seed is the one that drew the weights.

        >>> first, second = History(), History(stopped="ran all 1 epochs")
        >>> first.append(1, {"loss": 2.0}); second.append(1, {"loss": 1.0})
        >>> (first + second).epoch
        [1, 2]
        """
        if not isinstance(other, History):
            raise DataError(f"a History is continued by another History, not by {type(other).__name__}.")
        joined = History(
            stopped=other.stopped or self.stopped,
            seconds=self.seconds + other.seconds,
            steps=self.steps + other.steps,
            seed=other.seed if self.seed is None else self.seed,
            engine=other.engine or self.engine,
            compile_seconds=self.compile_seconds + other.compile_seconds,
            settings={**self.settings, **other.settings},
        )
        joined.extend(self["epoch"], {name: self[name] for name in self._columns})
        later = other["epoch"]
        if self._length and other._length and later[0] <= self._epochs[self._length - 1]:
            later = later + (self._epochs[self._length - 1] + 1 - later[0])
        joined.extend(later, {name: other[name] for name in other._columns})
        return joined

    def __add__(self, other: History) -> History:
        return self.merge(other) if isinstance(other, History) else NotImplemented

    def _reserve(self, more: int, names: Iterable[str]) -> None:
        """Room for `more` rows, doubling as needed; a metric that is new was nan until now."""
        capacity = self._epochs.size
        if self._length + more > capacity:
            capacity = max(2 * capacity, self._length + more)
            self._epochs = np.resize(self._epochs, capacity)
            for name, column in self._columns.items():
                self._columns[name] = np.full(capacity, np.nan)
                self._columns[name][: self._length] = column[: self._length]
        for name in names:
            if name not in self._columns:
                self._columns[name] = np.full(capacity, np.nan)

    def _not_rising(self, epoch: int) -> DataError:
        last = f"after epoch {self._epochs[self._length - 1]}" if self._length else "at the start"
        return DataError(f"epoch {epoch} {last}: numbers rise from 0 or more. Join two runs with first + second.")

    # --- reading ------------------------------------------------------------------------------------------------
    @property
    def epoch(self) -> list[int]:
        """The epoch numbers."""
        epochs: list[int] = self["epoch"].tolist()
        return epochs

    @property
    def metrics(self) -> dict[str, list[float]]:
        """Every metric by name, one value per epoch."""
        return {name: self[name].tolist() for name in self._columns}

    def __getitem__(self, name: str) -> np.ndarray:
        """The values of one metric (or of ``"epoch"``), read-only; later epochs do not show in it."""
        if name != "epoch" and name not in self._columns:
            raise one_of("metric", name, ["epoch", *self._columns])
        values = (self._epochs if name == "epoch" else self._columns[name])[: self._length]
        values.flags.writeable = False
        return values

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __len__(self) -> int:
        return self._length

    def __bool__(self) -> bool:
        return True  # a run of no epochs is still a History: `if history:` asks whether there is one

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, History):
            return NotImplemented
        return (
            self._head() == other._head()
            and np.array_equal(self["epoch"], other["epoch"])
            and self._columns.keys() == other._columns.keys()
            and all(np.array_equal(self[name], other[name], equal_nan=True) for name in self._columns)
        )

    __hash__ = None  # type: ignore[assignment]  # it grows

    def best(self, name: str = "loss", mode: str | None = None) -> tuple[int, float]:
        """The epoch where a metric was best, and its value there; the first one of equals.

        `mode` is ``"min"`` or ``"max"``; by itself, names such as accuracy, recall or r2 are best when largest and
        all others when smallest. Epochs with nan or infinity do not count.

        >>> history = History()
        >>> history.extend([1, 2, 3], {"accuracy": [0.5, 0.9, 0.8]})
        >>> history.best("accuracy")
        (2, 0.9)
        """
        if mode not in (None, "min", "max"):
            raise one_of("mode", mode, ["min", "max"])
        values = self[name]
        finite = np.flatnonzero(np.isfinite(values))
        if not finite.size:
            raise DataError(f"{name!r} has no finite value in {len(self)} epochs, so none is the best.")
        largest = mode == "max" or (mode is None and larger_is_better(name))
        row = finite[np.argmax(values[finite]) if largest else np.argmin(values[finite])]
        return int(self._epochs[row]), float(values[row])

    def panels(self) -> dict[str, list[str]]:
        """Which metrics are drawn together: each with its validation twin, the loss first.

        >>> history = History()
        >>> history.append(1, {"accuracy": 0.5, "loss": 1.0, "val_loss": 1.1})
        >>> history.panels()
        {'loss': ['loss', 'val_loss'], 'accuracy': ['accuracy']}
        """
        panels: dict[str, list[str]] = {}
        for name in sorted(self._columns, key=lambda name: name.startswith("val_")):
            panels.setdefault(name.removeprefix("val_"), []).append(name)
        return dict(sorted(panels.items(), key=lambda panel: panel[0] != "loss"))

    def __repr__(self) -> str:
        epochs = f"{len(self)} epoch{'' if len(self) == 1 else 's'}"
        time = f" in {self.seconds:.3g} s" if self.seconds else ""
        lines = [f"History: {epochs}{time}" + (f", {self.stopped}" if self.stopped else "")]
        width = max(map(len, self._columns), default=0)
        spans = {}
        for name in self._columns if len(self) else ():
            spans[name] = f"{self[name][0]:.4g} → {self[name][-1]:.4g}"
        for name, span in spans.items():
            line = f"  {name:<{width}}  {span:<{max(map(len, spans.values()))}}"
            if name not in NEITHER_GOOD_NOR_BAD and np.isfinite(self[name]).any():
                epoch, value = self.best(name)
                line += f"  best {value:.4g} at epoch {epoch}"
            lines.append(line.rstrip())
        return "\n".join(lines)

    # --- showing ------------------------------------------------------------------------------------------------
    def plot(
        self, path: str | os.PathLike[str] | None = None, ax: Axes | Sequence[Axes] | np.ndarray | None = None
    ) -> Figure:
        """The curves: loss and validation loss in one panel, each further metric in its own; returns the Figure.

        `path` also writes it to a file (.png, .svg, .pdf). With `ax`, one Axes or several, the first panels are
        drawn there. A loss that falls by more than two decades gets a logarithmic axis.
        """
        if not len(self):
            raise DataError("this History has no epochs, so there is nothing to plot.")
        try:
            import matplotlib
            from matplotlib.figure import Figure
        except ImportError as error:
            raise KedjaError('plot() draws with matplotlib, which is missing: pip install "kedja[plot]"') from error
        panels = self.panels()
        if ax is not None:
            axes = list(np.ravel(np.asarray(ax, dtype=object)))
            figure = axes[0].get_figure(root=True)
        else:
            columns = min(len(panels), 3)
            rows = math.ceil(len(panels) / columns)
            shape: dict[str, Any] = {"figsize": (1.2 + 4.2 * columns, 3.4 * rows), "layout": "constrained"}
            if path is not None:
                figure = Figure(**shape)  # a file alone needs no window and leaves nothing in pyplot
            else:
                import matplotlib.pyplot as plt

                figure = plt.figure(**shape)
                if "inline" in matplotlib.get_backend():
                    plt.close(figure)  # or a notebook would show it twice: once as the cell's value
            axes = [figure.add_subplot(rows, columns, place + 1) for place in range(len(panels))]
        for panel, (title, names) in zip(axes, panels.items(), strict=False):
            self._draw(panel, title, names)
        if path is not None:
            figure.savefig(path, dpi=150)
        return figure  # type: ignore[no-any-return, unused-ignore]

    def _draw(self, ax: Axes, title: str, names: Sequence[str]) -> None:
        for name in names:
            held_out = name.startswith("val_")
            shown = np.isfinite(self[name])  # a metric measured now and then is still one line
            ax.plot(
                self["epoch"][shown],
                self[name][shown],
                color="#d5700b" if held_out else "#2468b4",
                linestyle=(0, (5, 2)) if held_out else "-",
                linewidth=1.7,
                marker="o" if shown.sum() <= 12 else "",
                markersize=4,
                label="validation" if held_out else "training",
            )
        finite = np.concatenate([self[name][np.isfinite(self[name])] for name in names])
        if "loss" in title and finite.size and finite.min() > 0 and finite.max() > 100 * finite.min():
            ax.set_yscale("log")
        ax.set_title(title.replace("_", " "), loc="left", fontsize=11, fontweight="bold")
        ax.set_xlabel("epoch")
        ax.locator_params(axis="x", integer=True)
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="y", alpha=0.25, linewidth=0.8)
        ax.set_axisbelow(True)
        if len(names) > 1:
            ax.legend(frameon=False)

    # --- files --------------------------------------------------------------------------------------------------
    def to_pandas(self) -> pd.DataFrame:
        """A table with one row per epoch, indexed by the epoch's number."""
        try:
            import pandas as pd
        except ImportError as error:
            raise KedjaError('to_pandas() needs pandas, which is missing: pip install "kedja[pandas]"') from error
        index = pd.Index(self["epoch"].copy(), name="epoch")
        return pd.DataFrame({name: self[name].copy() for name in self._columns}, index=index)

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write one row per epoch; what was not measured is an empty cell."""
        import csv

        from kedja.files import write_whole

        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["epoch", *self._columns])
        for epoch, *values in zip(self.epoch, *self.metrics.values(), strict=True):
            writer.writerow([epoch, *("" if math.isnan(value) else repr(value) for value in values)])
        write_whole(path, out.getvalue())

    def to_jsonl(self, path: str | os.PathLike[str]) -> None:
        """Write a line about the run, then a line per epoch; nan and infinity become null, as JSON has neither."""
        from kedja.train.runfile import write_run

        write_run(path, self._head(), self.epoch, self.metrics)

    @classmethod
    def from_jsonl(cls, path: str | os.PathLike[str]) -> History:
        """Read what `to_jsonl` wrote; null reads back as nan."""
        from kedja.train.runfile import read_run

        head, epochs, columns = read_run(path)
        history = cls(**head)
        try:
            history.extend(epochs, columns)
        except DataError as error:
            raise FormatError(f"{os.fspath(path)} is not a kedja history: {error}") from error
        return history

    def _head(self) -> dict[str, Any]:
        from kedja.train.runfile import jsonable

        fields = ("stopped", "seconds", "steps", "seed", "engine", "compile_seconds", "settings")
        return {field: jsonable(getattr(self, field)) for field in fields}


def _name(name: str) -> str:
    if not isinstance(name, str) or not name or name == "epoch":
        raise DataError(f'a metric is named by a word other than "epoch"; got {name!r}.')
    return name
