"""Paths shown: nine paths are a product of two sums, and what is too much is counted only."""

import json

import pytest

import kedja as kj
from kedja.errors import DataError, ShapeError


@pytest.fixture(scope="module")
def nine():
    """Edges α, β, γ from X to Y and δ, ε, ζ from Y to Z (scope 1.6)."""
    values = dict(
        zip(["alpha", "beta", "gamma", "delta", "epsilon", "zeta"], (2.0, 3.0, 5.0, 7.0, 11.0, 13.0), strict=True)
    )
    a, b, c, d, e, z = (kj.tensor(v, dtype="float64", name=n) for n, v in values.items())
    x = kj.tensor(1.0, dtype="float64", name="X")
    y = a * x + b * x + c * x
    return kj.paths(d * y + e * y + z * y, x)


def test_nine_paths(nine):
    """Each product once; the sum is the factored one, (2 + 3 + 5)(7 + 11 + 13) = 310."""
    assert len(nine) == nine.count == 9 and nine.complete
    products = sorted(float(c) for c in nine.contributions)
    assert products == sorted(p * q for p in (2, 3, 5) for q in (7, 11, 13))
    assert nine.total == nine.gradient == 310
    assert nine.factored() == "(alpha + beta + gamma) * (delta + epsilon + zeta)"


def test_nine_paths_shown(nine):
    """Text, TeX and plain data have all nine products and the factored form."""
    text = str(nine)
    assert "9 paths from X to y; their sum is 310" in text and "reverse mode passes each of the 14 edges once" in text
    for product in ("delta * alpha", "zeta * gamma"):
        assert product in text
    assert r"\left(\alpha + \beta + \gamma\right) \, \left(\delta + \epsilon + \zeta\right)" in nine.tex()
    assert nine.tex().count("+") == 8 + 4
    plain = json.loads(json.dumps(nine.to_dict()))
    assert plain["count"] == 9 and sum(p["value"] for p in plain["paths"]) == plain["gradient"] == 310
    assert "| 9 |" in nine.markdown() and "<td" in nine._repr_html_()


def test_too_many_to_list():
    """2^40 paths: three are listed, and the note says so."""
    x = kj.tensor(1.0, name="x")
    y = x
    for _ in range(40):
        y = y * y
    found = kj.paths(y, x, limit=3)
    assert found.count == 2**40 and not found.complete and len(found.listed) == 3
    assert "1,099,511,627,776 paths from x to y, 3 of them listed" in str(found)
    assert found.tex().endswith(r"\cdots")


def test_no_path():
    """Nodes that are not connected have derivative 0, and that is said."""
    found = kj.paths(kj.tensor(1.0, name="y"), kj.tensor(2.0, name="x"))
    assert found.count == 0 and found.gradient == 0 and "No path leads from x to y" in str(found)


def test_the_order_of_matrices_is_not_lost():
    """Of tensors no factored form is written: the sum is shown as arrays."""
    w = kj.tensor([[1.0, 2.0], [3.0, 4.0]], name="W")
    h = kj.tanh(kj.tensor([[0.1, 0.2]]) @ w)
    found = kj.paths((h * h).sum(), w)
    assert found.count == 2 and found.factored() is None
    assert found.total == pytest.approx(found.gradient, rel=1e-6)


def test_what_paths_are_not_for():
    """A vector is no single number; a limit is a count."""
    x = kj.tensor([1.0, 2.0])
    with pytest.raises(ShapeError, match="single number"):
        kj.paths(x * 2, x)
    with pytest.raises(DataError, match="limit"):
        kj.paths(x.sum(), x, limit=0)
