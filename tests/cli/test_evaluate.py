"""`kedja evaluate`: the same figures as after the training, and honest about which rows they are of."""

import json
import shutil

import numpy as np
import pytest

from kedja.cli import main
from kedja.cli.folder import opened
from kedja.cli.judge import judge
from kedja.cli.rows import rows_for


def write(path, columns, rows):
    path.write_text("\n".join(",".join(map(str, row)) for row in [columns, *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    """A run on y = 3 a − b + 100 with a little noise, and its file."""
    folder = tmp_path_factory.mktemp("line")
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 2, (2, 100)).round(4)
    y = (3 * a - b + 100 + rng.normal(0, 0.1, 100)).round(4)
    path = write(folder / "line.csv", ["a", "b", "y"], zip(a, b, y, strict=True))
    words = ["--target", "y", "--hidden", "0", "--epochs", "80", "--learning-rate", "0.05", "--seed", "0"]
    assert main(["train", str(path), *words, "--quiet", "--out", str(folder / "run")]) == 0
    return folder


def result(run):
    return json.loads((run / "config.json").read_text(encoding="utf-8"))["results"]


def test_held_out_figures_come_back(line, capsys):
    """Without a file, the rows held out in training are cut out again: the very figures of the run."""
    assert main(["evaluate", str(line / "run")]) == 0
    told = capsys.readouterr().out
    assert "held-out error" in told and "20 rows" in told and f"{result(line / 'run')['held-out R²']:.3f}" in told


def test_held_out_rows_are_found_from_anywhere(line, tmp_path, monkeypatch, capsys):
    """Trained with a file named relative to one folder, evaluated from another."""
    monkeypatch.chdir(line)
    words = ["--target", "y", "--epochs", "2", "--quiet", "--out", str(tmp_path / "run")]
    assert main(["train", "line.csv", *words]) == 0
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "run"]) == 0
    assert "held-out" in capsys.readouterr().out
    assert str(line) not in (tmp_path / "run" / "model.json").read_text(encoding="utf-8")


def test_another_file_by_name(line, tmp_path, capsys):
    """All rows of another file, its columns in any order; R² worked by hand."""
    path = write(tmp_path / "other.csv", ["y", "note", "b", "a"], [(99, "x", 1, 0), (105, "y", 1, 2), (94, "z", 0, -2)])
    assert main(["evaluate", str(line / "run"), str(path)]) == 0
    assert "3 rows" in capsys.readouterr().out
    net, about, _ = opened(str(line / "run"))
    figures = judge(net, rows_for(str(path), about, answers=True), "mse").figures
    predicted = net.predict(np.array([[0, 1], [2, 1], [-2, 0]], np.float32)).ravel().astype(float)
    true = np.array([99.0, 105.0, 94.0])
    assert figures["R²"] == pytest.approx(1 - ((predicted - true) ** 2).sum() / ((true - true.mean()) ** 2).sum())
    assert figures["MAE"] == pytest.approx(abs(predicted - true).mean())


def test_training_file_is_called_so(line, capsys):
    """Named explicitly, the file of the training is evaluated whole, and the line says it was learned from."""
    assert main(["evaluate", str(line / "run"), str(line / "line.csv")]) == 0
    assert "also the rows it learned from" in capsys.readouterr().out


def test_changed_file_is_noticed(line, tmp_path, capsys):
    """When the file has changed, which rows were held out is no longer known, and that is said."""
    content = (line / "line.csv").read_text(encoding="utf-8")
    try:
        (line / "line.csv").write_text(content + "1,1,1\n", encoding="utf-8")
        assert main(["evaluate", str(line / "run")]) == 2
        assert "has changed" in capsys.readouterr().err
        (line / "line.csv").unlink()
        assert main(["evaluate", str(line / "run")]) == 2
        assert "is gone" in capsys.readouterr().err
    finally:
        (line / "line.csv").write_text(content, encoding="utf-8")


@pytest.mark.parametrize(
    ("columns", "rows", "said"),
    [
        (["a", "bb", "y"], [(1, 2, 3)], "lacks the column 'b'. Did you mean 'bb'"),
        (["a", "b"], [(1, 2)], "lacks the column 'y'"),
        (["a", "b", "y"], [(1, "two", 3)], "row 2, column 'b'"),
    ],
)
def test_files_that_do_not_fit(line, tmp_path, columns, rows, said, capsys):
    """Missing columns are named with the nearest, wrong cells with row and column, in one line."""
    path = write(tmp_path / "other.csv", columns, rows)
    assert main(["evaluate", str(line / "run"), str(path)]) == 2
    told = capsys.readouterr().err
    assert told.startswith("kedja: ") and told.count("\n") == 1 and said in told


def test_classes_are_counted(tmp_path, capsys):
    """A classifier prints its confusion; an unknown class is refused with its row."""
    rows = [(k + 0.01 * i, ("low", "high")[k]) for k in (0, 1) for i in range(30)]
    path = write(tmp_path / "two.csv", ["x", "size"], rows)
    run = str(tmp_path / "run")
    assert main(["train", str(path), "--target", "size", "--seed", "0", "--quiet", "--out", run]) == 0
    assert main(["evaluate", run]) == 0
    told = capsys.readouterr().out
    assert "of 12 rows right" in told and "answered" in told
    other = write(tmp_path / "other.csv", ["x", "size"], [(1, "high"), (2, "huge")])
    assert main(["evaluate", run, str(other)]) == 2
    assert "row 3, column 'size': 'huge' is none of the classes high, low" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["absent", "foreign", "empty", "cut", "weights", "missing", "info", "python"])
def test_damaged_runs(line, tmp_path, damage, capsys):
    """A folder that is no run, or no longer one, gives one line that names the file, and exit code 2."""
    run = tmp_path / "run"
    if damage != "absent":
        shutil.copytree(line / "run", run)
    (weights,) = list(run.glob("weights-*")) or [run]
    named = "model.json"
    if damage == "absent":
        named = "run"
    elif damage == "foreign":
        (run / "model.json").write_text('{"name": "something else"}', encoding="utf-8")
    elif damage == "empty":
        (run / "model.json").unlink()
    elif damage == "cut":
        (run / "model.json").write_bytes((run / "model.json").read_bytes()[:200])
    elif damage == "weights":
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
        named = weights.name
    elif damage == "missing":
        weights.unlink()
        named = weights.name
    else:
        said = json.loads((run / "model.json").read_text(encoding="utf-8"))
        said["info"] = {**said["info"], "feature_names": 7} if damage == "info" else {}
        (run / "model.json").write_text(json.dumps(said), encoding="utf-8")
    for command in (["evaluate", str(run)], ["predict", str(run), str(line / "line.csv")]):
        assert main(command) == 2
        told = capsys.readouterr().err
        assert told.startswith("kedja: ") and told.count("\n") == 1 and named in told, told
