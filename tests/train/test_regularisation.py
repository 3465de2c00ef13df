"""Each regulariser makes a net that overfits better on rows it has not seen: measured, seed by seed (scope 5).

The experiment is `overfitting.py`, its strengths were chosen on other rows. A seed is one draw of 300 rows, of the
wrong labels among them, and of starting weights; nets of one seed are compared in pairs. The seeds' draws overlap and
the 800 rows that judge are the same for all: the intervals say how sure the gain is on these digits, not on all data.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import kedja as kj
from kedja.train.training import training_of
from train.overfitting import BATCH, EPOCHS, RATE, REMEDIES, SEEDS, Way, drawn, everything, kept, table

ROOT = Path(__file__).parents[2]
LEAST = 0.05  # by which the held-out loss must be lower, at 99 % confidence; without a remedy it is 2.1
SAMPLE = 3  # seeds of the fast run


@cache
def measured(name, seeds):
    """Training loss, held-out loss and accuracy of each seed."""
    return everything()[name].figures(range(seeds))


def sure_gain(gain):
    """The lower end of a 99 % confidence interval of the mean of paired differences (Student's, one-sided)."""
    return float(np.mean(gain) - stats.t.ppf(0.99, len(gain) - 1) * stats.sem(gain))


def check(name, seeds):
    """The held-out loss is lower for sure, and its distance from the training loss smaller with every seed."""
    without, with_it = measured("nothing", seeds), measured(name, seeds)
    assert sure_gain(without[:, 1] - with_it[:, 1]) > LEAST
    assert (with_it[:, 1] - with_it[:, 0] < without[:, 1] - without[:, 0]).all()
    return without, with_it


@pytest.mark.parametrize("name", [name for name, remedy in REMEDIES.items() if remedy.quick])
def test_it_helps_on_a_sample(name):
    """Three seeds, for what is a number in one and the same program."""
    check(name, SAMPLE)


@pytest.mark.long
@pytest.mark.parametrize("name", REMEDIES)
def test_it_helps(name):
    """Ten seeds: held-out loss and accuracy on right labels are both better for sure."""
    without, with_it = check(name, SEEDS)
    assert sure_gain(with_it[:, 2] - without[:, 2]) > 0


@pytest.mark.long
def test_without_any_of_them_the_net_overfits():
    """It learns the wrong labels by heart: the loss is small on its own rows, and large on others."""
    train, held_out, accuracy = measured("nothing", SEEDS).T
    assert train.max() < 0.3 and held_out.min() > 1.7 and accuracy.max() < 0.85


@pytest.mark.long
def test_what_shared_weights_add_to_few_connections():
    """With the same connections, windows that share their weights know less by heart than those that do not."""
    shared, unshared = (measured(n, SEEDS) for n in ("shared weights (convolution)", "windows, nothing shared"))
    gap = [f[:, 1] - f[:, 0] for f in (unshared, shared)]
    assert sure_gain(gap[0] - gap[1]) > LEAST


@pytest.mark.long
def test_batch_norm_is_no_remedy_here():
    """It fits faster, wrong labels too: for comparison, not as a claim about batch norm elsewhere."""
    without, with_it = measured("nothing", SEEDS), measured("batch norm", SEEDS)
    assert (with_it[:, 0] < without[:, 0]).all() and (with_it[:, 1] > without[:, 1]).all()


def test_all_knobs_at_zero_are_the_plain_net():
    """Noise, dropout, penalties and decay of strength 0 change no weight: what is compared differs in one thing."""
    learn = drawn(0)[0]
    way = Way()
    start = way.net.build((None, 64), seed=0).get_weights()
    bare = kj.Sequential([kj.nn.Dense(100, "relu"), kj.nn.Dense(10)], dtype="float64").build((None, 64))
    bare.set_weights(start)
    bare.fit(
        learn.x, learn.noisy, loss="cross_entropy", optimizer=kj.optim.Adam(RATE), epochs=EPOCHS, batch_size=BATCH,
        seed=0, verbose=0,
    )  # fmt: skip
    way.train(learn.x, learn.noisy, 0)
    for a, b in zip(way.net.get_weights(), bare.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_knobs_compile_nothing():
    """All remedies that are numbers have one program between them."""
    for name, remedy in REMEDIES.items():
        if remedy.quick:
            measured(name, SAMPLE)
    nets = {remedy.make(remedy.chosen).net for remedy in REMEDIES.values() if remedy.quick}
    assert len(nets) == 1
    assert len(training_of(nets.pop()).loops) == 1


def test_the_page_shows_what_was_kept():
    """The table of docs/regularisation.md is that of docs/regularisation.csv, from which its picture is drawn too."""
    page = (ROOT / "docs" / "regularisation.md").read_text(encoding="utf-8")
    assert table(kept()) in page, "python tests/train/overfitting.py --write, and put its table on the page"


@pytest.mark.long
def test_what_was_kept_is_what_is_measured():
    """Every figure of every seed; float64 leaves other machines little room."""
    for name, figures in kept().items():
        np.testing.assert_allclose(measured(name, SEEDS), figures, atol=2e-3, err_msg=name)
