"""Training on data that are read meanwhile: the bits of training in memory, ragged and broken batches, what waits."""

import subprocess
import sys
import time
from itertools import islice

import numpy as np
import pytest

import kedja as kj
from kedja.errors import DataError, DivergedError, GraphError, ShapeError
from kedja.ops.random import key_words
from kedja.train import streaming
from kedja.train.row_order import RowOrder

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 6)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)
HOW = {"loss": "cross_entropy", "epochs": 3, "batch_size": 32, "seed": 3, "engine": "reference"}


def network(norm=False):
    """A small classifier, with batch normalisation on demand."""
    return kj.Sequential([kj.nn.Dense(5, activation="tanh"), *([kj.nn.BatchNorm()] if norm else []), kj.nn.Dense(2)])


def same(a, b):
    """Whether two models have the same bits."""
    return all(np.array_equal(p, q) for p, q in zip(a.get_weights(), b.get_weights(), strict=True))


@pytest.fixture
def source(tmp_path):
    """X and Y in files."""
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    return kj.data.npy(tmp_path / "x.npy", tmp_path / "y.npy")


@pytest.fixture
def small_buffers(monkeypatch):
    """Buffers of two batches, so that an epoch needs several."""
    monkeypatch.setattr(streaming, "BUFFER_BYTES", 2 * 32 * (6 * 4 + 8))


def in_small_blocks(source):
    """The source as a large file is read: blocks of 8 rows, windows of 40."""
    source.block, source.window = 8, 40
    return source


@pytest.mark.parametrize("engine", ["reference", "xla"])
@pytest.mark.parametrize("norm", [False, True])
def test_files_train_to_the_bits_of_arrays(source, small_buffers, engine, norm):
    """Shuffled, with a ragged last batch and a validation share: weights and History are those of arrays."""
    nets = [network(norm), network(norm)]
    how = {**HOW, "engine": engine, "validation": 0.2, "metrics": ["accuracy"]}
    first, second = nets[0].fit(X, Y, **how), nets[1].fit(source, **how)
    assert same(*nets)
    assert first.metrics == second.metrics and first.steps == second.steps
    assert nets[0].evaluate(X, Y) == nets[1].evaluate(source)
    assert np.array_equal(nets[0].predict(X), nets[1].predict(source))


def test_a_shuffle_by_blocks_is_the_same_training_in_that_order(source, small_buffers):
    """Arrays put into the order of the blocks by hand give the same bits, epoch by epoch."""
    nets = [network(), network()]
    nets[0].fit(in_small_blocks(source), **HOW)
    order = RowOrder(key_words(3), 300, 8, 40, shuffle=True)
    for epoch in range(3):
        rows = order.rows(epoch, 0, 300)
        nets[1].fit(X[rows], Y[rows], shuffle=False, **{**HOW, "epochs": 1})
    assert same(*nets)


def test_the_order_by_blocks_is_one_of_all_rows_and_of_seed_and_epoch_alone():
    """Every row once, read in any pieces; another one in another epoch or for another seed; neighbours part."""
    order = RowOrder(key_words(1), 1003, 10, 100, shuffle=True)
    whole = order.rows(0, 0, 1003)
    assert np.array_equal(np.sort(whole), np.arange(1003))
    pieces = [order.rows(0, at, at + 64) for at in range(0, 1003, 64)]
    assert np.array_equal(np.concatenate(pieces), whole)
    others = [order.rows(1, 0, 1003), RowOrder(key_words(2), 1003, 10, 100, shuffle=True).rows(0, 0, 1003)]
    assert all((whole == other).mean() < 0.02 for other in others)
    assert (np.diff(whole) == 1).mean() < 0.05 and len(set((whole[:100] // 10).tolist())) == 10


def test_a_run_continued_is_the_run_in_one_go(source, small_buffers):
    """Two epochs and one more are three."""
    nets = [network(), network()]
    nets[0].fit(in_small_blocks(source), **HOW)
    nets[1].fit(source, **{**HOW, "epochs": 2})
    nets[1].fit(source, **{**HOW, "epochs": 1})
    assert same(*nets)


@pytest.mark.parametrize("form", ["source", "batches"])
def test_a_run_resumed_inside_an_epoch_is_the_run_in_one_go(source, small_buffers, tmp_path, form):
    """From a checkpoint after 7 of 10 steps, rows before it are passed over."""

    data = in_small_blocks(source) if form == "source" else kj.data.batches(ragged, steps=10)

    class Crash(kj.callbacks.Callback):
        every = 9

        def after_step(self, run, step, figures):
            raise RuntimeError("a power cut")

    nets = [network(), network(), network()]
    nets[0].fit(data, **HOW)
    checkpoint = kj.callbacks.Checkpoint(tmp_path / "run", every=7)
    with pytest.raises(RuntimeError, match="a power cut"):
        nets[1].fit(data, callbacks=[checkpoint, Crash()], **HOW)
    nets[2].fit(data, callbacks=[kj.callbacks.Checkpoint(tmp_path / "run", every=7)], resume=tmp_path / "run", **HOW)
    assert same(nets[0], nets[2])


def ragged():
    """Ten batches, the last of 12 rows."""
    for at in range(0, 300, 32):
        yield X[at : at + 32], Y[at : at + 32]


class Loader:
    """What a loader is to kedja: something to go through again, with or without a length."""

    def __iter__(self):
        return ragged()


class Counted(Loader):
    """The same with a length."""

    def __len__(self):
        return 10


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize(
    "make", [lambda: ragged, Loader, Counted, lambda: kj.data.batches(ragged, steps=10)],
    ids=["function", "loader", "counted", "steps"],
)  # fmt: skip
def test_batches_train_as_rows_in_that_order_do(small_buffers, make, norm):
    """A ragged last batch counts as in memory: the weights agree to rounding, the figures too."""
    nets = [network(norm), network(norm)]
    first = nets[0].fit(X, Y, shuffle=False, **HOW)
    second = nets[1].fit(make(), **HOW)
    assert max(np.abs(a - b).max() for a, b in zip(nets[0].get_weights(), nets[1].get_weights(), strict=True)) < 1e-6
    assert np.allclose(first["loss"], second["loss"], rtol=1e-6) and second.steps == 30
    assert nets[1].predict(make()).shape == (300, 2)
    assert nets[1].evaluate(make())["loss"] == pytest.approx(nets[1].evaluate(X, Y)["loss"], rel=1e-6)


def test_full_batches_train_to_the_bits_of_arrays():
    """Without a ragged one nothing differs."""
    nets = [network(), network()]
    nets[0].fit(X[:288], Y[:288], shuffle=False, **HOW)
    nets[1].fit(lambda: ((X[at : at + 32], Y[at : at + 32]) for at in range(0, 288, 32)), **HOW)
    assert same(*nets)


def test_loaders_of_pytorch_are_taken_as_they_are():
    """A DataLoader of tensors: the same training as PyTorch's own rows as arrays, and nothing of torch in kedja."""
    torch = pytest.importorskip("torch")
    rows = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    loader = torch.utils.data.DataLoader(rows, batch_size=32, drop_last=True)
    nets = [network(), network()]
    nets[0].fit(X[:288], Y[:288], shuffle=False, **HOW)
    nets[1].fit(loader, validation=loader, **HOW)
    assert same(*nets) and "val_loss" in nets[1].history


def test_a_generator_trains_for_one_epoch():
    """Its one epoch counts; asked for more, it says where it ended, and the weights of that epoch stay."""
    nets = [network(), network()]
    nets[0].fit(ragged(), **{**HOW, "epochs": 1})
    with pytest.raises(DataError, match="ended in epoch 1 after 10 batches, and epoch 2 has none"):
        nets[1].fit(ragged(), **HOW)
    assert same(*nets)


def test_weights_of_rows_come_with_the_batches():
    """(x, y, weight) is fit with sample_weight."""
    weight = RNG.uniform(size=300).astype(np.float32)
    nets = [network(), network()]
    nets[0].fit(X, Y, shuffle=False, sample_weight=weight, **HOW)
    nets[1].fit(lambda: ((X[a : a + 32], Y[a : a + 32], weight[a : a + 32]) for a in range(0, 300, 32)), **HOW)
    assert max(np.abs(a - b).max() for a, b in zip(nets[0].get_weights(), nets[1].get_weights(), strict=True)) < 1e-6


@pytest.mark.parametrize(
    "more", [{"sample_weight": np.linspace(0.5, 2, 300)}, {"class_weight": "balanced"}, {"class_weight": {0: 1, 1: 4}}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("validation", [None, 0.25])
def test_sources_are_weighed_as_arrays_are(source, more, validation):
    """Weights of rows and classes, also of the part that is learned from."""
    nets = [network(), network()]
    nets[0].fit(X, Y, validation=validation, **HOW, **more)
    nets[1].fit(source, validation=validation, **HOW, **more)
    assert same(*nets)


def test_a_source_that_is_one_batch_is_arrays(source):
    """batch_size=None, a batch larger than the source, and L-BFGS take all rows at once."""
    for more in ({"batch_size": None}, {"batch_size": 1000}, {"optimizer": kj.optim.LBFGS()}):
        nets = [network(), network()]
        nets[0].fit(X, Y, validation=0.2, **{**HOW, **more})
        nets[1].fit(source, validation=0.2, **{**HOW, **more})
        assert same(*nets)


def test_preprocessing_is_adapted_to_the_rows_that_are_learned_from(source):
    """A Normalize at the front gets the mean of the training part; of batches it has to be told."""
    nets = [kj.Sequential([kj.nn.Normalize(), kj.nn.Dense(2)]) for _ in range(2)]
    nets[0].fit(X, Y, validation=0.2, **HOW)
    nets[1].fit(source, validation=0.2, **HOW)
    assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(nets[0].get_weights(), nets[1].get_weights(), strict=True))
    with pytest.raises(GraphError, match="adapt it to some of the training rows first"):
        kj.Sequential([kj.nn.Normalize(), kj.nn.Dense(2)]).fit(ragged, **HOW)


def test_callbacks_of_steps_hear_of_streams(source, small_buffers):
    """after_step at its cadence across buffers; skip_epoch goes to the next epoch's first rows."""
    heard = []

    class Listener(kj.callbacks.Callback):
        every = 4

        def after_step(self, run, step, figures):
            heard.append(step)
            if step == 4:
                run.skip_epoch()

    history = network().fit(source, callbacks=[Listener()], **HOW)
    assert heard == [4, 12, 16, 20, 24, 28] and history.steps == 24


# --- what is broken ---------------------------------------------------------------------------------------------------
def with_batch(number, batch):
    """`ragged` with another batch in one place (from 0)."""

    def made():
        for i, usual in enumerate(ragged()):
            yield batch if i == number else usual

    return made


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ((X[:32, :5], Y[:32]), r"batch 3: its rows have the shape \(5,\), those of the first batch \(6,\)"),
        ((X[:32], Y[:31]), "batch 3: x has 32 rows and y has 31"),
        ((X[:40], Y[:40]), "batch 3 has 40 rows, the first batch had 32"),
        ((np.full((32, 6), "a"), Y[:32]), "batch 3: x has the text 'a' at row 0"),
        ((np.full((32, 6), np.nan), Y[:32]), "batch 3: x has nan at row 0"),
        ((X[:32], Y[:32] + 2), "batch 3: .*outside"),
        (X[:32], "batch 3: it has no targets"),
        ({"x": X[:32]}, "batch 3: a batch is .* got a dictionary"),
        ((X[:0], Y[:0]), "batch 3: x is empty"),
    ],
)
def test_broken_batches_are_named(batch, message):
    """Epoch and batch are in the message, and what is wrong with it."""
    with pytest.raises((DataError, ShapeError), match=f"epoch 1, {message}"):
        network().fit(with_batch(2, batch), **HOW)


def test_float64_batches_are_taken_as_arrays_are():
    """They become the type of the model, as arrays do."""
    nets = [network(), network()]
    nets[0].fit(lambda: ((X[a : a + 32], Y[a : a + 32]) for a in range(0, 288, 32)), **HOW)
    nets[1].fit(lambda: ((X[a : a + 32].astype(float), Y[a : a + 32].astype("i2")) for a in range(0, 288, 32)), **HOW)
    assert same(*nets)


def test_epochs_of_different_length_are_refused():
    """A shorter second epoch is named; the first one's weights stay."""
    count = iter([10, 7])

    def shrinking():
        yield from islice(ragged(), next(count))

    with pytest.raises(DataError, match="ended in epoch 2 after 7 of 10 batches"):
        network().fit(shrinking, **HOW)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"validation": 0.2}, "validation=0.2 is a share of the rows"),
        ({"class_weight": "balanced"}, "give a number for each class"),
        ({"sample_weight": np.ones(300)}, "let each batch be"),
        ({"optimizer": kj.optim.LBFGS()}, "needs all rows at once"),
        ({"accumulate": 2}, "yield larger ones"),
        ({"y": Y}, "brings its own targets"),
    ],
)
def test_what_batches_cannot_do_is_said(more, message):
    """Shares, balance, weights, minimisers: each with what to do instead."""
    with pytest.raises(DataError, match=message):
        network().fit(ragged, **{**HOW, **more})


def test_errors_of_a_generator_come_through():
    """What a generator raises is raised by fit, from its own line."""

    def broken():
        yield X[:32], Y[:32]
        raise OSError("the network is down")

    with pytest.raises(OSError, match="the network is down"):
        network().fit(broken, **HOW)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x, y: x.__setitem__((217, 3), np.nan), r"x.npy, row 217 of the source: x has nan"),
        (lambda x, y: y.__setitem__(217, 5), r"x.npy, among the rows \d+ to \d+ of the source: .*outside"),
    ],
)
def test_broken_rows_of_a_file_are_named(tmp_path, spoil, message):
    """The number of the row in the file, wherever the shuffle put it."""
    x, y = X.copy(), Y.copy()
    spoil(x, y)
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(DataError, match=message):
        network().fit(kj.data.npy(tmp_path / "x.npy", y), **HOW)


def test_sources_without_targets_are_for_prediction(tmp_path):
    """fit and evaluate ask for targets, predict does not."""
    np.save(tmp_path / "x.npy", X)
    source, net = kj.data.npy(tmp_path / "x.npy"), network().build((None, 6), seed=0)
    assert np.array_equal(net.predict(source), net.predict(X))
    with pytest.raises(DataError, match="no targets to learn"):
        net.fit(source, **HOW)
    with pytest.raises(DataError, match="no targets to compare"):
        net.evaluate(source, loss="cross_entropy")


def test_divergence_is_found_in_a_stream(source, small_buffers):
    """Step, op and row are those that training in memory names, and the weights are those of the last good epoch."""
    x = X.copy()
    x[217] *= np.float32(1e30)
    np.save(source.x.path, x)
    nets, errors = [kj.Sequential([kj.nn.Dense(1)]) for _ in range(2)], []
    for net, data in zip(nets, ((x, X[:, :1]), (kj.data.npy(source.x.path, X[:, :1]), None)), strict=True):
        with pytest.raises(DivergedError) as error:
            net.fit(*data, **{**HOW, "loss": "mse"})
        errors.append(str(error.value))
    assert "row 217 of the data" in errors[0] and errors[0].replace("the data;", "x.npy;") == errors[1]
    assert same(*nets)


def test_a_class_that_is_only_validated_on_is_warned_of(tmp_path):
    """No row of it among those that are learned from, for sources as for arrays."""
    y = np.zeros(300, np.int64)
    keep, held = kj.data.split_rows(300, test=0.2, seed=3)
    y[keep[:100]], y[held] = 1, 2
    np.save(tmp_path / "x.npy", X)
    for data in ((X, y), (kj.data.npy(tmp_path / "x.npy", y, class_names=("a", "b", "c")), None)):
        net = kj.Sequential([kj.nn.Dense(3)])
        with pytest.warns(UserWarning, match="no row of class ('c'|2) is among those that are learned from"):
            net.fit(*data, validation=0.2, **HOW)


def test_refused_calls_leave_the_model_as_it_was(source):
    """A source that does not fit the loss changes nothing."""
    net = network()
    with pytest.raises(DataError):
        net.fit(source, **{**HOW, "validation": 7})
    assert not net.built


# --- waiting and memory -----------------------------------------------------------------------------------------------
def test_waiting_is_measured():
    """A generator that sleeps is waited for, one that is quick is not; the History has a share for each epoch."""

    def slow():
        for batch in ragged():
            time.sleep(0.01)
            yield batch

    history = network().fit(slow, **HOW)
    stalls = history.settings["input_stall"]
    assert len(stalls) == 3 and stalls[-1] > 0.5
    wide = kj.Sequential([kj.nn.Dense(1000), kj.nn.Dense(1000), kj.nn.Dense(2)])
    assert wide.fit(kj.data.ArraySource(X, Y), **HOW).settings["input_stall"][-1] < 0.2


def test_threads_end_with_the_run(source):
    """No thread of a run is left after it, nor after an error, nor after a prediction."""
    import threading

    def ours():
        return [t.name for t in threading.enumerate() if t.name.startswith("kedja")]

    network().fit(source, validation=source, **HOW)
    with pytest.raises(DataError):
        network().fit(with_batch(2, X), **HOW)
    network().build((None, 6), seed=0).predict(source)
    assert ours() == []


MEMORY = """
import os, re, sys
import numpy as np
import kedja as kj

def peak():  # of this process alone: getrusage hands down the parent's
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])

def net():
    return kj.Sequential([kj.nn.Dense(8), kj.nn.Dense(2)])

how = dict(loss="cross_entropy", epochs=1, batch_size=256, seed=0)
n = int(sys.argv[2])
net().fit(np.zeros((1024, 500), np.float32), np.zeros(1024, int), **how)
before = peak()
source = kj.data.npy(sys.argv[1], np.zeros(n, int))
model = net()
mapped = []

class Look(kj.callbacks.Callback):
    every = 100
    def after_step(self, run, step, figures):
        if os.path.exists("/proc/self/maps"):
            mapped.append(os.path.basename(sys.argv[1]) in open("/proc/self/maps").read())

model.fit(source, callbacks=[Look()], **how)
model.evaluate(source)
model.predict(source)
print((peak() - before) // 1024, any(mapped), len(mapped))
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is asked of Linux")
def test_a_file_of_300_megabytes_needs_150(tmp_path):
    """Trained, evaluated and predicted on, a file grows the process by the buffers alone, and is not mapped."""
    rows = 150_000
    path = tmp_path / "large.npy"
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (rows, 500)})
        for _ in range(30):
            file.write(RNG.normal(size=(rows // 30, 500)).astype(np.float32).tobytes())
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(path), str(rows)], capture_output=True, text=True, check=True
    )
    grown, mapped, looked = done.stdout.split()
    assert int(grown) < 150 * (2**20 / 1024 if sys.platform == "darwin" else 1), done.stdout
    assert mapped == "False" and int(looked) > 0
