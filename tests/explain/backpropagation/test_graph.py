"""Graphs of tensors explained without a model: names, edges, gradients (scope 1.7)."""

import numpy as np
import pytest
import torch

import kedja as kj
from kedja.errors import DataError, GraphError


def test_names_come_from_the_program():
    """A line that assigns names its node; several names on one line name several nodes."""
    a, b = kj.Parameter(2.0, name="a"), kj.Parameter(1.0, name="b")
    c, d = a + b, b + 1
    total = c * d
    assert [line.name.text for line in kj.explain.graph(total).forward] == ["c", "d", "total"]


def test_a_line_that_runs_twice_names_nothing():
    """In a loop the same line makes several nodes; none of them gets its name."""
    h = kj.Parameter(0.5, name="w")
    for _ in range(2):
        h = kj.tanh(h)
    assert "h" not in [line.name.text for line in kj.explain.graph(h).forward[:-1]]


def test_given_names_win():
    """With names= the program's lines are not read."""
    x = kj.Parameter(3.0, name="x")
    y = x * x
    z = kj.sin(y)
    assert [line.name.text for line in kj.explain.graph(z, names={"s": y}).forward] == ["s", "y"]


def test_every_edge_has_its_derivative():
    """∂c/∂a = ∂c/∂b = ∂d/∂b = 1 stand under the gradients they lead to."""
    a, b = kj.Parameter(2.0, name="a"), kj.Parameter(1.0, name="b")
    c, d = a + b, b + 1
    e = c * d
    lines = kj.explain.graph(e, [a, b]).backward
    found = {left.text: right.text for line in lines for left, right in line.derivatives}
    found |= {line.name.text: line.formula.text for line in lines[:3]}
    assert found == {"∂c/∂a": "1", "∂c/∂b": "1", "∂d/∂b": "1", "∂e/∂e": "1", "∂e/∂d": "c", "∂e/∂c": "d"}


@pytest.mark.parametrize("engine", ["reference", "xla"])
def test_gradients_agree_with_pytorch(engine):
    """A graph with a product, a quotient and a tangent: every gradient on the way."""
    with kj.default_dtype("float64"):
        u, v = kj.Parameter([0.3, -0.7], name="u"), kj.Parameter([1.2, 0.4], name="v")
        p = u * v
        q = kj.tan(p) / v
        s = kj.exp(q).sum()
        walk = kj.explain.graph(s, [u, v], engine=engine)
    tu, tv = (torch.tensor(t, dtype=torch.float64, requires_grad=True) for t in ([0.3, -0.7], [1.2, 0.4]))
    tp = tu * tv
    tq = torch.tan(tp) / tv
    tp.retain_grad()
    tq.retain_grad()
    torch.exp(tq).sum().backward()
    for name, leaf in {"u": tu, "v": tv, "p": tp, "q": tq}.items():
        assert walk[f"∂s/∂{name}"] == pytest.approx(leaf.grad.numpy(), abs=1e-12)


def test_elements_of_a_product():
    """At level "element" every entry has its own formula: w[out, in] stands on the left."""
    w, x = kj.tensor([[1.0, 2.0], [3.0, 4.0]], name="w"), kj.tensor([5.0, 6.0], name="x")
    y = w @ x
    rows = kj.explain.graph(y, [], level="element").forward[0].elements
    assert [" = ".join(part.text for part in row) for row in rows] == [
        "y₁ = w₁₁ · x₁ + w₁₂ · x₂ = 1 · 5 + 2 · 6 = 17", "y₂ = w₂₁ · x₁ + w₂₂ · x₂ = 3 · 5 + 4 · 6 = 39",
    ]  # fmt: skip


def test_without_wrt_there_is_no_way_back():
    """wrt=[] shows values only, of any number of outputs."""
    x = kj.tensor([1.0, 2.0], name="x")
    walk = kj.explain.graph([x * 2, x + 1], [])
    assert walk.backward == [] and len(walk.forward) == 2


def test_large_tensors_are_summarised():
    """A thousand numbers are a shape, the smallest, the mean, the largest and the first."""
    x = kj.tensor(np.arange(1000.0), name="x")
    text = str(kj.explain.graph(x * 2, []))
    assert "1000 numbers from 0 to 1998, mean 999; the first 0, 2, 4, …" in text


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: kj.explain.graph(3.0), "takes a tensor, or a list of them; got float"),
        (lambda: kj.explain.graph(kj.placeholder((2,), name="x") * 2, []), "x of shape .2,. is an input of a graph"),
        (lambda: kj.explain.graph(kj.tensor([1.0, 2.0]) * 2, [kj.tensor(1.0)]), "derivatives are of a single number"),
        (lambda: kj.explain.graph(kj.tensor(2.0) * 2, [kj.tensor(1.0)]), "does not depend on one of the tensors"),
        (lambda: kj.explain.graph(kj.tensor(2.0) * 2, [1.0]), "wrt are the tensors to differentiate by, got float"),
        (lambda: kj.explain.graph(kj.tensor(2.0) * 2, [], names={"y": 2}), "'y' is a int"),
    ],
)
def test_bad_input(make, message):
    """What cannot be explained says why."""
    with pytest.raises(GraphError, match=message):
        make()


def test_too_many_nodes_offer_levels():
    """A chain of three thousand nodes is refused with the way out."""
    x = kj.Parameter(1.0, name="x")
    y = x
    for _ in range(3000):
        y = kj.sin(y)
    with pytest.raises(DataError, match="too large to explain whole"):
        kj.explain.graph(y)
