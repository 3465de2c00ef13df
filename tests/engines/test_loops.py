"""Loops of many steps in one call: XLA against reference, chunks against the whole, stopping, results."""

import numpy as np
import pytest

import kedja as kj
from kedja.engines import get_engine

N, BATCH, STEPS = 20, 6, 24
RNG = np.random.default_rng(5)
X, Y = RNG.normal(size=(N, 3)), RNG.normal(size=(N, 1))
ORDER = np.stack([RNG.permutation(N)[:BATCH] for _ in range(STEPS)]).astype(np.int32)
PADDED = ORDER.copy()
PADDED[3::4, 4:] = -1
ENGINES = pytest.mark.parametrize("engine", ["reference", "xla"])


def graph_of(batch: int, padded: bool, dtype: str = "float64") -> kj.Graph:
    """One step of momentum descent on masked squared errors, with a counter; loss and gradient norm come out."""
    with kj.default_dtype(dtype):
        w = kj.Parameter(np.linspace(-1, 1, 3)[:, None], name="w")
        v = kj.Variable(np.zeros((3, 1)), kind="slot")
        count = kj.Variable(0, dtype="int64", kind="counter")

        def step(x, y, *rest):
            mask, rate = (kj.cast(rest[0], dtype), rest[1]) if padded else (None, rest[0])
            losses = ((kj.tanh(x @ w) - y) ** 2)[:, 0]
            loss = losses.mean() if mask is None else (losses * mask).sum() / mask.sum()
            g = kj.grad(loss, w)
            new = 0.5 * v - rate * g
            v.update(new)
            w.update(w + new)
            count.update(count + 1)
            return loss, (g * g).sum()

        inputs = [((batch, 3), dtype), ((batch, 1), dtype), *([((batch,), "bool")] if padded else []), ((), dtype)]
        return kj.trace(step, inputs)


KINDS = {"ordered": (BATCH, False, ORDER), "padded": (BATCH, True, PADDED), "full batch": (N, False, None)}


def run(engine: str, kind: str, chunks: list[tuple[int, int]], dtype: str = "float64", rate: float = 0.1):
    """The loop run in chunks: the state after it and all rows."""
    batch, padded, order = KINDS[kind]
    graph = graph_of(batch, padded, dtype)
    loop = get_engine(engine).loop(graph, data=2, padded=padded, ordered=order is not None)
    state = [v.raw for v in loop.variables]
    data = [loop.put(X.astype(dtype)), loop.put(Y.astype(dtype))]
    rows, result = [], None
    for start, stop in chunks:
        result = loop.run(state, data, order, [np.asarray(rate, dtype)], start, stop)
        state = result.state
        rows.append(result.outputs)
    return [np.asarray(s) for s in state], np.concatenate(rows), result


@pytest.mark.parametrize("kind", KINDS)
def test_xla_equals_reference(kind):
    """State and rows after all steps, in float64."""
    (state, rows, a), (others, expected, b) = (run(e, kind, [(0, STEPS)]) for e in ("xla", "reference"))
    assert (a.done, a.finite) == (b.done, b.finite) == (STEPS, True)
    np.testing.assert_allclose(rows, expected, rtol=1e-9)
    for s, o in zip(state, others, strict=True):
        np.testing.assert_allclose(s, o, rtol=1e-9, atol=1e-12)


@ENGINES
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_chunks_give_the_same_bits_as_the_whole(engine, kind, dtype):
    """Cut into 1, 1, 5 and the rest: bit-equal state and rows, and nothing compiled anew."""
    whole, rows, _ = run(engine, kind, [(0, STEPS)], dtype)
    parts, others, _ = run(engine, kind, [(0, 1), (1, 2), (2, 7), (7, STEPS)], dtype)
    assert rows.tobytes() == others.tobytes()
    assert all(a.tobytes() == b.tobytes() for a, b in zip(whole, parts, strict=True))


@ENGINES
def test_types_of_the_state_are_kept(engine):
    """float64 weights, an int64 counter that counts the steps, one row a step."""
    state, rows, _ = run(engine, "ordered", [(2, 9)])
    assert [s.dtype.name for s in state] == ["float64", "float64", "int64"]
    assert (int(state[2]), rows.shape) == (7, (7, 2))


@ENGINES
def test_padding_changes_nothing(engine):
    """Rows marked −1 take no part: a padded step equals one on the rows that are real."""
    graph, small = graph_of(BATCH, True), graph_of(4, False)
    padded = get_engine(engine).loop(graph, data=2, padded=True, ordered=True)
    plain = get_engine(engine).loop(small, data=2, padded=False, ordered=True)
    one = padded.run([v.raw for v in padded.variables], [X, Y], PADDED[3:4], [np.float64(0.1)], 0, 1)
    two = plain.run([v.raw for v in plain.variables], [X, Y], PADDED[3:4, :4].copy(), [np.float64(0.1)], 0, 1)
    np.testing.assert_allclose(one.outputs, two.outputs, rtol=1e-12)


@ENGINES
def test_the_loop_stops_at_a_loss_that_is_not_finite(engine):
    """It ends after the step that gave it, with that step's row."""
    w = kj.Parameter(1.0, name="w")

    def step(x):
        w.update(w * 10.0)
        return kj.log(1500.0 - w) + x.sum() * 0.0

    loop = get_engine(engine).loop(kj.trace(step, [((1,), "float32")]), data=1, padded=False, ordered=False)
    result = loop.run([w.raw], [np.zeros(1, np.float32)], None, [], 0, 50)
    assert (result.done, result.finite, result.outputs.shape) == (5, False, (5, 1))
    assert np.isfinite(result.outputs[:4]).all() and np.isnan(result.outputs[4, 0])


@ENGINES
def test_weights_that_are_not_finite_are_reported(engine):
    """A finite loss with an infinite parameter after it is not called finite."""
    w = kj.Parameter(3e38, name="w")

    def step(x):
        w.update(w * 10.0)
        return x.sum()

    loop = get_engine(engine).loop(kj.trace(step, [((1,), "float32")]), data=1, padded=False, ordered=False)
    assert not loop.run([w.raw], [np.zeros(1, np.float32)], None, [], 0, 1).finite


@ENGINES
def test_no_steps_change_nothing(engine):
    """start = stop: the state comes back, no rows."""
    state, rows, result = run(engine, "ordered", [(4, 4)])
    assert (int(state[2]), rows.shape, result.done) == (0, (0, 2), 4)


@ENGINES
def test_the_state_given_is_not_destroyed(engine):
    """A chunk's start can be kept and run again: the same rows."""
    graph = graph_of(BATCH, False)
    loop = get_engine(engine).loop(graph, data=2, padded=False, ordered=True)
    first = loop.run([v.raw for v in loop.variables], [X, Y], ORDER, [np.float64(0.1)], 0, 5)
    again = [loop.run(first.state, [X, Y], ORDER, [np.float64(0.1)], 5, 9).outputs for _ in range(2)]
    assert again[0].tobytes() == again[1].tobytes()


def test_rates_are_run_time_values():
    """Another learning rate, other bounds: the program compiled first serves."""
    graph = graph_of(BATCH, False)
    loop = get_engine("xla").loop(graph, data=2, padded=False, ordered=True)
    state = [v.raw for v in loop.variables]
    for rate, stop in ((0.1, 3), (0.01, 3), (0.01, 7)):
        loop.run(state, [X, Y], ORDER, [np.float64(rate)], 0, stop)
    assert len(loop._programs) == 1


def test_another_order_of_another_shape_is_another_program():
    """Nothing compiled for one batch size is run on another."""
    graph = graph_of(BATCH, False)
    loop = get_engine("xla").loop(graph, data=2, padded=False, ordered=True)
    state = [v.raw for v in loop.variables]
    loop.run(state, [X, Y], ORDER, [np.float64(0.1)], 0, 2)
    found = loop.run(state, [X, Y], ORDER.astype(np.int64), [np.float64(0.1)], 0, 2)
    assert found.done == 2 and len(loop._programs) == 2
