"""How much memory training will take, estimated before it begins, from the graph of one step."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

from kedja.diff import grad
from kedja.errors import GraphError
from kedja.graph.dtypes import DType, get_default_dtype, is_float
from kedja.graph.node import Tensor, bind, placeholder
from kedja.graph.node import _next_serial as next_serial
from kedja.graph.trace import trace
from kedja.nn.counting import bytes_of, in_bytes
from kedja.nn.layers.layer import trainable
from kedja.nn.model import Module
from kedja.nn.precision import Low, check_precision, forward
from kedja.ops import cast, mean, square
from kedja.ops.control import MANY, item
from kedja.optim import Minimizer, Optimizer
from kedja.optim import get as get_optimizer
from kedja.train.training import training_of

__all__ = ["Memory"]

VIEWS = {"broadcast_to", "reshape", "stop_gradient", "transpose"}  # no values of their own
PRODUCTS = {"conv", "conv_kernel", "conv_transpose", "matmul"}
# Cheap enough that a compiler works them out again rather than keep them, where only such ops want them.
CHEAP = VIEWS | {
    "absolute", "add", "cast", "divide", "greater", "less", "maximum", "minimum", "multiply", "negative", "relu",
    "subtract", "where",
}  # fmt: skip
PATCH_BYTES = 1 << 21  # convolutions on a CPU: patches of as many examples at a time as fill this


class Memory(NamedTuple):
    """Bytes that training takes. `activations`: kept for the way back; `workspace`: room for convolutions by patches.

    Kernels need less workspace than patches do, so there the whole is an upper bound.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    batch: int
    workspace: int

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self)

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {in_bytes(n)}" for name, n in zip(self._fields, self, strict=True) if n)
        return f"about {in_bytes(self.total)}: {parts}"


def training_memory(
    model: Module, *, batch_size: int = 32, optimizer: Any = None, precision: Any = None, accumulate: int = 1
) -> Memory:
    """How many bytes a step of training takes: `weights`, `gradients`, `optimizer`, `activations`, `batch`, `total`.

    An estimate, made from the graph of a step without running it: what of the forward pass the backward pass looks at,
    where it cannot be worked out again at once, beside weights, gradients and what the optimiser remembers. The
    optimiser is the model's, else Adam. It leaves out the data set, the program and what else is in a Python process.

    >>> import kedja as kj
    >>> net = kj.Sequential([kj.nn.Dense(100, "sigmoid"), kj.nn.Dense(10)]).build((None, 784))
    >>> print(net.training_memory(batch_size=32))
    about 1.3 MiB: weights 310.6 KiB, gradients 310.6 KiB, optimizer 621.2 KiB, activations 13.8 KiB, batch 98.0 KiB
    """
    shapes = model.input_shapes or list(model.known_shapes())
    if not model.built or not shapes:
        raise GraphError(f"{model.title} has not met its input yet: build it first, as in net.build((None, 784))")
    training = training_of(model)
    chosen = optimizer if optimizer is not None else training.chosen or training.optimizer or "adam"
    parameters = trainable(model)
    own = list(model.state.of_kind("trainable", "statistic").values())
    dtype = next((v.dtype for v in own), model.dtype or get_default_dtype())
    low = check_precision(precision, dtype)
    kept, workspace = _kept(model, [(batch_size, *s[1:]) for s in shapes], dtype, low, list(parameters.values()))
    learned = sum(bytes_of(p) for p in parameters.values())
    rows = sum(prod(s[1:]) for s in shapes) * batch_size * accumulate
    return Memory(
        sum(bytes_of(v) for v in own), learned, _remembered(get_optimizer(chosen), list(parameters.values())), kept,
        rows * dtype.itemsize, workspace,
    )  # fmt: skip


def _remembered(rule: Optimizer, parameters: Sequence[Tensor]) -> int:
    if isinstance(rule, Minimizer):
        size = sum(p.size for p in parameters)
        return sum(v.nbytes for v in rule.start(size, parameters[0].dtype).values()) if parameters else 0
    return len(rule.slots) * sum(bytes_of(p) for p in parameters)


def _kept(
    model: Module, shapes: Sequence[Any], dtype: DType, low: Low | None, parameters: list[Any]
) -> tuple[int, int]:
    """Bytes of what a forward pass keeps for the way back, and of the room that convolutions work in."""
    if not parameters:
        return 0, 0
    mark = 0

    def step(*inputs: Tensor) -> Any:
        nonlocal mark
        outputs = forward(model, inputs[:-1], low, training=True, key=inputs[-1])
        several = outputs if isinstance(outputs, tuple | list) else (outputs,)
        aims = [mean(square(cast(y, dtype))) for y in several if is_float(y.dtype)]
        mark = next_serial()
        return [g for aim in aims for g in grad(aim, parameters)]

    graph = trace(step, [*(placeholder(s, dtype) for s in shapes), placeholder((2,), "uint32", "key")])
    wanted: dict[Tensor, bool] = {}  # what the way back looks at, and whether a product does
    for node in graph.order:
        if node.serial > mark:
            if node.op is item and node.inputs[0].serial < mark:  # a loop kept it
                wanted[node] = True
            for x in node.inputs:
                if x.serial < mark and x.dtype != MANY and not (x := _source(x)).is_leaf:
                    wanted[x] = wanted.get(x, False) or node.op.name in PRODUCTS
    kept = [x for x, product in wanted.items() if product or not _again(x, wanted)]
    rooms = [_patches(n) for n in graph.order if not n.is_leaf]
    return sum(bytes_of(x) for x in kept), max(rooms, default=0)


def _source(x: Tensor) -> Tensor:
    """The node whose values these are."""
    while not x.is_leaf and x.op.name in VIEWS:
        x = x.inputs[0]
    return x


def _again(x: Tensor, wanted: dict[Tensor, bool]) -> bool:
    """Whether a value is cheap to work out again from others that are there anyway."""
    sources = [_source(i) for i in x.inputs]
    return x.op.name in CHEAP and all(s.is_leaf or s in wanted or 4 * s.size < x.size for s in sources)


def _patches(node: Tensor) -> int:
    """The patches of a convolution, which on a CPU is a product of matrices."""
    if node.op.name not in PRODUCTS or node.op.name == "matmul":
        return 0
    large, windows, kernel = {
        "conv": lambda: (node.inputs[0], node, node.inputs[1].shape),
        "conv_transpose": lambda: (node, node.inputs[0], node.inputs[1].shape),
        "conv_kernel": lambda: (node.inputs[0], node.inputs[1], node.shape),
    }[node.op.name]()
    places = prod(kernel[:-2])
    found = prod(windows.shape[:-1]) * places * kernel[-2] * large.dtype.itemsize
    return min(found, PATCH_BYTES) if places > 1 else 0


bind(Module, training_memory=training_memory)
