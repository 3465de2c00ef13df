"""scan and map against Python loops and against JAX: values, gradients, second order, nests."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import kedja as kj
from kedja.errors import GraphError, ShapeError
from kedja.graph.node import ancestors
from kedja.graph.trace import Graph
from oracles.closeness import worst

RNG = np.random.default_rng(3)
X, W, H = RNG.normal(size=(5, 3)), RNG.normal(size=(3, 3)), RNG.normal(size=3)
ENGINES = pytest.mark.parametrize("engine", ["reference", "xla"])


@pytest.fixture(autouse=True)
def in_float64():
    """Compared to 1e-10, in float64."""
    with kj.default_dtype("float64"):
        yield


def t(value) -> kj.Tensor:
    """A float64 tensor."""
    return kj.tensor(value)


def recurrent_loop(lib, x, w, h):
    """A recurrent net as a plain Python loop."""
    total = 0.0
    for i in range(5):
        h = lib.tanh(x[i] + h @ w)
        total = total + (h * h).sum()
    return total + h.sum()


def recurrent_scan(x, w, h):
    """The same net as a scan that captures w."""
    last, squares = kj.scan(lambda h, x: ((n := kj.tanh(x + h @ w)), (n * n).sum()), h, x)
    return squares.sum() + last.sum()


@ENGINES
def test_scan_is_the_python_loop(engine):
    """Value of a recurrent net."""
    found = kj.compile(recurrent_scan, engine=engine)(X, W, H)
    assert found.item() == pytest.approx(recurrent_loop(np, X, W, H), rel=1e-12)


@ENGINES
def test_gradient_of_a_scan_is_that_of_the_loop(engine, judged):
    """By the sequence, by what was captured, and by the first carry; JAX differentiates the plain loop."""
    with jax.enable_x64(True):
        expected = jax.grad(lambda *a: recurrent_loop(jnp, *a), argnums=(0, 1, 2))(*map(jnp.asarray, (X, W, H)))
    found = kj.compile(kj.grad(recurrent_scan, argnums=(0, 1, 2)), engine=engine)(X, W, H)
    for f, e in zip(found, expected, strict=True):
        np.testing.assert_allclose(f.numpy(), e, rtol=1e-10)
        judged("JAX", "ops/scan", 1, worst(f.numpy(), e))
        judged("JAX, of a scan", "ops/item", 1, worst(f.numpy(), e))


@ENGINES
def test_hessian_of_a_scan_is_that_of_the_loop(engine):
    """Second order by the captured carry start: reverse over forward, loops within."""
    with jax.enable_x64(True):
        expected = jax.hessian(lambda h: recurrent_loop(jnp, X, W, h))(jnp.asarray(H))
    found = kj.compile(kj.hessian(lambda h: recurrent_scan(t(X), t(W), h)), engine=engine)(H)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-12)


def test_gradient_of_a_hessian_product():
    """Third order through a scan, against JAX."""
    way = RNG.normal(size=3)

    def with_jax(h):
        return jax.jvp(jax.grad(lambda h: recurrent_loop(jnp, X, W, h)), (h,), (way,))[1].sum()

    with jax.enable_x64(True):
        expected = jax.grad(with_jax)(jnp.asarray(H))
    found = kj.grad(lambda h: kj.hvp(lambda h: recurrent_scan(t(X), t(W), h), h, t(way)).sum())(t(H))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-12)


@ENGINES
def test_scan_inside_scan(engine):
    """Two loops, the inner one reading the outer's carry and a parameter: value and gradient."""
    w = kj.Parameter([0.5, -0.3], name="w")

    def nested(x):
        def outer(c, row):
            inner, _ = kj.scan(lambda d, v: (kj.sin(d * w + v + c), None), c * 1.0, row)
            return inner, inner.sum()

        return kj.scan(outer, x[0, 0] * 0.0 + w, x)[1].sum()

    def plain(w, x):
        c, total = x[0, 0] * 0.0 + w, 0.0
        for row in x:
            d = c
            for v in row:
                d = jnp.sin(d * w + v + c)
            c, total = d, total + d.sum()
        return total

    x = RNG.normal(size=(3, 4, 2))
    with jax.enable_x64(True):
        expected, slope = jax.value_and_grad(plain)(jnp.asarray(w.numpy()), jnp.asarray(x))
    value, found = kj.compile(lambda x: (lambda y: (y, kj.grad(y, w)))(nested(x)), engine=engine)(x)
    assert value.item() == pytest.approx(float(expected))
    np.testing.assert_allclose(found.numpy(), slope, rtol=1e-10)


@ENGINES
def test_map_inside_scan_and_scan_inside_map(engine):
    """Per-sample loops and loops of batches, differentiated by what both capture."""
    w = kj.Parameter([0.5, -0.3, 0.2], name="w")

    def both(x):
        a = kj.map(lambda row: kj.scan(lambda c, v: (kj.tanh(c * v + w), None), w, row)[0].sum(), x)
        b, _ = kj.scan(lambda c, row: (kj.map(lambda v: kj.sin(v * c.sum() + w).sum(), row), None), w, x[:, :3])
        return (a * a).sum() + b.sum()

    def plain(w, x):
        total = 0.0
        for row in x:
            c = w
            for v in row:
                c = jnp.tanh(c * v + w)
            total = total + c.sum() ** 2
        c = w
        for row in x[:, :3]:
            c = jnp.stack([jnp.sin(v * c.sum() + w).sum() for v in row])
        return total + c.sum()

    x = RNG.normal(size=(4, 3))
    with jax.enable_x64(True):
        slope = jax.grad(plain)(jnp.asarray(w.numpy()), jnp.asarray(x))
    found = kj.compile(lambda x: kj.grad(both(x), w), engine=engine)(x)
    np.testing.assert_allclose(found.numpy(), slope, rtol=1e-10)


@ENGINES
def test_carries_and_outputs_may_be_nested(engine):
    """A dict of a float and a counting integer; outputs in a tuple, one of them None."""

    def f(x):
        start = {"sum": kj.tensor(0.0), "n": kj.tensor(0, dtype="int64")}
        body = lambda c, v: ({"sum": c["sum"] + v, "n": c["n"] + 1}, (c["n"], None, c["sum"] * v))  # noqa: E731
        return kj.scan(body, start, x)

    last, (numbers, nothing, products) = kj.compile(f, engine=engine)(np.array([1.0, 2.0, 3.0]))
    found = (last["sum"].item(), last["n"].item(), last["n"].dtype.name, numbers.tolist(), nothing, products.tolist())
    assert found == (6.0, 3, "int64", [0, 1, 2], None, [0.0, 2.0, 9.0])


def test_gradient_flows_past_an_integer_carry():
    """The counter has no derivative; the float beside it has."""

    def f(x):
        start = (kj.tensor(1.0), kj.tensor(0, dtype="int64"))
        (p, _), _ = kj.scan(lambda c, v: ((c[0] * v + kj.cast(c[1], "float64"), c[1] + 1), None), start, x)
        return p

    x = np.array([2.0, 3.0, 5.0])  # ((2·1 + 0)·3 + 1)·5 + 2
    assert kj.grad(f)(t(x)).tolist() == [15.0, 10.0, 7.0]


def test_reverse_runs_backwards():
    """reverse=True takes the last slice first and stacks outputs in their places."""
    c, ys = kj.scan(lambda c, v: (c * 2 + v, c), t(0.0), t([1.0, 2.0, 3.0]), reverse=True)
    assert (c.item(), ys.tolist()) == (17.0, [8.0, 3.0, 0.0])


@ENGINES
def test_empty_sequences(engine):
    """No steps: the carry as it came, outputs of length 0, gradient of the carry 1."""
    f = lambda x: kj.scan(lambda c, v: (c + v, c * v), x.sum() * 0.0 + 4.0, x)  # noqa: E731
    c, ys = kj.compile(f, engine=engine)(np.zeros((0,)))
    assert (c.item(), ys.shape) == (4.0, (0,))


@ENGINES
def test_map_is_the_python_loop(engine):
    """Several sequences, several outputs, something captured."""
    f = lambda x, y: kj.map(lambda a, b: {"p": a @ t(W) * b, "s": a.sum()}, x, y)  # noqa: E731
    found = kj.compile(f, engine=engine)(X, X[:, 0])
    np.testing.assert_allclose(found["p"].numpy(), np.stack([a @ W * b for a, b in zip(X, X[:, 0], strict=True)]))
    np.testing.assert_allclose(found["s"].numpy(), X.sum(1))


@ENGINES
@pytest.mark.parametrize(
    ("product", "letters"),
    [
        (lambda v, m: kj.map(lambda b: m @ b, v), "jk,nkl->njl"),
        (lambda v, m: kj.map(lambda b: b @ m, v), "nkl,lj->nkj"),
        (lambda v, m: kj.map(lambda b: b.T @ b, v), "nkl,nkm->nlm"),
        (lambda v, m: kj.map(lambda b: kj.map(lambda row: row @ m, b), v), "nkl,lj->nkj"),
        (lambda v, m: kj.map(lambda b: m.T @ b[:, 0], v), "kj,nk->nj"),
    ],
    ids=["shared first", "shared second", "transposed", "map in map", "vectors"],
)
def test_products_inside_map(engine, product, letters):
    """Whichever factor is shared or transposed, the products are NumPy's einsum, and so are those of a map in a map."""
    rng = np.random.default_rng(3)
    v, m = rng.normal(size=(4, 3, 3)), rng.normal(size=(3, 3))
    second = {"jk,nkl->njl": (m, v), "nkl,nkm->nlm": (v, v), "kj,nk->nj": (m, v[:, :, 0])}.get(letters, (v, m))
    np.testing.assert_allclose(kj.compile(product, engine=engine)(v, m).numpy(), np.einsum(letters, *second))


@ENGINES
def test_per_sample_gradients(engine):
    """A gradient inside map, one for each row."""
    w = kj.Parameter(H, name="w")
    f = lambda x: kj.map(lambda row: kj.grad(kj.tanh(kj.dot(row, w)), w), x)  # noqa: E731
    expected = np.stack([(1 - np.tanh(row @ H) ** 2) * row for row in X])
    np.testing.assert_allclose(kj.compile(f, engine=engine)(X).numpy(), expected, rtol=1e-10)


def test_gradient_of_a_map_sums_over_what_it_captures(judged):
    """∂Σᵢ sin(xᵢ·w)/∂w adds the slices, and the second derivative does too."""
    f = lambda w: kj.map(lambda row: kj.sin(kj.dot(row, w)), t(X)).sum()  # noqa: E731
    with jax.enable_x64(True):
        expected = jax.grad(lambda w: jnp.sin(jnp.asarray(X) @ w).sum())(jnp.asarray(H))
    judged("JAX", "ops/map", 1, worst(kj.grad(f)(t(H)).numpy(), expected))
    np.testing.assert_allclose(kj.grad(f)(t(H)).numpy(), (np.cos(X @ H)[:, None] * X).sum(0), rtol=1e-10)
    np.testing.assert_allclose(kj.hessian(f)(t(H)).numpy(), -(X.T * np.sin(X @ H)) @ X, rtol=1e-9)


def test_body_is_traced_once():
    """However long the loop."""
    calls = []
    kj.scan(lambda c, v: (calls.append(1), (c + v, None))[1], t(0.0), t(np.ones(50)))
    assert calls == [1]


def test_outputs_nobody_reads_cost_no_nodes():
    """One node for the loop, one for each output used."""
    c, _ = kj.scan(lambda c, v: (c + v, c), t(0.0), t(np.ones(5)))
    assert [n.op.name for n in ancestors([c])].count("item") == 1


@pytest.mark.parametrize(
    ("ask", "error", "words"),
    [
        (lambda: kj.scan(lambda c, v: (c + 1, None), t(0.0)), GraphError, "give xs or length="),
        (lambda: kj.scan(lambda c, v: (kj.stack([c, c]), None), t(0.0), length=2), ShapeError, "keeps its shape"),
        (lambda: kj.scan(lambda c, v: ((c, c), None), t(0.0), length=2), GraphError, "nested like the one it gets"),
        (lambda: kj.map(lambda a, b: a + b, t(np.ones(2)), t(np.ones(3))), ShapeError, "share their first axis"),
        (lambda: kj.map(lambda a: a, t(1.0)), ShapeError, "share their first axis"),
        (lambda: kj.scan(lambda c, v: (c, None), t(0.0), t(np.ones(2)), length=3), ShapeError, "length 3"),
    ],
)
def test_loops_that_cannot_run_are_refused(ask, error, words):
    """With the shapes that clash."""
    with pytest.raises(error, match=words):
        ask()


def test_bodies_are_graphs():
    """The body can be looked at."""
    c, _ = kj.scan(lambda c, v: (c + v, None), t(0.0), t(np.ones(5)))
    assert isinstance(c.inputs[0].attrs["body"], Graph)
