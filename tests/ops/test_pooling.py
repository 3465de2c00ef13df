"""Pooling against PyTorch and Keras for geometry drawn at random; ties, missing numbers, padding, the refusals."""

import jax
import keras
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import kedja as kj
from kedja.errors import ShapeError

torch.set_num_threads(1)
PLANS = st.integers(1, 3).flatmap(
    lambda rank: st.fixed_dictionaries(
        {
            "n": st.lists(st.integers(4, (12, 8, 5)[rank - 1]), min_size=rank, max_size=rank),
            "size": st.lists(st.integers(1, 3), min_size=rank, max_size=rank),
            "stride": st.one_of(st.none(), st.lists(st.integers(1, 4), min_size=rank, max_size=rank)),
            "batch": st.integers(1, 2),
            "pad": st.integers(0, 1),
            "seed": st.integers(0, 99),
            "levels": st.sampled_from([2, 5, 1000]),
        }
    )
)


def drawn(plan):
    """An input with few different numbers, so that there are ties, and the arguments."""
    x = np.random.default_rng(plan["seed"]).integers(0, plan["levels"], (plan["batch"], *plan["n"], 2)) / 7
    pads = tuple(min(plan["pad"], k // 2) for k in plan["size"])
    return x, tuple(plan["size"]), None if plan["stride"] is None else tuple(plan["stride"]), pads


def in_torch(x, call):
    """Value and gradient by PyTorch."""
    x = torch.tensor(x, requires_grad=True)
    y = call(x.movedim(-1, 1)).movedim(1, -1)
    (y * torch.cos(torch.arange(y.numel(), dtype=torch.float64)).reshape(y.shape)).sum().backward()
    return y.detach().numpy(), x.grad.numpy()


def in_kedja(x, call):
    """The same by kedja."""
    x = kj.tensor(x, dtype="float64")
    y = call(x)
    by = kj.tensor(np.cos(np.arange(y.size, dtype=np.float64)).reshape(y.shape), dtype="float64")
    return y.numpy(), kj.grad((y * by).sum(), x).numpy()


def agree(found, expected):
    """Value and gradient are the same."""
    for f, e in zip(found, expected, strict=True):
        np.testing.assert_allclose(f, e, rtol=1e-10, atol=1e-10)


@settings(max_examples=60, deadline=None)
@given(PLANS, st.integers(1, 2))
def test_max_pooling_is_pytorchs(plan, dilation):
    """Values and gradients; among equal numbers the first wins, as it does there."""
    x, size, stride, pads = drawn(plan)
    if any(n + 2 * p < dilation * (k - 1) + 1 for n, p, k in zip(plan["n"], pads, size, strict=True)):
        dilation = 1
    function = getattr(torch.nn.functional, f"max_pool{len(size)}d")
    agree(
        in_kedja(x, lambda x: kj.max_pool(x, size, stride, pads, dilation)),
        in_torch(x, lambda x: function(x, size, stride, pads, dilation)),
    )


@settings(max_examples=60, deadline=None)
@given(PLANS, st.booleans())
def test_mean_pooling_is_pytorchs(plan, counted):
    """Values and gradients, with padding counted as zeros or left out."""
    x, size, stride, pads = drawn(plan)
    function = getattr(torch.nn.functional, f"avg_pool{len(size)}d")
    agree(
        in_kedja(x, lambda x: kj.mean_pool(x, size, stride, pads, count_padding=counted)),
        in_torch(x, lambda x: function(x, size, stride, pads, count_include_pad=counted)),
    )


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [2, 3, 4])
def test_same_padding_is_keras(size, stride):
    """Padding is uneven there: the maximum does not see it, and the mean does not count it, as in JAX's windows."""
    x = np.random.default_rng(size).normal(size=(2, 7, 6, 3)).astype("float32") - 5
    expected = np.asarray(keras.ops.max_pool(x, size, stride, "same", data_format="channels_last"))
    np.testing.assert_allclose(kj.max_pool(x, size, stride, "same").numpy(), expected, rtol=1e-5)

    def added(values):
        window, steps = (1, size, size, 1), (1, stride, stride, 1)
        return np.asarray(jax.lax.reduce_window(values, 0.0, jax.lax.add, window, steps, "SAME"))

    mean = added(x) / added(np.ones_like(x))  # Keras's mean counts the padding where its backend is PyTorch
    np.testing.assert_allclose(kj.mean_pool(x, size, stride, "same").numpy(), mean, rtol=1e-5)


def test_sum_of_windows_is_keras_mean_times_their_size():
    """A sum where nothing is padded."""
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 3)).astype("float32")
    expected = 6 * np.asarray(keras.ops.average_pool(x, (2, 3), 2, "valid", data_format="channels_last"))
    np.testing.assert_allclose(kj.sum_pool(x, (2, 3), 2).numpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("engine", ["reference", "xla"])
@pytest.mark.parametrize("arguments", [{"size": 2}, {"size": 3, "stride": 1, "padding": 1}, {"size": 4, "stride": 4}])
def test_first_of_equal_numbers_receives_everything(engine, arguments):
    """Where all numbers of a window are equal its gradient goes to its first element, to the bit on both engines."""
    step = kj.compile(lambda x: kj.grad(kj.max_pool(x, **arguments).sum(), x), engine=engine)
    found = np.asarray(step(np.full((1, 4, 4, 1), 3.0, "float32")))[0, :, :, 0]
    expected = {
        2: [[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]],
        3: [[4, 2, 2, 0], [2, 1, 1, 0], [2, 1, 1, 0], [0, 0, 0, 0]],
        4: [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
    }[arguments["size"]]
    assert found.tolist() == expected


@pytest.mark.parametrize("engine", ["reference", "xla"])
@pytest.mark.parametrize("size", [2, 3])
def test_a_missing_number_is_not_hidden(engine, size):
    """A window with a missing number has no maximum, whatever else stands in it."""
    x = np.arange(9, dtype="float32").reshape(1, 9, 1)
    x[0, 4] = np.nan
    found = np.asarray(kj.compile(lambda x: kj.max_pool(x, size, 1), engine=engine)(x)).ravel()
    expected = np.asarray(keras.ops.max_pool(x, size, 1, data_format="channels_last")).ravel()
    np.testing.assert_array_equal(found, expected)
    assert np.isnan(found).sum() == size


def test_padding_never_wins():
    """Where an input is −∞ everywhere, its gradient still goes to the input and not to the padding."""
    x = kj.tensor(np.full((1, 3, 1), -np.inf, "float32"))
    y = kj.max_pool(x, 2, 1, 1)
    assert kj.grad(y.sum(), x).numpy().ravel().tolist() == [2.0, 1.0, 1.0]


def test_integers_are_pooled():
    """Padding counts as the smallest integer, so that negative ones win."""
    x = kj.tensor(np.array([-3, -5, -4]).reshape(1, 3, 1))
    assert kj.max_pool(x, 2, 1, 1).numpy().ravel().tolist() == [-3, -3, -4, -4]


def test_a_shift_by_one_pixel_moves_pooled_numbers_less():
    """Of the largest of three neighbours, some stay when the input moves one place (scope 2.6)."""
    x = np.array([0.1, 1.0, 0.2, 0.1, 0.0, 0.1, 0.0])
    moved = np.roll(x, 1)
    a, b = (kj.max_pool(v.reshape(1, -1, 1), 3, 1, "same").numpy().ravel() for v in (x, moved))
    assert (x != moved).sum() == 7 and (a != b).sum() < 5


@pytest.mark.parametrize(
    ("call", "shape", "arguments", "said"),
    [
        (kj.max_pool, (4, 4), {"size": 2}, "needs an input of at least 3 axes"),
        (kj.max_pool, (1, 4, 4, 1), {"size": 5}, "the 5×5 window does not fit the 4×4 input"),
        (kj.max_pool, (1, 4, 4, 1), {"size": 2, "padding": 2}, "along axis 1 the window at 0 of 4 holds nothing but"),
        (kj.mean_pool, (1, 4, 1), {"size": 2, "padding": (0, 2)}, "0 before and 2 after is too much for a window of 2"),
        (kj.sum_pool, (1, 4, 1), {"size": 0}, "size of the window must be at least 1"),
        (kj.mean_pool, (1, 4, 1), {"size": 2, "stride": 0}, "stride must be at least 1"),
    ],
)
def test_what_cannot_be_pooled_is_refused(call, shape, arguments, said):
    """The message names the function and says what does not fit."""
    with pytest.raises(ShapeError, match=said) as error:
        call(kj.zeros(shape), **arguments)
    assert str(error.value).startswith(call.__name__)
