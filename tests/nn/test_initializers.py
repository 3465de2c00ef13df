"""Starting values have the spread their sources say (scope 4.6), measured on large draws."""

import json

import numpy as np
import pytest
import torch
from scipy import stats

import kedja as kj
from kedja.errors import DataError, KedjaError, ShapeError, UnknownNameError
from kedja.nn.layers.config import rebuilt
from oracles.closeness import worst

initializers = kj.initializers
SHAPE = (300, 500)
COUNT = 150_000


def drawn(name: str, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """One draw in float64."""
    return initializers.get(name)(kj.random.key(3).numpy(), shape, np.dtype("float64"))


@pytest.mark.parametrize(
    ("name", "std"),
    [
        ("glorot_normal", 0.05),  # √(2 / 800)
        ("he_normal", 0.0816496580927726),  # √(2 / 300)
        ("scaled_normal", 0.05773502691896258),  # 1 / √300
        ("lecun_normal", 0.05773502691896258),  # 1 / √300
        ("normal", 0.05),
    ],
)
def test_normal_ones(name, std):
    """Mean 0, the standard deviation of the source, and the kurtosis of a normal distribution, to four sigmas."""
    x = drawn(name)
    assert abs(x.mean()) < 4 * std / COUNT**0.5
    assert abs(x.std() / std - 1) < 4 / (2 * COUNT) ** 0.5
    assert abs((x**4).mean() / std**4 - 3) < 4 * (96 / COUNT) ** 0.5


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("glorot_uniform", 0.08660254037844387),  # √(6 / 800)
        ("he_uniform", 0.1414213562373095),  # √(6 / 300)
        ("lecun_uniform", 0.1),  # √(3 / 300)
        ("uniform", 0.05),
    ],
)
def test_uniform_ones(name, limit):
    """Inside the limit and reaching it, mean 0, standard deviation limit/√3, to four sigmas."""
    x = drawn(name)
    assert limit * 0.999 < np.abs(x).max() <= limit
    assert abs(x.mean()) < 4 * limit / (3 * COUNT) ** 0.5
    assert abs(x.std() * 3**0.5 / limit - 1) < 0.01


def test_fans_of_a_convolution():
    """Each of the 3·3 positions of a kernel counts: fan_in is 9·16."""
    assert abs(drawn("he_normal", (3, 3, 16, 200)).std() * 72**0.5 - 1) < 0.03


@pytest.mark.parametrize(("name", "value"), [("zeros", 0.0), ("constant", 0.0), ("ones", 1.0)])
def test_constants(name, value, judged):
    """One number everywhere, as PyTorch fills a tensor."""
    theirs = {"zeros": torch.nn.init.zeros_, "ones": torch.nn.init.ones_}
    expected = theirs.get(name, lambda x: torch.nn.init.constant_(x, value))(torch.empty(2, 3)).numpy()
    assert (drawn(name, (2, 3)) == value).all() and (expected == value).all()
    judged("PyTorch", f"initializers/{type(initializers.get(name)).__name__}", 1, worst(drawn(name, (2, 3)), expected))


def test_auto_looks_at_the_activation():
    """He's variance before ReLU, Glorot's limits before tanh (both by fan: 100 in, 100 out)."""
    relu, tanh = kj.nn.Dense(100, "relu", init="auto"), kj.nn.Dense(100, "tanh", init="auto")
    for layer in (relu, tanh):
        layer(np.ones((1, 100)), seed=0)
    assert abs(relu.kernel.numpy().std() / 0.02**0.5 - 1) < 0.05
    assert np.abs(tanh.kernel.numpy()).max() <= 0.03**0.5


def test_the_default_is_glorot_uniform_and_zeros():
    """Kernels inside ±√(6/(fan_in + fan_out)), biases 0."""
    layer = kj.nn.Dense(200)
    layer(np.ones((1, 100)), seed=0)
    limit = 0.02**0.5
    assert 0.99 * limit < np.abs(layer.kernel.numpy()).max() <= limit and not layer.bias.numpy().any()


def test_objects_and_configurations():
    """A name, an object and its saved configuration all give the same initialiser."""
    he = initializers.HeNormal()
    assert initializers.get("he") == he == initializers.get(he) == initializers.get(he.config())
    assert initializers.Normal(0, 2) != initializers.Normal(0, 1)


def test_unknown_names_list_the_known():
    """A misspelled initialiser is answered with the nearest."""
    with pytest.raises(UnknownNameError, match="Did you mean 'glorot_uniform'"):
        initializers.get("glorot_unifrom")


# --- distributions --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("initializer", "theirs"),
    [
        (initializers.Normal(1.0, 0.2), stats.norm(1.0, 0.2)),
        (initializers.Uniform(-1.0, 3.0), stats.uniform(-1.0, 4.0)),
        (initializers.TruncatedNormal(1.0, 0.2), stats.truncnorm(-2, 2, 1.0, 0.2)),
        (initializers.GlorotNormal(), stats.norm(0, (2 / 300) ** 0.5)),
        (initializers.GlorotUniform(), stats.uniform(-(0.02**0.5), 2 * 0.02**0.5)),
        (initializers.HeNormal(), stats.norm(0, 0.1)),
        (initializers.HeUniform(), stats.uniform(-(0.03**0.5), 2 * 0.03**0.5)),
        (initializers.LeCunNormal(), stats.norm(0, 0.005**0.5)),
        (initializers.LeCunUniform(), stats.uniform(-(0.015**0.5), 2 * 0.015**0.5)),
        (initializers.ScaledNormal(), stats.norm(0, 0.005**0.5)),
    ],
    ids=lambda v: type(v).__name__,
)
def test_distributions_are_scipys(initializer, theirs, dtype, judged):
    """20,000 draws by Kolmogorov and Smirnov; which numbers are drawn depends on the key alone."""
    x = initializer(kj.random.key(7).numpy(), (200, 100), np.dtype(dtype))
    test = stats.kstest(x.ravel().astype("float64"), theirs.cdf)
    assert x.dtype == dtype and test.pvalue > 0.01
    judged("SciPy, Kolmogorov-Smirnov", f"initializers/{type(initializer).__name__}", 1, test.statistic)
    np.testing.assert_array_equal(x, initializer(kj.random.key(7).numpy(), (200, 100), np.dtype(dtype)))
    assert not np.array_equal(x, initializer(kj.random.key(8).numpy(), (200, 100), np.dtype(dtype)))


def test_truncation_is_kerass():
    """`std` is that of the normal before it is cut at 2σ, as in Keras: what comes out spreads 0.8796 as wide."""
    x = initializers.TruncatedNormal(0.0, 0.5)(kj.random.key(0).numpy(), SHAPE, np.dtype("float64"))
    assert 0.999 < np.abs(x).max() <= 1.0
    assert x.std() == pytest.approx(0.5 * stats.truncnorm(-2, 2).std(), rel=0.005)


@pytest.mark.parametrize("shape", [(7, 3), (3, 7), (5, 5), (3, 3, 4, 8), (1, 1, 2, 9), (64, 200)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_orthogonal_kernels(shape, dtype, judged):
    """All singular values are `gain`, of a convolution's kernel as a matrix (field · in, out)."""
    kernel = initializers.Orthogonal(1.5)(kj.random.key(1).numpy(), shape, np.dtype(dtype))
    assert kernel.shape == shape and kernel.dtype == dtype
    matrix = kernel.reshape(-1, shape[-1]).astype("float64")
    found = np.linalg.svd(matrix, compute_uv=False)
    np.testing.assert_allclose(found, 1.5, atol=1e-5 if dtype == "float32" else 1e-12)
    judged("NumPy, singular values", "initializers/Orthogonal", 1, worst(found, 1.5) if dtype == "float64" else None)


def test_every_orthogonal_matrix_is_equally_likely(judged):
    """Entries of 3×3 matrices have mean 0 and, as SciPy's ortho_group, variance 1/3; uncorrected signs show in q₀₀."""
    q = np.array([initializers.Orthogonal()(kj.random.key(s).numpy(), (3, 3), np.dtype("float64")) for s in range(400)])
    assert np.abs(q.mean(0)).max() < 4 * (1 / 3 / 400) ** 0.5
    theirs = stats.ortho_group(3, seed=0).rvs(400)
    for i, j in ((0, 0), (1, 1), (2, 0)):
        test = stats.ks_2samp(q[:, i, j], theirs[:, i, j])
        assert test.pvalue > 0.01
        judged("SciPy, Kolmogorov-Smirnov", "initializers/Orthogonal", 1, test.statistic)


# --- fans -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("shape", [(784, 100), (5, 16, 32), (3, 3, 16, 32), (2, 3, 4, 5, 6)])
def test_fans_are_pytorchs(shape):
    """Of matrices and of kernels of convolutions, which PyTorch writes (out, in, *field)."""
    theirs = torch.nn.init._calculate_fan_in_and_fan_out(torch.empty((*shape[:-3:-1], *shape[:-2])))
    assert initializers.fans(shape) == theirs


@pytest.mark.parametrize(("groups", "shape"), [(1, (3, 3, 8, 6)), (4, (3, 3, 2, 12)), (64, (3, 3, 1, 64))])
def test_fans_in_groups_are_those_of_one_group(groups, shape):
    """A convolution in groups is several convolutions side by side, each with fans of its own."""
    alone = torch.empty((shape[-1] // groups, shape[-2], *shape[:-2]))
    assert initializers.fans(shape, groups) == torch.nn.init._calculate_fan_in_and_fan_out(alone)


@pytest.mark.parametrize("name", ["he_normal", "glorot_normal", "lecun_normal", "scaled_normal"])
def test_kernels_in_groups_spread_as_those_of_one_group(name):
    """By the fans of a group, 3·3·1 and 3·3·2."""
    kernel = initializers.Grouped(name, 300)(kj.random.key(0).numpy(), (3, 3, 1, 600), np.dtype("float64"))
    one = initializers.get(name)(kj.random.key(1).numpy(), (3, 3, 1, 2), np.dtype("float64"))
    many = [initializers.get(name)(kj.random.key(s).numpy(), one.shape, np.dtype("float64")) for s in range(300)]
    assert kernel.std() == pytest.approx(np.std(many), rel=4 / (2 * kernel.size) ** 0.5 * 1.5)


def test_orthogonal_in_groups():
    """Each group's block is orthogonal by itself."""
    kernel = initializers.Grouped("orthogonal", 3)(kj.random.key(0).numpy(), (2, 2, 4, 12), np.dtype("float64"))
    for block in np.split(kernel, 3, -1):
        np.testing.assert_allclose(np.linalg.svd(block.reshape(16, 4), compute_uv=False), 1, atol=1e-12)
    assert not np.allclose(kernel[..., :4], kernel[..., 4:8])


def test_auto_in_groups():
    """What a layer wraps for its groups still looks at the activation."""
    assert initializers.get(initializers.Grouped("auto", 2), "relu").initializer == initializers.HeNormal()


# --- what they are for ----------------------------------------------------------------------------------------------
def after_ten(init: str, activation: str | None) -> float:
    """Mean square of what comes out of ten layers of 400 units, by that of what goes in."""
    net = kj.Sequential([kj.nn.Dense(400, activation, init=init, use_bias=False) for _ in range(10)])
    x = np.random.default_rng(0).normal(size=(100, 400)).astype("float32")
    return float((net(x, seed=3).numpy() ** 2).mean() / (x**2).mean())


@pytest.mark.parametrize(
    ("init", "activation", "kept"),
    [
        ("lecun_normal", None, True),
        ("lecun_uniform", None, True),
        ("glorot_normal", None, True),
        ("glorot_uniform", None, True),
        ("he_normal", "relu", True),
        ("he_uniform", "relu", True),
        ("lecun_normal", "selu", True),
        ("glorot_uniform", "relu", False),
        ("lecun_normal", "relu", False),
        ("he_normal", None, False),
        ("uniform", None, False),
    ],
)
def test_ten_layers_keep_the_size_of_their_input(init, activation, kept):
    """Where the source says so; half or double at each layer, a thousandth or thousandfold after ten, elsewhere."""
    ratio = after_ten(init, activation)
    assert (0.5 < ratio < 2) if kept else (ratio < 0.01 or ratio > 100)


def test_orthogonal_layers_keep_every_length():
    """Exactly, however many there are."""
    assert after_ten("orthogonal", None) == pytest.approx(1, rel=1e-5)


# --- what may be given ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("value", [0.1, 2, np.float32(0.5)])
def test_a_number_is_a_constant(value):
    """bias_init=0.1 starts all biases there, and is saved as the number."""
    layer = kj.nn.Dense(3, bias_init=value)
    layer(np.ones((1, 2)))
    assert layer.bias.numpy().tolist() == [np.float32(value)] * 3
    again = rebuilt(json.loads(json.dumps(layer.config())))
    again(np.ones((1, 2)))
    assert again.bias.numpy().tolist() == layer.bias.numpy().tolist()


def test_identity_passes_on(judged):
    """A square layer that starts with it returns its input; a wider one pads with 0."""
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    np.testing.assert_array_equal(kj.nn.Dense(3, init="identity")(x).numpy(), x)
    np.testing.assert_array_equal(kj.nn.Dense(5, init="identity")(x).numpy(), np.pad(x, ((0, 0), (0, 2))))
    theirs = torch.nn.init.eye_(torch.empty(3, 5)).numpy()
    judged("PyTorch", "initializers/IdentityMatrix", 1, worst(drawn("identity", (3, 5)), theirs))


@pytest.mark.parametrize("cls", sorted(initializers.CLASSES))
def test_configurations_make_the_same_again(cls):
    """Through JSON, for every class."""
    made = initializers.CLASSES[cls]()
    again = initializers.get(json.loads(json.dumps(made.config())))
    shape, dtype = (6, 5), np.dtype("float64")
    assert again == made == initializers.get(initializers.CLASSES[cls])
    np.testing.assert_array_equal(*(f(kj.random.key(2).numpy(), shape, dtype) for f in (made, again)))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: initializers.get(np.inf), DataError, "a starting value is a finite number, got inf"),
        (lambda: initializers.get(True), UnknownNameError, "unknown initializer True"),
        (lambda: initializers.TruncatedNormal(std=-1.0), DataError, "std is at least 0, got -1.0"),
        (
            lambda: kj.nn.Dense(2, bias_init="orthogonal")([[1.0]]),
            ShapeError,
            "kernels of two axes or more, got the shape (2,)",
        ),
        (lambda: kj.nn.Dense(2, bias_init="identity")([[1.0]]), ShapeError, "is for matrices, got the shape (2,)"),
        (
            lambda: initializers.Initializer()(kj.random.key(0).numpy(), (1,), np.dtype("float32")),
            KedjaError,
            "define draw",
        ),
    ],
)
def test_answers(make, error, message):
    """What came, and what it is for."""
    with pytest.raises(error) as raised:
        make()
    assert message in str(raised.value)


# --- identical starting weights -------------------------------------------------------------------------------------
def net_of(*layers: kj.nn.Layer) -> kj.Sequential:
    """Built for three inputs."""
    return kj.Sequential(list(layers)).build((None, 3), seed=0)


@pytest.mark.parametrize(
    ("layers", "found"),
    [
        (lambda: [kj.nn.Dense(4, "tanh"), kj.nn.Dense(2)], []),
        (lambda: [kj.nn.Dense(4, "tanh", init="zeros"), kj.nn.Dense(2)], ["dense_1.kernel"]),
        (
            lambda: [kj.nn.Dense(4, init=0.5), kj.nn.Dense(4, init="ones"), kj.nn.Dense(2)],
            ["dense_1.kernel", "dense_2.kernel"],
        ),
        (lambda: [kj.nn.Dense(1, init="zeros"), kj.nn.Dense(2)], []),  # one unit alone
        (lambda: [kj.nn.Dense(2, init="zeros")], []),  # softmax regression may start at 0: its targets differ
        (lambda: [kj.nn.Dense(2, init="zeros"), kj.nn.Activation("softmax")], []),
        (lambda: [kj.nn.PReLU(()), kj.nn.Dense(2)], []),
        (lambda: [kj.Sequential([kj.nn.Dense(4, init="zeros")], name="body"), kj.nn.Dense(2)], ["body.dense_1.kernel"]),
        (
            lambda: [kj.nn.Dense(4), kj.Sequential([kj.nn.Dense(4, init="ones"), kj.nn.Dense(2)])],
            ["sequential_1.dense_1.kernel"],
        ),
    ],
)
def test_identical_units_are_found(layers, found):
    """By the path of the kernel, in hidden layers only (scope 4.6)."""
    assert initializers.symmetric(net_of(*layers())) == found


def test_identical_units_stay_identical():
    """What the warning is for: after training, four units that started alike are still one."""
    net = net_of(kj.nn.Dense(4, "tanh", init=0.3), kj.nn.Dense(1, init=0.2))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 3)).astype("float32")
    before = net.layers[0].kernel.numpy().copy()
    net.fit(x, x[:, :1] * x[:, 1:2], loss="mse", epochs=20, batch_size=5, seed=0)
    kernel = net.layers[0].kernel.numpy()
    assert np.abs(kernel - before).max() > 0.01 and initializers.symmetric(net) == ["dense_1.kernel"]
    np.testing.assert_allclose(kernel, kernel[:, :1].repeat(4, 1), rtol=1e-5)


def test_identical_units_need_weights():
    """A model that has met no data has none to compare."""
    with pytest.raises(KedjaError, match="has no weights yet"):
        initializers.symmetric(kj.Sequential([kj.nn.Dense(2)]))
