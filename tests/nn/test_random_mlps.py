"""Random small perceptrons against PyTorch: the loss and every gradient, after the weights are carried over."""

import numpy as np
import pytest
import torch
from hypothesis import given, seed, settings
from hypothesis import strategies as st

import kedja as kj
from oracles.torch_models import in_our_order, loss_of, twin

LAST = {
    "mse": ("linear", "tanh", "sigmoid"),
    "sse": ("linear", "softmax"),
    "half_sse": ("linear", "sigmoid"),
    "binary_cross_entropy": ("linear", "sigmoid"),
    "cross_entropy": ("linear", "softmax"),
}


@st.composite
def perceptrons(draw):
    """Widths, activations, loss, number of rows and a seed."""
    hidden = draw(st.lists(st.tuples(st.integers(1, 9), st.sampled_from(["relu", "sigmoid", "tanh"])), max_size=3))
    loss = draw(st.sampled_from(sorted(LAST)))
    outputs = draw(st.integers(2 if loss == "cross_entropy" else 1, 5))
    last = draw(st.sampled_from(LAST[loss]))
    return (
        draw(st.integers(1, 8)),
        [*hidden, (outputs, last)],
        loss,
        draw(st.integers(1, 12)),
        draw(st.integers(0, 2**32)),
    )


def agrees(case) -> None:
    """Ours in float32 as users run it; PyTorch in float64 on the same weights; 1e-4 of the largest entry."""
    inputs, layers, loss, rows, number = case
    rng = np.random.default_rng(number)
    x = rng.normal(size=(rows, inputs)).astype("float32")
    outputs, last = layers[-1]
    targets = (
        rng.integers(0, outputs, rows) if loss == "cross_entropy" else rng.random((rows, outputs)).astype("float32")
    )
    net = kj.Sequential([kj.nn.Dense(n, a, bias_init="normal") for n, a in layers]).build((None, inputs), seed=number)
    ours = kj.losses.get(loss)(kj.tensor(targets), net(x))
    theirs = twin([w.astype("float64") for w in net.get_weights()], [a for _, a in layers])
    t = torch.tensor(targets if loss == "cross_entropy" else targets.astype("float64"))
    expected = loss_of(loss, theirs(torch.tensor(x.astype("float64"))), t, last)
    expected.backward()
    assert ours.item() == pytest.approx(expected.item(), rel=1e-4, abs=1e-6)
    for g, e in zip(kj.grad(ours, net.parameters), in_our_order(theirs, gradients=True), strict=True):
        np.testing.assert_allclose(g.numpy(), e, rtol=1e-4, atol=1e-4 * max(np.abs(e).max(), 1e-2))


@seed(20)
@settings(max_examples=60, deadline=None, database=None)
@given(perceptrons())
def test_random_perceptrons(case):
    """Sixty of them in every run."""
    agrees(case)


@pytest.mark.long
@settings(max_examples=600, deadline=None)
@given(perceptrons())
def test_many_random_perceptrons(case):
    """Others in every long run."""
    agrees(case)
