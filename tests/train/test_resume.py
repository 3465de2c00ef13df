"""A run goes on from a checkpoint to the bits of one that was never interrupted; other runs are refused."""

import re

import numpy as np
import pytest

import kedja as kj
from kedja.errors import DataError, FormatError
from kedja.train.checkpoints import Checkpoints
from train.resumable import CASES, ROW_WEIGHTS, Crash, Halt, X, Y, noisy, options, plain, run

EPOCHS = 6


FAST = [("schedule", "xla"), *((case, "reference") for case in CASES)]
COMPILED = [pytest.param(case, "xla", marks=pytest.mark.long) for case in CASES if case != "schedule"]


@pytest.mark.parametrize(("case", "engine"), [*FAST, *COMPILED])
def test_a_resumed_run_ends_with_the_same_bits(case, engine, tmp_path):
    """Weights, statistics, optimiser's memory, History, callbacks and rate are those of the run that was left alone."""
    steps = 1 if case == "lbfgs" else 5
    whole = run(case, engine, None, EPOCHS)
    for at in (1, 3 * steps + 2):  # a crash in the first epoch, and in the fourth
        folder = tmp_path / str(at)
        with pytest.raises(Halt):
            run(case, engine, folder, EPOCHS, crash=at)
        assert run(case, engine, folder, EPOCHS, resume=folder) == whole


@pytest.mark.parametrize("engine", ["reference", pytest.param("xla", marks=pytest.mark.long)])
def test_a_checkpoint_after_every_step_is_a_place_to_go_on(engine, tmp_path):
    """Crashed again and again, each time two steps further, inside epochs and at their ends."""
    whole = run("schedule", engine, None, 3)
    for at in range(1, 3 * 4, 2):
        with pytest.raises(Halt):
            run("schedule", engine, tmp_path, 3, crash=at, resume=tmp_path)
    assert run("schedule", engine, tmp_path, 3, resume=tmp_path) == whole


def test_a_crash_inside_an_epoch_comes_back_inside_it(tmp_path):
    """The checkpoint holds the epoch's steps so far: the resumed run takes only the others."""
    with pytest.raises(Halt):
        run("adam", "reference", tmp_path, 2, crash=8)
    took = []

    class Count(kj.callbacks.Callback):
        every = "step"

        def after_step(self, run, step, figures):
            took.append(step)

    run("adam", "reference", tmp_path, 2, more=[Count()], resume=tmp_path)
    assert took == list(range(7, 21))  # ten steps an epoch, a checkpoint after every third


def test_a_finished_run_is_not_run_again_and_a_longer_one_goes_on(tmp_path):
    """Resumed at its end it answers as it did; with more epochs it gives what a longer run gives."""
    done = run("adam", "reference", tmp_path, 3)
    assert run("adam", "reference", tmp_path, 3, resume=tmp_path) == done
    assert run("adam", "reference", tmp_path, 5, resume=tmp_path) == run("adam", "reference", None, 5)


def test_a_stopped_run_stays_stopped(tmp_path):
    """Early stopping before the last epoch: the resumed run has its best weights and its reason, and takes no step."""
    stop = {"more": [kj.callbacks.EarlyStopping(patience=1, tolerance=10.0)]}
    ended = run("plateau", "reference", tmp_path, 50, **stop)
    assert "was no better" in ended["stopped"]
    again = run("plateau", "reference", tmp_path, 50, resume=tmp_path, **stop)
    assert again == ended


def test_a_second_call_of_fit_is_resumed_too(tmp_path):
    """Two calls on one model; the second one is crashed and resumed in another process's stead."""

    def first():
        net = plain()
        net.fit(X, Y, loss="mse", epochs=2, batch_size=16, seed=1, engine="reference")
        return net

    keep = kj.callbacks.Checkpoint(tmp_path)
    whole = first()
    history = whole.fit(X, Y, epochs=4, batch_size=16, engine="reference")
    with pytest.raises(Halt):
        first().fit(X, Y, epochs=4, batch_size=16, engine="reference", callbacks=[keep, Crash(18)])
    fresh = plain()
    again = fresh.fit(X, Y, loss="mse", epochs=4, batch_size=16, engine="reference", resume=tmp_path)
    assert again.metrics["loss"] == history.metrics["loss"] and again.epoch == [3, 4, 5, 6]
    assert all((a == b).all() for a, b in zip(whole.get_weights(), fresh.get_weights(), strict=True))


def test_a_seed_that_was_drawn_is_that_of_the_checkpoint(tmp_path):
    """Without a seed the run goes on with the one that was drawn for it."""
    with pytest.raises(Halt):
        run("adam", "reference", tmp_path, 4, crash=25, seed=None)
    resumed = run("adam", "reference", tmp_path, 4, resume=tmp_path, seed=None)
    seed = Checkpoints(tmp_path).newest()[1].facts["identity"]["seed"]
    assert resumed == run("adam", "reference", None, 4, seed=seed)


def test_a_run_that_diverges_goes_back_to_the_same_weights(tmp_path):
    """Resumed inside the epoch that ends in a NaN, it goes back to the end of the last good epoch all the same."""
    x = np.full((32, 2), 1.0, "float32")
    y = np.full((32, 1), 1.0, "float32")

    def diverge(folder, more=(), **how):
        net = kj.Sequential([kj.nn.Dense(1)])
        keep = [kj.callbacks.Checkpoint(folder, every="step")] if folder else []
        with pytest.raises((kj.errors.DivergedError, Halt)) as caught:
            net.fit(x, y, loss="mse", optimizer=kj.optim.SGD(1e4), epochs=50, batch_size=4, seed=0, engine="reference",
                    callbacks=[*keep, *more], **how)  # fmt: skip
        return [w.tobytes() for w in net.get_weights()], str(caught.value)

    whole = diverge(None)
    epoch, step = map(int, re.search(r"in epoch (\d+), step (\d+)", whole[1]).groups())
    assert diverge(tmp_path, [Crash((epoch - 1) * 8 + step - 1)])[1] == ""
    assert diverge(tmp_path, resume=tmp_path) == whole


# --- where to begin -------------------------------------------------------------------------------------------------
def test_nothing_to_resume(tmp_path):
    """An empty or missing folder is refused, unless the same call writes checkpoints there: then the run begins."""
    for folder, said in ((tmp_path, "has no checkpoint"), (tmp_path / "none", "is no folder")):
        net = plain()
        with pytest.raises(FormatError, match=said):
            net.fit(X, Y, loss="mse", resume=folder)
        assert not net.built
    assert run("adam", "reference", tmp_path / "new", 1, resume=tmp_path / "new") == run("adam", "reference", None, 1)
    with pytest.raises(DataError, match="resume is the folder"):
        plain().fit(X, Y, loss="mse", resume=True)


def test_a_folder_with_another_run_is_not_written(tmp_path):
    """Checkpoints of an earlier run are neither mixed with nor removed by a new one."""
    run("adam", "reference", tmp_path, 1)
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(DataError, match="has the checkpoints of a run already"):
        run("adam", "reference", tmp_path, 1)
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_one_callback_serves_several_calls(tmp_path):
    """The same Checkpoint object goes with the model from one call of `fit` to the next."""
    net, keep = plain(), kj.callbacks.Checkpoint(tmp_path)
    for _ in range(2):
        net.fit(X, Y, loss="mse", epochs=2, seed=1, engine="reference", callbacks=[keep])
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


def test_a_refused_call_leaves_no_folder(tmp_path):
    """Where nothing was learned nothing is left."""
    with pytest.raises(DataError):
        plain().fit(X, Y[:-1], loss="mse", callbacks=[kj.callbacks.Checkpoint(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


# --- the best and the last ------------------------------------------------------------------------------------------
def test_the_best_model_lies_beside(tmp_path):
    """folder/best loads as the model of the epoch where the figure was best; the newest `keep` checkpoints stay."""
    net = plain()
    keep = kj.callbacks.Checkpoint(tmp_path, keep=3, best="val_loss")
    seen = {}

    class Watch(kj.callbacks.Callback):
        def after_epoch(self, run, epoch, figures):
            seen[epoch] = run.model.predict(X)

    history = net.fit(X, Y, loss="mse", optimizer=kj.optim.Adam(0.3), epochs=12, validation=0.2, seed=2,
                      engine="reference", callbacks=[Watch(), keep])  # fmt: skip
    epoch, _ = history.best("val_loss")
    assert 1 < epoch < 12
    assert (kj.load(tmp_path / "best").predict(X) == seen[epoch]).all()
    assert len(list(tmp_path.glob("checkpoint-*"))) == 3


def test_the_best_of_a_resumed_run_is_the_best_of_all_epochs(tmp_path):
    """What was best before the crash is not overwritten by something worse after it."""

    def best(folder, more=(), **how):
        keep = kj.callbacks.Checkpoint(folder, best="loss")
        net = plain()
        options = {"loss": "mse", "optimizer": kj.optim.Adam(0.3), "batch_size": 16, "seed": 3, "engine": "reference"}
        net.fit(X, Y, epochs=8, callbacks=[keep, *more], **{**options, **how})
        return kj.load(folder / "best").predict(X)

    whole = best(tmp_path / "whole")
    with pytest.raises(Halt):
        best(tmp_path / "part", [Crash(21)])
    assert (best(tmp_path / "part", resume=tmp_path / "part") == whole).all()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"folder": 3}, "folder is a path"),
        ({"folder": "a", "every": "day"}, "every is"),
        ({"folder": "a", "every": 0}, "every is"),
        ({"folder": "a", "keep": 0}, "keep is how many"),
        ({"folder": "a", "best": 3}, "best is the name"),
    ],
)
def test_wrong_arguments(arguments, said):
    """Each is refused with what it should be."""
    with pytest.raises(DataError, match=said):
        kj.callbacks.Checkpoint(**arguments)


def test_a_figure_nobody_measures(tmp_path):
    """best= names a figure of the run."""
    with pytest.raises(kj.errors.UnknownNameError, match="val_loss"):
        run("adam", "reference", None, 1, more=[kj.callbacks.Checkpoint(tmp_path, best="val_loss")])


# --- other runs -----------------------------------------------------------------------------------------------------
OTHER_X = np.where(np.arange(75)[:, None] == 7, X + 1, X)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 5}, "seed was 4 and is 5"),
        ({"batch_size": 16}, "batch_size was 8 and is 16"),
        ({"loss": "mae"}, "loss.name was 'mse' and is 'mae'"),
        ({"optimizer": kj.optim.SGD(0.01)}, "optimizer.name was 'Adam' and is 'SGD'"),
        ({"optimizer": kj.optim.Adam(0.02)}, "learning_rate was 0.01 and is 0.02"),
        ({"optimizer": kj.optim.Adam(0.01, clip_norm=1.0)}, "optimizer.structure"),
        ({"engine": "xla"}, "engine was 'reference' and is 'xla'"),
        ({"shuffle": False}, "shuffle was True and is False"),
        ({"regularizer": kj.regularizers.L2(0.1)}, "regularizers"),
        ({"metrics": ["mae"]}, "metrics"),
        ({"validation": 0.3}, "validation was not given and is 0.3"),
        ({"sample_weight": None}, "sample_weight"),
        ({"sample_weight": ROW_WEIGHTS + 1}, "sample_weight has other numbers"),
        ({"x": OTHER_X}, "x\\[0\\] has other numbers in it"),
        ({"x": X[:70], "y": Y[:70], "sample_weight": ROW_WEIGHTS[:70]}, "was 75 and is 70"),
        ({"y": -Y}, "y has other numbers"),
        ({"net": plain()}, "model.layers"),
        (
            {"net": noisy(9)},
            "model.layers\\[0\\].units was 8 and is 9",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
def test_another_run_is_refused(change, said, tmp_path):
    """The refusal names what differs, with both values; neither the model nor the folder is touched."""
    run("adam", "reference", tmp_path, 1)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    how = {"net": noisy(), "x": X, "y": Y, **options("adam", "reference"), **change}
    net, x, y = how.pop("net"), how.pop("x"), how.pop("y")
    net.build((None, 5), seed=9)
    start = [w.tobytes() for w in net.get_weights()]
    with pytest.raises(DataError, match=f"(?s)not the run that .*{said}"):
        net.fit(x, y, epochs=3, resume=tmp_path, callbacks=[kj.callbacks.Checkpoint(tmp_path)], **how)
    assert [w.tobytes() for w in net.get_weights()] == start and net._training.epochs == 0
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_missing_callback_is_refused(tmp_path):
    """A callback that remembers something decides the run; one that only tells of it may come and go."""

    class Print(kj.callbacks.Callback):
        """Remembers nothing."""

    run("plateau", "reference", tmp_path, 1, more=[Print()])
    with pytest.raises(DataError, match="callbacks had ReduceOnPlateau, which is missing now"):
        run("adam", "reference", None, 2, resume=tmp_path)
    run("plateau", "reference", tmp_path, 2, resume=tmp_path)


def test_another_kind_of_machine_is_told(tmp_path, monkeypatch):
    """There the bits may be others, which is a warning and no refusal."""
    run("adam", "reference", tmp_path, 1)
    monkeypatch.setattr("platform.machine", lambda: "abacus")
    with pytest.warns(UserWarning, match="here it is abacus"):
        run("adam", "reference", tmp_path, 2, resume=tmp_path)


# --- Ctrl-C inside an epoch -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", ["reference", pytest.param("xla", marks=pytest.mark.long)])
def test_a_second_fit_finishes_the_epoch_that_was_left(engine):
    """Stopped after a step inside an epoch, the next call takes the rest of its steps: bits and figures of one run."""

    class Stop(kj.callbacks.Callback):
        every = "step"

        def after_step(self, run, step, figures):
            if step == 13:
                run.stop("enough")

    whole, parts = noisy(), noisy()
    options = {"loss": "mse", "batch_size": 8, "engine": engine}
    four = whole.fit(X, Y, epochs=4, seed=1, **options)
    first = parts.fit(X, Y, epochs=9, seed=1, callbacks=[Stop()], **options)
    assert (first.stopped, first.steps, len(first)) == ("enough", 13, 1)
    second = parts.fit(X, Y, epochs=3, **options)
    assert second.epoch == [2, 3, 4] and second.steps == 27
    assert (first + second)["loss"].tolist() == four["loss"].tolist()
    assert all((a == b).all() for a, b in zip(whole.get_weights(), parts.get_weights(), strict=True))


@pytest.mark.parametrize(
    ("between", "how"),
    [
        (lambda net: None, {"batch_size": 4}),
        (lambda net: None, {"x": OTHER_X}),
        (lambda net: net.reset(), {}),
        (lambda net: net.train_on_batch(X[:4], Y[:4]), {}),
    ],
    ids=["another batch size", "other rows", "reset", "steps elsewhere"],
)
def test_what_is_no_continuation_begins_an_epoch(between, how):
    """With other rows or batches, or after something else was learned, an epoch has all its steps."""

    class Stop(kj.callbacks.Callback):
        every = "step"

        def after_step(self, run, step, figures):
            run.stop("enough")

    net = plain()
    net.fit(X, Y, loss="mse", batch_size=8, seed=1, engine="reference", callbacks=[Stop()])
    between(net)
    x = how.pop("x", X)
    again = net.fit(x, Y, engine="reference", **{"batch_size": 8, **how})
    assert again.steps == -(-75 // how.get("batch_size", 8))
