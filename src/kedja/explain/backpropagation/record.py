"""One training step of a model as a graph, traced with its layers, and its numbers on either engine."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from kedja.engines import Engine, get_engine
from kedja.engines.engine import Program
from kedja.errors import DataError
from kedja.explain.backpropagation.backward import Backward
from kedja.explain.backpropagation.calls import Call
from kedja.graph.node import CONSTANT, Tensor, ancestors, placeholder
from kedja.graph.trace import Graph, trace
from kedja.graph.variables import State, Variable
from kedja.nn import losses
from kedja.nn.layers.call import watching
from kedja.nn.layers.layer import Layer, trainable
from kedja.nn.losses import CrossEntropy, Loss
from kedja.nn.model import Module
from kedja.ops import mean, random
from kedja.ops import sum as total
from kedja.ops.control import MANY
from kedja.optim import Optimizer
from kedja.optim import get as get_optimizer
from kedja.optim.minimizer import Minimizer
from kedja.train.evaluation import as_inputs, as_targets
from kedja.train.scalars import penalties_of
from kedja.train.step import losses_of
from kedja.train.training import training_of

__all__ = ["Record", "computed", "ready"]

Array = np.ndarray[Any, Any]
Values = dict[Tensor, Array]


def ready(model: Module, x: Any, y: Any, loss: Any, optimizer: Any, seed: int) -> tuple[Any, Any, Loss, Optimizer]:
    """Inputs and targets as arrays (a single example becomes a batch of one), the loss and the optimiser.

    Where no loss or optimiser is given, those the model was compiled or fitted with are taken; else plain descent.
    """
    if not isinstance(model, Module):
        raise DataError(f"explain takes a model, kj.Sequential([...]) or another; got {type(model).__name__}")
    training = training_of(model)
    chosen = losses.get(loss) if loss is not None else training.loss
    if chosen is None:
        raise DataError('explain needs the loss the model is trained with: loss="sse", or another of kj.losses')
    if optimizer is None:
        optimizer = training.chosen or training.optimizer or "sgd"
    rule = get_optimizer(optimizer)
    if isinstance(rule, Minimizer):
        raise DataError(
            f"{type(rule).__name__} asks for the loss at several points before it moves, so a step of it is no "
            "formula. Explain kj.optim.SGD(...), Adam(...) or another rule made of named steps."
        )
    parts = list(x) if isinstance(x, tuple) else [x]
    arrays = [np.asarray(p.numpy() if isinstance(p, Tensor) else p) for p in parts]
    shapes = model.input_shapes or model.known_shapes()
    single = arrays[0].ndim == (len(shapes[0]) - 1 if shapes else 0 if arrays[0].ndim != 1 else 1)
    targets = np.asarray(y.numpy() if isinstance(y, Tensor) else y)
    if single:
        arrays, targets = [a[None] for a in arrays], targets[None]
    given = tuple(arrays) if isinstance(x, tuple) else arrays[0]
    if not model.built:
        model.build(*[(None, *a.shape[1:]) for a in arrays], seed=seed)
    inputs = as_inputs(model, given)
    output = trace(lambda *xs: model(*xs), [(a.shape, a.dtype) for a in inputs]).outputs
    if len(output) != 1:
        raise DataError(f"explain works on models with one output; this one has {len(output)}")
    if targets.ndim == 0 or (single and targets.ndim == 1 and targets.shape != output[0].shape[:1]):
        targets = targets.reshape(1, -1)
    return inputs, as_targets(model, targets, len(inputs[0]), chosen, output[0].shape), chosen, rule


class Record:
    """Forward pass, loss and backward pass of one step: the graph, who made which node, and its inputs' numbers."""

    def __init__(
        self, model: Module, x: Sequence[Array], t: Array, loss: Loss, optimizer: Optimizer, *,
        training: bool = True, seed: int = 0,
    ) -> None:  # fmt: skip
        self.model, self.loss, self.seed, self.training = model, loss, seed, training
        self.calls: list[Call] = []  # of layers that have weights of their own or no layers inside
        self.inputs = [placeholder(a.shape, a.dtype, "x" if len(x) == 1 else f"x{i + 1}") for i, a in enumerate(x)]
        self.target = placeholder(t.shape, t.dtype, "t")
        self.key = placeholder((2,), "uint32", "key")
        self.arrays: list[Array] = [*x, t]
        self.parameters: dict[str, Variable] = trainable(model)
        if not self.parameters:
            raise DataError("nothing can be learned: every layer is frozen, or none has weights")
        self.penalties = penalties_of(self.parameters, training_of(model).regularizer)
        graph = trace(self._step, [*self.inputs, self.target, self.key])
        self.aim, self.each, self.output = graph.outputs[:3]
        self.updates = graph.updates
        self.paths: dict[Variable, str] = {v: path for path, v in model.state.items()}
        self.optimizer = present(optimizer, training_of(model))
        self.memory = memory_of(model, optimizer, self.parameters)
        self.order = ancestors([self.aim, self.output])
        wrt = list(self.parameters.values())
        self.backward = Backward(self.aim, wrt)
        absent = [p for p, v in self.parameters.items() if v not in self.backward.totals]
        if len(absent) == len(self.parameters):
            raise DataError(
                "the loss does not depend on any weight of the model, so there is nothing to propagate back"
            )
        self.reached = {p: v for p, v in self.parameters.items() if v in self.backward.totals}

    def _step(self, *nodes: Tensor) -> list[Tensor]:
        *xs, t, key = nodes

        def watch(layer: Layer, path: str, inputs: Any, y: Any) -> None:
            inner = any(isinstance(value, Layer) for _, value in layer.members())
            own = any(isinstance(value, Variable) for _, value in layer.members())
            if isinstance(y, Tensor) and (own or not inner):
                known = tuple(x for x in inputs if isinstance(x, Tensor))
                self.calls.append(Call(layer, path or type(layer).__name__.lower(), known, y))

        with watching(watch):
            y = self.model(*xs, training=self.training, key=key)
        each = losses_of(self.model, self.loss, t, y)
        aim = mean(each) if self.loss.reduction == "mean" else total(each)
        for parameter, regularizer in self.penalties:
            aim = aim + regularizer.penalty(parameter)
        return [aim, each, y]

    def given(self, step: int = 0) -> Values:
        """The numbers of the inputs: the examples, and the key of this step."""
        key = random.fold_array(random.key_words(self.seed), step)
        return dict(zip([*self.inputs, self.target, self.key], [*self.arrays, key], strict=True))

    def state(self) -> dict[Variable, Array]:
        """The present values of all variables of the model and of the optimiser."""
        every = [*self.model.state.values(), *self.memory.values()]
        return {v: np.array(v.value) for v in every}

    def rule_steps(self, gradients: Mapping[str, Tensor], named: Optimizer | None = None) -> list[tuple[str, Any]]:
        """The optimiser's named steps for these gradients."""
        parameters = {p: self.parameters[p] for p in self.reached}
        rule = named or self.optimizer
        return list(rule.named_steps(parameters, [gradients[p] for p in self.reached], self.memory))

    def gradients(self) -> dict[str, Tensor]:
        """∂E/∂parameter by path."""
        return {p: self.backward.totals[v] for p, v in self.reached.items()}

    @property
    def uses_logits(self) -> Tensor | None:
        """The pre-activation a cross-entropy is taken of, whose derivative is then a − t."""
        if isinstance(self.loss, CrossEntropy) and not self.loss.label_smoothing:
            return self.loss.logits(self.output)
        return None


def present(optimizer: Optimizer, training: Any) -> Optimizer:
    """The optimiser with a number for its learning rate, where a schedule gives it."""
    known = training.optimizer is not None and "optimizer.steps" in training.memory
    made = copy.copy(optimizer)
    made.learning_rate = optimizer.rate_at(int(training.memory["optimizer.steps"].value) if known else 0)
    return made


def memory_of(model: Module, optimizer: Optimizer, parameters: Mapping[str, Variable]) -> State:
    """What the optimiser remembers: a copy of the model's own memory of this rule, or a fresh one."""
    training = training_of(model)
    fresh = optimizer.make_slots(parameters)
    same = training.optimizer is not None and training.optimizer.remembered() == optimizer.remembered()
    if same and all(path in training.memory and training.memory[path].shape == v.shape for path, v in fresh.items()):
        for path, variable in fresh.items():
            variable.store(np.array(training.memory[path].value))
    return fresh


def computed(
    nodes: Iterable[Tensor], given: Mapping[Tensor, Any], engine: str | Engine = "reference",
    state: Mapping[Variable, Array] | None = None, programs: dict[Any, Program] | None = None,
) -> Values:  # fmt: skip
    """The numbers of these nodes, in one run of one program."""
    wanted = [n for n in dict.fromkeys(nodes) if n.dtype != MANY]
    values: Values = {}
    asked = []
    for n in wanted:
        if n in given:
            values[n] = np.asarray(given[n])
        elif n.op is CONSTANT:
            values[n] = n.attrs["value"]
        elif isinstance(n, Variable):
            values[n] = np.asarray(n.value if state is None or n not in state else state[n])
        else:
            asked.append(n)
    if asked:
        kind = get_engine("reference" if engine == "auto" else engine)
        key = (kind.name, tuple(n.serial for n in asked))
        program = (programs or {}).get(key)
        if program is None:
            program = kind.program(Graph(list(given), asked))
            if programs is not None:
                programs[key] = program
        held = [v.raw if state is None or v not in state else state[v] for v in program.variables]
        _, outputs = program(held, [np.asarray(v) for v in given.values()])
        values |= {n: np.asarray(v) for n, v in zip(asked, outputs, strict=True)}
    return values
