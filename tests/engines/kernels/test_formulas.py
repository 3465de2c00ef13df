"""Functions of a convolution's result by itself in its kernel, and the gradients through them, against the nodes."""

import jax
import numpy as np
import pytest

import kedja as kj
from kedja.engines.xla import fusion, kernels
from kedja.engines.xla.formulas import ELEMENTWISE, SMOOTH, Formulas
from kedja.engines.xla.pointwise import evaluated

pytest.importorskip("llvmlite")
from kedja.engines.kernels import plans
from kedja.engines.kernels.elementwise import SMOOTH as WRITTEN
from kedja.engines.kernels.elementwise import Formula
from kedja.engines.kernels.target import narrowed

pytestmark = pytest.mark.skipif(not kernels.available(), reason="kernels do not serve here")

a = kj.activations
FUNCTIONS = {
    "sigmoid": a.sigmoid, "tanh": a.tanh, "swish": a.swish, "gelu_tanh": a.gelu_tanh, "elu": a.elu,
    "hard_sigmoid": a.hard_sigmoid, "hard_swish": a.hard_swish, "softplus": a.softplus, "mish": a.mish, "selu": a.selu,
    "celu": lambda z: a.celu(z, 0.5), "log_sigmoid": a.log_sigmoid, "swish_2": lambda z: a.swish(z, 2.0),
}  # fmt: skip
PASSED = {"sigmoid", "tanh", "swish", "swish_2", "gelu_tanh", "hard_sigmoid", "hard_swish"}
EACH_KIND = ("sigmoid", "swish", "gelu_tanh", "elu", "mish", "hard_swish")
PLACE = {"stride": (1, 1), "low": (0, 0), "high": (0, 0), "dilation": (1, 1)}
DIGITS = {"float32": 2e-6, "float64": 1e-13}  # of the largest number


def arrays(dtype="float32", channels=3, outs=20):
    """An image, a kernel, a bias and a second kernel."""
    rng = np.random.default_rng(0)
    shapes = [(2, 7, 6, channels), (3, 3, channels, outs), (outs,), (3, 3, outs, 5)]
    sizes = (1.0, 0.6, 1.0, 0.1)
    return [(s * rng.normal(size=shape)).astype(dtype) for s, shape in zip(sizes, shapes, strict=True)]


def graph_of(f, given):
    """The graph of a function of arrays."""
    inputs = [kj.placeholder(v.shape, v.dtype) for v in given]
    return kj.Graph(inputs, f(*inputs))


def both(f, given):
    """What XLA and the reference engine give."""
    tensors = [kj.tensor(v, dtype=v.dtype) for v in given]
    return [[y.numpy() for y in kj.compile(f, engine=engine)(*tensors)] for engine in ("xla", "reference")]


def near(ours, theirs, digits):
    """Each array as near as its largest number's rounding, missing numbers and infinities at the same places."""
    for y, true in zip(ours, theirs, strict=True):
        largest = np.abs(true[np.isfinite(true)]).max(initial=1e-300)
        np.testing.assert_allclose(y, true, rtol=digits, atol=digits * largest)


def formula(f, dtype="float32"):
    """A function as a kernel is given it."""
    graph = graph_of(lambda z: [f(z)], [np.zeros((2, 3), dtype)])
    users = {node: [user for user in graph.order if node in set(user.inputs)] for node in graph.order}
    users[graph.outputs[0]].append(None)
    return Formulas(graph.order, users, {}).of(graph.inputs[0]).act


@pytest.fixture
def seen(monkeypatch):
    """The activations that gradients by the input were asked to go through."""
    found, real = [], kernels.transpose
    monkeypatch.setattr(kernels, "transpose", lambda *a, **k: found.append(k.get("act")) or real(*a, **k))
    return found


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_done_by_the_kernel(name, dtype):
    """Convolution, bias and function are one call, with the nodes' numbers."""
    given = arrays(dtype)[:3]

    def f(x, w, b):
        return [FUNCTIONS[name](kj.conv(x, w, padding="same") + b)]

    graph = graph_of(f, given)
    done = fusion.fused(graph)
    assert [node for node, work in done.items() if work is not None] == [graph.outputs[0]]
    near(*both(f, given), 5 * DIGITS[dtype])


@pytest.mark.parametrize(
    ("name", "dtype"), [*((name, "float32") for name in FUNCTIONS), *((name, "float64") for name in EACH_KIND)]
)
def test_gradients_through_it(name, dtype, seen):
    """All gradients of three layers, of which one has a stride. Two of them kernels pass on, where this is cheap."""

    def f(x, w, b, v):
        y = FUNCTIONS[name](kj.conv(x, w, padding="same") + b)
        y = FUNCTIONS[name](kj.conv(y, v, padding="same", stride=2))
        z = kj.conv(y, kj.transpose(v, (0, 1, 3, 2)), padding="same")
        return [z, *kj.grad((z * z).sum(), [x, w, b, v])]

    given = arrays(dtype)
    near(*both(f, given), 20 * DIGITS[dtype])
    assert sum(isinstance(act, Formula) for act in seen) == 2 * (name in PASSED)


@pytest.mark.parametrize("bits", [128, 256, 512])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", EACH_KIND)
def test_each_vector_width(bits, dtype, name, monkeypatch):
    """What is written for it with NaN, infinities, large and small numbers, at 128, 256 and 512 bits."""
    monkeypatch.setattr(kernels, "_target", lambda: narrowed(bits))
    some = [np.nan, np.inf, -np.inf, 0.0, -1e-30, 6.0, 1e-3, -1.0, 7.0, -3.0, 3.0, -0.5, 1000.0, -1000.0, 30.0, -30.0]
    x = np.resize(np.array(some, dtype), (1, 5, 5, 13))  # through a 1×1 kernel of each channel by itself: as it is
    with jax.enable_x64(True), np.errstate(all="ignore"):
        found = kernels.conv(x, np.ones((1, 1, 1, 13), dtype), 13, act=formula(FUNCTIONS[name], dtype), **PLACE)
        near([np.asarray(found)], [FUNCTIONS[name](kj.tensor(x, dtype=dtype)).numpy()], DIGITS[dtype])


@pytest.mark.parametrize("name", EACH_KIND)
def test_by_fours_too(name, monkeypatch, seen):
    """The kernels that convolve by fours of outputs, forward and back, twice with the same bits."""
    monkeypatch.setenv("KEDJA_KERNELS", "winograd")
    monkeypatch.setattr(plans, "FEWEST_FOURS", 1)

    def f(x, w, b, v):
        y = FUNCTIONS[name](kj.conv(x, w, padding="same") + b)
        z = kj.conv(y, v, padding="same")
        return [z, *kj.grad((z * z).sum(), [x, w, b, v])]

    given = arrays(channels=16, outs=33)
    given[3] = np.resize(given[3], (3, 3, 33, 16))
    given[1] /= 3
    ours, theirs = both(f, given)
    near(ours, theirs, 1e-5)
    assert any(isinstance(act, Formula) for act in seen) == (name in PASSED)
    for once, again in zip(ours, both(f, given)[0], strict=True):
        np.testing.assert_array_equal(once, again)


def test_what_somebody_else_reads_stays():
    """z or a part that is an output or read again, a second array, a sum over what lies between."""

    def f(x, w, b):
        z, c, d, e = (kj.conv(x, w * k) + b for k in (1.0, 2.0, 3.0, 4.0))
        part = kj.sigmoid(d)
        return [a.swish(z), z, a.swish(c) * x.sum(), kj.exp(c).sum(), d * part, part.sum(), a.elu(e) * kj.exp(b)]

    given = [v * 0.3 for v in arrays()[:3]]
    near(*both(f, given), 1e-5)


def test_a_gradient_that_reads_several_arrays_or_one_that_nobody_lays_down(seen):
    """A mask beside the derivative, and the derivative at what a norm gives, which the compiler may make anew."""

    def f(x, w, b, v):
        y = a.swish(kj.conv(x, w, padding="same") + b)
        masked = y * kj.cast(y > 0.1, "float32") * kj.exp(kj.sin(y * 3.0))
        c = kj.conv(masked, v, padding="same")
        y = a.swish((c - c.mean(axis=0)) * 2.0)
        z = kj.conv(y, kj.transpose(v, (0, 1, 3, 2)), padding="same")
        return [z, *kj.grad((z * z).sum(), [x, w, b, v])]

    near(*both(f, arrays()), 1e-4)
    assert not any(isinstance(act, Formula) for act in seen[1:])


def test_a_function_that_no_kernel_writes_is_left_to_the_nodes(seen):
    """erf, and with it gelu: forward and back."""

    def f(x, w, b, v):
        y = kj.conv(a.gelu(kj.conv(x, w, padding="same") + b), v, padding="same")
        return [y, *kj.grad((y * y).sum(), [x, w, b, v])]

    near(*both(f, arrays()), 20 * DIGITS["float32"])
    assert not any(isinstance(act, Formula) for act in seen)


def test_inside_a_loop():
    """What the body of a loop is given may have inputs outside: it is read as it is."""
    x, w, _, v = arrays(outs=3)
    v = np.resize(v, (3, 3, 3, 3))

    def f(x, w, v):
        outer = kj.exp(x * 0.1)

        def body(y):
            z = kj.conv(a.swish(kj.conv(y, w, padding="same")) + outer, v, padding="same")
            return kj.grad((z * z).sum(), y) * 1e-3 + a.tanh(z), z.sum()

        last, sums = kj.scan(lambda y, _: body(y), x, kj.arange(3))
        return [last, sums]

    near(*both(f, [x, w, v]), 1e-4)


def test_the_plain_lowering_gives_the_same(monkeypatch):
    """Where no kernel serves, what was found in the graph is computed all the same."""
    monkeypatch.setattr(kernels, "conv", lambda *a, **k: None)
    monkeypatch.setattr(kernels, "transpose", lambda *a, **k: None)
    for function in FUNCTIONS.values():

        def f(x, w, b, v, function=function):
            y = kj.conv(function(kj.conv(x, w) + b), v)
            return [y, *kj.grad((y * y).sum(), [x, w, b, v])]

        near(*both(f, arrays()), 3e-5)


def test_every_smooth_op_is_written_and_a_program_means_the_same_to_the_compiler():
    """The kernels' table has each op that is looked for; a program of all, evaluated, is what the graph says."""
    assert {op.name for op in SMOOTH} == set(WRITTEN)
    assert not set(SMOOTH) & set(ELEMENTWISE)

    def f(z):
        y = kj.where(z > 0.5, kj.exp(-z), kj.expm1(z)) + kj.softplus(z) * kj.cast(z <= 0, "float32")
        return kj.tanh(y) + kj.sigmoid(y) / 3.0

    x = np.linspace(-3, 3, 48, dtype="f4").reshape(1, 4, 4, 3)
    (found,) = evaluated(formula(f).program, [jax.numpy.asarray(x)])
    near([np.asarray(found)], [f(kj.tensor(x)).numpy()], 1e-6)
