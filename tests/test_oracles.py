"""The table of oracles: how it is gathered from a run, kept, and what makes a whole run fail."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from oracles.closeness import worst
from oracles.table import KEY, gathered, missing, read, write

HERE = Path(__file__).parent


def report(*rows: list[object]) -> SimpleNamespace:
    """What pytest keeps of a passed test."""
    return SimpleNamespace(user_properties=[(KEY, row) for row in rows])


def test_cases_add_up_and_the_worst_error_stays():
    """Over all tests, an oracle without an error keeping none."""
    table = gathered([report(["PyTorch", "losses/mse", 2, 1e-9], ["JAX", "ops/add", 1, None]),
                      report(["PyTorch", "losses/mse", 3, 1e-7])])  # fmt: skip
    assert table == {"losses/mse": {"PyTorch": (5, 1e-7)}, "ops/add": {"JAX": (1, None)}}


def test_own_checks_are_no_oracle():
    """An item that only the other engine agrees with has met no outside judge."""
    table = gathered([report(["XLA = reference", "ops/add", 1, 0.0], ["Keras", "losses/mse", 1, 0.0])])
    assert missing(table, ["losses/mse", "ops/add", "ops/new"]) == ["ops/add", "ops/new"]


def test_the_table_is_kept_in_a_file(tmp_path):
    """Errors to one digit; read back the same."""
    table = gathered([report(["PyTorch", "ops/add", 1, 1.24e-9], ["perturbation", "ops/add", 4, None])])
    write(table, tmp_path / "oracles.json")
    assert read(tmp_path / "oracles.json") == {"ops/add": {"PyTorch": (1, 1e-9), "perturbation": (4, None)}}


def test_how_far_apart():
    """By the largest entry, and absolutely below 1; what is not finite is for the test to compare."""
    assert worst([100.0, 1.0], [100.0, 2.0]) == 0.01 and worst([0.1], [0.2]) == 0.1
    assert worst([np.nan, np.inf, 1.0], [np.nan, np.inf, 1.0]) == 0.0 and worst([], []) == 0.0


def test_a_whole_run_fails_when_an_item_met_no_oracle(tmp_path):
    """In a project of one test the other items of the catalogue are named, and the status is not 0; a part may pass."""
    (tmp_path / "tests").mkdir()
    shutil.copy(HERE / "conftest.py", tmp_path / "tests" / "conftest.py")
    (tmp_path / "tests" / "test_one.py").write_text(
        "def test_one(judged):\n    judged('PyTorch', 'losses/mse', 1, 0.0)\n"
    )
    settings = f"[pytest]\ntestpaths = tests\npythonpath = {HERE} {HERE.parent} {HERE.parent / 'src'}\n"
    (tmp_path / "pytest.ini").write_text(settings)
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    found = [
        subprocess.run([*run, *more], cwd=tmp_path, capture_output=True, text=True)
        for more in ([], ["tests/test_one.py"])
    ]
    assert found[0].returncode == 1 and found[1].returncode == 0, found[0].stdout + found[0].stderr
    named = re.findall(r"without an oracle: (\S+)", found[0].stdout)
    assert len(named) > 250 and "losses/mse" not in named and "losses/huber" in named
    assert "mse                      PyTorch 0 (1)" in found[1].stdout and "without an oracle" not in found[1].stdout
