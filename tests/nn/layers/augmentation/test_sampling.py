"""Linear interpolation at any places, and affine maps of images: against SciPy and PyTorch."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional as F

import kedja as kj
from kedja.nn.layers.augmentation.sampling import affine, sampled

RNG = np.random.default_rng(5)
MODES = {"constant": "grid-constant", "nearest": "nearest", "reflect": "reflect"}  # SciPy's names
torch.set_num_threads(1)


def by_scipy(x, places, fill, value):
    """Every example and channel by itself."""
    at = [np.broadcast_to(p, np.broadcast_shapes(*(q.shape for q in places))) for p in places]
    y = np.empty((*at[0].shape, x.shape[-1]))
    for n in range(len(x)):
        for c in range(x.shape[-1]):
            where = [p[n] for p in at]
            y[n, ..., c] = ndimage.map_coordinates(x[n, ..., c], where, order=1, mode=MODES[fill], cval=value)
    return y


@pytest.mark.parametrize("fill", MODES)
@pytest.mark.parametrize("space", [(6, 5), (7,), (1, 4), (2, 3, 4)])
def test_places_between_and_beyond(fill, space, judged):
    """Anywhere from three sizes before the edge to three sizes behind it, and exactly on elements."""
    x = RNG.normal(size=(3, *space, 2))
    places = [RNG.uniform(-3 * m, 4 * m, (3, 50)) for m in space]
    for p, m in zip(places, space):
        p[:, :20] = RNG.uniform(-1, m, (3, 20))
        p[:, 20:30] = RNG.integers(-1, m + 1, (3, 10))
    y = sampled(kj.tensor(x, dtype="float64"), [kj.tensor(p, dtype="float64") for p in places], fill, 0.7).numpy()
    expected = by_scipy(x, places, fill, 0.7)
    np.testing.assert_allclose(y, expected, atol=1e-12)
    for name in ("RandomShift", "RandomZoom"):
        judged("SciPy", f"layers/{name}", 1, np.abs(y - expected).max())


def test_places_along_one_axis_serve_all():
    """Places that broadcast are those written out."""
    x = RNG.normal(size=(2, 6, 5, 1))
    rows, columns = RNG.uniform(-1, 6, (2, 4, 1)), RNG.uniform(-1, 5, (1, 1, 3))
    y = sampled(kj.tensor(x, dtype="float64"), [kj.tensor(p, dtype="float64") for p in (rows, columns)]).numpy()
    assert y.shape == (2, 4, 3, 1)
    np.testing.assert_allclose(y, by_scipy(x, [rows, columns], "constant", 0.0), atol=1e-12)


def test_gradients_by_numbers_and_by_places():
    """PyTorch's grid_sample (its zeros beyond the edge, corners aligned): value, ∂/∂x and ∂/∂places."""
    x, places = RNG.normal(size=(2, 5, 4, 3)), RNG.uniform(-2, 7, (2, 2, 6, 7))
    ours = [kj.tensor(a, dtype="float64") for a in (x, *places.transpose(1, 0, 2, 3))]
    pull = RNG.normal(size=(2, 6, 7, 3))
    y = sampled(ours[0], ours[1:])
    found = kj.grad((y * pull).sum(), ours)
    t, p = torch.tensor(x, requires_grad=True), torch.tensor(places, requires_grad=True)
    grid = torch.stack([2 * p[:, 1] / 3 - 1, 2 * p[:, 0] / 4 - 1], -1)
    z = F.grid_sample(t.permute(0, 3, 1, 2), grid, padding_mode="zeros", align_corners=True).permute(0, 2, 3, 1)
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), atol=1e-12)
    by_x, by_p = torch.autograd.grad((z * torch.tensor(pull)).sum(), [t, p])
    np.testing.assert_allclose(found[0].numpy(), by_x.numpy(), atol=1e-12)
    for i in (0, 1):
        np.testing.assert_allclose(found[1 + i].numpy(), by_p[:, i].numpy(), atol=1e-12)


@pytest.mark.parametrize("fill", MODES)
def test_affine_maps(fill, judged):
    """Any matrix and offset about the centre, as scipy.ndimage.affine_transform has them."""
    x = RNG.normal(size=(4, 7, 9, 2))
    matrix, offset = RNG.normal(size=(4, 2, 2)), RNG.normal(size=(4, 2)) * 2
    as_node = [[kj.tensor(matrix[:, i, j], dtype="float64") for j in (0, 1)] for i in (0, 1)]
    shift = [kj.tensor(offset[:, i], dtype="float64") for i in (0, 1)]
    y = affine(kj.tensor(x, dtype="float64"), as_node, shift, fill, -0.5).numpy()
    centre = np.array([3.0, 4.0])
    worst = 0.0
    for n in range(4):
        for c in range(2):
            expected = ndimage.affine_transform(
                x[n, ..., c], matrix[n], centre + offset[n] - matrix[n] @ centre, order=1, mode=MODES[fill], cval=-0.5
            )
            worst = max(worst, np.abs(y[n, ..., c] - expected).max())
    assert worst < 1e-12
    for name in ("RandomAffine", "RandomRotation", "RandomShear"):
        judged("SciPy", f"layers/{name}", 1, worst)


def test_affine_maps_against_grids():
    """PyTorch's affine_grid in units of half an image, on square images."""
    x, theta = RNG.normal(size=(3, 8, 8, 1)), RNG.normal(size=(3, 2, 3))
    grid = F.affine_grid(torch.tensor(theta), (3, 1, 8, 8), align_corners=True)
    z = F.grid_sample(torch.tensor(x).permute(0, 3, 1, 2), grid, padding_mode="border", align_corners=True)
    order = [1, 0]  # theirs are columns first
    matrix = [[kj.tensor(theta[:, i, j], dtype="float64") for j in order] for i in order]
    offset = [kj.tensor(3.5 * theta[:, i, 2], dtype="float64") for i in order]
    y = affine(kj.tensor(x, dtype="float64"), matrix, offset, "nearest", 0.0).numpy()
    np.testing.assert_allclose(y, z.permute(0, 2, 3, 1).numpy(), atol=1e-12)


def test_float32_is_near_float64():
    """Places are computed in float32, images of 28×28 to a few parts in a million."""
    x = RNG.random((5, 28, 28, 1))
    both = [
        kj.nn.RandomAffine(20, 0.1, 0.2, 10)(kj.tensor(x, dtype=d), training=True, key=kj.random.key(0)).numpy()
        for d in ("float32", "float64")
    ]
    assert np.abs(both[0] - both[1]).max() < 1e-2  # the draws themselves differ by 2⁻²⁴
    assert np.abs(both[0] - both[1]).mean() < 1e-5
