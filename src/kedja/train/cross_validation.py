"""Cross-validation: how well a network does on rows it has not seen, and how far that figure can be trusted."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from kedja.data.columns import rows_of
from kedja.data.folds import fold_rows, labels
from kedja.errors import DataError
from kedja.nn import losses
from kedja.nn.layers.preprocessing import Preprocessing
from kedja.nn.model import Module
from kedja.train.copying import draw_anew, made_by
from kedja.train.figure import INK, panels_of, tidy
from kedja.train.history import History
from kedja.train.parts import unpacked
from kedja.train.progress import progress
from kedja.train.training import training_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["CrossValidation", "cross_validate"]

Array = np.ndarray[Any, Any]


@dataclass
class CrossValidation:
    """What came out: `folds[k]` are the figures of fold k on its own test rows, `mean` and `std` are over the folds.

    `std` divides by folds − 1. `train` are the same figures on the rows learned from; `predictions` holds for each row
    what the model said that had not seen it (None where rows are in order: the first are never tested).
    """

    folds: list[dict[str, float]]
    train: list[dict[str, float]]
    rows: list[tuple[Array, Array]]
    histories: list[History] = field(default_factory=list)
    predictions: Array | None = None

    @property
    def names(self) -> list[str]:
        """What was measured."""
        return list(self.folds[0])

    @property
    def mean(self) -> dict[str, float]:
        """The mean of each figure over the folds."""
        return {name: float(np.mean(self[name])) for name in self.names}

    @property
    def std(self) -> dict[str, float]:
        """The standard deviation of each figure over the folds."""
        return {name: float(np.std(self[name], ddof=1)) for name in self.names}

    def __getitem__(self, name: str) -> Array:
        """A figure in every fold."""
        return np.array([fold[name] for fold in self.folds])

    def __len__(self) -> int:
        return len(self.folds)

    def __repr__(self) -> str:
        width = max(map(len, self.names))
        lines = [f"CrossValidation: {len(self)} folds, {', '.join(str(len(test)) for _, test in self.rows)} test rows"]
        for name in self.names:
            each = ", ".join(f"{value:.4g}" for value in self[name])
            lines.append(f"  {name:<{width}}  {self.mean[name]:.4g} ± {self.std[name]:.2g}   ({each})")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data."""
        return {"folds": self.folds, "train": self.train, "mean": self.mean, "std": self.std}

    def plot(self, path: str | os.PathLike[str] | None = None, ax: Any = None) -> Figure:
        """A panel for each figure: a dot for each fold, training and test, a band of mean ± std; returns the Figure."""
        figure, panels = panels_of(len(self.names), ax)
        places = np.arange(1, len(self) + 1)
        for panel, name in zip(panels, self.names, strict=False):
            mean, std = self.mean[name], self.std[name]
            panel.axhspan(mean - std, mean + std, color=INK["validation"], alpha=0.12, linewidth=0)
            panel.axhline(mean, color=INK["validation"], linewidth=1)
            panel.plot(places, [t[name] for t in self.train], "o", color=INK["training"], label="training")
            panel.plot(places, self[name], "o", color=INK["validation"], label="test")
            panel.set_xticks(places)
            panel.set_xlabel("fold")
            tidy(panel, f"{name}  {mean:.3g} ± {std:.2g}")
        panels[0].legend(frameon=False)
        if path is not None:
            figure.savefig(path, dpi=150)
        return figure


def cross_validate(
    net: Module | Callable[..., Module], x: Any, y: Any = None, *, folds: int | Sequence[tuple[Any, Any]] = 5,
    stratify: Any = None, groups: Any = None, in_order: bool = False, seed: int = 0, verbose: int | None = None,
    **how: Any,
) -> CrossValidation:  # fmt: skip
    """Train and test as many times as there are `folds`, each time on other rows; returns the figures of every fold.

    `net` is a model, which stays as it is, or a function that makes one. Each fold begins with fresh weights (of seed
    `seed` + k; frozen layers keep theirs), and preprocessing layers are adapted to its training rows alone. Classes
    keep their proportions where every class has enough rows (`stratify=True` insists, an array names other labels,
    False leaves it); `groups` keeps rows of one group together; `in_order=True` tests on what comes later. `folds` may
    also be a list of (training rows, test rows). `how` is what `fit` takes: loss, optimizer, epochs, metrics and so on.

    Raises DataError for more folds than rows, groups or rows of a class. Source: Stone 1974; Kohavi 1995.

    >>> import kedja as kj
    >>> x, y = kj.data.load("iris")
    >>> net = kj.Sequential([kj.nn.Normalize(), kj.nn.Dense(3)])
    >>> found = kj.cross_validate(net, x, y, folds=3, loss="cross_entropy", optimizer=kj.optim.Adam(0.1), epochs=20,
    ...                           metrics=["accuracy"])
    >>> len(found), found.mean["accuracy"] > 0.9
    (3, True)
    """
    make = made_by(net, "cross_validate")
    x, y = unpacked(x, y, model=net if isinstance(net, Module) else None)
    targets = np.asarray(y)
    n = len(targets)
    given = how.get("loss")
    had = training_of(net).loss if isinstance(net, Module) else None
    loss = losses.get(given) if given is not None else had
    if isinstance(folds, Sequence):
        rows = [(np.asarray(a, np.int64), np.asarray(b, np.int64)) for a, b in folds]
        for k, (learn, test) in enumerate(rows):
            if np.intersect1d(learn, test).size:
                raise DataError(f"fold {k} is tested on rows it learns from: row {np.intersect1d(learn, test)[0]}")
    else:
        by = stratified_by(stratify, targets, loss, folds, free=groups is None and not in_order)
        rows = fold_rows(n, folds, seed=seed, stratify=by, groups=groups, in_order=in_order)
    found = CrossValidation([], [], rows)
    weights, asking = how.pop("sample_weight", None), asking_of(how)
    said: list[Any] = []
    worker: Module | None = None
    with progress(len(rows), verbose=verbose) as bar:
        for k, (learn, test) in enumerate(rows):
            if worker is None or again(worker, net):
                worker = make(k)
                if isinstance(net, Module) and net.built:
                    forget(worker)
                    draw_anew(worker, seed + k)
            else:
                draw_anew(worker, seed + k)  # what was compiled for one fold serves the next
            part = {} if weights is None else {"sample_weight": np.asarray(weights)[learn]}
            history = worker.fit(taken(x, learn), targets[learn], seed=seed + k, verbose=0, **part, **how)
            found.histories.append(history)
            weigh = {} if weights is None else {"sample_weight": np.asarray(weights)[test]}
            found.folds.append(worker.evaluate(taken(x, test), targets[test], **weigh, **asking))
            found.train.append(worker.evaluate(taken(x, learn), targets[learn], **part, **asking))
            said.append(worker.predict(taken(x, test), **asking))
            bar.update(k + 1, values=found.folds[-1])
    every = np.concatenate([test for _, test in rows])
    if len(every) == n and len(np.unique(every)) == n and all(isinstance(s, np.ndarray) for s in said):
        whole = np.concatenate(said)
        found.predictions = np.empty_like(whole)
        found.predictions[every] = whole
    return found


def stratified_by(stratify: Any, y: Array, loss: Any, folds: int, free: bool) -> Any:
    """The labels whose proportions are kept: those given, those of the classes where that can be done, or None."""
    if isinstance(stratify, bool | None):
        classes = y.dtype.kind in "iubOU" and y.size == len(y)
        if stratify is False or (stratify is None and not (free and classes and labelled(loss))):
            return None
        if stratify and not classes:
            raise DataError("stratify=True needs one label a row in y; for other labels give them: stratify=labels")
        flat = y.reshape(len(y))
        enough = np.unique(flat, return_counts=True)[1].min() >= folds if isinstance(folds, int) and len(y) else False
        return flat if stratify or enough else None
    labels(stratify, len(y), "stratify")
    return stratify


def labelled(loss: Any) -> bool:
    """Whether the loss is one of classes."""
    return loss is not None and loss.name in ("cross_entropy", "binary_cross_entropy", "hinge", "squared_hinge")


def taken(x: Any, rows: Array) -> Any:
    """Some rows of an array, a table, or each of several inputs."""
    return tuple(rows_of(part, rows) for part in x) if isinstance(x, tuple) else rows_of(x, rows)


def asking_of(how: Mapping[str, Any]) -> dict[str, Any]:
    """What `evaluate` and `predict` are told too of what `fit` is told: a network is judged as it learned."""
    return {name: how[name] for name in ("engine", "kernels") if name in how}


def again(worker: Module, net: Any) -> bool:
    """Whether the next fold needs a model of its own: it was made by a function, or adapts to its rows."""
    return not isinstance(net, Module) or any(adapting(layer) for _, layer in worker.layers_by_path())


def adapting(layer: Any) -> bool:
    """Whether a layer adapts itself to the rows that are learned from."""
    return isinstance(layer, Preprocessing) or hasattr(layer, "adapted")


def forget(model: Module) -> None:
    """A copy of a trained model whose preprocessing has not seen any rows."""
    for path, layer in model.layers_by_path():
        if adapting(layer) and layer.adapted:
            raise DataError(
                f'"{path}" is adapted to rows already, perhaps test rows among them: give cross_validate a function '
                "that makes the model, or one that is not built yet"
            )
