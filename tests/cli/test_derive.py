"""`kedja derive`: steps on stdout, a caret on stderr, pictures and pages that overwrite nothing."""

import subprocess
import sys

import pytest

from kedja.cli import main


def told(capsys, *words):
    assert main(["derive", *words]) == 0
    return capsys.readouterr().out


def test_the_steps_are_printed(capsys):
    """Rules, result, value and numeric check of x² sin x at 2."""
    out = told(capsys, "x**2 * sin(x)", "--wrt", "x", "--at", "2")
    for part in ("product", "square", "sine", "= 2 * x * sin(x) + x**2 * cos(x)", "1.972602361", "by perturbation"):
        assert part in out


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["-x**2", "--at", "3"], "-6"),
        (["-h*x", "--wrt", "x"], "= -h"),
        (["x^2", "--at", "-pi/2"], "-3.141592654"),
        (["x^2", "--at=-2"], "-4"),
        (["a*x^2", "--wrt", "x", "--at", "x=2,a=0.5"], "f′                   2 "),
        (["a*x^2", "--wrt", "a", "--at", "x=-3, a=1"], "9"),
    ],
)
def test_formulas_and_places_may_begin_with_a_minus(words, part, capsys):
    """A formula is no option, and neither is a place; several letters get a number each."""
    assert part in told(capsys, *words)


def test_tex_and_html(capsys):
    """--tex prints an align*, --html a page."""
    assert told(capsys, "x^2", "--tex").startswith("\\begin{align*}")
    page = told(capsys, "x^2", "--html")
    assert page.startswith("<!DOCTYPE html>") and "<math" in page


def test_the_plot_is_written_once(tmp_path, capsys):
    """--plot writes a picture and never over one that is there."""
    pytest.importorskip("matplotlib")
    file = tmp_path / "sine.svg"
    told(capsys, "sin(x)", "--plot", str(file))
    before = file.read_bytes()
    assert b"<svg" in before
    assert main(["derive", "cos(x)", "--plot", str(file)]) == 2
    assert "exists already" in capsys.readouterr().err and file.read_bytes() == before
    assert main(["derive", "cos(x)", "--plot", str(tmp_path / "a.docx")]) == 2
    assert ".svg" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["2 * (x + )"], ['a number, a name or "(" was expected', "  2 * (x + )", "           ^"]),
        (["sen(x)"], ["Did you mean 'sin'", "  sen(x)", "  ^"]),
        (["x", "--at", "2..3"], ["an operator was expected", "  2..3", "    ^"]),
    ],
)
def test_the_caret_stands_below_the_character(words, lines, capsys):
    """What the grammar does not know: exit code 2, the reason, the line, and a caret."""
    assert main(["derive", *words]) == 2
    said = capsys.readouterr().err.rstrip("\n").split("\n")
    assert said[0].startswith("kedja: ") and lines[0] in said[0] and said[1:] == lines[1:]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["ln(x)", "--at", "-1"], "ln takes numbers above 0"),
        (["a*x"], "by which letter"),
        (["x", "--at", "x=1,x=2"], "each letter once"),
        (["x", "--at", "x="], "write a number"),
        (["x", "--tex", "--html"], "not allowed with"),
        (["x", "--wtr", "x"], "Did you mean '--wrt'"),
        ([], "required: FORMULA"),
    ],
)
def test_refusals_are_one_line(words, part, capsys):
    """Exit code 2 and one line on stderr."""
    assert main(["derive", *words]) == 2
    err = capsys.readouterr().err
    assert err.startswith("kedja: ") and err.count("\n") == 1 and part in err


def test_it_loads_no_compiler():
    """A formula is worked out on the reference engine."""
    code = "import sys\nfrom kedja.cli import main\nmain(['derive', 'x^2', '--at', '1'])\nprint('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", check=True)
    assert done.stdout.endswith("False\n")
