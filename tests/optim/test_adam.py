"""Adam and its relatives step as PyTorch's and Keras's do on the same gradients."""

import numpy as np
import pytest

from kedja.optim import Adam, Adamax, AdamW, Lion
from oracles.closeness import worst
from oracles.optimisers import by_keras, by_ours, by_ours_together, by_torch, by_torch_together

RNG = np.random.default_rng(10)
START = RNG.normal(size=(3, 2))
GRADIENTS = [RNG.normal(size=(3, 2)) * 10.0 ** RNG.integers(-3, 3) for _ in range(100)]
RATES = [0.1 / (1 + k) for k in range(100)]


@pytest.mark.parametrize(
    ("ours", "name", "options"),
    [
        (Adam(0.05), "Adam", {"lr": 0.05}),
        (Adam(0.2, 0.8, 0.95, 1e-3), "Adam", {"lr": 0.2, "betas": (0.8, 0.95), "eps": 1e-3}),
        (Adam(0.05, beta_2=0.9, amsgrad=True), "Adam", {"lr": 0.05, "betas": (0.9, 0.9), "amsgrad": True}),
        (AdamW(0.05, weight_decay=0.3), "AdamW", {"lr": 0.05, "weight_decay": 0.3}),
        (
            AdamW(0.05, beta_2=0.9, weight_decay=0.3, amsgrad=True),
            "AdamW",
            {"lr": 0.05, "betas": (0.9, 0.9), "weight_decay": 0.3, "amsgrad": True},
        ),
        (Adamax(0.05, epsilon=1e-300), "Adamax", {"lr": 0.05, "eps": 1e-300}),
    ],
    ids=repr,
)
def test_steps_of_torch(ours, name, options, judged):
    """ε of Adam stands where ours does; PyTorch's Adamax adds it to |g|, so it is left out there."""
    theirs = by_torch(name, START, GRADIENTS, **options)
    found = by_ours(ours, START, GRADIENTS)
    np.testing.assert_allclose(found, theirs, rtol=1e-9, atol=1e-12)
    judged("PyTorch", f"optimisers/{type(ours).__name__}", 1, worst(found, theirs))


@pytest.mark.parametrize(
    ("ours", "name", "options"),
    [
        (Adam(0.1), "Adam", {"epsilon": 1e-8}),
        (AdamW(0.1, weight_decay=0.5), "AdamW", {"epsilon": 1e-8, "weight_decay": 0.5}),
        (Adamax(0.1, epsilon=1e-3), "Adamax", {"epsilon": 1e-3}),
        (Lion(0.1), "Lion", {}),
        (Lion(0.1, 0.8, 0.95, weight_decay=0.5), "Lion", {"beta_1": 0.8, "beta_2": 0.95, "weight_decay": 0.5}),
    ],
    ids=repr,
)
def test_steps_of_keras_while_the_rate_falls(ours, name, options, judged):
    """The rate scales the decay of weights too."""
    theirs = by_keras(name, START, GRADIENTS, RATES, **options)
    found = by_ours(ours, START, GRADIENTS, RATES)
    np.testing.assert_allclose(found, theirs, rtol=1e-6, atol=1e-6)
    judged("Keras", f"optimisers/{type(ours).__name__}", 1, worst(found, theirs))


@pytest.mark.parametrize(("rule", "name"), [(AdamW(0.1, weight_decay=0.5), "AdamW"), (Lion(0.1, weight_decay=0.5), "")])
def test_biases_do_not_decay(rule, name):
    """Decay means matrices, unless a parameter says otherwise: PyTorch with a group of its own for the bias."""
    starts, zero = {"kernel": START, "bias": START[0]}, [[np.zeros((3, 2)), np.zeros(2)]] * 5
    ours = by_ours_together(rule, starts, zero)
    np.testing.assert_array_equal(ours[-1]["bias"], START[0])
    assert (abs(ours[-1]["kernel"]) < abs(START)).all()
    if name:
        groups = [{"weight_decay": 0.5}, {"weight_decay": 0.0}]
        theirs = by_torch_together(name, list(starts.values()), zero, groups=groups, lr=0.1)
        np.testing.assert_allclose(ours[-1]["kernel"], theirs[-1][0], rtol=1e-12)


def test_adam_starts_with_the_sign_of_the_gradient():
    """Bias correction makes the first step the learning rate, however large or small the gradient."""
    for rule in (Adam(0.1), AdamW(0.1), Adamax(0.1), Lion(0.1)):
        found = by_ours(rule, np.zeros(3), [np.array([1e-3, -1e3, 5.0])])
        np.testing.assert_allclose(found[0], [-0.1, 0.1, -0.1], rtol=1e-4)


def test_amsgrad_never_raises_a_rate():
    """After one large gradient, small ones move less than Adam's for as long as it is remembered."""
    gradients = [np.array(100.0)] + [np.array(0.1)] * 60
    plain, kept = (np.diff(by_ours(Adam(0.1, 0.0, 0.5, amsgrad=a), np.zeros(()), gradients)) for a in (False, True))
    assert abs(kept[-1]) == pytest.approx(0.1 * 0.1 / (100 * 0.5**0.5), rel=1e-6)
    assert abs(plain[-1]) == pytest.approx(0.1, rel=1e-3)
