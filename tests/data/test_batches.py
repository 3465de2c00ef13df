"""Batches from loaders, generators and functions; what is a stream and what is rows."""

import numpy as np
import pytest

import kedja as kj
from kedja.data.batches import is_stream
from kedja.errors import DataError


def three():
    """Three batches."""
    for i in range(3):
        yield np.full((2, 1), float(i)), np.array([i, i])


def ys(data, epoch):
    """The first target of each batch of an epoch."""
    return [int(batch.y[0]) for batch in data.epoch(epoch)]


def test_a_function_makes_a_new_iterator_for_each_epoch():
    """Two epochs of a generator function are the same batches; looking at the first takes none away."""
    data = kj.data.batches(three)
    assert data.peek().y.tolist() == [0, 0]
    assert ys(data, 1) == ys(data, 2) == [0, 1, 2]


def test_an_iterable_is_gone_through_again():
    """A loader with a length says how many batches come."""

    class Loader:
        def __len__(self):
            return 3

        def __iter__(self):
            return three()

    data = kj.data.batches(Loader())
    assert data.expected == 3 and data.repeats and ys(data, 1) == ys(data, 2) == [0, 1, 2]


def test_a_generator_serves_one_epoch():
    """Its second epoch has nothing, and the message says what to give instead."""
    data = kj.data.batches(three())
    assert ys(data, 1) == [0, 1, 2]
    with pytest.raises(DataError, match="ended in epoch 1 after 3 batches, and epoch 2 has none.*Give the function"):
        ys(data, 2)


def test_steps_cut_an_endless_generator():
    """With steps= the next epoch goes on where the last one stopped, and an early end names the epoch and batch."""

    def seven():
        for i in range(7):
            yield [[0.0]], [i]

    data = kj.data.batches(seven(), steps=3)
    assert ys(data, 1) == [0, 1, 2] and ys(data, 2) == [3, 4, 5]
    with pytest.raises(DataError, match="ended in epoch 3 after 1 of 3 batches"):
        ys(data, 3)


@pytest.mark.parametrize(
    ("made_by", "message"),
    [
        (lambda: iter(()), "yields nothing"),
        (lambda: 5, "gave int in epoch 1"),
        (lambda: iter([{"x": 1, "y": 2}]), "got a dictionary with the keys 'x', 'y'"),
        (lambda: iter([(1, 2, 3, 4)]), r"or \(x, y, weight\), got 4"),
    ],
)
def test_what_is_no_batch_is_refused(made_by, message):
    """Nothing at all, no iterator, dictionaries and tuples too long."""
    with pytest.raises(DataError, match=message):
        kj.data.batches(made_by).peek()


@pytest.mark.parametrize("steps", [0, 2.5, True, "3"])
def test_steps_are_a_whole_number(steps):
    """Anything else is refused."""
    with pytest.raises(DataError, match="steps="):
        kj.data.batches(three, steps=steps)


def test_rows_are_not_taken_for_streams():
    """Arrays, lists, frames, tensors, sets and tables are rows; generators, functions and loaders are streams."""
    pd, torch = pytest.importorskip("pandas"), pytest.importorskip("torch")
    rows = [[[1.0]], np.zeros(3), pd.DataFrame({"a": [1]}), torch.zeros(2), {"a": [1]}, {1}, range(3), kj.zeros(2)]
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.zeros(4, 2)), batch_size=2)
    assert [is_stream(r) for r in rows] == [False] * len(rows)
    assert [is_stream(s) for s in (three, three(), loader, kj.data.batches(three), map(str, "ab"))] == [True] * 5
