"""What the command line says before any work: help, greeting, and one line on whatever it does not understand."""

import json
import os
import subprocess
import sys
import time

import pytest

from kedja.cli import main
from kedja.cli.arguments import COMMANDS


def refusal(capsys, *words):
    """The one line on stderr of a command that is refused with exit code 2."""
    assert main([str(word) for word in words]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("kedja: ") and told.err.count("\n") == 1, told.err
    assert "Traceback" not in told.err
    return told.err


def test_bare_command_names_things_to_try(capsys):
    """Without any word it greets and shows seven things to try, with commands that exist."""
    assert main([]) == 0
    tried = [line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("  kedja")]
    assert len(tried) == 7 and set(tried) <= set(COMMANDS)


def test_version(capsys):
    """--version says kedja and its version."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("kedja 0.")


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["predict", "-h"]])
def test_help_is_printed(words, capsys):
    """Help goes to stdout and is no error."""
    assert main(words) == 0
    assert "usage: kedja" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian", "xor"], "Did you mean 'train'"),
        (["train"], "required: DATA"),
        (["train", "xor", "--epoch", "5"], "Did you mean '--epochs'"),
        (["train", "xor", "moons"], "'moons' is one word too many"),
        (["train", "xor", "--epochs", "many"], "'many' is no whole number"),
        (["train", "xor", "--hidden", "4,-2"], "give sizes such as"),
        (["train", "xor", "--batch-size", "0"], "at least 1 row"),
        (["--quiet"], "--quiet"),
        (["data", "irsi"], "Did you mean 'iris'"),
    ],
)
def test_what_is_not_understood_is_said_in_one_line(words, said, capsys):
    """A wrong word is answered with the right ones and exit code 2."""
    assert said in refusal(capsys, *words)


def test_data_lists_and_shows_the_sets(capsys):
    """`kedja data` has a line per set; with a name it shows size, classes, source and rows."""
    assert main(["data"]) == 0
    assert {"iris", "mnist_5k", "xor"} <= {line.split()[0] for line in capsys.readouterr().out.splitlines() if line}
    assert main(["data", "iris"]) == 0
    told = capsys.readouterr().out
    assert "150" in told and "setosa (50)" in told and "licence" in told
    assert main(["data", "digits"]) == 0
    assert "##" in capsys.readouterr().out


def test_the_first_answer_is_fast_and_loads_no_compiler():
    """Help and greeting load neither NumPy nor JAX, and answer at once."""
    code = (
        "import sys, json\nfrom kedja.cli import main\nmain([]); main(['train', '--help'])\n"
        "print(json.dumps([m for m in ('jax', 'numpy', 'rich') if m in sys.modules]))"
    )
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []
    assert time.perf_counter() - began < 2  # on a loaded machine; alone it takes a tenth of a second


def test_a_console_without_greek_still_works(tmp_path):
    """A stdout that cannot write · or … shows replacements instead of failing."""
    done = subprocess.run(
        [sys.executable, "-m", "kedja", "data", "iris"],
        capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 0 and b"setosa" in done.stdout and b"?" in done.stdout
