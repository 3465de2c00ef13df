"""Every loss against PyTorch, Keras or scikit-learn: value and derivative, reductions, extremes, what it refuses."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torch.nn import functional as F

import kedja as kj
from kedja.errors import DataError, DTypeError, ShapeError, UnknownNameError
from kedja.nn.losses import ALIASES, LOSSES
from oracles.closeness import worst

torch.set_num_threads(1)
RNG = np.random.default_rng(3)
Z = RNG.normal(size=(7, 4)) * 3
T = RNG.normal(size=(7, 4))
LABELS = RNG.integers(0, 4, 7)
BITS = RNG.integers(0, 2, (7, 4)).astype(float)
SHARES = RNG.dirichlet(np.ones(4), 7)
COUNTS = RNG.poisson(2.0, (7, 4)).astype(float)
NONE = "none"


def cosine(t, y):
    return 1 - F.cosine_similarity(y, t, dim=-1)


# loss, targets, what stands between z and the loss (ours, theirs), PyTorch's numbers per row from (t, y, z)
CASES = {
    "mse": (kj.losses.MSE(), T, None, lambda t, y: F.mse_loss(y, t, reduction=NONE).mean(1)),
    "sse": (kj.losses.SSE(), T, None, lambda t, y: F.mse_loss(y, t, reduction=NONE).sum(1)),
    "half_sse": (kj.losses.HalfSSE(), T, "sigmoid", lambda t, y: 0.5 * F.mse_loss(y, t, reduction=NONE).sum(1)),
    "mae": (kj.losses.MAE(), T, None, lambda t, y: F.l1_loss(y, t, reduction=NONE).mean(1)),
    "sae": (kj.losses.SAE(), T, None, lambda t, y: F.l1_loss(y, t, reduction=NONE).sum(1)),
    "huber": (kj.losses.Huber(), T, None, lambda t, y: F.huber_loss(y, t, reduction=NONE).mean(1)),
    "huber 2.5": (kj.losses.Huber(2.5), T, None, lambda t, y: F.huber_loss(y, t, delta=2.5, reduction=NONE).mean(1)),
    "smooth l1": (kj.losses.get("smooth_l1"), T, None, lambda t, y: F.smooth_l1_loss(y, t, reduction=NONE).mean(1)),
    "cosine": (kj.losses.CosineDistance(), T, None, cosine),
    "poisson": (
        kj.losses.Poisson(), COUNTS, "softplus",
        lambda t, y: F.poisson_nll_loss(y, t, log_input=False, eps=0.0, reduction=NONE).mean(1),
    ),
    "poisson exp": (
        kj.losses.Poisson(), COUNTS, "exp",
        lambda t, y: F.poisson_nll_loss(torch.log(y), t, log_input=True, reduction=NONE).mean(1),
    ),
    "kl of logits": (
        kj.losses.KLDivergence(), SHARES, None,
        lambda t, y: F.kl_div(F.log_softmax(y, -1), t, reduction=NONE).sum(1),
    ),
    "kl of a softmax": (
        kj.losses.KLDivergence(), SHARES, "softmax", lambda t, y: F.kl_div(torch.log(y), t, reduction=NONE).sum(1)
    ),
    "labels": (kj.losses.CrossEntropy(), LABELS, None, lambda t, y: F.cross_entropy(y, t, reduction=NONE)),
    "smoothed labels": (
        kj.losses.CrossEntropy(0.1), LABELS, None,
        lambda t, y: F.cross_entropy(y, t, label_smoothing=0.1, reduction=NONE),
    ),
    "smoothed rows": (
        kj.losses.CrossEntropy(label_smoothing=0.3), SHARES, "softmax",
        lambda t, y: F.cross_entropy(torch.log(y), t, label_smoothing=0.3, reduction=NONE),
    ),
    "smoothed bits": (
        kj.losses.BinaryCrossEntropy(0.2), BITS, "sigmoid",
        lambda t, y: F.binary_cross_entropy(y, torch.where(t == 1, 0.9 * t, 0.1 + t), reduction=NONE).mean(1),
    ),
    "hinge": (  # PyTorch's is of distances x: x where t = 1, max(0, 1 − x) where t = −1
        kj.losses.Hinge(), 2 * BITS - 1, None,
        lambda t, y: F.hinge_embedding_loss(t * y, -torch.ones_like(y), reduction=NONE).mean(1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("engine", ["reference", "xla"])
@pytest.mark.parametrize("case", CASES)
def test_value_and_derivative_of_torch(case, engine, judged):
    """Weighted mean and its derivative by what stands before the activation, in float64."""
    loss, targets, last, rows = CASES[case]
    w = RNG.uniform(0.1, 2, 7)
    t = kj.tensor(targets, dtype=targets.dtype)
    between = {None: lambda v: v, "exp": kj.exp, "sigmoid": kj.sigmoid, "softmax": kj.softmax, "softplus": kj.softplus}

    def ours(v, weight):
        found = loss(t, between[last](v), weight)
        return found, kj.grad(found, v)

    value, slope = kj.compile(ours, engine=engine)(kj.tensor(Z, dtype="float64"), kj.tensor(w, dtype="float64"))
    z = torch.tensor(Z, requires_grad=True)
    theirs = {None: z, "exp": z.exp(), "sigmoid": z.sigmoid(), "softmax": z.softmax(-1), "softplus": F.softplus(z)}
    each = rows(torch.tensor(targets), theirs[last])
    expected = (each * torch.tensor(w)).sum() / w.sum()
    expected.backward()
    np.testing.assert_allclose(value.numpy(), expected.item(), rtol=1e-11)
    np.testing.assert_allclose(slope.numpy(), z.grad.numpy(), rtol=1e-10, atol=1e-13)
    apart = max(worst(value.numpy(), expected.item()), worst(slope.numpy(), z.grad.numpy()))
    judged("PyTorch", f"losses/{loss.name}", 1, apart)


@pytest.fixture(scope="module")
def keras() -> SimpleNamespace:
    """Keras's losses."""
    return pytest.importorskip("keras").losses


KERAS = {
    "cosine_distance": (T, T[::-1], lambda k, t, y: 1 + k.CosineSimilarity(reduction=None)(t, y)),
    "hinge": (BITS, Z, lambda k, t, y: k.Hinge(reduction=None)(t, y)),
    "huber": (T, Z, lambda k, t, y: k.Huber(reduction=None)(t, y)),
    "kl_divergence": (SHARES, SHARES[::-1], lambda k, t, y: k.KLDivergence(reduction=None)(t, y)),
    "log_cosh": (T, Z, lambda k, t, y: k.LogCosh(reduction=None)(t, y)),
    "poisson": (COUNTS, np.exp(T), lambda k, t, y: k.Poisson(reduction=None)(t, y)),
    "squared_hinge": (BITS, Z, lambda k, t, y: k.SquaredHinge(reduction=None)(t, y)),
}


@pytest.mark.parametrize("name", KERAS)
def test_values_of_keras(name, keras, judged):
    """The number of each row; Keras adds 1e-7 to what it takes logarithms of, and computes in float32."""
    t, y, theirs = KERAS[name]
    options = {"from_logits": False} if name == "kl_divergence" else {}
    loss = kj.losses.get(name, reduction="none", **options)
    expected = np.asarray(theirs(keras, t.astype("float32"), y.astype("float32")))
    found = loss(kj.tensor(t), kj.tensor(y)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=3e-6)
    judged("Keras float32", f"losses/{name}", 1, worst(found, expected))


def test_categorical_hinge_of_keras(keras, judged):
    """Equal where some wrong class has a score above 0, as Keras reads it."""
    scores = Z - Z.min(1, keepdims=True) + 0.1
    ours = kj.losses.CategoricalHinge(reduction="none")(kj.tensor(LABELS), kj.tensor(scores)).numpy()
    theirs = keras.CategoricalHinge(reduction=None)(np.eye(4, dtype="float32")[LABELS], scores.astype("float32"))
    np.testing.assert_allclose(ours, np.asarray(theirs), rtol=1e-5, atol=1e-6)
    judged("Keras float32", "losses/categorical_hinge", 1, worst(ours, np.asarray(theirs)))


def test_hinges_of_sklearn(judged):
    """Crammer and Singer's for several classes, the plain one for two; labels and one-hot rows alike."""
    z = kj.tensor(Z, dtype="float64")
    several = kj.losses.CategoricalHinge()(kj.tensor(LABELS), z).item()
    expected = sk.hinge_loss(LABELS, Z, labels=[0, 1, 2, 3])
    assert several == pytest.approx(expected, rel=1e-12)
    judged("scikit-learn", "losses/categorical_hinge", 1, worst(several, expected))
    rows = kj.losses.CategoricalHinge()(kj.tensor(np.eye(4)[LABELS], dtype="float64"), z).item()
    assert rows == several
    bits = BITS[:, 0].astype(int)
    two = kj.losses.Hinge()(kj.tensor(bits), z[:, :1]).item()
    expected = sk.hinge_loss(bits, Z[:, 0], labels=[0, 1])
    assert two == pytest.approx(expected, rel=1e-12)
    judged("scikit-learn", "losses/hinge", 1, worst(two, expected))


def test_categorical_hinge_of_torch(judged):
    """For two classes the margins of all wrong classes are that of the one: PyTorch's divided by the classes."""
    z = kj.Parameter(Z[:, :2], dtype="float64")
    loss = kj.losses.CategoricalHinge()(kj.tensor(LABELS % 2), z)
    y = torch.tensor(Z[:, :2], requires_grad=True)
    expected = 2 * F.multi_margin_loss(y, torch.tensor(LABELS % 2))
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    slope = kj.grad(loss, z).numpy()
    np.testing.assert_allclose(slope, y.grad.numpy(), atol=1e-14)
    apart = max(worst(loss.item(), expected.item()), worst(slope, y.grad.numpy()))
    judged("PyTorch", "losses/categorical_hinge", 1, apart)


def test_derivative_of_log_cosh_is_tanh(judged):
    """In the middle and at both ends, and to second order 1 at 0."""
    y = kj.Parameter([-400.0, -2.0, -1e-3, 0.0, 0.5, 30.0], dtype="float64")
    loss = kj.losses.LogCosh(reduction="sum")(kj.tensor(np.zeros(6), dtype="float64"), y)
    slope = kj.grad(loss, y).numpy()
    np.testing.assert_allclose(slope, np.tanh(y.numpy()), rtol=1e-12)
    judged("NumPy", "losses/log_cosh", 1, worst(slope, np.tanh(y.numpy())))


@pytest.mark.parametrize("case", [c for c in CASES if c not in ("mae", "sae", "hinge")])
def test_derivative_of_the_derivative(case):
    """Second order exists and agrees with moving the logits: losses serve Hessians too."""
    loss, targets, last, _ = CASES[case]
    t = kj.tensor(targets, dtype=targets.dtype)
    between = {None: lambda v: v, "exp": kj.exp, "sigmoid": kj.sigmoid, "softmax": kj.softmax, "softplus": kj.softplus}

    def along(v):
        return kj.sum(kj.grad(loss(t, between[last](v)), v) * kj.tensor(T, dtype="float64"))

    assert kj.check_gradients(along, kj.tensor(Z, dtype="float64")).passed


def test_sequences_and_pixels():
    """Labels (n, steps) and (n, rows, columns) against PyTorch's class-second layout; a mean over the places."""
    for shape in ((5, 6), (3, 4, 2)):
        z, labels = RNG.normal(size=(*shape, 3)), RNG.integers(0, 3, shape)
        expected = F.cross_entropy(torch.tensor(np.moveaxis(z, -1, 1).copy()), torch.tensor(labels)).item()
        found = kj.losses.CrossEntropy()(kj.tensor(labels), kj.tensor(z, dtype="float64")).item()
        assert found == pytest.approx(expected, rel=1e-12)
        hot = kj.tensor(np.eye(3)[labels], dtype="float64")
        assert kj.losses.get("cross_entropy")(hot, kj.tensor(z, dtype="float64")).item() == found


@pytest.mark.parametrize("name", ["sse", "half_sse", "sae", "mse", "mae", "cross_entropy", "huber"])
def test_reductions(name):
    """Of the numbers per row: their mean, their sum, themselves; each with weights."""
    t = kj.tensor(LABELS) if name == "cross_entropy" else kj.tensor(T, dtype="float64")
    z, w = kj.tensor(Z, dtype="float64"), RNG.uniform(0, 2, 7)
    each = kj.losses.get(name, reduction="none")(t, z).numpy()
    assert each.shape == (7,)
    for weights, v in ((None, np.ones(7)), (w, w)):
        given = None if weights is None else kj.tensor(weights, dtype="float64")
        np.testing.assert_allclose(kj.losses.get(name, reduction="none")(t, z, given).numpy(), each * v)
        assert kj.losses.get(name)(t, z, given).item() == pytest.approx(np.average(each, weights=v))
        assert kj.losses.get(name, reduction="sum")(t, z, given).item() == pytest.approx(each @ v)


def test_fit_reports_the_reduction():
    """In fit sums over outputs are averaged over rows, and reduction="sum" gives the sum over the data set."""
    x, y = RNG.normal(size=(20, 2)), RNG.normal(size=(20, 3))
    net = kj.Sequential([kj.nn.Dense(3, init="zeros")])
    still = {"optimizer": kj.optim.SGD(1e-30), "batch_size": 7, "validation": (x, y), "seed": 0}
    absolute = np.abs(y).sum()
    for loss, expected in (("sae", absolute / 20), ("mae", absolute / 60)):
        assert net.fit(x, y, loss=loss, **still)["loss"][0] == pytest.approx(expected, rel=1e-5)
    history = net.fit(x, y, loss=kj.losses.SAE(reduction="sum"), **still)
    assert history["loss"][0] == pytest.approx(absolute, rel=1e-5)
    assert history["val_loss"][0] == pytest.approx(absolute, rel=1e-5)
    with pytest.raises(DataError, match='sae with reduction="none" is a number per row: train with "mean" or "sum"'):
        net.fit(x, y, loss=kj.losses.SAE(reduction="none"))


@pytest.mark.parametrize("engine", ["reference", "xla"])
@pytest.mark.parametrize("smoothing", [0.0, 0.25])
def test_derivative_is_a_minus_t(smoothing, engine):
    """Behind a softmax ∂ℓ/∂z = a − t to the last bits, from labels, from rows and for the divergence."""
    hot = np.eye(4)[LABELS]
    a = torch.softmax(torch.tensor(Z), -1).numpy()
    t = (1 - smoothing) * hot + smoothing / 4
    losses = [
        (kj.losses.CrossEntropy(smoothing), kj.tensor(LABELS)),
        (kj.losses.CrossEntropy(), kj.tensor(t, "float64")),
    ]
    losses.append((kj.losses.KLDivergence(), kj.tensor(t, "float64")))
    for loss, targets in losses:

        def slope(z, loss=loss, targets=targets):
            return kj.grad(kj.sum(loss.per_example(targets, kj.softmax(z))), z)

        found = kj.compile(slope, engine=engine)(kj.tensor(Z, dtype="float64")).numpy()
        np.testing.assert_allclose(found, a - t, atol=5e-16)


EXTREME = {
    "binary_cross_entropy": ([[1.0, 0.0]], "sigmoid"),
    "cross_entropy": ([[0.25, 0.75]], "softmax"),
    "cosine_distance": ([[1.0, 0.0]], None),
    "categorical_hinge": ([[1.0, 0.0]], None),
    "hinge": ([[1.0, -1.0]], None),
    "huber": ([[1.0, 0.0]], None),
    "kl_divergence": ([[0.25, 0.75]], "softmax"),
    "log_cosh": ([[1.0, 0.0]], None),
    "poisson": ([[2.0, 0.0]], "softplus"),
    "squared_hinge": ([[1.0, -1.0]], None),
}


@pytest.mark.parametrize("engine", ["reference", "xla"])
@pytest.mark.parametrize("name", EXTREME)
def test_stable_in_float32_at_a_thousand(name, engine):
    """At ±1000 value and derivative are finite, and those of float64 to float32's rounding."""
    targets, last = EXTREME[name]
    between = {None: lambda v: v, "sigmoid": kj.sigmoid, "softmax": kj.softmax, "softplus": kj.softplus}
    compiled = {}
    for dtype in ("float32", "float64"):

        def both(v, t=kj.tensor(targets, dtype=dtype)):  # noqa: B008
            loss = kj.losses.get(name)(t, between[last](v))
            return loss, kj.grad(loss, v)

        compiled[dtype] = kj.compile(both, engine=engine)
    for z in ([[1000.0, -1000.0]], [[-1000.0, 1000.0]], [[0.0, 1e-6]], [[1000.0, 1000.0]]):
        if name == "poisson" and z[0][0] == -1000:
            continue  # an expectation of 0 for a count of 2 costs minus the logarithm of the type's smallest number
        found = [[v.numpy() for v in run(kj.tensor(z, dtype=dtype))] for dtype, run in compiled.items()]
        for single, double in zip(*found):
            assert np.isfinite(single).all() and single.dtype == "float32"
            np.testing.assert_allclose(single, double, rtol=2e-6, atol=1e-6)


def test_poisson_behind_an_exponential_at_minus_a_thousand():
    """e⁻¹⁰⁰⁰ is 0 in any type; through the pre-activation the loss is t · 1000 and its derivative −t."""
    z = kj.Parameter([[-1000.0]])
    loss = kj.losses.Poisson()([[2.0]], kj.exp(z))
    assert (loss.item(), kj.grad(loss, z).item()) == (2000.0, -2.0)


# --- what is refused ------------------------------------------------------------------------------------------------
REFUSED = {
    "float labels": ("cross_entropy", {}, [0.0, 1.0], np.zeros((2, 3)), DTypeError, "must be integers, got float32"),
    "float labels of a sequence": (
        "cross_entropy", {}, np.zeros((2, 4)), np.zeros((2, 4, 3)), DTypeError, "labels of shape (2, 4) must be int",
    ),
    "label too large": (
        "cross_entropy", {}, np.array([0, 3]), np.zeros((2, 3)), DataError, "label 3 at row 1 (counting from 0) is",
    ),
    "label in a sequence": (
        "cross_entropy", {}, np.array([[0, 1], [0, -1]]), np.zeros((2, 2, 3)), DataError, "has -1 at index (1, 1)",
    ),
    "rows that do not add up": (
        "cross_entropy", {}, [[0.5, 0.2, 0.0]], np.zeros((1, 3)), DataError, "adding up to 1), and row 0 is [0.5, 0.2",
    ),
    "kl rows": ("kl_divergence", {}, [[0.5, 0.4]], np.zeros((1, 2)), DataError, "kl_divergence needs rows of the targ"),
    "kl labels": ("kl_divergence", {}, np.array([1]), np.zeros((1, 2)), ShapeError, "are labels: use 'cross_entropy'"),
    "outputs that do not add up": (
        "cross_entropy", {"from_logits": False}, [[1.0, 0.0]], [[0.5, 0.7]], DataError, "rows of the outputs that are",
    ),
    "outputs that are logits": (
        "binary_cross_entropy", {"from_logits": False}, [[1.0]], [[2.0]], DataError, "needs outputs from 0 to 1",
    ),
    "bits": ("binary_cross_entropy", {}, [[0.0], [2.0]], np.zeros((2, 1)), DataError, "targets from 0 to 1, and row 1"),
    "hinge of three": ("hinge", {}, np.array([0, 2]), np.zeros((2, 1)), DataError, "row 1 of the targets has 2"),
    "hinge of both kinds": ("hinge", {}, [[0.0], [-1.0]], np.zeros((2, 1)), DataError, "−1 and 1, or 0 and 1"),
    "hinge of classes": ("hinge", {}, np.array([0, 1]), np.zeros((2, 3)), ShapeError, "use 'categorical_hinge'"),
    "counts": ("poisson", {}, [[-1.0]], [[1.0]], DataError, "counts of at least 0, and row 0 of the targets has [-1"),
    "log expectations": ("poisson", {}, [[1.0]], [[-1.0]], DataError, "not their logarithms: take kj.exp of those"),
    "shapes": ("huber", {}, np.zeros((2, 3)), np.zeros((2, 2)), ShapeError, "huber: the targets have shape (2, 3)"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_named(case):
    """Targets and outputs that make no sense are refused with what came and what was expected."""
    name, options, targets, outputs, error, message = REFUSED[case]
    with pytest.raises(error) as found:
        kj.losses.get(name, **options)(kj.tensor(targets), kj.tensor(outputs))
    assert message in str(found.value)


def test_fit_looks_at_targets_of_sequences():
    """Labels of the steps of a sequence are checked before training, with their place."""
    net = kj.Sequential([kj.nn.Dense(3)])
    with pytest.raises(DataError, match=r"needs labels from 0 to 2, and y has 3 at index \(1, 0\)"):
        net.fit(np.zeros((2, 2, 4)), np.array([[0, 1], [3, 2]]), loss="cross_entropy")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("huber", {"delta": 0}, "huber: delta is a number above 0, got 0"),
        ("huber", {"delta": True}, "huber: delta is a number above 0, got True"),
        ("cross_entropy", {"label_smoothing": 1}, "label_smoothing is a number of at least 0 and below 1, got 1"),
        ("mse", {"from_logits": True}, "unknown option of mse 'from_logits'"),
        ("mse", {"reduction": "avg"}, "unknown reduction 'avg'. "),
    ],
)
def test_options_are_checked(name, options, message):
    """An option that is misspelt, unknown or out of range."""
    with pytest.raises((DataError, UnknownNameError), match=message):
        kj.losses.get(name, **options)


# --- names and configuration ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", [*LOSSES, *ALIASES])
def test_names(name):
    """Every name and every alias gives a loss, whose class is public, and which its configuration makes again."""
    loss = kj.losses.get(name)
    assert loss.name == ALIASES.get(name, name) and getattr(kj.losses, type(loss).__name__) is LOSSES[loss.name]
    again = kj.losses.get(loss.config())
    assert again.structure() == loss.structure() and repr(again) == repr(loss)


def test_options_are_part_of_the_structure():
    """Other options, another program; the same options, the same."""
    get = kj.losses.get
    assert get("huber", delta=2).structure() == kj.losses.Huber(2.0).structure() != get("huber").structure()
    assert get("cross_entropy", label_smoothing=0.1).structure() != get("cross_entropy").structure()
    assert repr(get("huber", delta=2, reduction="sum")) == "Huber(delta=2.0, reduction='sum')"


def test_saved_models_remember_options(tmp_path):
    """What a model was trained with comes back with its options."""
    net = kj.Sequential([kj.nn.Dense(1)])
    x, y = RNG.normal(size=(8, 2)), RNG.normal(size=(8, 1))
    net.fit(x, y, loss=kj.losses.Huber(0.3), metrics=["r2", kj.metrics.OfLoss(kj.losses.Huber(2.0))], seed=0)
    net.save(tmp_path)
    again = kj.load(tmp_path)
    assert again.evaluate(x, y) == pytest.approx(net.evaluate(x, y))
    assert again._training.loss.delta == 0.3 and list(again.evaluate(x, y)) == ["loss", "r2", "huber"]
