"""How many steps are run at a time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kedja.train.loop import MOST_SECONDS, MOST_STEPS, Chunks


@pytest.mark.parametrize(
    ("pace", "state_bytes", "stops"),
    [(0.001, 0, [10, 20]), (0.02, 0, [5, 10]), (0.5, 400_000_000, [6, 10]), (1.0, 400_000_000, [3, 6, 10])],
    ids=["an epoch in 10 ms", "an epoch in two", "a large state", "no step left by itself"],
)
def test_where_chunks_end(pace, state_bytes, stops):
    """Steps of a known length, in epochs of ten."""
    chunks, at, found = Chunks(10, [10], pace, state_bytes), 0, []
    while at < 10 * (stops[-1] // 10):
        at = chunks.stop(at, 20)
        found.append(at)
    assert found[: len(stops)] == stops


@given(
    st.integers(1, 50), st.lists(st.integers(1, 40), max_size=2), st.floats(1e-6, 5), st.integers(0, 10**9),
    st.integers(1, 300),
)  # fmt: skip
def test_chunks_lead_to_the_end(spe, marks, pace, state_bytes, end):
    """Every chunk has a step, none passes a mark, and one that passes an epoch's end ends on one."""
    chunks, at = Chunks(spe, marks, pace, state_bytes), 0
    while at < end:
        stop = chunks.stop(at, end)
        assert at < stop <= end
        assert all(stop <= at - at % mark + mark for mark in marks)
        assert stop // spe == at // spe or stop % spe == 0 or stop == end
        assert stop - at <= max(1.5 * MOST_STEPS, 1)
        if stop - at > 16:
            assert (stop - at) * pace <= 1.5 * MOST_SECONDS + 1e-6
        at = stop
