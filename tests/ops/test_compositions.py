"""Functions made of ops (means, variances, log-sum-exp, stacks, one-hot, matrix products) against NumPy and PyTorch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import kedja as kj
from kedja.errors import DTypeError, GraphError, ShapeError

X = np.random.default_rng(2).normal(size=(2, 3, 4)).astype(np.float32)
AXES = pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (2, 0), (0, 1, 2), ()])


@AXES
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("name", ["sum", "mean", "max", "min"])
def test_reductions_are_numpys(name, axis, keepdims):
    """Over any axes, kept or dropped, as a function and as a method."""
    expected = getattr(np, name)(X, axis=axis, keepdims=keepdims)
    for found in (getattr(kj, name)(X, axis, keepdims), getattr(kj.tensor(X), name)(axis, keepdims)):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)


@AXES
@pytest.mark.parametrize("ddof", [0, 1])
def test_variance_is_numpys(axis, ddof):
    """With n or n − 1 below; of a single number with n − 1 it is not a number."""
    with np.errstate(all="ignore"):
        expected = np.var(X, axis=axis, ddof=ddof) if axis != () or ddof == 0 else np.full(X.shape, np.nan)
    np.testing.assert_allclose(kj.variance(X, axis, ddof=ddof).numpy(), expected, rtol=1e-5)


@AXES
def test_logsumexp_is_pytorchs(axis):
    """Also where all are −∞ or one is +∞ or missing."""
    rows = np.concatenate([X, np.full((1, 3, 4), -np.inf, np.float32), X[:1] * 1000])
    rows[0, 0, 0], rows[1, 0, 0] = np.inf, np.nan
    dims = tuple(range(3)) if axis is None else axis
    expected = torch.logsumexp(torch.tensor(rows), dims).numpy() if axis != () else rows
    np.testing.assert_allclose(kj.logsumexp(rows, axis).numpy(), expected, rtol=1e-5)


def test_gradient_of_logsumexp_is_softmax():
    """At logits of ±1000 too."""
    x = kj.tensor([1000.0, 1000.0, -1000.0])
    assert kj.grad(kj.logsumexp(x), x).tolist() == [0.5, 0.5, 0.0]


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax_at_large_logits(axis):
    """softmax and log_softmax are PyTorch's at ±1000."""
    big = X[0] * 1000
    for ours, theirs in ((kj.softmax, torch.softmax), (kj.log_softmax, torch.log_softmax)):
        np.testing.assert_allclose(
            ours(big, axis).numpy(), theirs(torch.tensor(big), axis).numpy(), rtol=1e-5, atol=1e-30
        )


@pytest.mark.parametrize("name", ["argmax", "argmin", "argsort"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_positions_are_numpys(name, axis):
    """First among equals, int64."""
    ties = np.round(X)
    expected = np.argsort(ties, axis, kind="stable") if name == "argsort" else getattr(np, name)(ties, axis)
    found = getattr(kj, name)(ties, axis)
    np.testing.assert_array_equal(found.numpy(), expected)
    assert found.dtype == np.int64


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda: kj.stack([X, X], 1), lambda: np.stack([X, X], 1)),
        (lambda: kj.stack([X, X], -1), lambda: np.stack([X, X], -1)),
        (lambda: kj.concatenate([X, X[:1]], 0), lambda: np.concatenate([X, X[:1]], 0)),
        (lambda: kj.pad(X, [(1, 0), (0, 0), (2, 3)]), lambda: np.pad(X, [(1, 0), (0, 0), (2, 3)])),
        (lambda: kj.transpose(X, (2, 0, 1)), lambda: np.transpose(X, (2, 0, 1))),
        (lambda: kj.tensor(X).transpose(1, 0, 2), lambda: X.transpose(1, 0, 2)),
        (lambda: kj.tensor(X).T, lambda: X.T),
        (lambda: kj.tensor(X).reshape(6, -1), lambda: X.reshape(6, -1)),
        (lambda: kj.expand_dims(X, -2), lambda: np.expand_dims(X, -2)),
        (lambda: kj.squeeze(X[:1, :, :1]), lambda: np.squeeze(X[:1, :, :1])),
        (lambda: kj.squeeze(X[:1, :, :1], -1), lambda: np.squeeze(X[:1, :, :1], -1)),
        (lambda: kj.flip(X, (0, 2)), lambda: np.flip(X, (0, 2))),
        (lambda: kj.cumsum(X, 1), lambda: np.cumsum(X, 1)),
        (lambda: kj.broadcast_to(X[:, :1], (5, 2, 3, 4)), lambda: np.broadcast_to(X[:, :1], (5, 2, 3, 4))),
        (lambda: kj.one_hot(kj.tensor([[0, 2]], dtype="int64"), 3), lambda: np.eye(3)[[[0, 2]]]),
        (lambda: kj.full((2, 1), 3), lambda: np.full((2, 1), 3.0)),
        (lambda: kj.all(X > -9, 1), lambda: np.all(X > -9, 1)),
        (lambda: kj.any(X > 9), lambda: np.any(X > 9)),
    ],
)
def test_shapes_are_moved_as_numpy_moves_them(ours, theirs):
    """Same shape, same elements."""
    found, expected = ours(), theirs()
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def sides(rank: int) -> st.SearchStrategy:
    """Leading axes of a matrix product."""
    return st.lists(st.sampled_from([1, 2]), max_size=rank).map(tuple)


@settings(max_examples=80, deadline=None)
@given(sides(2), sides(2), st.booleans(), st.booleans(), st.integers(0, 3), st.integers(0, 99))
def test_matmul_and_its_gradients_are_pytorchs(a_lead, b_lead, a_vector, b_vector, k, seed):
    """Vectors, matrices, stacks that broadcast, and inner axes of size 0."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(k,) if a_vector else (*a_lead, 3, k))
    b = rng.normal(size=(k,) if b_vector else (*b_lead, k, 2))
    ta, tb = torch.tensor(a, requires_grad=True), torch.tensor(b, requires_grad=True)
    expected = ta @ tb
    weight = rng.normal(size=expected.shape)
    (expected * torch.tensor(weight)).sum().backward()
    x, y = kj.tensor(a, dtype="float64"), kj.tensor(b, dtype="float64")
    found = x @ y
    np.testing.assert_allclose(found.numpy(), expected.detach().numpy(), atol=1e-12)
    for g, e in zip(kj.vjp(found, [x, y], seed=weight), (ta.grad, tb.grad), strict=True):
        np.testing.assert_allclose(g.numpy(), e.numpy(), atol=1e-12)


@pytest.mark.parametrize(
    ("ask", "error", "words"),
    [
        (lambda: kj.mean(kj.arange(3)), DTypeError, "not a whole number"),
        (lambda: kj.sum(kj.tensor([True])), DTypeError, "kj.cast"),
        (lambda: kj.max(kj.zeros((0, 2)), axis=0), ShapeError, "empty axis"),
        (lambda: kj.argmax(kj.zeros((0,))), ShapeError, "no largest"),
        (lambda: kj.all(kj.ones(2)), DTypeError, "needs booleans"),
        (lambda: kj.stack([]), ShapeError, "at least one"),
        (lambda: kj.concatenate([kj.tensor(1.0)]), ShapeError, "kj.stack for single numbers"),
        (lambda: kj.stack([kj.ones(2), kj.ones(3)]), ShapeError, "do not join"),
        (lambda: kj.squeeze(kj.ones((2, 1)), 0), ShapeError, "not of size 1"),
        (lambda: kj.transpose(kj.ones((2, 1)), (0, 0)), ShapeError, "not an order"),
        (lambda: kj.broadcast_to(kj.ones(3), (2,)), ShapeError, "broadcast"),
        (lambda: kj.pad(kj.ones(3), [(-1, 0)]), ShapeError, "≥ 0"),
        (lambda: kj.one_hot(kj.ones(2), 3), ShapeError, "integer labels"),
        (lambda: kj.ones(2) @ kj.tensor(1.0), ShapeError, "use \\* instead"),
        (lambda: kj.sum(kj.ones(2), axis="x"), GraphError, "whole number"),
    ],
)
def test_impossible_requests_are_refused(ask, error, words):
    """With what to do about it."""
    with pytest.raises(error, match=words):
        ask()
