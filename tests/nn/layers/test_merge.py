"""Layers of several inputs in models, residual blocks, functions as layers, and what is refused."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import kedja as kj
from kedja.errors import FormatError, GraphError, KedjaError, ShapeError

RNG = np.random.default_rng(8)
X = RNG.normal(size=(6, 4))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: kj.nn.Add()(X), "Add: takes at least 2 inputs, Add()(a, b); got 1"),
        (lambda: kj.nn.Add()([kj.tensor(X), kj.tensor(X)]), "takes its inputs one by one, Add()(a, b), and got a list"),
        (lambda: kj.nn.Subtract()(X, X, X), "Subtract: takes two inputs, Subtract()(a, b); got 3"),
        (lambda: kj.nn.Multiply()(X, X[:1]), "inputs of shapes (6, 4) and (1, 4) do not fit each other"),
        (lambda: kj.nn.Add()(X, X[:, 0]), "inputs of shapes (6, 4) and (6,) do not fit each other"),
        (lambda: kj.nn.Concatenate(axis=0)(X, X), "axis 0 of an input of shape (6, 4) is the axis of examples"),
        (lambda: kj.nn.Concatenate(axis=2)(X, X), "Concatenate: axis 2 is out of range"),
        (lambda: kj.nn.Concatenate()(X, X[:3]), "(6, 4) and (3, 4) do not join along axis 1: the other axes must be"),
        (lambda: kj.nn.Residual([kj.nn.Dense(3)]), "takes a layer, got list. Several make one: kj.Sequential([...])"),
        (lambda: kj.nn.Residual(kj.nn.Dense(3), "dense"), "unknown projection 'dense'"),
        (lambda: kj.nn.Residual(kj.nn.Dense(3), None)(X), "makes (6, 3) of (6, 4), which cannot be added to it. "
                                                          "Use projection='auto'."),
        (lambda: kj.nn.Residual(kj.nn.Flatten())(np.ones((2, 3, 4))), "(2, 12) of (2, 3, 4), which no projection"),
        (lambda: kj.nn.Residual(kj.nn.Conv2D(3, 3))(np.ones((2, 7, 7, 3))), "use padding='same' inside"),
        (lambda: kj.nn.Residual(kj.nn.Dense(4), kj.nn.Dense(3))(X), "(6, 4) of (6, 4), and beside it stands (6, 3)"),
        (lambda: kj.nn.Lambda(3), "Lambda: takes a function of tensors, or the name of one; got 3"),
        (lambda: kj.nn.Lambda("sqare"), "unknown function 'sqare'. Did you mean 'square'?"),
        (lambda: kj.nn.Lambda(lambda x: x.numpy())(X), "Lambda: its function gave ndarray, not a tensor"),
        (lambda: kj.nn.Permute((0, 1)), "Permute: order names each axis of an example once, counted from 1"),
        (lambda: kj.nn.Pad((1, (2, 3, 4))), "Pad: widths is a number ≥ 0, or for each spatial axis one or a pair"),
        (lambda: kj.nn.Crop(2)(np.ones((1, 3, 1))), "2 + 2 are to be cut off: 3 − 2 − 2 = -1 would be left"),
        (lambda: kj.nn.Upsample(0), "Upsample: size is how often each position is repeated, ≥ 1; got 0"),
    ],
)  # fmt: skip
def test_messages(make, message):
    """The layer, the shapes, what to do."""
    with pytest.raises(KedjaError) as error:
        make()
    assert message in str(error.value)


def test_a_branch_with_a_gate_trains_as_in_torch():
    """Concatenate, Multiply and Add in one functional model: the gradients of all weights."""
    x = kj.Input((4,))
    a, b = kj.nn.Dense(4, "tanh")(x), kj.nn.Dense(4, "sigmoid")(x)
    y = kj.nn.Concatenate()(kj.nn.Multiply()(a, b), kj.nn.Add()(a, b, x))
    model = kj.Model(x, kj.nn.Dense(2)(y), dtype="float64").build()
    w = [torch.tensor(v.value, requires_grad=True) for v in model.parameters]
    t = torch.tensor(X)
    p, q = torch.tanh(F.linear(t, w[0].T, w[1])), torch.sigmoid(F.linear(t, w[2].T, w[3]))
    F.linear(torch.cat([p * q, p + q + t], 1), w[4].T, w[5]).square().sum().backward()
    for ours, theirs in zip(kj.grad((model(X) ** 2).sum(), model.parameters), w, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.grad.numpy(), rtol=1e-10)


def test_a_residual_block_starts_as_the_identity():
    """When what is added starts at 0, a deep stack passes its input on, and every layer gets a gradient."""
    model = kj.Sequential([kj.nn.Residual(kj.nn.Dense(4, "tanh", init="zeros")) for _ in range(20)], dtype="float64")
    np.testing.assert_array_equal(model(X).numpy(), X)
    for g in kj.grad((model(X) ** 2).sum(), model.parameters):
        assert np.abs(g.numpy()).max() > 1


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("filters", [2, 5])
def test_residual_projects_where_the_shape_changes(stride, filters):
    """A block of a ResNet, in training with batch norm inside; the projection is a 1×1 convolution with the stride."""
    block = kj.nn.Residual(
        kj.Sequential([kj.nn.Conv2D(filters, 3, stride=stride, padding="same"), kj.nn.BatchNorm()]), activation="relu"
    )
    images = RNG.normal(size=(2, 7, 8, 2)).astype("float32")
    y = block(images, training=True)
    assert y.shape == (2, -(-7 // stride), -(-8 // stride), filters)
    assert list(block.state)[4:] == ["layer.batch_norm_1.mean", "layer.batch_norm_1.variance"] + (
        ["projection.kernel"] if filters != 2 else []
    )
    assert np.all(block.layer.layers[1].mean.numpy() != 0)  # moved once, by this call alone
    fresh = kj.nn.BatchNorm()
    fresh(block.layer.layers[0](images), training=True)
    np.testing.assert_allclose(block.layer.layers[1].mean.numpy(), fresh.mean.numpy(), rtol=1e-5)


def test_residual_saves_and_loads(tmp_path):
    """With a projection that was made when it met its input."""
    model = kj.Sequential([kj.nn.Residual(kj.nn.Dense(3, "tanh")), kj.nn.Dense(1)])
    model.fit(X, X[:, :1], loss="mse", epochs=1, seed=0, verbose=0, engine="reference")
    again = kj.load(model.save(tmp_path / "m"))
    np.testing.assert_array_equal(model.predict(X), again.predict(X))
    assert "residual_1.projection.kernel" in model.state


def test_functions_of_the_users_are_not_saved(tmp_path):
    """The message says what to do instead; a function of kedja's is saved under its name."""

    def doubled(x):
        return x * 2.0

    model = kj.Sequential([kj.nn.Lambda(doubled), kj.nn.Dense(1)]).build((None, 4))
    with pytest.raises(FormatError, match="the function doubled cannot be written into a model file"):
        model.save(tmp_path / "m")
    assert kj.nn.Lambda(kj.exp).config() == kj.nn.Lambda("exp").config() == {"class": "Lambda", "function": "exp"}


def test_a_function_named_like_one_of_ours_is_not_taken_for_it():
    """The name alone does not make it ours."""

    def tanh(x):
        return x

    with pytest.raises(FormatError):
        kj.nn.Lambda(tanh).config()


def test_lambda_of_several_inputs():
    """Any number of tensors, also in a functional model."""
    a, b = kj.Input((4,)), kj.Input((4,))
    model = kj.Model([a, b], kj.nn.Lambda(lambda x, y: kj.concatenate([x, y * y], 1))(a, b))
    np.testing.assert_allclose(model(X, X).numpy(), np.hstack([X, X**2]), rtol=1e-6)


def test_a_layer_error_inside_residual_names_the_inner_layer():
    """The innermost layer that knows is the one named."""
    with pytest.raises((ShapeError, GraphError), match='Dense "layer"'):
        block = kj.nn.Residual(kj.nn.Dense(4))
        block(X)
        block(np.ones((2, 5)))
