"""Critical points: found where SymPy and the literature have them, and of the kind the second derivatives say."""

import numpy as np
import pytest
import sympy

import kedja as kj
from kedja.diff.critical import Field, classified, search, spread


def found(function, bounds, tries=64):
    field = Field(function, None if len(bounds) == 1 else len(bounds))
    points, _ = search(field, spread(bounds, tries, seed=0))
    return points


@pytest.mark.parametrize(
    "typed", ["x**3 - 3*x", "x**4 - x**3 - 2*x**2 + x", "x**6 - 5*x**4 + 4*x**2 + x/2", "exp(-x**2)*x", "x + 1/x**2"]
)
def test_functions_of_one_number_against_sympy(typed):
    """All places where SymPy finds f′ = 0, with the sign of its f″."""
    x = sympy.Symbol("x")
    f = sympy.sympify(typed)
    slope = sympy.diff(f, x)
    places = sympy.real_roots(slope) if slope.is_polynomial() else sympy.solveset(slope, x, sympy.S.Reals)
    true = sorted(float(p.evalf()) for p in places)
    kinds = ["minimum" if sympy.diff(f, x, 2).subs(x, p) > 0 else "maximum" for p in true]
    calls = kj.explain.derive(typed).expression
    ours = sorted(found(lambda t: calls.graph({"x": t}), [(-4.0, 4.0)]), key=lambda p: p.x[0])
    assert [p.x[0] for p in ours] == pytest.approx(true, abs=1e-7)
    assert [p.kind for p in ours] == kinds


def test_himmelblau():
    """Four minima at 0, one maximum, four saddle points (Himmelblau 1972)."""
    points = found(lambda p: (p[0] ** 2 + p[1] - 11) ** 2 + (p[0] + p[1] ** 2 - 7) ** 2, [(-5, 5), (-5, 5)])
    assert [p.kind for p in points] == ["minimum"] * 4 + ["saddle"] * 4 + ["maximum"]
    minima = sorted(p.x.tolist() for p in points[:4])
    true = [[-3.77931, -3.283186], [-2.805118, 3.131312], [3.0, 2.0], [3.584428, -1.848126]]
    assert np.array(minima) == pytest.approx(np.array(true), abs=1e-6)
    assert points[-1].x == pytest.approx([-0.270845, -0.923039], abs=1e-6)


def test_camel_back():
    """The six-hump camel function: six minima, the two lowest at ∓(0.0898, −0.7126), −1.0316 (Dixon and Szegő 1978)."""

    def camel(p):
        x, y = p[0], p[1]
        return (4 - 2.1 * x**2 + x**4 / 3) * x**2 + x * y + (-4 + 4 * y**2) * y**2

    points = found(camel, [(-2.5, 2.5), (-1.5, 1.5)], tries=200)
    minima = [p for p in points if p.kind == "minimum"]
    assert len(minima) == 6
    assert [p.value for p in minima[:2]] == pytest.approx([-1.031628453] * 2)
    true = np.array([[-0.08984201, 0.71265640], [0.08984201, -0.71265640]])
    assert np.array(sorted(p.x.tolist() for p in minima[:2])) == pytest.approx(true, abs=1e-6)


@pytest.mark.parametrize(
    ("function", "dimensions", "kind", "nearby"),
    [
        (lambda x: x**4, 1, "degenerate", "higher"),
        (lambda x: -(x**4), 1, "degenerate", "lower"),
        (lambda x: x**3, 1, "degenerate", "higher and lower"),
        (lambda x: x[0] ** 4 + x[1] ** 2, 2, "degenerate", "higher"),
        (lambda x: x[0] ** 3 - 3 * x[0] * x[1] ** 2, 2, "degenerate", "higher and lower"),
        (lambda x: x[0] ** 2 - x[1] ** 2, 2, "saddle", ""),
        (lambda x: x[0] * x[1], 2, "saddle", ""),
        (lambda x: (x**2).sum(), 5, "minimum", ""),
        (lambda x: 1e6 * (x**2).sum(), 3, "minimum", ""),
        (lambda x: -1e-6 * (x**2).sum(), 3, "maximum", ""),
    ],
)
def test_kinds_at_the_origin(function, dimensions, kind, nearby):
    """Also where the Hessian does not decide, and whatever the scale."""
    points = found(function, [(-1.0, 1.3)] * dimensions, tries=20)
    assert [(p.kind, p.nearby) for p in points] == [(kind, nearby)]
    assert points[0].x == pytest.approx(np.zeros(dimensions), abs=1e-5)


@pytest.mark.parametrize(
    "function", [lambda x: 2 * x + 1, lambda x: 1e-9 * x, kj.exp, kj.absolute, lambda x: kj.exp(-x) + 0.1 * kj.exp(-x)]
)
def test_functions_without_any(function):
    """A slope that is small, or falls off towards infinity, is not zero."""
    assert found(function, [(-2.0, 2.0)]) == []


def test_a_bell_has_one():
    """Far out exp(−x²) is as flat as rounding can tell, and still has no critical point there."""
    points = found(lambda x: kj.exp(-(x**2)), [(-6.0, 6.0)])
    assert [(p.kind, round(p.x[0], 9)) for p in points] == [("maximum", 0)]


def test_eigenvalues_are_those_of_the_hessian():
    """Against NumPy on a quadratic form with a known matrix."""
    rng = np.random.default_rng(1)
    a = rng.normal(size=(4, 4))
    a = a + a.T
    field = Field(lambda x: 0.5 * (x * (kj.tensor(a, dtype="float64") @ x)).sum(), 4)
    x = np.zeros(4)
    point = classified(field, x, *field.curved(x))
    assert point.eigenvalues == pytest.approx(np.linalg.eigvalsh(a)) and point.kind == "saddle"


def test_starts_fill_the_box_evenly():
    """No quarter of the box is left out, and the seed moves them all."""
    starts = spread([(-1, 1), (0, 10)], 64, seed=3)
    cells = {(int(a > 0), int(b // 2.5)) for a, b in starts}
    assert len(cells) == 8 and starts.min(axis=0)[0] >= -1 and starts.max(axis=0)[1] <= 10
    assert not np.allclose(starts, spread([(-1, 1), (0, 10)], 64, seed=4))
