"""`fit` with minimisers: regression as scikit-learn solves it, runs that go on bit for bit, and what is refused."""

import os
import signal

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

import kedja as kj
from kedja.errors import DataError, DivergedError
from kedja.optim import LBFGS, BruteForce, RandomSearch

RNG = np.random.default_rng(4)
X = RNG.normal(size=(60, 4))
Y = X @ [1.0, -2.0, 0.5, 3.0] + 0.7 + RNG.normal(size=60)
LABELS = (X @ [1.0, -2.0, 0.5, 1.0] + RNG.normal(size=60) > 0.3).astype(int)
EXACT = {"optimizer": LBFGS(change_tolerance=0), "epochs": 200, "seed": 0}


def net(units=1, activation=None, hidden=0):
    """A small network."""
    layers = [kj.nn.Dense(hidden, activation="tanh")] if hidden else []
    return kj.Sequential([*layers, kj.nn.Dense(units, activation=activation)])


@pytest.mark.parametrize("engine", ["reference", "xla"])
def test_ridge_of_sklearn(engine):
    """mse + (α/2)‖w‖² ends at scikit-learn's Ridge(nα/2), also with weights of rows."""
    weights = RNG.uniform(0.1, 2, 60)
    for sample_weight, alpha in ((None, 60 * 0.1 / 2), (weights, weights.sum() * 0.1 / 2)):
        with kj.default_dtype("float64"):
            model = net()
            ridge = {"loss": "mse", "regularizer": kj.regularizers.L2(0.1), "sample_weight": sample_weight}
            history = model.fit(X, Y[:, None], engine=engine, **ridge, **EXACT)
        best = Ridge(alpha).fit(X, Y, sample_weight=sample_weight)
        kernel, bias = model.get_weights()
        np.testing.assert_allclose(kernel.ravel(), best.coef_, atol=1e-6)
        np.testing.assert_allclose(bias, best.intercept_, atol=1e-6)
        assert len(history) < 30 and "gradient" in history.stopped
        np.testing.assert_allclose(history["penalty"][-1], 0.05 * (best.coef_**2).sum(), rtol=1e-5)


def test_logistic_regression_of_sklearn():
    """Cross-entropy + (α/2)‖w‖² ends at scikit-learn's LogisticRegression(C=1/(nα)), for two classes and for three."""
    with kj.default_dtype("float64"):
        model = net(activation="sigmoid")
        model.fit(X, LABELS, loss="binary_cross_entropy", regularizer=kj.regularizers.L2(0.05), **EXACT)
        best = LogisticRegression(C=1 / (60 * 0.05), tol=1e-10, max_iter=1000).fit(X, LABELS)
        np.testing.assert_allclose(model.get_weights()[0].ravel(), best.coef_[0], atol=1e-5)
        np.testing.assert_allclose(model.predict_proba(X).ravel(), best.predict_proba(X)[:, 1], atol=1e-5)
        three = LABELS + (X[:, 0] > 0.5)
        model = net(3, "softmax")
        model.fit(X, three, loss="cross_entropy", regularizer=kj.regularizers.L2(0.05), **EXACT)
        best = LogisticRegression(C=1 / (60 * 0.05), tol=1e-10, max_iter=1000).fit(X, three)
        np.testing.assert_allclose(model.predict_proba(X), best.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize("engine", ["reference", "xla"])
@pytest.mark.parametrize(
    "rule", [LBFGS(history=2), RandomSearch(0.3, shrink=0.95, tries=2), BruteForce(0.3, shrink=0.7)], ids=repr
)
def test_a_run_in_two_parts_has_the_bits_of_one(rule, engine, tmp_path):
    """Continued, and saved, loaded and continued: the same losses, evaluations and weights to the last bit."""
    options = {"loss": "mse", "optimizer": rule, "seed": 3, "engine": engine, "verbose": 0}
    rows, goal = X[:, :2].astype(np.float32), np.tanh(Y[:, None]).astype(np.float32)
    small = {"units": 1, "activation": "tanh", "hidden": 0 if isinstance(rule, BruteForce) else 3}
    whole = net(**small)
    history = whole.fit(rows, goal, epochs=9, **options)
    parts = net(**small)
    first = parts.fit(rows, goal, epochs=4, **options)
    parts.save(tmp_path / "half")
    for later in (parts, kj.load(tmp_path / "half")):
        second = later.fit(rows, goal, epochs=5, **options)
        for name in ("loss", "evaluations"):
            np.testing.assert_array_equal(np.concatenate([first[name], second[name]]), history[name])
        for a, b in zip(later.get_weights(), whole.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    assert (np.diff(history["loss"]) <= 0).all() and second.epoch == [5, 6, 7, 8, 9]
    whole.reset(seed=3)
    np.testing.assert_array_equal(whole.fit(rows, goal, epochs=9, **options)["loss"], history["loss"])


def test_other_data_are_looked_at_again():
    """A second call with other targets in the very same array does not go on with the loss of the first."""
    rows, goal = X.astype(np.float32), Y[:, None].astype(np.float32)
    model = net()
    model.fit(rows, goal, loss="mse", optimizer="lbfgs", epochs=50, seed=0)
    goal += 100
    history = model.fit(rows, goal, loss="mse", optimizer="lbfgs", epochs=50)
    assert history["loss"][-1] < 2 and model.get_weights()[1][0] == pytest.approx(100 + 0.7, abs=1)


def test_what_fit_offers_works():
    """Metrics, validation, callbacks and frozen layers; the compiled program serves again for other numbers."""
    model = kj.Sequential([kj.nn.Dense(3, activation="tanh"), kj.nn.Dense(1, activation="sigmoid")])
    model.build((None, 4), seed=1)
    model.layers[0].trainable = False
    frozen = model.layers[0].get_weights()
    stop = kj.callbacks.EarlyStopping(monitor="loss", patience=1, tolerance=1e-3)
    options = {
        "loss": "binary_cross_entropy",
        "metrics": ["accuracy"],
        "validation": 0.2,
        "seed": 1,
        "engine": "reference",
    }
    history = model.fit(X, LABELS, optimizer=LBFGS(), epochs=100, callbacks=[stop], **options)
    assert "was no better for 1 epoch" in history.stopped and len(history) < 40
    assert {"loss", "accuracy", "evaluations", "val_loss", "val_accuracy"} <= set(history.metrics)
    for a, b in zip(frozen, model.layers[0].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    again = model.fit(X, LABELS, optimizer=LBFGS(learning_rate=0.5, gradient_tolerance=0.5), epochs=3, **options)
    assert again.compile_seconds == 0 and again.stopped == "no entry of the gradient is above 0.5"


def test_the_penalty_is_a_number_of_the_run():
    """Another α compiles nothing, and the loss is not taken from before."""
    penalty = kj.regularizers.L2(0.1)
    with kj.default_dtype("float64"):
        model = net()
        options = {"loss": "mse", "regularizer": penalty, "engine": "reference"}
        model.fit(X, Y[:, None], **options, **EXACT)
        penalty.alpha = 2.0
        history = model.fit(X, Y[:, None], **options, **EXACT)
    np.testing.assert_allclose(model.get_weights()[0].ravel(), Ridge(60.0).fit(X, Y).coef_, atol=1e-6)
    assert history.compile_seconds == 0


def test_the_radius_is_lowered_on_a_plateau():
    """For a search the radius plays the part of the rate."""
    rule = RandomSearch(4.0)
    lower = kj.callbacks.ReduceOnPlateau(factor=0.5, patience=3)
    history = net().fit(
        X, Y[:, None], loss="mse", optimizer=rule, epochs=200, callbacks=[lower], seed=0, engine="reference"
    )
    assert rule.radius < 4.0 and history["learning_rate"][-1] <= history["learning_rate"][0] == 4.0
    assert history["loss"][-1] < history["loss"][0]


def test_statistics_follow_the_points_taken():
    """Batch norm counts each iteration once, on the mean and variance of the rows; trying does not count."""
    model = kj.Sequential([kj.nn.BatchNorm(), kj.nn.Dense(1)])
    rows = (X * 3 + 5).astype(np.float32)
    model.fit(rows, Y[:, None], loss="mse", optimizer=LBFGS(change_tolerance=0, gradient_tolerance=0), epochs=3, seed=0)
    left = 0.9**3
    mean = next(v for path, v in model.state.items() if path.endswith("mean"))
    np.testing.assert_allclose(mean.numpy(), (1 - left) * rows.mean(0), rtol=1e-4)


def test_dropout_has_one_mask():
    """The mask does not change while a minimum is searched for, so the loss never rises."""
    model = kj.Sequential([kj.nn.Dense(20, activation="tanh"), kj.nn.Dropout(0.5), kj.nn.Dense(1)])
    history = model.fit(X, Y[:, None], loss="mse", optimizer="lbfgs", epochs=40, seed=0, engine="reference")
    assert (np.diff(history["loss"]) <= 0).all() and history["loss"][-1] < 0.5 * history["loss"][0]


def test_ctrl_c_keeps_the_best():
    """Interrupted after an iteration, the weights are those of the lowest loss so far."""

    class Press(kj.callbacks.Callback):
        def after_epoch(self, run, epoch, figures):
            if epoch == 5:
                os.kill(os.getpid(), signal.SIGINT)

    model = net(hidden=5)
    rows, goal = X.astype(np.float32), Y[:, None].astype(np.float32)
    history = model.fit(rows, goal, loss="mse", optimizer="lbfgs", epochs=100, callbacks=[Press()], seed=0)
    assert history.stopped.startswith("interrupted by Ctrl-C") and len(history) == 5
    assert model.evaluate(rows, goal)["loss"] == pytest.approx(history["loss"].min(), rel=1e-5)


def test_a_start_that_is_not_finite():
    """Training ends before it began, with the step that overflowed; the weights stay."""
    model = net()
    rows = np.full((5, 2), 1e30, np.float32)
    with pytest.raises(DivergedError, match="the first number that is not finite arose in"):
        model.fit(rows, np.zeros((5, 1)), loss="mse", optimizer="lbfgs", epochs=3, seed=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_constraints_are_refused():
    """A line search would leave the set; nothing is trained, and the message says what to use."""
    model = kj.Sequential([kj.nn.Dense(1, constraint="non_negative")])
    with pytest.raises(
        DataError, match="LBFGS moves all parameters freely and cannot keep the constraint of dense_1.kernel"
    ):
        model.fit(X, Y[:, None], loss="mse", optimizer="lbfgs", seed=0)
    assert not model.built


def test_brute_force_says_the_cost_of_a_network():
    """Before anything is compiled."""
    with pytest.raises(DataError, match=r"3 values for each of 19 parameters are 3\^19 = 1,162,261,467 evaluations"):
        net(hidden=3, units=1).fit(X, Y[:, None], loss="mse", optimizer="brute_force", seed=0)
