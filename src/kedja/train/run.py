"""One run of `fit` once everything is prepared: chunks of steps, figures of epochs, Ctrl-C, the way back from a NaN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kedja.errors import DivergedError
from kedja.nn.losses import Loss
from kedja.nn.model import Module
from kedja.optim import Optimizer
from kedja.optim.schedules import Schedule
from kedja.train.callbacks import Callback
from kedja.train.evaluation import Evaluator
from kedja.train.history import History
from kedja.train.loop import MOST_ROWS, MOST_STEPS, Chunks, Runner, interruptible, orders
from kedja.train.metrics import Metric
from kedja.train.progress import progress
from kedja.train.scalars import Scalars
from kedja.train.step import WEIGHT
from kedja.train.training import Training

__all__ = ["Course", "Run", "arguments_of"]

Array = np.ndarray[Any, Any]
PER_STEP = ("penalty", "gradient_norm")  # figures of a step, not means over its rows


def arguments_of(scalars: Scalars, model: Module, key: Array) -> list[Any]:
    """The present numbers of a run, and its key, as a loop takes them."""
    dtype = model.parameters[0].dtype
    return [*(np.asarray(v, dtype) for v in scalars.values()), key]


@dataclass
class Course:
    """How far a run goes and in what order: decided before it, the same for every chunk of it."""

    epochs: int
    rows: int
    size: int  # of a batch
    full: bool  # every step takes all rows
    shuffle: bool
    key: Array  # of the run: two words
    columns: Sequence[str]  # what each output of a step is

    @property
    def spe(self) -> int:
        """Steps per epoch."""
        return -(-self.rows // self.size)


class Run:
    """One call of `fit`, once everything is prepared. Callbacks get it: they read it, and may call `stop`."""

    def __init__(
        self, model: Module, training: Training, runner: Runner, history: History, judge: Evaluator | None,
        metrics: Sequence[Metric], course: Course, scalars: Scalars, callbacks: Sequence[Callback] = (),
    ) -> None:  # fmt: skip
        self.model, self.training, self.runner, self.course = model, training, runner, course
        self.history, self.judge, self.metrics = history, judge, metrics
        self.scalars, self.callbacks = scalars, list(callbacks)
        self.numbers = scalars.values()  # as the runner has them
        assert training.loss is not None and training.optimizer is not None
        self.loss: Loss = training.loss
        self.optimizer: Optimizer = training.optimizer
        self.pending: list[Array] = []  # outputs of steps whose epoch is not finished
        self.pace: float | None = None
        self.latest: dict[str, float] | None = None  # the figures of the last finished epoch
        self.reason: str | None = None  # why a callback stopped the run
        self.broken = False  # whether the run ended in a number that is not finite, or another error

    def stop(self, reason: str) -> None:
        """End the run after this epoch; the History says why."""
        self.reason = self.reason or str(reason)

    def go(self, pace: float | None, verbose: Any) -> None:
        """Run the epochs; callbacks are told of the beginning and of the end, whatever ended it."""
        for callback in self.callbacks:
            callback.before_fit(self)
        self.history.stopped = "interrupted at once"  # by a second Ctrl-C, or an error of the machine
        try:
            self.epochs(pace, verbose)
        except BaseException:
            self.broken = True
            raise
        finally:
            for callback in self.callbacks:
                callback.after_fit(self)

    def epochs(self, pace: float | None, verbose: Any) -> None:
        """The epochs, in blocks whose order is laid out at once, in chunks short enough to be interrupted."""
        course, spe = self.course, self.course.spe
        block = MOST_STEPS if course.full else max(1, min(MOST_ROWS // (spe * course.size), MOST_STEPS // spe))
        chunks = Chunks(spe, self.judge is not None or bool(self.callbacks), pace or None)
        done_epochs, first = 0, self.training.epochs
        with interruptible() as interrupt, progress(
            course.epochs * spe, verbose=verbose, epochs=first + course.epochs
        ) as bar:  # fmt: skip
            while done_epochs < course.epochs:
                here = min(block, course.epochs - done_epochs)
                laid = None if course.full else self.lay(first + done_epochs, here, block)
                start, end = 0, here * spe
                while start < end:
                    stop = chunks.stop(start, end)
                    before = self.runner.state
                    with chunks.timing(stop - start):
                        result = self.runner.run(before, laid, start, stop)
                    self.pace = chunks.pace
                    if not result.finite:
                        self.diverged(before, laid, start, result.done, first + done_epochs)
                    self.runner.state = list(result.state)
                    stop = result.done  # before its time when a minimiser is at the bottom
                    self.take(result.outputs, stop % spe == 0)
                    self.reason = self.reason or getattr(self.runner.loop, "reason", None)
                    start = stop
                    finished = self.training.epochs
                    bar.update(done_epochs * spe + start, epoch=finished, values=self.latest)
                    if interrupt.pressed:
                        self.interrupted(done_epochs * spe + start)
                        return
                    if self.reason is not None:
                        self.history.stopped = self.reason
                        return
                done_epochs += here
        self.runner.store(self.runner.state)
        self.history.stopped = f"ran all {course.epochs} epoch{'s' if course.epochs != 1 else ''}"

    def lay(self, first: int, epochs: int, capacity: int) -> Any:
        """The rows of every step of the next epochs."""
        course = self.course
        return self.runner.lay(
            orders(course.key, course.rows, course.size, first, epochs, capacity, course.shuffle)
        )  # fmt: skip

    def take(self, outputs: Array, at_epoch_end: bool) -> None:
        """Average the outputs of finished epochs into the History; evaluate when there is something to evaluate on."""
        self.history.steps += len(outputs)
        self.pending.append(outputs)
        if not at_epoch_end:
            return
        table = np.concatenate(self.pending) if len(self.pending) > 1 else self.pending[0]
        self.pending = []
        n = len(table) // self.course.spe
        figures = self.averaged(table, n)
        for m in self.metrics:
            figures[m.name] = m.finish(figures[m.name])
        first = self.training.epochs
        self.training.epochs += n
        self.runner.store(self.runner.state)
        if self.judge is not None:
            figures.update({f"val_{k}": np.array([v]) for k, v in self.judge().items()})
        if self.callbacks or isinstance(self.optimizer.learning_rate, Schedule):
            figures["learning_rate"] = self.rates(n)
        self.history.extend(np.arange(first + 1, first + n + 1), figures)
        self.latest = {name: float(values[-1]) for name, values in figures.items()}
        if self.callbacks and not self.broken:
            self.tell(first + n)

    def tell(self, epoch: int) -> None:
        """Tell the callbacks of the epoch; what they changed is what the next steps use."""
        versions = [v.version for v in self.runner.loop.variables]
        for callback in self.callbacks:
            callback.after_epoch(self, epoch, dict(self.latest or {}))
        if versions != [v.version for v in self.runner.loop.variables]:
            self.runner.state = [v.raw for v in self.runner.loop.variables]
        numbers = self.scalars.values()
        if numbers != self.numbers:  # bringing them to the device takes longer than a small network's epoch
            self.numbers = numbers
            self.runner.give(arguments_of(self.scalars, self.model, self.course.key))

    def averaged(self, table: Array, n: int) -> dict[str, Array]:
        """Each column's mean over the steps of each of n epochs: by rows where it is a mean over rows."""
        names = list(self.course.columns)
        steps = table.reshape(n, self.course.spe, -1).astype(np.float64)
        if self.course.spe == 1:
            means = steps[:, 0]
        else:
            weight = steps[:, :, names.index(WEIGHT)] if WEIGHT in names else self.rows_per_step()[None, :]
            means = (steps * weight[:, :, None]).sum(1) / weight.sum(1)[:, None]
            if self.loss.reduction == "sum":
                means[:, 0] = steps[:, :, 0].sum(1)
            for name in PER_STEP:
                if name in names:
                    means[:, names.index(name)] = steps[:, :, names.index(name)].mean(1)
        places: dict[str, list[int]] = {}
        for place, name in enumerate(names):
            places.setdefault(name, []).append(place)
        places.pop(WEIGHT, None)
        return {name: means[:, at[0]] if len(at) == 1 else means[:, at] for name, at in places.items()}

    def rates(self, n: int) -> Array:
        """The learning rate of the last step of each of the last n epochs."""
        rate = self.optimizer.learning_rate
        if not isinstance(rate, Schedule):
            return np.full(n, float(rate))
        last = int(np.asarray(self.training.memory["optimizer.steps"].raw)) - 1
        steps = last - self.course.spe * np.arange(n - 1, -1, -1)
        return np.asarray(rate.at(steps), np.float64)

    def rows_per_step(self) -> Array:
        """How many real rows each step of an epoch has."""
        counts = np.full(self.course.spe, float(self.course.size))
        counts[-1] = self.course.rows - self.course.size * (self.course.spe - 1)
        return counts

    def interrupted(self, steps: int) -> None:
        """Ctrl-C: the weights of the last step are kept."""
        self.runner.store(self.runner.state)
        done = f"{counted(steps, 'step')} ({counted(len(self.history), 'whole epoch')})"
        self.history.stopped = f"interrupted by Ctrl-C after {done}"

    def diverged(self, before: Sequence[Any], order: Any, start: int, done: int, first: int) -> None:
        """A number is not finite: find the step and the op, go back to the last good epoch end, and say so."""
        runner, spe = self.runner, self.course.spe
        ill = [v for v in runner.loop.variables if v.trainable and not np.isfinite(np.asarray(v.raw)).all()]
        if ill and not len(self.history):
            self.history.stopped = "the weights were not finite before the run"
            raise DivergedError(
                f"the weights are not finite before the first step ({runner.names.get(ill[0], ill[0].name)}): "
                "reset() draws new ones, or load weights that are whole."
            )
        last = runner.last_finite(before, order, start, done)
        good = last // spe * spe
        broken = runner.first_bad_number(runner.replayed(before, order, start, last), order, last)
        if good > start:  # epochs that ended in this chunk, the first of them perhaps begun in an earlier one
            kept = runner.run(before, order, start, good)
            runner.store(kept.state)
            self.judge, self.broken = None, True
            self.take(kept.outputs, True)
        else:  # the variables hold the values of the last epoch's end
            runner.store(before if good == start else [v.raw for v in runner.loop.variables])
            self.history.steps -= sum(map(len, self.pending))
            self.pending = []
        epoch = first + last // spe + 1
        rate = self.rates(1)[0]
        when = f"epoch {epoch}, step {last % spe + 1} of {spe}"
        self.history.stopped = f"diverged in {when}: {broken}"
        error = DivergedError(
            f"training diverged in {when}: the first number that is not finite arose {broken}. "
            f"The weights are those after epoch {self.training.epochs}. "
            f"Lower the learning rate (it was {rate:g}), or scale the data."
        )
        error.history = self.history  # type: ignore[attr-defined]
        raise error


def counted(n: int, word: str) -> str:
    """A number of things, in words.

    >>> counted(1, "epoch"), counted(2000, "step")
    ('1 epoch', '2,000 steps')
    """
    return f"{n:,} {word}{'s' if n != 1 else ''}"
