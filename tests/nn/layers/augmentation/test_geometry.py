"""Which maps are drawn: read off two ramps, on which bilinear interpolation is exact."""

import numpy as np
import pytest
from scipy import ndimage, stats

import kedja as kj
from kedja.errors import DataError, DTypeError, ShapeError, UnknownNameError

N, H, W = 300, 21, 25
nn = kj.nn
KEY = kj.random.key(4)


def maps(layer, h=H, w=W, n=N):
    """(n, 2, 3): the matrix A and the offset b in y(p) = x(c + A (p − c) + b) for each example, by least squares."""
    down, right = np.meshgrid(np.arange(h) - (h - 1) / 2, np.arange(w) - (w - 1) / 2, indexing="ij")
    x = np.broadcast_to(np.stack([down, right], -1), (n, h, w, 2))
    y = layer(kj.tensor(x, dtype="float64"), training=True, key=KEY).numpy()
    a, b = slice(h // 2 - 3, h // 2 + 4), slice(w // 2 - 3, w // 2 + 4)  # inside whatever is drawn below
    known = np.stack([down[a, b].ravel(), right[a, b].ravel(), np.ones(49)], 1)
    found, rest, *_ = np.linalg.lstsq(known, y[:, a, b].transpose(1, 2, 0, 3).reshape(49, -1), rcond=None)
    assert rest.max() < 1e-18
    return found.T.reshape(n, 2, 3)


def is_uniform(values, low, high):
    """By Kolmogorov and Smirnov, at the 1e-4 level."""
    assert values.min() >= low - 1e-9 and values.max() <= high + 1e-9
    return stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-4


def test_rotations_are_rotations():
    """Orthogonal, about the centre, uniform in the angle."""
    found = maps(nn.RandomRotation(25))
    a = found[:, :, :2]
    np.testing.assert_allclose(a @ a.transpose(0, 2, 1), np.broadcast_to(np.eye(2), a.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(a), 1)
    np.testing.assert_allclose(found[:, :, 2], 0, atol=1e-12)
    assert is_uniform(np.degrees(np.arctan2(a[:, 0, 1], a[:, 0, 0])), -25, 25)


def test_shears_let_upright_lines_lean():
    """Rows stay where they are and slide along themselves."""
    found = maps(nn.RandomShear(30))
    np.testing.assert_allclose(found[:, 0], np.broadcast_to([1, 0, 0], (N, 3)), atol=1e-12)
    np.testing.assert_allclose(found[:, 1, 1:], np.broadcast_to([1, 0], (N, 2)), atol=1e-12)
    assert is_uniform(np.degrees(np.arctan(found[:, 1, 0])), -30, 30)


def test_zooms_magnify_as_often_as_they_reduce():
    """The same along both axes, its logarithm uniform."""
    found = maps(nn.RandomZoom(0.5))
    np.testing.assert_allclose(found[:, :, :2], found[:, :1, :1] * np.eye(2), atol=1e-12)
    assert is_uniform(np.log(found[:, 0, 0]), -np.log(1.5), np.log(1.5))


def test_shifts_are_shares_of_the_size():
    """Along each axis by itself, up to a tenth of it."""
    found = maps(nn.RandomShift(0.1))
    np.testing.assert_allclose(found[:, :, :2], np.broadcast_to(np.eye(2), (N, 2, 2)), atol=1e-12)
    assert is_uniform(found[:, 0, 2], -0.1 * H, 0.1 * H) and is_uniform(found[:, 1, 2], -0.1 * W, 0.1 * W)
    assert abs(np.corrcoef(found[:, :, 2].T)[0, 1]) < 4 / np.sqrt(N)


@pytest.mark.parametrize(("axes", "still"), [(1, 1), (2, 0)])
def test_shifts_along_one_axis(axes, still):
    """The other one stays."""
    found = maps(nn.RandomShift(0.1, axes=axes))[:, :, 2]
    np.testing.assert_allclose(found[:, still], 0, atol=1e-12)
    assert np.abs(found[:, 1 - still]).max() > 1


def test_affine_is_all_of_them_at_once():
    """A⁻¹ taken apart by QR: a rotation, a shear and a magnification, each as it was asked for."""
    found = maps(nn.RandomAffine(rotation=20, shift=0.05, zoom=0.3, shear=15))
    forward = np.linalg.inv(found[:, :, :2])
    angles, leans, zooms = [], [], []
    for a in forward:  # A = R S Z with S = [[1, 0], [−l, 1]]: a lower triangle after a rotation
        q, r = np.linalg.qr(a[::-1, ::-1])
        q, r = (q * np.sign(np.diag(r)))[::-1, ::-1], (np.sign(np.diag(r))[:, None] * r)[::-1, ::-1]
        np.testing.assert_allclose(r[0, 0], r[1, 1])
        angles.append(np.degrees(np.arctan2(-q[0, 1], q[0, 0])))
        leans.append(np.degrees(np.arctan(r[1, 0] / r[0, 0])))
        zooms.append(np.log(r[0, 0]))
    assert is_uniform(np.array(angles), -20, 20) and is_uniform(np.array(leans), -15, 15)
    assert is_uniform(np.array(zooms), -np.log(1.3), np.log(1.3))
    moved = -np.einsum("nij,nj->ni", forward, found[:, :, 2])
    assert is_uniform(moved[:, 0], -0.05 * H, 0.05 * H) and is_uniform(moved[:, 1], -0.05 * W, 0.05 * W)


def test_rotations_against_scipy():
    """Each image is what scipy.ndimage.rotate makes of it, by the angle that two ramps show (either way round)."""
    x = np.random.default_rng(0).normal(size=(40, 6, 6, 1))
    layer = nn.RandomRotation(30)
    y = layer(kj.tensor(x, dtype="float64"), training=True, key=KEY).numpy()
    ramps = maps(layer, 21, 21, 40)
    angles = np.degrees(np.arctan2(ramps[:, 0, 1], ramps[:, 0, 0]))
    for image, turned, angle in zip(x, y, angles):
        back = [ndimage.rotate(image[..., 0], s * angle, reshape=False, order=1, mode="grid-constant") for s in (1, -1)]
        off = [np.abs(b - turned[..., 0]).max() for b in back]
        assert min(off) < 1e-9


@pytest.mark.parametrize("layer", [nn.RandomShift(0.3, fill="reflect"), nn.RandomZoom(0.5, fill="nearest")])
def test_series_are_images_of_one_row(layer):
    """Time moves as a width does."""
    t = np.broadcast_to(np.arange(31.0)[None, :, None], (N, 31, 1))
    y = layer(kj.tensor(t, dtype="float64"), training=True, key=KEY).numpy()[..., 0]
    middle = y[:, 13:18]
    slopes = np.diff(middle, axis=1)
    np.testing.assert_allclose(slopes, slopes[:, :1] * np.ones(4), atol=1e-9)
    if isinstance(layer, nn.RandomZoom):
        assert is_uniform(np.log(slopes[:, 0]), -np.log(1.5), np.log(1.5))
        np.testing.assert_allclose(middle[:, 2], 15, atol=1e-9)
    else:
        assert is_uniform(middle[:, 2] - 15, -9.3, 9.3)


def test_amount_0_changes_nothing():
    """All of them at 0: the same numbers."""
    x = np.random.default_rng(0).normal(size=(3, 6, 7, 2)).astype("float32")
    for layer in (nn.RandomAffine(), nn.RandomRotation(0), nn.RandomShift(0), nn.RandomZoom(0), nn.RandomShear(0)):
        np.testing.assert_array_equal(layer(kj.tensor(x), training=True, key=KEY).numpy(), x)


def test_value_stands_beyond_the_edge():
    """Far enough outside nothing else is seen."""
    x = np.ones((8, 6, 6, 1), "float32")
    y = nn.RandomShift(1.0, value=-2.0)(kj.tensor(x), training=True, key=KEY).numpy()
    assert y.min() == -2 and y.max() <= 1 + 1e-6


@pytest.mark.parametrize("rows", [0, 1])
def test_one_row_and_none(rows):
    """In training too."""
    for layer in (nn.RandomAffine(10, 0.1, 0.1, 10), nn.RandomCrop(3, padding=1), nn.Cutout(0.5), nn.RandomFlip()):
        y = layer(kj.tensor(np.ones((rows, 5, 5, 1), "float32")), training=True, key=KEY)
        assert y.numpy().shape[0] == rows


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: nn.RandomRotation(-5), DataError, "RandomRotation: angle is the largest angle in degrees, from 0 to"),
        (lambda: nn.RandomRotation(400), DataError, "got 400"),
        (lambda: nn.RandomShear(90), DataError, "at least 0 and below 90"),
        (lambda: nn.RandomShift(10), DataError, "share of the size, from 0 to 1; got 10. For 10 % write 0.1"),
        (lambda: nn.RandomZoom("much"), DataError, "RandomZoom: amount is how far the factor goes beyond 1"),
        (lambda: nn.RandomZoom(float("inf")), DataError, "got inf"),
        (lambda: nn.RandomAffine(shift=True), DataError, "RandomAffine: shift"),
        (lambda: nn.RandomAffine(10, fill="mirror"), UnknownNameError, "reflect"),
        (lambda: nn.RandomShift(0.1, axes="w"), DataError, "axes are whole numbers"),
        (lambda: nn.RandomShift(0.1, axes=3)(np.ones((2, 4, 4, 1))), ShapeError, "axis 3 is not one that"),
        (lambda: nn.RandomRotation(5)(np.ones((2, 28, 28))), ShapeError, r"Reshape\(\(28, 28, 1\)\)"),
        (lambda: nn.RandomAffine(5)(np.ones((2, 784))), ShapeError, r"Reshape\(\(28, 28, 1\)\)"),
        (lambda: nn.RandomAffine(5)(np.ones((2, 4, 4, 1), int)), DTypeError, "RandomAffine computes with fractions"),
    ],
)
def test_refusals(make, error, said):
    """What came, and what was expected."""
    with pytest.raises(error, match=said):
        make()
