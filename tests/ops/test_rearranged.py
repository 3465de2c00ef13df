"""Tiles, splits, triangles, diagonals, padding, blocks of pixels: values against NumPy and PyTorch, and gradients."""

import numpy as np
import pytest
import torch

import kedja as kj
from kedja.errors import KedjaError, ShapeError, UnknownNameError

RNG = np.random.default_rng(31)
X = RNG.normal(size=(2, 3, 4)).astype(np.float32)
SQUARE = RNG.normal(size=(2, 3, 3)).astype(np.float32)
IMAGE = RNG.normal(size=(2, 4, 6, 8)).astype(np.float32)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda x: kj.tile(x, 2), lambda x: np.tile(x, 2)),
        (lambda x: kj.tile(x, (2, 1, 3)), lambda x: np.tile(x, (2, 1, 3))),
        (lambda x: kj.tile(x, (2, 1, 1, 3)), lambda x: np.tile(x, (2, 1, 1, 3))),
        (lambda x: kj.tile(x, (1, 0, 1)), lambda x: np.tile(x, (1, 0, 1))),
        (lambda x: kj.moveaxis(x, 0, -1), lambda x: np.moveaxis(x, 0, -1)),
        (lambda x: kj.moveaxis(x, -1, 1), lambda x: np.moveaxis(x, -1, 1)),
        (lambda x: kj.split(x, 3, 1)[1], lambda x: np.split(x, 3, 1)[1]),
        (lambda x: kj.split(x, [1, 0, 3], -1)[2], lambda x: np.split(x, [1, 1], -1)[2]),
        (lambda x: kj.tril(x), np.tril),
        (lambda x: kj.tril(x, -1), lambda x: np.tril(x, -1)),
        (lambda x: kj.triu(x, 2), lambda x: np.triu(x, 2)),
        (lambda x: kj.triu(x, -7), lambda x: np.triu(x, -7)),
        (lambda x: kj.diagonal(x), lambda x: np.diagonal(x, 0, -2, -1)),
        (lambda x: kj.diagonal(x, 0, 2), lambda x: np.diagonal(x, 0, 0, 2)),
        (lambda x: kj.diagonal(x, 2, 0), lambda x: np.diagonal(x, 0, 2, 0)),
        (lambda x: kj.pad(x, [(1, 0), (0, 2), (0, 0)], value=7.5),
         lambda x: np.pad(x, [(1, 0), (0, 2), (0, 0)], constant_values=7.5)),
        (lambda x: kj.pad(x, [(1, 0), (0, 2), (3, 1)], "edge"), lambda x: np.pad(x, [(1, 0), (0, 2), (3, 1)], "edge")),
        (lambda x: kj.pad(x, [(0, 0), (2, 1), (3, 3)], "reflect"),
         lambda x: np.pad(x, [(0, 0), (2, 1), (3, 3)], "reflect")),
        (lambda x: kj.pad(x, [(3, 0), (4, 1), (0, 9)], "wrap"), lambda x: np.pad(x, [(3, 0), (4, 1), (0, 9)], "wrap")),
        (lambda x: kj.pad(x, [(0, 0), (7, 1), (0, 0)], "reflect"),
         lambda x: np.pad(x, [(0, 0), (7, 1), (0, 0)], "reflect")),
        (lambda x: kj.clip(x, -0.5, 0.5), lambda x: np.clip(x, -0.5, 0.5)),
        (lambda x: kj.clip(x, high=0.25), lambda x: np.minimum(x, np.float32(0.25))),
    ],
)  # fmt: skip
def test_values_are_numpys_and_gradients_those_of_perturbation(ours, theirs):
    """Each rearrangement gives NumPy's array, keeps the type, and sends gradients back to where elements came from."""
    found = ours(kj.tensor(X))
    np.testing.assert_array_equal(found.numpy(), theirs(X))
    assert found.dtype == np.float32
    if found.size:
        weight = RNG.normal(size=found.shape)
        assert kj.check_gradients(lambda x: (ours(x) * kj.tensor(weight, dtype="float64")).sum(), X.astype(float))


@pytest.mark.parametrize(("rows", "columns", "k"), [(3, None, 0), (3, 5, 1), (4, 2, -2), (0, 3, 0), (2, 2, 9)])
def test_eye_is_numpys(rows, columns, k):
    """Square or not, on any diagonal, in any type."""
    for dtype in ("float32", "int64", "bool"):
        found = kj.eye(rows, columns, k, dtype)
        np.testing.assert_array_equal(found.numpy(), np.eye(rows, columns, k, dtype))
        assert found.dtype == dtype


@pytest.mark.parametrize("block", [1, 2])
def test_pixel_shuffle_is_pytorchs(block):
    """In the order "CRD", channels last, `depth_to_space` is PyTorch's pixel shuffle and `space_to_depth` undoes it."""
    theirs = torch.pixel_shuffle(torch.tensor(np.moveaxis(IMAGE, -1, 1)), block).movedim(1, -1).numpy()
    found = kj.depth_to_space(IMAGE, block, "CRD")
    np.testing.assert_array_equal(found.numpy(), theirs)
    np.testing.assert_array_equal(kj.space_to_depth(found, block, "CRD").numpy(), IMAGE)


@pytest.mark.parametrize("shape", [(2, 6, 4), (1, 4, 6, 8), (2, 3, 2, 2, 16)])
def test_blocks_of_pixels_are_undone(shape):
    """In the order "DCR" too, in one, two and three dimensions; the first channel's block comes first."""
    x = RNG.normal(size=shape).astype(np.float32)
    y = kj.depth_to_space(x, 2)
    assert y.shape == (shape[0], *(2 * n for n in shape[1:-1]), shape[-1] // 2 ** (len(shape) - 2))
    np.testing.assert_array_equal(kj.space_to_depth(y, 2).numpy(), x)
    corner = (0,) * (len(shape) - 1)
    np.testing.assert_array_equal(y.numpy()[corner], x[corner][: y.shape[-1]])


def test_clip_at_its_bounds_is_pytorchs():
    """The gradient passes on the bounds and stops outside; NaN stays; where the bounds cross, the upper one wins."""
    points = np.array([-2.0, -1.0, 0.0, 1.0, 2.0, np.nan])
    x = torch.tensor(points, requires_grad=True)
    torch.clamp(x, -1.0, 1.0).nansum().backward()
    mine = kj.tensor(points, dtype="float64")
    y = kj.clip(mine, -1.0, 1.0)
    np.testing.assert_array_equal(y.numpy(), x.detach().clamp(-1, 1).numpy())
    np.testing.assert_array_equal(kj.grad(y[:5].sum(), mine).numpy()[:5], x.grad.numpy()[:5])
    assert kj.clip(kj.tensor([0.0, 9.0]), 5.0, 1.0).tolist() == [1.0, 1.0]
    assert kj.clip(kj.tensor([1, 5, 9]), 2, 6).tolist() == [2.0, 5.0, 6.0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: kj.split(X, 2, 1), ShapeError, "3 slices along axis 1 .* do not make 2 equal parts"),
        (lambda: kj.split(X, [1, 1], 1), ShapeError, "add up to 2, but axis 1 .* has 3"),
        (lambda: kj.tile(X, -1), ShapeError, "at least 0"),
        (lambda: kj.tril(kj.ones(3)), ShapeError, "needs a matrix"),
        (lambda: kj.diagonal(X, 1, 1), ShapeError, "two different axes"),
        (lambda: kj.pad(X, [(0, 0)] * 3, "mirror"), UnknownNameError, "unknown mode 'mirror'"),
        (lambda: kj.pad(kj.ones((0, 2)), [(1, 0), (0, 0)], "edge"), ShapeError, "axis 0 .* is empty"),
        (lambda: kj.depth_to_space(IMAGE, 3), ShapeError, "8 channels .* no multiple of 3\\^2"),
        (lambda: kj.space_to_depth(IMAGE, 4), ShapeError, "do not fill"),
        (lambda: kj.space_to_depth(IMAGE, 2, "RCD"), UnknownNameError, "unknown mode 'RCD'. Known: CRD, DCR."),
        (lambda: kj.clip(X), KedjaError, "clip needs a bound"),
    ],
)
def test_errors_say_what_does_not_fit(call, error, message):
    """One clear message each."""
    with pytest.raises(error, match=message):
        call()
