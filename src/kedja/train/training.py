"""What a model remembers of its training from one call of `fit` to the next."""

from __future__ import annotations

import copy
from collections.abc import Collection
from threading import Lock
from typing import Any

import numpy as np

from kedja.engines.engine import Loop
from kedja.graph.trace import Graph
from kedja.graph.variables import State, Variable
from kedja.nn.losses import Loss
from kedja.nn.model import Module
from kedja.nn.regularizers import Regularizer
from kedja.optim import Minimizer, Optimizer
from kedja.train.metrics import Metric

__all__ = ["Training", "training_of"]


class Training:
    """What a model remembers between calls of `fit`: how it is trained, how far it is, and its compiled programs."""

    def __init__(self) -> None:
        self.loss: Loss | None = None
        self.optimizer: Optimizer | None = None  # whose memory this is
        self.chosen: Optimizer | None = None  # what `compile` or the last `fit` was given
        self.metrics: list[Metric] = []
        self.regularizer: Regularizer | None = None
        self.memory = State()
        self.parameters: dict[str, Variable] = {}  # whose memory that is
        self.seed: int | None = None
        self.epochs = 0
        self.unfinished: Any = None  # the epoch that the last run left in the middle, if it did
        self.loops: dict[Any, Loop] = {}
        self.paces: dict[Any, float] = {}
        self.programs: dict[Any, Any] = {}
        self.traced: tuple[Any, Graph] | None = None  # the shapes the model was last looked at with, and its graph
        self.busy = Lock()  # held by the one call of `fit` that may train the model at a time

    def __deepcopy__(self, memo: Any) -> Training:
        """A copy of what was learned; what was compiled belongs to the variables of the original."""
        made = Training()
        for name, value in vars(self).items():
            if name not in ("loops", "paces", "programs", "traced", "busy"):
                setattr(made, name, copy.deepcopy(value, memo))
        return made

    def clear(self) -> None:
        """Forget progress and the optimiser's memory, in place: compiled programs stay."""
        self.epochs, self.unfinished = 0, None
        for variable in self.memory.values():
            variable.store(np.zeros(variable.shape, variable.dtype))

    def use(
        self, optimizer: Optimizer, parameters: dict[str, Variable], known: Collection[str] | None = None
    ) -> None:  # fmt: skip
        """Take an optimiser; its memory is kept when it is of the same kind as before, for the same parameters.

        `known`: the paths of all parameters of the model, of frozen ones too, which `layer_rates` may name.
        """
        known = parameters if known is None else known
        optimizer.expect_layers(known)
        same = self.optimizer is not None and self.optimizer.remembered() == optimizer.remembered()
        if not (same and all(self.parameters.get(path) is p for path, p in parameters.items())):
            own = {path: p for path, p in parameters.items() if self.parameters.get(path) is p}
            new = {path: p for path, p in parameters.items() if path not in self.parameters}
            if same and own and len(own) + len(new) == len(parameters) and not isinstance(optimizer, Minimizer):
                # Layers set free: the others keep what the optimiser knows about them, and their programs.
                step = int(np.asarray(self.memory["optimizer.steps"].raw))
                for name, variable in optimizer.make_slots(new, known, since=step).items():
                    if name not in self.memory:
                        self.memory.add(name, variable)
                self.parameters.update(new)
            else:
                self.memory, self.parameters = optimizer.make_slots(parameters, known), dict(parameters)
                self.loops = {}
        self.optimizer = optimizer


def training_of(model: Module) -> Training:
    """The model's own Training."""
    found = model.__dict__.get("_training")
    if found is None:
        found = model.__dict__["_training"] = Training()
    return found
