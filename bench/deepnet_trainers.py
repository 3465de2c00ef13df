"""Contestants of the deep networks: they train, or predict one batch again and again."""

from __future__ import annotations

import tempfile
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.deepnets import MOMENTUM, DeepNet
from bench.harness import OURS, Contestant, Trainer, Weights
from bench.layouts import from_torch, to_torch
from bench.results import Settings
from bench.trainers import KedjaFit, KerasFit, RowTrainer, TorchLoop

__all__ = ["predicting", "training"]


# --- kedja ----------------------------------------------------------------------------------------------------------
def kedja_network(net: DeepNet) -> tuple[Any, dict[str, Any]]:
    """The network of the zoo and its variables by PyTorch's names; what the zoo has in another order shows here."""
    import kedja as kj

    make = getattr(kj.zoo, net.zoo)
    model = make(net.classes, input_shape=(net.size, net.size, 3), activation=None, dropout=0.0, **dict(net.how))
    model.build(seed=0)
    state = model.state
    named = {place.name: state[path] for path, place in kj.zoo.torch_names(model).items()}
    return model, {name: named[name] for name in net.start()}


class Kedja(KedjaFit[DeepNet]):
    """`fit`, with its own shuffling."""

    def __init__(self, settings: Settings, net: DeepNet) -> None:
        import kedja as kj

        model, self.named = kedja_network(net)
        super().__init__(net, model, kj.optim.SGD(net.rate, momentum=MOMENTUM))

    def put(self, weights: Any) -> None:
        for variable, value in zip(self.named.values(), weights.values(), strict=True):
            variable.assign(value)

    def weights(self) -> Weights:
        return [np.asarray(v.numpy(), np.float64) for v in self.named.values()]


# --- PyTorch --------------------------------------------------------------------------------------------------------
class Torch(TorchLoop[DeepNet]):
    """The plain loop in the layout asked for."""

    def __init__(self, settings: Settings, net: DeepNet, last: bool = True, compiled: bool = False) -> None:
        super().__init__(settings, net)
        from bench.deepnet_peers import torch_network

        torch = self.torch
        layout = torch.channels_last if last else torch.contiguous_format
        self.inputs = self.inputs.permute(0, 3, 1, 2).contiguous(memory_format=layout)
        self.net = torch_network(net).to(memory_format=layout)
        self.forward = torch.compile(self.net) if compiled else self.net
        self.reset()

    def parameters(self) -> list[Any]:
        """Running statistics too."""
        return [self.net.named(name) for name in self.problem.start()]

    def to_torch(self, weights: Any) -> list[Any]:
        return to_torch(weights.values())

    def from_torch(self, weights: list[Any]) -> list[Any]:
        return from_torch(weights)

    def fresh_optimizer(self) -> Any:
        return self.torch.optim.SGD(self.net.parameters(), lr=self.problem.rate, momentum=MOMENTUM, fused=True)

    def tune(self) -> None:
        """There is work for all threads."""


# --- JAX and Keras --------------------------------------------------------------------------------------------------
class Jax(RowTrainer[DeepNet]):
    """A step by hand, jitted and donated, one call a batch: XLA's convolutions are slower inside its loops."""

    def __init__(self, settings: Settings, net: DeepNet) -> None:
        super().__init__(net)
        import jax
        import jax.numpy as jnp

        from bench.deepnet_peers import JaxOps

        self.jax: Any = jax
        self.jnp = jnp
        self.inputs, self.labels = jnp.asarray(self.x), jnp.asarray(self.y)

        def loss(weights: Any, statistics: Any, x: Any, y: Any) -> Any:
            ops = JaxOps(weights | statistics, training=True)
            z = jax.nn.log_softmax(net.walk(ops, x))
            return -jnp.take_along_axis(z, y[:, None], 1).mean(), ops.moved

        def step(weights: Any, velocity: Any, statistics: Any, rows: Any) -> Any:
            slopes, moved = jax.grad(loss, has_aux=True)(weights, statistics, self.inputs[rows], self.labels[rows])
            velocity = jax.tree.map(lambda v, g: MOMENTUM * v - net.rate * g, velocity, slopes)
            return jax.tree.map(jnp.add, weights, velocity), velocity, moved

        self.step = jax.jit(step, donate_argnums=(0, 1, 2))
        self.reset()

    def reset(self) -> None:
        start = self.problem.start()
        self.weights_now = {n: self.jnp.array(w) for n, w in start.items() if "running" not in n}
        self.velocity = {n: self.jnp.zeros_like(w) for n, w in self.weights_now.items()}
        self.statistics = {n: self.jnp.array(w) for n, w in start.items() if "running" in n}

    def train(self, epochs: int) -> int:
        for _ in range(epochs):
            self.train_in_order(np.random.default_rng().permutation(self.problem.rows))
        return self.steps(epochs)

    def train_in_order(self, order: NDArray[np.int64]) -> None:
        now = self.weights_now, self.velocity, self.statistics
        for begin in range(0, len(order), self.problem.batch):
            now = self.step(*now, order[begin : begin + self.problem.batch])
        self.jax.block_until_ready(now)
        self.weights_now, self.velocity, self.statistics = now

    def weights(self) -> Weights:
        whole = self.weights_now | self.statistics
        return [np.asarray(whole[name], np.float64) for name in self.problem.start()]


class Keras(KerasFit[DeepNet]):
    """`model.fit`, with its own shuffling."""

    def __init__(self, settings: Settings, net: DeepNet) -> None:
        import keras

        from bench.deepnet_peers import KerasOps

        self.keras: Any = keras
        ops, x = KerasOps(), keras.Input((net.size, net.size, 3))
        model = keras.Model(x, net.walk(ops, x))
        self.variables = ops.variables(list(net.start()))
        super().__init__(net, model, keras.optimizers.SGD(net.rate, momentum=MOMENTUM))

    def put(self, weights: Any) -> None:
        for variable, value in zip(self.variables, weights.values(), strict=True):
            variable.assign(value)

    def weights(self) -> Weights:
        return [np.asarray(self.keras.ops.convert_to_numpy(v), np.float64) for v in self.variables]


# --- prediction -----------------------------------------------------------------------------------------------------
class Predictor(Trainer):
    """A "step" is the prediction of one batch, as an array of NumPy; the "weights" are what came out last."""

    def __init__(self, net: DeepNet) -> None:
        self.spec = net
        self.x = net.data()[0][: net.batch]
        self.last: Any = None
        self.first_seconds = 0.0

    @abstractmethod
    def predict(self) -> Any:
        """The logits of the batch."""

    def reset(self) -> None:
        self.last = None

    def train(self, epochs: int) -> int:
        for _ in range(epochs):
            start = time.perf_counter()
            self.last = self.predict()
            self.first_seconds = self.first_seconds or time.perf_counter() - start
        return epochs

    def weights(self) -> Weights:
        return [np.asarray(self.last, np.float64)]

    def describe(self) -> dict[str, Any]:
        return {"first_call_seconds": round(self.first_seconds, 1)}


class KedjaPredictor(Predictor):
    """`predict`, or a function of the network given to `kj.compile`."""

    def __init__(self, settings: Settings, net: DeepNet, compiled: bool = False) -> None:
        super().__init__(net)
        import kedja as kj

        self.net, named = kedja_network(net)
        for variable, value in zip(named.values(), net.start().values(), strict=True):
            variable.assign(value)
        run = kj.compile(lambda x: self.net(x), engine="xla")
        self.function: Callable[[], Any] = (
            (lambda: run(self.x).numpy()) if compiled else (lambda: self.net.predict(self.x))
        )

    def predict(self) -> Any:
        return self.function()


class TorchPredictor(Predictor):
    """The module in evaluation mode, channels last, under inference_mode."""

    def __init__(self, settings: Settings, net: DeepNet, last: bool = True, compiled: bool = False) -> None:
        super().__init__(net)
        import torch

        from bench.deepnet_peers import torch_network

        self.torch = torch
        torch.set_num_threads(settings.threads)
        layout = torch.channels_last if last else torch.contiguous_format
        self.input = torch.tensor(self.x).permute(0, 3, 1, 2).contiguous(memory_format=layout)
        self.net = torch_network(net).to(memory_format=layout).eval()
        if compiled:
            import torch._inductor.config as inductor

            inductor.freezing = True  # weights become constants: batch norm goes into the convolutions
        self.forward = torch.compile(self.net) if compiled else self.net

    def predict(self) -> Any:
        with self.torch.inference_mode():
            return self.forward(self.input).numpy()


class OnnxRuntime(Predictor):
    """A session with all optimisations on a file of the usual kind, or on the one `kj.onnx.save` writes."""

    def __init__(self, settings: Settings, net: DeepNet, ours: bool = False) -> None:
        super().__init__(net)
        import onnxruntime

        from bench.deepnet_peers import onnx_file

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = settings.threads
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.input = self.x if ours else np.ascontiguousarray(self.x.transpose(0, 3, 1, 2))
        self.session = onnxruntime.InferenceSession(
            kedja_file(net) if ours else onnx_file(net), options, providers=["CPUExecutionProvider"]
        )
        self.name = self.session.get_inputs()[0].name

    def predict(self) -> Any:
        return self.session.run(None, {self.name: self.input})[0]


def kedja_file(net: DeepNet) -> bytes:
    """What `kj.onnx.save` writes for this batch size."""
    import kedja as kj

    model, named = kedja_network(net)
    for variable, value in zip(named.values(), net.start().values(), strict=True):
        variable.assign(value)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        kj.onnx.save(model, path, batch=net.batch)
        return path.read_bytes()


class JaxPredictor(Predictor):
    """The walk by hand, jitted, the weights its arguments."""

    def __init__(self, settings: Settings, net: DeepNet) -> None:
        super().__init__(net)
        import jax
        import jax.numpy as jnp

        from bench.deepnet_peers import JaxOps

        weights = {name: jnp.array(w) for name, w in net.start().items()}
        image = jnp.asarray(self.x)
        run = jax.jit(lambda weights, x: net.walk(JaxOps(weights, training=False), x))
        self.function: Callable[[], Any] = lambda: np.asarray(run(weights, image))

    def predict(self) -> Any:
        return self.function()


# --- who takes part -------------------------------------------------------------------------------------------------
def _contestant(net: DeepNet, build: Callable[..., Trainer], *requires: str, **details: Any) -> Contestant:
    return Contestant(partial(build, net=net), requires, **details)


def training(net: DeepNet) -> Mapping[str, Contestant]:
    """kedja and its peers in training this network."""

    one = partial(_contestant, net)
    return {
        OURS: one(Kedja, "kedja", "jax", note="fit"),
        "torch_last": one(Torch, "torch", note="plain loop, channels last, SGD(fused=True)"),
        "torch_first": one(partial(Torch, last=False), "torch", note="plain loop, channels first, SGD(fused=True)"),
        "torch_compile": one(
            partial(Torch, compiled=True), "torch", optional=True, note="torch_last with torch.compile(net)"
        ),
        "jax": one(Jax, "jax", optional=True, note="written by hand on jax.lax, one jitted call a step"),
        "keras_jax": one(Keras, "keras", "jax", environment={"KERAS_BACKEND": "jax"}, optional=True, note="model.fit"),
    }


def predicting(net: DeepNet) -> Mapping[str, Contestant]:
    """kedja and its peers in predicting one batch."""

    one = partial(_contestant, net)
    return {
        OURS: one(KedjaPredictor, "kedja", "jax", note="predict"),
        "torch_last": one(TorchPredictor, "torch", note="eval, inference_mode, channels last"),
        "torch_first": one(partial(TorchPredictor, last=False), "torch", note="eval, inference_mode, channels first"),
        "torch_compile": one(
            partial(TorchPredictor, compiled=True), "torch", note="torch_last with torch.compile(net), frozen"
        ),
        "onnxruntime": one(OnnxRuntime, "onnxruntime", "onnx", note="all optimisations, the file channels first"),
        "kedja_compile": one(
            partial(KedjaPredictor, compiled=True), "kedja", "jax", optional=True, note="kj.compile of the network"
        ),
        "onnxruntime_ours": one(
            partial(OnnxRuntime, ours=True), "onnxruntime", "onnx", "kedja", optional=True,
            note="the file written by kj.onnx.save",
        ),
        "jax": one(JaxPredictor, "jax", optional=True, note="written by hand on jax.lax, jitted"),
    }  # fmt: skip
