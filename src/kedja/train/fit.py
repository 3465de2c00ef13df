"""`fit`: from arrays, a loss and an optimiser to a trained model and its History."""

from __future__ import annotations

import inspect
import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kedja.engines import Engine, asked, deciding, get_engine, known_as
from kedja.errors import DataError, GraphError
from kedja.nn import initializers, losses, regularizers
from kedja.nn.layers.layer import fresh_seed, trainable
from kedja.nn.model import Module
from kedja.nn.precision import check_precision
from kedja.ops.random import key_words
from kedja.optim import get as get_optimizer
from kedja.train import augment as augmenting
from kedja.train.accumulation import check_accumulate
from kedja.train.adapting import adapt
from kedja.train.evaluation import as_inputs, as_targets, model_dtype, output_shape
from kedja.train.foreign import refuse_foreign
from kedja.train.history import History
from kedja.train.listeners import as_callbacks
from kedja.train.loop import Runner
from kedja.train.metrics import get_all, of_steps
from kedja.train.opening import opened
from kedja.train.parts import learned_rows, parted, row_weights, unpacked
from kedja.train.progress import progress
from kedja.train.run import Course, Run, arguments_of
from kedja.train.scalars import Scalars, penalties_of
from kedja.train.stepping import StepProgram, check_search
from kedja.train.streamed_use import judge_of
from kedja.train.training import Training, training_of

if TYPE_CHECKING:
    from kedja.train.callbacks.callback import Callback
    from kedja.train.callbacks.checkpoint import Checkpoint

__all__ = ["Training", "fit", "trainable", "training_of"]

Array = np.ndarray[Any, Any]


def whole(name: str, value: Any, least: int = 1) -> int:
    """A whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise DataError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return int(value)


class Wish(NamedTuple):
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
    augment: Any
    callbacks: Any
    engine: str | Engine
    verbose: int | None
    resume: Any = None
    precision: Any = None
    accumulate: int = 1
    check: bool = False


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
    augment: Any = None,
    callbacks: Any = (),
    engine: str | Engine = "auto",
    verbose: int | None = None,
    resume: Any = None,
    precision: Any = None,
    kernels: str | None = None,
    accumulate: int = 1,
    check: bool = False,
    **unknown: Any,
) -> History:
    """Train by gradient descent on x and y, or on a data set; returns the History, with the reason it stopped.

    `loss`, `optimizer` and `metrics` are names or objects (or were given to `compile`). `batch_size` None takes all
    rows at once, without shuffling. `validation` is a share of the rows (taken after a seeded shuffle), a pair (x, y)
    or a data set, and is evaluated after every epoch. `sample_weight` is a number per row, `class_weight` a number per
    class or "balanced". `regularizer` is a penalty on every kernel that has none of its own. `augment` mixes examples
    with each other (`kj.augment.Mixup()`). `callbacks` are told of steps or epochs. `precision="bfloat16"` runs forward
    and backward in bfloat16, with weights and optimiser as they are; "tf32" lets a GPU multiply float32 in tf32.
    `kernels` is which of kedja's own kernels XLA calls on a CPU: "auto", "winograd" or "xla" (docs/engines.md).
    `accumulate` batches are taken one after the other for each step. `check` looks at data, loss and gradients first
    (`kj.check`). `seed` decides starting weights, order and every random number; without one it is drawn and recorded.
    A second call continues where the first ended; `reset()` starts over. Ctrl-C ends the run after the present step and
    keeps everything; a loss that is not finite ends it with DivergedError, the weights as they were after the last good
    epoch. `resume` is a folder of checkpoints: with it the same call goes on where the newest one was written, to the
    same bits as if it had never ended (docs/resume.md).

    >>> import kedja as kj
    >>> x, y = kj.data.load("xor")
    >>> net = kj.Sequential([kj.nn.Dense(4, activation="tanh"), kj.nn.Dense(1, activation="sigmoid")])
    >>> history = net.fit(x, y, loss="mse", optimizer=kj.optim.Adam(0.05), epochs=500, batch_size=None, seed=1)
    >>> bool(history["loss"][-1] < history["loss"][0] / 10), history.stopped
    (True, 'ran all 500 epochs')
    """
    if unknown:
        refuse_foreign(unknown, [p for p in inspect.signature(fit).parameters if p not in ("model", "unknown")])
    training = training_of(model)
    hooks = as_callbacks(callbacks)
    if not training.busy.acquire(blocking=False):
        raise GraphError("this model is being trained already, in another thread: wait for it, or train a copy")
    held = ExitStack()
    try:
        for hook in _checkpoints(hooks):
            held.enter_context(hook.claimed(resume))
        return _fit(
            model, training, x, y,
            Wish(
                loss, optimizer, epochs, batch_size, validation, metrics, shuffle, seed, sample_weight, class_weight,
                regularizer, augment, hooks, asked(engine, kernels), verbose, resume,
                precision=precision, accumulate=accumulate, check=check,
            ),
        )  # fmt: skip
    finally:
        held.close()
        training.busy.release()


def _checkpoints(hooks: Sequence[Callback]) -> list[Checkpoint]:
    """Those of the callbacks that write checkpoints; what they need is not loaded where there are no callbacks."""
    if not hooks:
        return []
    from kedja.train.callbacks.checkpoint import Checkpoint

    return [hook for hook in hooks if isinstance(hook, Checkpoint)]


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
    mixing = augmenting.get(wish.augment)
    shelves = [hook.folder for hook in _checkpoints(hooks)]
    resumed = None
    if wish.resume is not None:
        from kedja.train.resume import Resumed

        resumed = Resumed.of(wish.resume, shelves)
    seed = resumed.seed if resumed is not None and wish.seed is None else wish.seed
    if seed is None:
        seed = training.seed if training.seed is not None else fresh_seed()
    words = key_words(seed)

    told: dict[str, Any] = {}
    undo = None if model.built else model.restore_point()
    before = dict(vars(training))  # a call that is refused leaves the model and its memory as they were
    try:
        accumulate = check_accumulate(wish.accumulate, batch_size, rule)
        stream, x, y, validation = opened(
            model, x, y, wish.validation, batch_size, rule.full_batch, accumulate, wish.sample_weight,
            wish.class_weight, seed,
        )  # fmt: skip
        x, y = unpacked(x, y, model=model)
        if not model.built and y is not None:
            adapt(model, x, y, None if stream else learned_rows(validation, len(y), seed))
        inputs = as_inputs(model, x, learning=True)
        rows = len(inputs[0])
        fresh = not model.built
        model.build(*((None, *a.shape[1:]) for a in inputs), seed=seed)
        outputs = output_shape(model, inputs, keep=not fresh)
        y = as_targets(model, y, rows, chosen, outputs, learning=True)
        weights = None
        if stream is None:
            weights = row_weights(wish.sample_weight, wish.class_weight, y, rows, inputs[0].dtype)
        given = {"x": stream.data if stream else inputs, "y": None if stream else y, "sample_weight": weights,
                 "validation": validation}  # fmt: skip
        learn, held_out = parted(model, inputs, y, weights, validation, seed, chosen, outputs)
        inputs, y, weights = learn
        weighted = weights is not None if stream is None else stream.weighted
        rows = len(y) if stream is None else stream.rows or len(y)
        full = not stream and (batch_size is None or rule.full_batch or (batch_size >= rows and accumulate == 1))
        size = rows if full or (stream and stream.rows is None) else int(batch_size) * accumulate  # type: ignore[arg-type]
        low = check_precision(wish.precision, model_dtype(model))
        check_search(model, rule, low)
        if mixing is not None:
            mixing.expect(model, inputs)
        with_norm = any("gradient_norm" in hook.needs for hook in hooks)
        data = [*inputs, y] + ([] if weights is None else [weights])

        programs: list[StepProgram] = []  # the present one

        def steps() -> tuple[Any, Any, list[str], Scalars]:
            """The loop of steps for the layers that may learn now; asked again when a callback changed which."""
            parameters = trainable(model)
            if not parameters:
                raise GraphError(
                    "the model has no parameter that can learn: every layer is frozen, or none has weights"
                )
            training.use(rule, parameters, model.state.of_kind("trainable"))
            scalars = Scalars(model, rule, penalties_of(parameters, penalty), mixing)
            program = StepProgram(
                model, training, chosen, in_steps, scalars, parameters, with_norm, wish.engine, low,
                batch_size if accumulate > 1 else None,
            )  # fmt: skip
            programs[:] = [program]
            return *program.loop(inputs, y, weighted, rows, size, full), scalars

        if wish.check:
            from kedja.train.checking import expect_sound

            aside = held_out if isinstance(held_out, tuple) else None
            expect_sound(model, chosen, learn, aside, seed, wish.verbose, sampled=stream is not None)
        loop, key, names, scalars = steps()
        named = known_as(wish.engine)[1]
        engine, kernels = get_engine(loop.report.engine, named or None), deciding(loop.report.engine, named)
        judge = None if held_out is None else judge_of(model, chosen, measures, held_out, engine, low)
        if shelves or resumed is not None:
            from kedja.train.identity import identity

            told = identity(
                model, chosen, measures, scalars, given, engine=loop.report.engine, columns=names, seed=seed,
                batch_size=size // accumulate, shuffle=wish.shuffle and not full, accumulate=accumulate,
                precision=None if low is None else low.name, augment=None if mixing is None else mixing.config(),
                kernels=kernels or None,
            )  # fmt: skip
        if resumed is not None:
            resumed.accept(told, hooks)
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
            "loss": chosen.name, "optimizer": rule.config(), "batch_size": size // accumulate,
            "rows": None if stream and stream.rows is None else rows,
            "shuffle": wish.shuffle and not full and (stream is None or stream.rows is not None),
            **({"regularizer": penalty.config()} if penalty is not None else {}),
            **({"augment": mixing.config()} if mixing is not None else {}),
            **({"precision": low.name} if low is not None else {}),
            **({"kernels": kernels} if kernels else {}),
            **({"accumulate": accumulate} if accumulate > 1 else {}),
        },
    )  # fmt: skip
    if fresh and resumed is None:
        warn_of_equal_units(model)
    if resumed is not None:
        if resumed.thaw(model, training):
            loop, key, names, scalars = steps()
        resumed.restore(model, training, scalars, loop.variables)
    paths = {v: path for path, v in model.state.items()}
    numbers = arguments_of(scalars, model, words)
    if stream is None:
        course = Course(epochs, rows, size, full, wish.shuffle, words, names)
        runner = Runner(loop, data, numbers, course.spe, paths)
    else:
        runner = stream.runner(
            model, loop, inputs, y, chosen, outputs, numbers, paths, size, words, wish.shuffle,
            (training.epochs, epochs + (training.epochs if resumed is None else resumed.facts["first"])),
            lambda count: programs[0].short(inputs, y, weighted, size, count),
        )  # fmt: skip
        course = Course(epochs, rows, size, False, wish.shuffle, words, names, stream.pace)
    run = Run(model, training, runner, history, judge, in_steps, course, scalars, hooks, steps)
    run.began, run.identity, run.resumed = began, told, resumed
    if resumed is not None:
        resumed.begin(run)
    elif training.unfinished is not None:
        training.unfinished.continue_in(run)
    training.unfinished = None
    try:
        run.go(training.paces.get(key), wish.verbose)
    finally:
        runner.close()
        engine.rest()
        if stream is not None:
            history.settings.update(stream.settings())
        training.paces[key] = run.pace or 0.0
        history.seconds = run.seconds
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
