"""Each layer computes what PyTorch computes, and every parameter of it gets a gradient."""

import numpy as np
import pytest
import torch

import kedja as kj
from kedja.errors import DataError
from oracles.torch_models import ACTIVATIONS, in_our_order, twin

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize("shape", [(4, 3), (2, 5, 3)])
def test_dense_equals_linear(activation, shape):
    """y = f(xW + b) on the last axis, whatever axes stand before it."""
    layer, x = kj.nn.Dense(6, activation, bias_init="normal", dtype="float64"), RNG.normal(size=shape)
    ours = layer(x).numpy()
    theirs = twin([layer.kernel.numpy(), layer.bias.numpy()], [activation])(torch.from_numpy(x))
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-12, atol=1e-12)


def test_dense_of_a_single_vector():
    """Without an axis of examples a dense layer maps a vector to a vector."""
    layer = kj.nn.Dense(2, init=kj.initializers.Constant(0.5))
    assert layer(kj.tensor([1.0, 2.0, 3.0])).numpy().tolist() == [3.0, 3.0]


def test_dense_without_bias_has_one_parameter():
    """`use_bias=False` leaves the kernel alone."""
    layer = kj.nn.Dense(2, use_bias=False)
    layer(np.ones((1, 3)))
    assert list(layer.state) == ["kernel"]


def test_a_function_serves_as_activation():
    """Any function of a tensor can stand where a name can."""
    layer = kj.nn.Dense(1, lambda z: z * z, init=kj.initializers.Constant(3.0))
    assert layer([[1.0]]).item() == 9.0


@pytest.mark.parametrize(
    "layer",
    [
        kj.nn.Dense(3, "tanh"),
        kj.nn.Dense(3, "softmax"),
        kj.Sequential([kj.nn.Flatten(), kj.nn.Dense(4, "relu", bias_init="normal"), kj.nn.Dense(2)]),
        kj.Sequential([kj.nn.Reshape((3, 2)), kj.nn.Dense(4, "sigmoid"), kj.nn.Flatten(), kj.nn.Dense(1)]),
    ],
    ids=["tanh", "softmax", "flatten", "reshape"],
)
def test_every_parameter_gets_a_gradient(layer):
    """No parameter is left out of the derivative of a sum of squares."""
    y = layer(RNG.normal(size=(5, 6)))
    for g in kj.grad(((y - 0.3) ** 2).sum(), layer.parameters):
        assert np.abs(g.numpy()).max() > 0


def test_gradients_equal_those_of_torch():
    """Two layers deep, in float64."""
    net = kj.Sequential([kj.nn.Dense(5, "tanh"), kj.nn.Dense(3)], dtype="float64").build((None, 4), seed=2)
    x = RNG.normal(size=(7, 4))
    ours = [g.numpy() for g in kj.grad((net(x) ** 2).mean(), net.parameters)]
    theirs = twin(net.get_weights(), ["tanh", "linear"])
    (theirs(torch.from_numpy(x)) ** 2).mean().backward()
    for a, b in zip(ours, in_our_order(theirs, gradients=True), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_flatten_keeps_the_order_of_torch():
    """All axes but the first become one, the last running fastest."""
    x = RNG.normal(size=(2, 3, 4)).astype("float32")
    np.testing.assert_array_equal(kj.nn.Flatten()(x).numpy(), torch.flatten(torch.from_numpy(x), 1).numpy())


@pytest.mark.parametrize(("shape", "expected"), [((3, 4), (2, 3, 4)), (12, (2, 12)), ((-1, 6), (2, 2, 6))])
def test_reshape(shape, expected):
    """Each example gets the shape asked for; one size may be left open."""
    assert kj.nn.Reshape(shape)(np.zeros((2, 12))).shape == expected


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activation_layer(name):
    """An activation of its own equals PyTorch's module."""
    x = RNG.normal(size=(4, 3)).astype("float32")
    theirs = ACTIVATIONS[name]()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(kj.nn.Activation(name)(x).numpy(), theirs, rtol=1e-6, atol=1e-7)


def test_normalize_makes_mean_0_and_spread_1():
    """After `adapt` the training data themselves come out standardised, a constant column as 0."""
    x = np.column_stack([RNG.normal(5, 3, 200), RNG.normal(-2, 0.1, 200), np.full(200, 7.0)])
    z = kj.nn.Normalize().adapt(x)(x).numpy()
    np.testing.assert_allclose(z.mean(0), 0, atol=2e-5)
    np.testing.assert_allclose(z.std(0), [1, 1, 0], atol=1e-5)


def test_denormalize_undoes_normalize():
    """Out through one and in through the other gives the numbers back."""
    x = RNG.normal(5, 3, (50, 2))
    back = kj.nn.Denormalize(dtype="float64").adapt(x)(kj.nn.Normalize(dtype="float64").adapt(x)(x))
    np.testing.assert_allclose(back.numpy(), x, rtol=1e-12)


def test_scales_are_no_parameters():
    """Mean and spread are saved with the model and not learned."""
    layer = kj.nn.Normalize().adapt(RNG.normal(size=(9, 2)))
    assert (layer.parameters, list(layer.state), layer.count_parameters()) == ([], ["mean", "std"], 0)


@pytest.mark.parametrize("values", [np.zeros((0, 2)), [[np.nan]]], ids=["empty", "nan"])
def test_adapt_refuses_what_has_no_mean(values):
    """Nothing, or something that is not finite, has no mean and spread."""
    with pytest.raises(DataError, match="empty or not finite"):
        kj.nn.Normalize().adapt(values)


def test_a_layer_built_by_hand_keeps_its_weights():
    """`build` counts as the first meeting: a call later draws nothing again."""
    layer = kj.nn.Dense(2)
    layer.build((None, 3))
    before = layer.kernel.numpy().copy()
    layer(np.ones((1, 3)))
    np.testing.assert_array_equal(layer.kernel.numpy(), before)


@pytest.mark.parametrize("how", ["layer", "default", "model"])
def test_float64_where_it_is_asked_for(how):
    """`dtype=` of a layer or a model, or the default, decides parameters and outputs."""
    with kj.default_dtype("float64" if how == "default" else "float32"):
        layer = kj.nn.Dense(2, dtype="float64" if how == "layer" else None)
        net = layer if how == "layer" else kj.Sequential([layer], dtype="float64" if how == "model" else None)
        y = net(np.ones((1, 3)))
    assert (y.dtype, layer.kernel.dtype, layer.bias.dtype) == ("float64",) * 3


def test_arrays_become_what_the_layer_computes_in():
    """A float64 layer called with float32 or float64 arrays outside the block it was made in computes all the same."""
    with kj.default_dtype("float64"):
        layer = kj.nn.Dense(2)
        layer(np.ones((1, 3)))
    assert layer(np.ones((1, 3))).dtype == layer(np.ones((1, 3), "float32")).dtype == "float64"
