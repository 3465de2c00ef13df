"""Cross-validation: each fold is a network trained alone on its rows, and nothing of the test rows is known to it."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import cross_val_score

import kedja as kj
from kedja.data.folds import fold_rows
from kedja.errors import DataError, GraphError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(45, 3)).astype("float32")
Y = X @ np.array([[1.0], [2.0], [-1.0]], "float32") + RNG.normal(size=(45, 1)).astype("float32")
C = (X[:, 0] > 0).astype(int)
HOW = {"loss": "mse", "optimizer": "adam", "epochs": 3, "batch_size": 10, "engine": "reference"}


def net(*before):
    """A hidden layer after what stands before it."""
    return kj.Sequential([*before, kj.nn.Dense(4, "tanh"), kj.nn.Dense(1)])


def test_linear_regression_as_scikit_learn():
    """A linear network at its minimum has, fold for fold, the error of scikit-learn's linear regression."""
    rows = fold_rows(45, 4, seed=3)
    ours = kj.cross_validate(
        kj.Sequential([kj.nn.Dense(1)], dtype="float64"), X, Y, folds=4, seed=3, loss="mse", engine="reference",
        optimizer=kj.optim.LBFGS(), epochs=200, batch_size=None,
    )  # fmt: skip
    theirs = -cross_val_score(
        LinearRegression(), X.astype(float), Y.astype(float), cv=rows, scoring="neg_mean_squared_error"
    )
    np.testing.assert_allclose(ours["loss"], theirs, rtol=1e-4)
    assert ours.mean["loss"] == pytest.approx(theirs.mean(), rel=1e-4)
    assert ours.std["loss"] == pytest.approx(theirs.std(ddof=1), rel=1e-3)


@pytest.mark.parametrize("before", [(), (kj.nn.Normalize,)], ids=["plain", "normalised"])
def test_a_fold_is_a_network_trained_alone(before):
    """Fold k has the figures of a new net fitted with seed + k on its training rows, scaled by those alone."""
    template = net(*(b() for b in before))
    found = kj.cross_validate(template, X * 5 + 3, Y, folds=3, seed=2, **HOW)
    for k, (learn, test) in enumerate(found.rows):
        alone = net(*(b() for b in before))
        alone.fit(X[learn] * 5 + 3, Y[learn], seed=2 + k, **HOW)
        assert found.folds[k]["loss"] == pytest.approx(alone.evaluate(X[test] * 5 + 3, Y[test])["loss"], rel=1e-5)
        assert found.train[k]["loss"] == pytest.approx(alone.evaluate(X[learn] * 5 + 3, Y[learn])["loss"], rel=1e-5)
        np.testing.assert_allclose(found.predictions[test], alone.predict(X[test] * 5 + 3), rtol=1e-4, atol=1e-5)
    assert not template.built


def test_the_net_given_stays_as_it_was():
    """A trained net is neither trained further nor a head start for its folds."""
    ours = net()
    ours.fit(X, Y, seed=5, **HOW)
    before = ours.get_weights()
    a = kj.cross_validate(ours, X, Y, folds=3, **HOW)
    b = kj.cross_validate(net(), X, Y, folds=3, **HOW)
    for u, v in zip(before, ours.get_weights(), strict=True):
        np.testing.assert_array_equal(u, v)
    np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-5)


def test_classes_groups_time_and_rows_of_ones_own():
    """Classes are stratified by themselves; groups stay whole; time goes forward; folds may be given."""
    how = HOW | {"loss": "binary_cross_entropy", "epochs": 1}
    found = kj.cross_validate(net(), X, C, folds=5, metrics=["accuracy"], **how)
    shares = [C[test].mean() for _, test in found.rows]
    assert max(shares) - min(shares) < 0.12 and "accuracy" in found.mean
    groups = np.repeat(np.arange(9), 5)
    for learn, test in kj.cross_validate(net(), X, C, folds=3, groups=groups, **how).rows:
        assert not set(groups[learn]) & set(groups[test])
    ordered = kj.cross_validate(net(), X, C, folds=3, in_order=True, **how)
    assert all(learn.max() < test.min() for learn, test in ordered.rows) and ordered.predictions is None
    own = kj.cross_validate(net, X, C, folds=[(range(30), range(30, 45))] * 2, **how)
    assert [len(test) for _, test in own.rows] == [15, 15]
    assert "± " in repr(own) and len(own.plot().axes) == 1 and own.to_dict()["mean"] == own.mean


def test_bad_input_is_named():
    """Too many folds, rare classes, leaks."""
    rare = np.r_[np.zeros(43, int), 1, 1]
    for call, error, says in [
        (lambda: kj.cross_validate(net(), X, Y, folds=46, **HOW), DataError, "46 folds need at least 46 rows"),
        (lambda: kj.cross_validate(net(), X, rare, folds=3, stratify=True, **HOW), DataError, "label 1 has 2 rows"),
        (lambda: kj.cross_validate(net(), X, Y, folds=[([0, 1], [1, 2])], **HOW), DataError, "learns from: row 1"),
        (lambda: kj.cross_validate(kj.Sequential, X, Y, **HOW), GraphError, "with brackets"),
        (lambda: kj.cross_validate(net(), X, Y, folds=1, **HOW), DataError, "at least 2"),
    ]:
        with pytest.raises(error, match=says):
            call()
    scaled = net(kj.nn.Normalize())
    scaled.fit(X, Y, **HOW)
    with pytest.raises(DataError, match="adapted to rows already"):
        kj.cross_validate(scaled, X, Y, **HOW)
