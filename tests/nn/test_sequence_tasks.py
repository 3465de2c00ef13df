"""What recurrent layers and attention learn and a perceptron does not: the adding problem, voices at any time."""

import numpy as np
import pytest

import kedja as kj


class Attending(kj.Module):
    """Self-attention, and the mean of what the steps that are there say."""

    def __init__(self, outputs, units=32, heads=2):
        super().__init__()
        self.embed = kj.nn.Dense(units, activation="relu")
        self.look = kj.nn.MultiHeadAttention(heads)
        self.mix = kj.nn.Dense(units, activation="relu")
        self.out = kj.nn.Dense(outputs)

    def call(self, x, mask):
        h = self.embed(x)
        h = h + self.look(h, h, mask)
        h = h + self.mix(h)
        there = mask.reshape((*mask.shape, 1))
        return self.out((h * there).sum(axis=1) / there.sum(axis=1))


def reading(cell, steps, features, outputs):
    """A recurrent layer that takes a mask, and a dense one."""
    x, mask = kj.Input((steps, features)), kj.Input((steps,))
    return kj.Model([x, mask], kj.nn.Dense(outputs)(cell(x, mask)))


def perceptron(width, outputs):
    return kj.Sequential([kj.nn.Flatten(), kj.nn.Dense(width, activation="relu"), kj.nn.Dense(outputs)])


def error_of(net, rows, steps, epochs, rate, masked=False, seed=0):
    """The mean squared error on 1,000 new sequences of the adding problem, and the number of weights."""
    (x, y), (x_new, y_new) = (
        kj.data.load("adding", n=rows, steps=steps),
        kj.data.load("adding", n=1000, steps=steps, seed=1),
    )
    if masked:
        x, x_new = (x, np.ones(x.shape[:2])), (x_new, np.ones(x_new.shape[:2]))
    net.fit(x, y, loss="mse", optimizer=kj.optim.Adam(rate), epochs=epochs, batch_size=50, seed=seed)
    return net.evaluate(x_new, y_new, loss="mse")["loss"], net.count_parameters()


def test_a_gru_adds_and_a_perceptron_does_not():
    """In 20 steps: an error a tenth of the variance of the answers, 1/6, against one near it, with no fewer weights."""
    ours, small = error_of(kj.Sequential([kj.nn.GRU(16), kj.nn.Dense(1)]), 1000, 20, 40, 0.01)
    theirs, large = error_of(perceptron(24, 1), 1000, 20, 60, 0.003)
    assert ours < 0.017 and theirs > 0.05 and small <= large


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_adding_problem_at_fifty_steps(seed):
    """LSTM, GRU and attention below 0.01; a perceptron of their size, stopped wherever it is best, never below 0.1."""
    lstm = kj.Sequential([kj.nn.LSTM(32), kj.nn.Dense(1)])
    gru = kj.Sequential([kj.nn.GRU(32), kj.nn.Dense(1)])
    assert error_of(lstm, 2000, 50, 40, 0.005, seed=seed)[0] < 0.01
    assert error_of(gru, 2000, 50, 20, 0.005, seed=seed)[0] < 0.01
    assert error_of(Attending(1), 2000, 50, 10, 0.003, masked=True, seed=seed)[0] < 0.01
    net = perceptron(45, 1)
    assert min(error_of(net, 2000, 50, 5, 0.001, seed=seed)[0] for _ in range(12)) > 0.1


# --- voices ---------------------------------------------------------------------------------------------------------
def placed(data, seed, mean, std, window=58):
    """Each recording somewhere in a window twice as long as the longest, and the mask of where it is."""
    rng = np.random.default_rng(seed)
    x, mask = np.zeros((len(data), window, 12)), np.zeros((len(data), window))
    for row, (values, real) in enumerate(zip(data.x, data.mask, strict=True)):
        begin = rng.integers(0, window - real.sum() + 1)
        x[row, begin : begin + real.sum()] = (values[real] - mean) / std
        mask[row, begin : begin + real.sum()] = 1
    return x, mask


@pytest.fixture(scope="module")
def voices():
    """Rows to learn from and to be judged on: (x, mask), label."""
    train, test = kj.data.load("japanese_vowels").split()
    mean, std = train.x[train.mask].mean(0), train.x[train.mask].std(0)
    return (placed(train, 1, mean, std), train.y), (placed(test, 2, mean, std), test.y)


def accuracy(make, voices, epochs, rate, masked=True, seeds=(0,)):
    """The mean share of test utterances whose speaker is named, over seeds."""
    (x, y), (x_new, y_new) = voices
    x, x_new = (x, x_new) if masked else (x[0], x_new[0])
    found = []
    for seed in seeds:
        net = make()
        net.fit(x, y, loss="cross_entropy", optimizer=kj.optim.Adam(rate), epochs=epochs, batch_size=30, seed=seed)
        found.append((net.predict_labels(x_new) == y_new).mean())
    return float(np.mean(found))


@pytest.mark.long
def test_a_gru_knows_a_voice_at_any_time(voices):
    """One seed: 95 % at least, where a perceptron with nineteen times as many weights stays below 90 %."""
    assert accuracy(lambda: reading(kj.nn.GRU(32), 58, 12, 9), voices, 25, 0.003) >= 0.95
    assert accuracy(lambda: perceptron(128, 9), voices, 60, 0.001, masked=False) < 0.90


@pytest.mark.long
def test_voices_at_any_time_over_five_seeds(voices):
    """The means the page on sequences states, to within a point."""
    how = {"seeds": range(5)}
    assert abs(accuracy(lambda: reading(kj.nn.GRU(32), 58, 12, 9), voices, 30, 0.003, **how) - 0.974) < 0.01
    assert abs(accuracy(lambda: reading(kj.nn.LSTM(32), 58, 12, 9), voices, 30, 0.003, **how) - 0.962) < 0.01
    both = lambda: reading(kj.nn.Bidirectional(kj.nn.LSTM(16)), 58, 12, 9)  # noqa: E731
    assert abs(accuracy(both, voices, 30, 0.003, **how) - 0.973) < 0.01
    assert abs(accuracy(lambda: Attending(9), voices, 60, 0.003, **how) - 0.970) < 0.01
    assert accuracy(lambda: perceptron(128, 9), voices, 60, 0.001, masked=False, **how) < 0.88
