"""Adagrad, Adadelta and RMSProp step as PyTorch's and Keras's do on the same gradients, conventions converted."""

import numpy as np
import pytest

from kedja.optim import Adadelta, Adagrad, RMSProp
from oracles.closeness import worst
from oracles.optimisers import by_keras, by_ours, by_torch

RNG = np.random.default_rng(9)
START = RNG.normal(size=(3, 2))
GRADIENTS = [RNG.normal(size=(3, 2)) * 10.0 ** RNG.integers(-3, 3) for _ in range(100)]
RATES = [0.1 / (1 + k) for k in range(100)]
TINY = 1e-30  # where δ stands makes no difference then


@pytest.mark.parametrize(
    ("ours", "name", "options"),
    [
        (Adagrad(0.3), "Adagrad", {"lr": 0.3, "eps": 1e-8}),
        (Adagrad(0.3, 0.1), "Adagrad", {"lr": 0.3, "eps": 0.1}),
        (Adadelta(), "Adadelta", {"lr": 1.0, "rho": 0.95, "eps": 1e-6}),
        (Adadelta(0.5, 0.8, 1e-3), "Adadelta", {"lr": 0.5, "rho": 0.8, "eps": 1e-3}),
        (RMSProp(0.05, 0.9, bias_corrected=False), "RMSprop", {"lr": 0.05, "alpha": 0.9}),
        (RMSProp(0.05, 0.9, 0.1, bias_corrected=False), "RMSprop", {"lr": 0.05, "alpha": 0.9, "eps": 0.1}),
        (
            RMSProp(0.05, 0.9, bias_corrected=False, centered=True),
            "RMSprop",
            {"lr": 0.05, "alpha": 0.9, "centered": True},
        ),
        (
            RMSProp(0.05, 0.9, bias_corrected=False, momentum=0.7),
            "RMSprop",
            {"lr": 0.05, "alpha": 0.9, "momentum": 0.7},
        ),
        (RMSProp(0.05, 0.9), "Adam", {"lr": 0.05, "betas": (0.0, 0.9)}),
        (RMSProp(0.05, 0.99, 1e-3), "Adam", {"lr": 0.05, "betas": (0.0, 0.99), "eps": 1e-3}),
    ],
    ids=repr,
)
def test_steps_of_torch(ours, name, options, judged):
    """RMSProp with its bias corrected is PyTorch's Adam with β₁ = 0; without, PyTorch's RMSprop."""
    theirs = by_torch(name, START, GRADIENTS, **options)
    found = by_ours(ours, START, GRADIENTS)
    np.testing.assert_allclose(found, theirs, rtol=1e-9, atol=1e-12)
    judged("PyTorch", f"optimisers/{type(ours).__name__}", 1, worst(found, theirs))


@pytest.mark.parametrize("momentum", [0.0, 0.7])
def test_centred_and_corrected(momentum):
    """Dividing s − m² by c = 1−ρᵗ is PyTorch's centred RMSprop with rate ε√c and δ√c at step t."""
    ours = RMSProp(0.05, 0.9, 1e-3, centered=True, momentum=momentum)
    root = [np.sqrt(1 - 0.9**t) for t in range(101)]
    # PyTorch's velocity has no rate in it, so with momentum it is the gradients that are scaled: they cancel in g/√s
    # up to δ, which is left out here.
    if momentum:
        ours.epsilon = TINY
        plain = by_ours(RMSProp(0.05, 0.9, TINY, centered=True), START, GRADIENTS)
        moves = np.diff(np.concatenate([[START], plain]), axis=0)
        theirs = by_torch("SGD", START, [-m / 0.05 for m in moves], lr=0.05, momentum=momentum)
    else:
        each = lambda t: {"lr": 0.05 * root[t], "eps": 1e-3 * root[t]}  # noqa: E731
        theirs = by_torch("RMSprop", START, GRADIENTS, each, alpha=0.9, centered=True)
    np.testing.assert_allclose(by_ours(ours, START, GRADIENTS), theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("ours", "name", "options"),
    [
        (Adagrad(0.1, TINY), "Adagrad", {"initial_accumulator_value": 0.0, "epsilon": TINY}),
        (Adadelta(0.1, 0.9, 1e-5), "Adadelta", {"rho": 0.9, "epsilon": 1e-5}),
        (RMSProp(0.1, 0.9, TINY, bias_corrected=False), "RMSprop", {"rho": 0.9, "epsilon": TINY}),
        (
            RMSProp(0.1, 0.9, TINY, momentum=0.7, bias_corrected=False),
            "RMSprop",
            {"rho": 0.9, "momentum": 0.7, "epsilon": TINY},
        ),
        (
            RMSProp(0.1, 0.9, TINY, centered=True, bias_corrected=False),
            "RMSprop",
            {"rho": 0.9, "centered": True, "epsilon": TINY},
        ),
    ],
    ids=repr,
)
def test_steps_of_keras_while_the_rate_falls(ours, name, options, judged):
    """Keras has δ inside the root: equal where δ is next to nothing, and in Adadelta, where ours is inside too."""
    theirs = by_keras(name, START, GRADIENTS, RATES, **options)
    found = by_ours(ours, START, GRADIENTS, RATES)
    np.testing.assert_allclose(found, theirs, rtol=1e-6, atol=1e-6)
    judged("Keras", f"optimisers/{type(ours).__name__}", 1, worst(found, theirs))


def test_adagrad_by_hand():
    """Equal gradients 2, 2, 2: steps of ε, ε/√2, ε/√3."""
    found = by_ours(Adagrad(1.0, TINY), np.zeros(()), [np.full((), 2.0)] * 3)
    np.testing.assert_allclose(found, -np.cumsum([1, 0.70710678, 0.57735027]), rtol=1e-8)


def test_the_first_step_of_centred_rmsprop_is_short():
    """Correcting s − m² as a whole leaves √ρ·|g| at the first step; s and m² apart would leave 0."""
    found = by_ours(RMSProp(0.1, 0.9, centered=True), np.zeros(()), [np.full((), 5.0)])
    assert -0.11 < found[0] < -0.1


def test_a_gradient_that_is_0_moves_nothing():
    """δ keeps 0/0 away, and rounding never makes the spread less than 0."""
    for rule in (Adagrad(), Adadelta(), RMSProp(), RMSProp(centered=True), RMSProp(momentum=0.9)):
        found = by_ours(rule, np.ones((2,)), [np.zeros((2,))] * 3)
        np.testing.assert_array_equal(found, 1.0)
    steady = by_ours(RMSProp(0.1, centered=True), np.ones((1,)), [np.full((1,), 0.1)] * 100, dtype="float32")
    assert np.isfinite(steady).all()
