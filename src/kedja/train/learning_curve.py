"""The learning curve: the error against the number of rows learned from. Does more data help (scope 5)?"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kedja.data.draws import permutation
from kedja.data.split import split_rows
from kedja.engines import asked
from kedja.errors import DataError, one_of
from kedja.nn import losses
from kedja.nn.model import Module
from kedja.train.copying import made_by
from kedja.train.cross_validation import adapting, asking_of, labelled, taken
from kedja.train.ensemble import Ensemble
from kedja.train.ensemble.fitting import Wish, fit_members
from kedja.train.figure import INK, panels_of, tidy
from kedja.train.parts import unpacked
from kedja.train.progress import progress
from kedja.train.training import training_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LearningCurve", "learning_curve"]

Array = np.ndarray[Any, Any]
_PREFIXES = 9  # the stream of random words that says which rows come first (data/draws.py)


@dataclass
class LearningCurve:
    """`train[name]` and `validation[name]`: a figure for every size and seed, (sizes, seeds)."""

    sizes: list[int]
    train: dict[str, Array]
    validation: dict[str, Array]

    @property
    def names(self) -> list[str]:
        """What was measured."""
        return list(self.validation)

    def mean(self, name: str = "loss") -> Array:
        """The mean over the seeds of a figure on the validation rows, for every size."""
        if name not in self.validation:
            raise one_of("figure", name, self.validation)
        found: Array = self.validation[name].mean(1)
        return found

    def __len__(self) -> int:
        return len(self.sizes)

    def __repr__(self) -> str:
        seeds = self.validation[self.names[0]].shape[1]
        lines = [f"LearningCurve: {seeds} seeds; mean ± std on the rows learned from → on validation rows"]
        for i, size in enumerate(self.sizes):
            told = (
                f"{name} {told_of(self.train[name][i])} → {told_of(self.validation[name][i])}" for name in self.names
            )
            lines.append(f"  {size:>7,} rows  {'   '.join(told)}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data."""
        both = {"train": self.train, "validation": self.validation}
        return {"sizes": self.sizes, **{k: {n: v.tolist() for n, v in f.items()} for k, f in both.items()}}

    def plot(self, path: str | os.PathLike[str] | None = None, ax: Any = None) -> Figure:
        """A panel for each figure: mean and band of ± std over the seeds against the rows; returns the Figure.

        Where the two curves have met, more rows of the same kind will not help; where they are apart, they will.
        """
        figure, panels = panels_of(len(self.names), ax)
        for panel, name in zip(panels, self.names, strict=False):
            for part, values in (("training", self.train[name]), ("validation", self.validation[name])):
                mean, std = values.mean(1), values.std(1)
                panel.fill_between(self.sizes, mean - std, mean + std, color=INK[part], alpha=0.15, linewidth=0)
                panel.plot(self.sizes, mean, "o-", color=INK[part], markersize=4, linewidth=1.7, label=part)
            panel.set_xlabel("rows learned from")
            tidy(panel, name)
        panels[0].legend(frameon=False)
        if path is not None:
            figure.savefig(path, dpi=150)
        return figure


def told_of(values: Array) -> str:
    """Mean and spread, short."""
    return f"{values.mean():.3g} ± {values.std():.1g}"


def learning_curve(
    net: Module | Callable[..., Module], x: Any, y: Any = None, *, sizes: Sequence[float] = (0.1, 0.2, 0.4, 0.7, 1.0),
    seeds: int = 3, validation: Any = 0.2, seed: int = 0, verbose: int | None = None, **how: Any,
) -> LearningCurve:  # fmt: skip
    """Train on more and more rows, from several seeds each; returns the figures on those rows and on validation rows.

    `sizes` are shares of the training rows, or numbers of them; a smaller set is part of the larger one of the same
    seed, and classes keep their proportions. `validation` is a share, taken once for all, or a pair (x, y). `seeds` is
    how many starts there are for each size (of weights, and of which rows come first); those of one size are trained at
    once in one program. `how` is what `fit` takes. The net itself stays as it is. Source: scope 5 (more data).

    >>> import kedja as kj
    >>> x, y = kj.data.load("iris")
    >>> net = kj.Sequential([kj.nn.Dense(3)])
    >>> curve = kj.learning_curve(net, x, y, sizes=[15, 120], seeds=2, loss="cross_entropy", epochs=20,
    ...                           optimizer=kj.optim.Adam(0.1), batch_size=15)
    >>> curve.sizes, bool(curve.mean("loss")[1] < curve.mean("loss")[0])
    ([15, 120], True)
    """
    make = made_by(net, "learning_curve")
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
        raise DataError(f"seeds is how many starts there are for each size, at least 1; got {seeds!r}")
    x, y = unpacked(x, y, model=net if isinstance(net, Module) else None)
    targets = np.asarray(y)
    if isinstance(validation, list | tuple) and len(validation) == 2:
        rows, held = np.arange(len(targets)), (validation[0], np.asarray(validation[1]))
    else:
        rows, out = split_rows(len(targets), test=validation, seed=seed)
        held = (taken(x, out), targets[out])
    counts = sizes_of(sizes, len(rows))
    classes = targets.dtype.kind in "iub" and targets.size == len(targets) and stratifiable(net, how)
    orders = [rows[prefixes(targets[rows] if classes else None, len(rows), seed + k)] for k in range(seeds)]
    parts: dict[str, list[dict[str, list[float]]]] = {"train": [], "validation": []}
    with progress(len(counts), verbose=verbose) as bar:
        for done, count in enumerate(counts):
            chosen = [order[:count] for order in orders]
            models = trained(net, make, x, targets, chosen, seed, how)
            for part in parts.values():
                part.append({})
            for model, own in zip(models, chosen, strict=True):
                add(parts["train"][-1], model.evaluate(taken(x, own), targets[own], **asking_of(how)))
                add(parts["validation"][-1], model.evaluate(*held, **asking_of(how)))
            latest = {k: float(np.mean(v)) for k, v in parts["validation"][-1].items()}
            bar.update(done + 1, values=latest)
    train, against = (
        {name: np.array([figures[name] for figures in part]) for name in part[0]} for part in parts.values()
    )
    return LearningCurve(counts, train, against)


def trained(
    net: Any, make: Callable[[int], Module], x: Any, y: Array, chosen: Sequence[Array], seed: int,
    how: Mapping[str, Any],
) -> list[Module]:  # fmt: skip
    """A network for each set of rows: all in one program, or one by one where each adapts itself to its rows."""
    models = [make(k) for k in range(len(chosen))]
    fresh = isinstance(net, Module) and net.built
    if (
        any(adapting(layer) for _, layer in models[0].layers_by_path())
        or isinstance(x, tuple | dict)
        or len(models) < 2
    ):
        for k, (model, rows) in enumerate(zip(models, chosen, strict=True)):
            if fresh:
                model.reset(seed + k)
            model.fit(taken(x, rows), y[rows], seed=seed + k, **{"verbose": 0, **how})
        return models
    together = Ensemble(models)
    together.waiting = [fresh] * len(models)
    wished: dict[str, Any] = {
        "loss": None, "optimizer": None, "epochs": 1, "batch_size": 32, "validation": None, "metrics": None,
        "shuffle": True, "bootstrap": False, "sample_weight": None, "class_weight": None, "regularizer": None,
        "callbacks": (), "engine": "auto", "kernels": None, "verbose": 0,
    }  # fmt: skip
    for name in how:
        if name not in wished:
            raise one_of("argument of learning_curve", name, wished)
    wished |= how
    wished["engine"] = asked(wished["engine"], wished.pop("kernels"))
    fit_members(together, x, y, Wish(**wished, seed=seed, rows=chosen))
    return models


def add(into: dict[str, list[float]], figures: Mapping[str, float]) -> None:
    """Figures of one more network."""
    for name, value in figures.items():
        into.setdefault(name, []).append(value)


def sizes_of(sizes: Sequence[float | int], rows: int) -> list[int]:
    """Numbers of rows, rising, from shares or numbers."""
    found = []
    for size in sizes:
        share = isinstance(size, float | np.floating)
        if isinstance(size, bool) or not isinstance(size, int | float | np.integer | np.floating) or size <= 0:
            raise DataError(f"sizes are shares above 0 and up to 1, or numbers of rows; got {size!r}")
        if (share and size > 1) or (not share and size > rows):
            raise DataError(f"sizes has {size}, and there are {rows} rows to learn from")
        found.append(max(1, round(float(size) * rows)) if share else int(size))
    if not found:
        raise DataError("sizes is empty: give shares of the rows, such as (0.1, 0.5, 1.0), or numbers of them")
    return sorted(set(found))


def stratifiable(net: Any, how: Mapping[str, Any]) -> bool:
    """Whether the targets are classes whose proportions are worth keeping."""
    loss = losses.get(how["loss"]) if how.get("loss") is not None else None
    if loss is None and isinstance(net, Module):
        loss = training_of(net).loss
    return labelled(loss)


def prefixes(classes: Array | None, n: int, seed: int) -> Array:
    """An order of n rows of which every beginning is a fair sample: each class has its share, to within a row."""
    order = permutation(n, seed, _PREFIXES)
    if classes is None:
        return order
    codes = np.unique(classes, return_inverse=True)[1].reshape(n)[order]
    place = np.empty(n)
    for code in np.unique(codes):
        own = np.flatnonzero(codes == code)
        place[own] = (np.arange(len(own)) + 0.5) / len(own)  # spread evenly along the order
    found: Array = order[np.argsort(place, kind="stable")]
    return found
