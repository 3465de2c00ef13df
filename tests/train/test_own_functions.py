"""Losses, metrics and optimisers that users write themselves."""

from pathlib import Path

import numpy as np
import pytest

import kedja as kj
from kedja.errors import ShapeError

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = X.sum(1, keepdims=True)


def squared(t, y):
    return (t - y) ** 2


def distance(t, y):
    return abs(t - y)


class Halved(kj.optim.Optimizer):
    """θ ← θ − ½εg."""

    def steps(self, parameter, gradient, slots, rate, time):
        yield kj.optim.Step("move", parameter, parameter - 0.5 * rate * gradient)


def net() -> kj.Sequential:
    return kj.Sequential([kj.nn.Dense(1)])


def test_a_function_serves_as_a_loss():
    """The same formula written by the user trains to the same numbers as the loss that has a name."""
    options = {"epochs": 3, "seed": 0, "optimizer": "sgd", "verbose": 0}
    ours, own = net(), net()
    np.testing.assert_allclose(
        own.fit(X, Y, loss=squared, **options)["loss"], ours.fit(X, Y, loss="mse", **options)["loss"], rtol=1e-5
    )
    np.testing.assert_allclose(own.predict(X), ours.predict(X), rtol=1e-4, atol=1e-5)


def test_two_functions_of_one_name_are_not_mixed_up():
    """What is compiled belongs to the function, not to its name; and the same function is compiled once."""
    model = net()
    first, second = (lambda t, y: (t - y) ** 2), (lambda t, y: 0.0 * (t - y))
    assert model.fit(X, Y, loss=first, seed=0, verbose=0)["loss"][0] > 0
    assert model.fit(X, Y, loss=second, seed=0, verbose=0)["loss"][0] == 0
    model.fit(X, Y, loss=first, seed=0, verbose=0)
    assert len(model._training.loops) == 2


def test_a_loss_that_is_one_number_is_refused():
    """Rows are weighted and averaged by kedja, so a function must give one number for each."""
    with pytest.raises(ShapeError, match="one number for each of the 32 rows"):
        net().fit(X, Y, loss=lambda t, y: ((t - y) ** 2).mean(), verbose=0)


def test_a_function_serves_as_a_metric():
    """It is averaged over all rows, in training and in evaluation."""
    model = net()
    history = model.fit(X, Y, loss="mse", metrics=[distance], seed=0, verbose=0)
    assert "distance" in history
    expected = np.abs(model.predict(X) - Y).mean()
    assert model.evaluate(X, Y)["distance"] == pytest.approx(expected, rel=1e-5)


def test_an_optimiser_of_the_users_own_moves_half_as_far():
    """An optimiser is its steps: half the rate of SGD is SGD at half the rate."""
    a, b = net(), net()
    a.fit(X, Y, loss="mse", optimizer=Halved(0.1), seed=0, verbose=0)
    b.fit(X, Y, loss="mse", optimizer=kj.optim.SGD(0.05), seed=0, verbose=0)
    np.testing.assert_allclose(a.predict(X), b.predict(X), rtol=1e-5, atol=1e-6)


def test_what_cannot_be_saved_by_name_is_left_out(tmp_path: Path):
    """A model trained with functions of the user's own is saved without them, and predicts the same."""
    model = net()
    model.fit(X, Y, loss=squared, metrics=[distance], optimizer=Halved(0.1), seed=0, verbose=0)
    model.save(tmp_path)
    assert np.array_equal(kj.load(tmp_path).predict(X), model.predict(X))
