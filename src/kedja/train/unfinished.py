"""An epoch that a run left in the middle: the next call of `fit` takes the rest of its steps, and no step twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from kedja.train.run import Run

__all__ = ["Unfinished"]

Array = np.ndarray[Any, Any]


class Unfinished:
    """What a run that was stopped inside an epoch knows of that epoch: its steps, and what they put out."""

    def __init__(self, run: Run) -> None:
        from kedja.train.identity import fingerprint

        self.outputs = np.concatenate(run.pending)
        self.course = self._course(run)
        self.data = fingerprint(run.runner.data)

    def continue_in(self, run: Run) -> None:
        """Let the run begin where the other ended, if it is to take the same steps over the same rows.

        With other rows, another batch size, seed or optimiser, or after steps that were taken elsewhere, it begins a
        new epoch.
        """
        from kedja.train.identity import fingerprint

        if self.data and self._course(run) == self.course and fingerprint(run.runner.data) == self.data:
            run.pending = [self.outputs]

    @staticmethod
    def _course(run: Run) -> Sequence[Any]:
        """What decides the steps of the epoch."""
        course, steps = run.course, run.training.memory["optimizer.steps"].raw
        return (
            run.training.epochs, int(np.asarray(steps)), course.rows, course.size, course.full, course.shuffle,
            np.asarray(course.key).tolist(), list(course.columns),
        )  # fmt: skip
