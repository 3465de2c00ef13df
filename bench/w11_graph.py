"""W11: a scalar graph of 10,000 nodes, built, differentiated by its eight leaves, and run, all anew for each step.

What a loop over numbers makes in a notebook: products, sums, differences and tanh, some results used twice. There is
nothing to vectorise and nothing to keep, so this is the price of a node. Growth over the number of nodes: `growth`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bench.harness import OURS, Agreement, Contestant, Goal, Trainer, Weights, Workload
from bench.results import Settings

__all__ = ["BENCHMARKS", "LEAVES", "NODES", "Kedja", "Number", "expression"]

NODES = 10_000
LEAVES = np.array([0.05, 0.9, 0.8, 1.1, 1.0, 1.2, 0.7, 0.95], np.float32)  # a step in time, then stiffnesses
A_TURN = 8  # nodes that `expression` makes in one turn


def expression(leaves: Sequence[Any], tanh: Callable[[Any], Any], nodes: int = NODES) -> Any:
    """A number that depends on the leaves by way of that many nodes, in whatever framework the leaves come from.

    Place and velocity of a weight on a spring, step after step (leapfrog): a motion that neither dies out nor grows,
    so all derivatives are of ordinary size however long it lasts.
    """
    h, *stiffness = leaves
    place, velocity = stiffness[0], stiffness[1]
    for k in range(nodes // A_TURN):
        v, w = stiffness[k % len(stiffness)], stiffness[(k + 3) % len(stiffness)]
        velocity = velocity - h * tanh(place * v)
        place = place + h * tanh(velocity * w)
    return place


def loss(found: Weights) -> float:
    """One number of all derivatives, each with a weight of its own."""
    return float(np.sum(found[0] * np.arange(1, len(LEAVES) + 1)))


def check(trainer: Trainer) -> float:
    """The derivatives, as one number."""
    trainer.train(1)
    return loss(trainer.weights())


class Grapher(Trainer):
    """What all share: a step makes the graph, its derivatives and their values, and keeps only these."""

    def __init__(self, settings: Settings, nodes: int = NODES) -> None:
        self.nodes = nodes
        self.found: Any = np.zeros(len(LEAVES))

    @abstractmethod
    def step(self) -> Any:
        """The derivatives by the leaves."""

    def reset(self) -> None:
        return

    def train(self, epochs: int) -> int:
        for _ in range(epochs):
            self.found = self.step()
        return epochs

    def weights(self) -> Weights:
        return [np.asarray(self.found, np.float64)]


class Kedja(Grapher):
    """`kj.grad`, then the values of all derivatives at once."""

    def __init__(self, settings: Settings, nodes: int = NODES) -> None:
        import kedja as kj

        super().__init__(settings, nodes)
        self.kj = kj
        self.leaves = [kj.Parameter(float(value)) for value in LEAVES]

    def step(self) -> Any:
        y = expression(self.leaves, self.kj.tanh, self.nodes)
        return self.kj.stack(self.kj.grad(y, self.leaves)).numpy()


class KedjaCompiled(Kedja):
    """A function traced by `kj.compile`, which chooses the engine; a new one each time, so that nothing is kept."""

    def step(self) -> Any:
        def derivatives() -> Any:
            return self.kj.stack(self.kj.grad(expression(self.leaves, self.kj.tanh, self.nodes), self.leaves))

        return self.kj.compile(derivatives)().numpy()


class Torch(Grapher):
    """Tensors of one number and `.backward()`, in one thread: there is nothing to share."""

    def __init__(self, settings: Settings, nodes: int = NODES) -> None:
        import torch

        super().__init__(settings, nodes)
        torch.set_num_threads(1)
        self.torch = torch
        self.leaves: list[Any] = [torch.tensor(float(value), requires_grad=True) for value in LEAVES]

    def step(self) -> Any:
        for leaf in self.leaves:
            leaf.grad = None
        expression(self.leaves, self.torch.tanh, self.nodes).backward()
        return [leaf.grad.item() for leaf in self.leaves]


class Number:
    """A float that remembers what it was made of: the thirty lines everybody writes once."""

    __slots__ = ("bar", "made_of", "value")

    def __init__(self, value: float, *made_of: tuple[Number, float]) -> None:
        self.value, self.made_of, self.bar = value, made_of, 0.0

    def __add__(self, other: Number) -> Number:
        return Number(self.value + other.value, (self, 1.0), (other, 1.0))

    def __sub__(self, other: Number) -> Number:
        return Number(self.value - other.value, (self, 1.0), (other, -1.0))

    def __mul__(self, other: Number) -> Number:
        return Number(self.value * other.value, (self, other.value), (other, self.value))

    def tanh(self) -> Number:
        """tanh."""
        y = float(np.tanh(self.value))
        return Number(y, (self, 1 - y * y))

    def backward(self) -> None:
        """Leave ∂self/∂number in the `bar` of every number above; no recursion, since the graph is deep."""
        order: list[Number] = []
        seen: set[int] = set()
        stack: list[tuple[Number, bool]] = [(self, False)]
        while stack:
            number, done = stack.pop()
            if done:
                order.append(number)
            elif id(number) not in seen:
                seen.add(id(number))
                stack.append((number, True))
                stack += [(above, False) for above, _ in number.made_of]
        self.bar = 1.0
        for number in reversed(order):
            for above, partial_derivative in number.made_of:
                above.bar += number.bar * partial_derivative


class PlainPython(Grapher):
    """No framework at all, in float64."""

    def step(self) -> Any:
        leaves = [Number(float(value)) for value in LEAVES]
        expression(leaves, Number.tanh, self.nodes).backward()
        return [leaf.bar for leaf in leaves]


BENCHMARKS = [
    Workload(
        id="W11",
        title=f"a scalar graph of {NODES:,} nodes and {len(LEAVES)} leaves: build, differentiate, run",
        module=__name__,
        contestants={
            OURS: Contestant(Kedja, ("kedja",), note="kj.grad, .numpy()"),
            "torch_eager": Contestant(Torch, ("torch",), note="tensors of one number, .backward()"),
            "kedja_compiled": Contestant(
                KedjaCompiled, ("kedja", "jax"), optional=True, note="kj.compile of a new function"
            ),
            "plain_python": Contestant(PlainPython, optional=True, note="a class of floats, float64"),
        },
        goals={"torch_eager": Goal(now=0.4)},
        agreement=Agreement(check, 1e-3, "the derivatives by all leaves, weighted and summed"),
        loss=loss,
        epochs=4,
        quick_epochs=2,
        warm_up_epochs=1,
    )
]
