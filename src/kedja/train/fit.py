"""`fit`: from arrays, a loss and an optimiser to a trained model and its History."""

from __future__ import annotations

import difflib
import inspect
import time
from typing import Any

import numpy as np

from kedja.data.dataset import Dataset
from kedja.data.split import split_rows
from kedja.engines import choose
from kedja.engines.engine import Engine
from kedja.errors import DataError, GraphError
from kedja.nn import losses
from kedja.nn.layers.layer import fresh_seed, trainable
from kedja.nn.losses import Loss
from kedja.nn.model import Module
from kedja.ops.random import key_words
from kedja.optim import get as get_optimizer
from kedja.train.evaluation import as_inputs, as_targets, evaluator, output_shape
from kedja.train.history import History
from kedja.train.loop import Runner
from kedja.train.metrics import get_all
from kedja.train.progress import progress
from kedja.train.run import Run
from kedja.train.step import Batch, training_graph
from kedja.train.training import Training, training_of

__all__ = ["Training", "fit", "trainable", "training_of"]

Array = np.ndarray[Any, Any]


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
    rows at once, without shuffling. `validation` is a share of the rows (taken after a seeded shuffle), a pair (x, y)
    or a data set, and is evaluated after every epoch. `seed` decides starting weights, order and every random number;
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
            model, training, x, y, loss, optimizer, epochs, batch_size, validation, metrics, shuffle, seed,
            sample_weight, engine, verbose,
        )  # fmt: skip
    finally:
        training.busy.release()


def _fit(
    model: Module, training: Training, x: Any, y: Any, loss: Any, optimizer: Any, epochs: int, batch_size: int | None,
    validation: Any, metrics: Any, shuffle: bool, seed: int | None, sample_weight: Any, engine: str | Engine,
    verbose: int | None,
) -> History:  # fmt: skip
    """Check everything, find or compile the loop, run it; a call that is refused leaves the model as it was."""
    began = time.perf_counter()
    epochs = whole("epochs", epochs)
    progress(None, verbose=verbose)  # refuses what is no verbosity before anything is done
    if batch_size is not None:
        batch_size = whole("batch_size", batch_size)
    chosen = losses.get(loss) if loss is not None else training.loss
    if chosen is None:
        raise DataError(
            'fit needs a loss: loss="mse" for numbers, "binary_cross_entropy" for yes or no, "cross_entropy" for '
            f"classes. Known: {', '.join(losses.FORMULAS)}."
        )
    rule = get_optimizer(optimizer if optimizer is not None else training.chosen or training.optimizer or "adam")
    measures = get_all(metrics) if metrics is not None else training.metrics
    if seed is None:
        seed = training.seed if training.seed is not None else fresh_seed()
    words = key_words(seed)

    undo = None if model.built else model.restore_point()
    before = dict(vars(training))  # a call that is refused leaves the model and its memory as they were
    try:
        x, y = unpacked(x, y)
        inputs = as_inputs(model, x, learning=True)
        rows = len(inputs[0])
        model.build(*((None, *a.shape[1:]) for a in inputs), seed=seed)
        outputs = output_shape(model, inputs)
        y = as_targets(model, y, rows, chosen, outputs, learning=True)
        weights = None if sample_weight is None else as_weights(sample_weight, rows).astype(inputs[0].dtype)
        learn, held_out = parted(model, inputs, y, weights, validation, seed, chosen, outputs)
        inputs, y, weights = learn
        rows = len(y)
        parameters = trainable(model)
        if not parameters:
            raise GraphError("the model has no parameter that can learn: every layer is frozen, or none has weights")
        full = batch_size is None or rule.full_batch or batch_size >= rows
        size = rows if full else int(batch_size)  # type: ignore[arg-type]
        batch = Batch(inputs, y, size, weights is not None, padded=not full and rows % size != 0)
        training.use(rule, parameters)
        name = engine if isinstance(engine, str) else engine.name
        measured = tuple(m.per_example for m in measures)
        key = (
            batch.key(),
            repr(chosen),
            chosen.formula,
            rule.structure(),
            measured,
            name,
            full,
            tuple(parameters),
            rows,
        )
        loop = training.loops.get(key)
        if loop is None:
            graph = training_graph(model, chosen, rule, training.memory, measures, batch, parameters)
            loop = choose(engine, graph).loop(
                graph, data=len(inputs) + 1 + (weights is not None), padded=batch.padded, ordered=not full
            )
            training.loops[key] = loop
        judge = None
        if held_out is not None:
            judge = evaluator(model, chosen, measures, *held_out, loop.report.engine)
    except BaseException:
        vars(training).update(before)
        if undo is not None:
            undo()
        raise
    training.loss, training.metrics, training.seed, training.chosen = chosen, measures, seed, rule
    compiled_before = loop.report.compile_seconds + loop.report.lower_seconds

    history = History(
        seed=seed, engine=loop.report.engine,
        settings={
            "loss": chosen.name, "optimizer": rule.config(), "batch_size": size, "rows": rows,
            "shuffle": shuffle and not full,
        },
    )  # fmt: skip
    dtype = next(iter(parameters.values())).dtype
    names = {v: path for path, v in model.state.items()}
    arguments = [*(np.asarray(v, dtype) for v in rule.scalar_values()), words]
    data = [*inputs, y] + ([] if weights is None else [weights])
    run = Run(model, training, Runner(loop, data, arguments, -(-rows // size), names), history, judge, measures, batch)
    try:
        run.go(epochs, full, shuffle, words, rows, size, training.paces.get(key), verbose)
    finally:
        training.paces[key] = run.pace or 0.0
        history.seconds = time.perf_counter() - began
        history.compile_seconds = loop.report.compile_seconds + loop.report.lower_seconds - compiled_before
        model.__dict__["history"] = history
    return history


Part = tuple[list[Array], Array, Array | None]  # inputs, targets, weights


def parted(
    model: Module, inputs: list[Array], y: Array, weights: Array | None, validation: Any, seed: int, loss: Loss,
    outputs: tuple[int, ...],
) -> tuple[Part, Part | None]:  # fmt: skip
    """The rows to learn from, and those to validate on: a share of them, or others that were given."""
    if validation is None:
        return (inputs, y, weights), None
    if isinstance(validation, Dataset) or (isinstance(validation, list | tuple) and len(validation) == 2):
        vx, vy = unpacked(*validation) if isinstance(validation, list | tuple) else unpacked(validation, None)
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
    "callbacks": "callbacks are not there yet in this version",
    "class_weight": "class weights are not there yet in this version; give sample_weight=, one number per row",
    "criterion": "kedja spells it loss=",
    "eta": "the rate belongs to the optimiser: optimizer=kj.optim.SGD(0.1)",
    "learning_rate": "the rate belongs to the optimiser: optimizer=kj.optim.SGD(0.1)",
    "lr": "the rate belongs to the optimiser: optimizer=kj.optim.SGD(0.1)",
    "max_iter": "kedja spells it epochs=",
    "momentum": "the momentum belongs to the optimiser: optimizer=kj.optim.SGD(0.1, momentum=0.9)",
    "n_epochs": "kedja spells it epochs=",
    "random_state": "kedja spells it seed=",
    "validation_data": "kedja spells it validation=(x, y)",
    "validation_fraction": "kedja spells it validation=0.1",
    "validation_split": "kedja spells it validation=0.1",
}


def refuse_foreign(unknown: dict[str, Any]) -> None:
    """Arguments that peers have and we spell otherwise get our spelling; others the list of ours."""
    for name in unknown:
        ours = [p for p in inspect.signature(fit).parameters if p not in ("model", "unknown")]
        near = difflib.get_close_matches(name, ours, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(ours)}"
        raise TypeError(f"fit() has no argument {name!r}: {ELSEWHERE.get(name, hint)}")
