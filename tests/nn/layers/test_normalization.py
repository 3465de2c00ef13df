"""Batch normalisation in training loops against PyTorch, freezing, odd batches, and what the messages say."""

import numpy as np
import pytest
import torch

import kedja as kj
from kedja.errors import DataError, ShapeError
from kedja.nn.layers.layer import trainable
from kedja.train.training import training_of

RNG = np.random.default_rng(9)
X = RNG.normal(2, 3, (24, 5))
Y = RNG.normal(size=(24, 1))
HOW = {"loss": "mse", "shuffle": False, "seed": 1, "verbose": 0}


def net(**how):
    """Dense, batch norm, Dense."""
    layers = [kj.nn.Dense(4, use_bias=False), kj.nn.BatchNorm(**how), kj.nn.Activation("tanh"), kj.nn.Dense(1)]
    return kj.Sequential(layers, dtype="float64").build((None, 5), seed=3)


def twin(model):
    """The same in PyTorch."""
    dense, norm, _, out = model.layers
    module = torch.nn.Sequential(
        torch.nn.Linear(5, 4, bias=False), torch.nn.BatchNorm1d(4, eps=1e-5, momentum=0.1), torch.nn.Tanh(),
        torch.nn.Linear(4, 1),
    ).double()  # fmt: skip
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor(dense.kernel.numpy().T))
        module[1].weight.copy_(torch.tensor(norm.gamma.numpy()))
        module[1].bias.copy_(torch.tensor(norm.beta.numpy()))
        module[3].weight.copy_(torch.tensor(out.kernel.numpy().T))
        module[3].bias.copy_(torch.tensor(out.bias.numpy()))
    return module


def taught(module, epochs, size):
    """Plain gradient descent in PyTorch, batches in order."""
    rule = torch.optim.SGD(module.parameters(), 0.05)
    x, y = torch.tensor(X), torch.tensor(Y)
    for _ in range(epochs):
        for at in range(0, len(x), size):
            rule.zero_grad()
            ((module(x[at : at + size]) - y[at : at + size]) ** 2).mean().backward()
            rule.step()


LONG = pytest.mark.long


@pytest.mark.parametrize(
    ("size", "engine"),
    [(8, "reference"), (10, "reference"), (24, "reference"), (10, "xla"), pytest.param(8, "xla", marks=LONG),
     pytest.param(24, "xla", marks=LONG)],
)  # fmt: skip
def test_training_equals_torch(size, engine):
    """After four epochs: weights, running statistics and predictions. A batch size of 10 leaves a tail of 4."""
    model = net()
    module = twin(model)
    model.fit(X, Y, optimizer=kj.optim.SGD(0.05), batch_size=size, epochs=4, engine=engine, **HOW)
    taught(module, 4, size)
    norm, theirs = model.layers[1], module[1]
    for ours, expected in (
        (norm.mean, theirs.running_mean), (norm.variance, theirs.running_var), (norm.gamma, theirs.weight),
        (norm.beta, theirs.bias), (model.layers[3].kernel, module[3].weight.T),
    ):  # fmt: skip
        np.testing.assert_allclose(ours.numpy(), expected.detach().numpy(), rtol=1e-8, atol=1e-10)
    expected = module.eval()(torch.tensor(X)).detach().numpy()
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-8, atol=1e-10)


def test_called_outside_a_program_it_learns_at_once():
    """A call with training=True moves the running statistics as PyTorch's does."""
    layer, theirs = kj.nn.BatchNorm(dtype="float64"), torch.nn.BatchNorm2d(3, dtype=torch.float64)
    for _ in range(3):
        x = RNG.normal(1, 2, (2, 4, 5, 3))
        y = layer(x, training=True).numpy()
        expected = theirs(torch.tensor(x).movedim(-1, 1)).movedim(1, -1).detach().numpy()
        np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(layer.mean.numpy(), theirs.running_mean.numpy(), rtol=1e-12)
    np.testing.assert_allclose(layer.variance.numpy(), theirs.running_var.numpy(), rtol=1e-12)


@pytest.mark.parametrize("traced", [False, True], ids=["at once", "compiled"])
def test_used_twice_in_a_step_it_moves_twice(traced):
    """A shared layer follows both batches, one after the other, as in PyTorch."""
    layer, theirs = kj.nn.BatchNorm(dtype="float64"), torch.nn.BatchNorm1d(5, dtype=torch.float64)
    a, b = X[:10], X[10:]
    layer(a)

    def step(a, b):
        return layer(a, training=True), layer(b, training=True)

    with kj.default_dtype("float64"):
        (kj.compile(step, engine="reference") if traced else step)(a, b)
    theirs(torch.tensor(a)), theirs(torch.tensor(b))
    np.testing.assert_allclose(layer.mean.numpy(), theirs.running_mean.numpy(), rtol=1e-12)
    np.testing.assert_allclose(layer.variance.numpy(), theirs.running_var.numpy(), rtol=1e-12)


@pytest.mark.parametrize("around", [False, True], ids=["the layer", "a model around it"])
@pytest.mark.parametrize("affine", [False, True], ids=["without weights", "with weights"])
def test_frozen_it_stays_as_it_is(around, affine):
    """Neither weights nor statistics move, and it is the running statistics that are used."""
    body = kj.Sequential([kj.nn.BatchNorm(center=affine, scale=affine)], name="body")
    model = kj.Sequential([body, kj.nn.Dense(1)], dtype="float64").build((None, 5), seed=0)
    norm = body.layers[0]
    norm.mean.assign(np.full(5, 0.5))
    how = {"optimizer": kj.optim.SGD(0.1), "batch_size": 8, "engine": "reference", **HOW}
    model.fit(X, Y, epochs=1, **how)  # a program for the layer that learns, to be mistaken for the other
    (body if around else norm).trainable = False
    before = [v.numpy().copy() for v in norm.state.values()]
    predicted = model.evaluate(X, Y, loss="mse")["loss"]
    history = model.fit(X, Y, epochs=1, **(how | {"batch_size": None}))
    for a, b in zip(before, norm.state.values(), strict=True):
        np.testing.assert_array_equal(a, b.numpy())
    np.testing.assert_allclose(history["loss"][0], predicted, rtol=1e-12)
    assert all("norm" not in path for path in trainable(model))
    (body if around else norm).trainable = True
    model.fit(X, Y, epochs=1, **how)
    assert not np.array_equal(before[-1], norm.variance.numpy())


def test_momentum_is_a_run_time_number():
    """At 1 the running statistics stand still, and nothing is compiled for it."""
    model = net(momentum=0.5)
    how = {"optimizer": "sgd", "batch_size": None, "epochs": 1, "engine": "reference", **HOW}
    model.fit(X, Y, **how)
    before = model.layers[1].mean.numpy().copy()
    model.layers[1].momentum = 1.0
    model.fit(X, Y, **how)
    np.testing.assert_array_equal(before, model.layers[1].mean.numpy())
    assert len(training_of(model).loops) == 1


def test_reset_forgets_the_statistics():
    """A model that starts over has the running statistics of a new one."""
    model = net()
    model.fit(X, Y, optimizer="sgd", epochs=1, **HOW)
    model.reset()
    assert model.layers[1].mean.numpy().tolist() == [0] * 4 and model.layers[1].variance.numpy().tolist() == [1] * 4


def test_penalties_do_not_mean_it():
    """γ and β of every normalisation are left out of penalties for the whole model."""
    made = kj.nn.BatchNorm(), kj.nn.LayerNorm((1, 2)), kj.nn.GroupNorm(2), kj.nn.InstanceNorm(), kj.nn.RMSNorm()
    for layer in made:
        layer(np.ones((2, 3, 4)))
        assert layer.parameters and not any(p.penalised for p in layer.parameters)


@pytest.mark.parametrize("make", [kj.nn.BatchNorm, kj.nn.LayerNorm, lambda: kj.nn.GroupNorm(1)])
def test_a_large_mean_does_not_drown_the_spread(make):
    """In float32, values around 1e4 that differ by about 1 come out as in float64."""
    x = RNG.normal(1e4, 1, (64, 8)).astype("float32")
    layer = make()
    found = layer(x, training=True).numpy()
    layer64 = make()
    with kj.default_dtype("float64"):
        expected = layer64(x.astype("float64"), training=True).numpy()
    np.testing.assert_allclose(found, expected, atol=5e-3)


def test_rows_of_zeros_stay_finite():
    """ε keeps a constant feature from being divided by 0; its gradient is finite too."""
    for layer in (kj.nn.BatchNorm(), kj.nn.LayerNorm(), kj.nn.RMSNorm()):
        x = kj.tensor(np.zeros((3, 4), "float32"))
        y = layer(x, training=True)
        assert not y.numpy().any() and np.isfinite(kj.grad((y * y + y).sum(), x).numpy()).all()


@pytest.mark.parametrize("shape", [(1, 4), (0, 4), (1, 1, 1, 4)])
def test_one_value_has_no_spread(shape):
    """In training a batch of one value for each feature is refused, with what to do; in inference it is fine."""
    layer = kj.nn.BatchNorm()
    with pytest.raises(ShapeError, match="BatchNorm: in training it needs at least two values of each feature"):
        layer(np.ones(shape), training=True)
    assert layer(np.ones(shape)).shape == shape
    assert layer(np.ones((1, 3, 4)), training=True).shape == (1, 3, 4)


def test_a_last_batch_of_one_row_is_refused_by_fit():
    """Before anything is learned, and the message says that the batch size does it."""
    model = net()
    before = model.get_weights()
    with pytest.raises(ShapeError, match="a last one of a single row too is refused: change batch_size"):
        model.fit(X[:17], Y[:17], optimizer="sgd", batch_size=8, **HOW)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("make", "shape", "message"),
    [
        (lambda: kj.nn.BatchNorm(axis=0), (4, 3), "axis 0 of an input of shape (4, 3) is the axis of examples"),
        (lambda: kj.nn.BatchNorm(axis=5), (4, 3), "BatchNorm: axis 5 is out of range"),
        (lambda: kj.nn.BatchNorm(0.9, 0.0), (4, 3), "BatchNorm: epsilon is added to the variance"),
        (lambda: kj.nn.BatchNorm(momentum=1.5), (4, 3), "PyTorch's momentum is 1 minus this one"),
        (lambda: kj.nn.GroupNorm(4), (2, 6), "4 groups do not divide the 6 channels of an input of shape (2, 6): "
                                             "6 / 4 = 1.5. Use one of 1, 2, 3, 6."),
        (lambda: kj.nn.GroupNorm(0), (2, 6), "GroupNorm: groups is how many groups the channels are cut into, a whole"),
        (lambda: kj.nn.LayerNorm(axis=2), (2, 6), "LayerNorm: axis 2 is out of range"),
    ],
)  # fmt: skip
def test_messages(make, shape, message):
    """The layer, what came, the arithmetic and what to do."""
    with pytest.raises((ShapeError, DataError)) as error:
        make()(np.ones(shape))
    assert message in str(error.value)


@pytest.mark.parametrize(
    "make", [kj.nn.BatchNorm, kj.nn.LayerNorm, kj.nn.RMSNorm, lambda: kj.nn.GroupNorm(2), kj.nn.InstanceNorm]
)
def test_another_width_than_at_first_is_refused(make):
    """The message has both widths."""
    layer = make()
    layer(np.ones((2, 3, 4)))
    with pytest.raises(ShapeError, match=r"was built for 4 along axis 2 and got an input of shape \(2, 3, 6\)"):
        layer(np.ones((2, 3, 6)))
