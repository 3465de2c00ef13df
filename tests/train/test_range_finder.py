"""The learning-rate finder leaves the model alone, measures the same twice, and suggests a rate that trains."""

import copy

import numpy as np
import pytest

import kedja as kj
from kedja.errors import DataError, DivergedError

X, Y = kj.data.load("moons")


def net():
    """A network for the moons."""
    return kj.Sequential([kj.nn.Dense(16, activation="tanh"), kj.nn.Dense(1, activation="sigmoid")])


def found(model=None, **options):
    """A range, on the reference engine unless said."""
    given = {"loss": "binary_cross_entropy", "optimizer": "sgd", "engine": "reference", **options}
    return kj.find_learning_rate(model or net(), X, Y, **given)


def test_losses_are_those_of_training_at_these_rates():
    """A hand-written loop over the same batches and rates, its gradient taken in NumPy, has the same losses."""
    line = kj.Sequential([kj.nn.Dense(1, init="zeros")])
    x = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    y = (x @ [[1.0], [2.0]]).astype(np.float32)
    got = kj.find_learning_rate(line, x, y, loss="mse", optimizer="sgd", low=1e-4, high=0.1, steps=30, batch_size=None)
    np.testing.assert_allclose(got.rates, np.geomspace(1e-4, 0.1, 30))
    w, b, losses = np.zeros((2, 1)), 0.0, []
    for rate in got.rates:
        error = x @ w + b - y
        losses.append((error**2).mean())
        w, b = w - rate * 2 * x.T @ error / 40, b - rate * 2 * error.mean()
    np.testing.assert_allclose(got.losses, losses, rtol=1e-4)


@pytest.mark.parametrize("built", [False, True])
def test_the_model_stays_as_it_is(built):
    """Neither weights nor optimiser nor compiled programs nor history of the model are touched, built or not."""
    model = net()
    if built:
        model.fit(X, Y, loss="binary_cross_entropy", optimizer="adam", epochs=2, seed=0, engine="reference")
    before = [w.copy() for w in model.get_weights()] if built else None
    rule = kj.optim.SGD(0.123)
    found(model, optimizer=rule)
    assert model.built is built and rule.learning_rate == 0.123
    if before is not None:
        for a, b in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        assert model.fit(X, Y, epochs=1, engine="reference").epoch == [3]


def test_the_same_seed_measures_the_same():
    """On both engines, to rounding; another seed draws other weights and batches."""
    first, second, third = found(seed=1), found(seed=1), found(seed=2)
    np.testing.assert_array_equal(first.losses, second.losses)
    assert (first.losses != third.losses).any()
    np.testing.assert_allclose(found(seed=1, engine="xla").losses, first.losses, rtol=2e-3)


@pytest.mark.parametrize("engine", ["reference", "xla"])
def test_a_copied_model_trains_as_the_model_does(engine):
    """A copy uses the very same ops: engines and losses know them by identity."""
    options = {"loss": "binary_cross_entropy", "optimizer": "sgd", "epochs": 2, "seed": 0, "engine": engine}
    model = net()
    twin = copy.deepcopy(model)
    np.testing.assert_array_equal(model.fit(X, Y, **options)["loss"], twin.fit(X, Y, **options)["loss"])


@pytest.mark.parametrize("optimizer", ["sgd", "adam", kj.optim.SGD(0.1, momentum=0.9)], ids=repr)
def test_the_suggestion_trains(optimizer):
    """At the suggested rate ten epochs end lower than at a hundredth of it, whatever the seed; it differs by rule."""
    for seed in (0, 1, 2):
        rate = found(optimizer=optimizer, seed=seed).suggestion

        def loss(rate, seed=seed):
            rule = kj.optim.get(optimizer if isinstance(optimizer, str) else optimizer.config())
            rule.learning_rate = rate
            options = {"loss": "binary_cross_entropy", "epochs": 10, "seed": seed, "engine": "reference", "verbose": 0}
            return net().fit(X, Y, optimizer=rule, **options)["loss"][-1]

        assert loss(rate) < 0.9 * loss(rate / 100)


def test_stops_where_training_diverges():
    """Rates beyond which the loss explodes are not tried, and str() says so; one huge loss does not hide the others."""
    model = kj.Sequential([kj.nn.Dense(8, activation="relu"), kj.nn.Dense(1)])
    got = kj.find_learning_rate(model, X, 50.0 * Y[:, None], loss="mse", optimizer="sgd", high=1e6, engine="reference")
    assert got.rates[-1] < 100 and "stopped at" in got.stopped and len(got.losses) == len(got.smoothed) < 100
    assert got.suggestion is not None and got.suggestion < got.best < got.rates[-1]
    text = str(got)
    assert f"The loss falls fastest at {got.suggestion:.2g}" in text and got.stopped in text


def test_a_loss_that_never_falls():
    """Rates far too small suggest nothing."""
    got = found(low=1e-12, high=1e-9, batch_size=None, steps=20)
    assert got.suggestion is None or got.losses.max() - got.losses.min() < 1e-6
    flat = kj.find_learning_rate(
        kj.Sequential([kj.nn.Dense(1, init="zeros")]), np.zeros((4, 1)), np.zeros((4, 1)), loss="mse", optimizer="sgd",
        steps=20, engine="reference",
    )  # fmt: skip
    assert flat.suggestion is None and "does not fall at any rate tried" in str(flat)


def test_several_inputs_and_a_loss_the_model_has():
    """A model with two inputs, compiled with its loss and optimiser, needs no more than the data."""
    a, b = kj.Input((2,)), kj.Input((1,))
    model = kj.Model([a, b], kj.nn.Dense(1)(kj.nn.Concatenate()(a, b)))
    model.compile(loss="mse", optimizer="sgd")
    got = kj.find_learning_rate(model, (X, X[:, :1]), Y[:, None].astype(float), high=1.0, steps=60, engine="reference")
    assert got.suggestion is not None and got.suggestion > 1e-3 and len(got.losses) == 60


def test_plot(tmp_path):
    """Both curves and the suggestion, on a logarithmic axis."""
    got = found()
    figure = got.plot(tmp_path / "range.png")
    axes = figure.axes[0]
    assert axes.get_xscale() == "log" and len(axes.lines) == 3 and (tmp_path / "range.png").exists()
    np.testing.assert_allclose(axes.lines[0].get_ydata(), got.losses)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"low": 1.0, "high": 0.1}, DataError, "0 < low < high; got 1.0 and 0.1"),
        ({"low": 0}, DataError, "0 < low < high; got 0 and 10.0"),
        ({"steps": 5}, DataError, "steps must be a whole number of at least 10, got 5"),
        ({"optimizer": "lbfgs"}, DataError, "LBFGS finds the length of its steps by itself"),
        ({"loss": None}, DataError, "fit needs a loss"),
        ({"low": 1e30, "high": 1e35, "optimizer": "sgd", "loss": "mse"}, DivergedError, "begin at a lower rate, low="),
    ],
)
def test_impossible_ranges(options, error, message):
    """Each is refused with what came and what was expected."""
    model = kj.Sequential([kj.nn.Dense(4, activation="relu"), kj.nn.Dense(1)])
    with pytest.raises(error) as raised:
        kj.find_learning_rate(
            model, X, Y[:, None], **{"loss": "mse", "optimizer": "sgd", "engine": "reference", **options}
        )
    assert message in str(raised.value)
