"""Embedding: which rows learn, what a model hands over, and numbers that are not in the table."""

import numpy as np
import pytest
import torch

import kedja as kj
from kedja.errors import DataError, DTypeError, KedjaError

RNG = np.random.default_rng(2)


def words():
    """Sentences of four words out of six, and whether word 5 is among them."""
    x = RNG.integers(0, 6, (40, 4))
    return x, (x == 5).any(1).astype(int)


def net():
    """Looks up, averages over positions by a Dense layer, decides."""
    layers = [kj.nn.Embedding(6, 3), kj.nn.Flatten(), kj.nn.Dense(8, "tanh"), kj.nn.Dense(1, "sigmoid")]
    return kj.Sequential(layers)


def test_rows_looked_up_twice_get_the_sum():
    """And rows that are not looked up get 0, as in PyTorch."""
    layer = kj.nn.Embedding(5, 2, dtype="float64")
    x = np.array([[1, 1, 4], [0, 1, 1]])
    g = kj.grad((layer(x) ** 3).sum(), layer(x).inputs[0]).numpy()
    table = torch.tensor(layer.table.value, requires_grad=True)
    (torch.nn.functional.embedding(torch.tensor(x), table) ** 3).sum().backward()
    np.testing.assert_allclose(g, table.grad.numpy(), rtol=1e-12)
    assert not g[[2, 3]].any() and g[[0, 1, 4]].all()


@pytest.mark.parametrize("engine", ["reference", "xla"])
def test_a_model_learns_words(engine):
    """Rows of integers go through `fit`, `evaluate` and `predict` on both engines."""
    x, y = words()
    model = net()
    history = model.fit(
        x, y, loss="binary_cross_entropy", optimizer=kj.optim.Adam(0.05), epochs=40, seed=0, verbose=0, engine=engine
    )
    assert history["loss"][-1] < 0.1 * history["loss"][0]
    np.testing.assert_array_equal(model.predict(x), model.predict(x.astype("float32")))


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "float32", "float64"])
def test_whole_numbers_of_any_type(dtype):
    """Integers, and floats without a fraction, name the same rows."""
    layer = kj.nn.Embedding(6, 3)
    x = RNG.integers(0, 6, (4, 2))
    np.testing.assert_array_equal(layer(x.astype(dtype)).numpy(), layer.table.numpy()[x])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([[0, 1], [2, 6]], "has vectors for the whole numbers 0 to 5 and got 6 in row 1, position 1 (counting from 0). "
                           "Numbers that start at 1 need a table of 7."),
        ([[0, -1]], "got -1 in row 0, position 1"),
        ([[0.5]], "got 0.5 in row 0, position 0"),
        ([float("nan")], "got nan in row 0"),
        ([[[0, 0], [0, 9]]], "got 9 in row 0, position 1, 1"),
    ],
)  # fmt: skip
def test_what_is_not_in_the_table(x, message):
    """The number, where it stands, and which there are."""
    with pytest.raises(DataError) as error:
        kj.nn.Embedding(6, 3)(np.array(x))
    assert message in str(error.value) and str(error.value).startswith("Embedding: ")


@pytest.mark.parametrize("engine", ["reference", "xla"])
@pytest.mark.parametrize("how", ["fit", "predict"])
def test_a_model_refuses_what_is_not_in_the_table(how, engine):
    """In a compiled program too, where the device would take the nearest row and say nothing."""
    x, y = words()
    model = net().build((None, 4))
    x[7, 2] = 6
    with pytest.raises(DataError, match=r'Embedding "embedding_1": .* and got 6 in row 7, position 2'):
        if how == "fit":
            model.fit(x, y, loss="binary_cross_entropy", seed=0, verbose=0, engine=engine)
        else:
            model.predict(x, engine=engine)


def test_truth_values_are_not_positions():
    """A mask handed over by mistake."""
    with pytest.raises(DTypeError, match=r"Embedding: looks whole numbers up, got bool of shape \(2, 2\)"):
        kj.nn.Embedding(6, 3)(np.ones((2, 2), bool))


@pytest.mark.parametrize(("vocabulary", "units"), [(0, 3), (6, -1), (2.5, 3), ("six", 3)])
def test_sizes_are_whole_numbers(vocabulary, units):
    """At least 1."""
    with pytest.raises(KedjaError, match="Embedding: .*, a whole number ≥ 1; got"):
        kj.nn.Embedding(vocabulary, units)
