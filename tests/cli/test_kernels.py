"""`--kernels`: what is named is what trains, judges and answers, and what a run goes on with."""

import json

import numpy as np
import pytest
from PIL import Image

from kedja.cli import main

HOW = ["--epochs", "2", "--seed", "0", "--engine", "xla", "--quiet"]


@pytest.fixture(autouse=True)
def compiled(monkeypatch):
    """However little there is to do, it is done by XLA."""
    monkeypatch.setattr("kedja.train.evaluation.SMALL", 0)


def config(run):
    return json.loads((run / "config.json").read_text(encoding="utf-8"))


def test_trained_judged_and_asked_with_the_kernels_that_are_named(tmp_path, programs, capsys):
    """Each command makes programs with these alone; the configuration says so."""
    run, rows = tmp_path / "run", tmp_path / "rows.csv"
    rows.write_text("x1,x2\n0,1\n", encoding="utf-8")
    for words in (["train", "xor", "--out", str(run), *HOW], ["evaluate", str(run)], ["predict", str(run), str(rows)]):
        programs.clear()
        assert main([*words, "--kernels", "xla"]) == 0
        assert set(programs) == {"xla"}
    said = config(run)
    assert said["options"]["kernels"] == "xla" and said["repeat"][-2:] == ["--kernels", "xla"]


def test_a_run_goes_on_with_the_kernels_of_its_environment(tmp_path, programs, monkeypatch):
    """They are written down when it begins, and used when it goes on where the environment says nothing."""
    run = tmp_path / "run"
    monkeypatch.setenv("KEDJA_KERNELS", "winograd")
    assert main(["train", "xor", "--out", str(run), *HOW]) == 0
    (run / "config.json").write_text(json.dumps(config(run) | {"status": "training"}), encoding="utf-8")
    monkeypatch.delenv("KEDJA_KERNELS")
    programs.clear()
    assert main(["train", "--resume", str(run), "--quiet"]) == 0
    assert set(programs) == {"winograd"} and config(run)["status"] == "ran all 2 epochs"


def test_images_and_their_features(tmp_path, programs, monkeypatch):
    """A frozen body has other features with other kernels: those kept of one choice do not serve for another."""
    monkeypatch.setenv("KEDJA_CACHE", str(tmp_path / "cache"))
    images, draw = tmp_path / "images", np.random.default_rng(0)
    for name in ("dark", "light"):
        (images / name).mkdir(parents=True)
        for i in range(4):
            pixels = draw.integers(0, 100, (28, 28)) + 150 * (name == "light")
            Image.fromarray(pixels.astype(np.uint8)).save(images / name / f"{i}.png")
    words = ["train", str(images), "--model", "lenet5", "--freeze", *HOW]
    assert main([*words, "--out", str(tmp_path / "a")]) == 0
    programs.clear()
    assert main([*words, "--out", str(tmp_path / "b"), "--kernels", "xla"]) == 0
    assert set(programs) == {"xla"} and len(list((tmp_path / "cache" / "features").iterdir())) == 2
    for question in (["evaluate", str(tmp_path / "b")], ["predict", str(tmp_path / "b"), str(images)]):
        programs.clear()
        assert main([*question, "--kernels", "winograd"]) == 0
        assert set(programs) == {"winograd"}


@pytest.mark.parametrize("words", [["train", "xor"], ["evaluate", "run"], ["predict", "run", "rows.csv"]])
def test_unknown_kernels_are_refused(words, tmp_path, monkeypatch, capsys):
    """In one line with the names there are, before anything is made or read."""
    monkeypatch.chdir(tmp_path)
    assert main([*words, "--kernels", "winogard"]) == 2
    told = capsys.readouterr().err
    assert "unknown kernels 'winogard'. Did you mean 'winograd'?" in told and told.count("\n") == 1
    assert not list(tmp_path.iterdir())
