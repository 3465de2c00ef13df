"""Freezing, setting free, and another head on a body that has learned."""

import numpy as np
import pytest
import torch

import kedja as kj
from kedja.errors import KedjaError

RNG = np.random.default_rng(2)
X = RNG.normal(size=(40, 4)).astype("float32")
Y = (X[:, 0] > 0).astype(int)
HOW = {"loss": "cross_entropy", "batch_size": 8, "verbose": 0, "engine": "reference", "seed": 0}


def chain():
    """Two hidden layers with a batch norm between them, and a head."""
    layers = [kj.nn.Dense(6, "tanh"), kj.nn.BatchNorm(), kj.nn.Dense(5, "relu"), kj.nn.Dense(3)]
    return kj.Sequential(layers).build((None, 4), seed=1)


def graph():
    """A functional model with a skip, a head and a softmax of its own."""
    x = kj.Input((4,))
    h = kj.nn.Dense(4, activation="tanh", name="inner")(x)
    body = kj.nn.Dense(5, activation="relu", name="outer")(h + x)
    net = kj.Model(x, kj.nn.Activation("softmax")(kj.nn.Dense(3, name="old")(body)))
    return net.build(seed=1)


@pytest.mark.parametrize("make", [chain, graph])
def test_a_new_head_on_a_copied_body(make):
    """The body gives what it gave, the new net learns, and the old one stays as it was."""
    net = make()
    before, said = net.get_weights(), net.predict(X)
    cut = "dense_2" if make is chain else "outer"
    inside = net.outputs_of(cut, X).numpy()
    other = net.with_head(kj.nn.Dense(2, name="new")).build((None, 4), seed=5)
    np.testing.assert_array_equal(other.outputs_of(cut, X).numpy(), inside)
    weights = [v.numpy() for path, v in other.state.items() if path.startswith("new.")]
    theirs = torch.nn.functional.linear(torch.tensor(inside), torch.tensor(weights[0].T), torch.tensor(weights[1]))
    np.testing.assert_allclose(other.predict(X), theirs.numpy(), rtol=1e-4, atol=1e-5)
    other.fit(X, Y, optimizer="adam", epochs=2, **HOW)
    for a, b in zip(before, net.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(net.predict(X), said)


@pytest.mark.parametrize("make", [chain, graph])
def test_a_shared_body_is_one(make):
    """With share=True the layers are the same, and training the new net changes the old."""
    net = make()
    other = net.with_head(kj.nn.Dense(2, name="new"), share=True)
    before = net.predict(X)
    other.fit(X, Y, optimizer="adam", epochs=1, **HOW)
    assert not np.allclose(net.predict(X), before)


def test_the_head_is_drawn_from_the_seed_of_fit():
    """Two copies fitted with one seed are equal; saved and loaded the new net is itself."""
    net = chain()
    a, b = (net.with_head([kj.nn.Dropout(0.1), kj.nn.Dense(2)]).freeze(upto=1) for _ in range(2))
    for one in (a, b):
        one.fit(X, Y, optimizer="adam", epochs=1, **HOW)
    for u, v in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(u, v)


@pytest.mark.parametrize("make", [chain, graph])
def test_saved_and_loaded(make, tmp_path):
    """A net with a new head is saved as any other, frozen layers as frozen."""
    other = make().with_head(kj.nn.Dense(2)).freeze(upto=1).build((None, 4), seed=5)
    again = kj.load(other.save(tmp_path))
    np.testing.assert_array_equal(again.predict(X), other.predict(X))
    assert [layer.trainable for layer in again.layers] == [layer.trainable for layer in other.layers]


def test_frozen_means_nothing_moves():
    """No gradient, no decay, no penalty, no statistics: frozen layers keep every bit; what is free learns."""
    net = chain().freeze(upto="batch_norm_1")
    before = {path: v.numpy().copy() for path, v in net.state.items()}
    rule = kj.optim.AdamW(0.1, weight_decay=0.5)
    net.fit(X, Y, optimizer=rule, regularizer=kj.regularizers.L2(0.5), epochs=2, **HOW)
    for path, v in net.state.items():
        same = np.array_equal(before[path], v.numpy())
        assert same == path.startswith(("dense_1", "batch_norm_1")), path


def test_places_by_name_and_by_number():
    """A name includes its layer, a number counts as in a list; unfreezing goes from the output down."""
    net = chain()

    def free():
        return "".join("01"[layer.trainable] for layer in net.layers)

    net.freeze(upto="batch_norm_1")
    assert free() == "0011"
    net.freeze(upto=-1)
    assert free() == "0001"
    net.unfreeze(downto="dense_2")
    assert free() == "0011"
    net.unfreeze(downto=-3)
    assert free() == "0111"
    net.freeze().unfreeze()
    assert free() == "1111"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: kj.Sequential([kj.nn.Dense(2)]).with_head(kj.nn.Dense(1)), "learned nothing yet"),
        (lambda: kj.Sequential([kj.nn.Dense(2)]).build((None, 2)).with_head(kj.nn.Dense(1)), "nothing is left"),
        (lambda: kj.Sequential([kj.nn.Conv1D(2, 1), kj.nn.Flatten()]).build((None, 4, 1)).with_head(kj.nn.Dense(1)),
         "its last layer with weights is Conv1D"),
        (lambda: chain().with_head(kj.nn.Dense), "A class is not a layer yet"),
        (lambda: chain().with_head(3), "takes a layer"),
        (lambda: chain().with_head(kj.nn.Dense(1), after="dense_9"), "dense_9"),
        (lambda: chain().freeze(upto="dense_9"), "dense_9"),
        (lambda: chain().freeze(upto=1.5), "got 1.5"),
        (lambda: chain().freeze().fit(X, Y, **HOW), "every layer is frozen"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, says):
    """Each mistake gets one clear message."""
    with pytest.raises(KedjaError, match=says):
        call()


def test_after_names_the_cut():
    """`after` keeps a body that ends in something else than a Dense."""
    net = kj.Sequential([kj.nn.Conv1D(2, 1), kj.nn.Flatten()]).build((None, 4, 1), seed=0)
    other = net.with_head(kj.nn.Dense(3), after="flatten_1").build((None, 4, 1), seed=0)
    assert other.predict(X[:, :, None]).shape == (40, 3)
    cut = graph().with_head(kj.nn.Dense(2), after="inner").build((None, 4), seed=0)
    assert cut.predict(X).shape == (40, 2) and len(cut.layers) == 2
