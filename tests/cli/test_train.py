"""`kedja train`: the run folder it leaves, what is held out, and how it refuses, diverges and is interrupted."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import kedja as kj
from kedja.cli import main
from kedja.cli.rows import learnable, parts

FILES = {"config.json", "history.csv", "history.jsonl", "model.json", "report.html"}


def write_table(path, columns, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


@pytest.fixture
def houses(tmp_path):
    """Prices in euros, far from standard units: 40,000 + 1,900 a square metre + 8,000 a room, and a little noise."""
    rng = np.random.default_rng(0)
    area, rooms = rng.uniform(30, 150, 120), rng.integers(1, 6, 120)
    price = 40_000 + 1_900 * area + 8_000 * rooms + rng.normal(0, 2_000, 120)
    rows = [(f"{a:.1f}", r, f"{p:.0f}") for a, r, p in zip(area, rooms, price, strict=True)]
    return write_table(tmp_path / "houses.csv", ["area", "rooms", "price"], rows)


@pytest.fixture
def flowers(tmp_path):
    """Two kinds of flower by two lengths, well apart."""
    rng = np.random.default_rng(1)
    rows = [(*rng.normal(5 * k, 1, 2).round(3), ("aster", "rose")[k]) for k in (0, 1) for _ in range(40)]
    return write_table(tmp_path / "flowers.csv", ["sepal", "petal", "kind"], rows)


def train(out, *words):
    return main(["train", *map(str, words), "--out", str(out), "--quiet"])


def config(run):
    return json.loads((run / "config.json").read_text(encoding="utf-8"))


def weights(run):
    (file,) = run.glob("weights-*.safetensors")
    return file.name


def refusal(capsys, *words):
    """The one line on stderr of a command that is refused with exit code 2."""
    assert main([str(word) for word in words]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("kedja: ") and told.err.count("\n") == 1, told.err
    return told.err


# --- what a run leaves ------------------------------------------------------------------------------------------
def test_run_folder_holds_everything(tmp_path, capsys):
    """Weights, architecture, configuration, history and report; the model loads and answers all four rows of xor."""
    run = tmp_path / "run"
    assert main(["train", "xor", "--seed", "1", "--out", str(run)]) == 0
    told = capsys.readouterr().out
    assert "training accuracy 100.0 %" in told and str(run / "report.html") in told
    assert {path.name for path in run.iterdir()} == FILES | {weights(run)}
    x, y = kj.data.load("xor")
    assert (kj.load(run).predict_labels(x) == y.ravel()).all()
    assert len((run / "history.csv").read_text(encoding="utf-8").splitlines()) == 1_001
    assert kj.History.from_jsonl(run / "history.jsonl").stopped == "ran all 1000 epochs"


def test_stuck_start_is_said(tmp_path, capsys):
    """A network of no hidden layer cannot learn xor, and the summary does not pretend."""
    assert main(["train", "xor", "--hidden", "0", "--epochs", "50", "--seed", "0", "--out", str(tmp_path / "r")]) == 0
    assert "stuck" in capsys.readouterr().out


def test_configuration_repeats_the_run(tmp_path):
    """The command in config.json, with every default written out, gives the very same weights."""
    assert train(tmp_path / "a", "moons", "--epochs", 5) == 0
    said = config(tmp_path / "a")
    assert main([*said["repeat"][1:], "--out", str(tmp_path / "b"), "--quiet"]) == 0
    assert weights(tmp_path / "a") == weights(tmp_path / "b")
    assert {"kedja", "numpy", "jax"} <= said["versions"].keys() and said["status"] == "ran all 5 epochs"


def test_seed_decides_the_weights(tmp_path):
    """The same seed gives the same weights file, another seed another."""
    for run, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert train(tmp_path / run, "iris", "--epochs", 3, "--seed", seed) == 0
    assert weights(tmp_path / "a") == weights(tmp_path / "b") != weights(tmp_path / "c")


def test_regression_is_told_in_units_of_the_user(tmp_path, houses, capsys):
    """Prices of six figures are learned with default settings, and the error is told in euros."""
    run = tmp_path / "run"
    assert main(["train", str(houses), "--target", "price", "--seed", "0", "--out", str(run)]) == 0
    told = capsys.readouterr().out
    assert "'price'" in told and "R²" in told
    result = config(run)["results"]
    assert 1_000 < result["held-out RMSE"] < 20_000 and result["held-out R²"] > 0.95
    assert "predicted − true price" in (run / "report.html").read_text(encoding="utf-8")


def test_classes_of_text(tmp_path, flowers):
    """A target of words is classified; the report names the classes."""
    assert train(tmp_path / "run", flowers, "--target", "kind", "--seed", 0, "--epochs", 60) == 0
    assert config(tmp_path / "run")["results"]["held-out accuracy"] > 0.9
    assert kj.load(tmp_path / "run").info["class_names"] == ["aster", "rose"]
    assert "aster" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("data", "loss"),
    [
        ("iris", "cross_entropy"), ("iris", "mse"), ("xor_cloud", "binary_cross_entropy"), ("xor_cloud", "sse"),
        *(pytest.param(*pair, marks=pytest.mark.long) for pair in (
            ("iris", "binary_cross_entropy"), ("iris", "sse"), ("xor_cloud", "cross_entropy"), ("xor_cloud", "mse"),
        )),
    ],
)  # fmt: skip
def test_every_loss_trains_a_classifier(tmp_path, loss, data):
    """Each loss gets the output layer and the targets it needs, for two classes and for three."""
    assert train(tmp_path / "run", data, "--loss", loss, "--epochs", 60, "--seed", 0, "--learning-rate", 0.03) == 0
    assert config(tmp_path / "run")["results"]["training accuracy"] > 0.8


def test_options_reach_the_network(tmp_path, flowers):
    """Layers, activation, optimiser, batch and columns are those asked for."""
    words = ["--hidden", "7,5", "--activation", "relu", "--optimizer", "sgd", "--learning-rate", 0.05, "--batch-size",
             "all", "--features", "petal", "--validation", 0.25, "--test", 0.5, "--engine", "reference"]  # fmt: skip
    assert train(tmp_path / "run", flowers, "--target", "kind", "--epochs", 4, *words) == 0
    shapes = [v.shape for v in kj.load(tmp_path / "run").state.of_kind("trainable").values()]
    assert shapes == [(1, 7), (7,), (7, 5), (5,), (5, 1), (1,)]
    said = config(tmp_path / "run")
    assert said["data"]["rows"] == {"training": 30, "validation": 10, "held-out": 40}
    history = kj.History.from_jsonl(tmp_path / "run" / "history.jsonl")
    assert history.settings["batch_size"] == 30 and history.settings["optimizer"]["name"] == "SGD"
    assert "val_loss" in history and history.engine == "reference"


# --- what is held out -------------------------------------------------------------------------------------------
def test_scaling_sees_training_rows_only(tmp_path, houses):
    """Mean and spread inside the model are those of the training rows: not of validation or held-out ones."""
    assert train(tmp_path / "run", houses, "--target", "price", "--validation", 0.2, "--epochs", 2, "--seed", 5) == 0
    rows = learnable(str(houses), "price")
    cut = parts(rows, None, 0.2, 5)
    kept = rows.part(cut["training"])
    state = {name: v.value for name, v in kj.load(tmp_path / "run").state.of_kind("statistic").items()}
    means = [value for name, value in state.items() if name.endswith("mean")]
    train_rows, every = (table.numeric(table.columns) for table in (kept.x, rows.x))
    np.testing.assert_allclose(means[0], train_rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(means[1], [kept.y.astype(float).mean()], rtol=1e-5)
    assert abs(means[0] - every.mean(0)).max() > 1e-3


def test_parts_share_no_row_and_keep_the_shares(flowers):
    """Every row is in one part; each class has its share in each; the held-out rows do not depend on the seed."""
    rows = learnable(str(flowers), "kind")
    first, second = parts(rows, None, 0.1, 0), parts(rows, None, 0.1, 1)
    assert sorted(np.concatenate(list(first.values()))) == list(range(80))
    assert np.bincount(rows.y[first["held-out"]]).tolist() == [8, 8]
    assert (first["held-out"] == second["held-out"]).all() and set(first["training"]) != set(second["training"])


def test_digits_are_held_out_where_everyone_does():
    """mnist_5k is cut into its fixed 4,000 and 1,000 rows."""
    cut = parts(learnable("mnist_5k"), None, None, 7)
    assert cut["training"].tolist() == list(range(4_000)) and cut["held-out"].tolist() == list(range(4_000, 5_000))


def test_digits_are_learned(tmp_path):
    """784-100-10 with its defaults: above 91 % on the 1,000 held-out digits (the mean of five seeds is 93 %)."""
    assert train(tmp_path / "run", "mnist_5k", "--seed", 0) == 0
    result = config(tmp_path / "run")["results"]
    assert result["held-out accuracy"] > 0.91
    assert [v.shape for v in kj.load(tmp_path / "run").parameters] == [(784, 100), (100,), (100, 10), (10,)]
    assert (tmp_path / "run" / "report.html").read_text(encoding="utf-8").count("data:image/png") == 40


# --- bad input --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mnist_5000"], "Did you mean 'mnist_5k'"),
        (["nowhere.csv", "--target", "y"], "there is no file nowhere.csv"),
        (["xor", "--target", "y"], "--target is for files"),
        (["xor", "--activation", "sigmod"], "Did you mean 'sigmoid'"),
        (["xor", "--optimizer", "adma"], "Did you mean 'ada"),
        (["xor", "--loss", "mes"], "Did you mean 'mse'"),
        (["diabetes", "--loss", "cross_entropy"], "is for classes"),
        (["xor", "--engine", "xlaa"], "Did you mean 'xla'"),
        (["xor", "--epochs", "0"], "--epochs must be at least 1"),
        (["xor", "--learning-rate", "-1"], "learning_rate must be a number above 0"),
        (["xor", "--learning-rate", "nan"], "learning_rate must be a number above 0"),
        (["iris", "--validation", "1.5"], "--validation is a share"),
        (["iris", "--test", "-0.1"], "--test is a share"),
        (["xor", "--seed", "-1"], "a seed is a whole number"),
    ],
)
def test_wrong_words_are_refused(words, said, tmp_path, monkeypatch, capsys):
    """One line, exit code 2, and no run folder is left behind."""
    monkeypatch.chdir(tmp_path)
    assert said in refusal(capsys, "train", *words, "--out", "run")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "words", "said"),
    [
        ("a,b,y\n1,2,0\n", [], "--target; the columns are a, b, y"),
        ("a,b,y\n1,2,0\n", ["--target", "z"], "'z'"),
        ("a,bb,y\n1,2,0\n", ["--target", "y", "--features", "b"], "Did you mean 'bb'"),
        ("a,y\n1,0\n2,nan\n", ["--target", "y"], "row 3, column 'y'"),
        ("a,y\n1,0\n1,1\n1,0\n1,1\n", ["--target", "y"], "no column says anything: 'a', every row has 1"),
        ("a,y\n1,0\n2,1\n", ["--target", "y", "--kinds", "b=category"], "column 'b'"),
        ("a,y\n1,0\n2,1\n", ["--target", "y", "--kinds", "a=categry"], "Did you mean 'category'"),
        ("a,y\n1,0\ninf,1\n", ["--target", "y"], "row 3, column 'a'"),
        ("a,y\n1,0\nx,1\n", ["--target", "y"], "row 3, column 'a': 'x' is text"),
        ("a,y\n", ["--target", "y"], "no rows"),
        ("", ["--target", "y"], "is empty"),
        ("a,y\n1,2,3\n", ["--target", "y"], "row 2"),
        ("a,y\n1,2\n3,4\n", ["--target", "y", "--task", "clustering"], "unknown task 'clustering'"),
        ("a,y\n1,2\n", ["--target", "y", "--task", "regression"], "1 rows cannot give"),
    ],
)
def test_wrong_tables_are_refused(content, words, said, tmp_path, monkeypatch, capsys):
    """Row and column of what is wrong are named in one line, and nothing is left behind."""
    monkeypatch.chdir(tmp_path)
    Path("table.csv").write_text(content, encoding="utf-8")
    assert said in refusal(capsys, "train", "table.csv", *words, "--out", "run")
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_a_run_is_never_overwritten(tmp_path, capsys):
    """A folder with anything in it is refused and untouched; an empty one may be used."""
    (tmp_path / "run").mkdir()
    assert train(tmp_path / "run", "xor", "--epochs", 2) == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    assert "never overwrites" in refusal(capsys, "train", "xor", "--out", tmp_path / "run")
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_folders_that_cannot_be_made(tmp_path, capsys):
    """A file where the folder or its parent should be is named in one line."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert "is a file" in refusal(capsys, "train", "xor", "--out", tmp_path / "file")
    assert str(tmp_path / "file") in refusal(capsys, "train", "xor", "--out", tmp_path / "file" / "run")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="this user may write everywhere")
def test_unwritable_folder(tmp_path, capsys):
    """A parent folder without write permission is named in one line, before anything is trained."""
    (tmp_path / "shut").mkdir(mode=0o500)
    assert "shut" in refusal(capsys, "train", "xor", "--out", tmp_path / "shut" / "run")


def test_default_folders_do_not_collide(tmp_path, monkeypatch, capsys):
    """Without --out the run goes to runs/; two within a second get names of their own."""
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert main(["train", "xor", "--epochs", "2", "--quiet"]) == 0
    named = capsys.readouterr().out.split()
    assert len(set(named)) == 2 and all(Path(name, "report.html").is_file() for name in named)
    assert all(Path(name).name.startswith("xor-") for name in named)


# --- runs that do not end well ----------------------------------------------------------------------------------
def test_diverged_run_is_kept(tmp_path, houses, capsys):
    """A rate that diverges: exit code 3, one line that says where, finite weights and the report in the folder."""
    run = tmp_path / "run"
    words = ["--target", "price", "--optimizer", "sgd", "--learning-rate", 1e8, "--activation", "relu", "--seed", 0]
    assert train(run, houses, *words) == 3
    told = capsys.readouterr().err
    assert told.startswith("kedja: training diverged") and told.count("\n") == 1
    assert {path.name for path in run.iterdir()} == FILES | {weights(run)}
    assert config(run)["status"].startswith("diverged")
    assert all(np.isfinite(v.value).all() for v in kj.load(run).state.values())


@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
def test_interrupted_run_is_kept(tmp_path):
    """Ctrl-C in a real process: exit code 130, weights, report and history in the folder, and the model loads."""
    run = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "kedja",
        "train",
        "moons",
        "--epochs",
        "100000000",
        "--engine",
        "reference",
        "--out",
        str(run),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8")
    deadline = time.monotonic() + 60
    while not (run / "config.json").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(3)  # the reference engine compiles nothing: the first steps are done long since
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted by Ctrl-C" in out and "Traceback" not in err
    assert {path.name for path in run.iterdir()} == FILES | {weights(run), "checkpoints"}  # to go on with
    assert len(kj.load(run).predict_labels(kj.data.load("moons").x)) == 400
