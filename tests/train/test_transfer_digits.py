"""Transfer shown on real digits (scope 5, 6): 0-4 are learned first, then 5-9 from few examples of each."""

import numpy as np
import pytest
import scipy.stats

import kedja as kj

RATES = {"scratch": 6e-3, "frozen": 6e-3, "transfer": 6e-3}  # the best of some, on other draws than are judged here
DRAWS = range(8)


def digits():
    """Pixels and labels; the rows of 0-4, and of 5-9 the half that examples are drawn from and the half that judges."""
    x, y = (np.asarray(part) for part in kj.data.load("mnist_5k"))
    low, high = np.flatnonzero(y < 5), np.flatnonzero(y >= 5)
    pool, judges = kj.data.split_rows(len(high), test=0.5, stratify=y[high], seed=0)
    return x, y, low, high[pool], high[judges]


def network(*first):
    """A small convolutional network for five classes; `first` before the convolutions."""
    layers = [
        kj.nn.Reshape((28, 28, 1)),
        *first,
        kj.nn.Conv2D(8, 5, "relu", init="he"),
        kj.nn.MaxPool2D(2),
        kj.nn.Conv2D(16, 5, "relu", init="he"),
        kj.nn.MaxPool2D(2),
        kj.nn.Flatten(),
        kj.nn.Dropout(0.3),
        kj.nn.Dense(64, "relu", init="he"),
        kj.nn.Dropout(0.3),
        kj.nn.Dense(5),
    ]
    return kj.Sequential(layers)


def fitted(net, x, y, rate, epochs, batch, seed):
    """The network after Adam with a rate that falls to 0 along a cosine."""
    rule = kj.optim.Adam(kj.schedules.Cosine(rate, epochs * -(-len(x) // batch)))
    net.fit(x, y, loss="cross_entropy", optimizer=rule, epochs=epochs, batch_size=batch, seed=seed, verbose=0)
    return net


def source(x, y, epochs):
    """What 0-4 taught, behind random affine maps: a network without those maps, with the weights."""
    seen = fitted(network(kj.nn.RandomAffine(rotation=10, shift=0.08, zoom=0.1, shear=10)), x, y, 2e-3, epochs, 64, 0)
    net = network().build((None, 784), seed=0)
    net.set_weights(seen.get_weights())
    return net


def examples(y, pool, each, draw):
    """So many rows of each class, drawn anew for each number."""
    rng = np.random.default_rng(1000 + draw)
    return np.concatenate([rng.permutation(pool[y[pool] == c])[:each] for c in range(5, 10)])


def accuracies(ways, each, draws, epochs, *, learned, data):
    """Of each way to begin, the accuracy on the judging rows for every draw; all ways see the same examples."""
    x, y, _, pool, judges = data
    nets = {"scratch": network(), "transfer": learned.with_head(kj.nn.Dense(5, name="new"))}
    nets["frozen"] = learned.with_head(kj.nn.Dense(5, name="new")).freeze(upto="flatten_1")
    body = learned.get_weights()[:-2]
    found = {way: [] for way in ways}
    for draw in draws:
        rows = examples(y, pool, each, draw)
        for way in ways:
            net = nets[way].build((None, 784), seed=draw).reset(draw)
            if way != "scratch":
                net.set_weights([*body, *net.get_weights()[-2:]])
            fitted(net, x[rows], y[rows] - 5, RATES[way], epochs, 20, draw)
            found[way].append(float((net.predict_labels(x[judges]) == y[judges] - 5).mean()))
    return {way: 100 * np.array(values) for way, values in found.items()}


def test_a_few_steps_from_twenty_examples_a_class():
    """Thirty steps from 20 examples a class: with what 0-4 taught it is ahead by points, in the mean of three draws."""
    x, y, low, *_ = data = digits()
    learned = source(x[low], y[low], 5)
    found = accuracies(["scratch", "transfer"], 20, range(3), 6, learned=learned, data=data)
    assert found["transfer"].mean() > found["scratch"].mean() + 4, found


@pytest.mark.long
def test_from_two_to_twenty_examples_a_class():
    """The table of docs/transfer.md: gains paired over draws, larger the fewer the examples, and real by a t-test."""
    x, y, low, *_ = data = digits()
    learned = source(x[low], y[low], 20)
    gains = []
    for each, epochs in ((2, 300), (5, 240), (20, 60)):  # 300, 480 and 300 steps
        found = accuracies(["scratch", "frozen", "transfer"], each, DRAWS, epochs, learned=learned, data=data)
        gain = found["transfer"] - found["scratch"]
        gains.append(gain.mean())
        sure = scipy.stats.ttest_rel(found["transfer"], found["scratch"])
        low_end, high_end = sure.confidence_interval(0.95)
        told = ", ".join(f"{way} {v.mean():.1f} ± {v.std(ddof=1):.1f}" for way, v in found.items())
        print(
            f"{each} a class: {told}; gain {gain.mean():+.1f} ({low_end:+.1f} to {high_end:+.1f}), p {sure.pvalue:.1g}"
        )
        assert gain.mean() > 0 and sure.pvalue < 0.05
    assert gains[0] > gains[-1]
