"""Who trains the dense networks: kedja and its peers, each the way its careful user would write it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.dense import DenseNet
from bench.harness import OURS, Contestant, Trainer, Weights
from bench.jax_rules import EPSILON, MOMENTUM, UpdateRule
from bench.results import Settings
from bench.threads import tune_threads
from bench.trainers import KedjaFit, KerasFit, RowTrainer, TorchLoop

__all__ = ["contestants"]

TRIAL_STEPS = 500  # how long each number of threads is tried
LOOP_STEPS = 20_000  # the most that one call of the hand-written loop makes
SMALL = 1e10  # flops of a step below which one thread may be faster than two


class Kedja(KedjaFit[DenseNet]):
    """`fit`, with its own shuffling."""

    def __init__(self, settings: Settings, net: DenseNet) -> None:
        import kedja as kj

        *hidden, last = net.sizes[1:]
        layers = [kj.nn.Dense(units, activation=net.activation) for units in hidden]
        momentum = MOMENTUM if net.rule == "momentum" else 0.0
        optimizer = kj.optim.Adam(net.rate) if net.rule == "adam" else kj.optim.SGD(net.rate, momentum=momentum)
        loss = "binary_cross_entropy" if net.binary else "cross_entropy"
        super().__init__(net, kj.Sequential([*layers, kj.nn.Dense(last)]), optimizer, loss)


class Torch(TorchLoop[DenseNet]):
    """An epoch's rows are gathered at once and cut into batches."""

    def __init__(self, settings: Settings, net: DenseNet, compiled: bool = False, fused: bool = False) -> None:
        super().__init__(settings, net)
        torch, self.fused = self.torch, fused
        activation = {"relu": torch.nn.ReLU, "sigmoid": torch.nn.Sigmoid, "tanh": torch.nn.Tanh}[net.activation]
        layers: list[Any] = []
        for inputs, units in zip(net.sizes, net.sizes[1:], strict=False):
            layers += [torch.nn.Linear(inputs, units), activation()]
        self.net = torch.nn.Sequential(*layers[:-1])
        self.forward = torch.compile(self.net) if compiled else self.net
        if net.binary:
            self.criterion = torch.nn.BCEWithLogitsLoss()
        self.reset()

    def fresh_optimizer(self) -> Any:
        optim, rate = self.torch.optim, self.problem.rate
        options = {"fused": True} if self.fused else {}
        if self.problem.rule == "adam":
            return optim.Adam(self.parameters(), lr=rate, eps=EPSILON, **options)
        momentum = MOMENTUM if self.problem.rule == "momentum" else 0.0
        return optim.SGD(self.parameters(), lr=rate, momentum=momentum, **options)

    def tune(self) -> None:
        """One thread or all of them, whichever is faster; a large network needs no trial."""
        if self.problem.flops < SMALL:
            epochs = max(1, TRIAL_STEPS // self.problem.steps_per_epoch)
            tune_threads(self.torch, self.threads, self.train, warm=1 + epochs // 5, timed=epochs)

    def batches(self, order: Any) -> Iterable[tuple[Any, Any]]:
        batch = self.problem.batch
        return zip(self.inputs[order].split(batch), self.labels[order].split(batch), strict=True)


class Keras(KerasFit[DenseNet]):
    """`model.fit`, with its own shuffling."""

    def __init__(self, settings: Settings, net: DenseNet) -> None:
        import keras  # type: ignore[import-untyped, unused-ignore]

        if keras.backend.backend() == "torch":
            import torch

            torch.set_num_threads(settings.threads)
        *hidden, last = net.sizes[1:]
        layers = [keras.layers.Dense(units, activation=net.activation) for units in hidden]
        model = keras.Sequential([keras.Input((net.sizes[0],)), *layers, keras.layers.Dense(last)])
        if net.rule == "adam":
            optimizer = keras.optimizers.Adam(net.rate, epsilon=EPSILON)
        else:
            optimizer = keras.optimizers.SGD(net.rate, momentum=MOMENTUM if net.rule == "momentum" else 0.0)
        super().__init__(
            net, model, optimizer, keras.losses.BinaryCrossentropy(from_logits=True) if net.binary else None
        )


class JaxLoop(RowTrainer[DenseNet]):
    """What a JAX expert would write by hand: many steps in one compiled loop, gradients by jax.grad, memory donated."""

    def __init__(self, settings: Settings, net: DenseNet) -> None:
        super().__init__(net)
        import jax
        import jax.numpy as jnp

        self.jax: Any = jax
        activation = {"relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh}[net.activation]
        self.rule = UpdateRule(net.rule, net.rate)

        def error(weights: list[Any], x: Any, y: Any) -> Any:
            for w, b in zip(weights[:-2:2], weights[1:-2:2], strict=True):
                x = activation(x @ w + b)
            logits = x @ weights[-2] + weights[-1]
            if net.binary:
                return jnp.mean(jnp.logaddexp(0, logits) - y * logits)
            right = jnp.take_along_axis(logits, y[:, None], axis=1)[:, 0]
            return jnp.mean(jax.nn.logsumexp(logits, axis=1) - right)

        @partial(jax.jit, donate_argnums=0)
        def run(carry: Any, order: Any, steps: Any, x: Any, y: Any) -> Any:
            def body(step: Any, carry: Any) -> Any:
                rows = order[step]
                return self.rule.moved(carry, jax.grad(error)(carry[0], x[rows], y[rows]))

            return jax.lax.fori_loop(0, steps, body, carry)

        self.run = run
        self.at_once = max(1, LOOP_STEPS // net.steps_per_epoch)
        self.inputs, self.labels = jnp.asarray(self.x), jnp.asarray(self.y)
        self.draw = np.random.default_rng(0)
        self.reset()

    def reset(self) -> None:
        self.carry: Any = self.rule.carry(self.problem.start())

    def train(self, epochs: int) -> int:
        rows = np.arange(len(self.x))
        for begin in range(0, epochs, self.at_once):
            several = np.tile(rows, (min(self.at_once, epochs - begin), 1))
            self._loop(self.draw.permuted(several, axis=1).ravel())
        self.jax.block_until_ready(self.carry)
        return self.steps(epochs)

    def train_in_order(self, order: NDArray[np.int64]) -> None:
        self._loop(order)

    def weights(self) -> Weights:
        return [np.asarray(w, np.float64) for w in self.carry[0]]

    def _loop(self, order: NDArray[np.int64]) -> None:
        """Through these rows; padded to one shape, so that there is one program whatever the number of epochs."""
        steps, batch = len(order) // self.problem.batch, self.problem.batch
        table = np.zeros((self.at_once * self.problem.steps_per_epoch, batch), np.int32)
        table[:steps] = order.reshape(-1, batch)
        self.carry = self.run(self.carry, table, steps, self.inputs, self.labels)


class FlaxNNX(RowTrainer[DenseNet]):
    """The step of Flax's guides under nnx.jit, with cached_partial as its page on speed advises."""

    def __init__(self, settings: Settings, net: DenseNet) -> None:
        super().__init__(net)
        import jax
        import optax  # type: ignore[import-untyped, unused-ignore]
        from flax import nnx

        activation = {"relu": nnx.relu, "sigmoid": nnx.sigmoid, "tanh": nnx.tanh}[net.activation]
        layers: list[Any] = []
        for inputs, units in zip(net.sizes, net.sizes[1:], strict=False):
            layers += [nnx.Linear(inputs, units, rngs=nnx.Rngs(0)), activation]
        self.net = nnx.Sequential(*layers[:-1])
        momentum = MOMENTUM if net.rule == "momentum" else None
        rule = optax.adam(net.rate, eps=EPSILON) if net.rule == "adam" else optax.sgd(net.rate, momentum)
        self.optimizer = nnx.Optimizer(self.net, rule, wrt=nnx.Param)

        def error(model: Any, x: Any, y: Any) -> Any:
            logits = model(x)
            if net.binary:
                return optax.sigmoid_binary_cross_entropy(logits, y).mean()
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        @nnx.jit(graph=True, graph_updates=True)
        def step(model: Any, optimizer: Any, x: Any, y: Any) -> None:
            optimizer.update(model, nnx.grad(error)(model, x, y))

        self.draw = np.random.default_rng(0)
        self.jax: Any = jax
        self.nnx: Any = nnx
        self.fresh = jax.tree.map(lambda value: value.copy(), nnx.state(self.optimizer))
        with self.nnx.set_graph_mode(True), self.nnx.set_graph_updates(True):
            self.step = nnx.cached_partial(step, self.net, self.optimizer)
        self.reset()

    def reset(self) -> None:
        for parameter, value in zip(self._parameters(), self.problem.start(), strict=True):
            parameter[...] = value
        self.nnx.update(self.optimizer, self.fresh)

    def train(self, epochs: int) -> int:
        for _ in range(epochs):
            self.train_in_order(self.draw.permutation(len(self.x)))
        return self.steps(epochs)

    def train_in_order(self, order: NDArray[np.int64]) -> None:
        x, y = self.x[order], self.y[order]
        for begin in range(0, len(order), self.problem.batch):
            self.step(x[begin : begin + self.problem.batch], y[begin : begin + self.problem.batch])
        self.jax.block_until_ready(self.nnx.state(self.net))

    def weights(self) -> Weights:
        return [np.asarray(parameter[...], np.float64) for parameter in self._parameters()]

    def _parameters(self) -> list[Any]:
        layers = [layer for layer in self.net.layers if isinstance(layer, self.nnx.Linear)]
        return [parameter for layer in layers for parameter in (layer.kernel, layer.bias)]


class ScikitLearn(RowTrainer[DenseNet]):
    """MLPClassifier.fit; its early stopping and its penalty are switched off, since no one else has them."""

    def __init__(self, settings: Settings, net: DenseNet) -> None:
        super().__init__(net)
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier

        warnings.simplefilter("ignore", ConvergenceWarning)  # it warns whenever all the epochs asked for were run
        # Warm start is the public way to given weights: fit then keeps coefs_ and makes a new optimiser.
        self.model = MLPClassifier(
            hidden_layer_sizes=net.sizes[1:-1],
            activation="logistic" if net.activation == "sigmoid" else net.activation,
            solver="adam" if net.rule == "adam" else "sgd",
            alpha=0.0,
            batch_size=net.batch,
            learning_rate_init=net.rate,
            momentum=MOMENTUM if net.rule == "momentum" else 0.0,
            nesterovs_momentum=False,
            epsilon=EPSILON,
            tol=0.0,
            n_iter_no_change=1_000_000,
            warm_start=True,
        )
        self.labels = self.y.ravel().astype(np.int64)
        self.train(1)
        self.reset()

    def reset(self) -> None:
        for ours, start in zip(self._parameters(), self.problem.start(), strict=True):
            ours[...] = start

    def train(self, epochs: int) -> int:
        self.model.set_params(max_iter=epochs, shuffle=True).fit(self.x, self.labels)
        return self.steps(epochs)

    def train_in_order(self, order: NDArray[np.int64]) -> None:
        self.model.set_params(max_iter=1, shuffle=False).fit(self.x[order], self.labels[order])

    def weights(self) -> Weights:
        return [parameter.astype(np.float64) for parameter in self._parameters()]

    def _parameters(self) -> list[NDArray[np.float32]]:
        layers = zip(self.model.coefs_, self.model.intercepts_, strict=True)
        return [parameter for layer in layers for parameter in layer]


def contestants(
    net: DenseNet, shown: Collection[str], optional: Collection[str], shares: Mapping[str, float] | None = None
) -> dict[str, Contestant]:
    """kedja, the peers always shown and the optional ones. All require kedja, whose loaders make the data."""

    def one(build: Callable[..., Trainer], *requires: str, note: str, backend: str = "") -> Contestant:
        environment = {"KERAS_BACKEND": backend} if backend else {}
        return Contestant(partial(build, net=net), ("kedja", *requires), environment, note=note)

    name = "Adam" if net.rule == "adam" else "SGD"
    threads = ", 1 or 2 threads, the faster" if net.flops < SMALL else ""
    known = {
        OURS: one(Kedja, "jax", note="fit"),
        "torch_eager": one(Torch, "torch", note=f"plain loop over tensors in memory{threads}"),
        "torch_fused": one(partial(Torch, fused=True), "torch", note=f"torch_eager with {name}(fused=True)"),
        "torch_compile": one(partial(Torch, compiled=True), "torch", note="torch_eager over torch.compile(net)"),
        "jax_loop": one(JaxLoop, "jax", note="hand-written, whole epochs in one fori_loop"),
        "keras_jax": one(Keras, "keras", "jax", note="model.fit", backend="jax"),
        "keras_torch": one(Keras, "keras", "torch", note="model.fit", backend="torch"),
        "flax_nnx": one(FlaxNNX, "flax", "optax", note="nnx.jit step with cached_partial, optax"),
        "sklearn": one(ScikitLearn, "sklearn", note="MLPClassifier.fit"),
    }
    return {
        key: replace(known[key], optional=key in optional, share=(shares or {}).get(key, 1.0))
        for key in (OURS, *shown, *optional)
    }
