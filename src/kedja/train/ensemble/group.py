"""Some members of an ensemble in one compiled loop: their values, their rows, and their steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kedja.graph.dtypes import is_float
from kedja.nn.model import Module
from kedja.ops.random import key_words
from kedja.train.ensemble.stacking import values_of, variables_of
from kedja.train.loop import TailedLoop, orders
from kedja.train.training import training_of

__all__ = ["Course", "Group", "Steps"]

Array = np.ndarray[Any, Any]


@dataclass
class Course:
    """How far the run of an ensemble goes and in what order."""

    epochs: int
    rows: int  # that a member learns from in an epoch
    size: int  # of a batch
    full: bool  # every step takes all rows, the same for all members
    shuffle: bool
    together: bool  # all members see the same rows in the same order
    seeds: Sequence[int]
    own: Sequence[Array] | None  # the rows of the data that each member learns from, where they differ

    @property
    def spe(self) -> int:
        """Steps per epoch."""
        return -(-self.rows // self.size)

    @property
    def left(self) -> int:
        """The rows of the last batch, where it is smaller than the others; else 0."""
        return 0 if self.full else self.rows % self.size


@dataclass(eq=False)
class Steps:
    """The compiled steps of so many members: loop, and which variable of it is which."""

    loop: Any
    paths: dict[Any, str]  # of the variables of the loop
    warm: bool = False  # compiled, so that several threads may call it


class Group:
    """Members that run in one loop, one group beside the other on the cores of a CPU."""

    def __init__(self, members: Sequence[int], models: Sequence[Module], steps: Steps, course: Course) -> None:
        self.members, self.models, self.steps, self.course = list(members), list(models), steps, course
        self.data: list[Any] = []
        self.arguments: list[Any] = []
        self.own = [variables_of(model) for model in models]
        self.state: list[Any] = []
        self.fill()

    def fill(self) -> None:
        """Take the values of the models."""
        self.state = values_of(self.steps.loop.variables, self.steps.paths, self.own)

    def give(self, data: Sequence[Any], numbers: Sequence[Sequence[float]], dtype: Any) -> None:
        """The rows of the data, and the present numbers of each member."""
        put = self.steps.loop.put
        if not self.data:
            self.data = [put(d) for d in data]
        keys = np.stack([key_words(self.course.seeds[k]) for k in self.members])
        columns = np.asarray([numbers[k] for k in self.members], np.float64).T
        self.arguments = [*(put(np.ascontiguousarray(c, dtype)) for c in columns), put(keys)]

    def lay(self, epochs: int, capacity: int) -> Any:
        """The rows of every step of the next epochs, put where the loop wants them."""
        course, loop = self.course, self.steps.loop
        laid = []
        for k, model in zip(self.members, self.models, strict=True):
            seed = course.seeds[0 if course.together else k]
            first = training_of(model).epochs
            order = orders(key_words(seed), course.rows, course.size, first, epochs, capacity, course.shuffle)
            if course.own is not None:
                order = np.where(order >= 0, course.own[k].astype(np.int32)[order], np.int32(-1))
            laid.append(order)
            if course.together:
                break
        whole = np.stack(laid, axis=1)
        flat = np.ascontiguousarray(whole.reshape(len(whole), -1))
        if not isinstance(loop, TailedLoop):
            return loop.put(flat)
        tail = np.ascontiguousarray(whole[:, :, : course.left].reshape(len(whole), -1))
        return loop.main.put(flat), loop.tail.put(tail)

    def run(self, state: Sequence[Any], order: Any, start: int, stop: int) -> Any:
        """Steps `start` to `stop` from this state."""
        return self.steps.loop.run(state, self.data, order, self.arguments, start, stop)

    def warm(self, order: Any, at: int) -> None:
        """Run no step, so that the program is compiled."""
        loop = self.steps.loop
        for part, rows in (
            [(loop.main, order[0]), (loop.tail, order[1])] if isinstance(loop, TailedLoop) else [(loop, order)]
        ):
            places = {v: i for i, v in enumerate(loop.variables)}
            part.run([self.state[places[v]] for v in part.variables], self.data, rows, self.arguments, at, at)

    def store(self, state: Sequence[Any], members: Sequence[int]) -> None:
        """Give these members their values out of a state."""
        wanted = [i for i, k in enumerate(self.members) if k in members]
        if not wanted:
            return
        written = {v for v, _ in self.steps.loop.graph.updates}
        for variable, value in zip(self.steps.loop.variables, state, strict=True):
            if variable in written:
                array = np.asarray(value)
                for i in wanted:
                    self.own[i][self.steps.paths[variable]].store(np.array(array[i]))

    def sound(self, state: Sequence[Any]) -> dict[int, bool]:
        """Of each member, whether all its numbers are finite in this state."""
        found = np.ones(len(self.members), bool)
        for variable, value in zip(self.steps.loop.variables, state, strict=True):
            if variable in self.steps.paths and is_float(variable.dtype):
                found &= np.isfinite(np.asarray(value)).reshape(len(found), -1).all(1)
        return dict(zip(self.members, found.tolist(), strict=True))
