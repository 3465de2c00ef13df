"""Trainings that would go wrong without a word are refused with one."""

import copy
import threading
from pathlib import Path

import numpy as np
import pytest

import kedja as kj
from kedja.errors import DataError, DivergedError, GraphError, ShapeError, StorageError

X = np.random.default_rng(0).normal(size=(40, 3))
LABELS = (X[:, 0] > 0).astype(int)


def net(units: int = 1, activation: str | None = None) -> kj.Sequential:
    return kj.Sequential([kj.nn.Dense(units, activation=activation)])


def test_a_softmax_under_binary_cross_entropy_is_refused():
    """A softmax over one output is always 1, whatever the network learns."""
    with pytest.raises(ShapeError, match="always 1"):
        net(1, "softmax").fit(X, LABELS, loss="binary_cross_entropy", verbose=0)


def test_sigmoids_under_cross_entropy_are_refused():
    """Loss and probabilities would describe two different models."""
    with pytest.raises(ShapeError, match="need not add up to 1"):
        net(2, "sigmoid").fit(X, LABELS, loss="cross_entropy", verbose=0)


@pytest.mark.parametrize("rows", [np.eye(2)[LABELS] * 3, np.eye(2)[LABELS] * 2 - 1, np.ones((40, 2))])
def test_target_rows_that_are_no_probabilities_are_refused(rows):
    """Each row must be at least 0 and add up to 1; the first that does not is named."""
    with pytest.raises(DataError, match="row 0 is"):
        net(2).fit(X, rows, loss="cross_entropy", verbose=0)


def test_a_column_that_float32_would_flatten_is_refused():
    """Time stamps a minute apart are one and the same number in float32; the column is named."""
    stamps = X.copy()
    stamps[:, 1] = 1.7e12 + 60_000 * np.arange(40)
    with pytest.raises(DataError, match=r"in column 1 .* differ by less than float32"):
        net().fit(stamps, X[:, :1], loss="mse", verbose=0)
    with pytest.raises(DataError, match="y has values"):
        net().fit(X, 1e9 + np.arange(40.0)[:, None], loss="mse", verbose=0)


def test_weights_that_are_not_finite_are_said_to_be_so():
    """The advice is not a lower rate but other weights."""
    model = net().build((None, 3), seed=0)
    model.set_weights([np.full((3, 1), np.nan), np.zeros(1)])
    with pytest.raises(DivergedError, match="before the first step"):
        model.fit(X, X[:, :1], loss="mse", verbose=0)


def test_a_model_is_trained_by_one_thread_at_a_time():
    """A second fit of the same model while the first runs is refused, and the first is not disturbed."""
    model = net()
    model.fit(X, X[:, :1], loss="mse", verbose=0)
    held = model._training.busy
    with held:
        errors: list[Exception] = []

        def again() -> None:
            try:
                model.fit(X, X[:, :1], verbose=0)
            except GraphError as error:
                errors.append(error)

        thread = threading.Thread(target=again)
        thread.start()
        thread.join()
    assert "another thread" in str(errors[0])


def test_a_deep_copy_trains_apart_from_the_original():
    """Its weights are its own, its optimiser's memory too, and both go on alike."""
    model = net()
    model.fit(X, X[:, :1], loss="mse", optimizer="adam", epochs=2, seed=0, verbose=0)
    twin = copy.deepcopy(model)
    before = model.predict(X)
    twin.fit(X, X[:, :1], epochs=2, seed=0, verbose=0)
    assert np.array_equal(model.predict(X), before)
    model.fit(X, X[:, :1], epochs=2, seed=0, verbose=0)
    assert np.array_equal(model.predict(X), twin.predict(X))


def test_a_copied_tensor_is_the_tensor():
    """Nodes are immutable, so a copy is the node itself and still has its value."""
    y = kj.tensor([1.0, 2.0]) * 2
    assert copy.deepcopy(y) is y


def test_a_pytorch_tensor_with_a_gradient_is_taken_as_its_values():
    """It is detached, as kj.tensor does it."""
    import torch

    x = torch.tensor(X, dtype=torch.float32, requires_grad=True)
    a, b = net(), net()
    a.fit(x, X[:, :1], loss="mse", seed=0, verbose=0)
    b.fit(X.astype(np.float32), X[:, :1], loss="mse", seed=0, verbose=0)
    assert np.array_equal(a.predict(X), b.predict(X))


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path):
    """The error is kedja's own, an OSError too, and names the path the user gave."""
    (tmp_path / "file").write_text("")
    model = net().build((None, 3), seed=0)
    with pytest.raises(StorageError, match="file"):
        model.save(tmp_path / "file")
    with pytest.raises(OSError, match=r"cannot write .*h\.csv"):
        model.fit(X, X[:, :1], loss="mse", verbose=0).to_csv(tmp_path / "missing" / "h.csv")
