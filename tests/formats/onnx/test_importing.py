"""ONNX files as models that learn: numbers and gradients of PyTorch and onnxruntime, names, cuts, saving, training."""

import numpy as np
import pytest
import torch
from onnx import helper

import kedja as kj
from formats.onnx import exported
from formats.onnx.made import by_onnxruntime, drawn, model_of, worst
from kedja.errors import FormatError, GraphError, KedjaError, ShapeError

torch.set_num_threads(1)
DATA = exported.DATA
FILES = [(name, exporter) for name in exported.NETWORKS for exporter in exported.EXPORTERS]
ON_ENGINES = [
    pytest.param(*file, engine, marks=[pytest.mark.long] if engine == "xla" and file[1] == "dynamo" else [])
    for file in FILES
    for engine in ("reference", "xla")
]
FUSED = ("convolutional", "dynamo")  # this exporter puts the batch norm into the Conv before it


def imported(name, exporter, **how):
    """A network of PyTorch, through its file."""
    return kj.onnx.load(DATA / f"{name}-{exporter}.onnx", **how)


def reordered(w, order):
    """The gates of PyTorch's recurrent layers in ONNX's order."""
    parts = np.split(w, len(order))
    return np.concatenate([parts[i] for i in order])


def recurrent_gradients(gradients, layer, order):
    """Kernel, recurrent kernel and bias of ONNX, from the gradients of a layer of PyTorch."""
    ends = [e for e in ("l0", "l0_reverse") if f"{layer}.weight_ih_{e}" in gradients]

    def of(what):
        return [reordered(gradients[f"{layer}.{what}_{e}"], order) for e in ends]

    biases = [np.concatenate(pair) for pair in zip(of("bias_ih"), of("bias_hh"), strict=True)]
    return np.stack(of("weight_ih")), np.stack(of("weight_hh")), np.stack(biases)


def wanted_gradients(name, net):
    """The gradients of PyTorch's parameters, in the shapes that ONNX has them in."""
    found = {k: p.grad.numpy() for k, p in net.named_parameters()}
    if name == "recurrent":
        rest = {k: g for k, g in found.items() if not k.startswith(("gru", "lstm"))}
        lstm, gru = recurrent_gradients(found, "lstm", (0, 3, 1, 2)), recurrent_gradients(found, "gru", (1, 0, 2))
        return [rest["emb.weight"], *lstm, *gru, rest["out.weight"], rest["out.bias"]]
    if name == "attention":
        order = "inp.weight inp.bias pos q.weight k.weight v.weight v.bias norm.weight norm.bias"
        order = [*order.split(), *(f"mlp.{i}.{w}" for i in (0, 2) for w in ("weight", "bias"))]
        products = {"inp.weight", "k.weight", "q.weight", "v.weight"}  # stand there as MatMul, transposed
        return [found[k].T if k in products else found[k] for k in order]
    return list(found.values())


@pytest.mark.parametrize(("name", "exporter", "engine"), ON_ENGINES)
def test_outputs_are_those_of_pytorch_and_onnxruntime(name, exporter, engine, judged):
    """Files of both of PyTorch's exporters give PyTorch's outputs, for batches of other sizes than the exported one."""
    net = imported(name, exporter)
    for rows in (1, 3):
        x = exported.inputs(name, rows)
        y = net.predict(x, engine=engine)
        with torch.no_grad():
            error = worst(y, exported.network(name)(torch.tensor(x)).numpy())
        assert error < 1e-5
        assert worst(y, by_onnxruntime(str(DATA / f"{name}-{exporter}.onnx"), x)[0]) < 1e-5
    judged("PyTorch", f"ONNX import: {name}", 2, error)


@pytest.mark.parametrize(("name", "exporter", "engine"), [p for p in ON_ENGINES if p.values[:2] != FUSED])
def test_gradients_are_those_of_pytorch(name, exporter, engine, judged):
    """The gradient of every imported parameter is PyTorch's."""
    net, x = imported(name, exporter), exported.inputs(name)
    torch_net = exported.network(name)
    y = torch_net(torch.tensor(x))
    towards = np.linspace(-1, 1, y.numel(), dtype=np.float32).reshape(y.shape)
    (y * torch.tensor(towards)).sum().backward()
    wanted = wanted_gradients(name, torch_net)
    parameters = net.parameters
    step = kj.compile(lambda v: tuple(kj.grad((net(v) * towards).sum(), parameters)), engine=engine)
    found = [np.asarray(g) for g in step(x)]
    assert len(found) == len(wanted)
    errors = [worst(g, w) for g, w in zip(found, wanted, strict=True)]
    assert max(errors) < 1e-4
    judged("PyTorch", f"ONNX import, gradients: {name}", len(errors), max(errors))


def test_gradients_are_those_of_perturbation():
    """In float64, the gradient of every parameter agrees with moving it a little."""
    net, x = imported("convolutional", "script", dtype="float64"), exported.inputs("convolutional", 1).astype(float)
    assert net(x).dtype == np.float64
    for p in net.parameters:
        (g,) = kj.grad(kj.sum(net(x) ** 2), [p])
        at = np.unravel_index(int(np.abs(g.numpy()).argmax()), p.shape)
        values, step = p.value.copy(), 1e-6
        ends = []
        for sign in (1, -1):
            moved = values.copy()
            moved[at] += sign * step
            p.assign(moved)
            ends.append(kj.sum(net(x) ** 2).item())
        p.assign(values)
        assert g.numpy()[at] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6)


def test_names_are_those_of_the_file():
    """Tensors keep their names; one without a name of its own is called after its layer and what it does there."""
    state = imported("convolutional", "script").state
    assert list(state) == [
        "conv1.weight", "conv1.bias", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var",
        "conv2.weight", "up.weight", "up.bias", "fc.weight", "fc.bias",
    ]  # fmt: skip
    assert [k for k, v in state.items() if v.kind == "statistic"] == ["norm.running_mean", "norm.running_var"]
    assert "lstm.LSTM.recurrent_kernel" in imported("recurrent", "script").state


def test_count_of_parameters_is_that_of_pytorch():
    """Nothing is left out, nothing counted twice."""
    for name in exported.NETWORKS:
        assert imported(name, "script").count_parameters() == sum(
            p.numel() for p in exported.network(name).parameters()
        )


def test_summary_shows_the_nodes():
    """A row for each node that works on the input, with its operator and the shape it gives."""
    table = str(imported("convolutional", "script").summary())
    assert "ConvTranspose" in table and "(None, 4, 8, 8)" in table and "norm" in table and "Shape" not in table


def test_fine_tuning_lowers_the_loss_and_leaves_statistics_alone():
    """fit trains the imported weights on both engines alike; running means stay."""
    x, y = exported.inputs("convolutional", 6), np.arange(6) % 3
    losses = {}
    for engine in ("reference", "xla"):
        net = imported("convolutional", "script")
        before = net.state["norm.running_mean"].value.copy()
        history = net.fit(
            x, y, loss="cross_entropy", optimizer=kj.optim.Adam(1e-2), epochs=15, batch_size=6, seed=0, engine=engine
        )
        losses[engine] = history["loss"]
        assert history["loss"][-1] < 0.5 * history["loss"][0]
        assert (net.state["norm.running_mean"].value == before).all()
    assert np.allclose(losses["reference"], losses["xla"], rtol=1e-3)


def test_reset_goes_back_to_the_file():
    """After reset the weights are those of the file again; a model that was saved says that it has forgotten them."""
    net, x = imported("attention", "script"), exported.inputs("attention")
    y = net.predict(x)
    net.fit(x, np.zeros((3, 2)), loss="mse", epochs=2, seed=0, engine="reference")
    assert not np.array_equal(net.predict(x), y)
    assert np.array_equal(net.reset().predict(x), y)


@pytest.mark.parametrize("name", exported.NETWORKS)
def test_saved_model_comes_back(name, tmp_path):
    """save and kj.load keep graph, weights, what is frozen and what learns."""
    net, x = imported(name, "script"), exported.inputs(name)
    net.fit(x, np.zeros(len(x), int), loss="cross_entropy", epochs=1, seed=0, engine="reference")
    net.freeze(upto=net.layers[2].name)
    back = kj.load(net.save(tmp_path / "run"))
    assert np.array_equal(back.predict(x), net.predict(x))
    assert list(back.state) == list(net.state)
    assert [v.kind for v in back.state.values()] == [v.kind for v in net.state.values()]
    assert back.summary().trainable == net.summary().trainable < net.count_parameters()
    with pytest.raises(GraphError, match=r"load that with kj\.onnx\.load"):
        back.reset()


def test_trainable_chooses():
    """False freezes all, and unfreeze sets free; names choose tensors, parameters or layers."""
    x, y = exported.inputs("attention"), np.zeros((3, 2))
    frozen = imported("attention", "script", trainable=False)
    assert frozen.summary().trainable == 0
    with pytest.raises(GraphError, match="frozen"):
        frozen.fit(x, y, loss="mse", epochs=1)
    assert frozen.unfreeze().summary().trainable == 490
    some = imported("attention", "script", trainable=["mlp.2.bias", "mlp.0", "q.MatMul.kernel"])
    assert list(some.state.of_kind("trainable")) == ["q.MatMul.kernel", "mlp.0.weight", "mlp.0.bias", "mlp.2.bias"]
    before = {k: v.value.copy() for k, v in some.state.items()}
    some.fit(x, y, loss="mse", epochs=2, seed=0, engine="reference")
    assert {k for k, v in some.state.items() if not np.array_equal(v.value, before[k])} == set(
        some.state.of_kind("trainable")
    )
    with pytest.raises(KedjaError, match=r"mlp\.3"):
        imported("attention", "script", trainable="mlp.3")


def test_cut_and_new_head(tmp_path):
    """outputs= ends the model inside; it is a layer of another model, saved and loaded with it."""
    body = imported("attention", "script", outputs="norm.LayerNormalization", trainable=False)
    x = exported.inputs("attention")
    inner = imported("attention", "script").outputs_of("norm", kj.tensor(x)).numpy()
    assert np.array_equal(body.predict(x), inner)
    assert not any(name.startswith("mlp") for name in body.state)
    net = kj.Sequential([body, kj.nn.Flatten(), kj.nn.Dense(3)])
    net.fit(
        x,
        np.array([0, 1, 2]),
        loss="cross_entropy",
        optimizer=kj.optim.Adam(0.05),
        epochs=20,
        seed=0,
        engine="reference",
    )
    assert net.evaluate(x, np.array([0, 1, 2]), metrics=["accuracy"])["accuracy"] == 1
    assert np.array_equal(body.predict(x), inner)
    assert np.array_equal(kj.load(net.save(tmp_path / "run")).predict(x), net.predict(x))
    two = imported("attention", "script", outputs=["norm.LayerNormalization", "y"])
    assert [a.shape for a in two.predict(x)] == [(3, 6, 8), (3, 2)]
    with pytest.raises(KedjaError, match="Did you mean .*LayerNormalization"):
        imported("attention", "script", outputs="norm.LayerNorm")


def test_explained():
    """kj.explain.backprop goes through an imported model."""
    told = kj.explain.backprop(
        imported("convolutional", "script"), exported.inputs("convolutional", 1), [[0.0, 1.0, 0.0]], loss="sse"
    )
    assert "fc" in str(told)


def test_layouts():
    """A graph in NCHW takes images channels last when asked to, and says so when it was not."""
    x = exported.inputs("convolutional")
    net = imported("convolutional", "script", channels_last=True)
    assert net.input_shape == (None, 9, 9, 1)
    assert np.array_equal(net.predict(np.moveaxis(x, 1, -1)), imported("convolutional", "script").predict(x))
    with pytest.raises(ShapeError, match=r"'x' has the shape \(None, 1, 9, 9\), got .*channels_last=True"):
        imported("convolutional", "script").predict(np.moveaxis(x, 1, -1))


def test_models_of_other_things_are_refused():
    """Outputs that need no input, and inputs that are no tensors."""
    with pytest.raises(FormatError, match="no input"):
        kj.onnx.load(model_of([helper.make_node("Neg", ["w"], ["y"])], {"w": drawn(2, 2)}))


def test_size_that_depends_on_the_input_is_named():
    """A shape made of the input's numbers cannot be known while the graph is built."""
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0),
        helper.make_node("Cast", ["s"], ["i"], to=7),
        helper.make_node("Reshape", ["i", "one"], ["shape"]),
        helper.make_node("Reshape", ["x", "shape"], ["y"], name="into"),
    ]
    net = kj.onnx.load(model_of(nodes, {"one": np.int64([1])}, y=1))
    with pytest.raises(FormatError, match="Reshape 'into'.*must be known"):
        net.predict(drawn(1, 2))
