"""Descent, momentum and Nesterov step as PyTorch's and Keras's do on the same gradients."""

import numpy as np
import pytest

import kedja as kj
from kedja.optim import SGD, GradientDescent, Momentum, Nesterov
from oracles.closeness import worst
from oracles.optimisers import by_keras, by_ours, by_torch

RNG = np.random.default_rng(8)
START = RNG.normal(size=(3, 2))
GRADIENTS = [RNG.normal(size=(3, 2)) * 10.0 ** RNG.integers(-3, 3) for _ in range(100)]
RATES = [0.1 / (1 + k) for k in range(100)]


@pytest.mark.parametrize(
    ("ours", "options"),
    [
        (SGD(0.05), {}),
        (GradientDescent(0.05), {}),
        (SGD(0.05, momentum=0.9), {"momentum": 0.9}),
        (Momentum(0.05, 0.5), {"momentum": 0.5}),
        (Momentum(0.01, 0.99), {"momentum": 0.99}),
        (Nesterov(0.05, 0.9), {"momentum": 0.9, "nesterov": True}),
    ],
    ids=repr,
)
def test_steps_of_torch(ours, options, judged):
    """At a constant rate PyTorch's momentum, whose velocity is −v/ε, moves as ours."""
    theirs = by_torch("SGD", START, GRADIENTS, lr=ours.learning_rate, **options)
    found = by_ours(ours, START, GRADIENTS)
    np.testing.assert_allclose(found, theirs, rtol=1e-9, atol=1e-12)
    judged("PyTorch", f"optimisers/{type(ours).__name__}", 1, worst(found, theirs))


@pytest.mark.parametrize(
    ("ours", "options"),
    [
        (SGD(0.1), {}),
        (Momentum(0.1, 0.9), {"momentum": 0.9}),
        (Nesterov(0.1, 0.9), {"momentum": 0.9, "nesterov": True}),
    ],
    ids=repr,
)
def test_steps_of_keras_while_the_rate_falls(ours, options, judged):
    """Under a schedule momentum is Keras's: the rate scales the gradient, not the velocity."""
    theirs = by_keras("SGD", START, GRADIENTS, RATES, **options)
    found = by_ours(ours, START, GRADIENTS, RATES)
    np.testing.assert_allclose(found, theirs, rtol=1e-6, atol=1e-6)
    judged("Keras", f"optimisers/{type(ours).__name__}", 1, worst(found, theirs))


def test_momentum_by_hand():
    """v ← 0.9v − 0.1g from v = 0, twice with g = 1: θ falls by 0.1, then by 0.19."""
    found = by_ours(Momentum(0.1, 0.9), np.zeros(()), [np.ones(())] * 2)
    np.testing.assert_allclose(found, [-0.1, -0.29])


def test_nesterov_by_hand():
    """v is as in momentum, −0.1 and −0.19; θ moves by 0.9v − 0.1: −0.19, then −0.271."""
    found = by_ours(Nesterov(0.1, 0.9), np.zeros(()), [np.ones(())] * 2)
    np.testing.assert_allclose(found, [-0.19, -0.461])


def test_momentum_that_is_set_later():
    """An SGD that is given momentum afterwards moves as one that was made with it; set to 0 it keeps its slot."""
    rule = SGD(0.1)
    rule.momentum = 0.9
    np.testing.assert_array_equal(
        by_ours(rule, START, GRADIENTS[:5]), by_ours(SGD(0.1, momentum=0.9), START, GRADIENTS[:5])
    )
    rule.momentum = 0.0
    assert rule.slots == ("velocity",) and rule.scalar_values() == [0.1, 0.0]


def test_gradient_descent_takes_the_whole_data_set():
    """`fit` asks the rule, so a batch size is not needed and not used."""
    assert kj.optim.get("gd").full_batch and not kj.optim.get("sgd").full_batch
