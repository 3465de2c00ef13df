"""Starting values have the spread their sources say (scope 4.6), measured on large draws."""

import numpy as np
import pytest

import kedja as kj
from kedja.errors import UnknownNameError
from kedja.nn import initializers

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


@pytest.mark.parametrize(("name", "value"), [("zeros", 0.0), ("constant", 0.0)])
def test_constants(name, value):
    """One number everywhere."""
    assert (drawn(name, (2, 3)) == value).all()


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
