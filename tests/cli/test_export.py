"""`kedja export`: a run as a file for other programs; nothing is overwritten."""

import csv
import subprocess
import sys

import numpy as np
import pytest

import kedja as kj
from kedja.cli import main
from kedja.formats.export import FORMATS


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on a table with a category and a gap."""
    folder = tmp_path_factory.mktemp("export")
    rng = np.random.default_rng(0)
    rows = [(f"{a:.3f}" if i % 7 else "", "red" if i % 3 else "blue", "yes" if a > 0 else "no")
            for i, a in enumerate(rng.normal(size=40))]  # fmt: skip
    with open(folder / "rows.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("a", "colour", "good"), *rows])
    words = ["--target", "good", "--epochs", "5", "--seed", "0", "--quiet", "--out", str(folder / "net")]
    assert main(["train", str(folder / "rows.csv"), *words]) == 0
    return folder / "net"


@pytest.mark.parametrize("format", sorted(FORMATS))
def test_every_format(format, run, tmp_path, monkeypatch, capsys):
    """Without --out the file is called like the run, here; what is written is told."""
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(run), "--format", format]) == 0
    path = tmp_path / f"net{FORMATS[format].suffix}"
    assert path.is_file() and capsys.readouterr().out.startswith(f"{path.name}: ")
    assert main(["export", str(run), "--format", format]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["export", str(run), "--format", format, "--out", "other"]) == 0
    assert (tmp_path / "other").is_file()


def test_onnx_says_what_goes_in(run, tmp_path, capsys):
    """Names of features and classes travel in the file."""
    import onnx

    assert main(["export", str(run), "--format", "onnx", "--out", str(tmp_path / "net.onnx")]) == 0
    said = {p.key: p.value for p in onnx.load(tmp_path / "net.onnx").metadata_props}
    assert said["class_names"] == '["no", "yes"]' and said["feature_names"] == '["a", "colour"]'


def test_the_program_reads_the_file(run, tmp_path, capsys):
    """The exported program answers the rows of the CSV file as `kedja predict` does."""
    assert main(["export", str(run), "--format", "python", "--out", str(tmp_path / "net.py")]) == 0
    capsys.readouterr()
    assert main(["predict", str(run), str(run.parent / "rows.csv")]) == 0
    expected = capsys.readouterr().out.split()[1:]
    words = [sys.executable, str(tmp_path / "net.py"), str(run.parent / "rows.csv")]
    found = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
    assert [line.split()[0] for line in found] == expected


def test_what_is_refused(run, tmp_path, capsys):
    """One line and exit code 2: an unknown format, no format, a folder that holds nothing."""
    assert main(["export", str(run), "--format", "onx"]) == 2
    assert "Did you mean 'onnx'?" in capsys.readouterr().err
    assert main(["export", str(run)]) == 2
    assert "--format" in capsys.readouterr().err
    assert main(["export", str(tmp_path), "--format", "onnx"]) == 2
    assert "not a saved kedja model" in capsys.readouterr().err


def test_a_layer_the_program_does_not_know(tmp_path, capsys):
    """The message lists it and names a format that has it."""
    net = kj.Sequential([kj.nn.LSTM(3)]).build((None, 4, 2), seed=0)
    net.save(tmp_path / "net")
    assert main(["export", str(tmp_path / "net"), "--format", "python", "--out", str(tmp_path / "n.py")]) == 2
    assert "lstm_1 (LSTM)" in capsys.readouterr().err and not (tmp_path / "n.py").exists()
