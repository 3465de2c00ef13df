"""The perceptron rule: step for step as Rosenblatt's, as scikit-learn's, within Novikoff's bound, and never for XOR."""

import numpy as np
import pytest
from sklearn.linear_model import Perceptron as Theirs

import kedja as kj

CORNERS = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])
AND, OR, XOR = ([0, 0, 0, 1], [0, 1, 1, 1], [0, 1, 1, 0])
HOW = {"loss": "half_sse", "batch_size": 1, "shuffle": False, "seed": 0, "verbose": 0, "engine": "reference"}


def loaves(n=60, seed=0):
    """Width and length in decimetres: brioches are about as wide as long, baguettes far from it."""
    rng = np.random.default_rng(seed)
    brioche = rng.normal([1.2, 1.5], 0.12, (n // 2, 2))
    baguette = rng.normal([0.6, 6.0], [0.05, 0.3], (n - n // 2, 2))
    order = rng.permutation(n)
    return np.concatenate([brioche, baguette])[order], np.repeat([0, 1], [n // 2, n - n // 2])[order]


SETS = {"and": (CORNERS, AND), "or": (CORNERS, OR), "loaves": loaves()}


def learned(x, t, epochs, rate=1.0, **how):
    """A perceptron taught by `fit`, and its History."""
    net = kj.Sequential([kj.nn.Perceptron()], dtype="float64")
    x, t = np.asarray(x), np.asarray(t, float).reshape(-1, 1)
    return net, net.fit(x, t, optimizer=kj.optim.SGD(rate), epochs=epochs, **(HOW | how))


def by_hand(x, t, epochs, rate=1.0):
    """Rosenblatt's rule, one point after the other: weights, bias and mistakes of each epoch."""
    w, b, mistakes = np.zeros(len(x[0])), 0.0, []
    for _ in range(epochs):
        wrong = 0
        for point, target in zip(x, t, strict=True):
            says = 1 if w @ point + b > 0 else 0
            if says < target:
                w, b = w + rate * point, b + rate
            elif says > target:
                w, b = w - rate * point, b - rate
            wrong += says != target
        mistakes.append(wrong)
    return w, b, mistakes


@pytest.mark.parametrize("engine", ["reference", "xla"])
@pytest.mark.parametrize("name", SETS)
def test_plain_sgd_is_the_perceptron_rule(name, engine):
    """After every number of epochs the weights are those of the rule, to the last bit; the loss counts mistakes."""
    x, t = SETS[name]
    for epochs in (1, 2, 7):
        net, history = learned(x, t, epochs, engine=engine)
        w, b, mistakes = by_hand(x, t, epochs)
        np.testing.assert_allclose(net.layers[0].kernel.numpy()[:, 0], w, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(net.layers[0].bias.numpy(), [b], rtol=1e-12)
        np.testing.assert_allclose(2 * len(x) * np.array(history["loss"]), mistakes)


@pytest.mark.parametrize("name", SETS)
def test_it_finds_the_solution_of_scikit_learn(name):
    """Taught in the same order from the same zeros until no mistake is left: the same line."""
    x, t = SETS[name]
    # scikit-learn counts a point on the line as a mistake of both classes; ours says 0 there. Starting with a point of
    # class 1 both take the same first step, and with these data nothing falls on the line after it.
    order = np.argsort(-np.asarray(t), kind="stable")[[0]]
    rest = np.delete(np.arange(len(x)), order)
    x, t = x[np.r_[order, rest]], np.asarray(t)[np.r_[order, rest]]
    theirs = Theirs(shuffle=False, max_iter=200, tol=None, eta0=1.0).fit(x, t)
    net, _ = learned(x, t, 200)
    np.testing.assert_array_equal(net.predict_labels(x), theirs.predict(x))
    np.testing.assert_array_equal(net.predict_labels(x), t)
    if name == "loaves":
        np.testing.assert_allclose(net.layers[0].kernel.numpy()[:, 0], theirs.coef_[0], rtol=1e-10)
        np.testing.assert_allclose(net.layers[0].bias.numpy(), theirs.intercept_, rtol=1e-10)


@pytest.mark.parametrize("seed", range(4))
def test_separable_data_are_separated_within_novikoffs_bound(seed):
    """No more than (R/γ)² mistakes in all, γ the margin of a line known to separate them."""
    rng = np.random.default_rng(seed)
    true = np.append(rng.normal(size=3), 0.3 * rng.normal())
    true /= np.linalg.norm(true)
    x = np.c_[rng.uniform(-1, 1, (200, 3)), np.ones(200)]
    x = x[np.abs(x @ true) > 0.1]
    bound = (np.linalg.norm(x, axis=1).max() / np.abs(x @ true).min()) ** 2
    _, history = learned(x[:, :3], x @ true > 0, 60, seed=seed)
    assert history["loss"][-1] == 0
    assert 0 < 2 * len(x) * sum(history["loss"]) <= bound


def test_xor_never_rests():
    """No line separates it: in every epoch there is a mistake, and the weights run in circles."""
    net, history = learned(CORNERS, XOR, 300)
    assert min(history["loss"]) > 0
    assert np.abs(net.get_weights()[0]).max() <= 3


def test_the_rate_only_scales():
    """From zeros, ε times the weights and the same decisions at every moment."""
    (a, ha), (b, hb) = (learned(CORNERS, AND, 5, rate) for rate in (1.0, 0.25))
    np.testing.assert_array_equal(ha["loss"], hb["loss"])
    np.testing.assert_allclose(a.layers[0].kernel.numpy() * 0.25, b.layers[0].kernel.numpy(), rtol=1e-12)


def test_several_units_are_several_perceptrons():
    """AND and OR learned at once are AND and OR learned apart (scope 2.1, multi-output)."""
    net = kj.Sequential([kj.nn.Perceptron(2)], dtype="float64")
    net.fit(CORNERS, np.c_[AND, OR].astype(float), optimizer=kj.optim.SGD(1.0), epochs=9, **HOW)
    for k, t in enumerate((AND, OR)):
        w, b, _ = by_hand(CORNERS, t, 9)
        assert [*net.layers[0].kernel.numpy()[:, k], net.layers[0].bias.numpy()[k]] == [*w, b]
    np.testing.assert_array_equal(net.predict(CORNERS), np.c_[AND, OR])


def test_the_bias_is_a_shift():
    """Without it the line goes through the origin, and AND is out of reach."""
    net = kj.Sequential([kj.nn.Perceptron(use_bias=False)], dtype="float64")
    t = np.array(AND, float).reshape(-1, 1)
    history = net.fit(CORNERS, t, optimizer=kj.optim.SGD(1.0), epochs=100, **HOW)
    assert min(history["loss"]) > 0
