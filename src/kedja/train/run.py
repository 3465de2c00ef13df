"""One run of `fit` once everything is prepared: chunks of steps, figures of epochs, Ctrl-C, the way back from a NaN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kedja.errors import DivergedError
from kedja.nn.losses import Loss
from kedja.nn.model import Module
from kedja.train.evaluation import Evaluator
from kedja.train.history import History
from kedja.train.loop import MOST_ROWS, MOST_STEPS, Chunks, Runner, interruptible, orders
from kedja.train.metrics import Metric
from kedja.train.progress import progress
from kedja.train.step import Batch
from kedja.train.training import Training

__all__ = ["Run"]

Array = np.ndarray[Any, Any]


class Run:
    """One call of `fit`, once everything is prepared."""

    def __init__(
        self, model: Module, training: Training, runner: Runner, history: History, judge: Evaluator | None,
        metrics: Sequence[Metric], batch: Batch,
    ) -> None:  # fmt: skip
        self.model, self.training, self.runner = model, training, runner
        self.history, self.judge, self.metrics, self.batch = history, judge, metrics, batch
        assert training.loss is not None
        self.loss: Loss = training.loss
        self.pending: list[Array] = []  # outputs of steps whose epoch is not finished
        self.pace: float | None = None
        self.latest: dict[str, float] | None = None  # the figures of the last finished epoch

    def go(
        self,
        epochs: int,
        full: bool,
        shuffle: bool,
        words: Array,
        rows: int,
        size: int,
        pace: float | None,
        verbose: Any,
    ) -> None:
        """Run the epochs, in blocks whose order is laid out at once, in chunks short enough to be interrupted."""
        spe = self.runner.spe
        block = MOST_STEPS if full else max(1, min(MOST_ROWS // (spe * size), MOST_STEPS // spe))
        chunks = Chunks(spe, self.judge is not None, pace or None)
        done_epochs, first = 0, self.training.epochs
        self.rows = rows
        self.history.stopped = "interrupted at once"  # by a second Ctrl-C, or an error of the machine
        with interruptible() as interrupt, progress(epochs * spe, verbose=verbose, epochs=first + epochs) as bar:
            while done_epochs < epochs:
                here = min(block, epochs - done_epochs)
                laid = (
                    None
                    if full
                    else self.runner.loop.put(orders(words, rows, size, first + done_epochs, here, block, shuffle))
                )
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
                    self.take(result.outputs, stop % spe == 0)
                    start = stop
                    finished = self.training.epochs
                    bar.update(done_epochs * spe + start, epoch=finished, values=self.latest)
                    if interrupt.pressed:
                        self.interrupted(done_epochs * spe + start)
                        return
                done_epochs += here
        self.runner.store(self.runner.state)
        self.history.stopped = f"ran all {epochs} epoch{'s' if epochs != 1 else ''}"

    def take(self, outputs: Array, at_epoch_end: bool) -> None:
        """Average the outputs of finished epochs into the History; evaluate when there is something to evaluate on."""
        spe = self.runner.spe
        self.history.steps += len(outputs)
        self.pending.append(outputs)
        if not at_epoch_end:
            return
        table = np.concatenate(self.pending) if len(self.pending) > 1 else self.pending[0]
        self.pending = []
        n = len(table) // spe
        names = ["loss", *(m.name for m in self.metrics)]
        if spe == 1:
            means = table[:, : len(names)].astype(np.float64)
        else:
            steps = table.reshape(n, spe, -1).astype(np.float64)
            weight = steps[:, :, len(names)] if self.batch.weighted else self.rows_per_step()[None, :]
            means = (steps[:, :, : len(names)] * weight[:, :, None]).sum(1) / weight.sum(1)[:, None]
            if self.loss.reduction == "sum":
                means[:, 0] = steps[:, :, 0].sum(1)
        figures = dict(zip(names, means.T, strict=True))
        for m in self.metrics:
            figures[m.name] = m.finish(figures[m.name])
        first = self.training.epochs
        self.training.epochs += n
        self.runner.store(self.runner.state)
        if self.judge is not None:
            figures.update({f"val_{k}": np.array([v]) for k, v in self.judge().items()})
        self.history.extend(np.arange(first + 1, first + n + 1), figures)
        self.latest = {name: float(values[-1]) for name, values in figures.items()}

    def rows_per_step(self) -> Array:
        """How many real rows each step of an epoch has."""
        counts = np.full(self.runner.spe, float(self.batch.rows))
        counts[-1] = self.rows - self.batch.rows * (self.runner.spe - 1)
        return counts

    def interrupted(self, steps: int) -> None:
        """Ctrl-C: the weights of the last step are kept."""
        self.runner.store(self.runner.state)
        done = f"{counted(steps, 'step')} ({counted(len(self.history), 'whole epoch')})"
        self.history.stopped = f"interrupted by Ctrl-C after {done}"

    def diverged(self, before: Sequence[Any], order: Any, start: int, done: int, first: int) -> None:
        """A number is not finite: find the step and the op, go back to the last good epoch end, and say so."""
        runner, spe = self.runner, self.runner.spe
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
            self.judge = None
            self.take(kept.outputs, True)
        else:  # the variables hold the values of the last epoch's end
            runner.store(before if good == start else [v.raw for v in runner.loop.variables])
            self.history.steps -= sum(map(len, self.pending))
            self.pending = []
        epoch = first + last // spe + 1
        rate = self.training.optimizer.learning_rate if self.training.optimizer is not None else float("nan")
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
