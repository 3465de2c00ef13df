"""Recurrent layers beside PyTorch and Keras: masks, states, directions, stacks; and what they refuse."""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
import pytest
import torch

import kedja as kj
from kedja.errors import GraphError, KedjaError, ShapeError, UnknownNameError

N, STEPS, FEATURES, UNITS = 4, 6, 3, 5
KINDS = ["SimpleRNN", "LSTM", "GRU"]
# Gates of ours in the order Keras and PyTorch have them.
IN_KERAS = {"SimpleRNN": [0], "LSTM": [0, 1, 2, 3], "GRU": [0, 1, 2]}
IN_TORCH = {"SimpleRNN": [0], "LSTM": [0, 1, 2, 3], "GRU": [1, 0, 2]}


def draw(seed=0, shape=(N, STEPS, FEATURES)):
    return np.random.default_rng(seed).normal(size=shape)


def made(layer, *xs, seed=3):
    """The layer, built in float64, every parameter moved off its start."""
    layer.dtype = np.dtype("float64")
    layer(*xs, seed=0)
    for i, v in enumerate(layer.state.values()):
        v.assign(v.value + 0.3 * draw(seed + i, v.shape))
    return layer


def gates(kind, order, w):
    """A weight with its gates in another order."""
    parts = np.split(w, len(order[kind]), axis=-1)
    return np.concatenate([parts[k] for k in order[kind]], axis=-1)


def as_keras(kind, layer):
    """The weights of a recurrent layer as Keras lists them."""
    bias = layer.bias.numpy()
    if getattr(layer, "recurrent_bias", None) is not None:
        bias = np.stack([bias, layer.recurrent_bias.numpy()])
    return [layer.kernel.numpy(), layer.recurrent.numpy(), bias]


def in_keras(peer, weights, x, mask):
    """What the Keras layer gives; its products are float32, whatever they are asked to be."""
    peer.build(x.shape)
    peer.set_weights(weights)
    return keras.ops.convert_to_numpy(peer(x.astype("float32"), mask=mask))


HOLES = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 0, 1], [0, 0, 0, 0, 0, 0]], bool)
OPTIONS = [{}, {"return_sequences": True}, {"reverse": True}]


@pytest.mark.parametrize("options", OPTIONS, ids=["last", "all", "reverse"])
@pytest.mark.parametrize("kind", [*KINDS, "GRU of the paper"])
def test_masks_are_those_of_keras(kind, options):
    """Steps that are not there keep the state and repeat the output: at the end, the start, in between, all of them."""
    kind, *paper = kind.split(" of ")
    form = {"reset_after": False} if paper else {}
    x = draw()
    layer = made(getattr(kj.nn, kind)(UNITS, **options, **form), x)
    theirs = {("go_backwards" if k == "reverse" else k): v for k, v in options.items()}
    peer = getattr(keras.layers, kind)(UNITS, **theirs, **form)
    expected = in_keras(peer, as_keras(kind, layer), x, HOLES)
    for mask in (HOLES, HOLES.astype(np.float64), HOLES.astype(np.int64)):
        np.testing.assert_allclose(layer(x, mask).numpy(), expected, atol=2e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_masked_step_is_one_that_is_not_there(kind):
    """The output and all gradients are PyTorch's for each row with its masked steps cut out, in float64."""
    x = draw(13)
    layer = made(getattr(kj.nn, kind)(UNITS), x)
    peer = getattr(torch.nn, {"SimpleRNN": "RNN"}.get(kind, kind))(FEATURES, UNITS, batch_first=True).double()
    peer.load_state_dict(torch_weights(kind, layer, "l0"))
    given = torch.from_numpy(x).requires_grad_()
    last = torch.stack([peer(given[i][torch.from_numpy(HOLES[i])][None])[0][0, -1] for i in range(3)])
    last.square().sum().backward()
    steps = kj.tensor(x, dtype="float64")
    y = layer(steps, HOLES)
    np.testing.assert_allclose(y.numpy()[:3], last.detach().numpy(), rtol=1e-9, atol=1e-12)
    found = kj.grad((y * y).sum(), [steps, layer.kernel, layer.recurrent])
    np.testing.assert_allclose(found[0].numpy(), given.grad.numpy(), rtol=1e-9, atol=1e-11)
    for g, name in zip(found[1:], ("weight_ih_l0", "weight_hh_l0"), strict=True):
        expected = gates(kind, IN_TORCH, getattr(peer, name).grad.numpy().T)
        np.testing.assert_allclose(g.numpy(), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("sequences", [False, True], ids=["last", "all"])
@pytest.mark.parametrize(
    ("merge", "theirs"), [("concat", "concat"), ("sum", "sum"), ("mean", "ave"), ("multiply", "mul")]
)
def test_bidirectional_merges_as_keras(merge, theirs, sequences):
    """Forwards and backwards through a masked sequence, merged in each of the four ways.

    At steps that are not there Keras gives zeros, here alone; what stands there means nothing.
    """
    x = draw(1)
    layer = made(kj.nn.Bidirectional(kj.nn.GRU(UNITS, return_sequences=sequences), merge), x)
    peer = keras.layers.Bidirectional(keras.layers.GRU(UNITS, return_sequences=sequences), merge_mode=theirs)
    weights = [*as_keras("GRU", layer.forwards), *as_keras("GRU", layer.backwards)]
    expected = in_keras(peer, weights, x, HOLES)
    there = HOLES if sequences else slice(None)
    np.testing.assert_allclose(layer(x, HOLES).numpy()[there], expected[there], atol=2e-6)


def torch_weights(kind, layer, suffix):
    """The weights of a recurrent layer under PyTorch's names."""
    b = layer.bias.numpy()
    second = getattr(layer, "recurrent_bias", None)
    parts = {
        "weight_ih": gates(kind, IN_TORCH, layer.kernel.numpy()).T,
        "weight_hh": gates(kind, IN_TORCH, layer.recurrent.numpy()).T,
        "bias_ih": gates(kind, IN_TORCH, b),
        "bias_hh": gates(kind, IN_TORCH, second.numpy()) if second is not None else np.zeros_like(b),
    }
    return {f"{name}_{suffix}": torch.from_numpy(np.ascontiguousarray(w)) for name, w in parts.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_two_bidirectional_layers_equal_torch(kind):
    """A stack of two, both ways, in PyTorch one module: values, and the gradients of the input and of all weights."""
    x = draw(2)
    net = kj.Sequential(
        [kj.nn.Bidirectional(getattr(kj.nn, kind)(UNITS, return_sequences=True)) for _ in range(2)], dtype="float64"
    )
    made(net, x)
    name = {"SimpleRNN": "RNN"}.get(kind, kind)
    peer = getattr(torch.nn, name)(FEATURES, UNITS, num_layers=2, bidirectional=True, batch_first=True).double()
    weights = {}
    for i, layer in enumerate(net.layers):
        weights |= torch_weights(kind, layer.forwards, f"l{i}") | torch_weights(kind, layer.backwards, f"l{i}_reverse")
    peer.load_state_dict(weights)
    given = torch.from_numpy(x).requires_grad_()
    out, _ = peer(given)
    pull = draw(9, tuple(out.shape))
    (out * torch.from_numpy(pull)).sum().backward()

    x = kj.tensor(x, dtype="float64")
    y = net(x)
    np.testing.assert_allclose(y.numpy(), out.detach().numpy(), rtol=1e-9, atol=1e-12)
    total = (y * kj.tensor(pull, dtype="float64")).sum()
    wrt = [x]
    expected = [given.grad.numpy()]
    for i, pair in enumerate(net.layers):
        for layer, suffix in ((pair.forwards, f"l{i}"), (pair.backwards, f"l{i}_reverse")):
            wrt += [layer.kernel, layer.recurrent, layer.bias]
            found = [getattr(peer, f"{n}_{suffix}").grad.numpy().T for n in ("weight_ih", "weight_hh", "bias_ih")]
            expected += [gates(kind, IN_TORCH, g) for g in found]  # the exchange of r and z is its own inverse
    for g, e in zip(kj.grad(total, wrt), expected, strict=True):
        np.testing.assert_allclose(g.numpy(), e, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
def test_states_go_in_and_come_out_as_in_torch(kind):
    """Started from a state, it gives the state after the last step; the gradient reaches the state it started from."""
    x, states = draw(3), 2 if kind == "LSTM" else 1
    start = [draw(4 + i, (N, UNITS)) for i in range(states)]
    layer = made(getattr(kj.nn, kind)(UNITS, return_sequences=True, return_state=True), x)
    peer = getattr(torch.nn, {"SimpleRNN": "RNN"}.get(kind, kind))(FEATURES, UNITS, batch_first=True).double()
    peer.load_state_dict(torch_weights(kind, layer, "l0"))
    theirs = [torch.from_numpy(s[None]).requires_grad_() for s in start]
    out, after = peer(torch.from_numpy(x), tuple(theirs) if states == 2 else theirs[0])
    after = after if states == 2 else (after,)
    (out.square().sum() + sum((s**3).sum() for s in after)).backward()

    given = [kj.tensor(s, dtype="float64") for s in start]
    y, *found = layer(x, np.ones((N, STEPS)), *given)
    np.testing.assert_allclose(y.numpy(), out.detach().numpy(), rtol=1e-9, atol=1e-12)
    for s, t in zip(found, after, strict=True):
        np.testing.assert_allclose(s.numpy(), t[0].detach().numpy(), rtol=1e-9, atol=1e-12)
    total = (y * y).sum()
    for s in found:
        total = total + (s * s * s).sum()
    for g, t in zip(kj.grad(total, given), theirs, strict=True):
        np.testing.assert_allclose(g.numpy(), t.grad[0].numpy(), rtol=1e-9, atol=1e-11)


def test_a_sequence_in_two_pieces_is_the_sequence():
    """The state after the first piece, handed to the second, gives what the whole gives."""
    x = draw(5)
    layer = made(kj.nn.LSTM(UNITS, return_sequences=True, return_state=True), x)
    whole = layer(x)[0].numpy()
    first, *state = layer(x[:, :2])
    second = layer(x[:, 2:], np.ones((N, STEPS - 2)), *state)[0]
    np.testing.assert_allclose(np.concatenate([first.numpy(), second.numpy()], 1), whole, rtol=1e-12, atol=1e-14)


def test_reverse_reads_the_flipped_sequence():
    """Outputs stand at the step they belong to: the same as flipping before and after."""
    x = draw(6)
    layer = made(kj.nn.GRU(UNITS, return_sequences=True), x)
    back = kj.nn.GRU(UNITS, return_sequences=True, reverse=True, dtype="float64")
    back(x)
    back.set_weights(layer.get_weights())
    np.testing.assert_array_equal(back(x).numpy(), layer(x[:, ::-1].copy()).numpy()[:, ::-1])


def test_no_steps_give_the_state_they_start_from():
    """An empty sequence leaves the state as it was, 0 or given."""
    layer = made(kj.nn.LSTM(UNITS, return_state=True), draw())
    state = [draw(7, (N, UNITS)), draw(8, (N, UNITS))]
    none = np.zeros((N, 0, FEATURES))
    assert not layer(none)[0].numpy().any()
    np.testing.assert_array_equal(layer(none, np.ones((N, 0)), *state)[2].numpy(), state[1])


# --- where they start -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
def test_the_recurrent_matrix_starts_orthogonal(kind):
    """Its rows, all gates together, have length 1 and are at right angles: U Uᵀ = 1."""
    layer = getattr(kj.nn, kind)(UNITS, dtype="float64")
    layer(draw(), seed=5)
    u = layer.recurrent.numpy()
    np.testing.assert_allclose(u @ u.T, np.eye(UNITS), atol=1e-12)


def test_the_forget_gate_starts_open():
    """b_f = 1 and the others 0, or all 0 where that is asked for; a reset draws the same again."""
    net = kj.Sequential([kj.nn.LSTM(2), kj.nn.LSTM(2, unit_forget_bias=False, return_sequences=False)][:1])
    net(draw())
    for _ in range(2):
        assert net.layers[0].bias.numpy().tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
        net.layers[0].bias.assign(np.full(8, 7.0, np.float32))
        net.reset()
    plain = kj.nn.LSTM(2, unit_forget_bias=False)
    plain(draw())
    assert not plain.bias.numpy().any()


def test_the_two_directions_start_differently():
    """Forwards and backwards draw weights of their own."""
    layer = kj.nn.Bidirectional(kj.nn.LSTM(UNITS))
    layer(draw(), seed=0)
    assert list(layer.state)[:1] == ["forwards.kernel"] and list(layer.state)[3:4] == ["backwards.kernel"]
    assert not np.allclose(layer.forwards.kernel.numpy(), layer.backwards.kernel.numpy())


def test_parameters_are_as_many_as_keras_counts():
    """Per gate features · units + units² + biases."""
    for kind in KINDS:
        layer, peer = getattr(kj.nn, kind)(7), getattr(keras.layers, kind)(7)
        layer(draw())
        peer.build((None, STEPS, FEATURES))
        assert layer.count_parameters() == peer.count_params()


# --- in models ------------------------------------------------------------------------------------------------------
def masked_model(seed):
    x, mask = kj.Input((STEPS, FEATURES)), kj.Input((STEPS,))
    first = kj.nn.LSTM(4, return_sequences=True)(x, mask)
    net = kj.Model([x, mask], kj.nn.Dense(1)(kj.nn.GRU(3)(first, mask)), dtype="float64")
    return net.build(seed=seed)


def test_a_masked_model_trains_alike_on_both_engines():
    """Twenty steps of Adam in float64: the same weights to 1e-9, and what is masked has no part in it."""
    x, y = draw(10), draw(11, (N, 1))
    mask = np.arange(STEPS) < np.array([6, 3, 1, 4])[:, None]
    found = []
    for engine, rows in (("reference", x), ("xla", x), ("xla", np.where(mask[..., None], x, 50.0))):
        net = masked_model(1)
        net.fit(
            (rows, mask.astype(float)), y, loss="mse", optimizer=kj.optim.Adam(0.01), epochs=10, batch_size=2, seed=1,
            engine=engine,
        )  # fmt: skip
        found.append([*net.get_weights(), net.predict((rows, mask.astype(float)))])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


# --- what they refuse -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("units", [0, -1, 2.0, True, "8"])
def test_units_that_are_no_number_of_units(units):
    """At least one, and whole."""
    with pytest.raises(ShapeError, match="LSTM: units is the width of the state, a whole number ≥ 1; got "):
        kj.nn.LSTM(units)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([(N, STEPS)], r"GRU \"mine\": needs sequences \(N, steps, features\).*\(4, 6\). One number.*x\[..., None\]"),
        ([(N, STEPS, 2)], r"built for 3 features a step and got an input of shape \(4, 6, 2\)"),
        ([(N, STEPS, 3), (N, STEPS, 1)], r"mask of shape \(4, 6, 1\); sequences .* need one of shape \(4, 6\)"),
        ([(N, STEPS, 3), (N, 5)], r"mask of shape \(4, 5\)"),
        ([(N, STEPS, 3), (N, STEPS), (N, 4)], r"state of shapes \(4, 4\); it starts from 1 of shape \(4, 5\)"),
        ([(N, STEPS, 3), (N, STEPS), (N, 5), (N, 5)], r"state of shapes \(4, 5\), \(4, 5\); it starts from 1"),
    ],
    ids=["rank", "features", "mask rank", "mask steps", "state width", "states"],
)  # fmt: skip
def test_shapes_that_do_not_fit(inputs, message):
    """Layer, what came, what is needed."""
    layer = kj.nn.GRU(UNITS, name="mine")
    layer(draw())
    with pytest.raises(ShapeError, match=message):
        layer(*(np.ones(s) for s in inputs))


def test_what_bidirectional_refuses():
    """Another kind of layer, one with weights, an unknown merge."""
    with pytest.raises(GraphError, match="it takes a recurrent layer .*, got Dense"):
        kj.nn.Bidirectional(kj.nn.Dense(3))
    used = kj.nn.LSTM(2)
    used(draw())
    with pytest.raises(GraphError, match="has weights already"):
        kj.nn.Bidirectional(used)
    with pytest.raises(UnknownNameError, match="Did you mean 'concat'"):
        kj.nn.Bidirectional(kj.nn.LSTM(2), merge="concatenate")
    with pytest.raises(KedjaError, match="unknown activation"):
        kj.nn.GRU(2, recurrent_activation="sigmod")
