"""Gradual unfreezing: layers are set free one after the other, from the output down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from kedja.errors import DataError, one_of
from kedja.nn.layers.layer import Layer
from kedja.nn.model import Module
from kedja.train.callbacks.callback import Callback

if TYPE_CHECKING:
    from kedja.train.run import Run

__all__ = ["Unfreeze"]


class Unfreeze(Callback):
    """Set frozen layers free while training goes on; what learned already keeps the optimiser's memory.

    `schedule` says when, in epochs of this run that are done: a dict such as {2: "conv2d_2", 4: "conv2d_1"} (a name, or
    a list of names), or a number n: every n epochs the next frozen layer with weights, from the output down. A rule
    that corrects its first steps, such as Adam, does so for a layer from when it is free. `layer_rates` of the
    optimiser may name layers that are still frozen. Source: Howard and Ruder 2018.

    >>> import kedja as kj
    >>> x, y = kj.data.load("xor")
    >>> net = kj.Sequential([kj.nn.Dense(4, "tanh"), kj.nn.Dense(1)]).freeze(upto="dense_1")
    >>> free = kj.callbacks.Unfreeze({2: "dense_1"})
    >>> history = net.fit(x, y, loss="mse", optimizer="adam", epochs=4, callbacks=[free], seed=0)
    >>> [layer.trainable for layer in net.layers]
    [True, True]
    """

    def __init__(self, schedule: Mapping[int, Any] | int) -> None:
        if isinstance(schedule, Mapping):
            for epoch in schedule:
                if isinstance(epoch, bool) or not isinstance(epoch, int | np.integer) or epoch < 1:
                    raise DataError(f"Unfreeze: a schedule has numbers of epochs, at least 1, as keys; got {epoch!r}")
            if not schedule:
                raise DataError("Unfreeze: the schedule is empty")
            self.schedule: dict[int, list[str]] = {int(e): as_names(v) for e, v in schedule.items()}
            self.period = 0
        else:
            if isinstance(schedule, bool) or not isinstance(schedule, int | np.integer) or schedule < 1:
                raise DataError(
                    f"Unfreeze: schedule is a dict from epoch to layer, or a number of epochs; got {schedule!r}"
                )
            self.schedule, self.period = {}, int(schedule)
        self.done = 0

    def before_fit(self, run: Run) -> None:
        self.done = 0
        for model in models_of(run):
            layers = dict(model.layers_by_path())
            for name in (n for names in self.schedule.values() for n in names):
                if name not in layers:
                    raise one_of("layer for Unfreeze", name, layers)

    def after_epoch(self, run: Run, epoch: int, figures: Mapping[str, float]) -> None:
        self.done += 1
        for model in models_of(run):
            layers = dict(model.layers_by_path())
            for name in self.schedule.get(self.done, ()):
                release(layers[name])
            if self.period and self.done % self.period == 0:
                frozen = [v for _, v in model.members() if isinstance(v, Layer) and not v.trainable and v.parameters]
                if frozen:
                    release(frozen[-1])

    def memory(self) -> dict[str, Any]:
        return {"done": self.done}

    def recall(self, memory: Mapping[str, Any]) -> None:
        self.done = int(memory["done"])


def as_names(value: Any) -> list[str]:
    """The names of layers: one, or several."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not names or not all(isinstance(n, str) for n in names):
        raise DataError(f"Unfreeze: a schedule has names of layers as values, one or a list; got {value!r}")
    return list(names)


def models_of(run: Any) -> list[Module]:
    """The model of a run, or the members of its ensemble."""
    return list(run.model) if not isinstance(run.model, Module) else [run.model]


def release(layer: Layer) -> None:
    """Set a layer free, and what is inside it."""
    for one in (layer, *(inside for _, inside in layer.layers_by_path())):
        one.trainable = True
