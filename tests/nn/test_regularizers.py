"""Penalties: scikit-learn's ridge and lasso, PyTorch's gradients, and how fit reports them."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import ElasticNet, Lasso, Ridge

import kedja as kj
from kedja.errors import DataError, KedjaError
from kedja.nn.layers.config import plain, rebuilt
from kedja.train.training import training_of
from oracles.closeness import worst

ALPHA = 0.3


@pytest.fixture(scope="module")
def table():
    """Forty rows of five columns, of which two do not matter."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(40, 5))
    y = x @ np.array([2.0, -1.0, 0.0, 0.5, 0.0]) + 1.0 + 0.1 * rng.normal(size=40)
    return x, y[:, None]


def solution(table, penalty, layer_own: bool, rates=(0.1,), epochs=2000):
    """Weights and bias of the linear model that full-batch descent ends in, in float64."""
    x, y = table
    own = {"regularizer": penalty} if layer_own else {}
    net = kj.Sequential([kj.nn.Dense(1, init="zeros", **own)], dtype="float64").build((None, 5))
    for rate in rates:
        net.fit(
            x, y, loss="mse", optimizer=kj.optim.GradientDescent(rate), epochs=epochs, seed=0, verbose=0,
            regularizer=None if layer_own else penalty,
        )  # fmt: skip
    kernel, bias = net.get_weights()
    return kernel[:, 0], bias[0]


@pytest.mark.parametrize("layer_own", [True, False])
def test_l2_with_mse_is_ridge(table, layer_own, judged):
    """mse + (α/2)‖W‖² is scikit-learn's Ridge(nα/2), whether the layer or the model has the penalty."""
    expected = Ridge(alpha=len(table[0]) * ALPHA / 2).fit(table[0], table[1][:, 0])
    kernel, bias = solution(table, kj.regularizers.L2(ALPHA), layer_own)
    np.testing.assert_allclose(kernel, expected.coef_, atol=1e-9)
    assert bias == pytest.approx(expected.intercept_, abs=1e-9)
    judged("scikit-learn's Ridge", "regularizers/L2", 1, worst([*kernel, bias], [*expected.coef_, expected.intercept_]))


def test_l1_with_mse_is_lasso(table, judged):
    """mse + (α/2)‖W‖₁ is scikit-learn's Lasso(α/4); its zeros are reached up to the last step's length."""
    expected = Lasso(alpha=ALPHA / 4, tol=1e-12).fit(table[0], table[1][:, 0])
    kernel, bias = solution(table, kj.regularizers.L1(ALPHA), True, rates=(0.1, 1e-2, 1e-3, 1e-4, 1e-6), epochs=20_000)
    np.testing.assert_allclose(kernel, expected.coef_, atol=1e-5)
    assert bias == pytest.approx(expected.intercept_, abs=1e-5)
    judged("scikit-learn's Lasso", "regularizers/L1", 1, worst([*kernel, bias], [*expected.coef_, expected.intercept_]))
    assert (np.abs(kernel) < 1e-6).tolist() == (expected.coef_ == 0).tolist()


def test_elastic_with_mse_is_elastic_net(table, judged):
    """Both penalties at once have the solution of scikit-learn's ElasticNet with the same conversion."""
    l1, l2 = 0.2, 0.4  # sklearn: ½·mse + a·r·‖w‖₁ + ½·a·(1−r)‖w‖², ours twice that
    a = l1 / 4 + l2 / 2
    expected = ElasticNet(alpha=a, l1_ratio=l1 / 4 / a, tol=1e-12).fit(table[0], table[1][:, 0])
    rates = (0.1, 1e-2, 1e-3, 1e-4, 1e-6)
    kernel, _ = solution(table, kj.regularizers.Elastic(l1, l2), True, rates, epochs=20_000)
    np.testing.assert_allclose(kernel, expected.coef_, atol=1e-5)
    judged("scikit-learn's ElasticNet", "regularizers/Elastic", 1, worst(kernel, expected.coef_))


@pytest.mark.parametrize(
    ("penalty", "torch_penalty"),
    [
        (kj.regularizers.L2(0.7), lambda w: 0.35 * (w**2).sum()),
        (kj.regularizers.L1(0.7), lambda w: 0.35 * w.abs().sum()),
        (kj.regularizers.Elastic(0.7, 0.2), lambda w: 0.35 * w.abs().sum() + 0.1 * (w**2).sum()),
    ],
    ids=["L2", "L1", "Elastic"],
)
def test_value_and_gradient_equal_pytorch(penalty, torch_penalty, judged):
    """The formula, and its gradient with |0|′ = 0, are those PyTorch gives."""
    values = np.random.default_rng(0).normal(size=(4, 3))
    values[0, 0] = 0.0
    w, t = kj.tensor(values, dtype="float64"), torch.tensor(values, requires_grad=True)
    expected = torch_penalty(t)
    expected.backward()
    assert penalty(w).item() == pytest.approx(expected.item(), rel=1e-14)
    slope = kj.grad(penalty(w), w).numpy()
    np.testing.assert_allclose(slope, t.grad.numpy(), rtol=1e-14)
    apart = max(worst(penalty(w).item(), expected.item()), worst(slope, t.grad.numpy()))
    judged("PyTorch", f"regularizers/{type(penalty).__name__}", 1, apart)


def test_penalties_are_of_kernels_and_reported_apart(table):
    """The History has the loss without the penalty, and the penalty beside it; biases are not penalised."""
    x, y = table
    net = kj.Sequential([kj.nn.Dense(1, bias_init="zeros")], dtype="float64").build((None, 5), seed=3)
    net.layers[0].bias.assign(np.array([100.0]))
    kernel = net.get_weights()[0]
    plain_loss = net.evaluate(x, y, loss="mse")["loss"]
    history = net.fit(
        x, y, loss="mse", optimizer=kj.optim.GradientDescent(1e-9), epochs=1, regularizer=kj.regularizers.L2(0.5)
    )
    assert history["loss"][0] == pytest.approx(plain_loss, rel=1e-12)
    assert history["penalty"][0] == pytest.approx(0.25 * (kernel**2).sum(), rel=1e-12)
    assert net.evaluate(x, y)["loss"] == pytest.approx(plain_loss, rel=1e-4)


def test_changing_a_strength_compiles_nothing_again(table):
    """α is an argument of the compiled step: another value gives another result from the same program."""
    x, y = table
    penalty = kj.regularizers.L2(0.0)
    net = kj.Sequential([kj.nn.Dense(1, init="zeros", regularizer=penalty)]).build((None, 5))
    how = {"loss": "mse", "optimizer": kj.optim.GradientDescent(0.1), "epochs": 300, "engine": "xla"}
    net.fit(x, y, **how)
    free = np.abs(net.get_weights()[0]).sum()
    penalty.alpha = 5.0
    net.fit(x, y, **how)
    assert np.abs(net.get_weights()[0]).sum() < free / 2
    assert len(training_of(net).loops) == 1


def test_both_engines_lower_the_same_penalised_loss(table):
    """float64, a hundred steps: NumPy and XLA end in the same weights."""
    x, y = table
    ends = []
    for engine in ("reference", "xla"):
        net = kj.Sequential([kj.nn.Dense(3, "tanh", regularizer="l1"), kj.nn.Dense(1)], dtype="float64")
        net.fit(x, y, loss="mse", epochs=20, batch_size=8, regularizer=0.1, engine=engine, seed=1)
        ends.append(net.get_weights())
    for a, b in zip(*ends, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_configurations_come_back():
    """A layer's penalty and constraint are saved with it."""
    layer = kj.nn.Dense(3, regularizer=kj.regularizers.Elastic(0.1, 0.2), constraint=kj.constraints.MaxNorm(2.0))
    again = rebuilt(plain(layer))
    assert plain(again) == plain(layer)


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), "l3", True, [1.0]])
def test_what_is_no_penalty(wrong):
    """One message says what a penalty is."""
    with pytest.raises(KedjaError, match=r"strength|regularizer"):
        kj.regularizers.get(wrong) if not isinstance(wrong, bool) else kj.regularizers.L2(wrong)
    with pytest.raises(DataError, match="at least 0"):
        kj.regularizers.L1(-0.5)


@pytest.mark.parametrize("wrong", [-1.0, float("inf"), "much", True])
def test_a_strength_that_is_set_later_is_checked(wrong):
    """A negative penalty would drive the weights away: it is refused wherever it comes from, and the old one stays."""
    penalty = kj.regularizers.Elastic(0.1, 0.2)
    with pytest.raises(DataError, match="l2 is the strength of a penalty"):
        penalty.l2 = wrong
    assert penalty.l2 == 0.2


def test_a_class_is_no_penalty_yet():
    """The message says that brackets are missing."""
    with pytest.raises(DataError, match="L1 is a class: write L1"):
        kj.regularizers.get(kj.regularizers.L1)


def test_none_ends_a_penalty(table):
    """A penalty stays from one call of `fit` to the next, until it is "none"."""
    net = kj.Sequential([kj.nn.Dense(1)])
    how = {"loss": "mse", "epochs": 1, "seed": 0}
    found = ["penalty" in net.fit(*table, **how, **given).metrics for given in ({"regularizer": 0.1}, {}, {})]
    assert found == [True] * 3
    assert "penalty" not in net.fit(*table, **how, regularizer="none").metrics
