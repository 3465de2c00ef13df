"""What a summary says of costs: multiply-adds against the literature and PyTorch, depth, width, memory, connections."""

import json

import jax
import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import kedja as kj
from kedja.engines.xla.devices import exact_types
from kedja.engines.xla.program import _Lowered
from kedja.errors import GraphError
from kedja.nn import losses
from kedja.nn.layers.layer import trainable
from kedja.train.scalars import Scalars
from kedja.train.step import Batch, training_graph
from kedja.train.training import training_of

nn = kj.nn
torch.set_num_threads(1)


def lenet() -> kj.Sequential:
    """LeNet-5 on 28×28 digits, the first convolution padded, as it is told today."""
    return kj.Sequential([
        nn.Conv2D(6, 5, "tanh", padding=2), nn.AveragePool2D(2), nn.Conv2D(16, 5, "tanh"), nn.AveragePool2D(2),
        nn.Flatten(), nn.Dense(120, "tanh"), nn.Dense(84, "tanh"), nn.Dense(10, "softmax"),
    ])  # fmt: skip


def digits() -> kj.Sequential:
    """784-100-10."""
    return kj.Sequential([nn.Dense(100, "sigmoid"), nn.Dense(10, "softmax")])


def small_vgg() -> kj.Sequential:
    """Three blocks of two 3×3 convolutions with batch norm."""
    layers: list = []
    for channels in (8, 16, 32):
        for _ in range(2):
            layers += [nn.Conv2D(channels, 3, padding="same"), nn.BatchNorm(), nn.Activation("relu")]
        layers.append(nn.MaxPool2D(2))
    return kj.Sequential([*layers, nn.Flatten(), nn.Dense(64, "relu"), nn.Dense(10)])


def torch_macs(module, *inputs) -> int:
    """What PyTorch's own counter says: two floating-point operations are one multiply-add."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*inputs)
    return counter.get_total_flops() // 2


# --- multiply-adds --------------------------------------------------------------------------------------------------
def test_lenet():
    """LeNet-5: 416,520 multiply-adds, 61,706 parameters, as the papers that compress it count."""
    s = lenet().summary((None, 28, 28, 1))
    assert (s.multiply_adds, s.parameters) == (416_520, 61_706)
    assert [r.multiply_adds for r in s.rows if r.multiply_adds] == [117_600, 240_000, 48_000, 10_080, 840]


@pytest.mark.long
def test_vgg_16():
    """VGG-16 at 224×224: 138,357,544 parameters and 15.47 billion multiply-adds, the published numbers."""
    layers: list = []
    for channels, times in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        layers += [nn.Conv2D(channels, 3, "relu", padding="same", init="zeros") for _ in range(times)]
        layers.append(nn.MaxPool2D(2))
    dense = [nn.Dense(4096, "relu", init="zeros"), nn.Dense(4096, "relu", init="zeros"), nn.Dense(1000, init="zeros")]
    s = kj.Sequential([*layers, nn.Flatten(), *dense]).summary((None, 224, 224, 3), batch_size=None)
    assert s.parameters == 138_357_544 and round(s.multiply_adds / 1e9, 2) == 15.47
    assert s.depth == 17 and s.width == 224 * 224 * 64


def test_resnet_50():
    """ResNet-50 at 224×224, built of layers by hand: 25.56 million parameters and 4.09 billion multiply-adds."""

    def conv(x, channels, size, stride=1, act=True):
        pad = size // 2
        y = nn.Conv2D(channels, size, stride=stride, padding=pad, use_bias=False, init="zeros")(x)
        y = nn.BatchNorm()(y)
        return nn.Activation("relu")(y) if act else y

    image = kj.Input((224, 224, 3))
    y = nn.MaxPool2D(3, stride=2, padding=1)(conv(image, 64, 7, 2))
    for stage, (channels, times) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for block in range(times):
            stride = 2 if stage and not block else 1
            inner = conv(conv(conv(y, channels, 1), channels, 3, stride), 4 * channels, 1, act=False)
            y = nn.Activation("relu")(inner + (y if block else conv(y, 4 * channels, 1, stride, act=False)))
    y = nn.Dense(1000, init="zeros")(nn.GlobalAveragePool()(y))
    s = kj.Model(image, y).summary(batch_size=None)
    assert round(s.parameters / 1e6, 2) == 25.56 and round(s.multiply_adds / 1e9, 2) == 4.09
    assert s.depth == 51  # 50 layers with weights on the longest way, and the input


def test_depthwise_separable():
    """The example of MobileNet: 3×3 depthwise and 1×1 convolutions take 1/N + 1/9 of the work of a full one."""
    full = kj.Sequential([nn.Conv2D(64, 3, padding="same")]).summary((None, 28, 28, 32)).multiply_adds
    parts = [nn.DepthwiseConv2D(3, padding="same"), nn.Conv2D(64, 1)]
    split = kj.Sequential(parts).summary((None, 28, 28, 32)).multiply_adds
    assert split / full == pytest.approx(1 / 64 + 1 / 9)


@pytest.mark.parametrize(
    ("ours", "theirs", "shape", "given"),
    [
        (nn.Conv2D(6, 3, stride=2, groups=2), torch.nn.Conv2d(4, 6, 3, stride=2, groups=2), (9, 8, 4), (1, 4, 9, 8)),
        (nn.Conv1D(5, 3, dilation=2), torch.nn.Conv1d(2, 5, 3, dilation=2), (11, 2), (1, 2, 11)),
        (nn.ConvTranspose2D(3, 4, stride=2), torch.nn.ConvTranspose2d(5, 3, 4, stride=2), (6, 7, 5), (1, 5, 6, 7)),
        (nn.Conv3D(2, 2), torch.nn.Conv3d(3, 2, 2), (4, 5, 6, 3), (1, 3, 4, 5, 6)),
        (nn.Dense(7), torch.nn.Linear(5, 7), (9, 5), (1, 9, 5)),
    ],
)
def test_layers_as_pytorch_counts(ours, theirs, shape, given):
    """Grouped, dilated, transposed and 3-D convolutions and products along sequences, by PyTorch's counter."""
    assert kj.Sequential([ours]).summary((None, *shape)).multiply_adds == torch_macs(theirs, torch.zeros(given))


def test_attention_as_pytorch_counts():
    """The products of queries with keys and of weights with values count too."""

    class Attention(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.projections = torch.nn.ModuleList(torch.nn.Linear(8, 8) for _ in range(4))

        def forward(self, x):
            q, k, v = (p(x).reshape(1, 6, 2, 4).transpose(1, 2) for p in self.projections[:3])
            y = torch.softmax(q @ k.transpose(2, 3), -1) @ v
            return self.projections[3](y.transpose(1, 2).reshape(1, 6, 8))

    s = kj.Sequential([nn.MultiHeadAttention(2)]).summary((None, 6, 8))
    assert s.multiply_adds == torch_macs(Attention(), torch.zeros(1, 6, 8))


@pytest.mark.parametrize(("layer", "gates"), [(nn.SimpleRNN(5), 1), (nn.GRU(5), 3), (nn.LSTM(5), 4)])
def test_recurrent_layers(layer, gates):
    """A step multiplies the input (3 numbers) and the state (5) with each gate's matrices; there are 7 steps."""
    assert kj.Sequential([layer]).summary((None, 7, 3)).multiply_adds == gates * 7 * (3 * 5 + 5 * 5)


def test_shared_layers_work_twice():
    """A layer that is called twice has its parameters once and its work twice, wherever its rows come from."""
    a, b = kj.Input((4,)), kj.Input((4,))
    shared = nn.Dense(3)
    s = kj.Model([a, b], nn.Add()(shared(a), shared(b))).summary()
    assert (s.parameters, s.rows[0].multiply_adds, s.multiply_adds) == (15, 24, 24)
    assert s.rows[0].inputs == ("input 1", "input 2")


def test_products_of_the_model_itself():
    """What a class multiplies in its own call is in the sum."""

    class Net(kj.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Dense(4)

        def call(self, x):
            return self.first(x) @ kj.ones((4, 2))

    s = Net().summary((None, 3))
    assert (s.rows[0].multiply_adds, s.multiply_adds) == (12, 20)


# --- depth, width, connections --------------------------------------------------------------------------------------
def test_depth_and_width():
    """Scope 1.1: L0 counts, so 2-4-1 has depth 3 and width 4; activations and pooling are no layers of their own."""
    s = kj.Sequential([nn.Dense(4), nn.Activation("tanh"), nn.Dense(1)]).summary((None, 2))
    assert (s.depth, s.width) == (3, 4)
    assert kj.Sequential([nn.Flatten()]).summary((None, 2, 3)).depth == 1


def test_connections():
    """A column says what a layer is called on, once layers do not simply follow each other."""
    x = kj.Input((3,), name="flower")
    hidden = nn.Dense(3, "relu", name="hidden")(x)
    net = kj.Model(x, nn.Dense(1, name="out")(x + hidden))
    s = net.summary()
    assert {r.name: r.inputs for r in s.rows} == {
        "hidden": ("flower",), "arithmetic_1": ("flower", "hidden"), "out": ("arithmetic_1",),
    }  # fmt: skip
    assert str(s).splitlines()[0].endswith("on") and "flower, hidden" in str(s)
    assert "on" not in str(digits().summary((None, 784))).splitlines()[0].split()
    assert s.depth == 3


def test_connections_inside_classes():
    """Sums in a class's own code are looked through to the layers they join."""

    class Block(kj.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Dense(3), nn.Dense(2)

        def call(self, x):
            return self.b(kj.relu(x + 2.0 * self.a(x)))

    assert Block().summary((None, 3)).rows[1].inputs == ("input", "a") or Block().summary((None, 3)).rows[1].inputs == (
        "a", "input",
    )  # fmt: skip


def test_layouts_of_a_whole_network():
    """`layout="chw"` prints every image of VGG's kind as [c, h, w], and leaves vectors alone."""
    rows = lenet().summary((None, 28, 28, 1), layout="chw").rows
    assert [r.output for r in rows[:5]] == [
        (None, 6, 28, 28), (None, 6, 14, 14), (None, 16, 10, 10), (None, 16, 5, 5), (None, 400),
    ]  # fmt: skip


# --- memory ---------------------------------------------------------------------------------------------------------
def xla_bytes(net, shape, rows) -> int:
    """What XLA lays out for one training step: arguments, results not written over them, and what is between."""
    net.build((None, *shape), seed=0)
    rule, training, parameters = kj.optim.Adam(), training_of(net), trainable(net)
    training.use(rule, parameters)
    x, y = np.zeros((rows, *shape), np.float32), np.zeros(rows, np.int32)
    graph = training_graph(
        net, losses.get("cross_entropy"), Scalars(net, rule, []), training.memory, [],
        Batch([x], y, rows, False, False), parameters,
    )  # fmt: skip
    lowered = _Lowered(graph, "xla")
    with exact_types():
        args = (
            [np.asarray(v.value) for v in lowered.variables], [np.asarray(c.attrs["value"]) for c in lowered.constants],
            [np.zeros(t.shape, t.dtype) for t in graph.inputs],
        )  # fmt: skip
        found = jax.jit(lowered, keep_unused=True, donate_argnums=(0,)).lower(*args).compile().memory_analysis()
    return (
        found.argument_size_in_bytes + found.output_size_in_bytes - found.alias_size_in_bytes
        + found.temp_size_in_bytes
    )  # fmt: skip


@pytest.mark.parametrize(
    ("make", "shape", "rows"),
    [
        (digits, (784,), 32),
        (digits, (784,), 512),
        pytest.param(lenet, (28, 28, 1), 32, marks=pytest.mark.long),
        pytest.param(lenet, (28, 28, 1), 256, marks=pytest.mark.long),
        pytest.param(small_vgg, (32, 32, 3), 32, marks=pytest.mark.long),
    ],
)
def test_estimate_of_training_memory(make, shape, rows):
    """The estimate is within a factor of 1.5 of what XLA lays out for the compiled step, where patches are made."""
    net = make()
    estimate = net.summary((None, *shape), batch_size=rows).memory.total
    assert 1 / 1.5 < xla_bytes(net, shape, rows) / estimate < 1.5


def test_parts_of_the_estimate():
    """Weights, gradients and Adam's two memories are 4 bytes a number; frozen layers have no gradients."""
    net = digits().build((None, 784))
    found = net.training_memory(batch_size=10)
    assert found[:3] == (79_510 * 4, 79_510 * 4, 79_510 * 8) and found.batch == 10 * 784 * 4
    assert net.training_memory(optimizer="sgd").optimizer == 0
    net.layers[0].trainable = False
    assert net.training_memory().gradients == 1_010 * 4


def test_estimate_follows_batch_and_precision():
    """Activations grow with the batch, bfloat16 halves most of them, accumulation keeps those of one microbatch."""
    net = lenet().build((None, 28, 28, 1))
    one, four = net.training_memory(batch_size=64), net.training_memory(batch_size=256)
    assert four.activations == 4 * one.activations
    assert net.training_memory(batch_size=256, precision="bfloat16").activations < 0.75 * four.activations
    assert net.training_memory(batch_size=64, accumulate=4).activations == one.activations


def test_estimate_of_recurrent_layers():
    """What a loop hands from step to step is kept for the way back: more steps, more memory."""
    short, long = (kj.Sequential([nn.LSTM(8)]).build((None, n, 2)).training_memory().activations for n in (10, 40))
    assert long == pytest.approx(4 * short, rel=0.2) and short > 32 * 10 * 8 * 4


def test_models_that_learn_nothing_have_no_estimate():
    """Nothing to train: no line about training, and no error."""
    assert kj.Sequential([nn.Flatten()]).summary((None, 2, 2)).memory is None
    assert "training" not in str(digits().summary((None, 784), batch_size=None))


@pytest.mark.parametrize("rows", [0, -1, 2.5, True, "32"])
def test_batch_sizes_that_are_none(rows):
    """A batch has at least one row."""
    with pytest.raises(GraphError, match="batch_size is the rows of one training step"):
        digits().summary((None, 784), batch_size=rows)


# --- how it is shown --------------------------------------------------------------------------------------------------
def test_it_fits_the_terminal():
    """No line is wider than the terminal; of a path its end stays."""
    net = kj.Sequential([kj.Sequential([nn.Dense(3, name="a_layer_with_a_long_name")], name="inner"), nn.Dense(2)])
    lines = net.summary((None, 4)).text(width=60).splitlines()
    assert max(map(len, lines)) <= 60 and any("long_name" in line and "…" in line for line in lines)


def test_colours_only_in_a_terminal(monkeypatch):
    """Colours where somebody looks, none in files, and none where NO_COLOR asks so."""

    class Terminal:
        def isatty(self) -> bool:
            return True

    s = digits().summary((None, 784))
    assert "\x1b" not in repr(s)
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = repr(s)
    monkeypatch.setenv("NO_COLOR", "1")
    bare = repr(s)
    monkeypatch.undo()
    assert "\x1b[1m" in coloured and "\x1b" not in bare


def test_plain_data_and_markdown():
    """The dictionary is JSON with what the table says; Markdown has a row for each layer."""
    s = digits().summary((None, 784))
    told = json.loads(json.dumps(s.to_dict()))
    assert told["layers"][1] == {
        "name": "dense_2", "kind": "Dense", "output": [None, 10], "parameters": 1010, "trainable": 1010,
        "multiply_adds": 1000, "inputs": ["dense_1"],
    }  # fmt: skip
    assert told["parameters"] == 79_510 and told["training_bytes"]["total"] == s.memory.total
    lines = s.markdown().splitlines()
    assert lines[0] == "| layer | kind | output | parameters | multiply-adds |" and lines[3].startswith("| dense_2 |")
