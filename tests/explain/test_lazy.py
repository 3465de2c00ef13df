"""The names of explain: each is loaded when it is first used, and with it only what it needs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import kedja as kj
from kedja.explain import HOMES

SRC = Path(kj.__file__).parent


def fresh(code: str) -> str:
    """What a new interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(SRC.parent)}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("use", "unused"),
    [
        ("import kedja.explain", ("numpy", "kedja.graph")),
        ("import kedja.cli.charts, kedja.cli.drawing", ("kedja.graph", "kedja.nn", "kedja.explain.backpropagation")),
        ("from kedja.explain import derive", ("kedja.nn", "kedja.explain.backpropagation", "matplotlib")),
    ],
)
def test_what_is_not_used_is_not_loaded(use, unused):
    """A command that draws a chart does not wait for the walkthrough of back-propagation."""
    assert fresh(f"{use}; import sys; print([m for m in {unused} if m in sys.modules])") == "[]"


def test_no_module_stands_in_the_place_of_a_name():
    """An import of a module sets its name in its folder, so none may be called as something public there."""
    inside = {p.stem for p in (SRC / "explain").iterdir()}
    assert inside.isdisjoint(kj.explain.__all__)
    code = "; ".join(f"import kedja.explain.{home}" for home in HOMES)
    assert fresh(f"{code}; import kedja as kj; print(kj.explain.derive('x*x').result)") == "2 * x"


def test_names_are_listed_and_foreign_ones_answered():
    """`dir` knows every name before it is loaded, and a name that is not there is a clear error."""
    listed = "import kedja.explain as e; print(set(e.__all__) <= set(dir(e)), e.__all__ == sorted(e.__all__))"
    assert fresh(listed) == "True True"
    with pytest.raises(AttributeError, match=r"kedja.explain has no 'backpropp'. Did you mean 'backprop'"):
        _ = kj.explain.backpropp


def test_folders_do_not_import_in_circles():
    """The folders of explain stand in an order: each is imported by those after it alone."""
    room = SRC / "explain"
    arrows = set()
    for path in room.rglob("*.py"):
        here = path.relative_to(room).parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kedja.explain."):
                there = node.module.split(".")[2]
                arrows |= {(here.removesuffix(".py"), there)} if here.removesuffix(".py") != there else set()
    names = {n for pair in arrows for n in pair}
    while names:
        free = {n for n in names if not any(a == n and b in names for a, b in arrows)}
        assert free, f"a circle in {sorted(names)}: {sorted(p for p in arrows if set(p) <= names)}"
        names -= free
