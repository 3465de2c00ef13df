"""One run of `fit` once everything is prepared: chunks of steps, figures of epochs, Ctrl-C, the way back from a NaN."""

from __future__ import annotations

import dataclasses
import math
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kedja.errors import DivergedError, KedjaError
from kedja.graph.variables import Variable
from kedja.nn.losses import Loss
from kedja.nn.model import Module
from kedja.optim import Minimizer, Optimizer
from kedja.optim.schedules import Schedule
from kedja.train.callbacks import Callback
from kedja.train.course import Course, arguments_of
from kedja.train.evaluation import Evaluator
from kedja.train.history import History
from kedja.train.kept import Kept
from kedja.train.listeners import Listeners
from kedja.train.loop import MOST_ROWS, MOST_STEPS, Chunks, Runner, interruptible, orders
from kedja.train.metrics import Metric
from kedja.train.progress import progress
from kedja.train.scalars import Scalars
from kedja.train.training import Training
from kedja.train.unfinished import Unfinished

if TYPE_CHECKING:
    from kedja.train.resume import Resumed

__all__ = ["Course", "Run", "arguments_of"]

Array = np.ndarray[Any, Any]


class Run:
    """One call of `fit`, once everything is prepared. Callbacks get it: they read, stop, skip, keep and go back."""

    UNTOLD = "interrupted at once"  # by a second Ctrl-C, or an error that nobody foresaw

    def __init__(
        self, model: Module, training: Training, runner: Runner, history: History, judge: Evaluator | None,
        metrics: Sequence[Metric], course: Course, scalars: Scalars, callbacks: Sequence[Callback] = (),
        relearn: Callable[[], tuple[Any, Any, list[str], Scalars]] | None = None,
    ) -> None:  # fmt: skip
        self.model, self.training, self.runner, self.course = model, training, runner, course
        self.history, self.judge, self.metrics = history, judge, metrics
        self.scalars, self.callbacks = scalars, list(callbacks)
        self.listeners = Listeners(self.callbacks)
        self.relearn = relearn  # finds the steps again when layers were frozen or set free
        self.numbers = scalars.values()  # as the runner has them
        assert training.loss is not None and training.optimizer is not None
        self.loss: Loss = training.loss
        self.optimizer: Optimizer = training.optimizer
        self.first = training.epochs  # epochs that were done before this run
        self.pending: list[Array] = []  # outputs of steps whose epoch is not finished
        self.good: dict[Variable, Any] = {}  # values at the last epoch's end
        self.identity: dict[str, Any] | None = None  # what makes this run this run, for a checkpoint
        self.resumed: Resumed | None = None  # the checkpoint it goes on from
        self.began, self.seconds_before = time.perf_counter(), 0.0
        self.pace: float | None = None
        self.latest: dict[str, float] | None = None  # the figures of the last finished epoch
        self.reason: str | None = None  # why a callback stopped the run
        self.error: BaseException | None = None  # what ended the run, where it was an error
        self.event = ""  # what a callback is being told of
        self.skipping = False
        self.keeping: list[tuple[weakref.ref[Kept], int]] = []  # to be filled with the values of an epoch's end
        layers = [model, *(layer for _, layer in model.layers_by_path())]
        self.block = (0, 0, 0)  # the epochs laid out: the first, how many, room for how many
        self.paths: dict[str, Variable] = {}  # everything that changes, once somebody asked
        self.laid: Any = None  # the rows of their steps
        self.layers = list({id(layer): layer for layer in layers}.values())
        self.free = self.trainable()

    # --- what callbacks call --------------------------------------------------------------------------------------
    def stop(self, reason: str) -> None:
        """End the run here, after the step or epoch that is being told of; the History says why."""
        self.reason = self.reason or str(reason)

    def skip_epoch(self) -> None:
        """In `after_step`: leave out the rest of this epoch. It ends here, with figures of the steps that were done."""
        if self.event != "after_step":
            raise KedjaError(
                f"skip_epoch() in {self.event or 'no event'}: only after_step comes before an epoch is over. "
                'Give the callback a cadence of steps, such as every="step"; to end the run there is stop(reason).'
            )
        self.skipping = True

    def keep(self) -> Kept:
        """Weights, statistics of layers and the optimiser's memory as they are here: `kept.restore()` goes back."""
        now = self.training.epochs == self.end
        kept = Kept(self.variables(), now)
        if not now:  # told of an epoch whose successors are done
            self.keeping.append((weakref.ref(kept), self.training.epochs))
        return kept

    def variables(self) -> dict[str, Variable]:
        """Everything that a run changes, by path."""
        if not self.paths:  # it takes longer than a small network's epoch
            self.paths = Kept.everything(self.model.state, self.training.memory)
        return self.paths

    @property
    def seconds(self) -> float:
        """How long the run has taken so far, with what it took before it was resumed."""
        return self.seconds_before + time.perf_counter() - self.began

    @property
    def broken(self) -> bool:
        """Whether the run ended in a number that is not finite, or another error."""
        return self.error is not None

    # --- the run --------------------------------------------------------------------------------------------------
    def go(self, pace: float | None, verbose: Any) -> None:
        """Run the epochs; callbacks are told of the beginning and of the end, whatever ended it."""
        self.end = self.training.epochs
        self.history.stopped = self.UNTOLD
        try:
            versions = self.versions()
            self.listeners.begin(self)
            if self.resumed is not None:
                self.resumed.recall(self.callbacks)
            self.heed(versions)
            self.epochs(pace, verbose)
        except BaseException as error:
            self.error = error
            if not isinstance(error, DivergedError):  # which has gone back to where all was well
                self.runner.store(self.runner.state)
            self.listeners.end(self, error)
            raise
        self.training.unfinished = Unfinished(self) if self.pending else None
        self.listeners.end(self, None)

    def epochs(self, pace: float | None, verbose: Any) -> None:
        """The epochs, in blocks whose order is laid out at once, in chunks short enough to be interrupted."""
        course, spe = self.course, self.course.spe
        block = MOST_STEPS if course.full else max(1, min(MOST_ROWS // (spe * course.size), MOST_STEPS // spe))
        # For whoever acts in hindsight steps are run again: not those of a minimiser, nor on rows that are gone.
        self.hindsight = not isinstance(self.optimizer, Minimizer) and course.stream is None
        marks = self.listeners.marks(spe, self.hindsight) + [spe] * (self.judge is not None)
        state = sum(a.nbytes for a in self.runner.state)
        self.chunks = Chunks(spe, marks, pace or None, state)
        self.good = {v: v.raw for v in self.runner.loop.variables}
        done_epochs = self.training.epochs - self.first
        with interruptible() as interrupt, progress(
            course.epochs * spe if course.stream is None or course.stream.known else None,
            verbose=verbose, epochs=self.first + course.epochs,
        ) as bar:  # fmt: skip
            while done_epochs < course.epochs and not self.reason:
                here = min(block, course.epochs - done_epochs)
                self.block = (self.first + done_epochs, here, block)
                self.lay()
                self.chunks.before = self.block[0] * spe
                start, end = sum(map(len, self.pending)), here * spe  # a resumed run begins inside an epoch
                while start < end:
                    start = self.chunk(start, end)
                    if course.stream is not None:  # of which the first epoch shows how long it is
                        spe, end, self.chunks.spe = course.spe, here * course.spe, course.spe
                    values = self.running() if self.pending and bar.wants() else self.latest
                    bar.update(done_epochs * spe + start, epoch=self.training.epochs, values=values)
                    last = start == end and done_epochs + here == course.epochs
                    self.between(interrupt.pressed or self.reason is not None or last)
                    if self.reason is not None:
                        break
                    if interrupt.pressed:
                        self.interrupted(done_epochs * spe + start)
                        return
                done_epochs += here
        self.runner.store(self.runner.state)
        self.history.stopped = self.reason or f"ran all {course.epochs} epoch{'s' if course.epochs != 1 else ''}"

    def chunk(self, start: int, end: int) -> int:
        """Run some steps and tell of them; returns the step of the block that comes next."""
        runner, before, stop = self.runner, self.runner.state, self.chunks.stop(start, end)
        with self.chunks.timing(stop - start):
            result = runner.run(before, self.laid, start, stop)
        self.chunks.pace *= (stop - start) / max(1, result.done - start)  # a buffer may end before the chunk
        self.pace = self.chunks.pace
        if not result.finite:
            self.diverged(before, self.laid, start, result.done, self.block[0])
        runner.state = list(result.state)
        stop = result.done  # before its time when a minimiser is at the bottom
        self.reason = self.reason or getattr(runner.loop, "reason", None)
        self.history.steps += len(result.outputs)
        self.pending.append(result.outputs)
        spe, whole = self.course.spe, True
        step = self.block[0] * spe + stop
        told = self.listeners.of_step(step)
        if told:
            runner.store(runner.state)
            self.tell("after_step", told, step, self.running())
            if self.skipping and stop % spe:
                whole, stop = False, stop + spe - stop % spe
            self.skipping = False
        if stop % spe == 0:
            stop = self.take(stop, whole, lambda end: runner.run(before, self.laid, start, end).state)
        return stop

    def take(self, stop: int, whole: bool, rerun: Callable[[int], Sequence[Any]]) -> int:
        """Finish epochs: figures, validation, callbacks, History. Returns the step the run is at.

        Callbacks that look at figures alone are told of several epochs one after the other. When one of them acts on an
        epoch that is not the last, the steps to its end are run again: their bits are the same however long a chunk is.
        """
        runner, spe, first = self.runner, self.course.spe, self.training.epochs
        table = np.concatenate(self.pending) if len(self.pending) > 1 else self.pending[0]
        self.pending = []
        n = len(table) // spe if whole else 1
        self.end = last = first + n
        figures = self.course.averaged(table, n, self.loss.reduction)
        for m in self.metrics:
            figures[m.name] = m.finish(figures[m.name])
        runner.store(runner.state)
        self.good = {v: v.raw for v in runner.loop.variables}
        if self.judge is not None:
            figures.update({f"val_{k}": np.array([v]) for k, v in self.judge().items()})
        if self.listeners or isinstance(self.optimizer.learning_rate, Schedule):
            figures["learning_rate"] = self.rates(n)
        if self.listeners.epochs and not self.broken:
            lists = {name: values.tolist() for name, values in figures.items()} if n > 1 else {}
            for epoch in self.listeners.due(first + 1, last - 1):
                self.training.epochs = epoch
                who = self.listeners.of_epoch(epoch)
                self.listeners.tell(
                    self, "after_epoch", who, epoch, {name: v[epoch - first - 1] for name, v in lists.items()}
                )
                if self.reason is not None or self.scalars.values() != self.numbers:
                    break
            else:
                self.training.epochs = epoch = last
            if epoch < last:  # somebody acted: what came after it is undone
                back = (last - epoch) * spe
                stop, self.end, self.history.steps = stop - back, epoch, self.history.steps - back
                runner.store(rerun(stop))
                figures = {name: values[: epoch - first] for name, values in figures.items()}
                self.good = {v: v.raw for v in runner.loop.variables}
            self.fill(epoch, lambda at: rerun(stop - (epoch - at) * spe))
            last, told = epoch, epoch == last
        else:
            self.training.epochs, told = last, False
        if told and self.listeners.measures:
            own = self.listeners.measured(self, last)
            figures.update({k: np.array([math.nan] * (n - 1) + [v]) for k, v in own.items()})
        self.history.extend(np.arange(first + 1, last + 1), figures)
        self.latest = {name: float(values[-1]) for name, values in figures.items()}
        if told:
            self.tell("after_epoch", self.listeners.of_epoch(last), last, self.latest)
            self.good = {v: v.raw for v in self.runner.loop.variables}
        elif self.listeners:
            self.heed(self.versions())
        return stop

    def fill(self, epoch: int, state: Callable[[int], Sequence[Any]]) -> None:
        """Give what was kept at epochs already past the values it was to have; only what somebody still has."""
        for reference, at in self.keeping:
            kept = reference()
            if kept is not None:
                values = self.runner.state if at == epoch else state(at)
                kept.fill(dict(zip(self.runner.loop.variables, values, strict=True)))
        self.keeping = []

    def tell(self, event: str, who: Sequence[Callback], number: int, figures: Mapping[str, float]) -> None:
        """Tell callbacks; what they changed is what the next steps use."""
        versions = self.versions()
        try:
            self.listeners.tell(self, event, who, number, figures)
        finally:
            self.heed(versions)

    def between(self, over: bool) -> None:
        """Tell those who write the run down that it is between two steps, and whether these were the last."""
        for one in self.listeners.writers:
            self.listeners.call(self, one, "between", over)

    def heed(self, versions: Sequence[int]) -> None:
        """Take over weights, numbers and trainable layers that callbacks changed."""
        if versions != self.versions():
            self.runner.state = [v.raw for v in self.runner.loop.variables]
        if self.free != (free := self.trainable()) and self.relearn is not None:
            self.free = free
            self.change_steps(*self.relearn())
        numbers = self.scalars.values()
        if numbers != self.numbers:  # bringing them to the device takes longer than a small network's epoch
            self.numbers = numbers
            self.runner.give(arguments_of(self.scalars, self.model, self.course.key))

    def change_steps(self, loop: Any, key: Any, columns: list[str], scalars: Scalars) -> None:
        """Go on with other steps, of the same rows: layers were frozen or set free."""
        runner = self.runner
        runner.store(runner.state)
        old = self.course.columns
        self.pending = [
            np.stack([t[:, old.index(c)] if c in old else np.zeros(len(t)) for c in columns], 1) for t in self.pending
        ]  # fmt: skip
        self.course = dataclasses.replace(self.course, columns=columns)
        self.scalars, self.numbers, self.paths = scalars, scalars.values(), {}
        self.runner = runner.changed(loop, arguments_of(scalars, self.model, self.course.key))
        self.good = {v: self.good.get(v, v.raw) for v in loop.variables}
        if self.block[2]:
            self.lay()

    def versions(self) -> list[int]:
        """How often each variable was assigned to."""
        return [v.version for v in self.runner.loop.variables]

    def trainable(self) -> list[bool]:
        """Which layers may learn."""
        return [layer.trainable for layer in self.layers]

    def lay(self) -> None:
        """The rows of every step of the present block of epochs."""
        course, (first, epochs, capacity) = self.course, self.block
        if course.stream is not None:
            self.laid = first
        elif not course.full:
            order = orders(course.key, course.rows, course.size, first, epochs, capacity, course.shuffle)
            self.laid = self.runner.lay(order)

    def running(self) -> dict[str, float]:
        """What is known in the middle of an epoch: figures of the last step, and means over the epoch so far."""
        self.pending = [np.concatenate(self.pending)] if len(self.pending) > 1 else self.pending
        table = self.pending[0]
        found: dict[str, float] = {}
        for word, part in (("step", table[-1:]), ("running", table)):
            figures = self.course.averaged(part, 1, self.loss.reduction, len(table) - len(part))
            for m in self.metrics:
                figures[m.name] = m.finish(figures[m.name])
            found.update({f"{word}_{name}": float(values[0]) for name, values in figures.items()})
        return found | {"learning_rate": float(self.rates(1)[0])}

    def rates(self, n: int) -> Array:
        """The learning rate of the last step of each of the last n epochs."""
        rate = self.optimizer.learning_rate
        if not isinstance(rate, Schedule):
            return np.full(n, float(rate))
        last = int(np.asarray(self.training.memory["optimizer.steps"].raw)) - 1
        steps = last - self.course.spe * np.arange(n - 1, -1, -1)
        return np.asarray(rate.at(np.maximum(steps, 0)), np.float64)  # a run that fell back to its start has taken none

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
            self.judge, self.listeners = None, Listeners(())  # nobody is told of them: they are told of the end
            self.history.steps += len(kept.outputs)
            self.pending.append(kept.outputs)
            self.take(good, True, lambda _: kept.state)
        else:
            runner.store(before if good == start else [self.good.get(v, v.raw) for v in runner.loop.variables])
            self.history.steps -= sum(map(len, self.pending))
            self.pending = []
        epoch = first + last // spe + 1
        rate = self.rates(1)[0]
        known = self.course.stream is None or self.course.stream.known
        when = f"epoch {epoch}, step {last % spe + 1}" + (f" of {spe}" if known else "")
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
