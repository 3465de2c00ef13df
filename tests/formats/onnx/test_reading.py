"""Reading ONNX files: what is damaged, foreign, newer, unsafe or hostile is refused with the reason."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import kedja as kj
from kedja.errors import FormatError

X = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])
Y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", None])
W = numpy_helper.from_array(np.float32([[1, 2, 3], [4, 5, 6]]), "w")


def model_of(nodes, weights=(W,), opset=21, domains=()):
    """A model of x → y."""
    versions = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(helper.make_graph(nodes, "g", [X], [Y], list(weights)), opset_imports=versions)


PRODUCT = model_of([helper.make_node("MatMul", ["x", "w"], ["y"], name="product")])


def outside(location, folder, keep=True, **said):
    """A file whose weight lies in another file."""
    model = onnx.ModelProto()
    model.CopyFrom(PRODUCT)
    tensor = model.graph.initializer[0]
    if keep:
        (folder / "w.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **said}.items():
        tensor.external_data.add(key=key, value=str(value))
    path = folder / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_file_bytes_and_message_are_the_same_model(tmp_path):
    """A path, bytes and onnx's own message give the same numbers."""
    path = tmp_path / "m.onnx"
    onnx.save(PRODUCT, path)
    for source in (path, str(path), path.read_bytes(), PRODUCT):
        assert kj.onnx.load(source).predict(np.float32([[1, 1]])).tolist() == [[5.0, 7.0, 9.0]]


def test_data_beside_the_model_are_read(tmp_path):
    """Weights in a file of their own, with an offset and a length, are found beside the model."""
    path = outside("w.bin", tmp_path, offset=0, length=24)
    assert kj.onnx.load(path).predict(np.float32([[1, 1]])).tolist() == [[5.0, 7.0, 9.0]]


@pytest.mark.parametrize(
    "location", ["../w.bin", "/etc/passwd", "a/../../w.bin", "C:\\w.bin", "\\\\host\\w.bin", "..\\w.bin", ""]
)
def test_paths_out_of_the_folder_are_refused(location, tmp_path):
    """Data are read beside the model only: no way up, no root, no drive."""
    with pytest.raises(FormatError, match="only files beside the model"):
        kj.onnx.load(outside(location, tmp_path))


def test_links_out_of_the_folder_are_refused(tmp_path):
    """A link beside the model that leads elsewhere is not followed."""
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "secret").write_bytes(bytes(24))
    (inner / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(FormatError, match="leads out of"):
        kj.onnx.load(outside("link", inner))


def test_missing_and_wrong_data_are_refused(tmp_path):
    """Data that are not there, too few, too many, or at no place of the file."""
    with pytest.raises(FormatError, match="which is missing"):
        kj.onnx.load(outside("other.bin", tmp_path))
    with pytest.raises(FormatError, match="20 bytes for a tensor of shape .2, 3., which takes 24"):
        kj.onnx.load(outside("w.bin", tmp_path, length=20))
    with pytest.raises(FormatError, match="bytes 8 to 32, and that file has 24"):
        kj.onnx.load(outside("w.bin", tmp_path, offset=8, length=24))
    with pytest.raises(FormatError, match="-4"):
        kj.onnx.load(outside("w.bin", tmp_path, offset=-4))
    with pytest.raises(FormatError, match="no whole number"):
        kj.onnx.load(outside("w.bin", tmp_path, offset="much"))
    with pytest.raises(FormatError, match="give its path"):
        kj.onnx.load(outside("w.bin", tmp_path).read_bytes())


def test_what_is_no_model_is_refused(tmp_path):
    """Empty files, text, cut files, folders and nothing at all."""
    path = tmp_path / "m.onnx"
    whole = PRODUCT.SerializeToString()
    for blob in (b"", b"no model at all", bytes(100), whole[: len(whole) // 2], whole[:-1]):
        path.write_bytes(blob)
        with pytest.raises(FormatError):
            kj.onnx.load(path)
    with pytest.raises(FormatError, match="does not exist"):
        kj.onnx.load(tmp_path / "nothing.onnx")
    with pytest.raises(FormatError, match=r"is a folder.*kj\.load"):
        kj.onnx.load(tmp_path)
    with pytest.raises(FormatError, match="got int"):
        kj.onnx.load(3)


def test_every_cut_of_a_file_is_refused():
    """Wherever a file ends too early, the error is ours."""
    whole = PRODUCT.SerializeToString()
    for end in range(len(whole)):
        with pytest.raises(FormatError):
            kj.onnx.load(whole[:end])


@pytest.mark.parametrize("dims", [[2, 3, 1 << 40], [1 << 62, 1 << 62], [-2, -3], [2, 2]])
def test_shapes_that_do_not_fit_their_data_are_refused(dims):
    """A tensor that claims more than it brings, or less, or fewer than none."""
    for stored in (W, helper.make_tensor("w", TensorProto.FLOAT, [2, 3], range(6))):
        tensor = TensorProto()
        tensor.CopyFrom(stored)
        del tensor.dims[:]
        tensor.dims.extend(dims)
        with pytest.raises(FormatError, match="the tensor 'w'"):
            kj.onnx.load(model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], [tensor]))


def test_later_versions_are_refused():
    """An opset the package onnx has not heard of."""
    with pytest.raises(FormatError, match=r"opset 999 .*update onnx"):
        kj.onnx.load(model_of([helper.make_node("Relu", ["x"], ["y"])], (), opset=999))


def test_circles_are_named_and_disorder_is_mended():
    """Nodes that wait for each other are an error; nodes in a wrong order are sorted."""
    round_ = [
        helper.make_node("Add", ["x", "b"], ["a"], name="one"),
        helper.make_node("Relu", ["a"], ["b"], name="two"),
    ]
    with pytest.raises(FormatError, match="circle: one → two"):
        kj.onnx.load(model_of([*round_, helper.make_node("Relu", ["b"], ["y"])], ()))
    late = [helper.make_node("Relu", ["a"], ["y"]), helper.make_node("MatMul", ["x", "w"], ["a"])]
    assert kj.onnx.load(model_of(late)).predict(np.float32([[1, -1]])).tolist() == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (
            helper.make_node("QLinearMatMul", list("xxxxxxxx"), ["y"], name="q"),
            r"QLinearMatMul .*'q'.*before it is quant",
        ),
        (helper.make_node("NonZero", ["x"], ["y"]), r"NonZero .*makes 'y'.*nearest: Where"),
        (helper.make_node("Relu", ["x"], ["y"], domain="com.acme"), r"com\.acme.*Relu of ONNX itself is"),
        (helper.make_node("TreeEnsemble", ["x"], ["y"], domain="ai.onnx.ml"), "TreeEnsemble.*trees"),
        (helper.make_node("GridSample", ["x", "x"], ["y"], name="warp"), r"GridSample .*'warp'"),
    ],
)
def test_unknown_operators_name_themselves(node, said):
    """The operator, its node, and what comes nearest."""
    model = onnx.ModelProto()
    model.CopyFrom(model_of([node], (), domains=[d for d in [node.domain] if d]))
    with pytest.raises(FormatError, match=said):
        kj.onnx.prepare(model) if node.domain != "ai.onnx.ml" else kj.onnx.translate(node, [], 5)


def test_lengthy_weights_made_by_nodes_are_refused():
    """A ConstantOfShape of a hostile size, used as a weight, is not made."""
    size = numpy_helper.from_array(np.int64([2, 1 << 50]), "s")
    nodes = [helper.make_node("ConstantOfShape", ["s"], ["w"]), helper.make_node("MatMul", ["x", "w"], ["y"])]
    with pytest.raises(FormatError, match="16 GiB"):
        kj.onnx.load(model_of(nodes, [size]))
