"""History: what is put in comes out, joined runs number on, and its files are read by others."""

import csv
import json
import math
import sys
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kedja.errors import DataError, FormatError, KedjaError, ShapeError, UnknownNameError
from kedja.train.history import History

names = st.text(min_size=1, max_size=12).filter(lambda name: name != "epoch")
finite_or_nan = st.one_of(st.just(math.nan), st.floats(allow_nan=False, allow_infinity=False))
plain_settings = st.dictionaries(
    st.text(max_size=8),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)


@st.composite
def histories(draw):
    history = History(
        stopped=draw(st.text(max_size=30)),
        seconds=draw(st.floats(0, 1e6)),
        steps=draw(st.integers(0, 2**40)),
        seed=draw(st.none() | st.integers(0, 2**63)),
        engine=draw(st.sampled_from(["", "xla", "reference"])),
        compile_seconds=draw(st.floats(0, 1e3)),
        settings=draw(plain_settings),
    )
    epochs = sorted(draw(st.sets(st.integers(0, 10**9), max_size=20)))
    columns = draw(st.lists(names, max_size=4, unique=True))
    history.extend(
        epochs, {c: draw(st.lists(finite_or_nan, min_size=len(epochs), max_size=len(epochs))) for c in columns}
    )
    return history


def run(**columns):
    history = History()
    history.extend(range(1, 1 + len(next(iter(columns.values())))), columns)
    return history


@given(histories())
def test_jsonl_round_trip(tmp_path_factory, history):
    """A History written to JSON lines reads back equal, whatever its names, figures and settings."""
    path = tmp_path_factory.mktemp("run") / "history.jsonl"
    history.to_jsonl(path)
    assert History.from_jsonl(path) == history


@given(histories())
def test_rows_one_by_one_equal_rows_at_once(history):
    """Appending epochs singly gives the same History as extending it by all of them."""
    slow = History(**history._head())
    for row, epoch in enumerate(history.epoch):
        slow.append(epoch, {name: values[row] for name, values in history.metrics.items()})
    assert slow.epoch == history.epoch
    if len(history):
        assert slow == history


@given(histories(), histories())
def test_joined_runs_number_on(first, second):
    """A continued run has every row of both, and epoch numbers that only rise."""
    both = first + second
    assert len(both) == len(first) + len(second)
    assert both.epoch[: len(first)] == first.epoch
    assert all(a < b for a, b in zip(both.epoch, both.epoch[1:], strict=False))
    for name in second.metrics:
        np.testing.assert_array_equal(both[name][len(first) :], second[name])
    assert both.steps == first.steps + second.steps


def test_joined_run_keeps_gaps_of_numbers_that_come_after():
    """A second run that already counts on from the first is taken as it is."""
    second = History(stopped="diverged: the loss is nan")
    second.append(7, {"loss": 1.0})
    joined = run(loss=[3.0, 2.0]).merge(second)
    assert joined.epoch == [1, 2, 7] and joined.stopped == "diverged: the loss is nan"


def test_metric_that_comes_later_is_nan_before():
    """An epoch in which a metric was not measured holds nan for it, also beyond the first allocation."""
    history = History()
    for epoch in range(1, 41):
        history.append(epoch, {"loss": 1.0, **({"val_loss": float(epoch)} if epoch % 10 == 0 else {})})
    assert np.flatnonzero(np.isfinite(history["val_loss"])).tolist() == [9, 19, 29, 39]


def test_hundred_thousand_epochs_cost_milliseconds():
    """Extending by 100,000 epochs does no Python work per epoch."""
    losses = np.linspace(1, 0, 100_000)
    start = time.perf_counter()
    history = run(loss=losses)
    assert history["loss"][-1] == 0 and len(history) == 100_000
    assert time.perf_counter() - start < 0.1


def test_values_cannot_be_changed_and_do_not_grow():
    """What indexing returns is read-only, and stays as it was when epochs are added."""
    history = run(loss=[2.0, 1.0])
    values = history["loss"]
    history.append(3, {"loss": 0.5})
    assert values.tolist() == [2.0, 1.0]
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 0.0


def test_best_knows_which_way_is_better():
    """Losses are best when smallest, accuracies when largest, nan never, and mode overrules."""
    history = run(val_loss=[math.nan, 0.5, 0.7], val_accuracy=[0.6, 0.9, math.inf])
    assert history.best("val_loss") == (2, 0.5)
    assert history.best("val_accuracy") == (2, 0.9)
    assert history.best("val_accuracy", mode="min") == (1, 0.6)


def test_infinity_is_written_as_null(tmp_path):
    """The file stays JSON that any reader accepts, and reads back as nan."""
    run(loss=[math.inf, math.nan]).to_jsonl(tmp_path / "h.jsonl")
    rows = [json.loads(line, parse_constant=pytest.fail) for line in (tmp_path / "h.jsonl").read_text().splitlines()]
    assert rows[1] == {"epoch": 1, "loss": None}
    assert np.isnan(History.from_jsonl(tmp_path / "h.jsonl")["loss"]).all()


def test_csv_and_pandas_agree(tmp_path):
    """pandas reads from the CSV file what to_pandas gives."""
    history = run(**{"loss": [0.1, 1e-300], 'odd, "name"': [math.nan, 2.0]})
    history.to_csv(tmp_path / "h.csv")
    read = pd.read_csv(tmp_path / "h.csv", index_col="epoch", float_precision="round_trip")
    pd.testing.assert_frame_equal(read, history.to_pandas())
    with open(tmp_path / "h.csv", newline="") as file:
        assert next(csv.reader(file)) == ["epoch", "loss", 'odd, "name"']


def test_a_failed_write_leaves_the_old_file(tmp_path):
    """A file that cannot be replaced leaves no draft behind."""
    (tmp_path / "h.csv").mkdir()
    with pytest.raises(OSError):
        run(loss=[1.0]).to_csv(tmp_path / "h.csv")
    assert [entry.name for entry in tmp_path.iterdir()] == ["h.csv"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": "kedja history", "version": 99}',
        "\x00\xff",
        "[" * 100_000,
        "HEAD\n[1]",
        'HEAD\n{"epoch": 1}',
        'HEAD\n{"epoch": true, "loss": 1}',
        'HEAD\n{"epoch": 1, "loss": "1"}',
        'HEAD\n{"epoch": 1, "loss": NaN}',
        'HEAD\n{"epoch": 2, "loss": 1}\n{"epoch": 1, "loss": 1}',
        'HEAD\n{"epoch": 99999999999999999999, "loss": 1}',
        'HEAD\n{"epoch": 1, "loss": 1' + "0" * 400 + "}",
    ],
)
def test_damaged_file_is_refused(tmp_path, text):
    """A foreign, cut or tampered file raises FormatError that names the file."""
    run(loss=[1.0]).to_jsonl(tmp_path / "h.jsonl")
    head = (tmp_path / "h.jsonl").read_text().splitlines()[0]
    (tmp_path / "h.jsonl").write_bytes(text.replace("HEAD", head).encode("latin-1"))
    with pytest.raises(FormatError, match=r"h\.jsonl"):
        History.from_jsonl(tmp_path / "h.jsonl")


def test_bad_input_is_refused():
    """Falling epochs, wrong lengths, reserved or unknown names each raise what they are."""
    history = run(loss=[1.0, 2.0])
    with pytest.raises(DataError, match="epoch 2 after epoch 2"):
        history.append(2, {"loss": 1.0})
    with pytest.raises(DataError, match="rise"):
        history.extend([4, 3], {"loss": [1.0, 1.0]})
    with pytest.raises(DataError, match="whole numbers"):
        history.extend([3.5], {"loss": [1.0]})
    with pytest.raises(ShapeError, match="one value each"):
        history.extend([3, 4], {"loss": [1.0]})
    with pytest.raises(DataError, match="metric is named"):
        history.append(3, {"epoch": 1.0})
    with pytest.raises(UnknownNameError, match="Did you mean 'loss'"):
        history["los"]
    with pytest.raises(DataError, match="no finite value"):
        run(loss=[math.nan]).best()
    assert len(history) == 2 and list(history.metrics) == ["loss"]


def test_plot_has_a_panel_per_metric(tmp_path):
    """Loss and validation loss share a panel; a loss over three decades is logarithmic; the file is an image."""
    history = run(loss=[1.0, 1e-3], val_loss=[1.1, 2e-3], accuracy=[0.5, 1.0])
    figure = history.plot(tmp_path / "curves.png")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["loss", "accuracy"]
    assert [len(ax.lines) for ax in figure.axes] == [2, 1]
    assert [ax.get_yscale() for ax in figure.axes] == ["log", "linear"]
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"


def test_plot_draws_on_given_axes():
    """With ax the panels are drawn there, and their Figure is returned."""
    from matplotlib.figure import Figure

    figure = Figure()
    ax = figure.subplots()
    assert run(loss=[2.0, math.nan, 1.0]).plot(ax=ax) is figure
    assert len(ax.lines) == 1


def test_plot_without_matplotlib_says_what_to_install(monkeypatch):
    """Where matplotlib is missing, the error is the command that installs it."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(KedjaError, match=r'pip install "kedja\[plot\]"'):
        run(loss=[1.0]).plot()


def test_nothing_to_plot_is_said():
    """A History of no epochs is not drawn as an empty picture."""
    with pytest.raises(DataError, match="no epochs"):
        History().plot()
