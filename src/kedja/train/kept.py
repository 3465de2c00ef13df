"""The state of a run at one moment, to go back to: weights, statistics of layers, the optimiser's memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kedja.errors import DataError
from kedja.graph.variables import State, Variable

__all__ = ["Kept"]

Array = np.ndarray[Any, Any]


class Kept:
    """Every variable's value at one moment. Values are replaced in training, never changed, so none is copied.

    Asked for at an epoch whose successors are done already (`Callback.hindsight`), it is filled by the run before
    anybody else can look at it.
    """

    def __init__(self, states: Mapping[str, Variable], now: bool = True) -> None:
        self._variables = states
        self._values: dict[Variable, Any] = {}
        if now:
            self.fill({})

    def fill(self, changed: Mapping[Variable, Any]) -> None:
        """The values of that moment: these, and those the others have now."""
        self._values = {v: changed.get(v, v.raw) for v in self._variables.values()}

    def restore(self) -> None:
        """Go back: every variable gets its value of that moment."""
        for variable, value in self._values.items():
            variable.store(value)

    def arrays(self) -> dict[str, Array]:
        """Copies of the values, by path: for a file."""
        return {path: np.array(self._values[v]) for path, v in self._variables.items()}

    @staticmethod
    def of(states: Mapping[str, Variable], arrays: Mapping[str, Any]) -> Kept:
        """The moment these arrays are from. A variable without one was not there yet: a layer set free since then."""
        kept = Kept({path: variable for path, variable in states.items() if path in arrays})
        for path, variable in kept._variables.items():
            found = arrays[path]
            if np.shape(found) != variable.shape:
                raise DataError(
                    f"what was kept does not fit the model: {path} has shape {variable.shape}, kept is shape "
                    f"{np.shape(found)}"
                )
            kept._values[variable] = np.array(found, variable.dtype)
        return kept

    @staticmethod
    def everything(model: State, memory: State) -> dict[str, Variable]:
        """What is kept of a run: the model's variables and the optimiser's, by path."""
        return {**dict(model.items()), **dict(memory.items())}
