"""Critical points shown, and where gradient descent goes (scope 1.9)."""

import json

import numpy as np
import pytest
import torch

import kedja as kj
from kedja.errors import DataError, GraphError, ShapeError
from kedja.explain.derivatives.grammar import ExpressionError

TILTED = "x**4 - 2*x**2 + 0.3*x"


def test_expression_and_function_agree():
    """An expression's letters come in alphabetical order; a function takes one tensor."""
    typed = kj.critical_points("x**3 - 3*x + y**2", bounds=[(-3, 3), (-3, 3)])
    called = kj.critical_points(lambda p: p[0] ** 3 - 3 * p[0] + p[1] ** 2, bounds=[(-3, 3), (-3, 3)])
    assert [p.kind for p in typed] == [p.kind for p in called] == ["minimum", "saddle"]
    assert typed[0].x == pytest.approx([1, 0], abs=1e-9) and typed.names == ["x", "y"] and called.names == ["x0", "x1"]


def test_local_and_lowest_minimum_are_told_apart():
    """The tilted double well has two minima, and a maximum between them."""
    found = kj.critical_points(TILTED, bounds=(-2, 2))
    assert [p.kind for p in found] == ["minimum", "minimum", "maximum"]
    text = str(found)
    assert "minimum, the lowest found" in text and "minimum, local" in text and "64 of 64 starts" in text
    roots = np.sort(np.roots([4, 0, -4, 0.3]).real)
    assert sorted(p.x[0] for p in found) == pytest.approx(roots)


def test_starts_of_your_own_and_bounds():
    """Starts decide what is found; what lies outside the bounds is counted and left out."""
    assert [p.x[0] for p in kj.critical_points("sin(x)", starts=[1.4, 4.8])] == pytest.approx(
        [3 * np.pi / 2, np.pi / 2]
    )
    inside = kj.critical_points("sin(x)", bounds=(-7, 7))
    assert len(inside) == 4 and "outside the bounds" in str(inside)


def test_a_line_of_minima_is_not_listed_point_by_point():
    """x² + 0·y is lowest along a whole line; six of the places are shown."""
    found = kj.critical_points("x**2 + 0*y", bounds=[(-1, 1), (-1, 1)])
    assert len(found) > 20 and str(found).count("degenerate: no value near it is lower") == 6
    assert "part of a line or an area" in str(found)


def test_none_found_says_why_there_may_be_none():
    """A straight line has no critical point."""
    found = kj.critical_points("2*x + 1", bounds=(-3, 3))
    assert len(found) == 0 and "may have none" in str(found)


def test_renderings_of_critical_points():
    """Markdown, HTML, TeX and JSON show the same rows."""
    found = kj.critical_points("x**2 - y**2", bounds=[(-2, 2), (-2, 2)])
    assert "saddle point" in found.markdown() and "<td" in found._repr_html_() and "saddle point" in found.tex()
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["points"][0]["eigenvalues"] == pytest.approx([-2, 2])


@pytest.mark.parametrize(
    ("f", "how", "error", "said"),
    [
        ("x**2", {}, DataError, "say where to look"),
        ("x**2", {"bounds": (2, 1)}, DataError, "low < high"),
        ("x*y", {"bounds": (-1, 1)}, DataError, "2 letters"),
        ("x**2", {"starts": [float("nan")]}, DataError, "finite numbers"),
        ("x**2", {"bounds": (-1, 1), "tries": 0}, DataError, "tries"),
        ("x +", {"bounds": (-1, 1)}, ExpressionError, "expected"),
        (3, {"bounds": (-1, 1)}, DataError, "function or an expression"),
        (lambda x: 3.0, {"bounds": (-1, 1)}, GraphError, "does not depend on x"),
        (lambda x: x, {"bounds": [(-1, 1), (-1, 1)]}, ShapeError, "must give one number"),
    ],
)
def test_bad_input(f, how, error, said):
    """Each mistake has its message."""
    with pytest.raises(error, match=said):
        kj.critical_points(f, **how)


def test_plot_of_critical_points(tmp_path):
    """One mark for each point; functions of more than two numbers cannot be drawn."""
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    found = kj.critical_points(TILTED, bounds=(-2, 2))
    found.plot(ax=axes)
    marks = {line.get_label(): len(line.get_xdata()) for line in axes.lines if not line.get_label().startswith("_")}
    assert marks == {"minimum": 2, "maximum": 1}
    kj.critical_points("x**2 - y**2", bounds=[(-2, 2), (-2, 2)]).plot(tmp_path / "saddle.png")
    assert (tmp_path / "saddle.png").stat().st_size > 1000
    with pytest.raises(DataError, match="cannot be drawn"):
        kj.critical_points(lambda x: (x**2).sum(), starts=[[1.0, 1.0, 1.0]]).plot()


def test_start_and_rate_decide_which_minimum_is_reached():
    """From −2 a small step falls into the lower well, a larger one jumps into the upper, and a huge one diverges."""
    found = kj.explain.descents(TILTED, starts=[-2, 0.5], rates=[0.01, 0.1, 0.4])
    ends = [[(r.end, r.reached) for r in line] for line in found.runs]
    assert ends[0] == [("minimum", 0), ("minimum", 1), ("diverged", None)]
    assert ends[1][0] == ("minimum", 1) and ends[1][2][0] == "swings"
    assert found.points[0].value < found.points[1].value
    text = str(found)
    assert "diverges" in text and "swings to and fro" in text and "A: minimum at x = -1.03558" in text


def test_the_path_is_that_of_pytorch():
    """Plain descent point by point, against torch.optim.SGD in float64."""
    (run,) = kj.explain.descents("x**2/20 + sin(y)*y", starts=[[-4, 1.5]], rates=0.3, steps=40).runs[0]
    p = torch.tensor([-4.0, 1.5], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([p], lr=0.3)
    points = [p.detach().numpy().copy()]
    for _ in range(40):
        optimizer.zero_grad()
        (p[0] ** 2 / 20 + torch.sin(p[1]) * p[1]).backward()
        optimizer.step()
        points.append(p.detach().numpy().copy())
    assert np.abs(run.path - points).max() < 1e-12


def test_a_saddle_holds_who_starts_on_its_ridge():
    """On the ridge of x² − y² descent ends on the saddle point; beside it, it falls for ever."""
    found = kj.explain.descents("x**2 - y**2", starts=[[1, 0], [1, 1e-3], [0, 0]], rates=[0.1])
    assert [line[0].end for line in found.runs] == ["saddle", "diverged", "saddle"]
    assert "stays at A" in str(found) and json.dumps(found.to_dict())


def test_slow_and_rising_runs_are_told():
    """Too small a rate is not there yet; above 2/λ the values rise."""
    found = kj.explain.descents("x**2", starts=[1.0], rates=[1e-4, 1.001], steps=50)
    assert [r.end for r in found.runs[0]] == ["moving", "rises"]
    assert "not there after 50 steps" in found.markdown() and "rises" in found._repr_html_() + found.tex()


def test_plot_of_descents(tmp_path):
    """A line for each run."""
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    kj.explain.descents("x**2/20 + y**2", [[-4, 1.5], [3, -1]], [0.1, 0.9], steps=30).plot(ax=axes)
    assert len(axes.lines) == 2 * 2 + 2
    kj.explain.descents(TILTED, [-2, 0.5], [0.1, 0.4], steps=30).plot(tmp_path / "wells.png")
    assert (tmp_path / "wells.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"starts": [1.0], "rates": [-1]}, "above 0"),
        ({"starts": [1.0], "rates": "fast"}, "above 0"),
        ({"starts": [1.0], "rates": [0.1], "steps": 0}, "steps"),
        ({"starts": [[1.0, 2.0]], "rates": [0.1]}, "1 letters"),
        ({"starts": np.arange(500.0), "rates": [0.1]}, "too many to read"),
    ],
)
def test_bad_descents(how, said):
    """Each mistake has its message."""
    with pytest.raises(DataError, match=said):
        kj.explain.descents("x**2", **how)
