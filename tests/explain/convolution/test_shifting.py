"""A shift by one pixel before and after pooling; shuffled pixels before a CNN and an MLP."""

import numpy as np
import pytest

import kedja as kj
from kedja.errors import DataError, GraphError, ShapeError


def test_detector_and_pooling_stage_of_the_book():
    """Moved by one, every number of the detector stage changes and half of the pooled ones (Goodfellow, figure 9.8)."""
    net = kj.Sequential([kj.nn.MaxPool1D(3, stride=1, padding="same", name="pool")]).build((None, 4, 1))
    before, after = np.float32([0.1, 1, 0.2, 0.1]), np.float32([0.3, 0.1, 1, 0.2])
    pooled = [net(row.reshape(1, 4, 1)).numpy().ravel().tolist() for row in (before, after)]
    assert pooled == [np.float32([1, 1, 1, 0.2]).tolist(), np.float32([0.3, 1, 1, 1]).tolist()]
    found = kj.explain.shift(net, before.reshape(1, 4, 1))
    assert (found["input"].changed, found["pool"].changed) == (1.0, 0.5)


@pytest.mark.parametrize("by", [1, -2])
@pytest.mark.parametrize("axis", [1, -2])
def test_layers_are_measured_as_they_are(by, axis):
    """Each row holds what NumPy measures on the outputs for the image and the moved image."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 8, 9, 2)).astype(np.float32)
    net = kj.Sequential([kj.nn.Conv2D(4, 3, "relu"), kj.nn.MaxPool2D(2)]).build((None, 8, 9, 2))
    padded = np.pad(x, [(0, 0), (2, 2), (2, 2), (0, 0)])
    rows = slice(2 - by, 10 - by) if axis == 1 else slice(2, 10)
    columns = slice(2 - by, 11 - by) if axis == -2 else slice(2, 11)
    moved = padded[:, rows, columns]
    found = kj.explain.shift(net, x, by, axis)
    for name in ("conv2d_1", "max_pool2d_1"):
        a, b = (net.outputs_of(name, kj.tensor(v)).numpy() for v in (x, moved))
        assert found[name].relative == pytest.approx(np.linalg.norm(b - a) / np.linalg.norm(a), rel=1e-5)
        assert found[name].changed == pytest.approx((abs(b - a) > 0.01 * abs(a).max()).mean())
    assert [row.name for row in found.rows] == ["input", "conv2d_1", "max_pool2d_1"]


def test_convolution_moves_with_the_image_and_pooling_forgets():
    """Without a rim, a convolution's output only moves along; global pooling does not change at all."""
    rng = np.random.default_rng(1)
    x = np.pad(rng.normal(size=(2, 4, 4, 1)), [(0, 0), (4, 4), (4, 4), (0, 0)]).astype(np.float32)
    net = kj.Sequential([kj.nn.Conv2D(3, 3, "relu"), kj.nn.GlobalMaxPool()]).build((None, 12, 12, 1))
    a, b = (net.outputs_of("conv2d_1", kj.tensor(v)).numpy() for v in (x, np.roll(x, 1, 2)))
    assert (a[:, :, :-1] == b[:, :, 1:]).all()
    found = kj.explain.shift(net, x)
    assert found["conv2d_1"].relative > 0.3 and found["global_max_pool_1"].relative == 0


def test_ways_to_show_it():
    """The table as text, Markdown, HTML, TeX and plain data."""
    net = kj.Sequential([kj.nn.Conv2D(1, 2)]).build((None, 4, 4, 1))
    found = kj.explain.shift(net, kj.ones((1, 4, 4, 1)))
    assert "conv2d_1 (Conv2D)" in str(found) and found.markdown().startswith("| layer | output |")
    assert "<td" in found._repr_html_() and found.tex().startswith(r"\begin{array}")
    assert found.to_dict()["layers"][1]["output"] == [3, 3, 1]
    with pytest.raises(KeyError, match="conv2d_2"):
        _ = found["conv2d_2"]


@pytest.mark.parametrize(
    ("x", "more", "kind", "message"),
    [
        (np.ones((1, 784)), {}, ShapeError, r"x has axes \(n, \*sizes, channels\)"),
        (np.ones((0, 4, 4, 1)), {}, ShapeError, "at least one example"),
        (np.ones((1, 4, 4, 1)), {"by": 4}, DataError, "by 4 of 4 places"),
        (np.ones((1, 4, 4, 1)), {"by": 0}, DataError, "by 0 of 4 places"),
        (np.ones((1, 4, 4, 1)), {"by": 0.5}, DataError, "a whole number of pixels, got 0.5"),
        (np.ones((1, 4, 4, 1)), {"axis": 0}, ShapeError, "holds the examples or the channels"),
        (np.ones((1, 4, 4, 1)), {"axis": 4}, ShapeError, "axis"),
        ("image", {}, DataError, "x is an array of images"),
    ],
)
def test_what_cannot_be_moved_is_refused(x, more, kind, message):
    """Rows of pixels, shifts of nothing or everything, and the wrong axis are refused with the reason."""
    net = kj.Sequential([kj.nn.Conv2D(1, 2)]).build((None, 4, 4, 1))
    with pytest.raises(kind, match=message):
        kj.explain.shift(net, x, **more)


def test_a_model_with_weights_is_needed():
    """A layer alone, and a model that was never built, are refused."""
    with pytest.raises(GraphError, match="takes a model"):
        kj.explain.shift(kj.nn.Conv2D(1, 2), np.ones((1, 4, 4, 1)))
    with pytest.raises(GraphError, match="no weights yet"):
        kj.explain.shift(kj.Sequential([kj.nn.Conv2D(1, 2)]), np.ones((1, 4, 4, 1)))


def accuracy(kind, order, seed):
    """The accuracy on 1,000 digits after training on 4,000, all with their pixels in this order."""
    train, test = kj.data.load("mnist_5k").split()
    layers = {
        "cnn": [
            kj.nn.Reshape((28, 28, 1)), kj.nn.Conv2D(8, 5, "relu"), kj.nn.MaxPool2D(2), kj.nn.Conv2D(16, 3, "relu"),
            kj.nn.MaxPool2D(2), kj.nn.Flatten(), kj.nn.Dense(10),
        ],
        "mlp": [kj.nn.Dense(64, "relu"), kj.nn.Dense(10)],
    }  # fmt: skip
    net = kj.Sequential(layers[kind])
    net.fit(train.x[:, order], train.y, loss="cross_entropy", optimizer=kj.optim.Adam(2e-3), epochs=8, seed=seed)
    return net.evaluate(test.x[:, order], test.y, loss="cross_entropy", metrics=["accuracy"])["accuracy"]


@pytest.mark.long
def test_shuffled_pixels_hurt_the_cnn_and_not_the_mlp():
    """One fixed shuffle of the pixels costs a CNN several percent and an MLP nothing (scope 8.6); three seeds."""
    order = np.arange(784)
    shuffled = np.random.default_rng(0).permutation(784)
    lost = {
        kind: np.mean([accuracy(kind, order, s) - accuracy(kind, shuffled, s) for s in range(3)])
        for kind in ("cnn", "mlp")
    }
    assert lost["cnn"] > 0.05 and abs(lost["mlp"]) < 0.01, lost
