"""A model as plain data and back: the same layers, the same names, the same numbers once the weights are set."""

import json

import numpy as np
import pytest

import kedja as kj
from kedja.errors import FormatError
from kedja.nn.layers.config import rebuilt

X = np.random.default_rng(0).normal(size=(3, 6))


class Gate(kj.nn.Layer):
    """A layer of the user's, with a setting."""

    def __init__(self, power: int = 1, name: str | None = None) -> None:
        super().__init__(name)
        self.power = power

    def call(self, x):
        return kj.sigmoid(x) ** self.power


def functional() -> kj.Model:
    """Shared layer, arithmetic, two outputs."""
    x = kj.Input((6,), name="x")
    shared = kj.nn.Dense(6, "tanh", name="twice")
    h = 2 * shared(x) - shared(shared(x)) / 3
    return kj.Model(x, [kj.nn.Dense(2, "softmax")(h), 1 / (1 + h * h)])


MODELS = {
    "dense": lambda: kj.Sequential([kj.nn.Dense(4, "relu", init="auto", use_bias=False), kj.nn.Dense(2, name="out")]),
    "shapes": lambda: kj.Sequential(
        [kj.nn.Reshape((2, 3)), kj.nn.Flatten(), kj.nn.Activation("sigmoid"), kj.nn.Dense(1)]
    ),
    "scales": lambda: kj.Sequential([kj.nn.Normalize().adapt(X), kj.nn.Dense(1), kj.nn.Denormalize().adapt(X[:, :1])]),
    "initialisers": lambda: kj.Sequential([kj.nn.Dense(2, init=kj.initializers.Normal(0, 0.3), bias_init="uniform")]),
    "nested": lambda: kj.Sequential([kj.Sequential([kj.nn.Dense(3)], name="body"), functional_part()], dtype="float64"),
    "functional": functional,
    "own": lambda: kj.Sequential([Gate(power=2), kj.nn.Dense(1)]),
}


def functional_part() -> kj.Model:
    """A skip around a layer, to be put into another model."""
    x = kj.Input((3,))
    return kj.Model(x, x + kj.nn.Dense(3, "tanh")(x), name="skip")


def outputs(net: kj.Module) -> list[np.ndarray]:
    """What the model makes of X, one array for each output."""
    y = net(X)
    return [t.numpy() for t in (y if isinstance(y, tuple) else (y,))]


@pytest.mark.parametrize("name", MODELS)
def test_round_trip(name):
    """Through JSON and back: equal configuration, equal paths and, with the weights set, equal numbers."""
    net = MODELS[name]().build((None, 6), seed=1)
    config = net.config()
    again = rebuilt(json.loads(json.dumps(config)), {"Gate": Gate}).build((None, 6), seed=2)
    assert again.config() == config and list(again.state) == list(net.state)
    again.set_weights(net.get_weights())
    for a, b in zip(outputs(net), outputs(again), strict=True):
        np.testing.assert_array_equal(a, b)


def test_frozen_layers_stay_frozen():
    """What was not to learn is not to learn after loading either."""
    net = kj.Sequential([kj.nn.Dense(2), kj.nn.Dense(1)])
    net.layers[0].trainable = False
    assert [layer.trainable for layer in rebuilt(net.config()).layers] == [False, True]


def test_functions_cannot_be_saved():
    """Code is never written into a model file; the message says what to do instead."""
    with pytest.raises(FormatError, match="Use a named activation, or make it a Layer class of its own"):
        kj.Sequential([kj.nn.Dense(1, lambda z: z * z)]).config()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"class": "Conv9D"}, "a class 'Conv9D' that kedja does not know"),
        ({"class": "Dense", "sides": 3}, "does not fit the class Dense: Dense has no argument 'sides'"),
        ({"class": "Model", "layers": {}}, "does not fit the class Model: 'calls'"),
    ],
)
def test_foreign_configurations_are_refused(config, message):
    """Unknown classes and arguments are named."""
    with pytest.raises(FormatError) as error:
        rebuilt(config)
    assert message in str(error.value)
