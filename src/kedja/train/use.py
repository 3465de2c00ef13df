"""The methods a model has for being used, lent to it by this room: compile, evaluate, fit, predict, reset."""

from __future__ import annotations

from typing import Any

import numpy as np

from kedja.elsewhere import takes_only
from kedja.engines import Engine, asked
from kedja.errors import DataError
from kedja.graph.node import bind
from kedja.nn import losses
from kedja.nn.layers.layer import fresh_seed
from kedja.nn.model import Module
from kedja.nn.precision import check_precision
from kedja.ops.random import key_words
from kedja.optim import averaged
from kedja.optim import get as get_optimizer
from kedja.train.evaluation import (
    as_inputs,
    as_targets,
    decide,
    evaluator,
    model_dtype,
    output_shape,
    predict,
    probabilities,
)
from kedja.train.fit import fit
from kedja.train.metrics import get_all
from kedja.train.parts import as_weights, unpacked
from kedja.train.stream import streamed, weights_of
from kedja.train.streamed_use import StreamEvaluator, predict_stream
from kedja.train.training import training_of

__all__: list[str] = []

Array = np.ndarray[Any, Any]


def _compile(model: Module, *, loss: Any = None, optimizer: Any = None, metrics: Any = None) -> Module:
    """Say once how `fit` and `evaluate` shall go about it (nothing is compiled yet); returns the model.

    >>> import kedja as kj
    >>> net = kj.Sequential([kj.nn.Dense(1)]).compile(loss="mse", optimizer="sgd", metrics=["mae"])
    """
    training = training_of(model)
    training.loss = losses.get(loss) if loss is not None else training.loss
    if optimizer is not None:
        training.chosen = get_optimizer(optimizer)
    training.metrics = get_all(metrics) if metrics is not None else training.metrics
    return model


def _evaluate(
    model: Module, x: Any, y: Any = None, *, loss: Any = None, metrics: Any = None, sample_weight: Any = None,
    engine: str | Engine = "auto", precision: Any = None, kernels: str | None = None,
) -> dict[str, float]:  # fmt: skip
    """The mean loss and metrics over x and y (or a data set), exact for any number of rows.

    `precision="bfloat16"` computes the model in bfloat16, "tf32" allows a GPU to multiply float32 in tf32; by default
    it is computed in the type of its weights. `kernels` is which of kedja's own kernels XLA calls on a CPU: "auto",
    "winograd" or "xla" (docs/engines.md).

    >>> import kedja as kj
    >>> net = kj.Sequential([kj.nn.Dense(1, init="zeros")]).build((None, 2))
    >>> net.evaluate([[1.0, 2.0]], [[3.0]], loss="mse", metrics=["mae"])
    {'loss': 9.0, 'mae': 3.0}
    """
    training, engine = training_of(model), asked(engine, kernels)
    model.expect_weights()
    chosen = losses.get(loss) if loss is not None else training.loss
    if (data := streamed(x, y)) is not None:
        measures = get_all(metrics) if metrics is not None else training.metrics
        if chosen is None and not measures:
            raise DataError("evaluate needs a loss or metrics: fit the model, or give loss=... or metrics=[...]")
        weights = weights_of(data, sample_weight, None)
        low = check_precision(precision, model_dtype(model))
        return StreamEvaluator(model, chosen, measures, data, engine, low, weights)()
    x, y = unpacked(x, y, model=model)
    inputs = as_inputs(model, x)
    targets = as_targets(model, y, len(inputs[0]), chosen, output_shape(model, inputs, keep=True))
    weights = None if sample_weight is None else as_weights(sample_weight, len(targets)).astype(inputs[0].dtype)
    measures = get_all(metrics) if metrics is not None else training.metrics
    if chosen is None and not measures:
        raise DataError("evaluate needs a loss or metrics: fit the model, or give loss=... or metrics=[...]")
    low = check_precision(precision, model_dtype(model))
    return evaluator(model, chosen, measures, inputs, targets, weights, engine, low)()


def _predict(
    model: Module, x: Any, *, engine: str | Engine = "auto", precision: Any = None, kernels: str | None = None
) -> Any:
    """The raw output of the model for every row of x, as an array. `precision` and `kernels` as in `evaluate`.

    >>> import kedja as kj
    >>> kj.Sequential([kj.nn.Dense(2, init="zeros")]).build((None, 3)).predict([[1.0, 2.0, 3.0]]).tolist()
    [[0.0, 0.0]]
    """
    programs, engine = training_of(model).programs, asked(engine, kernels)
    if (data := streamed(x)) is not None:
        return predict_stream(model, data, engine, programs, check_precision(precision, model_dtype(model)))
    return predict(model, x, engine, programs, precision)


def _predict_proba(model: Module, x: Any, *, engine: str | Engine = "auto", kernels: str | None = None) -> Array:
    """Probabilities: the output after a sigmoid or softmax, which the loss implies where the model has none."""
    loss = training_of(model).loss
    return probabilities(model, _predict(model, x, engine=asked(engine, kernels)), loss.name if loss else None)


def _predict_labels(model: Module, x: Any, *, engine: str | Engine = "auto", kernels: str | None = None) -> Array:
    """The class of every row, (n,) int64: the most likely one."""
    loss = training_of(model).loss
    return decide(model, _predict(model, x, engine=asked(engine, kernels)), loss.name if loss else None)


def _reset(model: Module, seed: int | None = None) -> Module:
    """Start over: new starting values (of this seed, or again those of the last one), optimiser and epochs at zero.

    What was compiled stays compiled. Returns the model.
    """
    training = training_of(model)
    if seed is not None:
        key_words(seed)  # refuses what is no seed
        training.seed = model.start_seed = int(seed)
    training.clear()
    if model.built:
        model.start_seed = fresh_seed() if model.start_seed is None else model.start_seed
        model.redraw(model.start_seed)
        for variable in model.state.of_kind("counter").values():
            variable.store(np.zeros(variable.shape, variable.dtype))
    return model


def _train_on_batch(model: Module, x: Any, y: Any, **options: Any) -> dict[str, float]:
    """One step on these rows; returns its loss and metrics, taken before the step."""
    history = fit(model, x, y, epochs=1, batch_size=None, verbose=0, **options)
    return {name: float(history[name][-1]) for name in history.metrics}


def _use_averaged_weights(model: Module) -> Module:
    """Take the weights that the optimiser averaged over its steps (`average=` of an optimiser); returns the model.

    Running statistics of the batch are those of the last weights: go over some rows with `training=True` if it has any.

    >>> import kedja as kj
    >>> x, y = kj.data.load("xor")
    >>> net = kj.Sequential([kj.nn.Dense(1)])
    >>> history = net.fit(x, y, loss="mse", optimizer=kj.optim.SGD(0.1, average="mean"), epochs=5)
    >>> net.use_averaged_weights() is net
    True
    """
    training = training_of(model)
    for path, array in averaged(training.memory, training.parameters).items():
        training.parameters[path].store(array)
    return model


bind(
    Module,
    fit=fit, compile=takes_only(_compile), evaluate=takes_only(_evaluate), predict=takes_only(_predict),
    predict_proba=takes_only(_predict_proba), predict_labels=takes_only(_predict_labels), reset=_reset,
    train_on_batch=_train_on_batch,
    use_averaged_weights=_use_averaged_weights,
)  # fmt: skip
