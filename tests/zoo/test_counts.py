"""Sizes of the networks: parameters, multiply-adds and the flow of data that the papers and the scope state."""

import subprocess
import sys

import numpy as np
import pytest

import kedja as kj

SCOPE = {  # scope 7, at 1000 classes (10 for LeNet-5)
    "lenet5": 61_706, "alexnet": 61_100_840, "vgg16": 138_357_544, "googlenet": 6_624_904, "resnet50": 25_557_032,
    "densenet121": 7_978_856,
}  # fmt: skip
# torchvision's documentation of its weights; the package of EfficientNet-Lite0's.
ELSEWHERE = {
    "vgg11": 132_863_336, "vgg13": 133_047_848, "vgg19": 143_667_240, "resnet18": 11_689_512, "resnet34": 21_797_672,
    "efficientnet_lite0": 4_652_008,
}  # fmt: skip
# Billions of multiply-adds for an image of 224×224: torchvision's table of weights, "GFLOPS"; for the last Liu 2020.
WORK = {
    "alexnet": 0.71, "vgg11": 7.61, "vgg13": 11.31, "vgg16": 15.47, "vgg19": 19.63, "googlenet": 1.5, "resnet18": 1.81,
    "resnet34": 3.66, "resnet50": 4.09, "densenet121": 2.83, "efficientnet_lite0": 0.39,
}  # fmt: skip


@pytest.mark.parametrize("name", SCOPE | ELSEWHERE)
def test_parameters_are_those_of_the_papers(name):
    """Every network has exactly as many parameters as the scope, or torchvision, says."""
    assert getattr(kj.zoo, name)().summary(batch_size=None).parameters == (SCOPE | ELSEWHERE)[name]


def test_parameters_of_the_other_forms():
    """GoogLeNet as in the paper's table, and DenseNet-121 with CheXNet's head, have the numbers of scope 7."""
    assert kj.zoo.googlenet(form="paper").summary(batch_size=None).parameters == 6_998_552
    assert kj.zoo.densenet121(classes=14, activation="sigmoid").summary(batch_size=None).parameters == 6_968_206


@pytest.mark.parametrize("name", WORK)
def test_multiply_adds_are_those_of_the_literature(name):
    """The work for one image is that of torchvision's table, to its last digit."""
    found = getattr(kj.zoo, name)().summary(batch_size=None).multiply_adds / 1e9
    digits = len(str(WORK[name]).split(".")[1])
    assert round(found, digits) == WORK[name]


def test_data_flow_of_vgg16():
    """Blocks and dense layers of VGG-16 give what the notes write down, as [c, h, w] (scope 7)."""
    rows = kj.zoo.vgg16().summary(layout="chw", batch_size=None).rows
    flow = [r.output[1:] for r in rows if r.name.endswith("pool") or r.kind == "Dense"]
    assert flow == [
        (64, 112, 112), (128, 56, 56), (256, 28, 28), (512, 14, 14), (512, 7, 7), (4096,), (4096,), (1000,)
    ]  # fmt: skip


def test_small_resnets_are_as_large_as_the_paper_says():
    """Without projections, which the paper does not have there, the parameters of table 6 of He et al. 2016."""
    for depth, millions in {20: "0.27", 32: "0.46", 56: "0.85", 110: "1.7"}.items():
        rows = kj.zoo.small_resnet(depth=depth).summary(batch_size=None).rows
        found = sum(r.parameters for r in rows if ".projection." not in r.name) / 1e6
        assert f"{found:.{len(millions) - 2}f}" == millions, depth


@pytest.mark.long
def test_small_densenet_is_as_large_as_the_paper_says():
    """DenseNet-BC with 100 layers and growth 12 has the 0.8 million parameters of table 2 of Huang et al. 2017."""
    assert round(kj.zoo.small_densenet(depth=100).summary(batch_size=None).parameters / 1e6, 1) == 0.8


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is asked of Linux")
def test_looking_at_vgg16_draws_nothing():
    """Making, building and summarising VGG-16 needs far less memory than its 138 million weights would."""
    code = "import kedja as kj; kj.zoo.vgg16().summary(); kj.zoo.vgg16().build(seed=0).count_parameters(); "
    code += "print(*(row.split()[1] for row in open('/proc/self/status') if row.startswith('VmHWM')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 300e6 < 4 * 138_357_544


def test_weights_drawn_late_are_those_drawn_at_once():
    """What a large parameter is does not depend on when, and in which order, it is first read."""

    def net():
        return kj.Sequential([kj.nn.Dense(90, "relu"), kj.nn.Dense(70, init="he")]).build((None, 80), seed=4)

    a, b = net(), net()
    first = [v.value for v in a.state.values()]
    second = [v.value for v in reversed(list(b.state.values()))][::-1]
    key = kj.random.fold(kj.random.key(4), "dense_1.kernel").numpy()
    at_once = kj.initializers.GlorotUniform()(key, (80, 90), np.dtype("float32"))
    assert all((p == q).all() for p, q in zip(first, second, strict=True)) and (first[0] == at_once).all()


@pytest.mark.parametrize("name", ["lenet5", "small_vgg", "small_resnet", "small_densenet"])
def test_small_relatives_take_both_sizes(name):
    """Networks for small images take 28×28 with one channel and 32×32 with three."""
    for shape in ((28, 28, 1), (32, 32, 3)):
        net = getattr(kj.zoo, name)(5, input_shape=shape).build(seed=0)
        y = net(np.ones((2, *shape), np.float32)).numpy()
        assert y.shape == (2, 5) and np.allclose(y.sum(1), 1, atol=1e-5)
