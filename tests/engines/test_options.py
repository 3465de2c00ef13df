"""How loops are asked to be compiled: which rule takes which graph, and that results stay what they were."""

from itertools import pairwise

import jax
import numpy as np
import pytest

import kedja as kj
from kedja.engines import get_engine
from kedja.engines.xla import options
from kedja.engines.xla.cache import executable

RNG = np.random.default_rng(3)


def learning(sizes: tuple[int, ...], batch: int) -> kj.Graph:
    """One step of gradient descent of tanh layers of these sizes on squared errors."""
    weights = [kj.Parameter((RNG.normal(size=pair) / pair[0] ** 0.5).astype(np.float32)) for pair in pairwise(sizes)]

    def step(x, y):
        for w in weights:
            x = kj.tanh(x @ w)
        loss = ((x - y) ** 2).mean()
        for w, g in zip(weights, kj.grad(loss, weights), strict=True):
            w.update(w - 0.1 * g)
        return loss

    return kj.trace(step, [((batch, sizes[0]), "float32"), ((batch, sizes[-1]), "float32")])


def sorting() -> kj.Graph:
    """A tiny graph for which XLA calls a function of its own."""
    w = kj.Parameter(np.ones(4, np.float32))

    def step(x):
        w.update(w + kj.sort(x * w))
        return (x * w).sum()

    return kj.trace(step, [((4,), "float32")])


GRAPHS = {"tiny": ((3, 4, 1), 5), "many products": ((64, 48, 4), 32), "many numbers": ((2, 1, 2), 4096)}
ON_ONE_CPU = pytest.mark.skipif(
    len(jax.devices()) != 1 or jax.default_backend() != "cpu", reason="asked for on one CPU only"
)


@ON_ONE_CPU
@pytest.mark.parametrize(("kind", "one"), [("tiny", True), ("many products", False), ("many numbers", False)])
def test_only_a_tiny_step_is_asked_for_as_one_function(kind, one):
    """A few units on a few rows; neither wider layers nor many rows."""
    assert options.for_loop(learning(*GRAPHS[kind])) == (options.ONE_FUNCTION if one else {})


def test_what_xla_calls_functions_for_is_not_asked_for_as_one():
    """A sort among four numbers keeps the usual options, little as it is."""
    assert options.for_loop(sorting()) == {}


def lowered():
    """A short loop, lowered for a bound that is known when it runs."""
    return jax.jit(lambda n, x: jax.lax.fori_loop(0, n, lambda i, c: jax.numpy.tanh(c @ c) + i, x)).lower(
        np.int32(3), np.ones((20, 20), np.float32)
    )


@ON_ONE_CPU
def test_a_tiny_loop_becomes_one_function():
    """XLA marks the call that holds the loop."""
    made = options.compiled(lowered(), {}, options.ONE_FUNCTION)
    assert 'xla_cpu_small_call="true"' in made.get_hlo_text()


def test_a_wish_that_this_xla_does_not_know_is_left_out():
    """The program is compiled all the same."""
    made = options.compiled(lowered(), {}, {"xla_cpu_of_another_time": "1"})
    assert made(np.int32(1), np.zeros((20, 20), np.float32)).tolist() == np.zeros((20, 20)).tolist()


def test_programs_of_other_options_are_other_entries_of_the_cache(tmp_path, monkeypatch):
    """The same text compiled in two ways is kept twice, and each is found again."""
    monkeypatch.setenv("KEDJA_CACHE", str(tmp_path))
    monkeypatch.delenv("KEDJA_COMPILE_CACHE", raising=False)
    nest = jax.tree.structure((0, 0))
    found = [executable(lowered(), nest, wishes)[1] for wishes in ({}, options.ONE_FUNCTION) * 2]
    assert found == [False, False, True, True]


@pytest.mark.parametrize("kind", GRAPHS)
def test_chunks_change_no_bits_however_a_loop_is_compiled(kind):
    """Six steps at once, and one and five, end in the same bits; the reference engine ends nearby."""
    sizes, batch = GRAPHS[kind]
    graph = learning(sizes, batch)
    x = RNG.normal(size=(3 * batch, sizes[0])).astype(np.float32)
    y = RNG.normal(size=(3 * batch, sizes[-1])).astype(np.float32)
    order = np.stack([RNG.permutation(len(x))[:batch] for _ in range(6)]).astype(np.int32)

    def ends(engine, *chunks):
        loop = get_engine(engine).loop(graph, data=2, padded=False, ordered=True)
        state = [v.raw for v in loop.variables]
        for start, stop in chunks:
            state = loop.run(state, [loop.put(x), loop.put(y)], order, [], start, stop).state
        return [np.asarray(s) for s in state]

    whole, parts, judge = ends("xla", (0, 6)), ends("xla", (0, 1), (1, 6)), ends("reference", (0, 6))
    for a, b, c in zip(whole, parts, judge, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, c, rtol=1e-4, atol=1e-5)
