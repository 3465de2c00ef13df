"""`fit(check=True)`, `kj.check`, and one batch learned by heart."""

import numpy as np
import pytest

import kedja as kj
from kedja.errors import DataError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = X[:, :1] + 0.1 * RNG.normal(size=(60, 1))
LABELS = (X[:, 0] > 0).astype(int)
D, S = kj.nn.Dense, kj.Sequential


def far(x, column, factor):
    """x with one column larger."""
    x = x.copy()
    x[:, column] *= factor
    return x


CASES = {
    "sigmoid out of reach": (S([D(1, "sigmoid")]), X, Y, "mse", "error", "lie outside 0 … 1"),
    "0 and 1 and a squared error": (S([D(1, "sigmoid")]), X, LABELS[:, None] * 1.0, "sse", "warning", "0.01 and 0.99"),
    "softmax and mse": (S([D(2, "softmax")]), X, np.eye(2)[LABELS], "mse", "warning", "use cross_entropy"),
    "one unit": (S([D(1)]), X, LABELS * 0, "cross_entropy", "error", "over a single output"),
    "one unit with a softmax": (S([D(1, "softmax")]), X, Y, "mse", "error", "softmax over one unit"),
    "sigmoids and cross entropy": (S([D(2, "sigmoid")]), X, LABELS, "cross_entropy", "error", "End the model with a"),
    "relu before logits": (S([D(2, "relu")]), X, LABELS, "cross_entropy", "warning", "takes the output for logits"),
    "large column": (S([D(2)]), far(X, 1, 1e4), LABELS, "cross_entropy", "warning", "column 1 has values up to"),
    "constant column": (S([D(1)]), X * [1, 0, 1], Y, "mse", "note", "column 1 is the same in every row"),
    "large targets": (S([D(1)]), X, 1e5 * Y, "mse", "warning", "Denormalize"),
    "constant target": (S([D(1)]), X, 0 * Y, "mse", "warning", "all of them are the same"),
    "class without rows": (S([D(3)]), X, LABELS, "cross_entropy", "warning", "no training row has the class 2"),
    "the answer": (S([D(1)]), np.column_stack([X, 3 * Y]), Y, "mse", "warning", "correlation of 1.00000"),
    "dead units": (S([D(8, "relu", bias_init=-100.0), D(1)]), X, Y, "mse", "warning", "units are 0 for all"),
    "saturated": (S([D(8, "tanh"), D(1)]), 1e5 * X, Y, "mse", "warning", "lie at the ends of a tanh"),
    "NaN": (S([D(1)]), np.where(X > 2, np.nan, X), Y, "mse", "error", "has nan"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_planted_fault_is_found(name):
    """In its words, at its level; the model that was checked is as before."""
    net, x, y, loss, level, said = CASES[name]
    found = kj.check(net, x, y, loss=loss)
    assert any(f.level == level and said in f.text for f in found), str(found)
    assert not net.built


def test_nothing_is_found_where_nothing_is_wrong():
    """A sound network on sound data, for numbers and for classes."""
    assert kj.check(S([D(8, "tanh"), D(1)]), X, Y, loss="mse", validation=0.2)
    found = kj.check(S([D(8, "relu"), D(2, "softmax")]), X, LABELS, loss="cross_entropy")
    assert found and "nothing wrong" in str(found) and "<table>" in found._repr_html_()


def test_duplicates_across_the_split():
    """Rows that stand on both sides are counted."""
    found = kj.check(S([D(1)]), X, Y, loss="mse", validation=(X[:7], Y[:7]))
    assert any("7 of its 7 rows" in f.text for f in found.warnings)


def test_fit_refuses_errors_and_warns():
    """Errors before anything is learned, warnings as Python's."""
    net = S([D(1, "sigmoid")])
    with pytest.raises(DataError, match="lie outside"):
        net.fit(X, Y, loss="mse", check=True, verbose=0)
    assert not net.built
    with pytest.warns(UserWarning, match="Denormalize"):
        S([D(1)]).fit(X, 1e5 * Y, loss="mse", check=True, verbose=0, engine="reference")


def test_data_read_piece_by_piece_are_checked_by_a_few_rows(tmp_path, capsys):
    """A source and batches are looked at too, with the number of rows said; a class that these lack is no finding."""
    np.save(tmp_path / "x.npy", X.astype(np.float32))
    np.save(tmp_path / "y.npy", Y.astype(np.float32))
    source = kj.data.npy(tmp_path / "x.npy", tmp_path / "y.npy")
    how = {"batch_size": 8, "check": True, "verbose": 0, "engine": "reference"}
    for streamed in (source, lambda: iter([(X, 5 + Y)])):
        with pytest.raises(DataError, match="lie outside"):
            S([D(1, "sigmoid")]).fit(streamed, loss="mse", **how)
        assert "lie outside" in kj.check(S([D(1, "sigmoid")]), streamed, loss="mse", validation=0.2).errors[0].text
    S([D(8, "tanh"), D(1)]).fit(source, loss="mse", **how | {"verbose": 1})
    assert f"{len(X)} rows were looked at" in capsys.readouterr().out
    S([D(3)]).fit(lambda: iter([(X, LABELS)]), loss="cross_entropy", **how)


def test_what_needs_rows_in_memory_says_so_of_a_source(tmp_path):
    """Cross-validation and the batch learned by heart take arrays; what to give instead is said."""
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    source = kj.data.npy(tmp_path / "x.npy", tmp_path / "y.npy")
    with pytest.raises(DataError, match=r"x\.npy, which is read piece by piece.*source\.take"):
        kj.overfit_one_batch(S([D(1)]), source, loss="mse")
    with pytest.raises(DataError, match="read piece by piece"):
        kj.cross_validate(S([D(1)]), lambda: iter([(X, Y)]), loss="mse")


def test_a_parameter_without_gradient_is_named():
    """By its path."""

    class Idle(kj.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = D(1), D(1)

        def call(self, x):
            return self.used(x) + 0.0 * self.idle(x)

    found = kj.check(Idle(), X, Y, loss="mse")
    assert {f.where for f in found.warnings} == {"idle.kernel", "idle.bias"}


def test_one_batch_is_learned_by_heart():
    """Also through dropout, which the copy does without; the model itself learns nothing."""
    net = S([D(16, "tanh"), kj.nn.Dropout(0.5), D(2)])
    tried = kj.overfit_one_batch(net, X, LABELS, loss="cross_entropy", steps=200)
    assert tried and tried.losses[-1] < 0.01 * tried.losses[0] and not net.built
    assert net.layers[1].rate == 0.5


def test_what_cannot_be_learned_by_heart_says_why():
    """Targets a sigmoid does not reach; inputs with two answers."""
    tried = kj.overfit_one_batch(S([D(1, "sigmoid")]), X, 5 + Y, loss="mse", steps=50)
    assert not tried and any("lie outside" in reason for reason in tried.reasons)
    torn = kj.overfit_one_batch(S([D(4, "tanh"), D(1)]), X[[0, 0]], np.array([[0.0], [1.0]]), loss="mse", steps=50)
    assert any("different targets" in reason for reason in torn.reasons) and "not learned by heart" in str(torn)
