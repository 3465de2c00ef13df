"""Optimisers by name: ours, and those of Keras and PyTorch for the same rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kedja.errors import DataError, one_of
from kedja.optim import schedules
from kedja.optim.adam import Adam, Adamax, AdamW, Lion
from kedja.optim.adaptive import Adadelta, Adagrad, RMSProp
from kedja.optim.lbfgs import LBFGS
from kedja.optim.optimizer import Optimizer
from kedja.optim.rules import SGD, GradientDescent, Momentum, Nesterov
from kedja.optim.search import BruteForce, RandomSearch

__all__ = ["CLASSES", "NAMES", "get"]

CLASSES: dict[str, type[Optimizer]] = {
    c.__name__: c
    for c in (
        LBFGS, SGD, Adadelta, Adagrad, Adam, AdamW, Adamax, BruteForce, GradientDescent, Lion, Momentum, Nesterov,
        RMSProp, RandomSearch,
    )
}  # fmt: skip
"""The optimisers of the library: what a saved configuration may name."""

NAMES: dict[str, Callable[[], Optimizer]] = {
    "adadelta": Adadelta,
    "adagrad": Adagrad,
    "adam": Adam,
    "adamax": Adamax,
    "adamw": AdamW,
    "brute_force": BruteForce,
    "gd": GradientDescent,
    "gradient_descent": GradientDescent,
    "lbfgs": LBFGS,
    "lion": Lion,
    "momentum": Momentum,
    "nag": Nesterov,
    "nesterov": Nesterov,
    "random": RandomSearch,
    "rmsprop": RMSProp,
    "sgd": SGD,
}


def get(optimizer: Any) -> Optimizer:
    """The optimiser of this name with its defaults, the object itself, or one from its saved configuration.

    >>> get("adam")
    Adam(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-08)
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, dict):
        return _from_config(optimizer)
    if isinstance(optimizer, type) and issubclass(optimizer, Optimizer):
        raise DataError(
            f"{optimizer.__name__} is a class: write kj.optim.{optimizer.__name__}(), with brackets and its numbers"
        )
    if not isinstance(optimizer, str) or optimizer.lower() not in NAMES:
        raise one_of("optimizer", optimizer, NAMES)
    return NAMES[optimizer.lower()]()


def _from_config(config: dict[str, Any]) -> Optimizer:
    """An optimiser from what its `config()` said."""
    if config.get("name") not in CLASSES:
        raise one_of("optimizer", config.get("name"), CLASSES)
    told = {k: v for k, v in config.items() if k != "name"}
    if isinstance(told.get("learning_rate"), dict):
        told["learning_rate"] = schedules.get(told["learning_rate"])
    made: Optimizer = CLASSES[config["name"]](**told)
    return made
