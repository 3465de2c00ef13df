"""`fit`: from arrays, a loss and an optimiser to a trained model and its History."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from kedja.data.dataset import Dataset
from kedja.data.split import split_rows
from kedja.engines import choose
from kedja.engines.engine import Engine, Loop
from kedja.errors import DataError, DivergedError, GraphError
from kedja.graph.variables import State, Variable
from kedja.nn import losses
from kedja.nn.layers.layer import Layer, fresh_seed
from kedja.nn.losses import Loss
from kedja.nn.model import Module
from kedja.ops.random import fold_array, key_words
from kedja.optim import Optimizer
from kedja.optim import get as get_optimizer
from kedja.train.evaluation import Evaluator, as_inputs, as_targets, output_shape
from kedja.train.history import History
from kedja.train.loop import MOST_ROWS, MOST_STEPS, Chunks, Runner, interruptible, orders
from kedja.train.metrics import Metric, get_all
from kedja.train.progress import progress
from kedja.train.step import Batch, training_graph

__all__ = ["Training", "fit"]

Array = np.ndarray[Any, Any]


class Training:
    """What a model remembers between calls of `fit`: how it is trained, how far it is, and its compiled programs."""

    def __init__(self) -> None:
        self.loss: Loss | None = None
        self.optimizer: Optimizer | None = None  # whose memory this is
        self.chosen: Optimizer | None = None  # what `compile` said
        self.metrics: list[Metric] = []
        self.memory = State()
        self.seed: int | None = None
        self.epochs = 0
        self.loops: dict[Any, Loop] = {}
        self.paces: dict[Any, float] = {}
        self.programs: dict[Any, Any] = {}

    def clear(self) -> None:
        """Forget progress and the optimiser's memory, in place: compiled programs stay."""
        self.epochs = 0
        for variable in self.memory.values():
            variable.store(np.zeros(variable.shape, variable.dtype))

    def use(self, optimizer: Optimizer, parameters: dict[str, Variable]) -> None:
        """Take an optimiser; its memory is kept when it is of the same kind as before, for the same parameters."""
        same = self.optimizer is not None and self.optimizer.structure() == optimizer.structure()
        needed = {f"optimizer.{p}.{s}" for p in parameters for s in optimizer.slots}
        if not (same and needed <= set(self.memory)):
            steps = self.memory["optimizer.steps"] if "optimizer.steps" in self.memory else None
            self.memory = optimizer.make_slots(parameters)
            if steps is not None:
                self.memory["optimizer.steps"].store(steps.value if same else np.zeros((), np.int64))
            self.loops.clear()
        self.optimizer = optimizer


def training_of(model: Module) -> Training:
    """The model's own Training."""
    found = model.__dict__.get("_training")
    if found is None:
        found = model.__dict__["_training"] = Training()
    return found


def trainable(model: Layer, prefix: str = "", frozen: bool = False, seen: set[Any] | None = None) -> dict[str, Variable]:
    """The parameters that learning may change: those of layers that are not frozen, each once."""
    seen = set() if seen is None else seen
    frozen = frozen or not model.trainable
    found: dict[str, Variable] = {}
    for name, value in model.members():
        path = f"{prefix}.{name}" if prefix else name
        if isinstance(value, Layer):
            found.update(trainable(value, path, frozen, seen))
        elif value.trainable and value not in seen:
            seen.add(value)
            if not frozen:
                found[path] = value
    return found


def unpacked(x: Any, y: Any, what: str = "x") -> tuple[Any, Any]:
    """x and y, from two arguments or from one data set."""
    if isinstance(x, Dataset):
        if y is not None:
            raise DataError("give either a data set or x and y, not both")
        return x.x, x.y
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
    engine: str | Engine = "auto",
    verbose: int | None = None,
    **unknown: Any,
) -> History:
    """Train by gradient descent on x and y, or on a data set; returns the History, with the reason it stopped.

    `loss`, `optimizer` and `metrics` are names or objects (or were given to `compile`). `batch_size` None takes all
    rows at once, without shuffling. `validation` is a share of the rows (taken after a seeded shuffle), a pair (x, y) or
    a data set, and is evaluated after every epoch. `seed` decides starting weights, order and every random number; without
    one it is drawn and recorded. A second call continues where the first ended; `reset()` starts over. Ctrl-C ends the
    run after the present step and keeps everything; a loss that is not finite ends it with DivergedError, the weights
    as they were after the last good epoch.

    >>> import kedja as kj
    >>> x, y = kj.data.load("xor")
    >>> net = kj.Sequential([kj.nn.Dense(4, activation="tanh"), kj.nn.Dense(1, activation="sigmoid")])
    >>> history = net.fit(x, y, loss="mse", optimizer=kj.optim.Adam(0.05), epochs=500, batch_size=None, seed=1)
    >>> bool(history["loss"][-1] < history["loss"][0] / 10), history.stopped
    (True, 'ran all 500 epochs')
    """
    refuse_foreign(unknown)
    began = time.perf_counter()
    training = training_of(model)
    epochs = whole("epochs", epochs)
    x, y = unpacked(x, y)
    inputs = as_inputs(model, x)
    rows = len(inputs[0])
    chosen = losses.get(loss) if loss is not None else training.loss
    if chosen is None:
        losses.get(loss if loss is not None else "no loss given")
    assert chosen is not None
    rule = get_optimizer(optimizer if optimizer is not None else training.chosen or training.optimizer or "adam")
    measures = get_all(metrics) if metrics is not None else training.metrics
    if batch_size is not None:
        batch_size = whole("batch_size", batch_size)

    if seed is None:
        seed = training.seed if training.seed is not None else fresh_seed()
    words = key_words(seed)
    if not model.built:
        model.build(*((None, *a.shape[1:]) for a in inputs), seed=seed)
    outputs = output_shape(model, inputs)
    y = as_targets(model, y, rows, chosen, outputs)
    weights = None if sample_weight is None else as_weights(sample_weight, rows)

    held_out = None
    if isinstance(validation, float):
        if not 0 < validation < 1 or weights is not None:
            raise DataError(f"validation is a share between 0 and 1 (without sample weights), a pair or a data set; got {validation}")
        keep, held = split_rows(rows, validation, seed)
        held_out = [a[held] for a in inputs], y[held]
        inputs, y, rows = [a[keep] for a in inputs], y[keep], len(keep)
    elif validation is not None:
        vx, vy = unpacked(*validation) if isinstance(validation, tuple) else unpacked(validation, None, "validation")
        v_inputs = as_inputs(model, vx, "validation x")
        held_out = v_inputs, as_targets(model, vy, len(v_inputs[0]), chosen, outputs)

    full = batch_size is None or rule.full_batch or batch_size >= rows
    size = rows if full else int(batch_size)  # type: ignore[arg-type]
    parameters = trainable(model)
    if not parameters:
        raise GraphError("the model has no parameter that can learn: every layer is frozen, or none has weights")
    training.use(rule, parameters)
    training.loss, training.metrics, training.seed = chosen, measures, seed
    batch = Batch(inputs, y, size, weights is not None, padded=not full and rows % size != 0)
    name = engine if isinstance(engine, str) else engine.name
    key = (batch.key(), repr(chosen), rule.structure(), tuple(m.name for m in measures), name, full, tuple(parameters), rows)
    loop = training.loops.get(key)
    if loop is None:
        graph = training_graph(model, chosen, rule, training.memory, measures, batch, parameters)
        loop = choose(engine, graph).loop(graph, data=len(inputs) + 1, padded=batch.padded, ordered=not full)
        training.loops[key] = loop
    compiled_before = loop.report.compile_seconds + loop.report.lower_seconds

    history = History(
        seed=seed, engine=loop.report.engine,
        settings={"loss": chosen.name, "optimizer": rule.config(), "batch_size": size, "rows": rows, "shuffle": shuffle and not full},
    )  # fmt: skip
    dtype = next(iter(parameters.values())).dtype
    arguments = [*(np.asarray(v, dtype) for v in rule.scalar_values()), words]
    data = [*inputs, y] + ([] if weights is None else [weights.astype(dtype)])
    judge = None
    if held_out is not None:
        judge = Evaluator(model, chosen, measures, held_out[0], held_out[1], loop.report.engine)
    run = _Run(model, training, Runner(loop, data, arguments, -(-rows // size)), history, judge, measures, batch)
    try:
        run.go(epochs, full, shuffle, words, rows, size, training.paces.get(key), verbose)
    finally:
        training.paces[key] = run.pace or 0.0
        history.seconds = time.perf_counter() - began
        history.compile_seconds = loop.report.compile_seconds + loop.report.lower_seconds - compiled_before
        model.__dict__["history"] = history
    return history


class _Run:
    """One call of `fit`, once everything is prepared."""

    def __init__(
        self, model: Module, training: Training, runner: Runner, history: History, judge: Evaluator | None,
        metrics: Sequence[Metric], batch: Batch,
    ) -> None:  # fmt: skip
        self.model, self.training, self.runner = model, training, runner
        self.history, self.judge, self.metrics, self.batch = history, judge, metrics, batch
        self.pending: list[Array] = []  # outputs of steps whose epoch is not finished
        self.pace: float | None = None
        self.latest: dict[str, float] | None = None  # the figures of the last finished epoch

    def go(
        self, epochs: int, full: bool, shuffle: bool, words: Array, rows: int, size: int, pace: float | None, verbose: Any
    ) -> None:
        """Run the epochs, in blocks whose order is laid out at once, in chunks short enough to be interrupted."""
        spe = self.runner.spe
        block = MOST_STEPS if full else max(1, min(MOST_ROWS // (spe * size), MOST_STEPS // spe))
        chunks = Chunks(spe, self.judge is not None, pace or None)
        done_epochs, first = 0, self.training.epochs
        self.rows = rows
        with interruptible() as interrupt, progress(epochs * spe, verbose=verbose, epochs=first + epochs) as bar:
            while done_epochs < epochs:
                here = min(block, epochs - done_epochs)
                laid = None if full else self.runner.loop.put(
                    orders(words, rows, size, first + done_epochs, here, block, shuffle)
                )
                start, end = 0, here * spe
                while start < end:
                    stop = chunks.stop(start, end)
                    before = self.runner.state
                    result = chunks.timed(lambda a=start, b=stop, o=laid: self.runner.run(self.runner.state, o, a, b), stop - start)
                    self.pace = chunks.pace
                    if not result.finite:
                        self.diverged(before, laid, start, result.done, first + done_epochs)
                    self.runner.state = list(result.state)
                    self.take(result.outputs, stop % spe == 0)
                    start = stop
                    finished = self.training.epochs
                    bar.update(done_epochs * spe + start, epoch=finished, values=self.latest)
                    if interrupt.pressed:
                        self.interrupted(done_epochs * spe + start)
                        return
                done_epochs += here
        self.runner.store(self.runner.state)
        self.history.stopped = f"ran all {epochs} epoch{'s' if epochs != 1 else ''}"

    def take(self, outputs: Array, at_epoch_end: bool) -> None:
        """Average the outputs of finished epochs into the History; evaluate when there is something to evaluate on."""
        spe = self.runner.spe
        self.history.steps += len(outputs)
        self.pending.append(outputs)
        if not at_epoch_end:
            return
        table = np.concatenate(self.pending) if len(self.pending) > 1 else self.pending[0]
        self.pending = []
        n = len(table) // spe
        names = ["loss", *(m.name for m in self.metrics)]
        if spe == 1:
            means = table[:, : len(names)].astype(np.float64)
        else:
            steps = table.reshape(n, spe, -1).astype(np.float64)
            weight = steps[:, :, len(names)] if self.batch.weighted else self.rows_per_step()[None, :]
            means = (steps[:, :, : len(names)] * weight[:, :, None]).sum(1) / weight.sum(1)[:, None]
        figures = dict(zip(names, means.T, strict=True))
        for m in self.metrics:
            figures[m.name] = m.finish(figures[m.name])
        first = self.training.epochs
        self.training.epochs += n
        self.runner.store(self.runner.state)
        if self.judge is not None:
            figures.update({f"val_{k}": np.array([v]) for k, v in self.judge().items()})
        self.history.extend(np.arange(first + 1, first + n + 1), figures)
        self.latest = {name: float(values[-1]) for name, values in figures.items()}

    def rows_per_step(self) -> Array:
        """How many real rows each step of an epoch has."""
        counts = np.full(self.runner.spe, float(self.batch.rows))
        counts[-1] = self.rows - self.batch.rows * (self.runner.spe - 1)
        return counts

    def interrupted(self, steps: int) -> None:
        """Ctrl-C: the weights of the last step are kept."""
        self.runner.store(self.runner.state)
        self.history.stopped = f"interrupted by Ctrl-C after {steps:,} steps ({len(self.history)} whole epochs)"

    def diverged(self, before: Sequence[Any], order: Any, start: int, done: int, first: int) -> None:
        """A number is not finite: find the step and the op, go back to the last good epoch end, and say so."""
        runner, spe = self.runner, self.runner.spe
        last = runner.last_finite(before, order, start, done)
        good = last // spe * spe
        if good >= start:
            keep = runner.replayed(before, order, start, good)
            rows = runner.run(before, order, start, good).outputs if good > start else None
        else:  # the epoch began in an earlier chunk: back to the values the variables hold, those of its beginning
            keep, rows = [v.raw for v in runner.loop.variables], None
        broken = runner.first_bad_number(runner.replayed(before, order, start, last), order, last)
        runner.store(keep)
        self.pending = []
        if rows is not None and len(rows):
            self.judge = None
            self.take(rows, True)
        epoch = first + last // spe + 1
        rate = self.training.optimizer.learning_rate if self.training.optimizer is not None else float("nan")
        self.history.stopped = f"diverged in epoch {epoch}, step {last % spe + 1} of {spe}: {broken}"
        error = DivergedError(
            f"training diverged in epoch {epoch}, step {last % spe + 1} of {spe}: the first number that is not finite arose "
            f"{broken}. The weights are those after epoch {self.training.epochs}. "
            f"Lower the learning rate (it was {rate:g}), or scale the data."
        )
        error.history = self.history  # type: ignore[attr-defined]
        raise error


def as_weights(weights: Any, rows: int) -> Array:
    """Sample weights as an array: one finite number ≥ 0 per row, not all 0."""
    array = np.asarray(weights, np.float64)
    if array.shape != (rows,) or not np.isfinite(array).all() or (array < 0).any() or not array.sum():
        raise DataError(f"sample_weight needs one number ≥ 0 for each of the {rows} rows, not all 0; got shape {array.shape}")
    return array


ELSEWHERE = {
    "callbacks": "callbacks are not there yet in this version",
    "lr": "the rate belongs to the optimiser: optimizer=kj.optim.SGD(learning_rate)",
    "learning_rate": "the rate belongs to the optimiser: optimizer=kj.optim.SGD(learning_rate)",
    "random_state": "kedja spells it seed=",
    "validation_data": "kedja spells it validation=(x, y)",
    "validation_split": "kedja spells it validation=0.1",
}


def refuse_foreign(unknown: dict[str, Any]) -> None:
    """Arguments that peers have and we spell otherwise get our spelling."""
    for name in unknown:
        raise TypeError(f"fit() has no argument {name!r}: {ELSEWHERE.get(name, 'see help(kj.Sequential.fit)')}")


