"""`fit` against a loop written by hand in PyTorch, in float64: same weights, same order, same numbers to 1e-9."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import kedja as kj
from kedja.ops.random import fold_array, key_words, permutation_array
from kedja.train.loop import orders
from oracles.torch_training import trained

RNG = np.random.default_rng(4)
X = RNG.normal(size=(37, 5))
Y = np.tanh(X @ RNG.normal(size=(5, 2)))
BITS = (Y[:, :1] > 0).astype(float)
LABELS = (Y[:, 0] > 0) + (Y[:, 1] > 0).astype(np.int64)


@pytest.fixture(autouse=True)
def in_float64():
    """Everything here is computed in float64."""
    with kj.default_dtype("float64"):
        yield


def mlp(outputs: int, last: str = "linear") -> kj.Sequential:
    """5-6-outputs, built."""
    return kj.Sequential([kj.nn.Dense(6, "tanh"), kj.nn.Dense(outputs, last)]).build((None, 5), seed=3)


def same(ours, theirs, tolerance=1e-9) -> None:
    """All weights agree."""
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


LOSSES = {
    "mse": (Y, "linear", lambda o, t: ((o - t) ** 2).mean(1)),
    "sse": (Y, "tanh", lambda o, t: ((o - t) ** 2).sum(1)),
    "half_sse": (Y, "sigmoid", lambda o, t: ((o - t) ** 2).sum(1) / 2),
    "binary_cross_entropy": (BITS, "sigmoid", lambda o, t: F.binary_cross_entropy(o, t, reduction="none").mean(1)),
    "cross_entropy": (LABELS, "linear", lambda o, t: F.cross_entropy(o, t, reduction="none")),
}
RULES = {
    "sgd": (kj.optim.SGD(0.05), lambda p: torch.optim.SGD(p, lr=0.05)),
    "momentum": (kj.optim.Momentum(0.02, 0.9), lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9)),
    "adam": (kj.optim.Adam(0.01), lambda p: torch.optim.Adam(p, lr=0.01)),
}


@pytest.mark.parametrize("engine", ["reference", "xla"])
@pytest.mark.parametrize(
    ("loss", "rule"),
    [
        ("mse", "sgd"),
        ("sse", "momentum"),
        ("half_sse", "adam"),
        ("binary_cross_entropy", "adam"),
        ("cross_entropy", "sgd"),
    ],
)
def test_mini_batches(loss, rule, engine):
    """Five epochs of 37 rows in batches of 8: the last batch has 5 rows, and counts as 5."""
    targets, last, each = LOSSES[loss]
    net = mlp(3 if loss == "cross_entropy" else targets.shape[1], last)
    start = net.get_weights()
    history = net.fit(X, targets, loss=loss, optimizer=RULES[rule][0], epochs=5, batch_size=8, seed=9, engine=engine)
    order = orders(key_words(9), 37, 8, 0, 5, 5, True)
    theirs, seen = trained(start, ["tanh", last], X, targets, order, RULES[rule][1], each)
    same(net.get_weights(), theirs)
    epochs = np.average(np.reshape(seen, (5, 5)), axis=1, weights=[8, 8, 8, 8, 5])
    np.testing.assert_allclose(history["loss"], epochs, rtol=1e-9)


@pytest.mark.parametrize("rows", [1, 2, 7, 50])
def test_epochs_laid_out_at_once_are_those_drawn_one_by_one(rows):
    """Epoch e is the permutation of the key folded with e, whichever epochs are laid out beside it."""
    words = fold_array(key_words(5), "order")
    laid = orders(key_words(5), rows, rows, 3, 4, 4, True)
    for epoch, row in enumerate(laid, 3):
        assert row.tolist() == permutation_array(fold_array(words, epoch), rows).tolist()


def test_the_order_is_a_permutation_of_the_rows():
    """Every epoch takes each row once, in an order of its own, and pads with −1."""
    laid = orders(key_words(1), 37, 8, 0, 3, 3, True).reshape(3, 40)
    assert all(sorted(epoch) == [-1] * 3 + list(range(37)) for epoch in laid)
    assert not np.array_equal(laid[0], laid[1])
    assert orders(key_words(1), 5, 2, 0, 1, 1, False).tolist() == [[0, 1], [2, 3], [4, -1]]


@pytest.mark.parametrize("engine", ["reference", "xla"])
def test_full_batch(engine):
    """`batch_size=None` takes all rows in one step."""
    net = mlp(2)
    start = net.get_weights()
    net.fit(X, Y, loss="mse", optimizer=kj.optim.SGD(0.1), epochs=20, batch_size=None, engine=engine)
    theirs, _ = trained(
        start, ["tanh", "linear"], X, Y, [np.arange(37)] * 20, lambda p: torch.optim.SGD(p, lr=0.1), LOSSES["mse"][2]
    )
    same(net.get_weights(), theirs)


def test_gradient_descent_means_full_batch():
    """With GradientDescent every epoch is one step over all rows, whatever the batch size says."""
    a, b = mlp(2), mlp(2)
    history = a.fit(X, Y, loss="mse", optimizer=kj.optim.GradientDescent(0.1), epochs=4, batch_size=8)
    b.fit(X, Y, loss="mse", optimizer=kj.optim.SGD(0.1), epochs=4, batch_size=None)
    assert (history.steps, history.settings["batch_size"], history.settings["shuffle"]) == (4, 37, False)
    same(a.get_weights(), b.get_weights(), 0)


@pytest.mark.parametrize("engine", ["reference", "xla"])
def test_sample_weights(engine):
    """A step lowers Σwℓ/Σw of its rows; rows of weight 0 count for nothing, and the epoch's loss is weighted too."""
    w = RNG.integers(0, 3, 37).astype(float)
    net = mlp(2)
    start = net.get_weights()
    history = net.fit(
        X,
        Y,
        loss="mse",
        optimizer=kj.optim.SGD(0.1),
        epochs=2,
        batch_size=10,
        shuffle=False,
        sample_weight=w,
        engine=engine,
    )
    order = orders(key_words(0), 37, 10, 0, 2, 2, False)
    theirs, seen = trained(
        start, ["tanh", "linear"], X, Y, order, lambda p: torch.optim.SGD(p, lr=0.1), LOSSES["mse"][2], w
    )
    same(net.get_weights(), theirs)
    totals = [w[:10].sum(), w[10:20].sum(), w[20:30].sum(), w[30:].sum()]
    np.testing.assert_allclose(history["loss"], np.average(np.reshape(seen, (2, 4)), axis=1, weights=totals), rtol=1e-9)


def test_a_batch_that_weighs_nothing():
    """A batch whose rows all have weight 0 moves nothing and does no harm."""
    w = np.r_[np.zeros(8), np.ones(8)]
    a, b = mlp(2), mlp(2)
    a.fit(X[:16], Y[:16], loss="mse", optimizer="sgd", batch_size=8, shuffle=False, sample_weight=w, engine="reference")
    b.fit(X[8:16], Y[8:16], loss="mse", optimizer="sgd", batch_size=8, shuffle=False, engine="reference")
    same(a.get_weights(), b.get_weights(), 1e-12)


def test_sums_over_the_data():
    """With reduction="sum" a step goes down the sum, and the epoch's loss is the data set's."""
    net = mlp(2)
    start = net.get_weights()
    loss = kj.losses.get("half_sse", reduction="sum")
    history = net.fit(X, Y, loss=loss, optimizer=kj.optim.SGD(1e-12), epochs=1, batch_size=8, engine="reference")
    net.set_weights(start)
    expected = 0.5 * ((net.predict(X) - Y) ** 2).sum()
    assert history["loss"][0] == pytest.approx(expected, rel=1e-6)
    assert net.evaluate(X, Y)["loss"] == pytest.approx(expected, rel=1e-12)


def test_frozen_layers_keep_their_weights():
    """What is frozen does not move, the rest does; thawed, it moves again."""
    net = mlp(2)
    first = net.layers[0]
    first.trainable = False
    before = net.get_weights()
    net.fit(X, Y, loss="mse", optimizer="adam", epochs=2, engine="reference")
    now = net.get_weights()
    assert [np.array_equal(a, b) for a, b in zip(before, now, strict=True)] == [True, True, False, False]
    first.trainable = True
    net.fit(X, Y, epochs=1, engine="reference")
    assert not np.array_equal(net.get_weights()[0], before[0])


def test_targets_in_their_own_units():
    """With a `Denormalize` at the end the loss is taken in standard units: as training on standardised targets."""
    prices = 1e5 + 3e4 * Y
    scale = kj.nn.Denormalize().adapt(prices)
    a, b = (
        kj.Sequential([kj.nn.Dense(2), scale]).build((None, 5), seed=1),
        kj.Sequential([kj.nn.Dense(2)]).build((None, 5), seed=1),
    )
    ours = a.fit(X, prices, loss="mse", optimizer=kj.optim.SGD(0.1), epochs=3, seed=0, engine="reference")
    standard = (prices - prices.mean(0)) / prices.std(0)
    theirs = b.fit(X, standard, loss="mse", optimizer=kj.optim.SGD(0.1), epochs=3, seed=0, engine="reference")
    np.testing.assert_allclose(ours["loss"], theirs["loss"], rtol=1e-9)
    np.testing.assert_allclose(a.predict(X), prices.mean(0) + prices.std(0) * b.predict(X), rtol=1e-9)
