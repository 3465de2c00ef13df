"""What callbacks write while a run goes on, read back by others: pandas, json, TensorBoard's own reader."""

import base64
import json
import os
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

import kedja as kj
from kedja.errors import DataError, KedjaError
from kedja.train.callbacks import telling

RNG = np.random.default_rng(3)
X = RNG.normal(size=(10, 3)).astype("float32")
Y = (X @ RNG.normal(size=(3, 1))).astype("float32")


def fitted(*callbacks, epochs=4, net=None, **how):
    """Four steps an epoch."""
    net = net or kj.Sequential([kj.nn.Dense(4, "tanh"), kj.nn.Dense(1)])
    how = {"validation": (X, Y), "batch_size": 3} | how
    history = net.fit(
        X, Y, loss="mse", optimizer=kj.optim.SGD(0.05), epochs=epochs, callbacks=list(callbacks), engine="reference",
        seed=1, verbose=0, **how,
    )  # fmt: skip
    return net, history


class Die(kj.callbacks.Callback):
    """An end that nobody foresaw."""

    def __init__(self, epoch):
        self.epoch = epoch

    def after_epoch(self, run, epoch, figures):
        if epoch == self.epoch:
            raise RuntimeError("killed")


@pytest.mark.parametrize("validation", [(X, Y), None])
def test_csv_has_the_history(tmp_path, validation):
    """pandas reads the numbers of the History, exactly; a second call of `fit` goes on with the file."""
    path = tmp_path / "deep" / "run.csv"
    net, first = fitted(kj.callbacks.CSVLog(path), validation=validation)
    _, second = fitted(kj.callbacks.CSVLog(path), net=net, epochs=2, validation=validation)
    table = pd.read_csv(path, float_precision="round_trip")
    joined = first + second
    assert table["epoch"].tolist() == joined.epoch == [1, 2, 3, 4, 5, 6]
    assert set(table.columns) == {"epoch", *joined.metrics}
    for name, values in joined.metrics.items():
        assert table[name].tolist() == values


def test_jsonl_has_the_steps(tmp_path):
    """A line per step that was asked for, each an object, with numbers that go on from call to call."""
    path = tmp_path / "run.jsonl"
    net, _ = fitted(kj.callbacks.JSONLog(path, every=3), epochs=2)
    fitted(kj.callbacks.JSONLog(path, every=3), net=net, epochs=1)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["step"] for row in rows] == [3, 6, 9, 12]
    assert {"step_loss", "running_loss", "learning_rate"} < set(rows[0])


@pytest.mark.parametrize("kind", [kj.callbacks.CSVLog, kj.callbacks.JSONLog])
@pytest.mark.parametrize("every", ["epoch", 3])
def test_a_resumed_run_has_no_row_twice(tmp_path, kind, every):
    """Killed after rows the checkpoint knows nothing of, with half a line at the end: the file comes out whole."""
    whole, path, folder = tmp_path / "whole", tmp_path / "killed", tmp_path / "run"
    fitted(kind(whole, every), epochs=6)
    with pytest.raises(RuntimeError, match="killed"):
        fitted(kind(path, every), kj.callbacks.Checkpoint(folder, every=10), Die(4), epochs=6)
    with open(path, "ab") as file:
        file.write(b'{"epoch": 9')
    fitted(kind(path, every), kj.callbacks.Checkpoint(folder, every=10), epochs=6, resume=folder)
    assert path.read_bytes() == whole.read_bytes()


def test_a_column_that_comes_later(tmp_path):
    """A figure measured now and then gets its column when it comes; rows before it are empty there."""
    path = tmp_path / "run.csv"
    _, history = fitted(kj.callbacks.Evaluate(X, Y, every="2 epochs"), kj.callbacks.CSVLog(path), epochs=5)
    table = pd.read_csv(path, float_precision="round_trip")
    assert table["train_loss"].notna().tolist() == [False, True, False, True, False]
    np.testing.assert_array_equal(table["train_loss"], history["train_loss"])


def test_files_that_belong_to_others(tmp_path):
    """Another run's rows, another kind of file and a file two callbacks want are refused before anything is learned."""
    path = tmp_path / "run.csv"
    fitted(kj.callbacks.CSVLog(path))
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"rows of another run, up to epoch 4.*overwrite=True"):
        fitted(kj.callbacks.CSVLog(path))
    assert path.read_bytes() == before
    fitted(kj.callbacks.CSVLog(path, overwrite=True), epochs=1)
    assert pd.read_csv(path)["epoch"].tolist() == [1]
    (tmp_path / "notes").write_text("milk\nbread\n")
    with pytest.raises(DataError, match="no log of epochs"):
        fitted(kj.callbacks.CSVLog(tmp_path / "notes"))
    with pytest.raises(DataError, match="two callbacks write"):
        fitted(kj.callbacks.CSVLog(tmp_path / "a"), kj.callbacks.JSONLog(tmp_path / "." / "a"))
    with pytest.raises(KedjaError, match="cannot write"):
        fitted(kj.callbacks.CSVLog(path / "below" / "a.csv"))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a disk that is always full")
def test_a_full_disk_costs_the_log_and_not_the_run(tmp_path):
    """The run goes to its end; one warning says that there are no more rows."""

    class Full(kj.callbacks.JSONLog):
        def before_fit(self, run):
            super().before_fit(run)
            self.file.close()
            self.file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert fitted(Full(tmp_path / "a"))[1].stopped == "ran all 4 epochs"
    assert ["no more rows" in str(w.message) for w in caught] == [True]


@pytest.mark.parametrize(("every", "steps"), [("epoch", [1, 2, 3, 4]), ("2 epochs", [2, 4]), (5, [5, 10, 15])])
def test_log_calls_a_function(every, steps):
    """The function gets a dict and the number, by position, as wandb.log and mlflow.log_metrics take them."""
    calls = []
    _, history = fitted(kj.callbacks.Log(lambda figures, step: calls.append((dict(figures), step)), every))
    assert [step for _, step in calls] == steps
    if every == "epoch":
        assert [figures["val_loss"] for figures, _ in calls] == history["val_loss"].tolist()


def test_evaluate_measures_at_the_end():
    """train_loss is what `evaluate` finds on those rows with that epoch's weights; EarlyStopping can watch it."""
    found = []

    class Check(kj.callbacks.Callback):
        def after_epoch(self, run, epoch, figures):
            found.append((figures["train_loss"], run.model.evaluate(X, Y)["loss"], figures["loss"]))

    stop = kj.callbacks.EarlyStopping("train_loss", patience=99)
    _, history = fitted(Check(), stop, kj.callbacks.Evaluate(X, Y), validation=None)
    np.testing.assert_allclose([a for a, _, _ in found], [b for _, b, _ in found], rtol=1e-6)
    assert history["train_loss"].tolist() == [a for a, _, _ in found] and stop.best == min(history["train_loss"])
    assert all(a != loss for a, _, loss in found)
    for bad in ("val", "", 3):
        with pytest.raises(DataError, match="Evaluate: name"):
            kj.callbacks.Evaluate(X, Y, name=bad)


def test_live_plot_draws_in_one_place(monkeypatch):
    """In a notebook one picture is displayed and then replaced, a PNG each time; outside nothing is drawn."""
    import IPython.display

    shown, updated = [], []

    class Handle:
        def update(self, data, raw):
            updated.append(data)

    monkeypatch.setattr(IPython.display, "display", lambda data, raw, display_id: (shown.append(data), Handle())[1])
    fitted(kj.callbacks.LivePlot(0.0))
    assert not shown
    monkeypatch.setattr(telling, "in_notebook", lambda: True)
    fitted(kj.callbacks.LivePlot(0.0), epochs=3)
    assert len(shown) == 1 and updated
    assert all(base64.b64decode(d["image/png"]).startswith(b"\x89PNG") for d in shown + updated)
    shown.clear(), updated.clear()
    fitted(kj.callbacks.LivePlot(60.0), epochs=3)
    assert len(shown) == 1 and not updated  # the end alone: a minute had not gone by


def read(folder):
    """All there is in a folder, by TensorBoard's own reader."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    keep_all = {"scalars": 0, "images": 0, "histograms": 0}
    return EventAccumulator(str(folder), size_guidance=keep_all).Reload()


def test_tensorboard_reads_what_was_written(tmp_path):
    """Scalars are the History's, histograms count every weight, gradients too, pictures have their sizes."""
    pytest.importorskip("tensorboard")
    pytest.importorskip("tensorboardX")
    pictures = {"grey": np.linspace(0, 1, 20).reshape(4, 5), "made": lambda model: np.zeros((2, 6, 7, 3), "uint8")}
    board = kj.callbacks.TensorBoard(tmp_path, histograms=True, gradients=(X, Y), images=pictures)
    net, history = fitted(board, epochs=3)
    events = read(tmp_path)
    assert set(events.Tags()["scalars"]) == {"loss", "val_loss", "learning_rate"}
    for name in ("loss", "val_loss"):
        scalars = events.Scalars(name)
        assert [s.step for s in scalars] == [1, 2, 3]
        np.testing.assert_allclose([s.value for s in scalars], history[name], rtol=1e-6)
    last = events.Histograms("weights/dense_1.kernel")[-1].histogram_value
    kernel = net.get_weights()[0]
    assert (last.num, last.min, last.max) == (12, pytest.approx(kernel.min()), pytest.approx(kernel.max()))
    assert len(events.Histograms("gradients/dense_2.bias")) == 3
    made = events.Images("made")[-1]
    assert (made.height, made.width % 7) == (6, 0) and (
        events.Images("grey")[0].height,
        len(events.Images("grey")),
    ) == (4, 3)


def test_tensorboard_gradients_are_pytorchs(tmp_path):
    """The sum of squares in the histogram of a gradient is PyTorch's for the same weights and rows."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("tensorboard")
    net = kj.Sequential([kj.nn.Dense(1)])
    fitted(kj.callbacks.TensorBoard(tmp_path, gradients=(X, Y)), net=net, epochs=1)
    linear = torch.nn.Linear(3, 1)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor(net.get_weights()[0].T))
        linear.bias.copy_(torch.tensor(net.get_weights()[1]))
    torch.nn.functional.mse_loss(linear(torch.tensor(X)), torch.tensor(Y)).backward()
    found = read(tmp_path).Histograms("gradients/dense_1.kernel")[0].histogram_value
    assert found.sum_squares == pytest.approx(float((linear.weight.grad**2).sum()), rel=1e-4)


def test_tensorboard_hides_what_is_written_again(tmp_path):
    """After a resumed run there is one value for every epoch, those of the run that was not killed."""
    pytest.importorskip("tensorboard")
    _, history = fitted(epochs=6)
    folder, logs = tmp_path / "run", tmp_path / "logs"
    with pytest.raises(RuntimeError, match="killed"):
        fitted(kj.callbacks.TensorBoard(logs), kj.callbacks.Checkpoint(folder, every=10), Die(5), epochs=6)
    fitted(kj.callbacks.TensorBoard(logs), kj.callbacks.Checkpoint(folder, every=10), epochs=6, resume=folder)
    scalars = read(logs).Scalars("loss")
    assert [s.step for s in scalars] == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose([s.value for s in scalars], history["loss"], rtol=1e-6)


def test_tensorboard_without_its_package(tmp_path, monkeypatch):
    """The message says what to install."""
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(KedjaError, match=r"pip install \"kedja\[tensorboard\]\""):
        fitted(kj.callbacks.TensorBoard(tmp_path))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: kj.callbacks.TensorBoard(3), "folder is a path"),
        (lambda: kj.callbacks.TensorBoard("a", histograms=5), "True or False"),
        (lambda: kj.callbacks.TensorBoard("a", gradients=X), "pair"),
        (lambda: kj.callbacks.TensorBoard("a", images=[X]), "dict"),
        (lambda: kj.callbacks.TensorBoard("a", every="day"), "every is"),
        (lambda: kj.callbacks.CSVLog(3), "path is the file"),
        (lambda: kj.callbacks.CSVLog("a", every=0), "every is"),
        (lambda: kj.callbacks.Log(3), "function"),
        (lambda: kj.callbacks.LivePlot(-1), "seconds"),
        (lambda: kj.callbacks.Evaluate(X, Y, every=3), "end of epochs"),
    ],
)
def test_bad_settings(make, words):
    """The message names the argument."""
    with pytest.raises(DataError, match=words):
        make()
