"""Whole sequences through an LSTM by kernels: beside the reference engine and PyTorch, and where they do not serve."""

import subprocess
import sys

import numpy as np
import pytest

import kedja as kj
from kedja.engines.kernels.target import narrowed
from kedja.engines.xla import kernels, recurrent

pytestmark = pytest.mark.skipif(not kernels.available(), reason="kernels do not serve here")


@pytest.fixture
def calls(monkeypatch):
    """The names of the kernels that are called, in order."""
    found = []
    for name in ("lstm", "lstm_back"):
        whole = getattr(kernels, name)

        def spied(*args, name=name, whole=whole):
            found.append(name)
            return whole(*args)

        monkeypatch.setattr(kernels, name, spied)
    return found


def both_engines(layer, *arrays, dtype="float32"):
    """Outputs of a layer, and the gradients of a number made of them by everything that goes in, by both engines."""
    arrays = [np.asarray(a, dtype) for a in arrays]
    layer(*[kj.zeros(a.shape, dtype) for a in arrays])
    weights = list(layer.parameters)

    def f(*inputs):
        outs = layer(*inputs)
        outs = outs if isinstance(outs, tuple) else (outs,)
        number = sum((kj.sin(y * (1.5 + k)) * y).sum() for k, y in enumerate(outs))
        return [*outs, *kj.grad(number, [*inputs, *weights])]

    given = [kj.tensor(a, dtype=dtype) for a in arrays]
    return [[np.asarray(y) for y in kj.compile(f, engine=engine)(*given)] for engine in ("xla", "reference")]


def assert_near(ours, theirs, dtype="float32"):
    """Equal to rounding, by the largest number of each array."""
    near = 1e-5 if dtype == "float32" else 1e-12
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=near * max(1e-3, np.abs(b).max(initial=0)))


SIZES = [(5, 4, 3, 7), (1, 3, 2, 16), (9, 1, 4, 17), (33, 6, 1, 1), (8, 5, 40, 48), (17, 3, 5, 70)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bits", [128, 256, 512])
@pytest.mark.parametrize(("n", "steps", "features", "units"), SIZES)
def test_values_and_all_gradients(n, steps, features, units, bits, dtype, monkeypatch, calls):
    """Odd sizes, every width of vectors: the state and each step's output, with gradients by inputs and weights."""
    monkeypatch.setattr(kernels, "_target", lambda: narrowed(bits))
    layer = kj.nn.LSTM(units, return_sequences=True, return_state=True, dtype=dtype)
    x = np.random.default_rng(units).normal(size=(n, steps, features))
    assert_near(*both_engines(layer, x, dtype=dtype), dtype)
    assert calls == ["lstm", "lstm_back"]


@pytest.mark.parametrize(
    "options",
    [{}, {"reverse": True}, {"return_sequences": True}, {"return_state": True}, {"use_bias": False},
     {"reverse": True, "return_sequences": True}],
    ids=str,
)  # fmt: skip
def test_what_a_layer_may_be_asked_for(options, calls):
    """Either direction, the last output alone, all of them, the state."""
    layer = kj.nn.LSTM(6, **options)
    assert_near(*both_engines(layer, np.random.default_rng(1).normal(size=(10, 7, 3))))
    assert calls == ["lstm", "lstm_back"]


def test_a_state_to_begin_from(calls):
    """It is read, and gets its gradients."""
    rng = np.random.default_rng(2)
    x, h, c = (rng.normal(size=s) for s in ((4, 5, 3), (4, 6), (4, 6)))
    layer = kj.nn.LSTM(6)
    layer(kj.zeros((4, 5, 3)))

    def f(x, h, c):
        z = kj.transpose(x, (1, 0, 2)) @ layer.kernel + layer.bias
        (last, _), _ = kj.scan(lambda before, now: (layer.step(now, *before), None), (h, c), z)
        return [last, *kj.grad((last * last).sum(), [x, h, c, layer.recurrent])]

    given = [np.asarray(a, "float32") for a in (x, h, c)]
    assert_near(*([np.asarray(y) for y in kj.compile(f, engine=e)(*given)] for e in ("xla", "reference")))
    assert calls == ["lstm", "lstm_back"]


def test_beside_pytorch(calls):
    """The same numbers as nn.LSTM, and the same gradients."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    n, steps, features, units = 12, 9, 5, 20
    x = rng.normal(size=(n, steps, features)).astype("float32")
    layer = kj.nn.LSTM(units, return_sequences=True, unit_forget_bias=False)
    (ours, _) = both_engines(layer, x)
    theirs = torch.nn.LSTM(features, units, batch_first=True)
    with torch.no_grad():
        for parameter, w in zip(theirs.parameters(), [layer.kernel, layer.recurrent, layer.bias, None], strict=True):
            parameter.copy_(torch.zeros(4 * units) if w is None else torch.tensor(np.array(w.numpy().T)))
    given = torch.tensor(x, requires_grad=True)
    y = theirs(given)[0]
    (torch.sin(y * 1.5) * y).sum().backward()
    gradients = [given.grad, theirs.weight_ih_l0.grad.T, theirs.weight_hh_l0.grad.T, theirs.bias_ih_l0.grad]
    expected = {g.shape: g for g in (np.asarray(t.detach()) for t in (y, *gradients))}
    assert_near(ours, [expected[a.shape] for a in ours])


@pytest.mark.parametrize("layer", [
    lambda: kj.nn.LSTM(4, activation="relu"), lambda: kj.nn.LSTM(4, recurrent_activation="hard_sigmoid"),
    lambda: kj.nn.GRU(4), lambda: kj.nn.SimpleRNN(4),
])  # fmt: skip
def test_other_cells_are_loops(layer, calls):
    """No kernel, and the reference's numbers."""
    assert_near(*both_engines(layer(), np.random.default_rng(4).normal(size=(3, 5, 2))))
    assert calls == []


def test_masked_sequences_are_loops(calls):
    """Steps that are not there leave the state as it is."""
    rng = np.random.default_rng(5)
    x, mask = rng.normal(size=(3, 6, 2)), np.arange(6) < np.array([[6], [2], [0]])
    net = kj.nn.LSTM(4)
    found = [np.asarray(kj.compile(lambda x: net(x, kj.tensor(mask)), engine=e)(x.astype("float32")))
             for e in ("xla", "reference")]  # fmt: skip
    assert_near(found[:1], found[1:])
    assert calls == []


@pytest.mark.parametrize("shape", [(3, 0, 2), (0, 4, 2)])
def test_nothing_to_do(shape, calls):
    """No steps, or no rows: the loop says what comes out."""
    assert_near(*both_engines(kj.nn.LSTM(4, return_sequences=True), np.zeros(shape)))
    assert calls == []


def test_what_else_is_wanted_of_a_step_makes_it_a_loop(calls):
    """The sums before the gates are nothing that the kernel gives."""
    u = np.random.default_rng(6).normal(size=(3, 12)).astype("float32")

    def f(z, h, c, u):
        def step(state, z):
            h, c = state
            product = h @ u
            s = z + product
            i, f, o = (kj.sigmoid(s[:, 3 * k : 3 * k + 3]) for k in (0, 1, 3))
            c = f * c + i * kj.tanh(s[:, 6:9])
            return (o * kj.tanh(c), c), product

        (h, _), products = kj.scan(step, (h, c), z)
        return [h, products]

    z, zero = np.ones((4, 2, 12), "float32"), np.zeros((2, 3), "float32")
    assert_near(*([np.asarray(y) for y in kj.compile(f, engine=e)(z, zero, zero, u)] for e in ("xla", "reference")))
    assert calls == []


def test_second_derivatives(calls):
    """The gradient of a gradient: its loops are not known, and give the reference's numbers."""
    layer = kj.nn.LSTM(3)
    layer(kj.zeros((2, 4, 2)))

    def f(x):
        (first,) = kj.grad((layer(x) ** 2).sum(), [x])
        return kj.grad((first * first).sum(), [x])

    x = np.random.default_rng(7).normal(size=(2, 4, 2)).astype("float32")
    assert_near(*([np.asarray(y) for y in kj.compile(f, engine=e)(x)] for e in ("xla", "reference")))


def test_many_at_once(calls):
    """Under `map` each slice is a call."""
    layer = kj.nn.LSTM(5)
    layer(kj.zeros((2, 3, 4)))
    xs = np.random.default_rng(8).normal(size=(3, 2, 3, 4)).astype("float32")
    found = [np.asarray(kj.compile(lambda xs: kj.map(layer, xs), engine=e)(xs)) for e in ("xla", "reference")]
    assert_near(found[:1], found[1:])
    assert calls


def test_a_network_trains_to_the_references_weights(calls):
    """Two layers in the compiled loop, against NumPy; the sums of the gradients are made by a kernel too."""
    rng = np.random.default_rng(9)
    x, y = rng.normal(size=(24, 10, 3)), rng.integers(0, 3, 24)
    found = []
    for engine in ("xla", "reference"):
        net = kj.Sequential([kj.nn.LSTM(20, return_sequences=True), kj.nn.LSTM(9, reverse=True), kj.nn.Dense(3)])
        net.fit(
            x, y, loss="cross_entropy", optimizer=kj.optim.SGD(0.5), epochs=3, batch_size=8, seed=3, verbose=0,
            engine=engine,
        )  # fmt: skip
        found.append([np.asarray(w) for w in net.get_weights()])
    assert_near(*found)
    assert calls.count("lstm_back") == calls.count("lstm") > 0


def test_a_known_loop_is_the_same_object_of_knowledge():
    """What a step looks like is worked out once for each shape and type."""
    assert recurrent._lstm(2, 3, np.dtype("float32")) is recurrent._lstm(2, 3, np.dtype("float32"))


PROGRAM = """
import hashlib, numpy as np, kedja as kj
rng = np.random.default_rng(0)
net = kj.Sequential([kj.nn.LSTM(24), kj.nn.Dense(3)])
net.fit(rng.normal(size=(64, 12, 5)), rng.integers(0, 3, 64), loss="cross_entropy", optimizer=kj.optim.Adam(0.01),
        epochs=2, batch_size=32, seed=0, verbose=0)
print(hashlib.sha256(b"".join(np.asarray(w).tobytes() for w in net.get_weights())).hexdigest())
"""


def test_bits_do_not_depend_on_the_number_of_threads():
    """A training on one core and on all: the same weights to the last bit."""
    if not hasattr(__import__("os"), "sched_setaffinity"):
        pytest.skip("no way to hold a process on one core")
    pin = "import os; os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})\n"
    runs = [[sys.executable, "-c", program] for program in (PROGRAM, pin + PROGRAM)]
    found = [subprocess.run(run, capture_output=True, text=True, check=True).stdout for run in runs]
    assert len(set(found)) == 1
    assert len(found[0].strip()) == 64
