"""What a newcomer gets wrong is answered with the layer, what came, what was expected, what to do, and the line."""

import numpy as np
import pytest

import kedja as kj
from kedja.errors import GraphError, KedjaError, ShapeError, UnknownNameError


def refused(make) -> str:
    """The message of the error that `make` raises."""
    with pytest.raises((KedjaError, TypeError, AttributeError)) as error:
        make()
    return str(error.value)


def test_a_shape_error_says_everything():
    """Which layer, what came, what it was built for, what to do, and the line that made the layer."""
    net = kj.Sequential([kj.nn.Dense(4), kj.nn.Dense(1)]).build((None, 3))
    with pytest.raises(ShapeError) as error:
        net(np.ones((2, 5)))
    text = str(error.value)
    assert text.startswith('Dense "dense_1": was built for 3 features and got an input of shape (2, 5).')
    assert "Give the same number of columns as at the first call, or make a new layer." in text
    assert "at test_messages.py:" in text and "net = kj.Sequential(" in text


def test_the_innermost_layer_is_named_once():
    """An error inside nested models names the layer where it arose, and no other."""
    net = kj.Sequential([kj.Sequential([kj.nn.Reshape((2, 2))], name="body"), kj.nn.Dense(1)])
    text = refused(lambda: net(np.ones((2, 5))))
    assert (
        text.startswith('Reshape "body.reshape_1": cannot reshape (2, 5)') and "Sequential" not in text.split("\n")[0]
    )


def test_the_line_of_an_own_layer_is_the_line_of_its_code():
    """In a layer of the user's the fault lies in what the user wrote there."""

    class Broken(kj.nn.Layer):
        def call(self, x):
            return x @ kj.ones((7, 7))  # this line

    assert "return x @ kj.ones((7, 7))  # this line" in refused(lambda: Broken()(np.ones((2, 5))))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: kj.nn.Dense(4, kernel_initializer="he"), "no argument 'kernel_initializer': kedja spells it init="),
        (lambda: kj.nn.Dense(4, input_shape=(3,)), "found at the first call; net.build((None, 784)) says it earlier"),
        (lambda: kj.nn.Dense(4, bias=False), "kedja spells it use_bias="),
        (lambda: kj.nn.Dense(4, colour=1), "it takes units, activation, use_bias, init, bias_init, mask,"),
        (lambda: kj.nn.Dense(), "missing a required argument: 'units'; it takes units, activation"),
        (lambda: kj.nn.Dense(4.0), "a whole number ≥ 1; got 4.0"),
        (lambda: kj.nn.Dense(0), "a whole number ≥ 1; got 0"),
        (lambda: kj.nn.Dense(True), "a whole number ≥ 1; got True"),
        (lambda: kj.nn.Dense(3, "sigmod"), "unknown activation 'sigmod'. Did you mean 'sigmoid'? Known: celu, elu"),
        (lambda: kj.nn.Dense(3, init="hee")([[1.0]]), "Dense: unknown initializer 'hee'. Did you mean 'he'? Known:"),
        (lambda: kj.nn.Dense(3, name=7), "the name of a layer is text, got 7"),
        (lambda: kj.nn.Dense(3, dtype="float23"), "unknown dtype 'float23'. Did you mean"),
        (lambda: kj.nn.Dense(3)(1.0), "needs at least one axis of features"),
        (lambda: kj.nn.Flatten()(1.0), "there must be an axis of examples"),
        (lambda: kj.nn.Reshape("ab"), "a shape is a whole number or a tuple of them"),
        (lambda: kj.nn.Layer()([1.0]), "Layer does not say what it computes: define call(self, x)"),
        (lambda: kj.nn.Dense(3).kernel, "its weights are made when it first meets data"),
        (lambda: kj.nn.Dense(3).forward, "a layer is called: net(x)"),
        (lambda: kj.Sequential().train(), "net(x, training=True); fit does it"),
        (lambda: kj.Sequential().zero_grad(), "gradients are graphs and do not pile up"),
        (lambda: kj.Sequential([kj.nn.Dense(2)]).build(784), "a shape is a tuple like (None, 784)"),
        (lambda: kj.Input((3,)).reshape, "an Input has no 'reshape'"),
    ],
)  # fmt: skip
def test_answers(make, message):
    """The message names our spelling, the known names, or what was expected."""
    assert message in refused(make)


def test_randomness_without_a_key():
    """A layer that draws says how to give it a key."""

    class Noise(kj.nn.Layer):
        def call(self, x):
            return x + kj.random.normal(self.key(), x.shape)

    with pytest.raises(GraphError, match=r"call it with key=kj.random.key"):
        Noise()(np.ones((2, 2)))
    a, b = (Noise()(np.ones((2, 2)), key=kj.random.key(s)).numpy() for s in (0, 1))
    assert not np.array_equal(a, b)


def test_numpy_integers_are_whole_numbers():
    """A size computed with NumPy serves as a number of units."""
    assert kj.nn.Dense(np.int64(3))([[1.0]]).shape == (1, 3)


def test_unknown_names_are_their_own_error():
    """Programs can tell a misspelled name from other mistakes."""
    with pytest.raises(UnknownNameError):
        kj.nn.Activation("swich")
