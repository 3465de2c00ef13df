"""The lessons of the course: each runs, prints what its text says, and is written as a notebook Jupyter accepts."""

import ast
import contextlib
import doctest
import io
import json
import os
import re
import time
import warnings
from pathlib import Path

import matplotlib
import nbclient
import nbformat
import numpy as np
import pytest

import kedja as kj
from kedja.course import lesson, names, notebook

matplotlib.use("agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[2]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
TITLES = [
    "perceptron", "house-prices", "logistic-regression", "three-errors", "forward-and-reverse", "xor-1-layers",
    "xor-2-gradient", "xor-3-backprop", "activations", "learning-rate", "mini-batches", "initial-values", "digits",
    "regularisation", "convolution", "cnn-digits", "residual-nets",
]  # fmt: skip
SAMPLE = set(np.random.default_rng(9).choice(TITLES, 5, replace=False).tolist())
EACH = [pytest.param(n, marks=[] if n[3:] in SAMPLE else pytest.mark.long) for n in names()]


def printed(source: str, where: str, variables: dict[str, object]) -> str:
    """What a notebook shows under a cell: what it prints, and the value of its last line."""
    tree = ast.parse(source, where)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(tree, where, "exec"), variables)
        value = None if last is None else eval(compile(ast.Expression(last.value), where, "eval"), variables)
        if value is not None:
            print(repr(value))
    return out.getvalue()


def run(name: str) -> None:
    """Run the cells of a lesson in one namespace, each held to the output its text promises."""
    variables: dict[str, object] = {"__name__": "__main__"}
    checker = doctest.OutputChecker()
    with kj.default_dtype("float32"), np.printoptions(), warnings.catch_warnings():
        warnings.simplefilter("error")
        for cell in lesson(name).cells:
            if cell.kind == "code":
                where = f"{name}.md:{cell.line}"
                shown = printed(cell.source, where, variables)
                plt.close("all")
                if cell.output is not None and not checker.check_output(cell.output + "\n", shown, FLAGS):
                    example = doctest.Example(cell.source, cell.output)
                    pytest.fail(f"{where}\n{checker.output_difference(example, shown, FLAGS)}", pytrace=False)


def test_the_lessons_are_those_of_the_course():
    """Seventeen, numbered in this order."""
    assert list(names()) == [f"{number:02}-{title}" for number, title in enumerate(TITLES, 1)]


@pytest.mark.parametrize("name", EACH)
def test_lesson_runs_and_prints_what_it_says(name, tmp_path, monkeypatch):
    """Every cell runs, in order and without a warning, prints what the text promises, and leaves no file behind."""
    monkeypatch.chdir(tmp_path)
    began = time.process_time()
    run(name)
    assert time.process_time() - began < 20  # of two cores together: below ten seconds by the clock
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", names())
def test_lesson_is_as_long_as_a_lesson(name):
    """Five to ten minutes, two to four exercises with a solution each, sources named, cells with an output to hold."""
    told = lesson(name)
    assert 5 <= told.minutes <= 10 and 2 <= told.exercises <= 4
    assert told.cells[0].source.startswith(f"# {told.title}\n") and re.search(r"\*Scope \d", told.cells[0].source)
    at = [i for i, cell in enumerate(told.cells) if cell.source.startswith("**Exercise ")]
    assert all(told.cells[i + 1].solution and not told.cells[i].solution for i in at)
    assert not any(cell.solution for cell in told.cells[: at[0]])
    assert sum(cell.output is not None for cell in told.cells) >= 5


@pytest.mark.parametrize("name", names())
def test_scope_rows_that_are_cited_exist(name):
    """A source is a section of the specification, 1 to 11, or a row of it."""
    cited = re.search(r"\*Scope ([^*]+?)\. You need", lesson(name).cells[0].source)
    rows = {1: 9, 2: 9, 4: 9, 8: 7, 9: 10}
    for word in re.split(r", |–", cited[1]):
        section, _, row = word.partition(".")
        assert 1 <= int(section) <= 11 and (not row or 1 <= int(row) <= rows[int(section)])


@pytest.mark.parametrize("solutions", [True, False])
@pytest.mark.parametrize("name", names())
def test_notebook_is_valid_and_without_outputs(name, solutions):
    """Jupyter's own schema accepts it, nothing has been run, and solutions are tagged and folded, or not there."""
    made = notebook(lesson(name), solutions)
    nbformat.validate(nbformat.from_dict(made))
    code = [cell for cell in made["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    tagged = [cell for cell in made["cells"] if "solution" in cell["metadata"].get("tags", ())]
    assert bool(tagged) == solutions and all(cell["metadata"]["jupyter"]["source_hidden"] for cell in tagged)
    empty = sum("".join(cell["source"]) == "# your answer\n" for cell in code)
    assert empty == (0 if solutions else lesson(name).exercises)


def test_notebook_without_solutions_tells_none():
    """No line of a solution is left in it."""
    told = lesson("06")
    text = "".join("".join(cell["source"]) for cell in notebook(told, solutions=False)["cells"])
    assert all(cell.source not in text for cell in told.cells if cell.solution)


@pytest.mark.parametrize("name", ["01-perceptron", *(pytest.param(n, marks=pytest.mark.long) for n in names()[1:])])
def test_notebook_runs_in_jupyter(name, tmp_path, monkeypatch):
    """The exported notebook runs from top to bottom in a kernel of its own."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    made = nbformat.reads(json.dumps(notebook(lesson(name))), as_version=4)
    nbclient.NotebookClient(made, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in made.cells if cell.cell_type == "code" for output in cell.outputs]
    assert shown and not [output for output in shown if output.output_type == "error"]
    assert all(output.get("name") != "stderr" for output in shown)


def test_kept_notebooks_are_what_the_lessons_give():
    """notebooks/ holds what `kedja course export --out notebooks` writes: make it again after changing a lesson."""
    kept = {path.stem: nbformat.read(path, as_version=4) for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert kept == {name: nbformat.reads(json.dumps(notebook(lesson(name))), as_version=4) for name in names()}
