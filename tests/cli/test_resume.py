"""`kedja train --resume`: a run killed at any moment goes on to the same files; one that has ended says so."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kedja.cli import main
from kedja.train.lock import locked


def written(path):
    """A hundred rows of two columns and a number to predict."""
    rng = np.random.default_rng(0)
    rows = [(*row, row[0] * row[1]) for row in rng.normal(size=(100, 2)).round(3).tolist()]
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("a", "b", "y"), *rows])
    return path


@pytest.fixture
def table(tmp_path):
    """A table of this test's own."""
    return written(tmp_path / "table.csv")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A table, and the folder of a run on it that nobody disturbed."""
    path = tmp_path_factory.mktemp("shared")
    assert main(words(written(path / "table.csv"), path / "whole")) == 0
    return path / "table.csv", path / "whole"


def words(table, out, epochs=400):
    return ["train", str(table), "--target", "y", "--epochs", str(epochs), "--seed", "2", "--engine", "reference",
            "--out", str(out), "--quiet"]  # fmt: skip


def told(run):
    """What a run folder says, but for times and its own name."""
    found = {p.name: p.read_bytes() for p in run.iterdir() if p.name.startswith("weights") or p.name == "history.csv"}
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    info = json.loads((run / "model.json").read_text(encoding="utf-8"))
    config["data"].pop("from_run"), info["info"]["source"].pop("from_run")
    info.pop("sha256", None)  # of the text with the name in it
    page = (run / "report.html").read_text(encoding="utf-8")
    pictures = sorted(line for line in page.splitlines() if "<path" in line or "<svg" in line)
    parts = {k: config[k] for k in ("status", "results", "options", "repeat", "data")}
    return found, parts, info, pictures, sorted(p.name for p in run.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGKILL")
@pytest.mark.parametrize(
    "moment",
    [
        "before the first step",
        "in training",
        pytest.param("before the weights", marks=pytest.mark.long),
        pytest.param("in the report", marks=pytest.mark.long),
        pytest.param("at the end", marks=pytest.mark.long),
    ],
)
def test_killed_at_every_stage(moment, shared, tmp_path):
    """Before the first step, in training, while the folder is filled: the files are those of the run left alone."""
    table, whole = shared
    program = {
        "before the first step": "import kedja.cli.train as t; arm(t, '_fit')",
        "in training": OFTEN + "import kedja.train.checkpoints as c; arm(c.Checkpoints, 'write', 2)",
        "before the weights": "import kedja.cli.train as t; arm(t, '_write')",
        "in the report": "import kedja.cli.train as t; arm(t, 'write_report')",
        "at the end": "import kedja.train.checkpoints as c; arm(c.Checkpoints, 'clear')",
    }[moment]
    out = tmp_path / "part"
    process = killed(program, words(table, out))
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert main(["train", "--resume", str(out), "--quiet"]) == 0
    ours, theirs = told(out), told(whole)
    ours[1]["repeat"] = theirs[1]["repeat"]
    if moment == "at the end":  # all was written: it is finished, only the checkpoints are still there
        assert set(ours[4]) - {".lock", "checkpoints"} == set(theirs[4])
        ours, theirs = ours[:4], theirs[:4]
    assert ours == theirs


OFTEN = "import kedja.train.callbacks.checkpoint as k; k.SHARE = 1.0\n"  # of the time goes into checkpoints

ARM = """
import os, signal, sys
def arm(where, name, count=1):
    plain, left = getattr(where, name), [count]
    def deadly(*given, **how):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(*given, **how)
    setattr(where, name, deadly)
"""


def killed(program, command):
    """A process that kills itself at the moment the program says."""
    code = ARM + program + "\nfrom kedja.cli import main\nsys.exit(main(sys.argv[1:]))"
    return subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, timeout=100)


@pytest.mark.long
@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("engine", ["reference", "xla"])
def test_killed_at_random_times(engine, table, tmp_path):
    """Killed again and again from outside, with the command a user would type."""
    rng = random.Random(7)
    command = [engine if w == "reference" else w for w in words(table, tmp_path / "whole", 6000)]
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "kedja", *command], check=True, capture_output=True)
    took = time.monotonic() - began
    out, kills = tmp_path / "part", 0
    for _ in range(12):
        begun = (out / "config.json").exists()
        if not begun:
            shutil.rmtree(out, ignore_errors=True)
        now = (
            ["train", "--resume", str(out)]
            if begun
            else [str(out) if w == str(tmp_path / "whole") else w for w in command]
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "kedja", *now], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            process.communicate(timeout=rng.uniform(0.2, 0.9) * took)
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
    assert main(["train", "--resume", str(out), "--quiet"]) == 0
    ours, theirs = told(out), told(tmp_path / "whole")
    assert kills >= 2 and ours[0] == theirs[0] and ours[1]["results"] == theirs[1]["results"] and ours[3] == theirs[3]


@pytest.mark.skipif(os.name != "posix", reason="signals of another kind")
def test_interrupted_and_resumed(shared, tmp_path):
    """After Ctrl-C the checkpoints stay, and the run goes on to the same weights; then they are gone."""
    table, whole = shared
    out = tmp_path / "part"
    press = """
import kedja.train.run as r
plain, left = r.Run.chunk, [2]  # the first chunk is of 16 steps, however fast the machine is
def pressing(self, start, end):
    left[0] -= 1
    if not left[0]:
        signal.raise_signal(signal.SIGINT)
    return plain(self, start, end)
r.Run.chunk = pressing
"""
    process = killed(press, words(table, out))
    assert process.returncode == 130, process.stderr
    assert json.loads((out / "config.json").read_text(encoding="utf-8"))["status"].startswith("interrupted")
    assert list((out / "checkpoints").glob("*.safetensors")) and (out / "report.html").is_file()
    assert main(["train", "--resume", str(out), "--quiet"]) == 0
    assert told(out)[0] == told(whole)[0] and not (out / "checkpoints").exists()


def test_a_finished_run_says_so(tmp_path, capsys):
    """Nothing is trained and nothing is changed."""
    run = tmp_path / "run"
    assert main(["train", "xor", "--epochs", "3", "--seed", "0", "--out", str(run), "--quiet"]) == 0
    before = {p.name: p.read_bytes() for p in run.iterdir()}
    capsys.readouterr()
    assert main(["train", "--resume", str(run)]) == 0
    assert "is finished: the run ran all 3 epochs" in capsys.readouterr().out
    assert {p.name: p.read_bytes() for p in run.iterdir()} == before


def refused(capsys, *command):
    """The line on stderr of a command that is refused."""
    assert main([str(w) for w in command]) == 2
    return capsys.readouterr().err


def test_what_cannot_be_resumed(table, tmp_path, capsys):
    """Another option, no run, a damaged config.json, changed or missing data, a diverged run, a folder in use."""
    run = tmp_path / "run"
    assert main(words(table, run, 2)) == 0
    assert "leave --epochs out" in refused(capsys, "train", "--resume", run, "--epochs", 5)
    assert "leave DATA out" in refused(capsys, "train", "xor", "--resume", run)
    assert "is no folder" in refused(capsys, "train", "--resume", tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert "has no config.json" in refused(capsys, "train", "--resume", tmp_path / "empty")
    assert "required: DATA" in refused(capsys, "train")
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))

    def status(word):
        (run / "config.json").write_text(json.dumps({**config, "status": word}), encoding="utf-8")

    status("diverged in epoch 2, step 1 of 3: in exp")
    assert "It would do so again" in refused(capsys, "train", "--resume", run)
    status("training")
    with locked(run):
        assert f"process {os.getpid()}" in refused(capsys, "train", "--resume", run)
    content = table.read_text(encoding="utf-8")
    table.write_text(content.replace("\n", "\n1,2,2\n", 1), encoding="utf-8")
    assert "has changed since this run was begun" in refused(capsys, "train", "--resume", run)
    table.unlink()
    assert "is gone" in refused(capsys, "train", "--resume", run)
    (run / "config.json").write_text("{", encoding="utf-8")
    assert "config.json is damaged" in refused(capsys, "train", "--resume", run)


def test_resumed_from_another_folder(table, tmp_path, monkeypatch):
    """The data file is found by its way from the run folder; the model says the same as if nothing had happened."""
    monkeypatch.chdir(tmp_path)
    named = Path(table).name
    assert main(words(named, "whole", 30)) == 0
    assert killed("import kedja.cli.train as t; arm(t, '_fit')", words(named, "part", 30)).returncode == -signal.SIGKILL
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    assert main(["train", "--resume", "../part", "--quiet"]) == 0
    assert told(tmp_path / "part")[:1] == told(tmp_path / "whole")[:1]
    assert told(tmp_path / "part")[2] == told(tmp_path / "whole")[2]
