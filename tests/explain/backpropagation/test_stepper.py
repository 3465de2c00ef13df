"""The stepper goes forward, backward, updates and back again, and runs stand side by side."""

from itertools import pairwise

import numpy as np
import pytest

import kedja as kj
from kedja.errors import DataError, UnknownNameError
from kedja.explain.backpropagation.stepping import Stepper

X = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.2, -0.4]])
T = np.array([[1.0], [1.0], [0.0], [0.3]])


def model(*layers: object) -> kj.Sequential:
    """A small model from a seed."""
    return kj.Sequential(list(layers) or [kj.nn.Dense(3, "tanh"), kj.nn.Dense(1)]).build((None, 2), seed=2)


def stepper(**how) -> Stepper:
    """A stepper over the four examples."""
    how = {"loss": "sse", "optimizer": kj.optim.Momentum(0.1), **how}
    return kj.explain.stepper(how.pop("model", None) or model(), X, T, **how)


def seen(s: Stepper) -> tuple:
    """Everything there is to see at a position, to the bit."""
    known = [{k: v.tobytes() for k, v in d.items()} for d in (s.values, s.slopes, s.weights)]
    return s.step, s.position, s.phase, s.loss, str(s), *known


@pytest.mark.parametrize("engine", ["reference", "xla"])
def test_going_back_gives_the_same_bits(engine):
    """Three training steps with dropout, forward and all the way back: every position is what it was."""
    net = model(kj.nn.Dense(4, "relu"), kj.nn.Dropout(0.5), kj.nn.Dense(1))
    s = stepper(model=net, engine=engine)
    count = 2 * len(s) + 5
    there = [seen(s)] + [seen(s.next()) for _ in range(count)]
    back = [seen(s)] + [seen(s.back()) for _ in range(count)]
    assert there == back[::-1]


def test_positions_are_the_lines_of_the_walkthrough():
    """One position for each line forward and backward, and one for the update."""
    s, walk = stepper(), kj.explain.backprop(model(), X, T, loss="sse", optimizer=kj.optim.Momentum(0.1))
    names = [s.next().line.name.text for _ in range(len(s) - 1)]
    assert names == [line.name.text for line in (*walk.forward, *walk.backward)] and s.next().phase == "update"


def test_weights_follow_fit():
    """After three steps the weights are those of three epochs of training on all rows."""
    s, other = stepper(), model()
    for _ in range(3):
        s.finish()
    other.fit(X, T, loss="sse", optimizer=kj.optim.Momentum(0.1), epochs=3, batch_size=None, verbose=0)
    for path, value in s.weights.items():
        assert value == pytest.approx(other.state[path].value, abs=1e-6)


def test_weights_change_at_the_update_and_not_before():
    """Forward and backward only look; the last position moves."""
    s = stepper()
    before = s.weights["dense_1.kernel"]
    s.next(len(s) - 1)
    assert np.array_equal(s.weights["dense_1.kernel"], before) and s.phase == "backward"
    assert not np.array_equal(s.next().weights["dense_1.kernel"], before)


def test_what_is_known_grows():
    """Values come one by one, then slopes."""
    s = stepper()
    sizes = [(len(s.values), len(s.slopes))] + [(len(s.next().values), len(s.slopes)) for _ in range(len(s) - 1)]
    assert all(a <= b for a, b in pairwise(sizes)) and sizes[0] == (0, 0)


def test_seek_and_rewind():
    """Any position of any step can be gone to at once, later ones included."""
    s = stepper()
    for _ in range(2):
        s.finish()
    s.next(3)
    there = seen(s)
    s.rewind()
    assert (s.step, s.position, s.phase) == (0, 0, "start")
    assert seen(stepper().seek(2, 3)) == there == seen(s.seek(2, 3))


def test_the_model_is_not_touched():
    """Stepping changes no weight of the model, and no memory of its optimiser."""
    net = model()
    before = [w.tolist() for w in net.get_weights()]
    stepper(model=net).finish().finish()
    assert [w.tolist() for w in net.get_weights()] == before


def test_batch_statistics_are_part_of_the_state():
    """Running means move with each step, and back again."""
    net = model(kj.nn.Dense(3), kj.nn.BatchNorm(), kj.nn.Dense(1))
    s = stepper(model=net)
    s.seek(2)
    mean = next(v for path, v in net.state.items() if "mean" in path)
    assert not np.array_equal(s.states[0][mean], s.states[1][mean]) and not np.array_equal(
        s.states[1][mean], s.states[2][mean]
    )


@pytest.mark.parametrize(
    ("move", "message"),
    [
        (lambda s: s.back(), "this is the beginning"),
        (lambda s: s.next(-1), "a whole number of at least 0, got -1"),
        (lambda s: s.seek(-1), "there is no position 0 of step -1"),
        (lambda s: s.seek(0, 999), "there is no position 999 of step 0"),
    ],
)
def test_there_is_no_such_position(move, message):
    """Before the beginning and beyond the end there is nothing."""
    with pytest.raises(DataError, match=message):
        move(stepper())


# --- side by side -----------------------------------------------------------------------------------------------------
def rates(*values: float) -> list[dict]:
    """Runs that differ in the learning rate."""
    return [{"name": f"ε = {v}", "optimizer": kj.optim.SGD(v)} for v in values]


def test_learning_rates_side_by_side():
    """Too low is slow, right gets there, too high leaves; all begin at the same loss."""
    c = kj.explain.compare(rates(0.001, 0.1, 3.0), X, T, model=model(), loss="sse", steps=12)
    low, right, high = c.losses
    assert low[0] == right[0] == high[0] and right[-1] < low[-1] < low[0] < high[-1]
    assert "ε = 3.0: rose" in str(c)


def test_each_run_is_the_training_it_stands_for():
    """The losses of a run are those of fit on the same rows."""
    c = kj.explain.compare(rates(0.05), X, T, model=model(), loss="mse", steps=6)
    history = model().fit(X, T, loss="mse", optimizer=kj.optim.SGD(0.05), epochs=7, batch_size=None, verbose=0)
    assert c.losses[0] == pytest.approx(history["loss"], abs=1e-6)


def test_two_activations_from_the_same_weights():
    """Different models begin with the weights of the first."""
    runs = [{"name": a, "model": model(kj.nn.Dense(3, a), kj.nn.Dense(1))} for a in ("tanh", "sigmoid")]
    runs[1]["model"].redraw(9)
    c = kj.explain.compare(runs, X, T, loss="mse", optimizer="sgd", steps=2)
    a, b = (s.weights for s in c.steppers)
    assert all(np.array_equal(a[path], b[path]) for path in a) and c.losses[0, 0] != c.losses[1, 0]


def test_dropout_on_and_off():
    """The same model with and without its dropout."""
    net = model(kj.nn.Dense(16, "relu"), kj.nn.Dropout(0.5), kj.nn.Dense(1))
    c = kj.explain.compare([{}, {"training": False}], X, T, model=net, loss="mse", optimizer="sgd", steps=3)
    assert c.losses[0, 0] != c.losses[1, 0] and c.names == ["run 1", "training=False"]


def test_batches_are_the_same_for_all():
    """With batches every run sees the same rows in the same order, whole epochs through."""
    c = kj.explain.compare(rates(0.1, 0.1), X, T, model=model(), loss="sse", steps=5, batch_size=2, seed=4)
    assert np.array_equal(c.losses[0], c.losses[1])
    first = np.concatenate([batch[0] for batch in c.steppers[0].batches[:2]])
    assert sorted(map(tuple, first.tolist())) == sorted(map(tuple, np.float32(X).tolist()))


def test_all_move_together():
    """next, finish, back and rewind move every run."""
    c = kj.explain.compare(rates(0.01, 0.1), X, T, model=model(), loss="sse", steps=2)
    c.next(2).finish().next().back().back()
    assert [(s.step, s.position) for s in c.steppers] == [(0, len(s) - 1) for s in c.steppers]
    assert [s.position for s in c.rewind().steppers] == [0, 0]


def test_a_run_that_breaks_down_says_when():
    """A loss that is no number any more ends the run and says the step."""
    net = kj.Sequential([kj.nn.Dense(1)]).build((None, 2), seed=0)
    c = kj.explain.compare(rates(1e6), X, T, model=net, loss="sse", steps=12)
    assert "broke down at step" in str(c) and np.isnan(c.losses[0, -1])


@pytest.mark.parametrize(
    ("runs", "how", "error", "message"),
    [
        (rates(1, 2, 3, 4), {}, DataError, "up to 3 runs stand side by side, got 4"),
        ([], {}, DataError, "got 0"),
        (rates(1), {"steps": 0}, DataError, "steps is how many training steps"),
        (rates(1), {"batch_size": 0}, DataError, "batch_size is a whole number"),
        (rates(1), {"model": None}, DataError, "compare needs a model"),
        ([{"rate": 1}], {}, UnknownNameError, "unknown setting of a run 'rate'"),
        ([{}, {"model": model(kj.nn.Dense(2), kj.nn.Dense(1))}], {}, DataError, "cannot start from the same weights"),
    ],
)
def test_bad_comparisons(runs, how, error, message):
    """What cannot stand side by side says why."""
    with pytest.raises(error, match=message):
        kj.explain.compare(runs, X, T, **{"model": model(), "loss": "sse", "optimizer": "sgd", **how})
