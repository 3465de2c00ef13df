"""The table of a model: its rows, its totals, and that asking for it changes nothing."""

import numpy as np
import pytest

import kedja as kj
from kedja.errors import GraphError, UnknownNameError


def digits() -> kj.Sequential:
    """784-100-10."""
    return kj.Sequential([kj.nn.Dense(100, "sigmoid"), kj.nn.Dense(10, "softmax")])


def test_the_table():
    """Names, kinds, output shapes, parameters, totals and the note on the softmax, as plain text."""
    assert str(digits().summary((None, 784))) == (
        "layer    kind   output       parameters  multiply-adds\n"
        "──────────────────────────────────────────────────────\n"
        "dense_1  Dense  (None, 100)      78,500         78,400\n"
        "dense_2  Dense  (None, 10)        1,010          1,000\n"
        "──────────────────────────────────────────────────────\n"
        "79,510 parameters, all trainable\n"
        "79,400 multiply-adds and 110 activations for each example; depth 3, width 784\n"
        "Weights take 310.6 KiB; training on batches of 32 takes about 1.3 MiB.\n"
        'A cross-entropy uses the pre-activation of the softmax (from_logits="auto").'
    )


def test_looking_builds_nothing():
    """A summary before the first call leaves the draw of the weights to what comes after."""
    looked, plain = digits(), digits()
    looked.summary((None, 784))
    assert not looked.built and not looked.state
    for a, b in zip(*(n.build((None, 784), seed=3).get_weights() for n in (looked, plain)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_after_the_first_call_no_shape_is_needed():
    """A model that has met data knows its shapes."""
    net = digits()
    net(np.zeros((2, 784)))
    assert [r.output for r in net.summary().rows] == [(None, 100), (None, 10)]


def test_without_a_shape_it_says_how():
    """Nothing is known yet: the message shows the call."""
    with pytest.raises(GraphError, match=r"say its shape, as in net.summary\(\(None, 784\)\), or fit it first"):
        digits().summary()


def test_frozen_parameters():
    """Totals tell what learns from what does not."""
    net = digits().build((None, 784))
    net.layers[0].trainable = False
    s = net.summary()
    assert (s.parameters, s.trainable, s.frozen) == (79510, 1010, 78500)
    assert s.totals == "79,510 parameters: 1,010 trainable, 78,500 frozen" and "78,500 frozen" in str(s).splitlines()[2]


def test_functional_models_know_their_inputs():
    """Shared layers stand there once, arithmetic as layers of its own."""
    x = kj.Input((3,))
    shared = kj.nn.Dense(3, "tanh", name="shared")
    s = kj.Model(x, [kj.nn.Dense(1, "sigmoid")(shared(shared(x)) + x), shared(x)]).summary()
    assert [(r.name, r.kind, r.output, r.parameters) for r in s.rows] == [
        ("shared", "Dense", (None, 3), 12),
        ("arithmetic_1", "Arithmetic", (None, 3), 0),
        ("dense_1", "Dense", (None, 1), 4),
    ]
    assert s.parameters == 16 and s.notes == [
        'A binary cross-entropy uses the pre-activation of the sigmoid (from_logits="auto").'
    ]


def test_classes_show_what_lies_inside():
    """Layers of inner modules under their paths, and the model's own parameters."""

    class Net(kj.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = kj.Sequential([kj.nn.Dense(2), kj.nn.Dense(3)])

        def build(self, x):
            self.scale = self.parameter("scale", (3,))

        def call(self, x):
            return self.body(x) * self.scale

    rows = Net().summary((None, 4)).rows
    assert [(r.name, r.parameters) for r in rows] == [
        ("body.dense_1", 10),
        ("body.dense_2", 9),
        ("(the model itself)", 3),
    ]


def test_layouts_of_images():
    """Channels last as we hold them; `layout="chw"` prints them first."""
    net = kj.Sequential([kj.nn.Reshape((28, 20, 3))])
    assert net.summary((None, 1680)).rows[0].output == (None, 28, 20, 3)
    assert net.summary((None, 1680), layout="chw").rows[0].output == (None, 3, 28, 20)
    with pytest.raises(UnknownNameError, match="unknown layout 'nchw'. Did you mean 'chw'"):
        net.summary((None, 1680), layout="nchw")


def test_models_without_parameters():
    """A model that only reshapes says so."""
    assert kj.Sequential([kj.nn.Flatten()]).summary((None, 2, 2)).totals == "no parameters"


def test_statistics_are_told_apart():
    """What batch normalisation keeps is counted, and not among the parameters."""
    text = str(kj.Sequential([kj.nn.Dense(4), kj.nn.BatchNorm()]).summary((None, 3)))
    assert "24 parameters, all trainable\n" in text and "\n8 statistics are kept with them" in text


def test_html_is_escaped():
    """In a notebook names are text, never markup."""
    html = kj.Sequential([kj.nn.Dense(1, name="<b>")]).summary((None, 2))._repr_html_()
    assert "<td" in html and "&lt;b&gt;" in html and "<b>" not in html and "3 parameters" in html
