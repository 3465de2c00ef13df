"""What depends on variables alone is made once, anew as soon as one of them changes, and let go with the model."""

import gc
import threading
import weakref

import numpy as np
import pytest

import kedja as kj
from kedja.engines.xla import hoisting, kernels
from kedja.engines.xla.program import XLAProgram
from kedja.train.training import training_of


def network(seed=0):
    """Convolutions with norms and enough weights that laying them out once is worth a program of its own."""
    n = kj.nn
    net = kj.Sequential(
        [
            n.Conv2D(48, 3, padding="same", use_bias=False, name="first"), n.BatchNorm(name="norm"), n.ReLU(),
            n.Conv2D(96, 3, name="second"), n.BatchNorm(), n.ReLU(), n.GlobalAveragePool(), n.Dense(5, name="last"),
        ]
    )  # fmt: skip
    return net.build((None, 8, 8, 40), seed=seed)


X = np.random.default_rng(0).normal(size=(6, 8, 8, 40)).astype(np.float32)
Y = np.arange(6) % 5


def programs(net):
    """The programs the model is used with."""
    return [p for p in training_of(net).programs.values() if isinstance(p, XLAProgram)]


def hoisted(net):
    """What is kept of each of them."""
    return [p._run for p in programs(net) if isinstance(p._run, hoisting.Hoisted)]


def judged(net, x=X):
    """The prediction of XLA, held to the reference engine's."""
    found = net.predict(x, engine="xla")
    expected = net.predict(x, engine="reference")
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * np.abs(expected).max())
    return found


def counting(net, monkeypatch):
    """How often the early part ran, in a list."""
    ran = []
    for kept in hoisted(net):
        early = kept._early
        monkeypatch.setattr(kept, "_early", lambda values, early=early: (ran.append(1), early(values))[1])
    return ran


def test_it_is_made_once(monkeypatch):
    """Predictions of the same weights share what was made for the first of them, to the same bits."""
    net = network()
    first = judged(net)
    assert len(hoisted(net)) == 1
    ran = counting(net, monkeypatch)
    for _ in range(3):
        np.testing.assert_array_equal(net.predict(X, engine="xla"), first)
    assert ran == []


def test_it_gives_what_a_program_in_one_part_gives(monkeypatch):
    """The parts are the same arithmetic."""
    net = network()
    found = judged(net)
    monkeypatch.setattr(hoisting, "pays", lambda graph: False)
    other = network()
    np.testing.assert_allclose(other.predict(X, engine="xla"), found, rtol=0, atol=1e-6 * np.abs(found).max())
    assert hoisted(other) == [] and hoisted(net) != []


def by_set_weights(net):
    net.set_weights([w + 0.1 for w in net.get_weights()])


def by_assignment(net):
    net.state["first.kernel"].assign(net.state["first.kernel"] * 0.5)


def by_assignment_to_a_statistic(net):
    net.state["norm.mean"].assign(net.state["norm.mean"].numpy() + 1)


def by_fit(net):
    net.fit(X, Y, loss="cross_entropy", optimizer=kj.optim.SGD(0.1), epochs=1, verbose=0, seed=1, engine="xla")


def by_a_step_of_ones_own(net):
    kernel = net.state["second.kernel"]
    step = kj.compile(lambda rate: kernel.update(kernel - rate * kernel) or kj.tensor(0.0), engine="xla")
    step(0.5)


def by_train_on_batch(net):
    net.train_on_batch(X, Y, loss="cross_entropy", optimizer=kj.optim.SGD(0.1))


def by_reset(net):
    net.reset(seed=5)


def by_restore(net):
    net.state.restore({path: 2 * value for path, value in net.state.snapshot().items()})


CHANGES = [
    by_set_weights, by_assignment, by_assignment_to_a_statistic, by_fit, by_a_step_of_ones_own, by_train_on_batch,
    by_reset, by_restore,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda f: f.__name__)
def test_new_weights_are_used_at_once(change):
    """However a variable is changed, the next prediction is that of the new value; going back gives the old bits."""
    net = network()
    before, start = judged(net), net.get_weights()
    kept = hoisted(net)
    assert kept
    change(net)
    assert np.abs(judged(net) - before).max() > 1e-4
    net.set_weights(start)
    np.testing.assert_array_equal(judged(net), before)
    assert all(k in hoisted(net) for k in kept)


def test_weights_of_a_file_are_used_at_once(tmp_path):
    """Loading weights into a model that predicts already."""
    net, other = network(), network(seed=9)
    other.save(tmp_path / "other.safetensors")
    before = judged(net)
    net.load_weights(tmp_path / "other.safetensors")
    found = judged(net)
    assert np.abs(found - before).max() > 1e-4
    np.testing.assert_array_equal(found, judged(other))


def test_changes_between_changes():
    """Many small assignments in turn with predictions, each of them seen."""
    net = network()
    last = net.state["last.kernel"]
    kernel = net.state["first.kernel"]
    for i in range(5):
        (kernel if i % 2 else last).assign((kernel if i % 2 else last) * 1.5)
        judged(net)


def test_evaluation_uses_the_new_weights():
    """The programs that evaluate keep theirs in the same way."""
    net = network()
    loss = [net.evaluate(X, Y, loss="cross_entropy", engine="xla")["loss"]]
    by_set_weights(net)
    loss += [net.evaluate(X, Y, loss="cross_entropy", engine=e)["loss"] for e in ("xla", "reference")]
    assert abs(loss[1] - loss[0]) > 1e-4
    assert loss[1] == pytest.approx(loss[2], rel=1e-4)


def test_validation_in_a_fit_sees_each_epochs_weights():
    """The validation loss of every epoch is that of the reference engine."""
    losses = {}
    for engine in ("xla", "reference"):
        net = network()
        history = net.fit(
            X, Y, loss="cross_entropy", optimizer=kj.optim.SGD(0.05), epochs=4, validation=(X, Y), verbose=0, seed=1,
            engine=engine,
        )  # fmt: skip
        losses[engine] = np.asarray(history["val_loss"])
    assert len(set(losses["xla"].tolist())) == 4
    np.testing.assert_allclose(losses["xla"], losses["reference"], rtol=1e-3)


def test_compiled_functions_see_changed_variables_and_numbers():
    """A number that a function is given may change at every call, and so may a variable between two calls."""
    w = kj.Parameter(np.random.default_rng(0).normal(size=(3, 3, 64, 64)).astype("f"), name="w")
    x = np.random.default_rng(1).normal(size=(1, 6, 6, 64)).astype("f")

    def f(x, strength):
        return kj.conv(x, w * strength, padding="same")

    both = [kj.compile(f, engine=engine) for engine in ("xla", "reference")]
    for change, strength in ((1.0, 1.0), (1.0, 2.0), (3.0, 2.0), (1.0, 1.0)):
        w.assign(w * change)
        ours, theirs = (np.asarray(g(x, strength)) for g in both)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())
    (program, _), *_ = both[0]._programs.values()
    assert isinstance(program._run, hoisting.Hoisted)


def test_values_given_by_hand_are_not_mixed_up():
    """A program called with other values than the variables' own gives what they give."""
    w = kj.Parameter(np.ones((64, 64, 16), np.float32), name="w")
    x = kj.placeholder((64,))
    program = XLAProgram(kj.Graph([x], [(kj.exp(w) * x[:, None, None]).sum()]))
    ones = np.ones(64, np.float32)
    for value in (0.0, 1.0, 0.0, 2.0):
        (found,) = program([np.full(w.shape, value, np.float32)], [ones])[1]
        assert float(found) == pytest.approx(np.exp(value) * w.size, rel=1e-5)
    assert isinstance(program._run, hoisting.Hoisted)


def test_what_was_made_of_old_weights_is_let_go_at_once():
    """Training does not carry packed weights of an earlier time along."""
    net = network()
    judged(net)
    (kept,) = hoisted(net)
    made = [weakref.ref(v) for v in kept._kept.values]
    by_set_weights(net)
    gc.collect()
    assert made and all(m() is None for m in made)


def test_memory_is_free_when_the_model_goes():
    """Nothing holds what was made of a model's weights but its programs."""
    net = network()
    judged(net)
    (kept,) = hoisted(net)
    made = [weakref.ref(v) for v in kept._kept.values]
    del kept, net
    gc.collect()
    assert made and all(m() is None for m in made)


def test_threads_that_predict_while_weights_change():
    """Each prediction is that of some weights the model had, never of a mixture."""
    net = network()
    kernel = net.state["second.kernel"]
    values = [kernel.numpy(), 2 * kernel.numpy()]
    wanted = [judged(net)]
    kernel.assign(values[1])
    wanted.append(judged(net))
    found = []
    threads = [
        threading.Thread(target=lambda: found.extend(net.predict(X, engine="xla") for _ in range(10))) for _ in range(3)
    ]
    for t in threads:
        t.start()
    for i in range(20):
        kernel.assign(values[i % 2])
    for t in threads:
        t.join()
    assert len(found) == 30
    assert all(any(np.array_equal(f, w) for w in wanted) for f in found)


def test_small_networks_and_steps_that_write_stay_whole():
    """Where little is made of variables, or a variable is written, there is one program as ever."""
    net = kj.Sequential([kj.nn.Dense(300), kj.nn.Dense(200)]).build((None, 500), seed=0)
    net.predict(np.ones((2, 500), "f"), engine="xla")
    assert programs(net) and not hoisted(net)
    w = kj.Parameter(np.ones((300, 300), np.float32), name="w")
    step = kj.compile(lambda x: w.update(kj.exp(w) * x.sum()) or kj.tensor(0.0), engine="xla")
    step(np.ones(2, "f"))
    (program, _), *_ = step._programs.values()
    assert not isinstance(program._run, hoisting.Hoisted)


def test_what_only_moves_numbers_is_not_kept():
    """A transposed matrix would be a copy of it for nothing."""
    w = kj.Parameter(np.random.default_rng(0).normal(size=(256, 300)).astype("f"), name="w")
    x = np.ones((2, 300), "f")
    run = kj.compile(lambda x: (x @ w.T, kj.exp(x)), engine="xla")
    np.testing.assert_allclose(np.asarray(run(x)[0]), x @ w.numpy().T, rtol=1e-4)
    (program, _), *_ = run._programs.values()
    assert not isinstance(program._run, hoisting.Hoisted)


@pytest.mark.skipif(not kernels.available(), reason="kernels do not serve here")
def test_with_kernels_by_fours(monkeypatch):
    """Transformed weights are kept, and thrown away, like packed ones."""
    monkeypatch.setenv("KEDJA_KERNELS", "winograd")
    net = network()
    judged(net)
    kinds = {str(v.shape) for k in hoisted(net) for v in k._kept.values}
    monkeypatch.setenv("KEDJA_KERNELS", "llvm")
    other = network()
    judged(other)
    assert kinds != {str(v.shape) for k in hoisted(other) for v in k._kept.values}
    monkeypatch.setenv("KEDJA_KERNELS", "winograd")
    by_set_weights(net)
    judged(net)
