"""Memory that loops write large states over: used again, and never while somebody looks at it."""

import numpy as np
import pytest

import kedja as kj
from kedja.engines import get_engine
from kedja.engines.xla import room

SIZE, STEPS = 4096, 12


@pytest.fixture(autouse=True)
def every_state_is_large(monkeypatch):
    """Also those of these tests."""
    monkeypatch.setattr(room, "LARGE", 0)


def decaying():
    """A loop over one step: w ← 0.9 w + 1, v ← w, with their values at the start."""
    first = np.linspace(-1, 1, SIZE).astype(np.float32)
    w, v = kj.Parameter(first, name="w"), kj.Variable(np.zeros(SIZE, np.float32), kind="slot")

    def step(x):
        v.update(w)
        w.update(0.9 * w + x)
        return (w * x).sum()

    graph = kj.trace(step, [((), "float32")])
    return get_engine("xla").loop(graph, data=0, padded=False, ordered=False)


def states(loop, hold):
    """The state after each step, run one by one; `hold` says what is kept of it."""
    state = [v.raw for v in loop.variables]
    kept = []
    for i in range(STEPS):
        state = loop.run(state, [], None, [np.float32(1)], i, i + 1).state
        kept.append(hold(state))
    get_engine("xla").rest()
    return kept


def test_memory_is_used_again():
    """States that nobody holds lie in two places in turn."""
    places = states(decaying(), lambda state: sorted(a.unsafe_buffer_pointer() for a in state))
    assert places[2:] == places[:-2]
    assert places[0] != places[1]


@pytest.mark.parametrize("hold", [list, lambda s: [np.asarray(a) for a in s]], ids=["arrays", "views by NumPy"])
def test_a_state_that_is_held_stays_as_it_is(hold):
    """Whoever keeps a state, or a view of its memory, finds the numbers in it that were there."""
    copied = states(decaying(), lambda state: [np.array(a) for a in state])
    held = states(decaying(), hold)
    for step, (mine, expected) in enumerate(zip(held, copied, strict=True)):
        for a, b in zip(mine, expected, strict=True):
            np.testing.assert_array_equal(np.asarray(a), b, err_msg=f"after step {step}")


def test_numbers_from_outside_are_not_written_over():
    """The arrays a loop starts from are as before, however far it runs."""
    loop = decaying()
    first = [np.array(v.raw) for v in loop.variables]
    states(loop, lambda state: None)
    for v, expected in zip(loop.variables, first, strict=True):
        np.testing.assert_array_equal(np.asarray(v.raw), expected)


def test_nothing_is_held_after_training():
    """After `fit` the memory of the state before the last is given back."""
    x, y = kj.data.load("xor")
    net = kj.Sequential([kj.nn.Dense(4, activation="tanh"), kj.nn.Dense(1, activation="sigmoid")])
    net.fit(x, y, loss="mse", optimizer=kj.optim.Adam(0.05), epochs=20_000, seed=0, verbose=0, engine="xla")
    own = get_engine("xla")._room
    assert own._before == []


def test_training_gives_the_same_bits(monkeypatch):
    """The weights after many chunks are those that come out where each chunk takes new memory."""

    def weights():
        x, y = kj.data.load("xor")
        net = kj.Sequential([kj.nn.Dense(4, activation="tanh"), kj.nn.Dense(1, activation="sigmoid")])
        net.fit(x, y, loss="mse", optimizer=kj.optim.Adam(0.05), epochs=100, seed=0, verbose=0, engine="xla")
        return net.get_weights()

    again = weights()
    monkeypatch.setattr(room, "LARGE", 1 << 40)
    for a, b in zip(again, weights(), strict=True):
        np.testing.assert_array_equal(a, b)
