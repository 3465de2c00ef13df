"""Constraints: Keras's results on the same weights, and that fit keeps every step inside the set."""

import os

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
import keras

import kedja as kj
from kedja.errors import KedjaError

PAIRS = [
    (kj.constraints.MaxNorm(1.5), keras.constraints.MaxNorm(1.5, axis=0)),
    (kj.constraints.UnitNorm(), keras.constraints.UnitNorm(axis=0)),
    (kj.constraints.NonNegative(), keras.constraints.NonNeg()),
]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda c: type(c).__name__)
def test_the_set_is_that_of_keras(ours, theirs):
    """Weights outside come back to where Keras puts them; a unit without weights stays as it is."""
    w = np.random.default_rng(1).normal(size=(6, 4)).astype("float32") * [0.1, 1, 2, 0]
    w = w.astype("float32")
    np.testing.assert_allclose(ours(kj.tensor(w)).numpy(), np.asarray(theirs(w)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("engine", ["reference", "xla"])
def test_every_step_ends_inside_the_set(engine):
    """With a constraint that bites, the trained weights satisfy it, on both engines."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 3))
    y = x @ np.array([[3.0], [-3.0], [1.0]])
    net = kj.Sequential([kj.nn.Dense(1, constraint="non_negative")])
    net.fit(x, y, loss="mse", optimizer=kj.optim.SGD(0.1), epochs=5, batch_size=16, engine=engine, seed=0)
    kernel = net.get_weights()[0]
    assert kernel.min() == 0 and kernel.max() > 1
    net = kj.Sequential([kj.nn.Dense(1, constraint=kj.constraints.MaxNorm(0.5))])
    net.fit(x, y, loss="mse", optimizer="adam", epochs=20, batch_size=16, engine=engine, seed=0)
    assert np.linalg.norm(net.get_weights()[0]) <= 0.5 * (1 + 1e-6)


def test_what_is_no_constraint():
    """The message lists the names there are."""
    with pytest.raises(KedjaError, match="non_negative"):
        kj.nn.Dense(3, constraint="positive")(kj.zeros((1, 2)))
    with pytest.raises(KedjaError, match="most"):
        kj.constraints.MaxNorm(-1)
