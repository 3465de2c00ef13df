"""Attention beside PyTorch and Keras: masks, heads, widths; what nobody may see; positions; and what is refused."""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
import pytest
import torch

import kedja as kj
from kedja.errors import KedjaError, ShapeError

N, QUERIES, KEYS, WIDTH = 3, 4, 5, 6
RNG = np.random.default_rng(0)
SEEN = RNG.random((N, QUERIES, KEYS)) < 0.6
SEEN[..., 0] |= ~SEEN.any(-1)  # everybody sees something
BLIND = SEEN.copy()
BLIND[1, 2] = False  # but here


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def made(layer, *xs):
    """The layer, built in float64, biases and all moved off their start."""
    layer.dtype = np.dtype("float64")
    layer(*xs, seed=0)
    for i, v in enumerate(layer.state.values()):
        v.assign(v.value + 0.3 * draw(20 + i, *v.shape))
    return layer


def tensors(*arrays):
    """As ours, and as PyTorch's."""
    ours = [kj.tensor(a, dtype="float64") for a in arrays]
    return ours, [torch.from_numpy(a.copy()).requires_grad_() for a in arrays]


# --- the function ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("mask", [None, SEEN], ids=["all", "mask"])
def test_scaled_dot_product_attention_equals_torch(mask):
    """Values, and the gradient of query, key and value."""
    ours, theirs = tensors(draw(1, N, QUERIES, 7), draw(2, N, KEYS, 7), draw(3, N, KEYS, 2))
    attend = torch.nn.functional.scaled_dot_product_attention
    expected = attend(*theirs, attn_mask=None if mask is None else torch.from_numpy(mask))
    expected.square().sum().backward()
    y, weights = kj.nn.scaled_dot_product_attention(*ours, *(() if mask is None else (kj.tensor(mask),)))
    np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(weights.numpy().sum(-1), 1.0, rtol=1e-12)
    assert mask is None or not weights.numpy()[~mask].any()
    for g, t in zip(kj.grad((y * y).sum(), ours), theirs, strict=True):
        np.testing.assert_allclose(g.numpy(), t.grad.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("engine", ["reference", "xla"])
def test_who_sees_nothing_gets_zeros(engine, dtype):
    """No NaN in the value, none in the gradient, which is 0 there; the rest is as without, at scores of 1e8 too."""
    query, key, value = (draw(i, *s).astype(dtype) for i, s in enumerate([(N, QUERIES, 2), (N, KEYS, 2), (N, KEYS, 3)]))

    def values_and_gradients(q, k, v):
        def total(q, k, v):
            y, _ = kj.nn.scaled_dot_product_attention(q, k, v, kj.tensor(BLIND))
            return (y * y).sum(), y

        loss, y = total(q, k, v)
        return [y, *kj.grad(loss, [q, k, v])]

    for scale in (1.0, 1e4):
        y, *gradients = kj.compile(values_and_gradients, engine=engine)(query * scale, key * scale, value)
        assert not y.numpy()[1, 2].any() and not gradients[0].numpy()[1, 2].any()
        assert all(np.isfinite(a.numpy()).all() for a in (y, *gradients))
        seeing, _ = kj.nn.scaled_dot_product_attention(
            *(kj.tensor(a, dtype=dtype) for a in (query * scale, key * scale, value)), kj.tensor(SEEN)
        )
        np.testing.assert_allclose(y.numpy()[BLIND.any(-1)], seeing.numpy()[BLIND.any(-1)], rtol=1e-4, atol=1e-5)


# --- the layer ------------------------------------------------------------------------------------------------------
def in_torch(layer, heads, features):
    """nn.MultiheadAttention with the weights of the layer."""
    peer = torch.nn.MultiheadAttention(features, heads, batch_first=True).double()
    kernels = [getattr(layer, f"{p}_kernel").numpy().T for p in ("query", "key", "value")]
    biases = [getattr(layer, f"{p}_bias").numpy() for p in ("query", "key", "value")]
    with torch.no_grad():
        peer.in_proj_weight.copy_(torch.from_numpy(np.concatenate(kernels)))
        peer.in_proj_bias.copy_(torch.from_numpy(np.concatenate(biases)))
        peer.out_proj.weight.copy_(torch.from_numpy(layer.output_kernel.numpy().T.copy()))
        peer.out_proj.bias.copy_(torch.from_numpy(layer.output_bias.numpy().copy()))
    return peer


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_a_mask_for_every_query_equals_torch(heads):
    """Masks (N, queries, keys): outputs, weights and gradients."""
    (x, memory), theirs = tensors(draw(4, N, QUERIES, WIDTH), draw(5, N, KEYS, WIDTH))
    layer = made(kj.nn.MultiHeadAttention(heads, return_weights=True), x, memory)
    peer = in_torch(layer, heads, WIDTH)
    hidden = torch.from_numpy(~SEEN).repeat_interleave(heads, 0)  # theirs says where not to look, for each head
    expected, their_weights = peer(theirs[0], theirs[1], theirs[1], attn_mask=hidden, average_attn_weights=False)
    expected.square().sum().backward()
    y, weights = layer(x, memory, SEEN)
    np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(weights.numpy(), their_weights.detach().numpy(), rtol=1e-9, atol=1e-12)
    found = kj.grad((y * y).sum(), [x, memory, layer.query_kernel, layer.output_bias])
    wanted = [*(t.grad for t in theirs), peer.in_proj_weight.grad[:WIDTH].T, peer.out_proj.bias.grad]
    for g, e in zip(found, wanted, strict=True):
        np.testing.assert_allclose(g.numpy(), e.numpy(), rtol=1e-9, atol=1e-11)


def test_widths_of_heads_and_values_are_those_of_keras():
    """Heads of another width than features / heads, values of yet another, a memory with other features."""
    x, memory = draw(6, N, QUERIES, WIDTH), draw(7, N, KEYS, 3)
    layer = made(kj.nn.MultiHeadAttention(2, head_units=5, value_units=4), x, memory)
    peer = keras.layers.MultiHeadAttention(2, key_dim=5, value_dim=4)
    peer.build(x.shape, memory.shape)
    w = {path: v.numpy() for path, v in layer.state.items()}
    peer.set_weights([
        *(a for p in ("query", "key", "value")
          for a in (w[f"{p}_kernel"].reshape(len(w[f"{p}_kernel"]), 2, -1), w[f"{p}_bias"].reshape(2, -1))),
        w["output_kernel"].reshape(2, 4, WIDTH), w["output_bias"],
    ])  # fmt: skip
    given = [a.astype("float32") for a in (x, memory)]
    seen = SEEN | np.eye(QUERIES, KEYS, dtype=bool)  # who sees nothing gets the mean of all from Keras
    expected = peer(*given, attention_mask=seen, use_causal_mask=True)
    ours = kj.nn.MultiHeadAttention(2, head_units=5, value_units=4, causal=True, dtype="float64")
    ours(x, memory)
    ours.set_weights(layer.get_weights())
    np.testing.assert_allclose(ours(x, memory, seen).numpy(), keras.ops.convert_to_numpy(expected), atol=5e-6)


def test_causal_attention_does_not_look_ahead():
    """What comes later changes nothing before."""
    x = draw(8, N, QUERIES, WIDTH)
    layer = made(kj.nn.MultiHeadAttention(2, causal=True), x)
    other = x.copy()
    other[:, 2:] += 1.0
    a, b = layer(x).numpy(), layer(other).numpy()
    np.testing.assert_array_equal(a[:, :2], b[:, :2])
    assert (np.abs(a - b)[:, 2:] > 1e-6).any(-1).all()


@pytest.mark.parametrize("of", [np.float64, np.int64, np.bool_])
def test_a_masked_memory_does_not_matter(of):
    """Keys that are masked, as numbers or as truth values, have no influence, whatever stands there."""
    x, memory = draw(9, N, QUERIES, WIDTH), draw(10, N, KEYS, 2)
    mask = np.arange(KEYS) < np.array([5, 2, 3])[:, None]
    layer = made(kj.nn.MultiHeadAttention(3), x, memory)
    other = np.where(mask[..., None], memory, 1e3)
    np.testing.assert_array_equal(layer(x, memory, mask.astype(of)).numpy(), layer(x, other, mask.astype(of)).numpy())


def test_a_query_that_sees_nothing_gets_the_bias_of_the_output():
    """All heads give zeros there, so y = b; and training can go on."""
    x, memory = draw(11, N, QUERIES, WIDTH), draw(12, N, KEYS, WIDTH)
    layer = made(kj.nn.MultiHeadAttention(2), x, memory)
    y = layer(x, memory, BLIND)
    np.testing.assert_array_equal(y.numpy()[1, 2], layer.output_bias.numpy())
    for g in kj.grad((y * y).sum(), layer.parameters):
        assert np.isfinite(g.numpy()).all()


def test_dropped_weights_are_zero_and_the_others_larger():
    """In training a share `dropout` of the weights is 0, and the rest is larger by as much; in inference none is."""
    x = np.ones((200, 5, 4), np.float32)
    layer = kj.nn.MultiHeadAttention(1, dropout=0.25, use_bias=False)
    still = layer(x, seed=0).numpy()
    drawn = layer(x, training=True, key=kj.random.key(1)).numpy()
    # All steps are alike, so every weight is 1/5 and the output the still one times kept/(5 · 0.75).
    kept = (drawn / still)[..., 0] * 5 * 0.75
    np.testing.assert_allclose(kept, kept.round(), atol=1e-4)
    assert abs(kept.mean() / 5 - 0.75) < 0.03
    np.testing.assert_array_equal(layer(x).numpy(), still)


def test_the_rate_of_dropout_is_a_number_of_the_run():
    """Another rate between two fits is used, and compiles nothing anew."""
    x, y = draw(13, 20, 5, 4), draw(14, 20, 20)
    net = kj.Sequential([kj.nn.MultiHeadAttention(2, dropout=0.1), kj.nn.Flatten()])
    net.fit(x, y, loss="mse", optimizer=kj.optim.SGD(1e-9), epochs=1, batch_size=None, seed=0)
    net.layers[0].dropout = 0.9
    history = net.fit(x, y, loss="mse", optimizer=kj.optim.SGD(1e-9), epochs=1, batch_size=None)
    assert history.compile_seconds == 0
    still = kj.Sequential([kj.nn.MultiHeadAttention(2), kj.nn.Flatten()])
    still.fit(x, y, loss="mse", optimizer=kj.optim.SGD(1e-9), epochs=1, batch_size=None, seed=0)
    assert still.history["loss"][-1] != history["loss"][-1]


# --- positions ------------------------------------------------------------------------------------------------------
def test_waves_turn_by_the_same_angle_for_the_same_distance():
    """P[t + k] is P[t] turned, whatever t (the reason the paper gives): their products depend on the distance alone."""
    p = kj.nn.PositionalEncoding()(kj.zeros((1, 50, 8), "float64")).numpy()[0]
    products = p @ p.T
    for k in (1, 7, 30):
        np.testing.assert_allclose(np.diagonal(products, k), products[0, k], rtol=1e-12)


def test_attention_without_positions_does_not_see_the_order():
    """Shuffled steps give shuffled outputs; with positions they do not."""
    x, order = draw(15, 2, 6, 4), np.array([3, 1, 5, 0, 2, 4])
    layer = made(kj.nn.MultiHeadAttention(2), x)
    place = kj.nn.PositionalEncoding()
    np.testing.assert_allclose(layer(x[:, order]).numpy(), layer(x).numpy()[:, order], rtol=1e-12, atol=1e-14)
    a, b = (layer(place(kj.tensor(v, dtype="float64"))).numpy() for v in (x[:, order], x))
    assert np.abs(a - b[:, order]).max() > 1e-2


# --- what is refused ------------------------------------------------------------------------------------------------
def test_heads_that_do_not_divide():
    """The arithmetic, and the two ways out."""
    with pytest.raises(ShapeError, match=r'"mine": 4 heads do not divide 6 features: 6 = 4 · 1 \+ 2.*head_units='):
        kj.nn.MultiHeadAttention(4, name="mine")(np.ones((2, 3, 6)))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(2, 6)], r"needs a query of shape \(N, steps, features\) and got one of shape \(2, 6\)"),
        ([(2, 3, 6), (2, 6)], r"needs a memory of shape .* \(2, 6\)"),
        ([(2, 3, 6), (3, 3, 6)], "got 2 queries and 3 memories"),
        ([(2, 3, 6), (2, 3, 6), (2, 3, 1)], r"mask of shape \(2, 3, 1\); 3 queries and 3 keys .* \(2, 3, 3\)"),
        ([(2, 3, 5)], r"built for 6 features in the query and 6 in the memory, .* \(2, 3, 5\)"),
    ],
    ids=["query", "memory", "rows", "mask", "features"],
)  # fmt: skip
def test_shapes_that_do_not_fit(shapes, message):
    """Layer, what came, what is needed."""
    layer = kj.nn.MultiHeadAttention(2)
    layer(np.ones((2, 3, 6)))
    with pytest.raises(ShapeError, match=message):
        layer(*(np.ones(s) for s in shapes))


def test_numbers_that_are_none():
    """Heads and widths are whole and at least 1, dropout a probability, a longest sequence a number of steps."""
    for wrong in ({"heads": 0}, {"heads": 2, "head_units": 0}, {"heads": 2, "value_units": 1.5}):
        with pytest.raises(ShapeError, match=r"a whole number ≥ 1; got"):
            kj.nn.MultiHeadAttention(**wrong)
    for rate in (1.0, -0.1):
        with pytest.raises(KedjaError, match="dropout is the probability of dropping, at least 0 and below 1; got"):
            kj.nn.MultiHeadAttention(2, dropout=rate)
    with pytest.raises(ShapeError, match="longest is a number of steps"):
        kj.nn.LearnedPositionalEncoding(0)
    place = kj.nn.LearnedPositionalEncoding(4)
    with pytest.raises(ShapeError, match=r"sequences of 5 steps, .* has learned 4 positions. Give longest=5 or more"):
        place(np.ones((1, 5, 2)))
