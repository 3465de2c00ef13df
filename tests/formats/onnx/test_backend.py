"""The ONNX backend beyond the conformance suite: whole models, older versions, small types, and what it refuses."""

import ml_dtypes
import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import kedja as kj
from kedja.errors import DataError, FormatError, GraphError, KedjaError
from kedja.formats import onnx as room

RNG = np.random.default_rng(12)
torch.set_num_threads(1)


def drawn(*shape: int) -> np.ndarray:
    """Normal numbers, float32."""
    return RNG.normal(size=shape).astype(np.float32)


def model_of(nodes, inputs, outputs, weights=None, opset=21):
    """A model; inputs and outputs are name → (type, number of axes), their sizes are left open."""
    weights = weights or {}
    return helper.make_model(
        helper.make_graph(
            nodes,
            "made",
            [helper.make_tensor_value_info(n, t, [None] * axes) for n, (t, axes) in inputs.items()],
            [helper.make_tensor_value_info(n, t, [None] * axes) for n, (t, axes) in outputs.items()],
            [numpy_helper.from_array(w, n) for n, w in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", opset)],
    )


WEIGHTS = {"k": drawn(4, 3, 3, 3), "kb": drawn(4), "w": drawn(5, 4 * 3 * 3), "b": drawn(5)}
NETWORK = model_of(
    [
        helper.make_node("Conv", ["x", "k", "kb"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[1, 1]),
        helper.make_node("Shape", ["p"], ["s"], end=1),
        helper.make_node("Constant", [], ["rest"], value_ints=[-1]),
        helper.make_node("Concat", ["s", "rest"], ["flat"], axis=0),
        helper.make_node("Reshape", ["p", "flat"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "b"], ["g"], transB=1),
        helper.make_node("Softmax", ["g"], ["y"]),
    ],
    {"x": (TensorProto.FLOAT, 4)},
    {"y": (TensorProto.FLOAT, 2), "g": (TensorProto.FLOAT, 2)},
    WEIGHTS,
)


def by_torch(x: np.ndarray) -> list[np.ndarray]:
    """The same network in PyTorch."""
    k, kb, w, b = (torch.tensor(WEIGHTS[n]) for n in ("k", "kb", "w", "b"))
    y = F.max_pool2d(F.relu(F.conv2d(torch.tensor(x), k, kb, 2, 1)), 2, 1).flatten(1)
    g = F.linear(y, w, b)
    return [g.softmax(-1).numpy(), g.numpy()]


@pytest.mark.parametrize("engine", ["reference", "xla"])
def test_network_is_pytorchs(engine):
    """A convolutional network whose Reshape takes its sizes from a Shape; one program per batch size."""
    prepared = kj.onnx.prepare(NETWORK, engine)
    for n, programs in ((2, 1), (5, 2), (2, 2)):
        x = drawn(n, 3, 7, 7)
        for given in ([x], {"x": x}, x):
            for found, expected in zip(prepared.run(given), by_torch(x), strict=True):
                np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
        assert len(prepared._programs) == programs
    np.testing.assert_allclose(kj.onnx.run_model(NETWORK, [x])[0], by_torch(x)[0], rtol=1e-5, atol=1e-5)


def test_inputs_that_decide_shapes_are_constants_of_a_program():
    """A new shape makes a new program, new numbers do not."""
    nodes = [helper.make_node("Add", ["s", "one"], ["t"]), helper.make_node("Reshape", ["x", "t"], ["y"])]
    types = {"x": (TensorProto.FLOAT, 1), "s": (TensorProto.INT64, 1)}
    model = model_of(nodes, types, {"y": (TensorProto.FLOAT, 2)}, {"one": np.array([1], np.int64)})
    prepared = kj.onnx.prepare(model)
    for sizes, programs in (([1, 2], 1), ([2, 1], 2), ([1, 2], 2)):
        x = drawn(6)
        np.testing.assert_array_equal(prepared.run([x, np.array(sizes)])[0], x.reshape(np.array(sizes) + 1))
        assert len(prepared._programs) == programs


def one(name, inputs, opset, **attributes):
    """The outputs of one node of an older version."""
    names = [f"i{i}" for i in range(len(inputs))]
    node = helper.make_node(name, names, [f"o{i}" for i in range(attributes.pop("outputs", 1))], **attributes)
    return kj.onnx.Backend.run_node(node, inputs, opset_version=opset)


X = drawn(2, 3, 4)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (lambda: one("ReduceSum", [X], 11, axes=[1], keepdims=0), lambda: X.sum(1)),
        (lambda: one("Clip", [X], 6, min=-0.5, max=0.5), lambda: X.clip(-0.5, 0.5)),
        (lambda: one("Softmax", [X], 11), lambda: F.softmax(torch.tensor(X).reshape(2, 12), 1).reshape(2, 3, 4)),
        (lambda: one("LogSoftmax", [X], 11, axis=2), lambda: F.log_softmax(torch.tensor(X), 2)),
        (lambda: one("Squeeze", [X[:1]], 11, axes=[0]), lambda: X[0]),
        (lambda: one("Squeeze", [X[:1, :1]], 13), lambda: X[0, 0]),
        (lambda: one("Unsqueeze", [X], 11, axes=[0, -1]), lambda: X[None, ..., None]),
        (lambda: one("Slice", [X], 9, starts=[1, 0], ends=[99, -1], axes=[1, 2]), lambda: X[:, 1:, :-1]),
        (lambda: one("Pad", [X], 10, pads=[0, 1, 0, 0, 0, 2], value=3.0),
         lambda: np.pad(X, [(0, 0), (1, 0), (0, 2)], constant_values=3.0)),
        (lambda: one("Pad", [X, np.array([0, -1, 2, 0, 0, -1])], 21),
         lambda: np.pad(X[:, 1:, :-1], [(0, 0), (0, 0), (2, 0)])),
        (lambda: one("TopK", [X], 9, k=2, outputs=2), lambda: np.sort(X)[..., :-3:-1]),
        (lambda: one("Split", [X], 11, axis=2, split=[1, 3], outputs=2), lambda: X[..., :1]),
        (lambda: one("Dropout", [X], 10, ratio=0.3), lambda: X),
        (lambda: one("GroupNormalization", [X[..., None], np.ones(1, np.float32), np.zeros(1, np.float32)], 18,
                     num_groups=1), lambda: F.group_norm(torch.tensor(X[..., None]), 1)),
        (lambda: one("Constant", [], 21, value_floats=[1.0, 2.0]), lambda: np.float32([1, 2])),
        (lambda: one("Gemm", [np.eye(2, dtype=np.int64), np.eye(2, dtype=np.int64)], 13, alpha=3.0),
         lambda: 3 * np.eye(2, dtype=np.int64)),
        (lambda: one("Transpose", [np.float32(2.0)], 21), lambda: np.float32(2.0)),
        (lambda: one("Flatten", [X], 21, axis=3), lambda: X.reshape(24, 1)),
    ],
)  # fmt: skip
def test_older_versions_and_rare_arguments(found, expected):
    """Arguments that were attributes once, and such as the suite does not try."""
    wanted = np.asarray(expected())
    np.testing.assert_allclose(found()[0], wanted, rtol=1e-5, atol=1e-6)
    assert found()[0].dtype == wanted.dtype


# --- recurrent operators with sequences of different lengths ----------------------------------------------------------
STEPS, BATCH, SIZE, HIDDEN = 5, 3, 2, 4
LENGTHS = [5, 2, 4]
ORDER = {"LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2], "RNN": [0]}  # ONNX's gates among PyTorch's


@pytest.mark.parametrize("engine", ["reference", "xla"])
@pytest.mark.parametrize("kind", ORDER)
def test_sequences_of_different_lengths_are_pytorchs(kind, engine):
    """Both directions, with initial states; each sequence is read backwards from its own end."""
    torch.manual_seed(3)
    theirs = getattr(torch.nn, kind)(SIZE, HIDDEN, bidirectional=True)
    x, h0 = drawn(STEPS, BATCH, SIZE), drawn(2, BATCH, HIDDEN)
    states = [h0, drawn(2, BATCH, HIDDEN)] if kind == "LSTM" else [h0]
    packed = torch.nn.utils.rnn.pack_padded_sequence(torch.tensor(x), LENGTHS, enforce_sorted=False)
    given = tuple(map(torch.tensor, states))
    out, last = theirs(packed, given if kind == "LSTM" else given[0])
    expected = [torch.nn.utils.rnn.pad_packed_sequence(out)[0].reshape(STEPS, BATCH, 2, HIDDEN).movedim(2, 1)]
    expected += list(last) if kind == "LSTM" else [last]

    def gates(name: str) -> np.ndarray:
        both = []
        for end in ("_l0", "_l0_reverse"):
            parts = np.split(getattr(theirs, name + end).detach().numpy(), len(ORDER[kind]))
            both.append(np.concatenate([parts[i] for i in ORDER[kind]]))
        return np.stack(both)

    bias = np.concatenate([gates("bias_ih"), gates("bias_hh")], 1)
    inputs = [x, gates("weight_ih"), gates("weight_hh"), bias, np.array(LENGTHS, np.int32), *states]
    more = {"linear_before_reset": 1} if kind == "GRU" else {}
    names = [f"i{i}" for i in range(len(inputs))]
    node = helper.make_node(
        kind, names, ["y", "h", "c"][: len(expected)], hidden_size=HIDDEN, direction="bidirectional", **more
    )
    for found, wanted in zip(kj.onnx.Backend.run_node(node, inputs, engine=engine), expected, strict=True):
        np.testing.assert_allclose(found, wanted.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_recurrent_activations_take_their_parameters():
    """A leaky RNN of one step with clipping, by hand."""
    x, w, r = drawn(1, 2, 3) * 9, drawn(1, 4, 3), drawn(1, 4, 4)
    _, h = one("RNN", [x, w, r], 22, hidden_size=4, outputs=2, activations=["LeakyRelu"], activation_alpha=[0.25],
               clip=2.0)  # fmt: skip
    z = (x[0] @ w[0].T).clip(-2, 2)
    np.testing.assert_allclose(h[0], np.where(z > 0, z, 0.25 * z), rtol=1e-5)


# --- types that are only stored --------------------------------------------------------------------------------------
FLOATS = ["float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float4_e2m1fn"]


@pytest.mark.parametrize("engine", ["reference", "xla"])
@pytest.mark.parametrize("name", FLOATS)
def test_every_half_becomes_the_small_float_that_ml_dtypes_makes_of_it(name, engine):
    """All 65,536 numbers of float16, bit by bit, and every small float back."""
    dtype = np.dtype(getattr(ml_dtypes, name))
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    halves = halves[~np.isnan(halves)]
    number = helper.np_dtype_to_tensor_dtype(dtype)
    node = helper.make_node("Cast", ["x"], ["y"], to=number, saturate=0)
    (found,) = kj.onnx.Backend.run_node(node, [halves], engine=engine)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found.view(np.uint8), halves.astype(dtype).view(np.uint8))
    every = np.arange(16 if "4_" in name else 256, dtype=np.uint8).view(dtype)
    back = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)
    (numbers,) = kj.onnx.Backend.run_node(back, [every], engine=engine)
    np.testing.assert_array_equal(numbers, every.astype(np.float32))


@pytest.mark.parametrize("name", FLOATS[:4])
def test_saturating_casts_stop_at_the_largest(name):
    """Too large numbers become the largest there is, also infinite ones."""
    dtype = np.dtype(getattr(ml_dtypes, name))
    x = np.float32([1e9, -1e9, np.inf, -np.inf, 1.0])
    node = helper.make_node("Cast", ["x"], ["y"], to=helper.np_dtype_to_tensor_dtype(dtype))
    most = float(ml_dtypes.finfo(dtype).max)
    np.testing.assert_array_equal(
        kj.onnx.Backend.run_node(node, [x])[0].astype(np.float32), [most, -most, most, -most, 1.0]
    )


@pytest.mark.parametrize("name", ["int4", "uint4", "int2", "uint2"])
def test_small_whole_numbers_wrap(name):
    """As NumPy's do: the low bits stay."""
    dtype = np.dtype(getattr(ml_dtypes, name))
    x = np.arange(-20, 20).astype(np.float32) + 0.25
    node = helper.make_node("Cast", ["x"], ["y"], to=helper.np_dtype_to_tensor_dtype(dtype))
    (found,) = kj.onnx.Backend.run_node(node, [x])
    np.testing.assert_array_equal(found.astype(np.int32), np.trunc(x).astype(dtype).astype(np.int32))
    back = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.INT8)
    np.testing.assert_array_equal(kj.onnx.Backend.run_node(back, [found])[0], found.astype(np.int8))


@pytest.mark.parametrize("mode", ["up", "down", "nearest"])
def test_powers_of_two_round_as_asked(mode):
    """The type that holds a power of two alone."""
    x = np.float32([0.3, 1.0, 1.4, 1.5, 1.6, 3e38, np.nan])
    node = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT8E8M0, round_mode=mode)
    (found,) = kj.onnx.Backend.run_node(node, [x])
    expected = {"up": [0.5, 1, 2, 2, 2], "down": [0.25, 1, 1, 1, 1], "nearest": [0.25, 1, 1, 2, 2]}[mode]
    np.testing.assert_array_equal(found.astype(np.float32), np.float32([*expected, 2.0**127, np.nan]))


def test_words_are_compared_and_handed_through():
    """Text has no numbers, but equal words are equal, in constants and inputs, run after run."""
    nodes = [helper.make_node("Equal", ["x", "known"], ["same"]), helper.make_node("Identity", ["x"], ["y"])]
    outputs = {"same": (TensorProto.BOOL, 1), "y": (TensorProto.STRING, 1)}
    model = model_of(nodes, {"x": (TensorProto.STRING, 1)}, outputs, {"known": np.array(["cat"], dtype=object)})
    prepared = kj.onnx.prepare(model)
    for words in (["cat", "dog"], ["bird", "cat"]):
        same, y = prepared.run([np.array(words, dtype=object)])
        assert same.tolist() == [w == "cat" for w in words] and y.tolist() == words


def test_dropout_without_a_seed_draws_its_own():
    """Two nodes drop different numbers, about as many as asked for, and scale the others."""
    nodes = [helper.make_node("Dropout", ["x", "r", "t"], [f"y{i}"]) for i in range(2)]
    weights = {"r": np.float32(0.25), "t": np.array(True)}
    outputs = {"y0": (TensorProto.FLOAT, 2), "y1": (TensorProto.FLOAT, 2)}
    model = model_of(nodes, {"x": (TensorProto.FLOAT, 2)}, outputs, weights)
    a, b = kj.onnx.run_model(model, [np.ones((100, 100), "f4")])
    assert set(np.unique(a)) == {0.0, np.float32(1 / 0.75)} and abs((a == 0).mean() - 0.25) < 0.02
    assert 0.3 < (a != b).mean() < 0.45


@pytest.mark.parametrize("time", [0, 1, 7])
@pytest.mark.parametrize(
    ("name", "slots", "attributes"),
    [
        ("Adagrad", 1, {"decay_factor": 0.1, "epsilon": 1e-5, "norm_coefficient": 0.01}),
        ("Adam", 2, {"alpha": 0.9, "beta": 0.99, "epsilon": 1e-3, "norm_coefficient": 0.01,
                     "norm_coefficient_post": 0.02}),
        ("Momentum", 1, {"alpha": 0.9, "beta": 0.3, "norm_coefficient": 0.01, "mode": "standard"}),
        ("Momentum", 1, {"alpha": 0.9, "beta": 0.3, "norm_coefficient": 0.01, "mode": "nesterov"}),
    ],
)  # fmt: skip
def test_training_steps_are_the_references(name, slots, attributes, time):
    """At the start and later, with every coefficient: ONNX's reference implementation is the judge."""
    domain = "ai.onnx.preview.training"
    inputs = ["R", "T", "X", "G", *"VH"[:slots]]
    node = helper.make_node(name, inputs, ["X_new", *"ab"[:slots]], domain=domain, **attributes)
    given = [np.float32(0.1), np.int64(time), *(drawn(5) for _ in range(2)), *(abs(drawn(5)) for _ in range(slots))]
    expected = ReferenceEvaluator(node).run(None, dict(zip(inputs, given, strict=True)))
    for found, wanted in zip(kj.onnx.Backend.run_node(node, given), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=2e-6)


# --- what is refused -------------------------------------------------------------------------------------------------
def test_unknown_operators_are_named():
    """All of them, before anything is computed."""
    nodes = [helper.make_node("NonZero", ["x"], ["a"]), helper.make_node("Det", ["x"], ["y"])]
    with pytest.raises(FormatError, match="operators kedja has not: Det, NonZero"):
        kj.onnx.prepare(model_of(nodes, {"x": (TensorProto.FLOAT, 2)}, {"y": (TensorProto.FLOAT, 0)}))


def test_value_that_must_be_known_is_asked_for():
    """A shape that is computed from an input has no value while the graph is built."""
    node = helper.make_node("Reshape", ["x", "s"], ["y"], name="fold")
    with pytest.raises(FormatError, match="input 1 of Reshape 'fold' must be known"):
        kj.onnx.translate(node, [kj.ones(4), kj.placeholder((1,), "int64")], 21)


def relu_model() -> onnx.ModelProto:
    """y = relu(x)."""
    node = helper.make_node("Relu", ["x"], ["y"])
    return model_of([node], {"x": (TensorProto.FLOAT, 3)}, {"y": (TensorProto.FLOAT, 3)})


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: kj.onnx.prepare(relu_model()).run([]), DataError, r"missing \['x'\]"),
        (lambda: kj.onnx.prepare(relu_model()).run([X, X]), DataError, r"inputs \['x'\], got 2 arrays"),
        (lambda: kj.onnx.prepare(relu_model()).run({"x": X, "z": X}), DataError, r"not among them \['z'\]"),
        (lambda: kj.onnx.Backend.prepare(relu_model(), "CUDA"), GraphError, "runs on the CPU, not on 'CUDA'"),
        (lambda: kj.onnx.prepare(onnx.ModelProto()), FormatError, "no valid ONNX model"),
        (lambda: one("Relu", [X], 21, slope=1.0), FormatError, "attribute 'slope' is not known"),
        (lambda: one("Concat", [X], 21), FormatError, "'axis'"),
        (lambda: one("MatMul", [X, X], 21), KedjaError, "ONNX MatMul: matmul: .* Did you mean a.T @ b"),
        (lambda: one("Add", [X.astype(ml_dtypes.float8_e5m2)] * 2, 21), FormatError, "type float8_e5m2"),
        (lambda: one("Neg", [np.array([1j])], 21), FormatError, "no tensors of type complex128"),
        (lambda: one("Cast", [np.array(["1"])], 21, to=TensorProto.FLOAT), FormatError, "text"),
    ],
)
def test_errors_say_what_is_wrong(call, error, message):
    """One clear message each."""
    with pytest.raises(error, match=message):
        call()


def test_missing_package_is_named(monkeypatch):
    """Without onnx the room says what to install."""
    monkeypatch.setattr(room, "find_spec", lambda name: None)
    with pytest.raises(KedjaError, match=r"pip install 'kedja\[onnx\]'"):
        room.__getattr__("Backend")
    with pytest.raises(AttributeError, match="no attribute 'Frontend'"):
        room.__getattr__("Frontend")
