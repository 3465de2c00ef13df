"""evaluate and predict are exact for any number of rows, and metrics are scikit-learn's."""

import numpy as np
import pytest
from sklearn import metrics as sk

import kedja as kj
from kedja.errors import DataError, GraphError, ShapeError, UnknownNameError

RNG = np.random.default_rng(7)
SIZES = [1, 2, 1023, 1024, 1025, 2500]
ENGINES = ["reference", "xla"]


def mlp(outputs: int, last: str | None = None, **more) -> kj.Sequential:
    """3-5-outputs, built."""
    net = kj.Sequential([kj.nn.Dense(5, "tanh"), kj.nn.Dense(outputs, last, bias_init="normal")], **more)
    return net.build((None, 3), seed=1)


@pytest.mark.parametrize("engine", ENGINES)
def test_predict_in_batches(engine):
    """Rows go through in batches; the result is the formula applied to all of them at once."""
    net = mlp(2, dtype="float64")
    w1, b1, w2, b2 = net.get_weights()
    for n in SIZES:
        x = RNG.normal(size=(n, 3))
        np.testing.assert_allclose(
            net.predict(x, engine=engine), np.tanh(x @ w1 + b1) @ w2 + b2, rtol=1e-12, atol=1e-14
        )


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("weighted", [False, True])
def test_evaluate_in_batches(engine, weighted):
    """The mean over all rows, not the mean of the batches' means; padded rows count for nothing."""
    net = mlp(2, dtype="float64")
    for n in SIZES:
        x, y = RNG.normal(size=(n, 3)), RNG.normal(size=(n, 2))
        w = RNG.integers(1, 4, n) if weighted else None
        found = net.evaluate(x, y, loss="sse", metrics=["mae", "rmse"], sample_weight=w, engine=engine)
        p = net.predict(x)
        assert found["loss"] == pytest.approx(np.average(((p - y) ** 2).sum(1), weights=w), rel=1e-10)
        assert found["mae"] == pytest.approx(sk.mean_absolute_error(y, p, sample_weight=w), rel=1e-10)
        assert found["rmse"] ** 2 == pytest.approx(sk.mean_squared_error(y, p, sample_weight=w), rel=1e-10)


@pytest.mark.parametrize("last", ["softmax", None])
def test_accuracy_of_several_classes(last):
    """The largest output wins, for labels and for one-hot rows, with the softmax in the model or in the loss."""
    net, x, labels = mlp(4, last), RNG.normal(size=(301, 3)), RNG.integers(0, 4, 301)
    expected = sk.accuracy_score(labels, net.predict(x).argmax(1))
    for targets in (labels, np.eye(4)[labels]):
        found = net.evaluate(x, targets, loss="cross_entropy", metrics="accuracy")["accuracy"]
        assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("last", ["sigmoid", None])
def test_accuracy_of_one_output(last):
    """More likely than not is 1: a sigmoid above ½, a logit above 0; labels (n,) and columns (n, 1)."""
    net, x, labels = mlp(1, last), RNG.normal(size=(301, 3)), RNG.integers(0, 2, 301)
    net.compile(loss="binary_cross_entropy", metrics=["accuracy"])
    decided = net.predict(x)[:, 0] > (0.5 if last else 0)
    expected = sk.accuracy_score(labels, decided)
    assert 0 < decided.mean() < 1
    assert net.evaluate(x, labels)["accuracy"] == pytest.approx(expected, rel=1e-6)
    assert net.evaluate(x, labels[:, None])["accuracy"] == pytest.approx(expected, rel=1e-6)
    np.testing.assert_array_equal(net.predict_labels(x), decided)


def test_losses_are_those_of_sklearn():
    """Cross-entropies on probabilities the model gives."""
    x, labels = RNG.normal(size=(99, 3)), RNG.integers(0, 3, 99)
    net = mlp(3).compile(loss="cross_entropy")
    p = net.predict_proba(x).astype("float64")
    expected = sk.log_loss(labels, p / p.sum(1, keepdims=True), labels=[0, 1, 2])
    assert net.evaluate(x, labels)["loss"] == pytest.approx(expected, rel=1e-5)
    bits = labels > 1
    one = mlp(1, "sigmoid").compile(loss="binary_cross_entropy")
    assert one.evaluate(x, bits)["loss"] == pytest.approx(
        sk.log_loss(bits, one.predict(x)[:, 0].astype("float64")), rel=1e-5
    )


def test_validation_is_evaluate():
    """What `fit` writes after the last epoch is what `evaluate` says afterwards."""
    x, y = RNG.normal(size=(60, 3)), RNG.normal(size=(60, 2))
    net = mlp(2)
    history = net.fit(x[:40], y[:40], loss="mse", metrics=["mae"], epochs=3, validation=(x[40:], y[40:]))
    assert net.evaluate(x[40:], y[40:]) == pytest.approx(
        {"loss": history["val_loss"][-1], "mae": history["val_mae"][-1]}, rel=1e-6
    )


def test_a_share_is_held_out():
    """0.25 of the rows never teach: training is that on the others, which the seed picks."""
    x, y = RNG.normal(size=(40, 3)), RNG.normal(size=(40, 2))
    a, b = mlp(2), mlp(2)
    history = a.fit(x, y, loss="mse", epochs=2, batch_size=None, validation=0.25, seed=3, engine="reference")
    (kept, ky), (held, hy) = kj.data.split(x, y, test=0.25, seed=3)
    b.fit(kept, ky, loss="mse", epochs=2, batch_size=None, engine="reference")
    assert history.settings["rows"] == 30
    np.testing.assert_array_equal(a.get_weights()[0], b.get_weights()[0])
    assert history["val_loss"][-1] == pytest.approx(b.evaluate(held, hy)["loss"], rel=1e-6)


def test_a_share_of_weighted_rows():
    """Weights go with their rows, into training and into validation."""
    x, y, w = RNG.normal(size=(40, 3)), RNG.normal(size=(40, 2)), RNG.random(40)
    net = mlp(2)
    history = net.fit(x, y, loss="mse", validation=0.25, seed=3, sample_weight=w, engine="reference")
    held, hy, hw = kj.data.split(x, y, w, test=0.25, seed=3)[1]
    assert history["val_loss"][-1] == pytest.approx(net.evaluate(held, hy, sample_weight=hw)["loss"], rel=1e-6)


def test_probabilities():
    """After a sigmoid or softmax the output itself; from logits what the loss implies; without either a refusal."""
    x = RNG.normal(size=(9, 3))
    np.testing.assert_array_equal(mlp(2, "softmax").predict_proba(x), mlp(2, "softmax").predict(x))
    logits = mlp(3).compile(loss="cross_entropy")
    e = np.exp(logits.predict(x).astype("float64"))
    np.testing.assert_allclose(logits.predict_proba(x), e / e.sum(1, keepdims=True), rtol=1e-5)
    one = mlp(1).compile(loss="binary_cross_entropy")
    np.testing.assert_allclose(one.predict_proba(x), 1 / (1 + np.exp(-one.predict(x).astype("float64"))), rtol=1e-5)
    with pytest.raises(GraphError, match="the output of the model is no probability, and its loss .mse. does not"):
        mlp(2).compile(loss="mse").predict_proba(x)


def test_labels_of_several_classes():
    """The most likely class of every row, (n,) int64."""
    net, x = mlp(4), RNG.normal(size=(9, 3))
    found = net.predict_labels(x)
    assert (found.shape, found.dtype) == ((9,), "int64")
    np.testing.assert_array_equal(found, net.predict(x).argmax(1))


def test_several_outputs():
    """A model with several outputs predicts a tuple of arrays."""
    x = kj.Input((3,))
    net = kj.Model(x, [kj.nn.Dense(2)(x), kj.nn.Dense(1)(x)]).build(seed=0)
    a, b = net.predict(RNG.normal(size=(1030, 3)))
    assert (a.shape, b.shape) == ((1030, 2), (1030, 1))


@pytest.mark.parametrize("ask", ["predict", "predict_proba", "predict_labels"])
def test_predicting_without_weights(ask):
    """A model that never met data has nothing to say."""
    with pytest.raises(GraphError, match="has no weights yet: fit it, call it on data, or say the shape"):
        getattr(kj.Sequential([kj.nn.Dense(1)]), ask)(np.ones((1, 2)))


def test_what_predict_refuses():
    """One example alone, another width, missing values: each in the words of `fit`."""
    net = mlp(2)
    with pytest.raises(
        ShapeError, match=r"x has shape \(3,\), and the model was built .* Give a single example as x\[None\]"
    ):
        net.predict(np.ones(3))
    with pytest.raises(ShapeError, match=r"was built for 3 features and got an input of shape \(2, 4\)"):
        net.predict(np.ones((2, 4)))
    with pytest.raises(DataError, match="x has nan at row 1, column 0"):
        net.predict([[1, 2, 3], [np.nan, 2, 3]])


def test_what_evaluate_needs():
    """A loss or metrics, and targets that fit."""
    net, x = mlp(2), np.ones((4, 3))
    with pytest.raises(DataError, match="evaluate needs a loss or metrics"):
        net.evaluate(x, np.ones((4, 2)))
    with pytest.raises(UnknownNameError, match="Did you mean 'mae'"):
        net.evaluate(x, np.ones((4, 2)), metrics=["maee"])
    with pytest.raises(DataError, match="accuracy: targets of shape"):
        net.evaluate(x, np.ones((4, 3)), metrics=["accuracy"])
    assert set(net.evaluate(x, np.ones((4, 2)), metrics=["mae"])) == {"mae"}


def test_programs_are_kept():
    """Evaluating twice compiles once."""
    net, x, y = mlp(2), np.ones((4, 3)), np.ones((4, 2))
    for _ in range(3):
        net.evaluate(x, y, loss="mse")
        net.predict(x)
    assert len(net._training.programs) == 2
