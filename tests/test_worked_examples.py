"""The worked examples of the lecture notes (scope 1.7 and 9), recomputed on graphs in float64.

Each states its index convention, since the notes use both w[in, out] and w[out, in].
"""

from collections.abc import Iterator

import numpy as np
import pytest

import kedja as kj


@pytest.fixture(autouse=True)
def in_float64() -> Iterator[None]:
    """All examples are computed in float64."""
    with kj.default_dtype("float64"):
        yield


def values(*tensors: kj.Tensor) -> list[float]:
    """Every number of the tensors, in order."""
    return [float(v) for t in tensors for v in np.ravel(t.numpy())]


def close(expected: object) -> object:
    """Equal to 1e-6, as the scope asks."""
    return pytest.approx(expected, abs=1e-6)


def test_1_7_value_of_the_graph():
    """c = a + b, d = b + 1, e = c·d at a = 2, b = 1."""
    a, b = kj.Parameter(2.0, name="a"), kj.Parameter(1.0, name="b")
    assert ((a + b) * (b + 1)).item() == 6


def test_1_7_derivative_of_every_edge():
    """∂c/∂a = ∂c/∂b = ∂d/∂b = 1, ∂e/∂c = d = 2, ∂e/∂d = c = 3; along both paths ∂e/∂b = 2 + 3."""
    a, b = kj.Parameter(2.0, name="a"), kj.Parameter(1.0, name="b")
    c, d = a + b, b + 1
    e = c * d
    edges = [kj.grad(c, a), kj.grad(c, b), kj.grad(d, b), *kj.grad(e, [c, d])]
    assert (values(*edges), values(*kj.grad(e, [a, b]))) == ([1, 1, 1, 2, 3], [2, 5])


def test_9_1_neuron():
    """w₀ = 1, w = (3, −2), x = (−1, 2): z = −6 and ŷ = σ(z). One neuron, w[in]."""
    z = 1 + kj.dot(kj.Parameter([3.0, -2.0]), kj.tensor([-1.0, 2.0]))
    assert values(z, kj.sigmoid(z)) == close([-6, 0.00247262])


def test_9_2_two_layers():
    """Inputs (1.0, 0.5) through w[in, out]: x W on the left."""
    x = kj.tensor([1.0, 0.5]) @ kj.Parameter([[0.9, 0.2], [0.3, 0.8]])
    assert values(x, kj.sigmoid(x)) == close([1.05, 0.60, 0.74077490, 0.64565631])


def test_9_3_three_layers():
    """I = (.9, .1, .8) through w[out, in]: W I, the matrix on the left."""
    inputs = kj.tensor([0.9, 0.1, 0.8])
    hidden_in = kj.Parameter([[0.9, 0.3, 0.4], [0.2, 0.8, 0.2], [0.1, 0.5, 0.6]]) @ inputs
    hidden = kj.sigmoid(hidden_in)
    output_in = kj.Parameter([[0.3, 0.7, 0.5], [0.6, 0.5, 0.2], [0.8, 0.1, 0.9]]) @ hidden
    expected = [1.16, 0.42, 0.62, 0.76133271, 0.60348325, 0.65021855]
    expected += [0.97594736, 0.88858496, 1.25461119, 0.72630335, 0.70859807, 0.77809706]
    assert values(hidden_in, hidden, output_in, kj.sigmoid(output_in)) == close(expected)


def test_9_4_gradient_of_one_weight():
    """E = (t − o)², e = t − o = 0.8, weights into the node w[in] = (2, 3), both inputs 0.4: ∂E/∂w₁."""
    w = kj.Parameter([2.0, 3.0])
    o = kj.sigmoid(kj.dot(w, kj.tensor([0.4, 0.4])))
    t = kj.stop_gradient(o) + 0.8  # e is given, not t
    slope = kj.grad((t - o) ** 2, w)[0]
    step = w[0] - 0.1 * slope
    assert values(o, slope, step) == close([0.88079708, -0.06719589, 2.00671959])


def test_9_4_without_the_factor_two():
    """The notes then drop the 2, which is the gradient of E/2: the same direction, half the step. w[in]."""
    w = kj.Parameter([2.0, 3.0])
    o = kj.sigmoid(kj.dot(w, kj.tensor([0.4, 0.4])))
    slope = kj.grad((kj.stop_gradient(o) + 0.8 - o) ** 2 / 2, w)[0]
    assert values(slope, w[0] - 0.1 * slope) == close([-0.03359795, 2.00335979])


def shared_error() -> tuple[kj.Tensor, kj.Tensor, kj.Tensor, kj.Tensor]:
    """Example 9.5: W[hidden, out], e, the hidden outputs and E."""
    weights, e = kj.Parameter([[2.0, 1.0], [3.0, 1.0]]), kj.tensor([0.8, 0.5])
    hidden = kj.tensor([0.4, 0.4])
    o = kj.sigmoid(hidden @ weights)
    return weights, e, hidden, ((kj.stop_gradient(o) + e - o) ** 2).sum()


def test_9_5_true_derivative_of_the_hidden_outputs():
    """−∂E/∂o_h = 2 W (e∘o∘(1 − o)), with w[hidden, out]; only this one is a derivative."""
    _, _, hidden, error = shared_error()
    assert values(-kj.grad(error, hidden)) == close([0.54988917, 0.71787891])


def test_9_5_numeric_gradient_agrees_with_the_true_one():
    """Perturbing the hidden outputs with the targets held gives the same. w[hidden, out]."""
    weights, e, hidden, _ = shared_error()
    target = (kj.sigmoid(hidden @ weights) + e).numpy()
    error = ((kj.tensor(target) - kj.sigmoid(hidden @ weights)) ** 2).sum()
    assert -kj.numeric_gradient(error, hidden) == close([0.54988917, 0.71787891])


def test_9_5_net_inputs_and_outputs():
    """net = (2.0, 0.8) and o = σ(net), with w[hidden, out]."""
    weights, _, hidden, _ = shared_error()
    net = hidden @ weights
    assert values(net, kj.sigmoid(net)) == close([2.0, 0.8, 0.88079708, 0.68997448])


def test_9_5_two_ways_of_sharing_that_are_no_derivatives():
    """In proportion to the weights (.57, .73), and weights times error (2.1, 2.9). w[hidden, out]."""
    weights, e, _, _ = shared_error()
    proportional = (weights / weights.sum(axis=0, keepdims=True)) @ e
    assert values(proportional, weights @ e) == close([0.57, 0.73, 2.1, 2.9])


def test_9_5_proportional_sharing_divides_by_zero():
    """Incoming weights 2 and −2 add up to 0: the split is not finite. w[hidden, out]."""
    weights = kj.tensor([[2.0, 1.0], [-2.0, 1.0]])
    shares = weights / weights.sum(axis=0, keepdims=True)
    assert not np.isfinite(shares.numpy()[:, 0]).any()


@pytest.mark.parametrize(("w", "x", "t"), [(0.5, 2.0, 1.0), (-1.5, 0.3, 0.2)])
def test_9_6_linear_unit(w, x, t):
    """E = ½(t − y)² with y = wx: dE/dw = (y − t)x."""
    weight = kj.Parameter(w)
    assert values(kj.grad(0.5 * (t - weight * x) ** 2, weight)) == close([(w * x - t) * x])


@pytest.mark.parametrize(("y", "t"), [(0.5, 1.0), (-2.0, 0.0), (3.0, 0.3)])
def test_9_6_logistic_unit(y, t):
    """E = −t ln a − (1 − t) ln(1 − a) with a = σ(y): dE/dy = a − t."""
    net = kj.Parameter(y)
    a = kj.sigmoid(net)
    error = -t * kj.log(a) - (1 - t) * kj.log(1 - a)
    assert values(kj.grad(error, net)) == close([1 / (1 + np.exp(-y)) - t])


def test_9_9_binary_cross_entropy():
    """Predictions (.1, .8, .6) for labels (1, 0, 1): each loss, and their mean."""
    p, t = kj.tensor([0.1, 0.8, 0.6]), kj.tensor([1.0, 0.0, 1.0])
    losses = -(t * kj.log(p) + (1 - t) * kj.log(1 - p))
    assert values(losses, losses.mean()) == close([2.30258509, 1.60943791, 0.51082562, 1.47428288])


def test_9_9_mean_squared_error():
    """The same predictions and labels: (.81 + .64 + .16) / 3."""
    p, t = kj.tensor([0.1, 0.8, 0.6]), kj.tensor([1.0, 0.0, 1.0])
    assert values(((p - t) ** 2).mean()) == close([0.53666667])


def test_9_10_chain():
    """p = w·x, r = e^−p, q = 1 + r, t = 1/q at w = (2, −3, −3), x = (−1, −2, 1), w[in]."""
    w = kj.Parameter([2.0, -3.0, -3.0], name="w")
    p = kj.dot(w, kj.tensor([-1.0, -2.0, 1.0]))
    t = 1 / (1 + kj.exp(-p))
    expected = [0.73105858, 0.19661193, -0.19661193, -0.39322387, 0.19661193]
    assert values(t, *kj.grad(t, [p, w])) == close(expected)
