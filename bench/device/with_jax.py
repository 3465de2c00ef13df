"""The peer in JAX, written by hand: one jitted step on pytrees, its state donated, calls queued without waiting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bench.device.contestant import Contestant, Task, Timing, fastest, timed
from bench.device.nets import Conv, Dense, Flatten, Layer, Mean, Norm, Pool, Relu, Residual

__all__ = ["JaxContestant", "make", "wait"]

MOMENTUM = 0.9
# JAX's own default: tf32 on a GPU that has it, and XLA is free to choose any kernel.
LAX = {"float32": lax.Precision.HIGHEST, "tf32": lax.Precision.DEFAULT, "bf16": lax.Precision.DEFAULT}


wait: Callable[[Any], Any] = jax.block_until_ready


class JaxContestant(Contestant):
    """Shared by the hand-written step and by kedja, which both live on a JAX device."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.here = jax.devices()[0]

    def ceiling(self, n: int) -> float:
        dtype = jnp.bfloat16 if self.task.precision == "bf16" else jnp.float32
        a, b = (jax.random.normal(jax.random.key(i), (n, n), dtype) for i in (0, 1))
        multiply = jax.jit(lambda a, b: jnp.matmul(a, b, precision=LAX[self.task.precision]))
        made: list[Any] = [None]

        def call() -> None:
            made[0] = multiply(a, b)

        return 2 * n**3 / fastest(call, lambda: wait(made[0]))

    def memory(self) -> int | None:
        told = self.here.memory_stats()
        return int(told["peak_bytes_in_use"]) if told and "peak_bytes_in_use" in told else None

    def device(self) -> tuple[str, str]:
        return self.here.platform, self.here.device_kind


class HandWritten(JaxContestant):
    """Parameters and momenta as lists of arrays in the order of `Net.shapes`, running statistics beside them."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.low = jnp.bfloat16 if task.precision == "bf16" else jnp.float32
        self.precision = LAX[task.precision]
        x, y = task.net.data(task.batch)
        halves = (slice(task.batch), slice(task.batch, None))
        self.batches = [(jax.device_put(x[half]), jax.device_put(y[half])) for half in halves]
        self.begin = task.net.start()
        self.step = jax.jit(self._step, donate_argnums=(0,))
        self.reset()

    def reset(self) -> None:
        weights = [jax.device_put(w) for w in self.begin]
        channels = [before[-1] for layer, before, _ in self.task.net.walked() if isinstance(layer, Norm)]
        statistics = [(jnp.zeros(c), jnp.ones(c)) for c in channels]
        self.state: Any = (weights, [jnp.zeros_like(w) for w in weights], statistics)

    def train(self, steps: int) -> tuple[Timing, list[float]]:
        def run() -> list[Any]:
            losses = []
            for i in range(steps):
                self.state, loss = self.step(self.state, *self.batches[i % 2])
                losses.append(loss)
            return losses

        return timed(run, lambda: wait((self.state, self.batches)), steps)

    def _step(self, state: Any, x: Any, y: Any) -> Any:
        weights, momenta, statistics = state
        (loss, statistics), gradients = jax.value_and_grad(self._loss, has_aux=True)(weights, statistics, x, y)
        momenta = [MOMENTUM * v - self.task.net.rate * g for v, g in zip(momenta, gradients, strict=True)]
        return ([w + v for w, v in zip(weights, momenta, strict=True)], momenta, statistics), loss

    def _loss(self, weights: Any, statistics: Any, x: Any, y: Any) -> Any:
        found: list[Any] = []
        z = self._through(self.task.net.layers, x.astype(self.low), iter(weights), iter(statistics), found)
        scores = jax.nn.log_softmax(z.astype(jnp.float32))
        return -jnp.mean(jnp.take_along_axis(scores, y[:, None], 1)), found

    def _through(self, layers: tuple[Layer, ...], x: Any, weights: Any, statistics: Any, found: list[Any]) -> Any:
        for layer in layers:
            match layer:
                case Conv():
                    x = lax.conv_general_dilated(
                        x, next(weights).astype(self.low), (layer.stride,) * 2, [(layer.padding,) * 2] * 2,
                        dimension_numbers=("NHWC", "HWIO", "NHWC"), precision=self.precision,
                    )  # fmt: skip
                    x = x + next(weights).astype(self.low) if layer.bias else x
                case Dense():
                    x = jnp.matmul(x, next(weights).astype(self.low), precision=self.precision)
                    x = x + next(weights).astype(self.low)
                case Norm():
                    x, new = _norm(x, next(weights), next(weights), next(statistics))
                    found.append(new)
                case Relu():
                    x = jax.nn.relu(x)
                case Pool():
                    margin = [(0, 0), (layer.padding,) * 2, (layer.padding,) * 2, (0, 0)]
                    size, stride = (1, layer.size, layer.size, 1), (1, layer.stride, layer.stride, 1)
                    x = lax.reduce_window(x, np.array(-np.inf, x.dtype), lax.max, size, stride, margin)
                case Mean():
                    x = jnp.mean(x.astype(jnp.float32), (1, 2)).astype(x.dtype)
                case Flatten():
                    x = x.reshape(x.shape[0], -1)
                case Residual():
                    y = self._through(layer.body, x, weights, statistics, found)
                    x = jax.nn.relu(y + self._through(layer.past, x, weights, statistics, found))
        return x


def _norm(x: Any, gamma: Any, beta: Any, running: Any) -> Any:
    """Batch norm with its statistics in float32, and the running ones after it."""
    wide = x.astype(jnp.float32)
    mean, variance = jnp.mean(wide, (0, 1, 2)), jnp.var(wide, (0, 1, 2))
    count = x.size // x.shape[-1]
    y = (wide - mean) * (gamma * lax.rsqrt(variance + 1e-5)) + beta
    new = (0.9 * running[0] + 0.1 * mean, 0.9 * running[1] + 0.1 * variance * (count / (count - 1)))
    return y.astype(x.dtype), lax.stop_gradient(new)


def make(task: Task) -> Contestant:
    """The contestant of this task."""
    return HandWritten(task)
