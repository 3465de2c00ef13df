"""`fit`: from arrays, a loss and an optimiser to a trained model and its History."""

from __future__ import annotations

import inspect
import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from kedja.engines.engine import Engine
from kedja.errors import DataError, GraphError
from kedja.nn import initializers, losses, regularizers
from kedja.nn.layers.layer import fresh_seed, trainable
from kedja.nn.model import Module
from kedja.ops.random import key_words
from kedja.optim import get as get_optimizer
from kedja.train.callbacks import Callback
from kedja.train.evaluation import as_inputs, as_targets, evaluator, output_shape
from kedja.train.foreign import refuse_foreign
from kedja.train.history import History
from kedja.train.loop import Runner
from kedja.train.metrics import get_all, of_steps
from kedja.train.parts import parted, row_weights, unpacked
from kedja.train.progress import progress
from kedja.train.run import Course, Run, arguments_of
from kedja.train.scalars import Scalars, penalties_of
from kedja.train.stepping import StepProgram
from kedja.train.training import Training, training_of

__all__ = ["Training", "fit", "trainable", "training_of"]

Array = np.ndarray[Any, Any]


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
    refuse_foreign(unknown, [p for p in inspect.signature(fit).parameters if p not in ("model", "unknown")])
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
        weights = row_weights(wish.sample_weight, wish.class_weight, y, rows, inputs[0].dtype)
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


def warn_of_equal_units(model: Module) -> None:
    """Say so when the units of a layer start alike: they get the same gradient and stay alike (scope 4.6)."""
    alike = initializers.symmetric(model)
    if alike:
        warnings.warn(
            f"all units of {', '.join(alike)} start with the same weights. Unless what follows tells them apart, they "
            'learn the same for ever: use init="auto" or another random start.',
            stacklevel=4,
        )


def as_callbacks(callbacks: Any) -> list[Callback]:
    """The callbacks, each an object; one alone is taken too."""
    several = callbacks is None or isinstance(callbacks, list | tuple)
    found = list(callbacks or ()) if several else [callbacks]
    for hook in found:
        if not isinstance(hook, Callback):
            hint = " Write it with brackets." if isinstance(hook, type) else ""
            raise DataError(f"callbacks are objects made from kj.callbacks.Callback, got {hook!r}.{hint}")
    return found
