"""Losses against PyTorch in float64, at extremes, with weights, and on the worked example of the notes."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import kedja as kj
from kedja.errors import DataError, DTypeError, ShapeError, UnknownNameError
from oracles.closeness import worst
from oracles.torch_models import loss_of, with_logits

RNG = np.random.default_rng(11)
Z = RNG.normal(size=(6, 4)) * 3
LABELS = RNG.integers(0, 4, 6)
HOT = np.eye(4)[LABELS]
BITS = RNG.integers(0, 2, (6, 4)).astype(float)


def t64(value) -> kj.Tensor:
    """A float64 constant."""
    return kj.tensor(value, dtype="float64")


def value_and_gradient(name, targets, last="linear", **options):
    """Ours at Z, and the derivative by Z."""
    z = kj.Parameter(Z, dtype="float64")
    outputs = {"linear": lambda v: v, "sigmoid": kj.sigmoid, "softmax": kj.softmax}[last](z)
    loss = kj.losses.get(name, **options)(targets, outputs)
    return loss.item(), kj.grad(loss, z).numpy()


@pytest.mark.parametrize(
    ("name", "last", "targets"),
    [
        ("mse", "linear", BITS), ("sse", "linear", BITS), ("half_sse", "sigmoid", BITS), ("mse", "softmax", HOT),
        ("binary_cross_entropy", "sigmoid", BITS), ("binary_cross_entropy", "linear", BITS),
        ("cross_entropy", "softmax", LABELS), ("cross_entropy", "linear", LABELS),
    ],
)  # fmt: skip
def test_values_and_gradients_of_torch(name, last, targets, judged):
    """The mean over examples, and its derivative by the pre-activation."""
    ours = value_and_gradient(name, kj.tensor(targets) if targets.ndim == 1 else t64(targets), last)
    z = torch.tensor(Z, requires_grad=True)
    outputs = {"linear": lambda v: v, "sigmoid": torch.sigmoid, "softmax": lambda v: torch.softmax(v, -1)}[last](z)
    theirs = loss_of(name, outputs, torch.tensor(targets), last)
    theirs.backward()
    assert ours[0] == pytest.approx(theirs.item(), rel=1e-12)
    np.testing.assert_allclose(ours[1], z.grad.numpy(), rtol=1e-9, atol=1e-13)
    judged("PyTorch", f"losses/{name}", 1, max(worst(ours[0], theirs.item()), worst(ours[1], z.grad.numpy())))


def test_labels_and_one_hot_rows_are_the_same():
    """Class numbers and their one-hot rows give one loss."""
    sparse, hot = value_and_gradient("cross_entropy", kj.tensor(LABELS)), value_and_gradient("cross_entropy", t64(HOT))
    assert sparse[0] == hot[0]
    np.testing.assert_array_equal(sparse[1], hot[1])


def test_soft_targets():
    """Rows of probabilities as targets, as PyTorch takes them."""
    soft = F.softmax(torch.tensor(Z[::-1].copy()), -1)
    ours, _ = value_and_gradient("cross_entropy", t64(soft.numpy()))
    assert ours == pytest.approx(F.cross_entropy(torch.tensor(Z), soft).item(), rel=1e-12)


@pytest.mark.parametrize("name", ["binary_cross_entropy", "cross_entropy"])
@pytest.mark.parametrize("from_logits", [True, False, "auto"])
def test_from_logits(name, from_logits):
    """True and "auto" take a bare output as logits; False takes it as probabilities."""
    p = kj.Parameter(np.array([[0.2, 0.8], [0.6, 0.4]]), dtype="float64")
    targets = np.array([[0.0, 1.0], [1.0, 0.0]])
    ours = kj.losses.get(name, from_logits=from_logits)(t64(targets), p).item()
    values, t = torch.tensor(p.numpy().copy()), torch.tensor(targets)
    if name == "cross_entropy":
        theirs = -(t * values.log()).sum(1).mean() if from_logits is False else F.cross_entropy(values, t)
    else:
        theirs = F.binary_cross_entropy(values, t) if from_logits is False else with_logits(values, t)
    assert ours == pytest.approx(theirs.item(), rel=1e-12)


@pytest.mark.parametrize(("name", "last"), [("binary_cross_entropy", "sigmoid"), ("cross_entropy", "softmax")])
def test_auto_looks_through_the_activation(name, last):
    """ "auto" on activated outputs is True on the pre-activation, to the last bit."""
    targets = t64(BITS if last == "sigmoid" else HOT)
    through, bare = value_and_gradient(name, targets, last), value_and_gradient(name, targets, from_logits=True)
    assert through[0] == bare[0]
    np.testing.assert_array_equal(through[1], bare[1])


@pytest.mark.parametrize("z", [-3.0, 0.0, 0.5, 40.0])
@pytest.mark.parametrize("t", [0.0, 1.0])
def test_derivative_is_a_minus_t(z, t):
    """Behind a sigmoid ∂ℓ/∂z = a − t, also at z = 0 where a careless |z| has a kink."""
    node = kj.Parameter([z], dtype="float64")
    a = kj.sigmoid(node)
    loss = kj.losses.get("binary_cross_entropy")(t64([t]), a)
    assert kj.grad(loss, node).numpy()[0] == pytest.approx(1 / (1 + np.exp(-z)) - t, abs=1e-16)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sign", [-1, 1])
def test_stable_at_a_thousand(sign, dtype):
    """Logits of ±1000 give the exact loss (0 or 1000) and derivatives of 0 or ±1, never nan."""
    for name, z, t in (
        ("binary_cross_entropy", [[1000.0 * sign]], [[1.0]]),
        ("cross_entropy", [[1000.0 * sign, 0.0]], [[1.0, 0.0]]),
    ):
        for last in (lambda v: v, kj.sigmoid if name.startswith("binary") else kj.softmax):
            node = kj.Parameter(z, dtype=dtype)
            loss = kj.losses.get(name)(kj.tensor(t, dtype=dtype), last(node))
            assert loss.item() == (0 if sign > 0 else 1000)
            assert kj.grad(loss, node).numpy().flat[0] == (0 if sign > 0 else -1)


def test_worked_example_9_9():
    """Predictions (.1, .8, .6), labels (1, 0, 1)."""
    p, t = t64([0.1, 0.8, 0.6]), t64([1.0, 0.0, 1.0])
    bce = kj.losses.get("binary_cross_entropy", from_logits=False)
    np.testing.assert_allclose(bce.per_example(t, p).numpy(), [2.30258509, 1.60943791, 0.51082562], atol=1e-8)
    assert bce(t, p).item() == pytest.approx(1.47428288, abs=1e-8)
    assert kj.losses.get("mse")(t, p).item() == pytest.approx(0.53666667, abs=1e-8)


def test_probabilities_of_0_and_1_give_finite_losses():
    """Certain and wrong is expensive, not infinite; certain and right costs nothing."""
    for name in ("binary_cross_entropy", "cross_entropy"):
        loss = kj.losses.get(name, from_logits=False)
        each = loss.per_example(kj.tensor([[1.0, 0.0], [1.0, 0.0]]), kj.tensor([[1.0, 0.0], [0.0, 1.0]])).numpy()
        assert each[0] == 0 and 50 < each[1] < 200


def test_weights():
    """Σwℓ/Σw: losses 1, 4, 9 with weights 1, 0, 3 give 28/4."""
    loss = kj.losses.get("mse")
    t, y = kj.tensor([[0.0], [0.0], [0.0]]), kj.tensor([[1.0], [2.0], [3.0]])
    assert loss(t, y, weights=[1, 0, 3]).item() == 7
    with pytest.raises(ShapeError, match="one weight per example"):
        loss(t, y, weights=[1, 2])


def test_sums():
    """reduction="sum" gives the notes' sums over the data: 1 + 4 + 9, weighted 1 + 27."""
    t, y = kj.tensor([[0.0], [0.0], [0.0]]), kj.tensor([[1.0], [2.0], [3.0]])
    loss = kj.losses.get("sse", reduction="sum")
    assert (loss(t, y).item(), loss(t, y, weights=[1, 0, 3]).item()) == (14, 28)


@pytest.mark.parametrize("name", ["mse", "sse", "half_sse", "binary_cross_entropy"])
def test_a_row_against_a_column(name):
    """(n,) against (n, 1) would broadcast to (n, n): it is refused, with the fix."""
    with pytest.raises(ShapeError, match=r"reshape them to \(3, 1\): y.reshape\(-1, 1\)"):
        kj.losses.get(name)(kj.tensor([0.0, 1.0, 0.0]), kj.tensor([[0.1], [0.2], [0.3]]))


def test_class_labels_fit_one_output():
    """Integers (n,) are labels, and for one output (n, 1) they mean 0 and 1."""
    loss = kj.losses.get("binary_cross_entropy")
    column = kj.tensor([[0.3], [-0.2]])
    assert loss(np.array([0, 1]), column).item() == loss(kj.tensor([[0.0], [1.0]]), column).item()


@pytest.mark.parametrize(
    ("targets", "outputs", "error", "message"),
    [
        (np.zeros((3, 2)), np.zeros((3, 4)), ShapeError, "Give integer labels (3,) or one-hot rows (3, 4)"),
        (np.zeros(3), np.zeros((3, 4)), DTypeError, "must be integers, got float32. Use y.astype('int64')"),
        (np.zeros((3, 1)), np.zeros((3, 1)), ShapeError, "Use 'binary_cross_entropy' for one output"),
        (np.zeros(3), np.zeros(3), ShapeError, "needs one output per class"),
    ],
)
def test_cross_entropy_refuses(targets, outputs, error, message):
    """Targets and outputs that make no classes are refused with what would."""
    with pytest.raises(error) as found:
        kj.losses.get("cross_entropy")(kj.tensor(targets), kj.tensor(outputs))
    assert message in str(found.value)


def test_options_are_checked():
    """A misspelled option is refused."""
    with pytest.raises(UnknownNameError, match="unknown reduction 'avg'"):
        kj.losses.get("mse", reduction="avg")
    with pytest.raises(DataError, match="from_logits is True, False or 'auto'"):
        kj.losses.get("cross_entropy", from_logits="yes")


def test_unknown_names_list_the_known():
    """The nearest, and all of them."""
    with pytest.raises(
        UnknownNameError, match="Did you mean 'cross_entropy'. Known: binary_cross_entropy, categorical_hinge, "
    ):
        kj.losses.get("crossentropy")


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("categorical_crossentropy", "cross_entropy"), ("mean_squared_error", "mse"), ("rss", "sse"),
        ("bce", "binary_cross_entropy"),
    ],
)  # fmt: skip
def test_names_of_peers(theirs, ours):
    """Keras's and the notes' names are understood."""
    assert kj.losses.get(theirs).name == ours


def test_a_loss_survives_its_configuration():
    """Made again from plain data it has all its options."""
    loss = kj.losses.get("cross_entropy", reduction="sum", from_logits=False)
    assert repr(kj.losses.get(loss.config())) == repr(loss)
