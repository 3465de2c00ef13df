"""Using a network of the zoo: training, saving, another head, and what is refused."""

import numpy as np
import pytest

import kedja as kj
from kedja.errors import DataError, FormatError, ShapeError, UnknownNameError


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: kj.zoo.vgg16(input_shape=(16, 16, 3)), ShapeError, r'16×16 are too small.*"block5.pool".*1×1'),
        (lambda: kj.zoo.alexnet(input_shape=(32, 32, 3)), ShapeError, r"32×32 are too small.*pool"),
        (lambda: kj.zoo.lenet5(input_shape=(8, 8, 1)), ShapeError, r'"C3".*5×5.*2×2'),
        (lambda: kj.zoo.resnet50(input_shape=(3, 224, 224)), ShapeError, r"channels first.*\(224, 224, 3\)"),
        (lambda: kj.zoo.resnet50(input_shape=224), ShapeError, r"height, width, channels.*224"),
        (lambda: kj.zoo.resnet50(input_shape=(0, 9, 3)), ShapeError, "height, width, channels"),
        (lambda: kj.zoo.resnet18(classes=0), ShapeError, "classes is how many outputs"),
        (lambda: kj.zoo.resnet18(classes=2.5), ShapeError, "classes is how many outputs"),
        (lambda: kj.zoo.resnet18(classes=1), DataError, "sigmoid"),
        (lambda: kj.zoo.resnet18(activation="relu"), UnknownNameError, "softmax"),
        (lambda: kj.zoo.googlenet(form="v3"), UnknownNameError, "batch_norm, paper"),
        (lambda: kj.zoo.small_resnet(depth=9), DataError, r"6n \+ 2"),
        (lambda: kj.zoo.small_densenet(depth=20), DataError, r"6n \+ 4"),
        (lambda: kj.zoo.alexnet(dropout=1.0), DataError, "probability of dropping"),
    ],
)
def test_what_cannot_be_is_refused(make, error, match):
    """The message says what came and what would do; too small images name the layer and its arithmetic."""
    with pytest.raises(error, match=f"(?s){match}"):
        make()


def test_unknown_networks_are_answered():
    """A misspelt network names the nearest."""
    with pytest.raises(AttributeError, match="resnet50"):
        kj.zoo.resnet_50  # noqa: B018


def test_a_network_learns():
    """A small ResNet learns which of two halves of an image is bright."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 0.3, (24, 8, 8, 1)).astype("float32")
    y = rng.integers(0, 2, 24)
    x[y == 1, :4] += 0.7
    x[y == 0, 4:] += 0.7
    net = kj.zoo.small_resnet(2, depth=8, input_shape=(8, 8, 1))
    net.fit(x, y, loss="cross_entropy", optimizer="adam", epochs=5, batch_size=12, seed=0, engine="reference")
    assert net.evaluate(x, y, metrics=["accuracy"])["accuracy"] > 0.9


LONG = [pytest.param(name, marks=pytest.mark.long) for name in ("efficientnet_lite0", "googlenet")]


@pytest.mark.parametrize("name", ["small_densenet", "small_resnet", *LONG])
def test_networks_are_saved_and_loaded(name, tmp_path):
    """Saved, loaded and asked again, a network says the same; its names in PyTorch are still known."""
    small = {"small_densenet": {"depth": 10}, "small_resnet": {"depth": 8}}.get(name, {})
    net = getattr(kj.zoo, name)(3, input_shape=(32, 32, 3), **small).build(seed=0)
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    again = kj.load(net.save(tmp_path / "net"))
    assert (again.predict(x) == net.predict(x)).all() and kj.zoo.torch_names(again) == kj.zoo.torch_names(net)


def test_a_new_head_on_a_network():
    """The body stays, the last Dense goes, stages are frozen by their name."""
    net = kj.zoo.small_resnet(10, depth=8).build(seed=0)
    other = net.with_head(kj.nn.Dense(3)).freeze(upto="conv4_x").build((None, 32, 32, 3), seed=1)
    assert other.predict(np.zeros((1, 32, 32, 3), np.float32)).shape == (1, 3)
    assert [v.shape for v in kj.nn.layers.layer.trainable(other).values()] == [(64, 3), (3,)]


def test_several_labels():
    """With sigmoid outputs each label is there or not by itself, and the loss is the binary cross-entropy of logits."""
    net = kj.zoo.small_densenet(14, depth=10, activation="sigmoid", input_shape=(8, 8, 1))
    x = np.random.default_rng(0).normal(size=(6, 8, 8, 1)).astype("float32")
    y = np.random.default_rng(1).integers(0, 2, (6, 14)).astype("float32")
    history = net.fit(x, y, loss="binary_cross_entropy", optimizer="adam", epochs=3, seed=0, engine="reference")
    assert history["loss"][-1] < history["loss"][0] and net(x).shape == (6, 14)


def test_a_new_head_sees_images_before_it_is_built():
    """with_head, then preprocess, then fit: the size of the images is that of the body's input."""
    pytest.importorskip("PIL")
    net = kj.zoo.lenet5().build(seed=0)
    net.info["preprocess"] = {"crop": 1.0, "resize": None, "resample": "bilinear", "mean": [127.5], "std": [127.5]}
    head = net.with_head(kj.nn.Dense(2))
    assert head.preprocess(np.zeros((40, 50, 3), np.uint8)).shape == (1, *net.input_shape[1:])


def test_a_misspelt_name_of_weights_says_what_there_is():
    """Not only that there is no such file."""
    with pytest.raises(FormatError, match="'imagenett' is neither \"imagenet\", nor a file, nor an address"):
        kj.zoo.lenet5(weights="imagenett")
