"""`fit`: from arrays, a loss and an optimiser to a trained model and its History."""

from __future__ import annotations

import difflib
import inspect
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kedja.data.dataset import Dataset
from kedja.data.split import split_rows
from kedja.data.weights import class_weights
from kedja.engines import choose
from kedja.engines.engine import Engine
from kedja.errors import DataError, GraphError
from kedja.graph.trace import Graph
from kedja.graph.variables import Variable
from kedja.nn import initializers, losses, regularizers
from kedja.nn.layers.layer import Layer, fresh_seed, trainable
from kedja.nn.losses import Loss
from kedja.nn.model import Module
from kedja.ops.random import key_words
from kedja.optim import Minimizer
from kedja.optim import get as get_optimizer
from kedja.optim.iterations import MinimizerLoop
from kedja.train.callbacks import Callback
from kedja.train.evaluation import as_inputs, as_targets, evaluator, output_shape
from kedja.train.history import History
from kedja.train.loop import Runner, TailedLoop
from kedja.train.metrics import Metric, get_all, of_steps
from kedja.train.progress import progress
from kedja.train.run import Course, Run, arguments_of
from kedja.train.scalars import Scalars, penalties_of
from kedja.train.step import Batch, columns, training_graph
from kedja.train.training import Training, training_of

__all__ = ["Training", "fit", "trainable", "training_of"]

Array = np.ndarray[Any, Any]


def unpacked(x: Any, y: Any, what: str = "x", model: Module | None = None) -> tuple[Any, Any]:
    """x and y, from two arguments or from one data set, whose mask goes with x where the model takes two inputs."""
    if isinstance(x, Dataset):
        if y is not None:
            raise DataError("give either a data set or x and y, not both")
        both = x.mask is not None and model is not None and len(model.input_shapes or model.known_shapes()) == 2
        return ((x.x, x.mask) if both else x.x), x.y
    if y is None:
        if isinstance(x, tuple) and len(x) == 2:
            return x
        raise DataError(f"{what} has no targets: give x and y, or a data set that has both")
    return x, y


def whole(name: str, value: Any, least: int = 1) -> int:
    """A whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise DataError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return int(value)


@dataclass
class Wish:
    """What `fit` was asked for."""

    loss: Any
    optimizer: Any
    epochs: int
    batch_size: int | None
    validation: Any
    metrics: Any
    shuffle: bool
    seed: int | None
    sample_weight: Any
    class_weight: Any
    regularizer: Any
    callbacks: Any
    engine: str | Engine
    verbose: int | None


def fit(
    model: Module,
    x: Any,
    y: Any = None,
    *,
    loss: Any = None,
    optimizer: Any = None,
    epochs: int = 1,
    batch_size: int | None = 32,
    validation: Any = None,
    metrics: Any = None,
    shuffle: bool = True,
    seed: int | None = None,
    sample_weight: Any = None,
    class_weight: Any = None,
    regularizer: Any = None,
    callbacks: Any = (),
    engine: str | Engine = "auto",
    verbose: int | None = None,
    **unknown: Any,
) -> History:
    """Train by gradient descent on x and y, or on a data set; returns the History, with the reason it stopped.

    `loss`, `optimizer` and `metrics` are names or objects (or were given to `compile`). `batch_size` None takes all
    rows at once, without shuffling. `validation` is a share of the rows (taken after a seeded shuffle), a pair (x, y)
    or a data set, and is evaluated after every epoch. `sample_weight` is a number per row, `class_weight` a number per
    class or "balanced". `regularizer` is a penalty on every kernel that has none of its own. `callbacks` are told of
    every epoch. `seed` decides starting weights, order and every random number;
    without one it is drawn and recorded. A second call continues where the first ended; `reset()` starts over. Ctrl-C
    ends the run after the present step and keeps everything; a loss that is not finite ends it with DivergedError,
    the weights as they were after the last good epoch.

    >>> import kedja as kj
    >>> x, y = kj.data.load("xor")
    >>> net = kj.Sequential([kj.nn.Dense(4, activation="tanh"), kj.nn.Dense(1, activation="sigmoid")])
    >>> history = net.fit(x, y, loss="mse", optimizer=kj.optim.Adam(0.05), epochs=500, batch_size=None, seed=1)
    >>> bool(history["loss"][-1] < history["loss"][0] / 10), history.stopped
    (True, 'ran all 500 epochs')
    """
    refuse_foreign(unknown)
    training = training_of(model)
    if not training.busy.acquire(blocking=False):
        raise GraphError("this model is being trained already, in another thread: wait for it, or train a copy")
    try:
        return _fit(
            model, training, x, y,
            Wish(
                loss, optimizer, epochs, batch_size, validation, metrics, shuffle, seed, sample_weight, class_weight,
                regularizer, callbacks, engine, verbose,
            ),
        )  # fmt: skip
    finally:
        training.busy.release()


def _fit(model: Module, training: Training, x: Any, y: Any, wish: Wish) -> History:
    """Check everything, find or compile the loop, run it; a call that is refused leaves the model as it was."""
    began = time.perf_counter()
    epochs = whole("epochs", wish.epochs)
    progress(None, verbose=wish.verbose)  # refuses what is no verbosity before anything is done
    batch_size = None if wish.batch_size is None else whole("batch_size", wish.batch_size)
    chosen = losses.get(wish.loss) if wish.loss is not None else training.loss
    if chosen is None:
        raise DataError(
            'fit needs a loss: loss="mse" for numbers, "binary_cross_entropy" for yes or no, "cross_entropy" for '
            f"classes. Known: {', '.join(losses.LOSSES)}."
        )
    given = wish.optimizer if wish.optimizer is not None else training.chosen or training.optimizer or "adam"
    rule = get_optimizer(given)
    measures = get_all(wish.metrics) if wish.metrics is not None else training.metrics
    penalty = regularizers.get(wish.regularizer) if wish.regularizer is not None else training.regularizer
    in_steps = of_steps(measures, validated=wish.validation is not None)
    hooks = as_callbacks(wish.callbacks)
    seed = wish.seed
    if seed is None:
        seed = training.seed if training.seed is not None else fresh_seed()
    words = key_words(seed)

    undo = None if model.built else model.restore_point()
    before = dict(vars(training))  # a call that is refused leaves the model and its memory as they were
    try:
        x, y = unpacked(x, y, model=model)
        inputs = as_inputs(model, x, learning=True)
        rows = len(inputs[0])
        fresh = not model.built
        model.build(*((None, *a.shape[1:]) for a in inputs), seed=seed)
        outputs = output_shape(model, inputs)
        y = as_targets(model, y, rows, chosen, outputs, learning=True)
        weights = row_weights(wish, y, rows, inputs[0].dtype)
        learn, held_out = parted(model, inputs, y, weights, wish.validation, seed, chosen, outputs)
        inputs, y, weights = learn
        rows = len(y)
        parameters = trainable(model)
        if not parameters:
            raise GraphError("the model has no parameter that can learn: every layer is frozen, or none has weights")
        full = batch_size is None or rule.full_batch or batch_size >= rows
        size = rows if full else int(batch_size)  # type: ignore[arg-type]
        training.use(rule, parameters)
        scalars = Scalars(model, rule, penalties_of(parameters, penalty))
        with_norm = any("gradient_norm" in hook.needs for hook in hooks)
        data = [*inputs, y] + ([] if weights is None else [weights])
        program = StepProgram(model, training, chosen, in_steps, scalars, parameters, with_norm, wish.engine)
        loop, key, names = program.loop(inputs, y, weights is not None, rows, size, full)
        judge = None
        if held_out is not None:
            judge = evaluator(model, chosen, measures, *held_out, loop.report.engine)
    except BaseException:
        vars(training).update(before)
        if undo is not None:
            undo()
        raise
    training.loss, training.metrics, training.seed, training.chosen = chosen, measures, seed, rule
    training.regularizer = penalty
    compiled_before = loop.report.compile_seconds + loop.report.lower_seconds

    history = History(
        seed=seed, engine=loop.report.engine,
        settings={
            "loss": chosen.name, "optimizer": rule.config(), "batch_size": size, "rows": rows,
            "shuffle": wish.shuffle and not full,
            **({"regularizer": penalty.config()} if penalty is not None else {}),
        },
    )  # fmt: skip
    if fresh:
        warn_of_equal_units(model)
    course = Course(epochs, rows, size, full, wish.shuffle, words, names)
    paths = {v: path for path, v in model.state.items()}
    runner = Runner(loop, data, arguments_of(scalars, model, words), course.spe, paths)
    run = Run(model, training, runner, history, judge, in_steps, course, scalars, hooks)
    try:
        run.go(training.paces.get(key), wish.verbose)
    finally:
        training.paces[key] = run.pace or 0.0
        history.seconds = time.perf_counter() - began
        history.compile_seconds = loop.report.compile_seconds + loop.report.lower_seconds - compiled_before
        model.__dict__["history"] = history
    return history


class StepProgram:
    """The compiled steps of one way to train: found among those the model has, or made."""

    def __init__(
        self, model: Module, training: Training, loss: Loss, metrics: Sequence[Metric], scalars: Scalars,
        parameters: dict[str, Variable], with_norm: bool, engine: str | Engine,
    ) -> None:  # fmt: skip
        self.model, self.training, self.loss, self.metrics = model, training, loss, metrics
        self.scalars, self.parameters, self.with_norm, self.engine = scalars, parameters, with_norm, engine

    def loop(
        self, inputs: Sequence[Array], y: Array, weighted: bool, rows: int, size: int, full: bool
    ) -> tuple[Any, Any, list[str]]:
        """The loop, what it is known by, and what its outputs are."""
        left = 0 if full else rows % size
        coupled = bool(left) and any(layer.couples_rows for layer in self.learning_layers())
        batch = Batch(inputs, y, size, weighted, padded=bool(left) and not coupled)
        name = self.engine if isinstance(self.engine, str) else self.engine.name
        key = (
            batch.key(), self.loss.structure(), tuple(m.structure() for m in self.metrics),
            self.scalars.structure(), name, full, tuple(self.parameters), self.frozen(), rows, self.with_norm,
            tuple(repr(getattr(p, "constraint", None)) for p in self.parameters.values()),
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

    def columns(self, graph: Graph, batch: Batch) -> list[str]:
        """What each number is that the graph puts out."""
        return columns(graph, self.metrics, batch, bool(self.scalars.penalties), self.with_norm)

    def made(self, batch: Batch, full: bool) -> Any:
        """A loop compiled for batches of this size."""
        graph = training_graph(
            self.model, self.loss, self.scalars, self.training.memory, self.metrics, batch, self.parameters,
            self.with_norm,
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


def warn_of_equal_units(model: Module) -> None:
    """Say so when the units of a layer start alike: they get the same gradient and stay alike (scope 4.6)."""
    alike = initializers.symmetric(model)
    if alike:
        warnings.warn(
            f"all units of {', '.join(alike)} start with the same weights. Unless what follows tells them apart, they "
            'learn the same for ever: use init="auto" or another random start.',
            stacklevel=4,
        )


def row_weights(wish: Wish, y: Array, rows: int, dtype: Any) -> Array | None:
    """What each row weighs: its own weight times that of its class; None when all weigh the same."""
    own = None if wish.sample_weight is None else as_weights(wish.sample_weight, rows)
    if wish.class_weight is not None:
        of_class = class_weights(y, wish.class_weight)
        own = of_class if own is None else own * of_class
    return None if own is None else own.astype(dtype)


def as_callbacks(callbacks: Any) -> list[Callback]:
    """The callbacks, each an object; one alone is taken too."""
    several = callbacks is None or isinstance(callbacks, list | tuple)
    found = list(callbacks or ()) if several else [callbacks]
    for hook in found:
        if not isinstance(hook, Callback):
            hint = " Write it with brackets." if isinstance(hook, type) else ""
            raise DataError(f"callbacks are objects made from kj.callbacks.Callback, got {hook!r}.{hint}")
    return found


Part = tuple[list[Array], Array, Array | None]  # inputs, targets, weights


def parted(
    model: Module, inputs: list[Array], y: Array, weights: Array | None, validation: Any, seed: int, loss: Loss,
    outputs: tuple[int, ...],
) -> tuple[Part, Part | None]:  # fmt: skip
    """The rows to learn from, and those to validate on: a share of them, or others that were given."""
    if validation is None:
        return (inputs, y, weights), None
    if isinstance(validation, Dataset) or (isinstance(validation, list | tuple) and len(validation) == 2):
        given_x, given_y = validation if isinstance(validation, list | tuple) else (validation, None)
        vx, vy = unpacked(given_x, given_y, model=model)
        v_inputs = as_inputs(model, vx, "validation x")
        vy = as_targets(model, vy, len(v_inputs[0]), loss, outputs, "validation y")
        return (inputs, y, weights), (v_inputs, vy, None)
    if not isinstance(validation, float | np.floating) or not 0 < validation < 1:
        raise DataError(
            "validation is a share of the rows between 0 and 1, a pair (x, y) or a data set; "
            f"got {validation if isinstance(validation, int | float) else type(validation).__name__}"
        )
    keep, held = split_rows(len(y), test=float(validation), seed=seed)

    def of(rows: Array) -> Part:
        return [a[rows] for a in inputs], y[rows], None if weights is None else weights[rows]

    return of(keep), of(held)


def as_weights(weights: Any, rows: int) -> Array:
    """Sample weights as an array: one finite number ≥ 0 per row, not all 0."""
    array = np.asarray(weights, np.float64)
    if array.shape != (rows,):
        raise DataError(f"sample_weight needs one number for each of the {rows} rows; got shape {array.shape}")
    wrong = np.flatnonzero(~(np.isfinite(array) & (array >= 0)))
    if wrong.size:
        raise DataError(f"sample_weight must be finite and at least 0; row {wrong[0]} has {array[wrong[0]]:g}")
    if not array.sum():
        raise DataError("sample_weight is 0 for every row: there is nothing to learn from")
    return array


ELSEWHERE = {
    "alpha": "kedja spells it regularizer=kj.regularizers.L2(alpha), on every kernel",
    "criterion": "kedja spells it loss=",
    "dropout": "dropout is a layer: kj.nn.Dropout(0.5)",
    "early_stopping": "kedja spells it callbacks=[kj.callbacks.EarlyStopping()]",
    "eta": "the rate belongs to the optimiser: optimizer=kj.optim.SGD(0.1)",
    "learning_rate": "the rate belongs to the optimiser: optimizer=kj.optim.SGD(0.1)",
    "lr": "the rate belongs to the optimiser: optimizer=kj.optim.SGD(0.1)",
    "max_iter": "kedja spells it epochs=",
    "momentum": "the momentum belongs to the optimiser: optimizer=kj.optim.SGD(0.1, momentum=0.9)",
    "n_epochs": "kedja spells it epochs=",
    "random_state": "kedja spells it seed=",
    "penalty": "kedja spells it regularizer=",
    "validation_data": "kedja spells it validation=(x, y)",
    "validation_fraction": "kedja spells it validation=0.1",
    "validation_split": "kedja spells it validation=0.1",
    "weight_decay": "decay belongs to the optimiser: optimizer=kj.optim.AdamW(weight_decay=0.01)",
}


def refuse_foreign(unknown: dict[str, Any]) -> None:
    """Arguments that peers have and we spell otherwise get our spelling; others the list of ours."""
    for name in unknown:
        ours = [p for p in inspect.signature(fit).parameters if p not in ("model", "unknown")]
        near = difflib.get_close_matches(name, ours, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(ours)}"
        raise TypeError(f"fit() has no argument {name!r}: {ELSEWHERE.get(name, hint)}")
