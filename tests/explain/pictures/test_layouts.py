"""Models of other libraries have their channels first; maps, filters and heat maps are drawn as they lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kedja as kj
from kedja.errors import ShapeError

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("matplotlib")

X = np.random.default_rng(0).normal(size=(2, 3, 12, 10)).astype(np.float32)


def imported(sizes: tuple[Any, Any] = (12, 10), **how: Any) -> tuple[Any, Any]:
    """A network of PyTorch that ends as CAM wants it, and the same as an ONNX file gives it."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 3), torch.nn.ReLU(), torch.nn.Conv2d(6, 8, 3), torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(8, 4),
    ).eval()  # fmt: skip
    weights = {name: value.numpy() for name, value in net.state_dict().items()}
    node = onnx.helper.make_node
    graph = onnx.helper.make_graph(
        [
            node("Conv", ["x", "0.weight", "0.bias"], ["a"]), node("Relu", ["a"], ["b"], name="first"),
            node("Conv", ["b", "2.weight", "2.bias"], ["c"]), node("Relu", ["c"], ["d"], name="last"),
            node("GlobalAveragePool", ["d"], ["e"], name="average"), node("Flatten", ["e"], ["f"]),
            node("Gemm", ["f", "6.weight", "6.bias"], ["y"], transB=1),
        ],
        "net",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 3, *sizes])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 4])],
        [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()],
    )  # fmt: skip
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)])
    return net, kj.onnx.load(model, **how)


@pytest.mark.parametrize("sizes", [(12, 10), ("h", "w")])
def test_grad_cam_of_an_imported_network_is_that_of_pytorch(sizes: Any):
    """Σ_k α_k A_k by PyTorch's own derivatives, at the places and not along the channels; sizes may be open."""
    net, model = imported(sizes)
    maps = net[:4](torch.tensor(X[:1])).detach().requires_grad_()
    net[4:](maps)[0, 2].backward()
    expected = (maps.grad.mean((2, 3), keepdim=True) * maps).sum(1)[0].detach().numpy()
    found = kj.explain.heatmap(model, X[0], 2, signed=True)
    assert found.layer == "last" and found.values.shape == (12, 10)
    np.testing.assert_allclose(found.raw["grad_cam"][0, 0], expected, rtol=1e-4, atol=1e-7)
    with pytest.raises(ShapeError, match="needs places"):
        kj.explain.heatmap(model, X[0], 2, layer="average")


def test_all_methods_agree_with_the_same_network_read_channels_last():
    """Eight methods on (C, H, W), on (H, W, C), and on the model that was loaded with channels_last=True."""
    model, turned = imported()[1], imported(channels_last=True)[1]
    images = np.moveaxis(X, 1, -1)
    methods = list(kj.explain.heatmap.__globals__["METHODS"])
    first = kj.explain.heatmap(model, X, 1, methods, seed=3)
    assert first.values.shape == (8, 2, 12, 10)
    np.testing.assert_allclose(first.values, kj.explain.heatmap(turned, images, 1, methods, seed=3).values, atol=1e-7)
    np.testing.assert_array_equal(first.values, kj.explain.heatmap(model, images, 1, methods, seed=3).values)


def test_saliency_is_the_gradient_of_pytorch():
    """max_c |∂s/∂x_c| with the channels on axis 0."""
    net, model = imported()
    x = torch.tensor(X[:1], requires_grad=True)
    net(x)[0, 1].backward()
    expected = x.grad[0].abs().amax(0).numpy()
    np.testing.assert_allclose(kj.explain.heatmap(model, X[0], 1, "saliency").values, expected, rtol=1e-4, atol=1e-7)


def test_a_network_that_went_out_and_came_back_gives_the_same_maps(tmp_path: Path):
    """kj.zoo → kj.onnx.save → kj.onnx.load: input channels last, maps inside channels first."""
    net = kj.zoo.small_resnet(depth=8, input_shape=(16, 16, 3), classes=4).build(seed=0)
    kj.onnx.save(net, tmp_path / "net.onnx")
    back = kj.onnx.load(tmp_path / "net.onnx")
    x = np.random.default_rng(1).normal(size=(16, 16, 3)).astype(np.float32)
    for method in ("cam", "grad_cam"):
        found, expected = (kj.explain.heatmap(m, x, 2, method) for m in (back, net))
        np.testing.assert_allclose(found.values, expected.values, rtol=1e-4, atol=1e-5)


def test_photographs_for_an_imported_network(tmp_path: Path):
    """A file is read as (height, width, 3) and turned; the first conv's maps and filters are drawn as they lie."""
    from PIL import Image

    net, model = imported()
    Image.fromarray(np.full((24, 20, 3), (255, 0, 51), np.uint8)).save(tmp_path / "red.png")
    found = kj.explain.heatmap(model, tmp_path / "red.png", 1, "occlusion")
    assert found.values.shape == (12, 10)
    np.testing.assert_allclose(found.pictures[0, 0, 0], [1, 0, 0.2], atol=1e-6)
    maps = kj.explain.feature_maps(model, X[0])
    assert maps.image.shape == (12, 10, 3)
    expected = net[:2](torch.tensor(X[:1]))[0].permute(1, 2, 0).detach().numpy()
    np.testing.assert_allclose(maps.maps["first"], expected, rtol=1e-4, atol=1e-6)
    assert np.array_equal(kj.explain.filters(model).kernel, net[0].weight.detach().numpy().transpose(2, 3, 1, 0))
