"""Connections that are not there, weights that stand in two places, penalties and constraints of one layer's own."""

import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import kedja as kj
from kedja.errors import DataError, GraphError, ShapeError
from kedja.nn.layers.config import rebuilt

RNG = np.random.default_rng(6)
X = RNG.normal(size=(12, 4))
MASK = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]])


def test_a_mask_of_blocks_is_two_layers():
    """Connections within two groups only: two dense layers side by side."""
    layer = kj.nn.Dense(5, mask=np.block([[np.ones((3, 2)), np.zeros((3, 3))], [np.zeros((1, 2)), np.ones((1, 3))]]))
    layer.dtype = np.dtype("float64")
    y = layer(X).numpy()
    w = layer.kernel.numpy()
    halves = [F.linear(torch.tensor(X[:, a]), torch.tensor(w[a, b].T)) for a, b in
              ((slice(0, 3), slice(0, 2)), (slice(3, 4), slice(2, 5)))]  # fmt: skip
    np.testing.assert_allclose(y, torch.cat(halves, 1).numpy(), rtol=1e-12)


@pytest.mark.parametrize("optimizer", ["adam", kj.optim.SGD(0.1, momentum=0.9)])
def test_what_is_not_connected_stays_0(optimizer):
    """From the start, through training with a penalty, and after a reset; the gradient there is 0."""
    model = kj.Sequential([kj.nn.Dense(3, mask=MASK, regularizer="l2"), kj.nn.Dense(1)], dtype="float64")
    model.build((None, 4), seed=0)
    kernel = model.layers[0].kernel
    start = kernel.numpy().copy()
    model.fit(X, X[:, :1], loss="mse", optimizer=optimizer, epochs=5, seed=0, verbose=0, engine="reference")
    assert not np.any(start[MASK == 0]) and np.all(start[MASK == 1])
    assert not np.any(kernel.numpy()[MASK == 0]) and np.all(kernel.numpy()[MASK == 1] != start[MASK == 1])
    gradient = kj.grad((model(X) ** 2).sum(), kernel).numpy()
    np.testing.assert_array_equal(gradient != 0, MASK == 1)
    model.reset(5)
    assert not np.any(kernel.numpy()[MASK == 0]) and np.all(kernel.numpy()[MASK == 1])


def test_a_weight_given_where_no_connection_is_does_nothing():
    """Whatever stands in the kernel there, it is not used."""
    layer = kj.nn.Dense(3, mask=MASK)
    y = layer(X).numpy()
    layer.kernel.assign(layer.kernel.numpy() + 7.0 * (1 - MASK))
    np.testing.assert_array_equal(layer(X).numpy(), y)


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        (np.ones((4, 2)), ShapeError, "Dense: the mask has shape (4, 2); it needs one row for each input and one "
                                      "column for each of the 3 units"),
        ([1, 0, 1], ShapeError, "Dense: the mask has shape (3,)"),
        (np.full((4, 3), 0.5), DataError, "Dense: the mask says which connections there are, 1 or 0; it has"),
        (np.ones((5, 3)), ShapeError, "Dense: the mask has shape (5, 3), and the kernel (4, 3): one row for each of "
                                      "the 4 features of the input (12, 4), one column for each of the 3 units"),
    ],
)  # fmt: skip
def test_masks_that_do_not_fit(mask, error, message):
    """Named with both shapes."""
    with pytest.raises(error) as found:
        kj.nn.Dense(3, mask=mask)(X)
    assert message in str(found.value)


def test_a_layers_own_penalty_and_constraint():
    """They stand at the kernel and not at the bias, and training obeys them."""
    layer = kj.nn.Dense(3, regularizer=kj.regularizers.L1(0.5), constraint="non_negative")
    model = kj.Sequential([layer])
    model.fit(X, X[:, :3], loss="mse", epochs=2, seed=0, verbose=0, engine="reference")
    assert layer.kernel.regularizer == kj.regularizers.L1(0.5) and layer.bias.regularizer is None
    assert (layer.kernel.numpy() >= 0).all() and layer.bias.constraint is None


# --- the same weights in two places ---------------------------------------------------------------------------------
def autoencoder():
    """Down and up again with one matrix."""
    coder = kj.nn.Dense(2, "tanh", bias_init="normal")
    return kj.Sequential([coder, kj.nn.Tied(coder, bias_init="normal")], dtype="float64").build((None, 4), seed=1)


def test_tied_gradients_are_sums():
    """The gradient of the shared matrix is that of PyTorch, which adds up both uses (scope 2.8)."""
    model = autoencoder()
    names = ["dense_1.kernel", "dense_1.bias", "tied_1.bias"]
    assert list(model.state) == names
    w, b, c = (torch.tensor(model.state[n].value, requires_grad=True) for n in names)
    x = torch.tensor(X)
    (F.linear(torch.tanh(F.linear(x, w.T, b)), w, c) - x).square().sum().backward()
    ours = kj.grad(((model(X) - X) ** 2).sum(), model.parameters)
    for g, t in zip(ours, (w, b, c), strict=True):
        np.testing.assert_allclose(g.numpy(), t.grad.numpy(), rtol=1e-10)


def test_a_shared_layer_gets_the_sum():
    """One layer called three times in a functional model, against PyTorch."""
    x = kj.Input((4,))
    twice = kj.nn.Dense(4, "tanh", bias_init="normal")
    model = kj.Model(x, twice(twice(x)) + twice(2 * x), dtype="float64").build()
    assert model.count_parameters() == 20
    w, b = (torch.tensor(v.value, requires_grad=True) for v in model.state.values())

    def theirs(t):
        return torch.tanh(F.linear(t, w.T, b))

    t = torch.tensor(X)
    (theirs(theirs(t)) + theirs(2 * t)).square().sum().backward()
    for g, p in zip(kj.grad((model(X) ** 2).sum(), model.parameters), (w, b), strict=True):
        np.testing.assert_allclose(g.numpy(), p.grad.numpy(), rtol=1e-10)


def test_tied_layers_stay_tied_in_files(tmp_path):
    """After loading it is still one matrix: further training goes on as in the model that was saved."""
    how = {"loss": "mse", "optimizer": kj.optim.SGD(0.1), "epochs": 2, "batch_size": None, "seed": 0, "verbose": 0}
    model = autoencoder()
    model.fit(X, X, engine="reference", **how)
    again = kj.load(model.save(tmp_path / "m"))
    assert again.layers[1].dense is again.layers[0] and list(again.state) == list(model.state)
    a, b = (m.fit(X, X, engine="reference", **how)["loss"] for m in (model, again))
    np.testing.assert_array_equal(a, b)


def test_a_shared_layer_is_written_once():
    """In plain data the second place refers to the first; through JSON and back it is one layer again."""
    shared = kj.nn.Dense(4, "tanh")
    model = kj.Sequential([kj.nn.Residual(shared), kj.nn.Residual(kj.Sequential([shared]))]).build((None, 4))
    config = json.loads(json.dumps(model.config()))
    assert json.dumps(config).count('"units"') == 1
    again = rebuilt(config).build((None, 4))
    assert again.layers[0].layer is again.layers[1].layer.layers[0]
    assert again.config() == model.config() and again.count_parameters() == model.count_parameters() == 20


def test_freezing_the_dense_layer_freezes_the_shared_matrix():
    """What is tied to a frozen layer does not move it either; the bias of its own does learn."""
    model = autoencoder()
    model.layers[0].trainable = False
    before = model.get_weights()
    model.fit(X, X, loss="mse", epochs=1, seed=0, verbose=0, engine="reference")
    moved = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert moved == [False, False, True]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: kj.nn.Tied(3), "Tied: it shares the weights of a Dense layer, give that layer; got 3"),
        (lambda: kj.nn.Tied(kj.nn.Dense(4))(X), "has not met its input yet: call that one first, or say how many"),
        (lambda: kj.nn.Tied(kj.nn.Dense(3), 2)(X), "is the transpose of a layer of 3 units, so it takes 3 features; "
                                                   "got an input of shape (12, 4)"),
    ],
)  # fmt: skip
def test_what_cannot_be_tied(make, message):
    """The message says what is missing."""
    with pytest.raises((GraphError, ShapeError)) as error:
        make()
    assert message in str(error.value)
