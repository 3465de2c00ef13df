"""The confusion matrix: how many rows of each class were taken for which. A table, so no figure of `fit`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kedja.errors import DataError, KedjaError, one_of
from kedja.graph.node import Array, tensor
from kedja.train.metrics.metric import LINKS, arrays, classes_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Confusion", "confusion"]


def confusion(
    targets: Any, outputs: Any, weights: Any = None, *, labels: Sequence[Any] | None = None, link: str = "probabilities"
) -> Confusion:
    """How many rows of each class (down) were taken for which (across); with weights, how much they weigh.

    `targets` are labels (numbers or text) or one-hot rows; `outputs` are the labels decided for, as
    `net.predict_labels(x)` gives them, or what `net.predict(x)` gives. `labels` are the classes and their order; for
    classes numbered from 0 they may be their names. Equal to scikit-learn's confusion_matrix.

    >>> print(confusion([0, 0, 1, 1, 1], [0, 1, 1, 1, 0], labels=["no", "yes"]))
    true   no  yes
    no      1    1
    yes     1    2
    """
    if link not in LINKS:
        raise one_of("link", link, LINKS)
    t, y, w = arrays(targets, outputs, weights, "confusion")
    classes = None
    if y.dtype.kind == "f" and not (y.ndim == 1 and t.ndim == 1 and np.isin(y, t).all()):
        dtype = np.dtype(np.float64)
        t = t.astype(dtype) if t.dtype.kind == "f" else t
        true, found, classes = classes_of(
            tensor(t, dtype=t.dtype), tensor(y.astype(dtype), dtype=dtype), link, "confusion"
        )
        t, y = true.numpy(), found.numpy()
    elif t.ndim > 1 and t.shape[-1] > 1 and t.ndim == y.ndim + 1:
        classes, t = t.shape[-1], t.argmax(-1)
    t, y = t.reshape(len(t), -1), y.reshape(len(y), -1)
    if t.shape != y.shape:
        raise DataError(f"confusion: labels of shape {t.shape} do not fit decisions of shape {y.shape}")
    w = np.repeat(w, t.shape[1])
    t, y = t.reshape(-1), y.reshape(-1)
    known = np.unique(np.concatenate([t, y])) if classes is None else np.arange(classes)
    names = known.tolist()
    if labels is not None:
        names = list(labels)
        found_all = set(known.tolist()) <= set(names)
        if not found_all and known.dtype.kind in "iu" and known.min() >= 0 and known.max() < len(names):
            known = np.arange(len(names))  # the labels are names of the classes 0, 1, 2, …
        elif found_all:
            known = np.asarray(names)
        else:
            strange = next(c for c in known.tolist() if c not in names)
            raise DataError(f"confusion: class {strange!r} is in the data and not in labels={names!r}")
    order = np.argsort(known, kind="stable")
    places = [order[np.searchsorted(known, part, sorter=order)] for part in (t, y)]
    matrix = np.zeros((len(known), len(known)), np.float64 if weights is not None else np.int64)
    np.add.at(matrix, tuple(places), w if weights is not None else 1)
    return Confusion(matrix, names)


class Confusion:
    """A confusion matrix: rows are true classes, columns the classes decided for.

    >>> table = confusion([0, 0, 1, 1, 1], [0, 1, 1, 1, 0])
    >>> table.matrix.tolist(), table.normalised("true").matrix.round(2).tolist()
    ([[1, 1], [1, 2]], [[0.5, 0.5], [0.33, 0.67]])
    """

    def __init__(self, matrix: Array, labels: Sequence[Any]) -> None:
        self.matrix, self.labels = matrix, list(labels)
        if matrix.shape != (len(self.labels), len(self.labels)):
            raise DataError(f"a confusion matrix of shape {matrix.shape} has no place for {len(self.labels)} labels")

    def normalised(self, over: str = "true") -> Confusion:
        """As shares of the rows of each true class, of those "predicted" for each, or of "all"; 0 where there are none.

        >>> confusion([0, 0], [0, 1]).normalised("all").matrix.tolist()
        [[0.5, 0.5], [0.0, 0.0]]
        """
        if over not in ("true", "predicted", "all"):
            raise one_of("way to normalise", over, ("true", "predicted", "all"))
        axis = {"true": 1, "predicted": 0, "all": None}[over]
        whole = self.matrix.sum(axis=axis, keepdims=True)
        return Confusion(self.matrix / np.where(whole == 0, 1, whole), self.labels)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.matrix, dtype=dtype)

    def __str__(self) -> str:
        names = [str(label) for label in self.labels]
        whole = self.matrix.dtype.kind in "iu"
        cells = [[f"{v:d}" if whole else f"{v:.3g}" for v in row] for row in self.matrix.tolist()]
        left = max(len("true"), *map(len, names))
        widths = [max(len(n), *(len(row[j]) for row in cells)) for j, n in enumerate(names)]
        lines = [(("true", *names)), *((n, *row) for n, row in zip(names, cells))]
        return "\n".join(
            f"{first:<{left}}  " + "  ".join(f"{cell:>{width}}" for cell, width in zip(rest, widths))
            for first, *rest in lines
        )

    __repr__ = __str__

    def plot(self, path: str | os.PathLike[str] | None = None, ax: Axes | None = None) -> Figure:
        """The table in shades; returns the Figure. `path` also writes it to a file (.png, .svg, .pdf)."""
        try:
            import matplotlib
            from matplotlib.figure import Figure
        except ImportError as error:
            raise KedjaError('plot() draws with matplotlib, which is missing: pip install "kedja[plot]"') from error
        n = len(self.labels)
        if ax is None:
            shape: dict[str, Any] = {"figsize": (1.8 + 0.45 * n, 1.4 + 0.45 * n), "layout": "constrained"}
            if path is not None:
                figure = Figure(**shape)  # a file alone needs no window and leaves nothing in pyplot
            else:
                import matplotlib.pyplot as plt

                figure = plt.figure(**shape)
                if "inline" in matplotlib.get_backend():
                    plt.close(figure)  # or a notebook would show it twice: once as the cell's value
            ax = figure.add_subplot()
        else:
            figure = ax.get_figure(root=True)  # type: ignore[assignment]
        shares = self.normalised("true").matrix
        ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        ax.set_xticks(range(n), [str(label) for label in self.labels], rotation=45 if n > 6 else 0)
        ax.set_yticks(range(n), [str(label) for label in self.labels])
        ax.set_xlabel("decided for")
        ax.set_ylabel("true")
        for i, j in np.ndindex(n, n) if n <= 30 else ():
            cell = self.matrix[i, j]
            shown = f"{cell:d}" if self.matrix.dtype.kind in "iu" else f"{cell:.2g}"
            ax.text(j, i, shown, ha="center", va="center", color="white" if shares[i, j] > 0.5 else "#1c2733")
        if path is not None:
            figure.savefig(path, dpi=150)
        return figure
