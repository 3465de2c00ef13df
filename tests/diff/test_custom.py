"""custom_gradient: both modes, second order, on both engines, and what it refuses."""

import numpy as np
import pytest

import kedja as kj
from kedja.errors import GraphError, ShapeError
from oracles.closeness import worst


@kj.custom_gradient
def cube(x):
    """x³ with its true derivative, said by hand."""
    return x**3, lambda g: g * 3.0 * x**2


@kj.custom_gradient
def doubled_sum(x, y):
    """x + y, whose gradient is said to be twice the cotangent for both."""
    return x + y, lambda g: (2.0 * g,) * 2


def t(value: object) -> kj.Tensor:
    """A float64 tensor."""
    return kj.tensor(value, dtype="float64")


def test_value_is_the_functions():
    """The decorator does not touch the value."""
    assert cube(t(2.0)).item() == 8.0


def test_reverse_mode_uses_the_given_gradient():
    """grad asks the user's pull-back."""
    assert kj.grad(lambda a, b: doubled_sum(a, b) * 5.0, argnums=(0, 1))(1.0, 1.0)[1].item() == 10.0


def test_forward_mode_is_the_transpose_of_the_given_gradient():
    """A message that goes to both arguments counts for both tangents."""
    assert kj.jvp(doubled_sum, (1.0, 1.0), (1.0, 10.0))[1].item() == 22.0


@pytest.mark.parametrize("engine", ["reference", "xla"])
def test_second_order(engine):
    """The pull-back is differentiated in its turn: (x³)″ = 6x."""
    with kj.default_dtype("float64"):
        assert kj.compile(kj.grad(kj.grad(cube)), engine=engine)(2.0).item() == 12.0


def test_inside_a_loop(judged):
    """It may stand in the body of a scan: ((x³)³)′ = 9x⁸."""
    f = lambda x: kj.scan(lambda c, _: (cube(c), None), x, length=2)[0]  # noqa: E731
    found = kj.grad(f)(t(1.1)).item()
    assert found == pytest.approx(9 * 1.1**8)
    judged("calculus", "ops/custom", 1, worst(found, 9 * 1.1**8))


def test_number_of_gradients_is_checked():
    """One gradient per argument."""
    bad = kj.custom_gradient(lambda x, y: (x + y, lambda g: g))
    with pytest.raises(GraphError, match="1 gradients for 2 arguments"):
        kj.grad(lambda x: bad(x, x))(1.0)


def test_shape_of_gradients_is_checked():
    """A gradient has the shape of its argument."""
    bad = kj.custom_gradient(lambda x: (x.sum(), lambda g: g))
    with pytest.raises(ShapeError, match=r"argument of shape \(2,\) has shape \(\)"):
        kj.grad(bad)([1.0, 2.0])


def test_wrong_gradient_is_caught_by_the_check():
    """check_gradients names the argument and the place that disagree."""
    wrong = kj.custom_gradient(lambda x: (x * x, lambda g: g * 3.0 * x))
    found = kj.check_gradients(lambda x: wrong(x).sum(), np.array([0.0, 2.0]))
    assert not found and found.rows[0]["at"] == (1,)
