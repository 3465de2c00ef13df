"""Networks with the same random weights as ours in PyTorch: equal outputs, gradients and statistics."""

import numpy as np
import pytest
import torch

import kedja as kj
from zoo.compared import LARGE, PAIRS, SMALL, compared

torch.set_num_threads(1)


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("name", [n for n in SMALL if n != "efficientnet_lite0"])
def test_small_networks_equal_pytorch(name, training):
    """Output, the gradient by every parameter, and the running statistics after a step, in float64."""
    assert max(compared(SMALL[name], training=training).values()) < 1e-10


def test_efficientnet_equals_pytorch():
    """TensorFlow's asymmetric padding, on even and odd sizes: output and all gradients."""
    assert max(compared(SMALL["efficientnet_lite0"], training=False).values()) < 1e-10


@pytest.mark.parametrize("name", ["lenet5", pytest.param("small_resnet", marks=pytest.mark.long)])
def test_the_compiled_engine_gives_the_same(name):
    """The same on XLA."""
    assert max(compared(SMALL[name], training=True, engine="xla").values()) < 1e-9


@pytest.mark.long
@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("name", [*LARGE, "efficientnet_lite0"])
def test_large_networks_equal_pytorch(name, training):
    """The networks of the papers at small images, in float64."""
    assert max(compared(PAIRS[name], training=training).values()) < 1e-6


@pytest.mark.long
@pytest.mark.parametrize("name", PAIRS)
def test_networks_equal_pytorch_in_single_precision(name):
    """The output in float32, in inference; gradients there may fall on either side of a kink of relu or max."""
    assert compared(PAIRS[name], training=False, dtype="float32", gradients=False)["output"] < 1e-4


@pytest.mark.long
def test_vgg16_equals_keras():
    """VGG-16 of Keras, with its weights in ours, in their order, gives the same output."""
    import keras

    x = np.random.default_rng(0).normal(size=(1, 64, 64, 3)).astype("float32")
    vgg = keras.applications.VGG16(weights=None, input_shape=(64, 64, 3), classes=5, classifier_activation=None)
    ours = kj.zoo.vgg16(5, input_shape=(64, 64, 3), activation=None).build(seed=0)
    ours.set_weights(vgg.get_weights())
    y, z = ours.predict(x), vgg(x).detach().cpu().numpy()
    assert np.abs(y - z).max() < 1e-4 * np.abs(z).max()
