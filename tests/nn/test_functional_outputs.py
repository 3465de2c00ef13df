"""Functional models with layers that give several tensors: states of recurrent layers, weights of attention, models."""

import keras
import numpy as np
import pytest

import kedja as kj
from kedja.errors import GraphError

nn = kj.nn
rng = np.random.default_rng(0)


def test_states_as_in_keras():
    """An encoder whose states begin a decoder gives Keras's numbers from Keras's weights."""
    inputs = keras.Input((5, 3))
    y, h, c = keras.layers.LSTM(4, return_sequences=True, return_state=True)(inputs)
    out, h2, c2 = keras.layers.LSTM(4, return_state=True)(y, initial_state=[h, c])
    theirs = keras.Model(inputs, [keras.layers.Dense(2)(out), keras.layers.Add()([h2, c2])])

    x = kj.Input((5, 3))
    y, h, c = nn.LSTM(4, return_sequences=True, return_state=True)(x)
    ones = nn.GlobalAveragePool()(y)  # a second thing made of one of the parts
    out, h2, c2 = nn.LSTM(4, return_state=True)(y, Whole()(y), h, c)
    ours = kj.Model(x, [nn.Dense(2)(out), nn.Add()(h2, c2), ones]).build()
    state = [v for v in ours.state.values() if v.trainable]
    for variable, w in zip(state, theirs.get_weights(), strict=True):
        variable.assign(w)
    data = rng.normal(size=(7, 5, 3)).astype(np.float32)
    for a, b in zip(ours.predict(data)[:2], theirs.predict(data, verbose=0), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


class Whole(kj.nn.Layer):
    """A mask that leaves nothing out."""

    def call(self, x):
        return kj.ones((x.shape[0], x.shape[1]))


def test_only_some_parts_are_used():
    """The state alone is an output of the model; a part may be used twice."""
    x = kj.Input((4, 2))
    _, h, c = nn.LSTM(3, return_state=True)(x)
    net = kj.Model(x, nn.Concatenate()(h, c, h)).build()
    assert net.predict(np.zeros((2, 4, 2))).shape == (2, 9)


def test_it_learns_and_is_saved(tmp_path):
    """Gradients flow through parts; a saved model gives the same bits, and its summary the same table."""
    x = kj.Input((4, 2))
    _, h, c = nn.LSTM(3, return_state=True)(x)
    net = kj.Model(x, nn.Dense(1)(nn.Add()(h, c)))
    data, target = rng.normal(size=(32, 4, 2)).astype(np.float32), rng.normal(size=(32, 1)).astype(np.float32)
    history = net.fit(data, target, loss="mse", epochs=20, seed=0, optimizer=kj.optim.Adam(0.05))
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    other = kj.load(net.save(tmp_path / "net"))
    np.testing.assert_array_equal(other.predict(data), net.predict(data))
    assert str(other.summary()) == str(net.summary())


def test_summary_of_parts():
    """The row of such a layer has all shapes, and what follows stands on it."""
    x = kj.Input((4, 2))
    _, h, c = nn.LSTM(3, return_state=True, name="reader")(x)
    rows = kj.Model(x, nn.Dense(1, name="out")(nn.Add(name="both")(h, c))).summary().rows
    assert rows[0].output == ((None, 3), (None, 3), (None, 3)) and rows[1].inputs == ("reader",)


@pytest.mark.parametrize(
    ("layer", "shape", "shapes"),
    [
        (nn.GRU(3, return_state=True), (4, 2), [(2, 3), (2, 3)]),
        (nn.Bidirectional(nn.LSTM(3, return_state=True)), (4, 2), [(2, 6)] + [(2, 3)] * 4),
        (nn.MultiHeadAttention(2, return_weights=True), (5, 4), [(2, 5, 4), (2, 2, 5, 5)]),
    ],
)
def test_layers_with_several_outputs(layer, shape, shapes):
    """Each layer of the library that can return several tensors says how many."""
    x = kj.Input(shape)
    parts = layer(x)
    found = kj.Model(x, list(parts))(np.zeros((2, *shape), np.float32))
    assert [f.shape for f in found] == shapes


def test_models_with_several_outputs_are_such_layers():
    """A model with two outputs is called inside another, and so is a Sequential that ends in a layer with several."""
    x = kj.Input((3,))
    inner = kj.Model(x, [nn.Dense(2)(x), nn.Dense(4)(x)])
    outer = kj.Input((3,))
    a, b = inner(outer)
    assert kj.Model(outer, nn.Concatenate()(b, a))(np.zeros((1, 3))).shape == (1, 6)
    z = kj.Input((4, 2))
    y, h = kj.Sequential([nn.LayerNorm(), nn.GRU(3, return_state=True)])(z)
    assert kj.Model(z, nn.Add()(y, h))(np.zeros((1, 4, 2))).shape == (1, 3)


class Halves(kj.nn.Layer):
    """Two halves of the features; says that there are two."""

    gives = 2

    def call(self, x):
        n = x.shape[-1] // 2
        return x[:, :n], x[:, n:]


class Silent(kj.nn.Layer):
    """Returns two and does not say so."""

    def call(self, x):
        return x, x


class Wrong(Halves):
    """Says three, returns two."""

    gives = 3


def test_layers_of_ones_own():
    """`gives` says how many; without it unpacking tells of it, and a wrong number is named when the model is called."""
    x = kj.Input((4,))
    a, b = Halves()(x)
    assert kj.Model(x, a - b)(np.ones((1, 4))).shape == (1, 2)
    with pytest.raises(GraphError, match="gives = 2"):
        a, b = Silent()(x)
    a, b, c = Wrong()(x)
    with pytest.raises(GraphError, match="Wrong says gives = 3 and returned 2"):
        kj.Model(x, a + b + c)(np.ones((1, 4)))
