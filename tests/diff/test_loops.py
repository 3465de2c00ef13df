"""The derivative of a scan: products summed after the loop, expensive values not worked out twice; JAX is the judge."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import kedja as kj
from kedja.ops.control import scan_op

RNG = np.random.default_rng(4)
STEPS, N, A = 4, 3, 2
START, XS = RNG.normal(size=(N, A)), RNG.normal(size=(STEPS, N, A))
SQUARE, OTHER = RNG.normal(size=(A, A)), RNG.normal(size=(A, A))


def once(m, h, x, w, v):
    return m.tanh(h @ w + x), None


def in_the_output(m, h, x, w, v):
    h = m.tanh(h @ w)
    return h, h @ v


def twice(m, h, x, w, v):
    return m.tanh(h @ w + m.exp(-x) @ w), x


def of_the_sequence(m, h, x, w, v):
    return h + m.sin(x @ w), m.tanh(h) @ v


def on_the_left(m, h, x, w, v):
    return m.tanh(h @ (w @ v) + x), None


def as_numbers_too(m, h, x, w, v):
    return m.tanh(h @ w + w[0] + x), h * v[1]


BODIES = [once, in_the_output, twice, of_the_sequence, on_the_left, as_numbers_too]


def of_ours(body, reverse):
    """One number from a loop, as a function of all it depends on."""

    def total(h, xs, w, v):
        last, ys = kj.scan(lambda c, x: body(kj, c, x, w, v), h, xs, reverse=reverse)
        return (last * last).sum() + (0.0 if ys is None else (ys * ys * ys).sum())

    return total


def of_jax(body, reverse):
    """The same, by lax.scan."""

    def total(h, xs, w, v):
        last, ys = lax.scan(lambda c, x: body(jnp, c, x, w, v), h, xs, reverse=reverse)
        return (last * last).sum() + (0.0 if ys is None else (ys * ys * ys).sum())

    return total


@pytest.mark.parametrize(
    ("body", "reverse"),
    [
        pytest.param(body, reverse, marks=[] if (k + reverse) % 2 else pytest.mark.long, id=f"{body.__name__}-{way}")
        for k, body in enumerate(BODIES)
        for way, reverse in (("forwards", False), ("reverse", True))
    ],
)
def test_gradients_equal_those_of_jax(body, reverse):
    """By the start, the sequence and both matrices, in float64, first and second order, on both engines."""
    arrays = (START, XS, SQUARE, OTHER)
    places = (0, 1, 2, 3)
    pull = [RNG.normal(size=a.shape) for a in arrays]

    def along(gradients):
        return sum((g * p).sum() for g, p in zip(gradients, pull, strict=True))

    with jax.enable_x64(True):
        first_order = jax.grad(of_jax(body, reverse), places)
        second_order = jax.grad(lambda *xs: along(first_order(*xs)), places)
        # One program: op by op, JAX would compile each of them for itself.
        both = jax.jit(lambda *xs: (*first_order(*xs), *second_order(*xs)))
        expected = [np.asarray(g) for g in both(*arrays)]

    def both_orders(*xs):
        first = kj.grad(of_ours(body, reverse)(*xs), list(xs))
        weighted = sum(((g * kj.tensor(p, dtype="float64")).sum() for g, p in zip(first, pull, strict=True)), 0.0)
        return [*first, *kj.grad(weighted, list(xs))]

    with kj.default_dtype("float64"):
        for engine in ("reference", "xla"):
            found = kj.compile(both_orders, engine=engine)(*arrays)
            for g, e in zip(found, expected, strict=True):
                np.testing.assert_allclose(np.asarray(g), e, rtol=1e-9, atol=1e-10)


def loops(nodes):
    """The scans among what these nodes are made of."""
    found, stack, seen = [], list(nodes), set()
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack += node.inputs
            found += [node] if node.op is scan_op else []
    return found


def test_the_way_back_repeats_nothing_expensive():
    """No tanh in the backward loop, and one product a step, by the transposed matrix; the other comes after it."""
    w = kj.Parameter(SQUARE, name="w")
    last, _ = kj.scan(lambda h, x: (kj.tanh(h @ w + x), None), kj.tensor(START), kj.tensor(XS))
    gradient = kj.grad((last * last).sum(), w)
    back = next(node for node in loops([gradient]) if node.attrs["reverse"])
    body = back.attrs["body"]
    names = [n.op.name for n in body.order if n not in set(body.inputs)]
    assert names.count("tanh") == 0 and names.count("matmul") == 1


def test_no_steps_have_no_derivative_by_the_matrix():
    """A loop that runs never: zeros, of the right shape."""
    w = kj.Parameter(SQUARE, name="w")
    last, _ = kj.scan(lambda h, x: (kj.tanh(h @ w + x), None), kj.tensor(START), kj.zeros((0, N, A)))
    assert kj.grad((last * last).sum(), w).numpy().tolist() == [[0.0, 0.0], [0.0, 0.0]]
