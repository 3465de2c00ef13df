"""Constraints: Keras's results on the same weights, and that fit keeps every step inside the set."""

import keras
import numpy as np
import pytest

import kedja as kj
from kedja.errors import KedjaError
from oracles.closeness import worst

PAIRS = [
    (kj.constraints.MaxNorm(1.5), keras.constraints.MaxNorm(1.5, axis=0)),
    (kj.constraints.UnitNorm(), keras.constraints.UnitNorm(axis=0)),
    (kj.constraints.NonNegative(), keras.constraints.NonNeg()),
]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda c: type(c).__name__)
def test_the_set_is_that_of_keras(ours, theirs, judged):
    """Weights outside come back to where Keras puts them; a unit without weights stays as it is."""
    w = np.random.default_rng(1).normal(size=(6, 4)).astype("float32") * [0.1, 1, 2, 0]
    w = w.astype("float32")
    found, expected = ours(kj.tensor(w)).numpy(), np.asarray(theirs(w))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    judged("Keras float32", f"constraints/{type(ours).__name__}", 1, worst(found, expected))


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


@pytest.mark.parametrize("engine", ["reference", "xla"])
def test_a_bound_that_is_set_later_is_used(engine):
    """Between two calls of `fit`: a program compiled for the old bound does not serve any more."""
    x = np.random.default_rng(0).normal(size=(32, 3))
    bound = kj.constraints.MaxNorm(2.0)
    net = kj.Sequential([kj.nn.Dense(1, constraint=bound)])
    how = {"loss": "mse", "optimizer": kj.optim.SGD(0.1), "epochs": 3, "engine": engine, "seed": 0}
    net.fit(x, 9 * x[:, :1], **how)
    bound.most = 0.25
    net.fit(x, 9 * x[:, :1], **how)
    assert np.linalg.norm(net.get_weights()[0]) == pytest.approx(0.25, rel=1e-5)


def test_a_class_is_no_constraint_yet():
    """The message says that brackets are missing."""
    with pytest.raises(KedjaError, match="MaxNorm is a class: write MaxNorm"):
        kj.constraints.get(kj.constraints.MaxNorm)
