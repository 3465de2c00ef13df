"""The deep networks of the benchmarks are those of the zoo, and every contestant computes the same, on tiny ones."""

from functools import cache

import numpy as np
import pytest

from bench import w8_vgg, w9_resnet
from bench.deepnet_peers import from_torch, to_torch
from bench.deepnet_trainers import kedja_network, predicting, training
from bench.deepnets import DeepNet, resnet, vgg
from bench.results import Settings

HOW = (("depth", 8),)
WALK = resnet((1, 1, 1), classes=5, bottled=False, small=True)
TRAINED = DeepNet("small_resnet", WALK, classes=5, size=16, rows=6, batch=3, rate=0.05, how=HOW)
PREDICTED = DeepNet("small_resnet", WALK, classes=5, size=16, rows=2, batch=2, settled=True, how=HOW)
PLAIN = DeepNet("", vgg(((1, 4), (2, 6)), hidden=7, classes=3), classes=3, size=12, rows=4, batch=2, rate=0.05)
REQUIRED = {
    "torch_last": "torch", "torch_first": "torch", "jax": "jax", "onnxruntime": "onnxruntime",
    "onnxruntime_ours": "onnxruntime", "kedja": "jax", "kedja_compile": "jax",
}  # fmt: skip


@pytest.mark.parametrize("net", [w8_vgg.NET, w9_resnet.TRAINED])
def test_the_walk_has_the_weights_of_the_zoo(net):
    """Same names in PyTorch's style, same shapes in ours: kedja and its peers train the same network."""
    _, named = kedja_network(net)
    assert {name: v.shape for name, v in named.items()} == {name: w.shape for name, w in net.start().items()}


@pytest.mark.parametrize("net", [TRAINED, PLAIN])
def test_weights_come_back_from_pytorchs_order(net):
    """To channels first and back changes nothing, and a flattened image needs more than a transpose."""
    there = to_torch(net.start())
    back = from_torch(there)
    assert all(np.array_equal(back[name], w) for name, w in net.start().items())
    if net is PLAIN:
        assert not np.array_equal(there["classifier.0.weight"], net.start()["classifier.0.weight"].T)


@cache
def plain_loss():
    """What the plain loop of PyTorch comes to."""
    return TRAINED.check(training(TRAINED)["torch_last"].build(Settings()))


@pytest.mark.parametrize("name", ["kedja", "torch_last", "torch_first", "jax"])
def test_contestants_train_to_the_same_loss(name):
    """Two steps from the same weights give the loss the plain PyTorch loop gives, which is not that of the start."""
    pytest.importorskip("torch")
    pytest.importorskip(REQUIRED[name])
    expected = plain_loss()
    trainer = training(TRAINED)[name].build(Settings())
    assert TRAINED.check(trainer) == pytest.approx(expected, rel=1e-3)
    assert expected != pytest.approx(TRAINED.loss([*TRAINED.start().values()]), rel=1e-2)
    assert trainer.train(1) == 2


@pytest.mark.parametrize("name", ["torch_last", "jax"])
def test_a_flattened_image_is_read_in_the_same_order(name):
    """Channels first or last, the dense layer behind the image sees the same pixels."""
    pytest.importorskip(REQUIRED[name])
    trainer = training(PLAIN)[name].build(Settings())
    start = PLAIN.loss([np.asarray(w, np.float64) for w in PLAIN.start().values()])
    x, y = trainer.x[:2], trainer.y[:2]
    if name == "torch_last":
        z = trainer.net(trainer.inputs[:2]).detach().numpy()
    else:
        from bench.deepnet_peers import JaxOps

        z = np.asarray(PLAIN.walk(JaxOps(PLAIN.start(), training=False), x))
    z = z - z.max(axis=1, keepdims=True)
    assert np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(2), y]) == pytest.approx(start, rel=1e-5)


@pytest.mark.parametrize("name", ["kedja", "kedja_compile", "torch_last", "onnxruntime", "onnxruntime_ours", "jax"])
def test_contestants_predict_the_same(name):
    """Outputs are NumPy's to rounding, with statistics that are not 0 and 1."""
    pytest.importorskip(REQUIRED[name])
    predictor = predicting(PREDICTED)[name].build(Settings())
    assert PREDICTED.check_outputs(predictor) == pytest.approx(1, abs=1e-4)


def test_a_wrong_output_is_seen():
    """The measure of agreement moves by what the output moves."""
    right = PREDICTED.logits([np.asarray(w, np.float64) for w in PREDICTED.start().values()], PREDICTED.data()[0])
    assert PREDICTED.distance([right]) == 1
    assert PREDICTED.distance([right * 1.01]) == pytest.approx(1.01)
