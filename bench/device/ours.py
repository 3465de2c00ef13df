"""kedja: a model of its layers, and `fit`."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

import kedja as kj
from bench.device.contestant import Contestant, Task, Timing
from bench.device.nets import Conv, Dense, Flatten, Layer, Mean, Norm, Pool, Relu
from bench.device.with_jax import JaxContestant, wait

__all__ = ["make"]

PRECISION = {"float32": None, "tf32": "tf32", "bf16": "bfloat16"}


class Clock(kj.callbacks.Callback):  # type: ignore[misc]
    """When the steps of a run begin, with all data on the device, and when they are done."""

    def before_fit(self, run: Any) -> None:
        wait(run.runner.data)
        self.began = time.perf_counter()

    def after_fit(self, run: Any) -> None:
        wait([v.raw for v in run.runner.loop.variables])
        self.ended = time.perf_counter()


class Kedja(JaxContestant):
    """One call of `fit` for each repetition; an epoch is two steps."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.x, self.y = task.net.data(task.batch)
        self.net = kj.Sequential([_layer(layer) for layer in task.net.layers])
        self.net.build((None, *task.net.inputs), seed=0)
        self.begin = task.net.start()
        self.clock = Clock()
        self.reset()

    def reset(self) -> None:
        self.net.reset()
        start = iter(self.begin)
        learned = set(self.net.state.of_kind("trainable"))
        state = {path: np.asarray(v.numpy()) for path, v in self.net.state.items() if path not in learned}
        self.net.set_weights([next(start) if path in learned else state[path] for path in self.net.state])

    def train(self, steps: int) -> tuple[Timing, list[float]]:
        began = time.perf_counter()
        history = self.net.fit(
            self.x, self.y, loss="cross_entropy", optimizer=kj.optim.SGD(self.task.net.rate, momentum=0.9),
            epochs=steps // 2, batch_size=self.task.batch, shuffle=False, seed=0, verbose=0, callbacks=[self.clock],
            precision=PRECISION[self.task.precision], engine="xla",
        )  # fmt: skip
        call = time.perf_counter() - began
        return Timing(self.clock.ended - self.clock.began, call, steps), [float(v) for v in history["loss"]]


def _layer(layer: Layer) -> Any:
    match layer:
        case Conv():
            return kj.nn.Conv2D(
                layer.filters, layer.size, stride=layer.stride, padding=layer.padding, use_bias=layer.bias
            )
        case Norm():
            return kj.nn.BatchNorm()
        case Relu():
            return kj.nn.Activation("relu")
        case Pool():
            return kj.nn.MaxPool2D(layer.size, stride=layer.stride, padding=layer.padding)
        case Mean():
            return kj.nn.GlobalAveragePool()
        case Flatten():
            return kj.nn.Flatten()
        case Dense():
            return kj.nn.Dense(layer.units)
    body = kj.Sequential([_layer(inner) for inner in layer.body])
    past = kj.Sequential([_layer(inner) for inner in layer.past]) if layer.past else None
    return kj.nn.Residual(body, past, "relu")


def make(task: Task) -> Contestant:
    """The contestant of this task."""
    return Kedja(task)
