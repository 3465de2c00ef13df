"""What can be asked: images in every form, classes by number and name, layers, and what is refused."""

import numpy as np
import pytest
from PIL import Image

import kedja as kj
from kedja.errors import DataError, GraphError, ShapeError, UnknownNameError

RNG = np.random.default_rng(1)
X = RNG.uniform(size=(3, 8, 8, 1)).astype(np.float32)


def cnn(classes=3, activation=None, places=(8, 8, 1)):
    return kj.Sequential([
        kj.nn.Conv2D(4, 3, "relu"), kj.nn.MaxPool2D(2), kj.nn.Flatten(), kj.nn.Dense(classes, activation),
    ]).build((None, *places), seed=0)  # fmt: skip


def test_one_image_and_several():
    """The axes of what was not given as a list are left out; each image of several has its own class."""
    net = cnn()
    labels = net.predict_labels(X).tolist()
    assert kj.explain.heatmap(net, X[0]).values.shape == (8, 8)
    assert kj.explain.heatmap(net, X[0, :, :, 0]).target == labels[0]
    several = kj.explain.heatmap(net, X, method=["grad_cam", "saliency"])
    assert several.values.shape == (2, 3, 8, 8) and several.target == labels
    assert kj.explain.heatmap(net, X[:1]).values.shape == (1, 8, 8)
    classes = kj.explain.heatmap(net, X, [2, 0])
    assert classes.values.shape == (3, 2, 8, 8) and classes.target == [2, 0]
    np.testing.assert_allclose(classes.scores, net.predict(X)[:, [2, 0]], rtol=1e-5)
    np.testing.assert_array_equal(classes.values[1, 0], kj.explain.heatmap(net, X[1], 2).values)


def test_likeliest_classes_are_those_of_predict_proba():
    """top=2 of a softmax: the two with the largest probability, each image its own, and those probabilities."""
    net = cnn(activation="softmax")
    chance = net.predict_proba(X)
    found = kj.explain.heatmap(net, X, top=2, names=["a", "b", "c"])
    np.testing.assert_array_equal(found.targets, np.argsort(-chance, 1)[:, :2])
    np.testing.assert_allclose(found.probabilities, -np.sort(-chance, 1)[:, :2], rtol=1e-6)
    assert "abc"[found.targets[0, 0]] in str(found)


def test_classes_have_names():
    """A name, one of several names of a class, or a number as text; of many classes the nearest are told."""
    net = cnn()
    names = ["tabby, tabby cat", "Pembroke", "espresso"]
    for target, number in (("tabby cat", 0), ("pembroke", 1), ("2", 2), (np.int64(1), 1)):
        assert kj.explain.heatmap(net, X[0], target, names=names).target == number
    net.info["class_names"] = names
    assert "espresso" in str(kj.explain.heatmap(net, X[0], 2))
    with pytest.raises(UnknownNameError, match="Did you mean 'espresso'"):
        kj.explain.heatmap(net, X[0], "expresso")
    many = cnn(classes=40)
    with pytest.raises(
        UnknownNameError, match="unknown class 'thing 77' among the 40 of this model. Did you mean"
    ) as e:
        kj.explain.heatmap(many, X[0], "thing 77", names=[f"thing {i}" for i in range(40)])
    assert len(str(e.value)) < 200


def test_single_output_is_yes_or_no():
    """A sigmoid: class 1 is its logit, class 0 the same turned round; the probabilities are 1 − p and p."""
    net = cnn(classes=1, activation="sigmoid")
    p = net.predict(X)[:, 0]
    both = kj.explain.heatmap(net, X, [0, 1], "gradient_times_input")
    np.testing.assert_allclose(both.values[:, 0], -both.values[:, 1])
    np.testing.assert_allclose(both.probabilities, np.stack([1 - p, p], 1), rtol=1e-5)
    np.testing.assert_allclose(both.scores[:, 1], np.log(p / (1 - p)), rtol=1e-4, atol=1e-5)
    assert kj.explain.heatmap(net, X).targets[:, 0].tolist() == (p > 0.5).astype(int).tolist()


def test_a_number_has_a_map_too():
    """A regression has one output and no classes: the map is of the output as it is."""
    found = kj.explain.heatmap(cnn(classes=1), X[0])
    assert found.target == 0 and found.probabilities is None and found.predicted is None
    assert "the output of the model as it is" in str(found)


def test_rows_are_laid_as_images():
    """A dense network takes rows: the shape is an argument, is saved with the model, or stands in its first layer."""
    dense = kj.Sequential([kj.nn.Dense(5, "relu"), kj.nn.Dense(3)]).build((None, 64), seed=0)
    rows = X.reshape(3, 64)
    found = kj.explain.heatmap(dense, rows, 1, "saliency", shape=(8, 8, 1))
    assert found.values.shape == (3, 8, 8)
    np.testing.assert_array_equal(kj.explain.heatmap(dense, X, 1, "saliency", shape=(8, 8)).values, found.values)
    with pytest.raises(ShapeError, match=r"rows of 64 numbers.* shape=\(28, 28, 1\)"):
        kj.explain.heatmap(dense, rows[0], 1, "saliency")
    with pytest.raises(ShapeError, match=r"7 · 8 · 1 = 56 numbers, and the model takes 64"):
        kj.explain.heatmap(dense, rows[0], 1, "saliency", shape=(7, 8, 1))
    dense.info["image_shape"] = [8, 8, 1]
    np.testing.assert_array_equal(kj.explain.heatmap(dense, rows[0], 1, "saliency").values, found.values[0])
    for method in ("grad_cam", "cam"):
        with pytest.raises(GraphError, match="no layer of the model makes maps.*integrated_gradients"):
            kj.explain.heatmap(dense, rows[0], 1, method)
    reshaped = kj.Sequential([kj.nn.Reshape((8, 8, 1)), *cnn().layers]).build((None, 64))
    assert kj.explain.heatmap(reshaped, rows[0]).values.shape == (8, 8)


def test_series_have_maps_along_their_steps():
    """A one-dimensional convolution: the spike that decides is where the map stands (scope 8.6)."""
    rng = np.random.default_rng(0)
    x = 0.05 * rng.normal(size=(64, 40, 1)).astype(np.float32)
    y, at = np.arange(64) % 2, rng.integers(4, 34, 64)
    for i in np.flatnonzero(y):
        x[i, at[i] : at[i] + 3, 0] += [1, -1, 1]
    net = kj.Sequential([kj.nn.Conv1D(6, 5, "relu", padding="same"), kj.nn.GlobalAveragePool(), kj.nn.Dense(2)])
    net.fit(x, y, loss="cross_entropy", optimizer=kj.optim.Adam(0.05), epochs=12, seed=0)
    for method in ("grad_cam", "cam", "occlusion"):
        values = kj.explain.heatmap(net, x[y == 1], 1, method).values
        assert values.shape == (32, 40)
        near = np.abs(values.argmax(1) - at[y == 1] - 1) <= 4
        assert near.mean() > 0.9, method
    assert "step" in kj.explain.heatmap(net, x[1]).svg()


class Skips(kj.Module):
    """A model of the user's, with a sum and an activation that no layer made."""

    def __init__(self):
        super().__init__()
        self.first, self.second = kj.nn.Conv2D(3, 3, padding="same"), kj.nn.Conv2D(3, 3, padding="same")
        self.out = kj.nn.Dense(2)

    def call(self, x):
        a = self.first(x)
        return self.out(kj.mean(kj.relu(a + self.second(a)), (1, 2)))


def test_last_node_with_places_is_looked_at():
    """By default the activation after the sum, which is no layer's; a layer is named or given itself."""
    net = Skips().build((None, 8, 8, 1), seed=0)
    found = kj.explain.heatmap(net, X[0])
    assert found.layer == "relu after second"
    named = kj.explain.heatmap(net, X[0], layer="first")
    assert named.layer == "first" and kj.explain.heatmap(net, X[0], layer=net.first).layer == "first"
    assert np.abs(named.values - found.values).max() > 0
    cam = kj.explain.heatmap(net, X[0], 1, "cam").raw["cam"][0, 0]  # a mean and a Dense follow: CAM is defined
    logit = float(net.predict(X[:1])[0, 1])
    assert abs(cam.mean() + net.get_weights()[-1][1] - logit) < 1e-5


@pytest.mark.parametrize(("what", "error", "says"), [
    ({"method": "gradcam"}, UnknownNameError, "Did you mean 'grad_cam'"),
    ({"method": []}, DataError, "a list of different ones"),
    ({"target": 3}, DataError, "no class 3: the model has 3 classes, numbers 0 to 2"),
    ({"target": -1}, DataError, "no class -1"),
    ({"target": True}, DataError, "number or the name of a class"),
    ({"target": 1.5}, DataError, "number or the name of a class"),
    ({"target": "cat"}, GraphError, r"no names.*0 to 2, or names="),
    ({"target": []}, DataError, "empty list"),
    ({"target": 1, "top": 2}, DataError, "not both"),
    ({"top": 4}, DataError, "1 to 3; got 4"),
    ({"names": ["a", "b"]}, DataError, "2 names for 3 classes"),
    ({"layer": "dense_1"}, ShapeError, r'"dense_1" gives \(3,\) for an image.*those with places are conv2d_1'),
    ({"layer": "conv_1"}, UnknownNameError, "Did you mean 'conv2d_1'"),
    ({"score": "logits"}, UnknownNameError, "Did you mean 'logit'"),
    ({"score": "probability"}, GraphError, "is no probability"),
    ({"method": "saliency", "steps": 3}, DataError, "steps= is for integrated_gradients; saliency takes nothing"),
    ({"method": "integrated_gradients", "steps": 0}, DataError, "at least 1; got 0"),
    ({"method": "integrated_gradients", "baseline": "black"}, UnknownNameError, "Known: mean"),
    ({"method": "integrated_gradients", "baseline": np.zeros((3, 3))}, ShapeError, r"baseline has shape \(3, 3\)"),
    ({"method": "smooth_grad", "noise": -1}, DataError, "noise is a share"),
    ({"method": "occlusion", "patch": 9}, ShapeError, "9×9 does not fit on an image of 8×8"),
    ({"method": "occlusion", "patch": 2, "stride": 3}, DataError, "leaves places uncovered"),
    ({"method": "occlusion", "patch": (2, 2, 2)}, ShapeError, "one for each of the 2 axes"),
    ({"method": "cam"}, GraphError, r"flatten_1 \(Flatten\), dense_1 \(Dense\), so each place has weights.*grad_cam"),
    ({"picture": np.zeros((4, 4))}, ShapeError, "as large as the image"),
])  # fmt: skip
def test_what_cannot_be_is_refused(what, error, says):
    """Each mistake gets one message with what came and what would do."""
    with pytest.raises(error, match=says):
        kj.explain.heatmap(cnn(), X[0], **what)


@pytest.mark.parametrize(("image", "error", "says"), [
    (np.zeros((9, 8, 1)), ShapeError, r"shape \(9, 8, 1\), and the model takes one of \(8, 8, 1\), or several"),
    (np.zeros((8, 8, 3)), ShapeError, r"\(8, 8, 1\)"),
    (np.zeros((0, 8, 8, 1)), DataError, "empty|no rows|no image|0 rows"),
    (np.full((8, 8, 1), np.nan), DataError, "nan"),
])  # fmt: skip
def test_wrong_images_are_refused(image, error, says):
    """Their shape and the one expected are told, and NaN is found."""
    with pytest.raises(error, match=says):
        kj.explain.heatmap(cnn(), image)


def test_wrong_models_are_refused():
    """What is no model, has no weights yet, several inputs, or answers with a picture."""
    with pytest.raises(GraphError, match="takes a model"):
        kj.explain.heatmap(np.tanh, X[0])
    with pytest.raises(Exception, match="build|fit"):
        kj.explain.heatmap(kj.Sequential([kj.nn.Dense(2)]), X[0])
    a, b = kj.Input((8, 8, 1)), kj.Input((3,))
    two = kj.Model([a, b], kj.nn.Dense(2)(kj.nn.Concatenate()(kj.nn.Flatten()(a), b))).build((None, 8, 8, 1), (None, 3))
    with pytest.raises(GraphError, match="one input; this one has 2"):
        kj.explain.heatmap(two, X[0])
    with pytest.raises(ShapeError, match=r"the score of a class; the model gives \(6, 6, 2\)"):
        kj.explain.heatmap(kj.Sequential([kj.nn.Conv2D(2, 3)]).build((None, 8, 8, 1)), X[0])
    with pytest.raises(GraphError, match="the score is no weighted sum"):
        deep = [kj.nn.Conv2D(2, 3), kj.nn.GlobalAveragePool(), kj.nn.Dense(4, "tanh"), kj.nn.Dense(2)]
        kj.explain.heatmap(kj.Sequential(deep).build((None, 8, 8, 1)), X[0], method="cam")
    with pytest.raises(GraphError, match="this model has none"):
        smooth = kj.Sequential([kj.nn.Conv2D(2, 3, "tanh"), kj.nn.Flatten(), kj.nn.Dense(2)]).build((None, 8, 8, 1))
        kj.explain.heatmap(smooth, X[0], method="guided_backprop")


def test_a_photograph_is_read_from_its_file(tmp_path):
    """Turned upright, cut to the proportions of the model's input around the middle, from 0 to 1."""
    pixels = RNG.integers(0, 256, (8, 8), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "own.png")
    net = cnn()
    found = kj.explain.heatmap(net, tmp_path / "own.png")
    np.testing.assert_array_equal(found.values, kj.explain.heatmap(net, pixels / 255).values)
    wide = np.zeros((16, 48), np.uint8)
    wide[:, 16:32] = 255
    Image.fromarray(wide).save(tmp_path / "wide.png")
    np.testing.assert_array_equal(kj.explain.heatmap(net, str(tmp_path / "wide.png")).pictures, 1)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=turned)
    shown = kj.explain.heatmap(net, tmp_path / "turned.png").pictures[0, :, :, 0]
    np.testing.assert_allclose(shown, np.rot90(pixels, -1) / 255, atol=1e-6)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 not much")
    for name, says in (
        ("broken.jpg", "cannot be read as an image"),
        ("none.jpg", "there is no image"),
        (".", "folder"),
    ):
        with pytest.raises(DataError, match=says):
            kj.explain.heatmap(net, tmp_path / name)
