"""The picture of what augmentation makes of an example."""

import numpy as np
import pytest

import kedja as kj
from kedja.errors import DataError, GraphError, ShapeError

IMAGE = np.random.default_rng(0).random((6, 7, 1)).astype("float32")
SERIES = np.sin(np.linspace(0, 6, 20))[:, None].astype("float32")
nn = kj.nn


def test_variants_are_what_training_sees():
    """A layer alone: its output for the same rows and key."""
    layer = nn.RandomAffine(20, 0.1)
    shown = kj.explain.augmentations(layer, IMAGE, 5, seed=3)
    rows = kj.tensor(np.repeat(IMAGE[None], 5, 0))
    np.testing.assert_array_equal(shown.variants, layer(rows, training=True, key=kj.random.key(3)).numpy())
    np.testing.assert_array_equal(shown.original, IMAGE)
    np.testing.assert_array_equal(layer.preview(IMAGE, 5, seed=3).variants, shown.variants)


def test_a_model_is_run_as_far_as_its_last_augmentation():
    """What comes after is not asked, nothing is learned, and a model without weights stays without."""

    class Never(nn.Layer):
        def call(self, x):
            raise AssertionError

    net = kj.Sequential([nn.Reshape((6, 7, 1)), nn.RandomFlip(), nn.Cutout(0.4), Never()])
    shown = kj.explain.augmentations(net, IMAGE.ravel(), 4)
    assert shown.variants.shape == (4, 6, 7, 1) and not net.built
    assert [n.partition("(")[0] for n in shown.names] == ["RandomFlip", "Cutout"]
    net = kj.Sequential([nn.BatchNorm(), nn.RandomZoom(0.2), nn.Flatten(), nn.Dense(1)]).build((None, 6, 7, 1))
    before = net.get_weights()
    kj.explain.augmentations(net, IMAGE, 4)
    assert all(np.array_equal(a, b) for a, b in zip(before, net.get_weights(), strict=True))


@pytest.mark.parametrize(
    ("layer", "x", "shape"),
    [
        (nn.RandomRotation(10), IMAGE[..., 0], (3, 6, 7, 1)),
        (nn.RandomFlip(), np.stack([IMAGE] * 2), (3, 6, 7, 1)),
        (nn.RandomShift(0.1), SERIES, (3, 20, 1)),
        (nn.GaussianNoise(0.1), SERIES[None], (3, 20, 1)),
        (nn.RandomCrop(4), np.repeat(IMAGE, 3, -1), (3, 4, 4, 3)),
    ],
)
def test_examples_in_several_forms(layer, x, shape, tmp_path):
    """With and without the axes of rows and of the one channel; each is drawn, with as many panels as there are."""
    shown = kj.explain.augmentations(layer, x, 3, path=tmp_path / "v.png")
    assert shown.variants.shape == shape and (tmp_path / "v.png").stat().st_size > 1000
    panels = shown.figure.axes
    assert len(panels) == 4 and panels[0].get_title() == "original"
    assert len(shown.table.rows) == 4 and shown.to_dict()["layers"] == [repr(layer)]


@pytest.mark.parametrize("n", [0, 129, 2.0, True])
def test_how_many(n):
    """A whole number, not too large to draw."""
    with pytest.raises(DataError, match="a whole number from 1 to 128"):
        kj.explain.augmentations(nn.RandomFlip(), IMAGE, n)


@pytest.mark.parametrize(
    ("thing", "x", "error", "said"),
    [
        (kj.Sequential([nn.Flatten(), nn.Dense(1)]), IMAGE, GraphError, "no layer that changes examples"),
        ("flip", IMAGE, GraphError, "given a layer or a model, got str"),
        (nn.RandomFlip(), np.ones((0, 4, 4, 1)), DataError, "no example to show"),
        (nn.RandomGain(0.1), np.ones((3, 5)), ShapeError, None),
    ],
)
def test_refusals(thing, x, error, said):
    """What cannot be shown."""
    if said is None:
        x = np.ones((2, 2, 2, 2, 2))
    with pytest.raises(error, match=said):
        kj.explain.augmentations(thing, x)
