"""The learning-rate range finder: train a copy for some steps while the rate grows, and see where the loss falls.

Source: Smith 2017 (Cyclical learning rates for training neural networks, section 3.3); scope 4.4.
"""

from __future__ import annotations

import copy
import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kedja.engines.engine import Engine
from kedja.errors import DataError, DivergedError
from kedja.nn.model import Module
from kedja.ops.random import key_words
from kedja.optim import Minimizer, Optimizer
from kedja.optim import get as get_optimizer
from kedja.optim.curve import drawn
from kedja.optim.schedules import Exponential
from kedja.train.evaluation import as_inputs, as_targets
from kedja.train.fit import fit, whole
from kedja.train.loop import orders
from kedja.train.parts import unpacked
from kedja.train.training import training_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["RateRange", "find_learning_rate"]

Array = np.ndarray[Any, Any]
MEMORY = 0.9  # of the running average that decides when to stop
WIDTH = 0.05  # of the bell over which losses are averaged, as a share of the steps; 4 steps at least
DIVERGED = 4.0  # times the least loss: then larger rates need not be tried


@dataclass(frozen=True)
class RateRange:
    """What the finder measured: the loss of one step at each rate, as it was and smoothed, and the rate it suggests.

    `suggestion` is the rate at which the smoothed loss falls fastest (per decade), None when it never falls. `best` is
    the rate where it is lowest: near it training is about to diverge. `stopped` says why larger rates were not tried.
    """

    rates: Array
    losses: Array
    smoothed: Array
    suggestion: float | None
    best: float
    stopped: str

    def __str__(self) -> str:
        least = f"loss {self.smoothed.min():.4g} at rate {self.best:.2g}"
        advice = (
            f"The loss falls fastest at {self.suggestion:.2g}; it is lowest, {least}: begin between them, or below."
            if self.suggestion is not None
            else "The loss does not fall at any rate tried: look at the data and the loss, or begin with a lower rate."
        )
        tried = f"{len(self.rates)} rates from {self.rates[0]:.2g} to {self.rates[-1]:.2g}, {self.stopped}"
        return f"Learning-rate range: {tried}.\n{advice}"

    def plot(self, path: str | os.PathLike[str] | None = None, ax: Axes | None = None) -> Figure:
        """Loss against rate, on a logarithmic axis; returns the Figure. `path` also writes it to a file."""

        def draw(axes: Axes) -> None:
            axes.plot(self.rates, self.losses, color="#2468b4", alpha=0.3, linewidth=1, label="loss of a step")
            axes.plot(self.rates, self.smoothed, color="#2468b4", linewidth=1.7, label="smoothed")
            if self.suggestion is not None:
                axes.axvline(self.suggestion, color="#d5700b", linestyle=(0, (5, 2)), label=f"{self.suggestion:.2g}")
            axes.set_xscale("log")
            usual = self.smoothed[0] - self.smoothed.min()
            axes.set_ylim(self.smoothed.min() - 0.2 * usual, self.smoothed[0] + usual) if usual > 0 else None
            axes.set_xlabel("learning rate")
            axes.set_ylabel("loss")
            axes.legend(frameon=False)

        return drawn(draw, path, ax)


def find_learning_rate(
    model: Module, x: Any, y: Any = None, *, loss: Any = None, optimizer: Any = None, low: float = 1e-6,
    high: float = 10.0, steps: int = 100, batch_size: int | None = 32, seed: int = 0, engine: str | Engine = "auto",
    kernels: str | None = None,
) -> RateRange:  # fmt: skip
    """Train a copy of `model` for some steps at rates from `low` to `high`, each a fixed factor above the last.

    Loss and optimiser are those of the model unless given. It stops early when the loss is not finite or 4 times its
    least. The model itself stays as it is; the same seed measures the same. `engine` and `kernels` as in `fit`.

    >>> import kedja as kj
    >>> x, y = kj.data.load("moons")
    >>> net = kj.Sequential([kj.nn.Dense(16, activation="tanh"), kj.nn.Dense(1, activation="sigmoid")])
    >>> found = find_learning_rate(net, x, y, loss="binary_cross_entropy", optimizer="sgd", engine="reference")
    >>> 0.01 < found.suggestion < 10, net.built
    (True, False)
    """
    rule = rising(optimizer if optimizer is not None else training_of(model).chosen, low, high)
    steps = whole("steps", steps, least=10)
    rates = Exponential(low, steps - 1, high / low).at(np.arange(steps))
    trial = copy.deepcopy(model)
    x, y = unpacked(x, y)
    inputs = as_inputs(trial, x, learning=True)
    rows = len(inputs[0])
    targets = as_targets(trial, y, rows, None, (), learning=True)
    size = rows if batch_size is None else min(whole("batch_size", batch_size), rows)
    full = rows // size  # steps of an epoch; rows that fill no batch wait for the next order
    order = orders(key_words(seed), rows, size, 0, -(-steps // full), -(-steps // full), shuffle=size < rows)
    picked = order.reshape(-1, -(-rows // size), size)[:, :full].reshape(-1, size)

    losses: list[float] = []
    running, least = 0.0, math.inf
    stopped = "all tried"
    for number, (rate, here) in enumerate(zip(rates, picked, strict=False), 1):
        rule.learning_rate = float(rate)
        batch = tuple(a[here] for a in inputs) if len(inputs) > 1 else inputs[0][here]
        try:
            history = fit(
                trial, batch, targets[here], loss=loss, optimizer=rule, metrics=[], batch_size=None, seed=seed,
                engine=engine, kernels=kernels, verbose=0,
            )  # fmt: skip
        except DivergedError:
            stopped = f"stopped at {rate:.2g}, where the loss was no longer finite"
            break
        losses.append(float(history["loss"][-1]))
        running = MEMORY * running + (1 - MEMORY) * losses[-1]
        usual = running / (1 - MEMORY**number)
        least = min(least, usual) if number > 10 else math.inf
        if math.isfinite(least) and usual > least + (DIVERGED - 1) * abs(least):
            stopped = f"stopped at {rate:.2g}, where the loss was {DIVERGED:g} times its least"
            break
    return judged(rates[: len(losses)], np.array(losses), max(WIDTH * steps, 4.0), stopped)


def rising(optimizer: Any, low: float, high: float) -> Optimizer:
    """A copy of the optimiser, to be given every rate between the two."""
    rule = copy.deepcopy(get_optimizer(optimizer if optimizer is not None else "adam"))
    if isinstance(rule, Minimizer):
        raise DataError(f"find_learning_rate: {type(rule).__name__} finds the length of its steps by itself")
    number = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (low, high))
    if not number or not 0 < low < high < math.inf:
        raise DataError(f"find_learning_rate: the rates go from low to high, 0 < low < high; got {low!r} and {high!r}")
    return rule


def judged(rates: Array, losses: Array, width: float, stopped: str) -> RateRange:
    """The range with the rate it suggests: where the smoothed loss falls fastest, before it is lowest.

    Each smoothed loss is the mean of its neighbours under a bell, which moves nothing to the right as a running average
    does. At the ends, where the bell is cut, the slope is noise and is not looked at.
    """
    if len(losses) < 3:
        raise DivergedError(f"find_learning_rate: {stopped}, after {len(losses)} steps: begin at a lower rate, low=")
    apart = np.subtract.outer(np.arange(len(losses)), np.arange(len(losses)))
    bell = np.exp(-0.5 * (apart / width) ** 2)
    middle = float(np.median(losses))
    shown = np.minimum(losses, middle + DIVERGED * abs(middle))  # or one loss of 10³⁰ would be all that is seen
    smoothed = bell @ shown / bell.sum(1)
    bottom, margin = int(np.argmin(smoothed)), min(round(width), len(losses) // 4)
    slopes = np.gradient(smoothed, np.log10(rates))
    steepest = margin + int(np.argmin(slopes[margin : max(bottom, margin) + 1]))
    falls = bottom > margin and slopes[steepest] < 0
    return RateRange(rates, losses, smoothed, float(rates[steepest]) if falls else None, float(rates[bottom]), stopped)
