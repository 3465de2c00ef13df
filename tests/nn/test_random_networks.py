"""Random networks of all kinds of layers against PyTorch: loss and gradients, after the weights are carried over."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from torch.nn import functional as F

import kedja as kj
from nn import cases_normalization as norm
from nn import cases_sequence as seq
from nn import cases_windows as win
from oracles.torch_models import loss_of

ACTIVATIONS = {
    "linear": lambda x: x, "relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "elu": F.elu,
    "gelu": F.gelu, "silu": F.silu, "softplus": F.softplus, "leaky_relu": F.leaky_relu, "selu": F.selu,
    "mish": F.mish, "softsign": F.softsign, "tanh_shrink": F.tanhshrink,
}  # fmt: skip


class Block(NamedTuple):
    """A layer, and what PyTorch makes of its weights and input."""

    layer: kj.nn.Layer
    oracle: Callable[[dict[str, Any], Any], Any]


def of(draw, *choices):
    """One of them."""
    return draw(st.sampled_from(choices))


def active(draw):
    """A name of an activation, and PyTorch's function."""
    name = of(draw, *ACTIVATIONS)
    return name, ACTIVATIONS[name]


# --- layers of images, sequences and rows: each gives something of the same kind -------------------------------------
def convolution(draw):
    (name, f), stride, groups = active(draw), of(draw, 1, 1, 2), of(draw, 1, 2)
    layer = kj.nn.Conv2D(2 * of(draw, 1, 2), of(draw, 1, 2, 3), name, stride=stride, padding="same", groups=groups)
    return Block(layer, lambda w, x: f(win.same(w, x, stride, groups=groups)))


def transposed(draw):
    (name, f), stride = active(draw), of(draw, 1, 2)
    layer = kj.nn.ConvTranspose2D(2, 2, name, stride=stride)
    return Block(layer, lambda w, x: f(win.back(w, x, stride=stride)))


def separable(draw):
    name, f = active(draw)
    return Block(
        kj.nn.SeparableConv2D(4, 3, name, padding=1),
        lambda w, x: f(win.conv(w, win.conv({"kernel": w["kernel"]}, x, groups=x.shape[-1], padding=1), "mixing")
                       + w["bias"]),
    )  # fmt: skip


def depthwise(draw):
    name, f = active(draw)
    return Block(
        kj.nn.DepthwiseConv2D(3, name, padding=1, multiplier=2),
        lambda w, x: f(win.conv(w, x, groups=x.shape[-1], padding=1)),
    )


def pooling(draw):
    largest, stride = of(draw, True, False), of(draw, 1, 2)
    layer = (kj.nn.MaxPool2D if largest else kj.nn.AveragePool2D)(3, stride=stride, padding=1)
    how = {"stride": stride, "padding": 1, **({} if largest else {"count_include_pad": False})}
    return Block(layer, win.pooled(win.MAX if largest else win.MEAN, 3, **how))


def batch_norm(draw):
    return Block(kj.nn.BatchNorm(), norm.trained)


def layer_norm(draw):
    return Block(kj.nn.LayerNorm(), lambda w, x: F.layer_norm(x, x.shape[-1:], w["gamma"], w["beta"]))


def group_norm(draw):
    return Block(kj.nn.GroupNorm(2), norm.group(2))


def activation(draw):
    name, f = active(draw)
    return Block(kj.nn.Activation(name), lambda w, x: f(x))


def sequence_convolution(draw):
    (name, f), dilation = active(draw), of(draw, 1, 2)
    layer = kj.nn.Conv1D(4, 3, name, padding=dilation, dilation=dilation)
    return Block(layer, lambda w, x: f(win.conv(w, x, padding=dilation, dilation=dilation)))


def recurrent(draw):
    kind, reverse = of(draw, *seq.PEERS), of(draw, False, True)
    layer = getattr(kj.nn, kind)(of(draw, 2, 4), return_sequences=True, reverse=reverse)
    return Block(layer, lambda w, x: seq.sequences(kind, w, x, reverse=reverse))


def both_ways(draw):
    return Block(kj.nn.Bidirectional(kj.nn.LSTM(2, return_sequences=True)), seq.both_ways)


def attention(draw):
    causal = of(draw, False, True)
    return Block(kj.nn.MultiHeadAttention(2, causal=causal), lambda w, x: seq.heads(w, x, causal=causal))


def positions(draw):
    return Block(kj.nn.PositionalEncoding(), seq.written_waves)


def dense(draw):
    name, f = active(draw)
    return Block(kj.nn.Dense(2 * of(draw, 1, 2, 4), name), lambda w, x: f(x @ w["kernel"] + w["bias"]))


ANY = [activation, batch_norm, layer_norm, dense]
KINDS: dict[str, tuple[tuple[int, ...], list[Any]]] = {
    "image": ((6, 5, 2), [convolution, transposed, separable, depthwise, pooling, group_norm, *ANY]),
    "sequence": ((5, 4), [sequence_convolution, recurrent, both_ways, attention, positions, group_norm, *ANY]),
    "row": ((4,), [group_norm, *ANY]),
}
LOSSES = ("mse", "half_sse", "binary_cross_entropy", "cross_entropy")


@st.composite
def networks(draw):
    """A kind of input, blocks one after the other (some with a shortcut around them), a loss, a seed."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    shape, makers = KINDS[kind]
    blocks = [draw(st.sampled_from(makers))(draw) for _ in range(draw(st.integers(1, 4)))]
    joins = [draw(st.sampled_from(("none", "none", "concatenate", "add"))) for _ in blocks]
    return shape, blocks, joins, of(draw, *LOSSES), draw(st.integers(0, 2**32 - 1))


def assembled(shape, blocks, joins):
    """The network as a functional model. A shortcut is added where shapes allow it."""
    start = at = kj.Input(shape)
    before = kj.zeros((2, *shape))
    taken = []
    for block, join in zip(blocks, joins, strict=True):
        after = block.layer(before)
        y = block.layer(at)
        if join == "add" and after.shape == before.shape:
            y, after = kj.nn.Add()(at, y), after
        elif join == "concatenate" and after.shape[:-1] == before.shape[:-1]:
            y, after = kj.nn.Concatenate()(at, y), kj.zeros((*after.shape[:-1], before.shape[-1] + after.shape[-1]))
        else:
            join = "none"
        taken.append(join)
        at, before = y, after
    return kj.Model(start, kj.nn.Dense(2)(kj.nn.Flatten()(at))), taken


def agrees(case) -> float:
    """Ours in float32 as users run it, PyTorch in float64 on the same weights: 1e-4 of the largest entry.

    Where a network is so sensitive that PyTorch's own float32 is further away than that, ours may be as well.
    A gradient that a normalisation behind it takes away is measured by a fifth of the largest entry of all: what is
    left of it in float32 is rounding.
    """
    shape, blocks, joins, loss, number = case
    rng = np.random.default_rng(number)
    net, joins = assembled(shape, blocks, joins)
    x = rng.normal(size=(4, *shape)).astype("float32")
    net.build((None, *shape), seed=number)
    for path, v in net.state.of_kind("trainable").items():
        v.assign(v.value + 0.2 * rng.normal(size=v.shape).astype("float32") * (0.5 if "kernel" in path else 1.0))
    t = rng.integers(0, 2, 4) if loss == "cross_entropy" else rng.random((4, 2)).astype("float32")
    ours = kj.losses.get(loss)(kj.tensor(t), net(kj.tensor(x), training=True))

    paths = {id(layer): path for path, layer in net.layers_by_path()}
    last = paths[id(net.layers[-1])]

    def torchs(dtype):
        w = {p: torch.tensor(v.value.astype(dtype), requires_grad=v.trainable) for p, v in net.state.items()}
        h = torch.tensor(x.astype(dtype))
        for block, join in zip(blocks, joins, strict=True):
            prefix = paths[id(block.layer)] + "."
            y = block.oracle({p.removeprefix(prefix): v for p, v in w.items() if p.startswith(prefix)}, h)
            h = h + y if join == "add" else torch.cat([h, y], -1) if join == "concatenate" else y
        y = h.flatten(1) @ w[f"{last}.kernel"] + w[f"{last}.bias"]
        error = loss_of(loss, y, torch.tensor(t if loss == "cross_entropy" else t.astype(dtype)))
        leaves = {p: v for p, v in w.items() if v.requires_grad}
        slopes = torch.autograd.grad(error, list(leaves.values()), allow_unused=True)
        return error.item(), {
            p: np.zeros(v.shape) if g is None else g.numpy().astype("float64")
            for (p, v), g in zip(leaves.items(), slopes, strict=True)
        }

    expected, slopes = torchs("float64")
    found = dict(zip(slopes, kj.grad(ours, [net.state[p] for p in slopes]), strict=True))
    whole = max(max((np.abs(e).max(initial=0) for e in slopes.values()), default=0.0), 1e-3)

    def off(loss, gradients):
        """How far from float64, the loss and each gradient."""
        away = {"the loss": abs(loss - expected) / max(abs(expected), 1e-3)}
        for path, e in slopes.items():
            away[path] = np.abs(gradients[path] - e).max(initial=0) / max(np.abs(e).max(initial=0), 0.2 * whole)
        return away

    away = off(ours.item(), {path: g.numpy() for path, g in found.items()})
    worst = max(away.values())
    if worst >= 1e-4:
        # A norm over two numbers leaves their signs, and another behind it makes large what rounding left of them.
        allowed = max(off(*torchs("float32")).values())
        assert worst < 4 * allowed, f"{away}; PyTorch's float32: {allowed:.1e}"
    return worst


@seed(3)
@settings(max_examples=60, deadline=None, database=None)
@given(networks())
def test_random_networks(case):
    """Sixty of them in every run."""
    agrees(case)


@pytest.mark.long
@settings(max_examples=400, deadline=None)
@given(networks())
def test_many_random_networks(case):
    """Four hundred in every long run."""
    agrees(case)
