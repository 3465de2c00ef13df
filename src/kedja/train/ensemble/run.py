"""One call of `Ensemble.fit` once everything is prepared: chunks of steps of all members, and their figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from kedja.errors import DataError, DivergedError, GraphError
from kedja.graph.variables import Variable
from kedja.nn.losses import Loss
from kedja.optim import Optimizer
from kedja.train.callbacks import Callback
from kedja.train.ensemble.figures import epoch_means, over_members, table_of_members
from kedja.train.ensemble.group import Course, Group
from kedja.train.ensemble.history import EnsembleHistory
from kedja.train.ensemble.stacking import side_by_side
from kedja.train.kept import Kept
from kedja.train.listeners import Listeners
from kedja.train.loop import MOST_ROWS, MOST_STEPS, Chunks, interruptible
from kedja.train.metrics import Metric
from kedja.train.progress import progress
from kedja.train.training import training_of

if TYPE_CHECKING:
    from kedja.train.ensemble.ensemble import Ensemble

__all__ = ["EnsembleRun"]

Array = np.ndarray[Any, Any]


class EnsembleRun:
    """All members step by step together. Callbacks get it as they get a `Run`: `model` is the ensemble."""

    UNTOLD = "interrupted at once"

    def __init__(
        self, ensemble: Ensemble, groups: Sequence[Group], history: EnsembleHistory,
        judge: Callable[[], list[dict[str, float]]] | None, metrics: Sequence[Metric], course: Course,
        names: Sequence[str], numbers: Callable[[], list[list[float]]], optimizer: Optimizer, loss: Loss,
        callbacks: Sequence[Callback],
    ) -> None:  # fmt: skip
        self.model, self.groups, self.history, self.judge = ensemble, list(groups), history, judge
        self.metrics, self.course, self.names = metrics, course, list(names)
        self.numbers, self.optimizer, self.loss, self.callbacks = numbers, optimizer, loss, list(callbacks)
        self.listeners = Listeners(self.callbacks)
        self.training = training_of(ensemble.members[0])
        self.present, self.free = numbers(), self.trainable()
        self.lost: dict[int, str] = {}  # members that diverged, and when
        self.pending: list[Array] = []
        self.pace: float | None = None
        self.latest: dict[str, float] | None = None
        self.reason: str | None = None
        self.error: BaseException | None = None  # what ended the run, where it was an error
        self.event = ""  # what a callback is being told of
        self.done = 0  # epochs of this run

    def stop(self, reason: str) -> None:
        """End the run after this epoch; the History says why."""
        self.reason = self.reason or str(reason)

    def go(self, pace: float | None, verbose: Any) -> None:
        """Run the epochs; callbacks are told of the beginning and of the end, whatever ended it."""
        self.history.stopped = self.UNTOLD
        try:
            self.listeners.begin(self)  # type: ignore[arg-type]
            self.refuse_steps()
            self.epochs(pace, verbose)
        except BaseException as error:
            self.error = error
            self.listeners.end(self, error)  # type: ignore[arg-type]
            raise
        self.listeners.end(self, None)  # type: ignore[arg-type]

    def refuse_steps(self) -> None:
        """An ensemble comes back at epochs only."""
        if self.listeners.steps:
            name = type(self.listeners.steps[0][1]).__name__
            raise DataError(
                f"{name}: an ensemble is told of epochs, not of steps. Leave every= out, or train one network."
            )

    def keep(self) -> Kept:
        """Weights, statistics and the optimiser's memory of every member as they are here: `kept.restore()`."""
        return Kept(self.variables())

    @cached_property
    def changing(self) -> dict[str, Variable]:
        """Everything that a run changes, by path; what learns stays the same throughout an ensemble's run."""
        return {f"member_{k}.{path}": v for g in self.groups for k, own in zip(g.members, g.own, strict=True)
                for path, v in own.items()}  # fmt: skip

    def variables(self) -> dict[str, Variable]:
        """Everything that a run changes, by path."""
        return dict(self.changing)

    @property
    def broken(self) -> bool:
        """Whether the run ended in a number that is not finite, or another error."""
        return self.error is not None

    def epochs(self, pace: float | None, verbose: Any) -> None:
        """The epochs, in blocks whose order is laid out at once, in chunks short enough to be interrupted."""
        course, spe = self.course, self.course.spe
        several = 1 if course.together else max(len(g.members) for g in self.groups)
        most = max(1, min(MOST_ROWS // (spe * course.size * several), MOST_STEPS // spe))
        block = MOST_STEPS if course.full else most
        marks = [spe] if self.judge is not None or self.callbacks else []
        chunks = Chunks(spe, marks, pace or None)
        with interruptible() as interrupt, progress(
            course.epochs * spe, verbose=verbose, epochs=course.epochs
        ) as bar:  # fmt: skip
            while self.done < course.epochs:
                here, begun = min(block, course.epochs - self.done), self.done
                laid = [None] * len(self.groups) if course.full else self.lay(here, block)
                start, end = 0, here * spe
                while start < end:
                    stop = chunks.stop(start, end)
                    with chunks.timing(stop - start):
                        self.steps(laid, start, stop)
                    self.pace = chunks.pace
                    start = stop
                    bar.update(begun * spe + start, epoch=self.done, values=self.latest)
                    if interrupt.pressed:
                        self.store()
                        self.history.stopped = f"interrupted by Ctrl-C after {self.done} whole epochs"
                        return
                    if self.reason is not None:
                        self.history.stopped = self.reason
                        return
        self.history.stopped = f"ran all {course.epochs} epoch{'s' if course.epochs != 1 else ''}"

    def lay(self, epochs: int, capacity: int) -> list[Any]:
        """The order of the rows for every group, worked out side by side."""
        return side_by_side([lambda g=g: g.lay(epochs, capacity) for g in self.groups])

    def steps(self, laid: Sequence[Any], start: int, stop: int) -> None:
        """A chunk of steps of every group, side by side; then its figures, and a look at who diverged."""
        before = [g.state for g in self.groups]
        self.warm(laid, start)
        results = side_by_side(
            [lambda g=g, s=s, o=o: g.run(s, o, start, stop) for g, s, o in zip(self.groups, before, laid, strict=True)]
        )
        tables: list[Any] = [None] * sum(len(g.members) for g in self.groups)
        for g, result in zip(self.groups, results, strict=True):
            g.state = list(result.state)
            sizes = [o.size // len(g.members) for o in g.steps.loop.graph.outputs[1:]]
            table = table_of_members(result.outputs, sizes, len(g.members))
            short = np.full((stop - start - len(table), *table.shape[1:]), np.nan)  # of a group with nobody left
            for i, k in enumerate(g.members):
                tables[k] = np.concatenate([table, short])[:, i]
        whole = np.stack(tables, axis=1)
        at_end = stop % self.course.spe == 0
        for place, g in enumerate(self.groups):
            sound = g.sound(g.state) if at_end else {}
            for k in g.members:
                wrong = np.flatnonzero(~np.isfinite(whole[:, k, 0]))
                if k not in self.lost and (wrong.size or not sound.get(k, True)):
                    failed = start + int(wrong[0]) if wrong.size else stop
                    self.lose(g, k, before[place], laid[place], start, failed)
        for k in self.lost:
            whole[:, k] = np.nan
        self.take(whole, at_end)
        if len(self.lost) == whole.shape[1]:
            self.all_lost()

    def warm(self, laid: Sequence[Any], at: int) -> None:
        """Compile what is not compiled yet, once and not in every thread."""
        for g, order in zip(self.groups, laid, strict=True):
            if not g.steps.warm and len(self.groups) > 1:
                g.warm(order, at)
                g.steps.warm = True

    def lose(self, group: Group, member: int, before: Sequence[Any], order: Any, start: int, failed: int) -> None:
        """A member's numbers are not finite: it goes back to its last good epoch's end, the others go on."""
        spe = self.course.spe
        training = training_of(self.model.members[member])
        good = failed // spe * spe
        while good > start:  # else it has the weights of an epoch that ended in an earlier chunk
            state = group.run(before, order, start, good).state
            if group.sound(state)[member]:
                group.store(state, [member])
                training.epochs += good // spe - start // spe
                break
            good -= spe
        self.lost[member] = f"diverged in epoch {training.epochs + 1}"
        self.history.members[member].stopped = self.lost[member]

    def all_lost(self) -> None:
        """Nobody is left."""
        self.history.stopped = "every member diverged"
        told = "; ".join(f"member {k} {text}" for k, text in self.lost.items())
        error = DivergedError(
            f"every member of the ensemble diverged: {told}. Each has the weights of its last good epoch. "
            f"Lower the learning rate (it was {self.optimizer.rate_at(0):g}), or scale the data."
        )
        error.history = self.history  # type: ignore[attr-defined]
        raise error

    def take(self, table: Array, at_end: bool) -> None:
        """Average the outputs of finished epochs into the histories; evaluate when there is something to do it on."""
        self.history.steps += len(table)
        self.pending.append(table)
        if not at_end:
            return
        course = self.course
        whole = np.concatenate(self.pending)
        self.pending = []
        n = len(whole) // course.spe
        counts = np.full(course.spe, float(course.size))
        counts[-1] = course.rows - course.size * (course.spe - 1)
        figures = epoch_means(whole, self.names, course.spe, counts, self.loss)
        for m in self.metrics:
            figures[m.name] = np.asarray(m.finish(figures[m.name]))
        self.done += n
        for k, model in enumerate(self.model.members):
            if k not in self.lost:
                training_of(model).epochs += n
        self.store()
        if self.judge is not None:
            found = self.judge()
            for name in found[0]:
                values = [math.nan if k in self.lost else f[name] for k, f in enumerate(found)]
                figures[f"val_{name}"] = np.array([values])
        self.write(n, figures)
        if self.callbacks and not self.broken:
            self.tell()

    def store(self) -> None:
        """Give the members their weights, except those that are lost, which have theirs."""
        for g in self.groups:
            g.store(g.state, [k for k in g.members if k not in self.lost])

    def write(self, n: int, figures: Mapping[str, Array]) -> None:
        """The epochs into the History of the ensemble and into that of each member."""
        first = self.history.first
        numbers = np.arange(first + len(self.history) + 1, first + len(self.history) + n + 1)
        means = over_members(figures)
        self.history.extend(numbers, means)
        for k, history in enumerate(self.history.members):
            history.extend(numbers, {name: values[:, k] for name, values in figures.items()})
            history.steps += n * self.course.spe
        self.latest = {name: float(values[-1]) for name, values in means.items()}

    def trainable(self) -> list[bool]:
        """Which layers may learn."""
        return [
            layer.trainable for m in self.model.members for layer in (m, *(inside for _, inside in m.layers_by_path()))
        ]

    def tell(self) -> None:
        """Tell the callbacks of the epoch; weights and numbers they changed are what the next steps use."""
        variables = self.variables().values()
        versions = [v.version for v in variables]
        epoch = self.history.epoch[-1]
        self.listeners.tell(self, "after_epoch", self.listeners.of_epoch(epoch), epoch, self.latest or {})  # type: ignore[arg-type]
        if versions != [v.version for v in variables]:
            for g in self.groups:
                g.fill()
        if self.free != self.trainable():
            raise GraphError("a callback froze or set free a layer of an ensemble: do that between two calls of fit")
        numbers = self.numbers()
        if numbers != self.present:
            self.present = numbers
            dtype = self.model.members[0].parameters[0].dtype
            for g in self.groups:
                g.give((), numbers, dtype)
