"""Elementwise ops beyond their samples: negative bases, casts, choices, and what is compared to what."""

import numpy as np
import pytest
import torch

import kedja as kj

ENGINES = pytest.mark.parametrize("engine", ["reference", "xla"])


@ENGINES
@pytest.mark.parametrize("p", [-3.0, -1.0, 0.0, 0.5, 1.0, 2.0, 3.0])
def test_power_at_negative_and_zero_bases_is_pytorchs(p, engine):
    """Values and slopes of x**p at x = −2, −0.5, 0 and 1.5: infinite, missing and finite alike."""
    x = torch.tensor([-2.0, -0.5, 0.0, 1.5], dtype=torch.float64, requires_grad=True)
    (x**p).sum().backward()
    with kj.default_dtype("float64"):
        exponent = kj.tensor(p)
        f = kj.compile(lambda x: (kj.power(x, exponent), kj.grad(kj.power(x, exponent).sum(), x)), engine=engine)
        value, slope = f(x.detach().numpy())
    np.testing.assert_allclose(value.numpy(), (x**p).detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(slope.numpy(), x.grad.numpy(), rtol=1e-12)


@pytest.mark.parametrize("p", [[0.0, 1.0, 2.0], [2.0, 0.0, 0.0]])
def test_constant_exponents_may_contain_zero(p):
    """x⁰ is flat at x = 0 also when the exponents are a constant array."""
    x = torch.zeros(3, requires_grad=True)
    (x ** torch.tensor(p)).sum().backward()
    zero = kj.tensor(np.zeros(3))
    assert kj.grad((zero ** kj.tensor(p)).sum(), zero).tolist() == x.grad.tolist()


@ENGINES
@pytest.mark.parametrize("source", ["float32", "float64", "int32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("target", ["float32", "float64", "int32", "int64", "bool"])
def test_casts_are_pytorchs(source, target, engine):
    """Towards zero to integers, zero or not to booleans, exact between integers."""
    array = np.array([0, 1, 2, 5]).astype(source) if source != "bool" else np.array([True, False, True, True])
    if source.startswith("float"):
        array = array - np.array([2.5, 0.0, 0.3, 0.0], source)
    expected = torch.tensor(array).to(getattr(torch, target)).numpy()
    with kj.default_dtype("float64"):
        found = kj.compile(lambda x: kj.cast(x, target), engine=engine)(array)
    np.testing.assert_array_equal(found.numpy(), expected)
    assert found.dtype.name == target


def test_choosing_numbers_takes_the_type_of_the_tensor():
    """where(c, x, 0) keeps x's type; where(c, 1, 0) has the default; booleans stay booleans."""
    c = kj.tensor([True, False])
    i = kj.tensor([3, 4], dtype="int64")
    found = [kj.where(c, i, 0), kj.where(c, 1, 0), kj.where([True, False], True, False)]
    assert [f.dtype.name for f in found] == ["int64", "float32", "bool"]


@ENGINES
def test_the_branch_not_taken_gives_no_gradient(engine):
    """where(x > 0, √x, 0) has slope 0 at −1 and 0 when the root is kept away from them."""
    f = lambda x: kj.where(x > 0, kj.sqrt(kj.where(x > 0, x, 1.0)), 0.0).sum()  # noqa: E731
    assert kj.compile(kj.grad(f), engine=engine)(np.array([-1.0, 0.0, 4.0])).tolist() == [0.0, 0.0, 0.25]


@pytest.mark.parametrize("value", [1000.0, -1000.0, 0.0])
@pytest.mark.parametrize("name", ["sigmoid", "softplus", "tanh"])
def test_saturated_activations_are_finite_with_finite_slopes(name, value):
    """At ±1000, in float32, values and slopes are PyTorch's."""
    x = torch.tensor(value, requires_grad=True)
    y = {"sigmoid": torch.sigmoid, "softplus": torch.nn.functional.softplus, "tanh": torch.tanh}[name](x)
    y.backward()
    node = kj.tensor(value)
    found = getattr(kj, name)(node)
    assert (found.item(), kj.grad(found, node).item()) == pytest.approx((y.item(), x.grad.item()))


def test_ops_take_numbers_alone():
    """kj.sin(0.5) and kj.add(1, 2) without any tensor."""
    assert (kj.sin(0.5).item(), kj.add(1, 2).item()) == (pytest.approx(np.sin(0.5)), 3.0)


def test_number_of_inputs_is_checked():
    """An op of two inputs refuses one."""
    with pytest.raises(TypeError, match="add takes 2 tensors, got 1"):
        kj.add(1.0)
