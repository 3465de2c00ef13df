"""Training in bfloat16: against PyTorch's autocast, on both engines, and what stays in float32."""

import numpy as np
import pytest
import torch

import kedja as kj
from kedja.errors import DataError, DTypeError, UnknownNameError
from kedja.graph.trace import trace
from kedja.nn.precision import forward

nn = kj.nn
torch.set_num_threads(1)
LOW = kj.tensor(0.0, dtype="bfloat16").dtype
ENGINES = ["reference", "xla"]


def rows(n: int = 96, features: int = 12, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Points of a few classes, a little apart."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, classes, n)
    return (rng.normal(size=(n, features)) + 0.7 * np.eye(classes, features)[y]).astype(np.float32), y


def mlp() -> kj.Sequential:
    """A small network with one hidden layer."""
    return kj.Sequential([nn.Dense(16, "relu"), nn.Dense(3)])


def torch_losses(module, x, y, epochs, low, rate) -> list[float]:
    """Full-batch gradient descent in PyTorch, under autocast where `low`."""
    rule = torch.optim.SGD(module.parameters(), lr=rate)
    found = []
    for _ in range(epochs):
        rule.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=low):
            z = module(torch.from_numpy(x))
            loss = torch.nn.functional.cross_entropy(z.float(), torch.from_numpy(y))
        loss.backward()
        rule.step()
        found.append(loss.item())
    return found


# --- against PyTorch ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", ENGINES)
def test_a_network_as_under_autocast(engine):
    """From the same weights the losses of 30 steps are those of PyTorch's autocast, and not quite those of float32."""
    x, y = rows()
    net = mlp().build((None, 12), seed=0)
    theirs = torch.nn.Sequential(torch.nn.Linear(12, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
    with torch.no_grad():
        for p, w in zip(theirs.parameters(), net.get_weights(), strict=True):
            p.copy_(torch.from_numpy(np.array(w.T)))
    history = net.fit(
        x, y, loss="cross_entropy", optimizer=kj.optim.SGD(0.3), epochs=30, batch_size=None, precision="bfloat16",
        engine=engine,
    )  # fmt: skip
    np.testing.assert_allclose(history["loss"], torch_losses(theirs, x, y, 30, True, 0.3), rtol=4e-3)
    assert all(v.dtype == np.float32 for v in net.state.values())


def test_a_convolutional_network_as_under_autocast():
    """Convolution, pooling and a dense layer: the loss curve of autocast within a hundredth."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 32)
    x = rng.normal(size=(32, 8, 8, 1)).astype(np.float32)
    x[y == 1, :4] += 1
    net = kj.Sequential([nn.Conv2D(4, 3, "relu"), nn.MaxPool2D(2), nn.Flatten(), nn.Dense(2)])
    net.build((None, 8, 8, 1), seed=1)
    conv, dense = torch.nn.Conv2d(1, 4, 3), torch.nn.Linear(36, 2)
    k, b, w, c = net.get_weights()
    with torch.no_grad():
        conv.weight.copy_(torch.from_numpy(k.transpose(3, 2, 0, 1).copy()))
        conv.bias.copy_(torch.from_numpy(b))
        dense.weight.copy_(torch.from_numpy(w.reshape(3, 3, 4, 2).transpose(3, 2, 0, 1).reshape(2, 36).copy()))
        dense.bias.copy_(torch.from_numpy(c))
    theirs = torch.nn.Sequential(conv, torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Flatten(), dense)
    ours = net.fit(
        x, y, loss="cross_entropy", optimizer=kj.optim.SGD(0.1), epochs=15, batch_size=None, precision="bfloat16",
    )["loss"]  # fmt: skip
    images = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    np.testing.assert_allclose(ours, torch_losses(theirs, images, y, 15, True, 0.1), rtol=1e-2)


# --- where which type is ----------------------------------------------------------------------------------------------
def types(net, shape, training=False, **how) -> dict[str, set[str]]:
    """For each op of the forward pass the types its inputs come in."""
    graph = trace(lambda x: forward(net, [x], LOW, training=training, **how), [(shape, "float32")])
    found: dict[str, set[str]] = {}
    for n in graph.order:
        if n.inputs and n.op.name != "cast":
            found.setdefault(n.op.name, set()).update(t.dtype.name for t in n.inputs if t.dtype.kind not in "bui")
    return found | {"output": {t.dtype.name for t in graph.outputs}}


def test_products_are_low_and_sums_are_not():
    """Products and what follows them in bfloat16; statistics, softmax and the output in float32."""
    net = kj.Sequential([
        nn.Conv2D(4, 3, padding="same"), nn.BatchNorm(), nn.Activation("relu"), nn.MaxPool2D(2), nn.Flatten(),
        nn.LayerNorm(), nn.Dense(5, "relu"), nn.Dense(3, "softmax"),
    ])  # fmt: skip
    net.build((None, 8, 8, 1))
    found = types(net, (4, 8, 8, 1), training=True)
    for name in ("conv", "matmul", "relu", "max_pool"):
        assert found[name] == {"bfloat16"}, name
    for name in ("sum", "sqrt", "square", "softmax", "output"):
        assert found.get(name, {"float32"}) == {"float32"}, name


def test_each_weight_is_cast_once():
    """A layer that is called three times has its kernel cast once a step."""
    x = kj.Input((4,))
    shared = nn.Dense(4, "tanh")
    net = kj.Model(x, nn.Dense(1)(shared(shared(shared(x))))).build()
    graph = trace(lambda v: forward(net, [v], LOW), [((2, 4), "float32")])
    kernel = net.state["dense_1.kernel"]
    assert sum(n.op.name == "cast" and n.inputs[0] is kernel for n in graph.order) == 1
    assert sum(n.op.name == "matmul" for n in graph.order) == 4


def test_masks_of_attention_stay_finite():
    """The smallest float32, which keeps softmax away from a place, has no bfloat16: the nearest one serves."""
    net = kj.Sequential([nn.MultiHeadAttention(2, causal=True), nn.Flatten(), nn.Dense(2)]).build((None, 5, 4), seed=0)
    x = np.random.default_rng(0).normal(size=(6, 5, 4)).astype(np.float32)
    history = net.fit(x, np.arange(6) % 2, loss="cross_entropy", epochs=2, precision="bfloat16")
    assert np.isfinite(history["loss"]).all() and all(np.isfinite(w).all() for w in net.get_weights())


# --- every kind of layer ----------------------------------------------------------------------------------------------
NETS = {
    "dropout": (lambda: [nn.Dense(16, "tanh"), nn.Dropout(0.3), nn.Dense(3)], (12,)),
    "batch norm": (lambda: [nn.Dense(16), nn.BatchNorm(), nn.Activation("relu"), nn.Dense(3)], (12,)),
    "convolutions": (
        lambda: [nn.Conv2D(4, 3, "gelu"), nn.DepthwiseConv2D(2), nn.ConvTranspose2D(3, 2), nn.Flatten(), nn.Dense(3)],
        (6, 6, 2),
    ),
    "lstm": (lambda: [nn.LSTM(6, return_sequences=True), nn.GRU(5), nn.Dense(3)], (4, 3)),
    "attention": (lambda: [nn.MultiHeadAttention(2), nn.LayerNorm(), nn.Flatten(), nn.Dense(3)], (3, 4)),
    "rnn both ways": (lambda: [nn.Bidirectional(nn.SimpleRNN(4)), nn.Dense(3, "softmax")], (5, 2)),
}


@pytest.mark.parametrize("name", NETS)
def test_layers_learn_alike_on_both_engines(name):
    """A step in bfloat16 moves the weights as one in float32 does, to its digits, and alike on both engines."""
    make, shape = NETS[name]
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(24, *shape)).astype(np.float32), rng.integers(0, 3, 24)
    start = kj.Sequential(make()).build((None, *shape), seed=0)
    before = np.concatenate([np.ravel(w) for w in start.get_weights()])
    moves = {}
    for engine, precision in (("reference", None), ("reference", "bfloat16"), ("xla", "bfloat16")):
        net = kj.Sequential(make())
        net.fit(
            x, y, loss="cross_entropy", optimizer=kj.optim.SGD(0.1), epochs=2, batch_size=None, seed=0,
            precision=precision, engine=engine,
        )  # fmt: skip
        moves[engine, precision] = np.concatenate([np.ravel(w) for w in net.get_weights()]) - before
    full = moves["reference", None]
    for other in (moves["reference", "bfloat16"], moves["xla", "bfloat16"]):
        assert 0 < np.linalg.norm(other - full) < 0.04 * np.linalg.norm(full)
    low = moves["reference", "bfloat16"]
    assert np.linalg.norm(moves["xla", "bfloat16"] - low) < 0.02 * np.linalg.norm(low)


def test_the_emulation_rounds_once():
    """The reference engine multiplies bfloat16 matrices as hardware does: sums in float32, one rounding at the end."""
    rng = np.random.default_rng(3)
    a, b = (rng.normal(size=s).astype(np.float32) for s in ((9, 300), (300, 7)))
    ours = (kj.cast(kj.tensor(a), "bfloat16") @ kj.cast(kj.tensor(b), "bfloat16")).numpy().astype(np.float32)
    low = [torch.from_numpy(v).to(torch.bfloat16).double() for v in (a, b)]
    theirs = (low[0] @ low[1]).to(torch.bfloat16).double().numpy()
    assert (ours == theirs).mean() > 0.98  # sums in float32 and in float64 may round to neighbours
    np.testing.assert_allclose(ours, theirs, rtol=2**-8)


# --- evaluate, predict, arguments -----------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", ENGINES)
def test_evaluate_and_predict(engine):
    """Both compute in bfloat16 when asked, near to float32 and not equal to it; outputs are float32."""
    x, y = rows()
    net = mlp().build((None, 12), seed=0)
    plain, low = net.predict(x, engine=engine), net.predict(x, engine=engine, precision="bfloat16")
    assert low.dtype == np.float32 and 0 < abs(plain - low).max() < 0.05
    a = net.evaluate(x, y, loss="cross_entropy", engine=engine)["loss"]
    b = net.evaluate(x, y, loss="cross_entropy", engine=engine, precision="bfloat16")["loss"]
    assert a != b and a == pytest.approx(b, rel=0.02)


def test_validation_is_computed_as_training_is():
    """The last val_loss is what evaluate gives with the same precision."""
    x, y = rows()
    net = mlp()
    history = net.fit(x, y, loss="cross_entropy", epochs=3, validation=(x[:40], y[:40]), precision="bfloat16", seed=0)
    assert history["val_loss"][-1] == pytest.approx(
        net.evaluate(x[:40], y[:40], precision="bfloat16")["loss"], rel=1e-6
    )
    assert history.settings["precision"] == "bfloat16"


def test_saved_and_loaded(tmp_path):
    """Weights are float32 whatever was computed in between: a saved model goes on to the same bits."""
    x, y = rows()
    how = {"loss": "cross_entropy", "epochs": 2, "precision": "bfloat16"}
    net = mlp()
    net.fit(x, y, seed=0, **how)
    other = kj.load(net.save(tmp_path / "net"))
    net.fit(x, y, **how)
    other.fit(x, y, **how)
    for a, b in zip(net.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_float64_models():
    """A float64 model computes in bfloat16 too, and keeps float64 weights."""
    x, y = rows()
    net = kj.Sequential([nn.Dense(8, "tanh"), nn.Dense(3)], dtype="float64")
    net.fit(x, y, loss="cross_entropy", precision="bfloat16", seed=0)
    assert {v.dtype.name for v in net.state.values()} == {"float64"}


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ("float16", DTypeError, "float16 ends at 65,504"),
        ("mixed_float16", DTypeError, 'Use precision="bfloat16"'),
        (np.float16, DTypeError, "float16"),
        ("bfloat", UnknownNameError, "Did you mean 'bfloat16'"),
        ("float64", DTypeError, "the weights are float32"),
        (16, UnknownNameError, "unknown precision"),
    ],
)
def test_unknown_precisions(given, kind, words):
    """What is refused says why and what there is; nothing is built by the call."""
    x, y = rows()
    net = mlp()
    with pytest.raises(kind, match=words):
        net.fit(x, y, loss="cross_entropy", precision=given)
    assert not net.built


def test_line_searches_need_digits():
    """L-BFGS compares nearby losses: bfloat16 is refused."""
    x, y = rows()
    with pytest.raises(DataError, match="LBFGS compares losses of points that lie close together"):
        mlp().fit(x, y, loss="cross_entropy", optimizer=kj.optim.LBFGS(), precision="bfloat16")


@pytest.mark.parametrize(("layer", "words"), [(nn.Dropout(0.5), "draws once"), (nn.BatchNorm(), "running statistics")])
def test_line_searches_warn_of_layers_that_are_not_functions(layer, words):
    """L-BFGS with dropout or batch norm goes, and says what to expect."""
    x, y = rows()
    with pytest.warns(UserWarning, match=words):
        kj.Sequential([nn.Dense(4), layer, nn.Dense(3)]).fit(
            x, y, loss="cross_entropy", optimizer=kj.optim.LBFGS(), epochs=1
        )


@pytest.mark.long
def test_digits_as_good_as_float32():
    """784-100-10 on real digits: held-out accuracy within half a percent of float32, mean of three seeds."""
    data = kj.data.load("digits")
    train, test = data.split(test=0.2, seed=0)
    found = {p: [] for p in (None, "bfloat16")}
    for precision, scores in found.items():
        for seed in range(3):
            net = kj.Sequential([nn.Dense(100, "relu"), nn.Dense(10)])
            net.fit(train, loss="cross_entropy", epochs=20, seed=seed, precision=precision)
            scores.append(net.evaluate(test, metrics=["accuracy"])["accuracy"])
    assert abs(np.mean(found["bfloat16"]) - np.mean(found[None])) <= 0.005 and min(found["bfloat16"]) > 0.9
