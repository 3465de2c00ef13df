"""Pictures of what models answer: their data is what was computed, and bad input is refused by name."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import kedja as kj
from kedja.errors import DataError, GraphError, ShapeError, UnknownNameError

X = np.random.default_rng(0).uniform(-1, 1, (60, 2))


def textbook():
    """The solution of XOR by hand (scope 8.1)."""
    net = kj.Sequential([kj.nn.Dense(2, "relu"), kj.nn.Dense(1)]).build((None, 2))
    net.set_weights([[[1, 1], [1, 1]], [0, -1], [[1], [-2]], [0]])
    return net


# --- boundaries ---------------------------------------------------------------------------------------------------
def test_field_is_the_models_answer_on_the_grid():
    """Of a regression the field is the function itself at the places of the axes, the second input upwards."""
    found = kj.explain.boundary(lambda p: p[:, 0] - 2 * p[:, 1], X, X[:, 0], points=7)
    across, up = np.meshgrid(found.across, found.up)
    np.testing.assert_allclose(found.field, across - 2 * up, atol=1e-12)
    assert found.chosen is None and found.across[0] < X[:, 0].min() and found.up[-1] > X[:, 1].max()


def test_classes_are_those_the_model_decides():
    """A sigmoid model's probability is drawn, and its class where the probability is above ½, also on the examples."""
    net = kj.Sequential([kj.nn.Dense(1, "sigmoid")]).build((None, 2))
    net.set_weights([[[3.0], [0.0]], [0.0]])
    y = (X[:, 0] > 0).astype(int)
    found = kj.explain.boundary(net, X, y, points=9)
    expected = torch.sigmoid(torch.tensor(3 * found.across)).numpy()
    np.testing.assert_allclose(found.field, np.broadcast_to(expected, (9, 9)), rtol=1e-6)
    np.testing.assert_array_equal(found.chosen, np.broadcast_to(found.across > 0, (9, 9)))
    assert [row[2].split(" of ") for row in found.table.rows] == [[str((y == c).sum())] * 2 for c in (0, 1)]


@pytest.mark.parametrize("names", [np.array(["no", "yes"]), np.array([0, 1]), np.array([-1, 1])])
def test_estimators_are_drawn_like_models(names):
    """scikit-learn's probability and its own classes are what is drawn, whatever the classes are called."""
    y = names[(X[:, 1] > 0).astype(int)]
    estimator = LogisticRegression().fit(X, y)
    found = kj.explain.boundary(estimator, X, y, points=11)
    grid = np.stack(np.meshgrid(found.across, found.up), -1).reshape(-1, 2)
    np.testing.assert_allclose(found.field.ravel(), estimator.predict_proba(grid)[:, 1])
    assert names[found.chosen.ravel()].tolist() == estimator.predict(grid).tolist()
    assert found.labels == [str(n) for n in names]
    assert (names[found.y] == y).all()


def test_several_classes_have_the_largest_probability():
    """Of three classes the field is the probability of the one that is chosen."""
    net = kj.Sequential([kj.nn.Dense(3, "softmax")]).build((None, 2), seed=0)
    y = np.eye(3)[np.arange(60) % 3]
    found = kj.explain.boundary(net, X, y, points=8)
    grid = np.stack(np.meshgrid(found.across, found.up), -1).reshape(-1, 2)
    raw = net.predict(grid)
    np.testing.assert_array_equal(found.chosen.ravel(), raw.argmax(1))
    np.testing.assert_allclose(found.field.ravel(), raw.max(1), rtol=1e-6)
    assert found._bytes("png")[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: kj.explain.boundary(textbook(), np.ones((5, 3))), ShapeError, r"two inputs.*\(5, 3\)"),
        (lambda: kj.explain.boundary(kj.Sequential([kj.nn.Dense(1)]).build((None, 4)), X), ShapeError, r"takes \(4,\)"),
        (lambda: kj.explain.boundary(textbook(), X, [0, 1]), DataError, "60 rows and y has 2"),
        (lambda: kj.explain.boundary(3, X), GraphError, "got int"),
        (lambda: kj.explain.boundary(lambda p: p[:2, 0], X), ShapeError, "one answer each"),
        (lambda: kj.explain.boundary(textbook(), X, kind="colours"), UnknownNameError, "kind"),
        (lambda: kj.explain.boundary(textbook(), X, span=(1, 2)), DataError, "span is"),
        (lambda: kj.explain.boundary(textbook(), X, span=((1, 0), (0, 1))), DataError, "small to large"),
        (lambda: kj.explain.boundary(textbook(), X, names=["x"]), DataError, "two inputs"),
    ],
)  # fmt: skip
def test_boundaries_refuse_what_they_cannot_draw(call, error, said):
    """Bad input raises an error that names what came."""
    with pytest.raises(error, match=said):
        call()


# --- neurons and maps ---------------------------------------------------------------------------------------------
def test_responses_are_the_layers_outputs():
    """Over two inputs each neuron's map holds the layer's output on the grid, as PyTorch computes it."""
    net = kj.Sequential([kj.nn.Dense(3, "tanh"), kj.nn.Dense(1)]).build((None, 2), seed=0)
    found = kj.explain.responses(net, X, points=12)
    kernel, bias = (torch.tensor(w) for w in net.get_weights()[:2])
    expected = torch.tanh(torch.tensor(found.x) @ kernel + bias).numpy()
    np.testing.assert_allclose(found.values, expected, rtol=1e-5, atol=1e-6)
    assert found.layer == "dense_1" and found.shape == (12, 12)
    assert found.x.min(0).tolist() == X.min(0).astype(np.float32).tolist()


def test_responses_show_the_neurons_that_vary_most():
    """Of many neurons those with the widest answers are drawn, and a silent one is counted as such."""
    net = kj.Sequential([kj.nn.Dense(3, "relu")]).build((None, 1))
    net.set_weights([[[1.0, 0.0, 5.0]], [0.0, -1.0, 0.0]])
    found = kj.explain.responses(net, [[-1.0], [1.0]], most=2)
    assert found.shown.tolist() == [0, 2]
    every = kj.explain.responses(net, [[-1.0], [1.0]])
    assert every.table.rows[1] == ("2", "0", "0", "100 %")


@pytest.mark.parametrize("n", [1, 2, 5])
def test_responses_of_any_number_of_inputs_are_drawn(n):
    """Curves, maps and rows all give an SVG."""
    net = kj.Sequential([kj.nn.Dense(4, "relu")]).build((None, n), seed=0)
    assert "<svg" in kj.explain.responses(net, np.random.default_rng(1).normal(size=(9, n)), points=10).svg()


def cnn(channels=1):
    """A small network of convolutions."""
    layers = [kj.nn.Conv2D(3, 3, "relu"), kj.nn.MaxPool2D(2), kj.nn.Conv2D(4, 2), kj.nn.Flatten(), kj.nn.Dense(2)]
    return kj.Sequential(layers).build((None, 8, 8, channels), seed=0)


def test_feature_maps_are_what_pytorch_computes():
    """Channels last: the maps of the first layer are PyTorch's cross-correlations, and pooling is theirs too."""
    net, image = cnn(), np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
    found = kj.explain.feature_maps(net, image)
    kernel, bias = (torch.tensor(w) for w in net.get_weights()[:2])
    first = torch.relu(torch.conv2d(torch.tensor(image)[None, None], kernel.permute(3, 2, 0, 1), bias))
    np.testing.assert_allclose(found.maps["conv2d_1"], first[0].permute(1, 2, 0), rtol=1e-4, atol=1e-5)
    pooled = torch.nn.functional.max_pool2d(first, 2)[0].permute(1, 2, 0)
    np.testing.assert_allclose(found.maps["max_pool2d_1"], pooled, rtol=1e-4, atol=1e-5)
    assert list(found.maps) == ["conv2d_1", "max_pool2d_1", "conv2d_2"] and found._bytes("png")


def test_filters_are_the_kernel():
    """The picture holds the layer's kernel; on a coloured image it is drawn in colours, else a row for each channel."""
    assert kj.explain.filters(cnn()).kernel.tolist() == cnn().get_weights()[0].tolist()
    assert kj.explain.filters(cnn(), "conv2d_2").separate == 3
    for net in (cnn(3), kj.Sequential([kj.nn.Conv1D(4, 3)]).build((None, 9, 2), seed=0)):
        assert kj.explain.filters(net)._bytes("png")
    assert kj.explain.filters(cnn(3)).coloured and not kj.explain.filters(cnn(1)).coloured


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: kj.explain.filters(textbook()), GraphError, "no convolution.*draw_network"),
        (lambda: kj.explain.filters(cnn(), "dense_1"), UnknownNameError, "convolution"),
        (lambda: kj.explain.feature_maps(textbook(), [1.0, 2.0]), GraphError, "makes maps"),
        (lambda: kj.explain.feature_maps(cnn(), np.ones((3, 8, 8, 1))), DataError, "got 3"),
        (lambda: kj.explain.feature_maps(cnn(), np.ones((8, 8)), "dense_1"), ShapeError, "responses"),
        (lambda: kj.explain.feature_maps(cnn(), np.ones((8, 8)), "dense_9"), UnknownNameError, "layer"),
        (lambda: kj.explain.responses(cnn(), np.ones((2, 8, 8, 1))), ShapeError, "features"),
        (lambda: kj.explain.responses(textbook(), X, "dense_9"), UnknownNameError, "layer"),
        (lambda: kj.explain.responses("net", X), GraphError, "got str"),
    ],
)  # fmt: skip
def test_maps_and_neurons_refuse_what_they_cannot_draw(call, error, said):
    """Bad input raises an error that says which picture would do."""
    with pytest.raises(error, match=said):
        call()


# --- gradients ----------------------------------------------------------------------------------------------------
def test_ten_sigmoid_layers_pass_on_at_most():
    """Scope 4.9: ¼¹⁰ = 9.54·10⁻⁷, which the measured product stays below, while ReLU's bound is 1."""

    def deep(a):
        return kj.Sequential([kj.nn.Dense(6, a) for _ in range(10)]).build((None, 2), seed=0)

    found = kj.explain.gradient_sizes({"sigmoid": deep("sigmoid"), "relu": deep("relu")}, X, np.ones((60, 6)), "mse")
    assert found.layers["sigmoid"][0].bound == pytest.approx(9.5367431640625e-07, rel=1e-9)
    assert found.layers["sigmoid"][0].product <= found.layers["sigmoid"][0].bound
    assert found.layers["relu"][0].bound == 1
    assert "9.54×10⁻⁷" in str(found) and found._bytes("png")


def test_sizes_are_pytorchs_gradients():
    """Root mean squares of ∂E/∂z and ∂E/∂W, and the mean |f′|, as PyTorch finds them."""
    net = kj.Sequential([kj.nn.Dense(4, "tanh"), kj.nn.Dense(3), kj.nn.Activation("sigmoid"), kj.nn.Dense(1)])
    net.build((None, 2), seed=0)
    y = np.sin(X[:, :1])
    found = kj.explain.gradient_sizes(net, X, y, "mse").layers["model"]
    weights = [torch.tensor(w, dtype=torch.float64, requires_grad=True) for w in net.get_weights()]
    z1 = torch.tensor(X) @ weights[0] + weights[1]
    z2 = torch.tanh(z1) @ weights[2] + weights[3]
    z3 = torch.sigmoid(z2) @ weights[4] + weights[5]
    for z in (z1, z2, z3):
        z.retain_grad()
    ((z3 - torch.tensor(y)) ** 2).mean().backward()
    for row, z, w in zip(found, (z1, z2, z3), weights[::2], strict=True):
        assert row.gradient == pytest.approx(z.grad.square().mean().sqrt().item(), rel=1e-4)
        assert row.weights == pytest.approx(w.grad.square().mean().sqrt().item(), rel=1e-4)
    slopes = [(1 - torch.tanh(z1) ** 2).mean().item(), (torch.sigmoid(z2) * (1 - torch.sigmoid(z2))).mean().item()]
    assert [row.slope for row in found] == pytest.approx([*slopes, 1.0], rel=1e-5)
    assert found[0].product == pytest.approx(slopes[0] * slopes[1], rel=1e-5)


def test_gradient_sizes_refuse_a_model_without_weights():
    """There is nothing to measure."""
    with pytest.raises(GraphError, match="no layer with weights"):
        kj.explain.gradient_sizes(kj.Sequential([kj.nn.Activation("tanh")]).build((None, 2)), X, X, "mse")
