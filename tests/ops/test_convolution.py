"""Convolution and its transpose against PyTorch and Keras, for geometry drawn at random; the refusals."""

import keras
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import kedja as kj
from kedja.errors import DTypeError, ShapeError
from kedja.ops import convolution

torch.set_num_threads(1)
PLANS = st.integers(1, 3).flatmap(
    lambda rank: st.fixed_dictionaries(
        {
            "n": st.lists(st.integers(1, (12, 7, 4)[rank - 1]), min_size=rank, max_size=rank),
            "k": st.lists(st.integers(1, (5, 3, 2)[rank - 1]), min_size=rank, max_size=rank),
            "stride": st.lists(st.integers(1, 3), min_size=rank, max_size=rank),
            "dilation": st.lists(st.integers(1, 2), min_size=rank, max_size=rank),
            "padding": st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=rank, max_size=rank),
            "batch": st.integers(0, 3),
            "groups": st.integers(1, 3),
            "ins": st.integers(1, 2),
            "outs": st.integers(1, 2),
            "seed": st.integers(0, 99),
        }
    )
)


def drawn(plan, transposed=False):
    """Input, kernel and arguments of a plan; the channels are per group."""
    rng = np.random.default_rng(plan["seed"])
    g, ins, outs = plan["groups"], plan["ins"], plan["outs"]
    x = rng.normal(size=(plan["batch"], *plan["n"], g * ins))
    w = rng.normal(size=(*plan["k"], g * ins, outs) if transposed else (*plan["k"], ins, g * outs))
    return x, w, {"stride": tuple(plan["stride"]), "dilation": tuple(plan["dilation"]), "groups": g}


def in_torch(x, w, call, swap):
    """Values and gradients by PyTorch, which has channels first; `swap` orders the kernel's last two axes."""
    x, w = (torch.tensor(a, requires_grad=True) for a in (x, w))
    rank = x.ndim - 2
    kernel = torch.permute(w, ((rank + 1, rank) if swap else (rank, rank + 1)) + tuple(range(rank)))
    y = call(x.movedim(-1, 1).contiguous(), kernel.contiguous()).movedim(1, -1)
    by = torch.cos(torch.arange(y.numel(), dtype=torch.float64)).reshape(y.shape)
    (y * by).sum().backward()
    return y.detach().numpy(), x.grad.numpy(), w.grad.numpy()


def in_kedja(x, w, call):
    """The same by kedja."""
    x, w = kj.tensor(x, dtype="float64"), kj.tensor(w, dtype="float64")
    y = call(x, w)
    by = kj.tensor(np.cos(np.arange(y.size, dtype=np.float64)).reshape(y.shape), dtype="float64")
    return [t.numpy() for t in (y, *kj.grad((y * by).sum(), [x, w]))]


def agree(found, expected):
    """Value and both gradients are the same numbers in the same shapes."""
    for f, e in zip(found, expected, strict=True):
        assert f.shape == e.shape
        np.testing.assert_allclose(f, e, rtol=1e-10, atol=1e-10)


def fits(plan):
    """Whether the kernel fits, as PyTorch's error would say."""
    axes = zip(plan["n"], plan["k"], plan["dilation"], plan["padding"], strict=True)
    return all(n + sum(p) >= d * (k - 1) + 1 for n, k, d, p in axes)


@settings(max_examples=80, deadline=None)
@given(PLANS.filter(fits))
def test_convolution_is_pytorchs(plan):
    """Values and gradients for any size, stride, padding, dilation, groups and number of axes, in float64."""
    x, w, arguments = drawn(plan)
    around = [n for pair in reversed(plan["padding"]) for n in pair]

    def call(x, w):
        function = getattr(torch.nn.functional, f"conv{x.ndim - 2}d")
        return function(torch.nn.functional.pad(x, around), w, **arguments)

    padding = tuple(plan["padding"])
    agree(in_kedja(x, w, lambda x, w: kj.conv(x, w, padding=padding, **arguments)), in_torch(x, w, call, True))


@settings(max_examples=60, deadline=None)
@given(PLANS, st.integers(0, 1), st.integers(0, 2))
def test_transposed_convolution_is_pytorchs(plan, padding, more):
    """The same for the transpose, where padding cuts and output_padding chooses among the sizes that are possible."""
    x, w, arguments = drawn(plan, transposed=True)
    extra = tuple(min(more, s - 1) for s in plan["stride"])
    axes = zip(plan["n"], plan["k"], plan["stride"], plan["dilation"], extra, strict=True)
    if min(s * (n - 1) + d * (k - 1) + 1 - 2 * padding + e for n, k, s, d, e in axes) < 1:
        padding = 0

    def call(x, w):
        function = getattr(torch.nn.functional, f"conv_transpose{x.ndim - 2}d")
        return function(x, w, padding=padding, output_padding=extra, **arguments)

    found = in_kedja(x, w, lambda x, w: kj.conv_transpose(x, w, padding=padding, output_padding=extra, **arguments))
    agree(found, in_torch(x, w, call, False))


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_same_transposed_convolution_is_keras(size, stride):
    """padding="same" gives n·stride, with the numbers where Keras has them."""
    rng = np.random.default_rng(size)
    x, w = (rng.normal(size=s).astype("float32") for s in ((2, 4, 5, 3), (size, size, 3, 2)))
    found = kj.conv_transpose(x, w, stride=stride, padding="same").numpy()
    kernel = np.swapaxes(w, -1, -2)
    expected = keras.ops.conv_transpose(x, kernel, strides=stride, padding="same", data_format="channels_last")
    assert found.shape == (2, 4 * stride, 5 * stride, 2)
    np.testing.assert_allclose(found, np.asarray(expected), rtol=1e-5, atol=1e-5)


def test_transposed_convolution_is_the_transpose():
    """⟨y, conv(x)⟩ = ⟨conv_transpose(y), x⟩, also where the stride leaves the end of x unread."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 8, 9, 4)), rng.normal(size=(3, 2, 2, 6))
    geometry = {"stride": (2, 3), "padding": ((1, 0), (0, 1)), "groups": 2}
    x, w = kj.tensor(x, dtype="float64"), kj.tensor(w, dtype="float64")
    y = kj.conv(x, w, **geometry)
    back = kj.conv_transpose(y, kj.transpose(w, 0, 1, 3, 2), output_padding=(0, 2), **geometry)
    assert back.shape == x.shape
    assert (y * y).sum().item() == pytest.approx((back * x).sum().item(), rel=1e-12)


def test_first_output_of_the_notes():
    """The 3×4 input a…l met by the kernel (w, x; y, z) begins with aw + bx + ey + fz (scope 2.5).

    With w, x, y, z = 1, 100, 10⁴, 10⁶ each letter of the input shows as two digits of the result.
    """
    letters = kj.tensor(np.arange(1, 13).reshape(1, 3, 4, 1))
    y = kj.conv(letters, kj.tensor(np.array([1, 100, 10**4, 10**6]).reshape(2, 2, 1, 1)))
    assert y.shape == (1, 2, 3, 1)
    assert y.numpy()[0, :, :, 0].tolist() == [[6050201, 7060302, 8070403], [10090605, 11100706, 12110807]]


def test_true_convolution_is_numpys():
    """With the kernel flipped it is the convolution of sequences, and of densities: that of the sum of two dice."""
    die = np.full(6, 1 / 6)
    x, w = kj.tensor(die.reshape(1, 6, 1), dtype="float64"), kj.tensor(die.reshape(6, 1, 1), dtype="float64")
    found = kj.conv(x, kj.flip(w, 0), padding=5).numpy().ravel()
    np.testing.assert_allclose(found, np.convolve(die, die), rtol=1e-12)


def test_four_axes_work_too():
    """Any number of axes: a kernel that is a product of two gives what the two give one after the other."""
    rng = np.random.default_rng(0)
    x = kj.tensor(rng.normal(size=(1, 3, 4, 3, 4, 1)), dtype="float64")
    a, b = rng.normal(size=(2, 2)), rng.normal(size=(2, 3))
    both = np.einsum("ij,kl->ijkl", a, b)[..., None, None]
    y = kj.conv(x, kj.tensor(both, dtype="float64"))
    flat = kj.conv(x.reshape(12, 3, 4, 1), kj.tensor(b[..., None, None], dtype="float64")).reshape(1, 3, 4, 2, 2)
    flat = kj.transpose(flat, 0, 3, 4, 1, 2).reshape(4, 3, 4, 1)
    flat = kj.conv(flat, kj.tensor(a[..., None, None], dtype="float64")).reshape(1, 2, 2, 2, 3)
    np.testing.assert_allclose(y.numpy()[..., 0], kj.transpose(flat, 0, 3, 4, 1, 2).numpy(), rtol=1e-12)


def test_portions_of_a_batch_give_what_the_batch_gives(monkeypatch):
    """A batch whose patches would fill the memory is taken in portions, an odd one at the end."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(5, 6, 6, 4)), rng.normal(size=(3, 3, 2, 4))
    arguments = {"stride": 2, "padding": 1, "groups": 2}
    whole = in_kedja(x, w, lambda x, w: kj.conv(x, w, **arguments))
    monkeypatch.setattr(convolution, "PATCH_BYTES", 2 * 9 * 9 * 4 * 8)
    agree(in_kedja(x, w, lambda x, w: kj.conv(x, w, **arguments)), whole)


@pytest.mark.parametrize(
    ("call", "shape", "kernel", "arguments", "said"),
    [
        (kj.conv, (28, 28, 1), (5, 5, 1, 6), {}, "add the axis of the batch"),
        (kj.conv, (2, 28), (5, 1), {}, "at least 3 axes"),
        (kj.conv, (2, 28, 28, 3), (5, 3, 6), {}, "slides along 1 axis and needs an input of 3 axes"),
        (kj.conv, (2, 3, 28, 28), (5, 5, 3, 6), {}, "Channels come last here"),
        (kj.conv, (2, 8, 8, 3), (5, 5, 6, 3), {}, "are its last two axes swapped"),
        (kj.conv, (2, 8, 8, 6), (3, 3, 2, 6), {}, "With groups=3 it would fit"),
        (kj.conv, (2, 8, 8, 5), (3, 3, 3, 6), {}, "has 5 channels .* made for 3"),
        (kj.conv, (2, 8, 8, 5), (3, 3, 3, 6), {"groups": 2}, "2 groups do not divide the 5 channels of the input"),
        (kj.conv, (2, 8, 8, 4), (3, 3, 2, 5), {"groups": 2}, "2 groups do not divide the 5 output channels"),
        (kj.conv, (2, 8, 8, 6), (3, 3, 2, 4), {"groups": 2}, "made for 4 = 2 groups of 2"),
        (kj.conv, (2, 8, 8, 4), (3, 3, 4, 5), {"groups": 0}, "groups must be at least 1"),
        (kj.conv, (2, 8, 8, 4), (3, 3, 4, 5), {"groups": 1.5}, "groups must be a whole number"),
        (kj.conv, (2, 8, 8, 4), (0, 3, 4, 5), {}, "has no places"),
        (kj.conv, (2, 0, 8, 4), (3, 3, 4, 5), {}, "0 − 3 \\+ 1 = -2 rows"),
        (kj.conv_transpose, (2, 4, 4, 3), (3, 3, 4, 2), {}, "made for 4"),
        (kj.conv_transpose, (2, 4, 4, 3), (3, 3, 3, 2), {"groups": 2}, "2 groups do not divide the 3 channels"),
        (kj.conv_transpose, (2, 1, 4, 3), (2, 3, 3, 2), {"padding": 1}, "cuts everything away"),
        (kj.conv_transpose, (2, 4, 4, 3), (3, 3, 3, 2), {"output_padding": 1}, "less than the stride 1"),
        (kj.conv_transpose, (2, 4, 3), (3, 3, 2), {"stride": 2, "padding": "same", "output_padding": 1}, "leave"),
    ],
)
def test_what_cannot_be_convolved_is_refused(call, shape, kernel, arguments, said):
    """The message says which shapes came, and the likely mistake."""
    with pytest.raises(ShapeError, match=said) as error:
        call(kj.zeros(shape), kj.zeros(kernel), **arguments)
    assert str(error.value).startswith(call.__name__)


def test_types_are_not_mixed():
    """A float64 kernel does not meet a float32 input."""
    with pytest.raises(DTypeError, match="float64"):
        kj.conv(kj.zeros((1, 4, 1)), kj.zeros((2, 1, 1), dtype="float64"))
