"""Training processes killed with SIGKILL at random moments, and inside the writing of a checkpoint, then resumed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from train import resumable

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGKILL")
HERE = Path(resumable.__file__)
EPOCHS = {"adam": 14, "schedule": 12, "plateau": 60, "lbfgs": 60, "average": 20, "thaw": 30, "auto": 150}
LONG = [
    ("plateau", "xla"),
    ("adam", "reference"),
    ("schedule", "reference"),
    ("thaw", "reference"),
    ("lbfgs", "reference"),
    ("auto", "xla"),
    ("average", "reference"),
]


def begin(case, engine, folder):
    """The process of one try."""
    paths = [str(HERE.parent.parent), *([os.environ["PYTHONPATH"]] if "PYTHONPATH" in os.environ else [])]
    surroundings = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "KEDJA_CACHE": str(folder.parent / "cache"),
    }
    surroundings.pop("KEDJA_COMPILE_CACHE", None)  # what one try compiled the next one has
    words = [sys.executable, str(HERE), case, engine, str(folder), str(EPOCHS[case])]
    return subprocess.Popen(words, env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process):
    """Wait for a process that nobody kills."""
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err


def result(folder):
    """What a run that came to its end wrote down."""
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


def killed_until_done(case, engine, tmp_path, rng, most):
    """Kill, resume, kill, … then let it end; how often it was killed, and whether the result is right."""
    whole, part = tmp_path / f"{case}-whole", tmp_path / f"{case}-part"
    began = time.monotonic()
    ended(begin(case, engine, whole))
    again = time.monotonic()
    ended(begin(case, engine, whole.with_name(f"{case}-warm")))  # with its programs in the cache, as the others
    took = min(again - began, time.monotonic() - again)
    kills, share = 0, 1.0
    while kills < most:
        process = begin(case, engine, part)
        try:
            process.communicate(timeout=rng.uniform(0.4, 1.0) * share * took)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
        else:
            assert process.returncode == 0
            if kills or share < 0.1:
                break
            part, share = part.with_name(f"{part.name}-"), share / 2  # faster than those before: anew, and sooner
    ended(begin(case, engine, part))
    return kills, result(part) == result(whole)


def test_killed_at_random_times(tmp_path):
    """Three kills: the run that came to its end is the run that was left alone, to the last bit."""
    kills, same = killed_until_done("adam", "reference", tmp_path, random.Random(5), 3)
    assert same and kills >= 1


@pytest.mark.long
def test_killed_fifty_times(tmp_path):
    """At least 50 kills over both engines and every case; every run that came to its end has the same bits."""
    rng, kills, turn = random.Random(50), 0, 0
    while kills < 50:
        case, engine = LONG[turn % len(LONG)]
        folder = tmp_path / str(turn)
        folder.mkdir()
        more, same = killed_until_done(case, engine, folder, rng, 12)
        assert same, (case, engine, turn)
        kills, turn = kills + more, turn + 1
    print(f"{kills} kills in {turn} runs, all of which ended with the bits of the run that was left alone")


MOMENTS = """
import os, signal, sys
name, count = os.environ["KILL_AT"].split(":")
count, plain = int(count), getattr(os, name)

def deadly(*given, **how):
    global count
    about = str(given[0]) if given else ""
    if name == "fsync" or "checkpoint-" in about:
        count -= 1
        if count == 0:
            if os.environ["KILL_WHEN"] == "after":
                plain(*given, **how)
            os.kill(os.getpid(), signal.SIGKILL)
    return plain(*given, **how)

setattr(os, name, deadly)
sys.argv = sys.argv[1:]
import runpy
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize(
    ("name", "count", "when"),
    [
        ("fsync", 1, "before"),  # the first draft is written and not yet on the disk
        ("replace", 1, "before"),  # it is whole, and has no name yet
        ("replace", 4, "after"),  # the new one has its name, older ones are still there
        pytest.param("fsync", 7, "before", marks=pytest.mark.long),
        pytest.param("replace", 4, "before", marks=pytest.mark.long),
        ("unlink", 3, "before"),
        pytest.param("unlink", 6, "before", marks=pytest.mark.long),
    ],
)
def test_killed_inside_the_writing(name, count, when, tmp_path, monkeypatch):
    """Whatever of a checkpoint was done, the run goes on from a whole one to the same bits, and no draft stays."""
    whole, part = tmp_path / "whole", tmp_path / "part"
    resumed = resumable.run("adam", "reference", whole, EPOCHS["adam"])
    program = tmp_path / "moments.py"
    program.write_text(MOMENTS, encoding="utf-8")
    process = subprocess.run(
        [sys.executable, str(program), str(HERE), "adam", "reference", str(part), str(EPOCHS["adam"])],
        env={**os.environ, "KILL_AT": f"{name}:{count}", "KILL_WHEN": when, "PYTHONPATH": str(HERE.parent.parent)},
        capture_output=True, timeout=60,
    )  # fmt: skip
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert not (part / "result.json").exists() and (part / ".lock").exists()
    found = resumable.run("adam", "reference", part, EPOCHS["adam"], resume=part)
    assert found == resumed
    assert sorted(p.suffix for p in part.iterdir()) == [".safetensors"] * 2
