"""Programs: both engines agree on composed graphs, on types, on updates; what is compiled, and what is an argument."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kedja as kj
from kedja.engines import choose, evaluate, get_engine, run_graph
from kedja.engines.reference import watch
from kedja.engines.xla.lowering import LITERAL_BYTES, large_constants
from kedja.errors import DataError, DTypeError, GraphError, ShapeError, UnknownNameError
from kedja.graph.node import placeholder
from oracles.random_graphs import SMOOTH_STEP, built

ENGINES = pytest.mark.parametrize("engine", ["reference", "xla"])


@pytest.mark.parametrize("steps", [8, pytest.param(60, marks=pytest.mark.long)])
def test_engines_agree_on_random_graphs(steps):
    """Random graphs and their gradients, compiled and interpreted, give the same numbers in float64."""

    @settings(max_examples=steps, deadline=None)
    @given(st.lists(SMOOTH_STEP, min_size=3, max_size=15), st.integers(0, 1000))
    def agree(steps, seed):
        a, b = np.random.default_rng(seed).uniform(-2, 2, (2, 2, 3))

        def f(a, b):
            y = built(steps, [a, b])
            return y, kj.grad(y.sum(), [a, b])

        with kj.default_dtype("float64"):
            one, two = (kj.compile(f, engine=e)(a, b) for e in ("reference", "xla"))
        for x, y in zip([one[0], *one[1]], [two[0], *two[1]], strict=True):
            np.testing.assert_allclose(x.numpy(), y.numpy(), rtol=1e-9, atol=1e-9)

    agree()


def learn(engine: str, dtype: str, steps: int) -> tuple[list[float], np.ndarray]:
    """Momentum descent of a small network, step by step: losses and last weights."""
    with kj.default_dtype(dtype):
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(8, 4)), rng.normal(size=(8, 2))
        w = kj.Parameter(rng.normal(size=(4, 2)), name="w")
        v = kj.Variable(np.zeros((4, 2)), kind="slot")
        count = kj.Variable(0, dtype="int64", kind="counter")

        @lambda f: kj.compile(f, engine=engine)
        def step(x, y, rate):
            loss = ((kj.tanh(x @ w) - y) ** 2).mean()
            velocity = 0.9 * v - rate * kj.grad(loss, w)
            v.update(velocity)
            w.update(w + velocity)
            count.update(count + 1)
            return loss

        losses = [step(x, y, 0.1).item() for _ in range(steps)]
        assert count.numpy().item() == steps
        return losses, w.numpy()


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-9), ("float32", 1e-3)])
def test_hundred_steps_agree(dtype, rtol):
    """Weights after 100 steps with variables and updates: 1e-9 in float64."""
    (losses, w), (others, v) = learn("reference", dtype, 100), learn("xla", dtype, 100)
    np.testing.assert_allclose(losses, others, rtol=rtol)
    np.testing.assert_allclose(w, v, rtol=rtol, atol=rtol)


@ENGINES
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "int32", "uint8", "bool"])
def test_types_are_preserved(dtype, engine):
    """64-bit types stay 64-bit, small ones small, whatever JAX's global flags say."""
    x = np.array([1, 0, 1]).astype(dtype)
    f = lambda x: kj.concatenate([x, kj.flip(x)])  # noqa: E731
    if dtype == "float64":
        with kj.default_dtype("float64"):
            found = kj.compile(f, engine=engine)(x)
    else:
        found = kj.compile(f, engine=engine)(x)
    assert (found.dtype, found.numpy().dtype) == (np.dtype(dtype),) * 2


@ENGINES
def test_large_integers_are_exact(engine):
    """2⁶² + 1 survives."""
    assert kj.compile(lambda i: i + 1, engine=engine)(np.array([2**62])).tolist() == [2**62 + 1]


def test_global_flags_of_jax_are_left_alone():
    """Before, during a float64 program's life, and after: jax_enable_x64 is what the user set."""
    before = jax.config.jax_enable_x64
    with kj.default_dtype("float64"):
        kj.compile(lambda x: x * 2, engine="xla")(np.ones(3))
    assert (jax.config.jax_enable_x64, jax.numpy.ones(2, float).dtype.name) == (
        before,
        "float64" if before else "float32",
    )


@ENGINES
def test_one_program_per_shape_and_type(engine):
    """Calls with known shapes trace nothing; a new shape, type, nest or default dtype traces once."""
    traced = []
    f = kj.compile(lambda x: (traced.append(x), x)[1] * 2.0 if hasattr(x, "dtype") else x[0] + 1, engine=engine)
    for x in (np.ones(2), np.zeros(2), np.ones(3), np.ones(3), np.ones(2, np.float16)):
        f(x)
    assert len(traced) == len(f.reports) == 3


@ENGINES
def test_default_dtype_is_part_of_what_a_program_depends_on(engine):
    """The same call under another default is another program."""
    f = kj.compile(lambda i: kj.cast(i, kj.get_default_dtype()) * 0.5, engine=engine)
    first = f(np.array([1, 2])).dtype
    with kj.default_dtype("float64"):
        second = f(np.array([1, 2])).dtype
    assert (first, second) == (np.float32, np.float64)


def test_reports_say_what_was_compiled():
    """Engine, nodes, variables, arguments, seconds."""
    w = kj.Parameter(1.0)
    f = kj.compile(lambda x: x * w, engine="xla")
    f(2.0)
    (report,) = f.reports
    assert (report.engine, report.nodes, report.variables, report.arguments) == ("xla", 3, 1, 1)
    assert report.compile_seconds > 0 and "xla: 3 nodes" in repr(f)


def test_large_constants_are_arguments():
    """Over 1 KB they are arguments of the program, also when a loop's body holds them; small ones are literals."""
    big, inner, small = kj.tensor(np.ones((64, 8))), np.ones((8, 40), np.float32), kj.tensor(np.ones(8))

    def f(x):
        y = x @ big + small
        return kj.map(lambda row: row @ kj.tensor(inner), y)

    graph = kj.trace(f, [((3, 64), "float32")])
    found = large_constants(graph)
    assert {c.shape for c in found} == {(64, 8), (8, 40)} and big.attrs["value"].nbytes > LITERAL_BYTES


def test_programs_do_not_contain_large_constants():
    """The compiled text does not grow with the constant."""
    from kedja.engines.xla.program import _Lowered

    values = np.random.default_rng(0).normal(size=(40, 40)).astype(np.float32)
    lowered = _Lowered(kj.trace(lambda x: x @ kj.tensor(values), [((2, 40), "float32")]))
    text = jax.jit(lowered).lower((), lowered.held(), (np.ones((2, 40), np.float32),)).as_text()
    assert len(text) < 3000


@ENGINES
def test_wrong_shapes_of_a_program_are_refused(engine):
    """A program takes the shapes it was traced for."""
    graph = kj.trace(lambda x: x * 2, [((3,), "float32")])
    with pytest.raises(ShapeError, match=r"traced for \(3,\), got \(2,\)"):
        get_engine(engine).program(graph)([], [np.ones(2, np.float32)])


@ENGINES
def test_arange_is_computed_inside(engine):
    """An op without inputs, used, returned, and used twice."""
    f = lambda x: (kj.arange(3), kj.take(x, kj.arange(3)) + kj.cast(kj.arange(3), "float32"))  # noqa: E731
    a, b = kj.compile(f, engine=engine)(np.ones(5))
    assert (a.tolist(), b.tolist()) == ([0, 1, 2], [1.0, 2.0, 3.0])


def test_a_node_without_inputs_can_be_given():
    """arange as an input of a graph takes the value given."""
    i = kj.arange(3)
    assert kj.Graph([i], [i + 1]).run([np.array([5, 6, 7])])[0].tolist() == [6, 7, 8]


@ENGINES
def test_zero_sizes(engine):
    """Products and reductions over nothing give zeros; so do their gradients."""

    def f(a, b):
        y = a @ b
        return y, y.sum(axis=0), kj.grad(y.sum(), [a, b])

    y, s, (ga, gb) = kj.compile(f, engine=engine)(np.ones((2, 0)), np.ones((0, 3)))
    assert (y.tolist(), s.tolist(), ga.shape, gb.shape) == ([[0.0] * 3] * 2, [0.0] * 3, (2, 0), (0, 3))


@ENGINES
def test_compiled_functions_nest_their_results(engine):
    """Dicts, tuples and None in, dicts, tuples and None out."""
    f = kj.compile(lambda p, _, q: {"sum": p["a"] + q[0], "both": (q[1], None)}, engine=engine)
    found = f({"a": 1.0}, None, [2.0, 3.0])
    assert (found["sum"].item(), found["both"][0].item(), found["both"][1]) == (3.0, 3.0, None)


@ENGINES
def test_a_compiled_function_inside_another_is_traced_along(engine):
    """No program of its own."""
    inner = kj.compile(lambda x: x * 2, engine=engine)
    assert kj.compile(lambda x: inner(x) + 1, engine=engine)(3.0).item() == 7.0 and inner.reports == []


@ENGINES
def test_updates_of_an_assigned_variable_are_seen(engine):
    """A program reads the present value: after assign, after its own updates, from another program."""
    w = kj.Parameter(1.0)
    read, double = kj.compile(lambda: w * 1.0, engine=engine), kj.compile(lambda: w.update(w * 2.0), engine=engine)
    seen = [read().item()]
    w.assign(5.0)
    seen.append(read().item())
    double()
    assert [*seen, read().item(), w.numpy().item()] == [1.0, 5.0, 10.0, 10.0]


@pytest.mark.parametrize(("nodes", "name"), [(50, "xla"), (2500, "reference")])
def test_auto_takes_reference_for_long_strings_of_tiny_nodes(nodes, name):
    """Above about 2,000 tiny nodes XLA would compile for too long."""

    def f(x):
        for _ in range(nodes):
            x = x + 1.0
        return x

    assert choose("auto", kj.trace(f, [((), "float32")])).name == name


def test_unknown_engines_are_refused():
    """With the nearest name."""
    with pytest.raises(UnknownNameError, match="Did you mean 'xla'"):
        kj.compile(lambda x: x, engine="xls")(1.0)


def test_inputs_without_value_are_refused_by_name():
    """Evaluating something that depends on an input says which."""
    with pytest.raises(GraphError, match=r"batch of shape \(2,\) is an input"):
        (kj.placeholder((2,), name="batch") * 2).numpy()


def test_reference_engine_can_be_watched():
    """Node by node, with values, in the order of computation."""
    x = kj.placeholder((), "float32")
    seen = [(n.op.name, float(v)) for n, v in watch(kj.Graph([x], [kj.exp(x * 0.0) + 1.0]), [np.float32(3.0)])]
    assert seen == [("multiply", 0.0), ("exp", 1.0), ("add", 2.0)]


def test_values_are_freed_after_their_last_use():
    """A long chain on a large array holds a few values, not all of them."""
    import tracemalloc

    x = y = kj.placeholder((100_000,), "float32")
    for _ in range(50):
        y = y + 1.0
    graph = kj.Graph([x], [y])
    run_graph(graph, [np.zeros(100_000, np.float32)])
    tracemalloc.start()
    run_graph(graph, [np.zeros(100_000, np.float32)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * 400_000


def test_evaluation_is_remembered():
    """A value asked for twice is computed once."""
    w = kj.Parameter([1.0])
    y = kj.exp(w)
    assert evaluate(y) is evaluate(y)


@ENGINES
def test_a_mistaken_type_is_refused_before_anything_runs(engine):
    """Integers where floats are needed, inside a compiled function: the error of the op, with its line."""
    with pytest.raises(DTypeError, match=r"sin: needs floating-point tensors, got int64.*\n  at test_programs\.py"):
        kj.compile(lambda i: kj.sin(i), engine=engine)(np.arange(3))


@pytest.mark.parametrize("n", [4, 4000])
def test_a_position_out_of_range_is_told_with_its_line(n):
    """Evaluating a graph of tiny or of larger nodes says which op of which line met the position that is not there."""
    x, i = kj.Variable(np.arange(n, dtype=np.float32)), kj.Variable(n + 3, dtype="int64")
    y = kj.take(x, i)  # this line
    with pytest.raises(DataError, match=rf"take: position {n + 3} (.|\n)*test_programs.py:\d+ .*# this line"):
        (2 * y).numpy()


@pytest.mark.parametrize("n", [4, 4000])
def test_evaluating_an_input_is_refused_by_name(n):
    """A graph of tiny or of larger nodes that still waits for an input has no value, and names the input."""
    x = placeholder((n,), name="rows")
    with pytest.raises(GraphError, match="rows of shape"):
        (x * x).numpy()
