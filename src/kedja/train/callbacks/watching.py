"""Callbacks that watch one figure: stopping early, lowering the rate on a plateau, stopping at a small gradient."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from kedja.errors import DataError, one_of
from kedja.optim.schedules import Schedule
from kedja.train.callbacks.callback import Callback
from kedja.train.history import larger_is_better
from kedja.train.kept import Kept

if TYPE_CHECKING:
    from kedja.train.run import Run

__all__ = ["EarlyStopping", "ReduceOnPlateau", "StopOnGradient"]

KEPT = "kept."  # how the best weights are called in what is remembered


class _Watching(Callback):
    """One figure, watched for getting better by more than a tolerance."""

    def __init__(self, monitor: str | None, patience: int, tolerance: float) -> None:
        name = type(self).__name__
        if isinstance(patience, bool) or not isinstance(patience, int | np.integer) or patience < 0:
            raise DataError(f"{name}: patience is a number of epochs, at least 0; got {patience!r}")
        if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance < math.inf:
            raise DataError(f"{name}: tolerance is a number of at least 0, got {tolerance!r}")
        if monitor is not None and not isinstance(monitor, str):
            raise DataError(f"{name}: monitor is the name of a figure, such as 'val_loss'; got {monitor!r}")
        self.monitor, self.patience, self.tolerance = monitor, int(patience), float(tolerance)

    def before_fit(self, run: Run) -> None:
        self.best, self.best_epoch, self.waited = math.nan, 0, 0

    def memory(self) -> dict[str, Any]:
        return {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited}

    def recall(self, memory: Mapping[str, Any]) -> None:
        self.best, self.best_epoch = float(memory["best"]), int(memory["best_epoch"])
        self.waited = int(memory["waited"])

    def watched(self, figures: Mapping[str, float]) -> str:
        """The figure's name: the one asked for, else the validation loss, else the loss."""
        name = self.monitor or ("val_loss" if "val_loss" in figures else "loss")
        if name not in figures:
            raise one_of(f"figure for {type(self).__name__}", name, figures)
        return name

    def unmeasured(self, run: Run, figures: Mapping[str, float]) -> bool:
        """Whether the figure is one that is measured now and then, and not in this epoch."""
        return self.monitor is not None and self.monitor not in figures and self.monitor in run.history

    def improved(self, epoch: int, figures: Mapping[str, float]) -> bool:
        """Whether the figure got better than ever before, and by more than the tolerance; else one epoch was waited."""
        name = self.watched(figures)
        value = float(figures[name])
        gain = value - self.best if larger_is_better(name) else self.best - value
        if math.isnan(self.best) or gain > self.tolerance:
            self.best, self.best_epoch, self.waited = value, epoch, 0
            return True
        self.waited += 1
        return False


class EarlyStopping(_Watching):
    """Stop when a figure has not got better for `patience` epochs, and go back to the weights of its best epoch.

    By default the figure is the validation loss, or the loss where nothing is validated ("the loss stops falling").
    An improvement is more than `tolerance`. The best weights come back whatever ended the run (patience, the last
    epoch, Ctrl-C, a number that is not finite, an error in another callback), and with them the statistics of layers
    and the optimiser's memory of that epoch; the count of epochs goes on. Not with `restore=False`.
    Source: scope 4.8, 5; Prechelt 1998.

    >>> import kedja as kj
    >>> x, y = kj.data.load("xor")
    >>> net = kj.Sequential([kj.nn.Dense(1)])
    >>> stop = kj.callbacks.EarlyStopping(patience=3, tolerance=1e-3)
    >>> history = net.fit(x, y, loss="mse", optimizer="gd", epochs=10_000, callbacks=[stop], seed=0)
    >>> history.stopped
    'loss was no better for 3 epochs (best 0.2... in epoch ...); its weights were restored'
    """

    hindsight = True

    def __init__(
        self, monitor: str | None = None, patience: int = 5, tolerance: float = 0.0, restore: bool = True
    ) -> None:  # fmt: skip
        super().__init__(monitor, patience, tolerance)
        self.restore = restore

    def before_fit(self, run: Run) -> None:
        super().before_fit(run)
        self.variables = run.variables
        self.kept: Kept | None = None

    def after_epoch(self, run: Run, epoch: int, figures: Mapping[str, float]) -> None:
        if self.unmeasured(run, figures):
            return
        if self.improved(epoch, figures):
            self.kept = run.keep() if self.restore else None
        elif self.waited > max(self.patience - 1, 0):
            name = self.watched(figures)
            kept = "; its weights were restored" if self.restore else ""
            waited = f"{self.patience} epoch{'s' if self.patience != 1 else ''}"
            run.stop(f"{name} was no better for {waited} (best {self.best:.4g} in epoch {self.best_epoch}){kept}")

    def memory(self) -> dict[str, Any]:
        kept = {} if self.kept is None else {KEPT + path: array for path, array in self.kept.arrays().items()}
        return super().memory() | kept

    def recall(self, memory: Mapping[str, Any]) -> None:
        super().recall(memory)
        kept = {name.removeprefix(KEPT): array for name, array in memory.items() if name.startswith(KEPT)}
        self.kept = Kept.of(self.variables(), kept) if kept and self.restore else None

    def after_fit(self, run: Run) -> None:
        if self.kept is not None:
            self.kept.restore()
            self.kept = None


class StopOnGradient(Callback):
    """Stop when the norm of the gradient, averaged over the steps of an epoch, is below a number (scope 4.8).

    >>> import kedja as kj
    >>> x, y = kj.data.load("xor")
    >>> net = kj.Sequential([kj.nn.Dense(1)])
    >>> stop = kj.callbacks.StopOnGradient(1e-3)
    >>> net.fit(x, y, loss="mse", optimizer=kj.optim.GradientDescent(0.5), epochs=999, callbacks=[stop], seed=0).stopped
    'the norm of the gradient fell below 0.001'
    """

    needs = ("gradient_norm",)
    hindsight = True

    def __init__(self, below: float = 1e-5) -> None:
        if isinstance(below, bool) or not isinstance(below, int | float) or not 0 < below < math.inf:
            raise DataError(f"StopOnGradient: below is a number above 0, got {below!r}")
        self.below = float(below)

    def after_epoch(self, run: Run, epoch: int, figures: Mapping[str, float]) -> None:
        if figures["gradient_norm"] < self.below:
            run.stop(f"the norm of the gradient fell below {self.below:g}")


class ReduceOnPlateau(_Watching):
    """Multiply the learning rate by `factor` when a figure has not got better for `patience` epochs (scope 4.4).

    The rate never falls below `least`. Nothing is compiled again: the rate is an argument of the program.

    >>> import kedja as kj
    >>> x, y = kj.data.load("xor")
    >>> net = kj.Sequential([kj.nn.Dense(1)])
    >>> lower = kj.callbacks.ReduceOnPlateau(factor=0.5, patience=2, tolerance=1e-3)
    >>> history = net.fit(x, y, loss="mse", optimizer=kj.optim.SGD(0.4), epochs=100, callbacks=[lower], seed=0)
    >>> bool(history["learning_rate"][-1] < 0.4)
    True
    """

    hindsight = True

    def __init__(
        self, monitor: str | None = None, factor: float = 0.1, patience: int = 5, tolerance: float = 1e-4,
        least: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(monitor, patience, tolerance)
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < 1:
            raise DataError(f"ReduceOnPlateau: factor lies between 0 and 1, got {factor!r}")
        self.factor, self.least = float(factor), float(least)

    def before_fit(self, run: Run) -> None:
        super().before_fit(run)
        if isinstance(run.optimizer.learning_rate, Schedule):
            raise DataError(
                "ReduceOnPlateau: the learning rate follows a schedule already. "
                "Give the optimiser a number, or leave the callback out."
            )

    def after_epoch(self, run: Run, epoch: int, figures: Mapping[str, float]) -> None:
        if self.unmeasured(run, figures) or self.improved(epoch, figures):
            return
        if self.waited > max(self.patience - 1, 0):
            run.optimizer.learning_rate = max(run.optimizer.learning_rate * self.factor, self.least)
            self.waited = 0
