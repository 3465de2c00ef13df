"""The compiled steps of a run: found among those the model has, or made."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from kedja.engines import choose, known_as
from kedja.engines.engine import Engine
from kedja.errors import DataError
from kedja.graph.trace import Graph
from kedja.graph.variables import Variable
from kedja.nn.layers.augmentation.layer import _Augmentation
from kedja.nn.layers.dropout import AlphaDropout, Dropout, GaussianDropout, GaussianNoise
from kedja.nn.layers.layer import Layer
from kedja.nn.losses import Loss
from kedja.nn.model import Module
from kedja.nn.precision import Low
from kedja.optim import Minimizer, Optimizer
from kedja.optim.iterations import MinimizerLoop
from kedja.train.loop import TailedLoop
from kedja.train.metrics import Metric
from kedja.train.scalars import Scalars
from kedja.train.step import Batch, columns, training_graph
from kedja.train.training import Training

__all__ = ["StepProgram", "check_search"]

Array = np.ndarray[Any, Any]
NOISE = (AlphaDropout, Dropout, GaussianDropout, GaussianNoise, _Augmentation)


def check_search(model: Module, rule: Optimizer, low: Low | None) -> None:
    """Refuse, or warn of, what an optimiser that compares losses of nearby points cannot work with."""
    if not isinstance(rule, Minimizer):
        return
    name = type(rule).__name__
    if low is not None:
        raise DataError(
            f"{name} compares losses of points that lie close together, and {low.name} keeps too few digits "
            "of what they come from: leave precision out, or use a rule that goes step by step, like kj.optim.Adam()."
        )
    layers = [(path, layer) for path, layer in model.layers_by_path() if layer.trainable]
    noisy = [path for path, layer in layers if isinstance(layer, NOISE)]
    if noisy:
        warnings.warn(
            f"{name} needs the same function whenever it asks, so {', '.join(noisy)} draws once for the whole run: "
            "what a dropout drops then never learns, and it regularises nothing. Leave it out, or use kj.optim.Adam().",
            stacklevel=5,
        )
    coupled = [path for path, layer in layers if layer.couples_rows]
    if coupled:
        warnings.warn(
            f"{name} takes few, large steps, and {', '.join(coupled)} moves its running statistics a little in each: "
            "they lag behind the weights, and prediction uses them. Use kj.nn.LayerNorm, or a rule that goes step "
            "by step, such as kj.optim.Adam().",
            stacklevel=5,
        )


class StepProgram:
    """The compiled steps of one way to train: found among those the model has, or made."""

    def __init__(
        self, model: Module, training: Training, loss: Loss, metrics: Sequence[Metric], scalars: Scalars,
        parameters: dict[str, Variable], with_norm: bool, engine: str | Engine, low: Low | None = None,
        micro: int | None = None,
    ) -> None:  # fmt: skip
        self.model, self.training, self.loss, self.metrics = model, training, loss, metrics
        self.scalars, self.parameters, self.with_norm, self.engine = scalars, parameters, with_norm, engine
        self.low, self.micro = low, micro

    def loop(
        self, inputs: Sequence[Array], y: Array, weighted: bool, rows: int, size: int, full: bool
    ) -> tuple[Any, Any, list[str]]:
        """The loop, what it is known by, and what its outputs are."""
        left = 0 if full else rows % size
        coupled = bool(left) and (
            self.scalars.mixing is not None or any(layer.couples_rows for layer in self.learning_layers())
        )
        batch = Batch(inputs, y, size, weighted, padded=bool(left) and not coupled)
        name = known_as(self.engine)
        key = (
            batch.key(), self.loss.structure(), tuple(m.structure() for m in self.metrics),
            self.scalars.structure(), name, full, tuple(self.parameters), self.frozen(), rows, self.with_norm,
            tuple(repr(getattr(p, "constraint", None)) for p in self.parameters.values()), self.low, self.micro,
        )  # fmt: skip
        loops = self.training.loops
        if key not in loops:
            made = self.made(batch, full)
            if coupled:
                tail = self.made(Batch(inputs, y, left, weighted, padded=False), full)
                made = TailedLoop(made, tail, -(-rows // size))
            loops[key] = made
        made = loops[key]
        searching = isinstance(self.scalars.optimizer, Minimizer)
        return made, key, self.columns(made.graph, batch) + ["evaluations"] * searching

    def short(self, inputs: Sequence[Array], y: Array, weighted: bool, size: int, count: int) -> Any:
        """The loop for a batch of `count` rows where the others have `size`: padded, or a program of its own."""
        coupled = self.scalars.mixing is not None or any(layer.couples_rows for layer in self.learning_layers())
        found, _, _ = self.loop(inputs, y, weighted, size + count if coupled else 2 * size - 1, size, False)
        return found.tail if isinstance(found, TailedLoop) else found

    def columns(self, graph: Graph, batch: Batch) -> list[str]:
        """What each number is that the graph puts out."""
        return columns(graph, self.metrics, batch, bool(self.scalars.penalties), self.with_norm)

    def made(self, batch: Batch, full: bool) -> Any:
        """A loop compiled for batches of this size."""
        graph = training_graph(
            self.model, self.loss, self.scalars, self.training.memory, self.metrics, batch, self.parameters,
            self.with_norm, self.low, self.micro,
        )  # fmt: skip
        data = len(batch.x) + 1 + batch.weighted
        rule = self.scalars.optimizer
        if isinstance(rule, Minimizer):
            wanted = list(self.parameters.values())
            return MinimizerLoop(rule, graph, self.training.memory, wanted, self.engine, self.columns(graph, batch))
        return choose(self.engine, graph).loop(graph, data=data, padded=batch.padded, ordered=not full)

    def learning_layers(self) -> list[Layer]:
        """The model and the layers inside it that are not frozen."""
        frozen = set(self.frozen())
        inside = [layer for path, layer in self.model.layers_by_path() if path not in frozen]
        return [self.model, *inside]

    def frozen(self) -> tuple[str, ...]:
        """The paths of frozen layers."""
        return tuple(path for path, layer in self.model.layers_by_path() if not layer.trainable)
