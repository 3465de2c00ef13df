"""How far a run goes and in what order, and the means of its figures over epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kedja.nn.model import Module
from kedja.train.scalars import Scalars
from kedja.train.step import WEIGHT

if TYPE_CHECKING:
    from kedja.train.streaming import Pace

__all__ = ["Course", "arguments_of"]

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
    stream: Pace | None = None  # of data that are read meanwhile, whose epochs may be of a length not known yet

    @property
    def spe(self) -> int:
        """Steps per epoch."""
        return -(-self.rows // self.size) if self.stream is None else self.stream.spe

    def averaged(self, table: Array, n: int, reduction: str, start: int = 0) -> dict[str, Array]:
        """Each column's mean over the steps of each of n epochs: by rows where it is a mean over rows.

        Of an epoch that is not whole, the table has only the steps from `start` on.
        """
        names = list(self.columns)
        steps = table.reshape(n, len(table) // n, -1).astype(np.float64)
        count = steps.shape[1]
        if count == 1:
            means = steps[:, 0]
        else:
            weight = (
                steps[:, :, names.index(WEIGHT)]
                if WEIGHT in names
                else self.rows_per_step()[None, start : start + count]
            )
            means = (steps * weight[:, :, None]).sum(1) / weight.sum(1)[:, None]
            if reduction == "sum":
                means[:, 0] = steps[:, :, 0].sum(1)
            for name in PER_STEP:
                if name in names:
                    means[:, names.index(name)] = steps[:, :, names.index(name)].mean(1)
        places: dict[str, list[int]] = {}
        for place, name in enumerate(names):
            places.setdefault(name, []).append(place)
        places.pop(WEIGHT, None)
        return {name: means[:, at[0]] if len(at) == 1 else means[:, at] for name, at in places.items()}

    def rows_per_step(self) -> Array:
        """How many real rows each step of an epoch has."""
        if self.stream is not None:
            return self.stream.rows_per_step()
        counts = np.full(self.spe, float(self.size))
        counts[-1] = self.rows - self.size * (self.spe - 1)
        return counts
