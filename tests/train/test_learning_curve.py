"""Learning curves: each point is networks trained on that many rows, smaller sets inside larger ones."""

import numpy as np
import pytest

import kedja as kj
from kedja.errors import DataError, KedjaError
from kedja.train.learning_curve import prefixes

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3)).astype("float32")
Y = X @ np.array([[1.0], [2.0], [-1.0]], "float32") + 0.3 * RNG.normal(size=(60, 1)).astype("float32")
HOW = {"loss": "mse", "optimizer": kj.optim.Adam(0.05), "epochs": 5, "batch_size": 8, "engine": "reference"}


def net(*before):
    """A hidden layer after what stands before it."""
    return kj.Sequential([*before, kj.nn.Dense(4, "tanh"), kj.nn.Dense(1)])


@pytest.mark.parametrize("before", [(), (kj.nn.Normalize,)], ids=["in one program", "one by one"])
def test_a_point_is_a_network_trained_alone(before):
    """For size m and seed s the figures are those of a net fitted with that seed on the first m rows of its order."""
    held = (X[50:], Y[50:])
    curve = kj.learning_curve(
        net(*(b() for b in before)), X[:50], Y[:50], sizes=[10, 0.5], seeds=2, seed=3, validation=held, **HOW
    )
    assert curve.sizes == [10, 25]
    for i, size in enumerate(curve.sizes):
        for k in range(2):
            rows = prefixes(None, 50, 3 + k)[:size]
            alone = net(*(b() for b in before))
            alone.fit(X[rows], Y[rows], seed=3 + k, **HOW)
            assert curve.train["loss"][i, k] == pytest.approx(alone.evaluate(X[rows], Y[rows])["loss"], rel=1e-4)
            assert curve.validation["loss"][i, k] == pytest.approx(alone.evaluate(*held)["loss"], rel=1e-4)


def test_more_rows_bring_both_curves_together():
    """With m rows a linear fit of p numbers errs by σ²(1 − p/m) on them and about σ²(1 + p/m) on others."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(1400, 8))
    y = x @ rng.normal(size=(8, 1)) + rng.normal(size=(1400, 1))
    curve = kj.learning_curve(
        kj.Sequential([kj.nn.Dense(1, use_bias=False)], dtype="float64"), x, y, sizes=[20, 80, 400], seeds=8,
        validation=(x[400:], y[400:]), loss="mse", optimizer=kj.optim.GradientDescent(0.2), epochs=300, batch_size=None,
        engine="reference",
    )  # fmt: skip
    rows = np.array(curve.sizes)
    np.testing.assert_allclose(curve.train["loss"].mean(1)[1:], 1 - 8 / rows[1:], rtol=0.15)
    gap = curve.mean("loss") - curve.train["loss"].mean(1)
    assert (np.diff(gap) < 0).all() and gap[-1] < 0.15
    assert "400 rows" in repr(curve) and len(curve.plot().axes[0].lines) == 2


def test_beginnings_are_fair_samples():
    """Every beginning of the order has each class in its share, to within one row."""
    y = np.repeat([0, 1, 2], [50, 30, 20])
    order = prefixes(y, 100, 7)
    assert sorted(order.tolist()) == list(range(100))
    for m in range(5, 101, 5):
        assert np.abs(np.bincount(y[order[:m]], minlength=3) - m * np.array([0.5, 0.3, 0.2])).max() <= 1.01


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"sizes": []}, "sizes is empty"), ({"sizes": [0]}, "got 0"), ({"sizes": [1.5]}, "sizes has 1.5"),
        ({"sizes": [100]}, "48 rows"), ({"seeds": 0}, "at least 1"), ({"bogus": 1}, "bogus"),
    ],
)  # fmt: skip
def test_bad_input_is_named(more, says):
    """Sizes and seeds that make no sense."""
    with pytest.raises((DataError, KedjaError), match=says):
        kj.learning_curve(net(), X, Y, **(HOW | more))
