"""Products, remainders, sorting, and reading and writing at positions, against NumPy and PyTorch."""

import numpy as np
import pytest
import torch

import kedja as kj
from kedja.errors import DataError, DTypeError, ShapeError, UnknownNameError

RNG = np.random.default_rng(7)
X = RNG.normal(size=(3, 5, 4))


def float64(x: np.ndarray) -> kj.Tensor:
    """A float64 tensor."""
    return kj.tensor(x, dtype="float64")


@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 2), ()])
@pytest.mark.parametrize("keepdims", [False, True])
def test_product_is_numpys(axis, keepdims):
    """Over any axes, of floats and whole numbers; of nothing it is 1."""
    for x in (float64(X), kj.tensor(np.arange(1, 61).reshape(3, 5, 4) % 3 + 1)):
        expected = np.prod(x.numpy(), axis=axis, keepdims=keepdims, dtype=x.dtype)
        found = kj.prod(x, axis, keepdims)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
        assert found.dtype == x.dtype and found.shape == expected.shape
    assert kj.prod(kj.ones((2, 0)), 1).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
@pytest.mark.parametrize("ours", [kj.prod, kj.cumprod])
def test_gradient_of_products_is_exact_at_zeros(ours, zeros):
    """The product divided by the factor would be 0/0 there; PyTorch's gradient is the judge."""
    x = RNG.normal(size=7)
    x[RNG.permutation(7)[:zeros]] = 0.0
    theirs = torch.tensor(x, requires_grad=True)
    y = torch.prod(theirs) if ours is kj.prod else torch.cumprod(theirs, 0)
    weight = RNG.normal(size=tuple(y.shape))
    (y * torch.tensor(weight)).sum().backward()
    mine = float64(x)
    z = ours(mine)
    np.testing.assert_allclose(z.numpy(), y.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(kj.grad((z * float64(weight)).sum(), mine).numpy(), theirs.grad.numpy(), rtol=1e-12)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_running_product_is_numpys(axis):
    """Along any axis, also of length 0 and 1."""
    np.testing.assert_allclose(kj.cumprod(float64(X), axis).numpy(), np.cumprod(X, axis), rtol=1e-12)
    for n in (0, 1):
        np.testing.assert_array_equal(kj.cumprod(kj.ones((2, n))).numpy(), np.ones((2, n)))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "int64"])
def test_remainders_are_numpys(dtype):
    """Of all signs; for floats also at 0, ∞ and NaN."""
    a, b = np.meshgrid([-7, -3, -1, 0, 2, 5, 100], [-5, -2, 1, 3, 7])
    pairs = [(a.astype(dtype), b.astype(dtype))]
    if dtype.startswith("f"):
        special = np.array([0.0, -0.0, 1.5, -2.25, np.inf, -np.inf, np.nan], dtype)
        pairs += [np.meshgrid(special, special), (a.astype(dtype) / 3, b.astype(dtype) / 7)]
    for x, y in pairs:
        with np.errstate(all="ignore"):
            rest, cut = np.remainder(x, y), np.fmod(x, y)
        np.testing.assert_array_equal(kj.remainder(kj.tensor(x, dtype), kj.tensor(y, dtype)).numpy(), rest)
        np.testing.assert_array_equal(kj.fmod(kj.tensor(x, dtype), kj.tensor(y, dtype)).numpy(), cut)


def test_gradient_of_remainder_is_pytorchs():
    """1 by the first number, −⌊a / b⌋ by the second; through the operator % too."""
    a, b = np.array([5.5, -5.5, 5.5, -5.5]), np.array([2.0, 2.0, -2.0, -2.0])
    x, y = torch.tensor(a, requires_grad=True), torch.tensor(b, requires_grad=True)
    torch.remainder(x, y).sum().backward()
    mine = [float64(a), float64(b)]
    found = kj.grad((mine[0] % mine[1]).sum(), mine)
    np.testing.assert_allclose([g.numpy() for g in found], [x.grad.numpy(), y.grad.numpy()])


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("descending", [False, True])
def test_sorting_is_pytorchs(axis, descending):
    """Values and gradient; ties keep their order."""
    theirs = torch.tensor(X, requires_grad=True)
    weight = RNG.normal(size=X.shape)
    expected = torch.sort(theirs, axis, descending).values
    (expected * torch.tensor(weight)).sum().backward()
    mine = float64(X)
    found = kj.sort(mine, axis, descending)
    np.testing.assert_array_equal(found.numpy(), expected.detach().numpy())
    np.testing.assert_array_equal(kj.grad((found * float64(weight)).sum(), mine).numpy(), theirs.grad.numpy())


@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize("k", [0, 1, 3, 5])
def test_top_k_is_pytorchs(k, largest):
    """Values and positions where all differ."""
    values, places = kj.top_k(float64(X), k, 1, largest)
    expected = torch.topk(torch.tensor(X), k, 1, largest)
    np.testing.assert_array_equal(values.numpy(), expected.values.numpy())
    np.testing.assert_array_equal(places.numpy(), expected.indices.numpy())


def test_top_k_takes_the_first_of_equals():
    """Also of unsigned numbers, of which there is no negative."""
    values, places = kj.top_k(kj.tensor(np.array([3, 7, 0, 7, 3], np.uint8)), 4)
    assert values.tolist() == [7, 7, 3, 3] and places.tolist() == [1, 3, 0, 4]
    values, places = kj.top_k(kj.tensor(np.array([3, 7, 0, 7, 0], np.uint8)), 3, largest=False)
    assert values.tolist() == [0, 0, 3] and places.tolist() == [2, 4, 0]


REDUCE = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("reduce", ["set", *REDUCE])
def test_writing_along_an_axis_is_pytorchs(axis, reduce):
    """Values and gradients; positions repeat unless they set, may be negative, and cover a part of the other axes."""
    n = X.shape[axis]
    shape = [max(s - 1, 1) for s in X.shape]
    shape[axis] = 2 if reduce == "set" else 6
    if reduce == "set":
        indices = np.apply_along_axis(RNG.permutation, axis, np.broadcast_to(np.arange(2).reshape(_along(axis)), shape))
    else:
        indices = RNG.integers(-n, n, shape)
    updates = RNG.normal(size=shape)
    x, u = torch.tensor(X, requires_grad=True), torch.tensor(updates, requires_grad=True)
    at = torch.tensor(indices % n)
    y = torch.scatter(x, axis, at, u) if reduce == "set" else x.scatter_reduce(axis, at, u, REDUCE[reduce])
    weight = RNG.normal(size=X.shape)
    (y * torch.tensor(weight)).sum().backward()
    mine = [float64(X), float64(updates)]
    found = kj.put_along_axis(mine[0], indices, mine[1], axis, reduce)
    np.testing.assert_allclose(found.numpy(), y.detach().numpy(), rtol=1e-12)
    for g, t in zip(kj.grad((found * float64(weight)).sum(), mine), (x, u), strict=True):
        np.testing.assert_allclose(g.numpy(), t.grad.numpy(), rtol=1e-12, atol=1e-14)


def _along(axis: int) -> list[int]:
    return [-1 if i == axis else 1 for i in range(3)]


@pytest.mark.parametrize("k", [0, 1, 2, 3])
def test_reading_at_positions_is_numpys(k):
    """Of as many numbers as x has axes, or fewer; negative ones count from the end. The gradient adds up repeats."""
    at = np.stack([RNG.integers(-n, n, (2, 6)) for n in X.shape[:k]], -1) if k else np.zeros((2, 6, 0), np.int64)
    expected = X[tuple(at[..., j] for j in range(k))] if k else np.broadcast_to(X, (2, 6, *X.shape))
    np.testing.assert_array_equal(kj.gather_nd(float64(X), at).numpy(), expected)
    weight = RNG.normal(size=expected.shape)
    assert kj.check_gradients(lambda x: (kj.gather_nd(x, at) * float64(weight)).sum(), X)


def test_reading_in_batches_is_a_loop():
    """With batch axes every example has positions of its own."""
    at = np.stack([RNG.integers(0, 5, (3, 2)), RNG.integers(0, 4, (3, 2))], -1)
    found = kj.gather_nd(float64(X), at, batch_axes=1).numpy()
    np.testing.assert_array_equal(found, [X[b][at[b, :, 0], at[b, :, 1]] for b in range(3)])


@pytest.mark.parametrize("reduce", ["set", "add", "mul", "max", "min"])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_writing_at_positions_is_numpys(k, reduce):
    """ufunc.at writes one update after the other."""
    places = RNG.permutation(int(np.prod(X.shape[:k])))[:2]
    at = np.stack(np.unravel_index(places, X.shape[:k]), -1)
    if reduce != "set":
        at = np.concatenate([at, at[:1]])
    updates = RNG.normal(size=(len(at), *X.shape[k:]))
    expected = X.copy()
    where = tuple(at[:, j] for j in range(k))
    if reduce == "set":
        expected[where] = updates
    else:
        ufunc = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}[reduce]
        ufunc.at(expected, where, updates)
    found = kj.scatter_nd(float64(X), at, float64(updates), reduce)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("engine", ["reference", "xla"])
def test_engines_agree(engine):
    """Sorting, writing and multiplying, compiled or not."""
    at = np.array([[0, 2], [1, 1], [4, 0]])

    def f(x):
        y = kj.put_along_axis(kj.sort(x, 1), np.zeros((3, 2, 4), np.int64), x[:, :2], 1, "mul")
        return kj.prod(y, 1) + kj.einsum("abc,cd->ad", x, kj.eye(4, dtype="float64")) + kj.gather_nd(x[0], at).sum()

    with kj.default_dtype("float64"):
        found = kj.compile(f, engine=engine)(X).numpy()
        np.testing.assert_allclose(found, f(float64(X)).numpy(), rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: kj.top_k(X, 6, 1), ShapeError, "k = 6, but axis 1 .* has 5 elements"),
        (lambda: kj.prod(kj.tensor([True])), DTypeError, "kj.all"),
        (lambda: kj.put_along_axis(X, [[0]], [[1.0]]), ShapeError, "must have one shape"),
        (lambda: kj.put_along_axis(kj.ones(3), [0, 0], kj.ones(2)), ShapeError, "must not occur twice"),
        (lambda: kj.put_along_axis(kj.ones(3), [0, -3], kj.ones(2)), ShapeError, "must not occur twice"),
        (lambda: kj.put_along_axis(kj.ones(3), [3], kj.ones(1), reduce="max"), ShapeError, "position 3 is out of"),
        (lambda: kj.put_along_axis(kj.ones(3), [0], kj.ones(1), reduce="mean"), UnknownNameError, "unknown reduce"),
        (lambda: kj.scatter_nd(kj.ones((3, 2)), [[0]], kj.ones((1, 3))), ShapeError, r"need \(1, 2\)"),
        (lambda: kj.gather_nd(kj.ones((3, 2)), [[0, 0, 0]]), ShapeError, "name more axes than x has"),
        (lambda: kj.compile(lambda i: kj.gather_nd(kj.ones((3, 2)), i), engine="reference")(np.array([[3]])),
         DataError, "position 3 is out of range"),
    ],
)  # fmt: skip
def test_errors_say_what_does_not_fit(call, error, message):
    """One clear message each."""
    with pytest.raises(error, match=message):
        call()
