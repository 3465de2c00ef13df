"""`kedja predict`: CSV in, CSV out; columns by name, classes by name, numbers in the user's units."""

import csv
import io

import numpy as np
import pytest

import kedja as kj
from kedja.cli import main


def write(path, columns, rows):
    path.write_text("\n".join(",".join(map(str, row)) for row in [columns, *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def irises(tmp_path_factory):
    """A run on the iris data."""
    run = tmp_path_factory.mktemp("irises") / "run"
    assert main(["train", "iris", "--seed", "0", "--epochs", "80", "--quiet", "--out", str(run)]) == 0
    return run


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    """A run on prices of about 200,000, and its file."""
    folder = tmp_path_factory.mktemp("prices")
    area = np.linspace(40, 160, 60)
    write(folder / "prices.csv", ["area", "rooms", "price"], [(a, 1 + i % 4, 2000 * a) for i, a in enumerate(area)])
    words = ["--target", "price", "--seed", "0", "--quiet", "--out", str(folder / "run")]
    assert main(["train", str(folder / "prices.csv"), *words]) == 0
    return folder


def predictions(capsys, *words):
    assert main(["predict", *map(str, words)]) == 0
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


def iris_rows(order):
    data = kj.data.load("iris")
    columns = [data.feature_names[i] for i in order]
    return columns, data.x[::15][:, order].tolist(), [data.class_names[k] for k in data.y[::15]]


def test_classes_by_name(irises, tmp_path, capsys):
    """Answers are the names of classes, in the order of the rows, mostly right."""
    columns, rows, names = iris_rows([0, 1, 2, 3])
    found = [row["prediction"] for row in predictions(capsys, irises, write(tmp_path / "new.csv", columns, rows))]
    assert len(found) == 10 and np.mean([a == b for a, b in zip(found, names, strict=True)]) >= 0.8


def test_columns_are_found_by_name(irises, tmp_path, capsys):
    """Another order of columns, and columns more, give the same answers and probabilities."""
    columns, rows, _ = iris_rows([0, 1, 2, 3])
    first = predictions(capsys, irises, write(tmp_path / "a.csv", columns, rows), "--proba")
    columns, rows, _ = iris_rows([3, 1, 0, 2])
    more = [["note", *row] for row in rows]
    assert predictions(capsys, irises, write(tmp_path / "b.csv", ["comment", *columns], more), "--proba") == first


def test_probabilities_add_up(irises, tmp_path, capsys):
    """--proba adds a column per class; each row sums to one and its largest is the answer."""
    columns, rows, _ = iris_rows([0, 1, 2, 3])
    for row in predictions(capsys, irises, write(tmp_path / "a.csv", columns, rows), "--proba"):
        shares = {name[2:-1]: float(value) for name, value in row.items() if name != "prediction"}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
        assert max(shares, key=shares.get) == row["prediction"]


def test_two_classes_get_two_probabilities(tmp_path, capsys):
    """A network of one output names both of its classes."""
    assert main(["train", "xor", "--seed", "1", "--quiet", "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    found = predictions(capsys, tmp_path / "run", "xor", "--proba")
    assert [row["prediction"] for row in found] == ["0", "1", "1", "0"]
    assert float(found[1]["p(1)"]) > 0.9 and float(found[0]["p(0)"]) > 0.9


def test_numbers_in_units_of_the_user(prices, tmp_path, capsys):
    """Predicted prices are prices, close to 2,000 times the area."""
    found = predictions(capsys, prices / "run", write(tmp_path / "a.csv", ["rooms", "area"], [(2, 100), (3, 60)]))
    assert [float(row["prediction"]) for row in found] == pytest.approx([200_000, 120_000], rel=0.1)


def test_written_to_a_file(prices, tmp_path, capsys):
    """--out writes the same lines, and keeps what is there already, be it the input itself."""
    words = ["predict", str(prices / "run"), str(prices / "prices.csv"), "--out"]
    assert main([*words, str(tmp_path / "out.csv")]) == 0
    assert len((tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()) == 61
    before = (prices / "prices.csv").read_bytes()
    for taken in (tmp_path / "out.csv", prices / "prices.csv"):
        capsys.readouterr()
        assert main([*words, str(taken)]) == 2
        assert "not overwritten" in capsys.readouterr().err
    assert (prices / "prices.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("columns", "words", "said"),
    [
        (["rooms", "aera"], [], "lacks the column 'area'. Did you mean 'aera'"),
        (["x", "y"], [], "2 are missing in all: area, rooms"),
        (["rooms", "area"], ["--proba"], "--proba is for classes"),
        (["rooms", "area"], ["--out", "nowhere/out.csv"], "nowhere"),
    ],
)
def test_what_cannot_be_predicted(prices, tmp_path, monkeypatch, columns, words, said, capsys):
    """Missing columns, probabilities of a number, a folder that is not there: one line, exit code 2."""
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "new.csv", columns, [(1, 2)])
    assert main(["predict", str(prices / "run"), str(path), *words]) == 2
    told = capsys.readouterr().err
    assert told.startswith("kedja: ") and told.count("\n") == 1 and said in told


def test_missing_file(prices, capsys):
    """A file that is not there is named."""
    assert main(["predict", str(prices / "run"), "nowhere.csv"]) == 2
    assert "there is no file nowhere.csv" in capsys.readouterr().err
