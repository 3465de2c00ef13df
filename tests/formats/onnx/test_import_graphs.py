"""Imported graphs of many kinds: layouts, weights in odd places, loops, resizing, operators defined by others."""

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import kedja as kj
from formats.onnx.made import by_onnxruntime, drawn, model_of, worst
from kedja.errors import ShapeError

torch.set_num_threads(1)


def test_graph_in_nhwc():
    """Images channels last with transposes around each Conv, as exporters of TensorFlow write them; its padding too."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "net/conv/kernel:0"], ["c"], auto_pad="SAME_UPPER", strides=[2, 2]),
        helper.make_node("Transpose", ["c"], ["u"], perm=[0, 2, 3, 1]),
        helper.make_node("Add", ["u", "net/conv/bias:0"], ["b"]),
        helper.make_node("Relu", ["b"], ["r"]),
        helper.make_node("ReduceMean", ["r", "axes"], ["y"], keepdims=0),
    ]
    weights = {"net/conv/kernel:0": drawn(4, 3, 3, 3), "net/conv/bias:0": drawn(4), "axes": np.int64([1, 2])}
    model, x = model_of(nodes, weights, ("n", 8, 7, 3)), drawn(2, 8, 7, 3)
    net = kj.onnx.load(model)
    assert len(net.parameters) == 2
    assert worst(net.predict(x), by_onnxruntime(model, x)[0]) < 1e-5


def test_weights_of_every_kind_are_found():
    """Constant nodes, weights behind a Transpose, and weights that nodes make of constants are parameters."""
    constant = numpy_helper.from_array(drawn(2, 3))
    nodes = [
        helper.make_node("Constant", [], ["w1"], value=constant),
        helper.make_node("MatMul", ["x", "w1"], ["a"]),
        helper.make_node("Constant", [], ["half"], value_float=0.5),
        helper.make_node("Mul", ["a", "half"], ["b"]),
        helper.make_node("Transpose", ["w2"], ["w2t"], perm=[1, 0]),
        helper.make_node("Gemm", ["b", "w2t"], ["c"]),
        helper.make_node("ConstantOfShape", ["three"], ["w3"], value=helper.make_tensor("v", 1, [1], [0.25])),
        helper.make_node("MatMul", ["c", "w3"], ["d"]),
        helper.make_node("Add", ["d", "shift"], ["y"]),
    ]
    weights = {"w2": drawn(3, 3), "three": np.int64([3, 2]), "shift": drawn(2)}
    model = model_of(nodes, weights)
    net, x = kj.onnx.load(model), drawn(4, 2)
    assert {k.rpartition(".")[2]: v.shape for k, v in net.state.items()} == {
        "w1": (2, 3), "w2": (3, 3), "w3": (3, 2), "shift": (2,),
    }  # fmt: skip
    assert worst(net.predict(x), by_onnxruntime(model, x)[0]) < 1e-5


def test_preparation_of_the_input_is_not_learned():
    """A mean and a scale before the first weights prepare the data and stay as they are."""
    nodes = [
        helper.make_node("Sub", ["x", "mean"], ["a"]),
        helper.make_node("Div", ["a", "deviation"], ["b"]),
        helper.make_node("MatMul", ["b", "w"], ["y"]),
    ]
    net = kj.onnx.load(model_of(nodes, {"mean": drawn(2), "deviation": drawn(2) + 3, "w": drawn(2, 3)}))
    assert [p.shape for p in net.parameters] == [(2, 3)]


def test_shared_weight_is_one_parameter():
    """A tensor used in two places is one parameter, and its gradient the sum of both."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("MatMul", ["a", "w"], ["y"])]
    w, x = drawn(2, 2), drawn(3, 2)
    net = kj.onnx.load(model_of(nodes, {"w": w}))
    (p,) = net.parameters
    t = torch.tensor(w, requires_grad=True)
    (torch.tensor(x) @ t @ t).sum().backward()
    assert worst(kj.grad(net(x).sum(), p).numpy(), t.grad.numpy()) < 1e-6


def test_graphs_inside_operators():
    """A Loop whose steps are known and an If that depends on the input, with gradients to weights outside of them."""
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["h", "w"], ["m"]), helper.make_node("Tanh", ["m"], ["h2"]),
            helper.make_node("Identity", ["go"], ["on"]),
        ],
        "body", [info("i", 7, []), info("go", 9, []), info("h", 1, None)], [info("on", 9, []), info("h2", 1, None)],
    )  # fmt: skip
    branches = {
        f"{name}_branch": helper.make_graph([helper.make_node(op, ["h3"], [name])], name, [], [info(name, 1, None)])
        for name, op in (("then", "Neg"), ("else", "Exp"))
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h0"]),
        helper.make_node("Loop", ["steps", "", "h0"], ["h3"], body=body),
        helper.make_node("ReduceSum", ["h3"], ["total"], keepdims=0),
        helper.make_node("Greater", ["total", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["y"], **branches),
    ]
    w = drawn(2, 2)
    model = model_of(nodes, {"w": w, "steps": np.int64(3), "zero": np.float32(0)})
    net = kj.onnx.load(model)
    for x in (drawn(3, 2), -drawn(3, 2)):
        assert worst(net.predict(x), by_onnxruntime(model, x)[0]) < 1e-5
        t = torch.tensor(w, requires_grad=True)
        h = torch.tensor(x) @ t
        for _ in range(3):
            h = torch.tanh(h @ t)
        (-h if h.sum() > 0 else h.exp()).sum().backward()
        assert worst(kj.grad(net(x).sum(), net.parameters)[0].numpy(), t.grad.numpy()) < 1e-5


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("where", ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"])
def test_resized_as_onnxruntime_does(mode, where):
    """Resize in all its modes, larger and smaller, equals onnxruntime's."""
    for scales in ([1, 1, 1.6, 2.5], [1, 1, 0.6, 0.75]):
        node = helper.make_node(
            "Resize", ["x", "", "scales"], ["y"], mode=mode, coordinate_transformation_mode=where, nearest_mode="floor"
        )
        model, x = model_of([node], {"scales": np.float32(scales)}, (2, 3, 10, 8), 4), drawn(2, 3, 10, 8)
        assert worst(kj.onnx.run_model(model, [x])[0], by_onnxruntime(model, x)[0]) < 1e-5


def test_attention_as_one_operator():
    """An operator that ONNX defines in terms of others is read by that definition."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["q"]),
        helper.make_node("Attention", ["q", "x", "x"], ["y"], q_num_heads=2, kv_num_heads=2),
    ]
    w, x = drawn(8, 8), drawn(2, 5, 8)
    model = model_of(nodes, {"w": w}, ("n", 5, 8), 3, opset=23)
    net = kj.onnx.load(model)
    t = torch.tensor(w, requires_grad=True)
    q, k = (a.reshape(2, 5, 2, 4).transpose(1, 2) for a in (torch.tensor(x) @ t, torch.tensor(x)))
    y = torch.nn.functional.scaled_dot_product_attention(q, k, k).transpose(1, 2).reshape(2, 5, 8)
    y.square().sum().backward()
    assert worst(net.predict(x), y.detach().numpy()) < 1e-5
    found = kj.grad(kj.sum(net(x) ** 2), net.parameters)
    assert [p.shape for p in net.parameters] == [(8, 8)]
    assert worst(found[0].numpy(), t.grad.numpy()) < 1e-4


def test_several_inputs():
    """A model with two inputs takes a tuple, and says which it wants."""
    model = model_of(
        [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("Add", ["a", "z"], ["y"])], {"w": drawn(2, 2)}
    )
    model.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 2]))
    net, x, z = kj.onnx.load(model), drawn(3, 2), drawn(3, 2)
    assert worst(net.predict((x, z)), by_onnxruntime(model, x, z)[0]) < 1e-6
    with pytest.raises(ShapeError, match=r"inputs \['x', 'z'\], got 1"):
        net(x)
