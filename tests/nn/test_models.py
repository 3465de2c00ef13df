"""Models in a row, as a graph of calls, or as a class: what they compute, and how their weights are named."""

import numpy as np
import pytest

import kedja as kj
from kedja.errors import GraphError, ShapeError, UnknownNameError

X = np.random.default_rng(3).normal(size=(5, 4))


class Block(kj.Module):
    """A residual block that notes how it was called."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner, self.out = kj.nn.Dense(width, "tanh"), kj.nn.Dense(width)
        self.seen: list[bool] = []

    def call(self, x, training):
        self.seen.append(training)
        return x + self.out(self.inner(x))


class Nested(kj.Module):
    """Blocks in a list, heads in a dict, and a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = [Block(4), Block(4)]
        self.heads = {"mean": kj.nn.Dense(1), "spread": kj.nn.Dense(1)}

    def build(self, x):
        self.shift = self.parameter("shift", (4,), "zeros")

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return self.heads["mean"](x + self.shift) * self.heads["spread"](x)


def two_towers() -> kj.Model:
    """Two inputs through one shared layer, a skip with arithmetic, two outputs."""
    a, b = kj.Input((4,), name="a"), kj.Input((4,), name="b")
    shared = kj.nn.Dense(4, "tanh")
    joined = 1 - shared(a) * 2 + shared(b) / (b * b + 1)
    return kj.Model([a, b], [kj.nn.Dense(2)(joined), -joined])


# --- in a row -------------------------------------------------------------------------------------------------------
def test_sequential_is_the_composition_of_its_layers():
    """The last layer's function of the function of the first."""
    net = kj.Sequential([kj.nn.Dense(3, "tanh"), kj.nn.Dense(2)]).build((None, 4))
    first, second = net.layers
    np.testing.assert_array_equal(net(X).numpy(), second(first(X)).numpy())


def test_count_of_the_notes():
    """784-100-10 has 784·100 + 100 + 100·10 + 10 parameters."""
    net = kj.Sequential([kj.nn.Dense(100, "sigmoid"), kj.nn.Dense(10)]).build((None, 784))
    assert net.count_parameters() == 79510


def test_names_are_counted_in_each_model():
    """A second model starts again at 1, and a given name is not given twice."""
    for _ in range(2):
        net = kj.Sequential([kj.nn.Dense(1), kj.nn.Dense(1, name="dense_2"), kj.nn.Dense(1), kj.nn.Flatten()])
        assert [path for path, _ in net.layers_by_path()] == ["dense_1", "dense_2", "dense_3", "flatten_1"]


def test_models_inside_models_have_dotted_paths():
    """The path of a weight leads through the models it lies in."""
    net = kj.Sequential([kj.Sequential([kj.nn.Dense(2)], name="body"), kj.nn.Dense(1)]).build((None, 3))
    assert list(net.state) == ["body.dense_1.kernel", "body.dense_1.bias", "dense_1.kernel", "dense_1.bias"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: kj.Sequential([kj.nn.Dense]), "write Dense(10), not Dense"),
        (lambda: kj.Sequential(kj.nn.Dense(1), kj.nn.Dense(1)), "takes one list of layers"),
        (lambda: kj.Sequential(kj.nn.Dense(1)), "takes one list of layers"),
        (lambda: kj.Sequential([kj.nn.Dense(1)] * 2), "use kj.Model to share a layer"),
        (lambda: kj.Sequential([kj.nn.Dense(1, name="a"), kj.nn.Dense(2, name="a")]), "names must differ"),
        (lambda: kj.Sequential([kj.nn.Dense(1)]).build((None, 2)).add(kj.nn.Dense(1)), "is built already"),
        (lambda: kj.Sequential([kj.nn.Dense(1)]).build(), "say the shape of the input"),
    ],
    ids=["class", "arguments", "one layer", "twice", "names", "add", "no shape"],
)
def test_sequential_refuses(make, message):
    """What cannot be a row of layers is refused with the way to write it."""
    with pytest.raises(GraphError) as error:
        make()
    assert message in str(error.value)


def test_add_before_the_first_call():
    """Layers can be added one by one, and are part of the configuration."""
    net = kj.Sequential()
    net.add(kj.nn.Dense(3, "relu"))
    net.add(kj.nn.Dense(1))
    assert net(X).shape == (5, 1) and len(net.config()["layers"]) == 2


# --- as a graph -----------------------------------------------------------------------------------------------------
def test_functional_model_computes_what_is_written():
    """Branches, a shared layer, arithmetic with numbers on both sides, several outputs: as by hand with NumPy."""
    net = two_towers().build(seed=1)
    w1, b1, w2, b2 = (w.astype("float64") for w in net.get_weights())
    a, b = X, X[::-1]
    joined = 1 - np.tanh(a @ w1 + b1) * 2 + np.tanh(b @ w1 + b1) / (b * b + 1)
    y, z = net(a, b)
    np.testing.assert_allclose(y.numpy(), joined @ w2 + b2, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(z.numpy(), -joined, rtol=1e-5, atol=1e-5)


def test_a_shared_layer_has_its_weights_once():
    """Called twice, counted once: 4·4 + 4 and 4·2 + 2."""
    assert two_towers().build().count_parameters() == 20 + 10


def test_a_shared_layer_gets_the_sum_of_the_gradients():
    """Of y = w(wx) the derivative by w is 2wx: both uses count (scope 2.8)."""
    x = kj.Input((1,))
    layer = kj.nn.Dense(1, use_bias=False, init=kj.initializers.Constant(3.0))
    net = kj.Model(x, layer(layer(x)))
    assert kj.grad(net([[5.0]]).sum(), net.build().parameters)[0].item() == 2 * 3 * 5


def test_inputs_that_no_output_needs_are_allowed():
    """A model may ignore one of its inputs."""
    a, b = kj.Input((4,)), kj.Input((2,))
    net = kj.Model([a, b], kj.nn.Dense(1)(a))
    assert kj.Model.from_config(net.config())(X, X[:, :2]).shape == (5, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: kj.Model(x, kj.nn.Dense(1)), "outputs from layers called on them"),
        (lambda x: kj.Model(x, kj.nn.Dense(1)(kj.Input((3,)))), "not among the inputs"),
        (lambda x: kj.nn.Dense(1)(x, np.ones(3)), "cannot mix an Input with a ndarray"),
        (lambda x: x + np.ones(3), "not with ndarray"),
        (lambda x: kj.tanh(x), "Activation('tanh')"),
    ],
    ids=["uncalled", "foreign input", "mixed", "array", "op"],
)
def test_functional_models_refuse(make, message):
    """What cannot be recorded as a call of layers is refused with what to do instead."""
    with pytest.raises(GraphError) as error:
        make(kj.Input((4,)))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [((X,), "has 2 inputs, got 1"), ((X, X[:, :3]), "expects examples of shape (4,), got an array of shape (5, 3)")],
)
def test_functional_models_check_their_inputs(inputs, message):
    """As many as there are, each of its shape."""
    with pytest.raises(ShapeError) as error:
        two_towers()(*inputs)
    assert message in str(error.value)


# --- as a class -----------------------------------------------------------------------------------------------------
def test_paths_in_a_class():
    """Attributes, places in lists and keys of dicts name the weights."""
    net = Nested().build((None, 4))
    assert list(net.state)[0::2] == [
        "blocks_1.inner.kernel", "blocks_1.out.kernel", "blocks_2.inner.kernel", "blocks_2.out.kernel",
        "heads_mean.kernel", "heads_spread.kernel", "shift",
    ]  # fmt: skip


def test_layers_in_lists_and_dicts_draw_different_weights():
    """Layers of one shape inside one model never start alike."""
    net = Nested().build((None, 4), seed=0)
    kernels = [v.numpy() for path, v in net.state.items() if path.endswith("kernel")]
    assert all(not np.array_equal(a, b) for i, a in enumerate(kernels) for b in kernels[:i] if a.shape == b.shape)


def test_a_class_gets_gradients_for_everything():
    """Parameters in lists, dicts, inner models and of its own."""
    net = Nested()
    loss = (net(X) ** 2).mean()
    assert len(net.parameters) == 13
    assert all(np.abs(g.numpy()).max() > 0 for g in kj.grad(loss, net.parameters))


def test_training_travels_inward():
    """`training=` of the outermost call reaches a block that asks for it; without it a call is inference."""
    net = Nested()
    net(X)
    net(X, training=True)
    assert net.blocks[1].seen == [False, True]


def test_a_build_of_its_own_serves_fit():
    """A class with its own `build` is built by `fit` like any other."""
    net = Nested()
    net.fit(X, X[:, :1], loss="mse", epochs=1, batch_size=None, engine="reference", seed=4)
    assert "shift" in net.state and net.built


def test_a_failed_first_call_leaves_the_model_unbuilt():
    """After a mistake in the middle the same model can meet its real input."""
    net = kj.Sequential([kj.nn.Dense(3), kj.nn.Reshape((2,)), kj.nn.Dense(1)])
    with pytest.raises(ShapeError):
        net(X)
    assert not net.built and not net.layers[0].built and not net.state


# --- looking in -----------------------------------------------------------------------------------------------------
def test_outputs_of_inner_layers():
    """The value after the first layer is the first layer's value (scope 1.2)."""
    net = kj.Sequential([kj.nn.Dense(3, "tanh"), kj.nn.Dense(2)]).build((None, 4))
    np.testing.assert_array_equal(net.outputs_of("dense_1", X).numpy(), net.layers[0](X).numpy())


def test_outputs_of_several_layers_of_a_class():
    """By paths, at any depth, as a dict."""
    found = Nested().outputs_of(["blocks_2.inner", "heads_mean"], X)
    assert {name: t.shape for name, t in found.items()} == {"blocks_2.inner": (5, 4), "heads_mean": (5, 1)}


def test_get_layer_by_path():
    """A layer is found by the path its weights have."""
    net = Nested()
    assert net.get_layer("blocks_1.out") is net.blocks[0].out


@pytest.mark.parametrize("ask", [lambda net: net.get_layer("dense1"), lambda net: net.outputs_of("dense1", X)])
def test_unknown_layers_are_answered_with_the_known_ones(ask):
    """A name that is not there is answered with the nearest and the whole list."""
    net = kj.Sequential([kj.nn.Dense(3), kj.nn.Dense(2)])
    with pytest.raises(UnknownNameError, match="Did you mean 'dense_1'. Known: dense_1, dense_2."):
        ask(net)
