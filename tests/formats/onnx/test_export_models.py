"""Whole models as ONNX: random networks, layouts, loops, versions, names; and what is refused."""

import sys

import numpy as np
import onnx
import pytest
from hypothesis import given, seed, settings
from onnx import numpy_helper

import kedja as kj
from kedja.errors import FormatError, GraphError, KedjaError
from kedja.formats.onnx.exporting import saving
from nn.test_random_networks import assembled, networks

from .test_export import agrees

onnxruntime = pytest.importorskip("onnxruntime")


def random_network(case, folder):
    shape, blocks, joins, _, number = case
    rng = np.random.default_rng(number)
    net, _ = assembled(shape, blocks, joins)
    net.build((None, *shape), seed=number)
    for v in net.state.values():
        v.assign(np.abs(v.value) + 0.2 * rng.random(v.shape).astype("float32"))
    path = str(folder / "random.onnx")
    kj.onnx.save(net, path)
    return max(agrees(net, path, rng.normal(size=(rows, *shape)).astype("float32")) for rows in (1, 6))


def test_random_networks(tmp_path_factory, judged):
    """Five networks of 20 kinds of layers, with shortcuts, are equal in onnxruntime to 1e-5."""
    folder, found = tmp_path_factory.mktemp("random"), []

    @seed(6)
    @settings(max_examples=5, deadline=None, database=None)
    @given(networks())
    def run(case):
        found.append(random_network(case, folder))

    run()
    judged("onnxruntime", "export of random networks", len(found), max(found))


@pytest.mark.long
def test_fifty_random_networks(tmp_path_factory, judged):
    """Fifty of them."""
    folder, found = tmp_path_factory.mktemp("random"), []

    @seed(7)
    @settings(max_examples=50, deadline=None, database=None)
    @given(networks())
    def run(case):
        found.append(random_network(case, folder))

    run()
    assert len(found) >= 50
    judged("onnxruntime", "export of random networks", len(found), max(found))


def pictures():
    """Layers of all kinds that a convolutional network has, with a shortcut and a branch."""
    x = kj.Input((12, 10, 3))
    y = kj.nn.Conv2D(8, 3, padding="same", use_bias=False)(x)
    y = kj.nn.Activation("relu")(kj.nn.BatchNorm()(y))
    y = kj.nn.MaxPool2D(2)(y)
    z = kj.nn.Conv2D(8, 3, "gelu", padding=1)(y)
    y = kj.nn.Add()(y, kj.nn.BatchNorm()(z))
    y = kj.nn.Concatenate()(y, kj.nn.DepthwiseConv2D(3, "relu6", padding="same")(y))
    y = kj.nn.AveragePool2D(2, padding="same")(kj.nn.BatchNorm()(y))
    return x, y


@pytest.mark.parametrize("head", ["pooled", "flattened", "image"])
def test_convolutional_networks_turn_their_images_once(head, tmp_path, judged):
    """Of the transposes around every convolution and pooling one remains at the entry, and one where order matters."""
    x, y = pictures()
    if head == "pooled":
        y = kj.nn.Dense(4, "softmax")(kj.nn.GlobalAveragePool()(y))
    elif head == "flattened":
        y = kj.nn.Dense(4)(kj.nn.Flatten()(y))
    net = kj.Model(x, y).build(seed=3)
    saved = kj.onnx.save(net, tmp_path / "net.onnx")
    assert saved.transposes == (1 if head == "pooled" else 2)
    assert saved.operators["Conv"] == 3 and saved.operators["BatchNormalization"] == 3
    assert "Sqrt" not in saved.operators
    images = np.random.default_rng(0).normal(size=(5, 12, 10, 3)).astype("float32")
    judged("onnxruntime", "export of a convolutional network", 1, agrees(net, str(saved.path), images))


def perceptron():
    return kj.Sequential([kj.nn.Dense(5, "relu"), kj.nn.Dense(2, "softmax")]).build((None, 3), seed=0)


def test_what_a_perceptron_becomes(tmp_path):
    """Two Gemm, with the weights under their paths, as they are; the batch is open."""
    net = perceptron()
    saved = kj.onnx.save(net, tmp_path / "net.onnx", name="two layers")
    model = onnx.load(saved.path)
    assert [n.op_type for n in model.graph.node] == ["Gemm", "Relu", "Gemm", "Softmax"]
    found = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    assert list(found) == list(net.state)
    for path, v in net.state.items():
        np.testing.assert_array_equal(found[path], v.value)
    assert model.graph.name == "two layers" and model.producer_name == "kedja"
    assert model.producer_version == kj.__version__ and kj.__version__ in model.doc_string
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert (model.graph.input[0].name, model.graph.output[0].name) == ("input", "output")
    assert saved.parameters == net.count_parameters() and "opset" in str(saved)
    again = kj.onnx.save(net, tmp_path / "again.onnx", name="two layers")
    assert again.path.read_bytes() == saved.path.read_bytes()


def test_numbers_in_a_fixed_batch(tmp_path):
    """With batch=4 the file takes four rows and no others."""
    net = perceptron()
    saved = kj.onnx.save(net, tmp_path / "net.onnx", batch=4)
    assert saved.inputs == {"input": (4, 3)} and saved.outputs == {"output": (4, 2)}
    assert agrees(net, str(saved.path), np.ones((4, 3), "float32")) <= 1e-5
    with pytest.raises(Exception, match="dimension"):
        agrees(net, str(saved.path), np.ones((5, 3), "float32"))


@pytest.mark.parametrize("opset", [18, 20, 23, saving.NEWEST])
def test_older_versions_of_the_operators(opset, tmp_path):
    """Gelu exists since opset 20; before it is written out, and gives the same."""
    x, y = pictures()
    net = kj.Model(x, kj.nn.LayerNorm()(kj.nn.LSTM(3)(kj.nn.Reshape((9, 16))(kj.nn.Activation("gelu")(y))))).build(
        seed=1
    )
    saved = kj.onnx.save(net, tmp_path / "net.onnx", opset=opset)
    assert ("Gelu" in saved.operators) == (opset >= 20) and onnx.load(saved.path).opset_import[0].version == opset
    images = np.random.default_rng(0).normal(size=(2, 12, 10, 3)).astype("float32")
    assert agrees(net, str(saved.path), images) <= 1e-5


def test_the_newest_version_both_take():
    """One opset more is refused by onnx or onnxruntime, this one by neither."""

    def runs(opset):
        x = onnx.helper.make_tensor_value_info("x", 1, ["n"])
        y = onnx.helper.make_tensor_value_info("y", 1, ["n"])
        graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
        domains = [onnx.helper.make_opsetid("", opset)]
        model = onnx.helper.make_model(graph, opset_imports=domains)
        try:
            model.ir_version = onnx.helper.find_min_ir_version_for(domains)
            onnx.checker.check_model(model)
            onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        except Exception:  # each has errors of its own
            return False
        return True

    assert runs(saving.NEWEST) and not runs(saving.NEWEST + 1)


def test_several_inputs_and_outputs_keep_their_names(tmp_path):
    """Inputs are called as the model calls them; an output that is an input is handed through."""
    a, b = kj.Input((3,), name="left"), kj.Input((3,))
    total = kj.nn.Add()(a, b)
    net = kj.Model([a, b], [kj.nn.Dense(2)(total), total, a]).build(seed=0)
    saved = kj.onnx.save(net, tmp_path / "net.onnx")
    assert list(saved.inputs) == ["left", "input_2"] and list(saved.outputs) == ["output_1", "output_2", "output_3"]
    xs = tuple(np.random.default_rng(i).normal(size=(4, 3)).astype("float32") for i in range(2))
    assert agrees(net, str(saved.path), xs) <= 1e-5


def test_preparation_is_part_of_the_file(tmp_path):
    """Codes of a table with gaps and categories go in; imputing, scaling and coding are in the file."""
    table = {"a": [1.0, None, 3.0, 5.0] * 5, "c": ["x", "y", "x", "z"] * 5}
    front = kj.nn.Columns()
    net = kj.Sequential([front, kj.nn.Dense(2)])
    net.fit(table, np.arange(20) % 2, loss="cross_entropy", epochs=1, seed=0, verbose=0)
    saved = kj.onnx.save(net, tmp_path / "net.onnx")
    codes = front.encode({"a": [None, 2.0, 7.0], "c": ["z", "new", "x"]}).astype("float32")
    assert agrees(net, str(saved.path), codes) <= 1e-5


def test_weights_apart_when_they_are_too_many(tmp_path, monkeypatch):
    """Above the limit of one file the weights lie beside it, and the file runs where both lie."""
    monkeypatch.setattr(saving, "LARGEST", 1000)
    net = kj.Sequential([kj.nn.Dense(40), kj.nn.Dense(2)]).build((None, 30), seed=0)
    saved = kj.onnx.save(net, tmp_path / "net.onnx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.onnx", "net.onnx.data"]
    assert saved.data == tmp_path / "net.onnx.data" and saved.path.stat().st_size < 2000
    assert kj.onnx.check(saved, net, np.ones((3, 30))) <= 1e-5


def test_check_sees_a_difference(tmp_path):
    """A file of other weights is far off, and without onnxruntime kedja runs the file itself."""
    net = perceptron()
    saved = kj.onnx.save(net, tmp_path / "net.onnx")
    assert kj.onnx.check(saved, net, np.ones((3, 3))) <= 1e-6
    net.state["dense_1.kernel"].assign(net.state["dense_1.kernel"].value + 1)
    assert kj.onnx.check(saved, net, np.ones((3, 3))) > 1e-2


def test_check_without_onnxruntime(tmp_path, monkeypatch):
    """kedja runs the file itself then."""
    net = perceptron()
    saved = kj.onnx.save(net, tmp_path / "net.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert kj.onnx.check(saved, net, np.ones((3, 3))) <= 1e-6


class Noisy(kj.nn.Layer):
    """Draws in inference too."""

    def call(self, x):
        return x + kj.random.normal(kj.random.key(1), x.shape[1:], dtype=x.dtype)


class Odd(kj.nn.Layer):
    """Computes in another way when the rows are many."""

    def call(self, x):
        return x + 1.0 if x.shape[0] > 4 else kj.exp(x)


def test_a_layer_that_draws_is_named(tmp_path):
    """The message names layer and op, and nothing is written."""
    net = kj.Sequential([kj.nn.Dense(2), Noisy(name="noisy")]).build((None, 3), seed=0)
    with pytest.raises(FormatError, match=r'the layer "noisy" uses the op .*random'):
        kj.onnx.save(net, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_a_model_that_depends_on_the_rows_in_the_batch(tmp_path):
    """It is refused as it is, and written for one number of rows."""
    net = kj.Sequential([Odd()]).build((None, 3))
    with pytest.raises(FormatError, match="another way for another number of examples"):
        kj.onnx.save(net, tmp_path / "net.onnx")
    saved = kj.onnx.save(net, tmp_path / "net.onnx", batch=8)
    assert saved.operators == {"Add": 1}


@pytest.mark.parametrize(
    ("how", "error", "says"),
    [
        ({"opset": 9}, FormatError, "opset 9 is too old: kedja writes opsets 18 to"),
        ({"opset": 1000}, FormatError, "newer than those onnx"),
        ({"opset": "new"}, FormatError, "whole number"),
        ({"batch": 0}, FormatError, "at least 1"),
        ({"batch": "any"}, FormatError, '"dynamic" or a number'),
        ({"name": 3}, FormatError, "is text"),
    ],
)
def test_arguments_that_make_no_sense(how, error, says, tmp_path):
    """Each is refused with what it should have been."""
    with pytest.raises(error, match=says):
        kj.onnx.save(perceptron(), tmp_path / "net.onnx", **how)


def test_models_without_weights_and_other_things(tmp_path):
    """What cannot be saved says why."""
    path = tmp_path / "net.onnx"
    with pytest.raises(GraphError, match="nothing to save yet"):
        kj.onnx.save(kj.Sequential([kj.nn.Dense(2)]), path)
    with pytest.raises(GraphError, match="put it in a model first"):
        kj.onnx.save(kj.nn.Dense(2), path)
    with pytest.raises(GraphError, match="its members one by one"):
        kj.onnx.save(kj.Ensemble(perceptron, 2), path)


def test_without_the_package(monkeypatch):
    """The message says what to install."""
    import kedja.formats.onnx as room

    monkeypatch.setattr(room, "find_spec", lambda name: None)
    monkeypatch.delitem(vars(room), "save", raising=False)
    with pytest.raises(KedjaError, match=r"pip install 'kedja\[onnx\]'"):
        room.save  # noqa: B018


@pytest.mark.parametrize("name", ["lenet5", "small_resnet"])
def test_small_networks_of_the_zoo(name, tmp_path, judged):
    """They are equal in onnxruntime to 1e-5, with two transposes at most."""
    zoo_network(name, tmp_path, judged)


@pytest.mark.long
@pytest.mark.parametrize(
    "name",
    [
        "alexnet", "densenet121", "efficientnet_lite0", "googlenet", "resnet18", "resnet34", "resnet50",
        "small_densenet", "small_vgg",
        "vgg11", "vgg13", "vgg16", "vgg19",
    ],
)  # fmt: skip
def test_networks_of_the_zoo(name, tmp_path, judged):
    """All the others, at their full size."""
    zoo_network(name, tmp_path, judged)


def zoo_network(name, folder, judged):
    net = getattr(kj.zoo, name)(activation=None)
    net.build(seed=0)
    rng = np.random.default_rng(0)
    for v in net.state.of_kind("statistic").values():
        v.assign((v.value + 0.1 * rng.random(v.shape)).astype("float32"))
    saved = kj.onnx.save(net, folder / "net.onnx")
    assert saved.transposes <= 2 and saved.parameters >= net.count_parameters()
    images = rng.normal(size=(2, *net.input_shape[1:])).astype("float32")
    judged("onnxruntime", f"export of {name}", 1, agrees(net, str(saved.path), images, "reference"))
