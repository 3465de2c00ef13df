"""The computational graph as a picture: what is written on its nodes and edges, and where they stand."""

import itertools
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import kedja as kj
from explain.pictures import reading
from kedja.errors import DataError, GraphError, ShapeError, UnknownNameError
from kedja.explain.pictures.layering import layered, ranked
from kedja.explain.pictures.tikz import texed

places = st.integers(0, 13)
graphs = st.integers(1, 14).flatmap(
    lambda n: st.tuples(st.just(n), st.sets(st.tuples(places, places).map(lambda p: (p[0] % n, p[1] % n)), max_size=24))
)


def worked():
    """Scope 1.7: c = a + b, d = b + 1, e = c·d at a = 2, b = 1."""
    a, b = kj.Parameter(2.0, name="a"), kj.Parameter(1.0, name="b")
    c, d = a + b, b + 1
    return c * d, {"c": c, "d": d}


def edge_of(drawing, lower, upper):
    """The edge between two nodes, by their names."""
    names = [n.name for n in drawing.nodes]
    return next(e for e in drawing.edges if (names[e.start], names[e.end]) == (lower, upper))


def test_worked_graph_has_the_numbers_of_the_notes():
    """Scope 1.7: e = 6, ∂e/∂a = 2, ∂e/∂b = 5, and each edge's derivative."""
    e, names = worked()
    found = kj.explain.draw_graph(e, names={**names, "e": e})
    assert {n.name: n.value.item() for n in found.nodes} == {"a": 2, "b": 1, "c": 3, "d": 2, "e": 6}
    assert {n.name: n.gradient.item() for n in found.nodes} == {"a": 2, "b": 5, "c": 2, "d": 3, "e": 1}
    slopes = {pair: edge_of(found, *pair).slope for pair in ("ac", "bc", "bd", "ce", "de")}
    assert slopes == {"ac": 1, "bc": 1, "bd": 1, "ce": 2, "de": 3}


def test_worked_graph_is_written_in_the_svg():
    """Every value and derivative stands as text in the drawing, which is well-formed XML."""
    e, names = worked()
    svg = kj.explain.draw_graph(e, names={**names, "e": e}).svg()
    words = reading.texts(svg)
    assert {"c = a + b", "d = b + 1", "e = c · d", "∂e/∂a = 2", "∂e/∂b = 5", "∂e/∂c = 2", "∂e/∂d = 3"} <= set(words)
    assert sorted(reading.texts(svg, "bold")) == ["1", "1", "1", "2", "3", "a", "b"]
    assert any("∂e/∂c = 2" in t for t in reading.titles(svg))


def test_flow_adds_up_to_the_gradient():
    """What comes back along the edges that leave a node is its gradient, as PyTorch finds it for the same graph."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(3, 2)), rng.normal(size=(2, 4))
    px, pw = kj.Parameter(x, name="x", dtype="float64"), kj.Parameter(w, name="w", dtype="float64")
    z = px @ pw
    found = kj.explain.draw_graph(kj.sum(kj.tanh(z) * z), names={"z": z})
    tx, tw = torch.tensor(x, requires_grad=True), torch.tensor(w, requires_grad=True)
    tz = tx @ tw
    (torch.tanh(tz) * tz).sum().backward()
    for name, expected in (("x", tx.grad), ("w", tw.grad)):
        np.testing.assert_allclose(found[name].gradient, expected.numpy(), rtol=1e-12)
    place = [n.name for n in found.nodes].index("z")
    back = sum(e.gradient for e in found.edges if e.start == place)
    np.testing.assert_allclose(back, found["z"].gradient, rtol=1e-12)


def test_parallel_uses_of_one_input_are_one_arrow():
    """x·x has one arrow from x, with the derivative 2x."""
    x = kj.Parameter(3.0, name="x")
    found = kj.explain.draw_graph(x * x)
    assert [e.slope for e in found.edges] == [6.0]


def test_nine_paths():
    """Scope 1.6: the slopes along the three edges from X to Y and the three to Z give (α+β+γ)(δ+ε+ζ)."""
    x = kj.Parameter(1.0, name="x")
    y = 2.0 * x + 3.0 * x + 4.0 * x
    z = 5.0 * y + 6.0 * y + 7.0 * y
    found = kj.explain.draw_graph(z, names={"y": y})
    assert found["x"].gradient == 9 * 18
    assert sorted(e.slope for e in found.edges if found.nodes[e.start].name == "x") == [2, 3, 4]


def test_a_model_is_drawn_by_layers_and_by_ops():
    """Both levels end in the loss PyTorch computes, with its gradient at the hidden layer."""
    net = kj.Sequential([kj.nn.Dense(3, "sigmoid"), kj.nn.Dense(2, "sigmoid")]).build((None, 3), seed=0)
    x, t = [0.9, 0.1, 0.8], [0.1, 0.9]
    w1, b1, w2, b2 = (torch.tensor(w) for w in net.get_weights())
    hidden = torch.sigmoid(torch.tensor([x]) @ w1 + b1).requires_grad_()
    loss = ((torch.sigmoid(hidden @ w2 + b2) - torch.tensor([t])) ** 2).sum()
    loss.backward()
    layers = kj.explain.draw_graph(net, x, t, loss="sse")
    assert {"x", "t", "dense_1", "dense_2", "E"} == {n.name for n in layers.nodes}
    ops = kj.explain.draw_graph(net, x, t, loss="sse", level="op")
    assert {"W⁽¹⁾", "b⁽¹⁾", "net⁽¹⁾", "o⁽¹⁾", "W⁽²⁾", "E"} <= {n.name for n in ops.nodes}
    for drawing, name in ((layers, "dense_1"), (ops, "o⁽¹⁾")):
        assert drawing["E"].value.item() == pytest.approx(loss.item(), rel=1e-6)
        np.testing.assert_allclose(drawing[name].gradient, hidden.grad.numpy(), rtol=1e-5)


def test_without_an_example_shapes_are_drawn():
    """A model alone shows the shapes of its layers, and no number that was never computed."""
    net = kj.Sequential([kj.nn.Conv2D(4, 3, "relu"), kj.nn.Flatten(), kj.nn.Dense(10)]).build((None, 8, 8, 1), seed=0)
    found = kj.explain.draw_graph(net)
    assert [n.value for n in found.nodes] == [None] * 4
    assert [n.shape for n in found.nodes] == [(8, 8, 1), (6, 6, 4), (144,), (10,)]
    assert {"6×6×4", "144", "10"} <= set(reading.texts(found.svg()))


def test_branches_of_a_functional_model_meet():
    """A skip connection is an edge of its own, past the layer it skips."""
    inputs = kj.Input((4,))
    hidden = kj.nn.Dense(4, "relu", name="hidden")(inputs)
    joined = kj.nn.Add(name="joined")(hidden, kj.nn.Dense(4, name="inner")(hidden))
    found = kj.explain.draw_graph(kj.Model(inputs, joined), np.ones(4), np.zeros(4), loss="mse")
    assert edge_of(found, "hidden", "joined") and edge_of(found, "inner", "joined")
    total = edge_of(found, "hidden", "joined").gradient + edge_of(found, "hidden", "inner").gradient
    np.testing.assert_allclose(total, found["hidden"].gradient, rtol=1e-6)


@pytest.mark.parametrize("direction", ["up", "down", "right"])
@pytest.mark.parametrize("edges", ["slope", "flow"])
def test_boxes_and_labels_keep_apart(direction, edges):
    """No box of the drawing covers another, and no label of an arrow another."""
    x = [kj.Parameter(float(i + 1), name=f"x{i}") for i in range(4)]
    y = kj.sigmoid(x[0] * x[1] + x[2] * x[3]) * x[0] - kj.tanh(x[1] - x[3])
    svg = kj.explain.draw_graph(y, direction=direction, edges=edges).svg()
    for role in ("box", "label"):
        for a, b in itertools.combinations(reading.rectangles(svg, role), 2):
            apart = a[0] + a[2] <= b[0] + 0.2 or b[0] + b[2] <= a[0] + 0.2
            assert apart or a[1] + a[3] <= b[1] + 0.2 or b[1] + b[3] <= a[1] + 0.2


def test_tikz_has_every_box_and_text():
    """The LaTeX has a node for each text and a rectangle for each box, its braces and dollars in pairs."""
    e, names = worked()
    drawing = kj.explain.draw_graph(e, names=names)
    tex = drawing.tex()
    assert tex.count(r"\node") == len(reading.texts(drawing.svg()))
    assert tex.count(" rectangle ") == 5 + 5  # boxes, and the ground of the arrows' labels
    assert tex.count("{") == tex.count("}") and all(line.count("$") % 2 == 0 for line in tex.splitlines())
    assert r"$\partial y/\partial a = $ 2" in tex and r"\definecolor{kjorange}{HTML}" in tex


@given(st.text(alphabet="abcαλ_%&#$^{}~\\−×∂⁻¹²₁₂→∗… 0123.", max_size=30))
def test_text_becomes_balanced_latex(text):
    """Whatever a name holds, braces and dollars come in pairs, and nothing LaTeX would stumble over is left."""
    found = texed(text)
    bare = re.sub(r"\\[_%&#${}]", "", found)
    assert bare.count("{") == bare.count("}") and bare.count("$") % 2 == 0
    assert not set(bare) & set("−×∂⁻¹²₁₂→∗…αλ&#%")


@settings(max_examples=40)
@given(graphs)
def test_layers_of_any_graph(drawn):
    """Every edge goes up at least one rank, nodes of one rank keep their gap, and bends lie on the ranks between."""
    n, pairs = drawn
    edges = sorted({(min(p), max(p)) for p in pairs if p[0] != p[1]})
    sizes = [(20.0 + 3 * i, 10.0 + i) for i in range(n)]
    ranks = ranked(n, edges)
    assert all(ranks[a] < ranks[b] for a, b in edges)
    found = layered(sizes, edges, (8.0, 12.0))
    for i, j in itertools.combinations(range(n), 2):
        if ranks[i] == ranks[j]:
            assert abs(found.places[i][0] - found.places[j][0]) >= (sizes[i][0] + sizes[j][0]) / 2 + 8 - 1e-6
    for (a, b), bends in zip(edges, found.routes, strict=True):
        assert len(bends) == ranks[b] - ranks[a] - 1
    assert all(x - w / 2 >= -1e-6 for (x, _), (w, _) in zip(found.places, sizes, strict=True))


def test_a_tree_has_no_crossings():
    """The order within the ranks leaves no crossing where none is needed."""
    edges = [(0, 8), (5, 8), (1, 9), (6, 9), (2, 10), (7, 10), (3, 11), (4, 11)]
    edges += [(8, 12), (9, 12), (10, 13), (11, 13), (12, 14), (13, 14)]
    found = layered([(10.0, 10.0)] * 15, edges)
    x = [p[0] for p in found.places]
    for (a, b), (c, d) in itertools.combinations(edges, 2):
        if found.places[a][1] == found.places[c][1] and b != d:
            assert (x[a] - x[c]) * (x[b] - x[d]) > 0


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: kj.explain.draw_graph(3), GraphError, "a tensor or a model, got int"),
        (lambda: kj.explain.draw_graph(kj.tensor([1.0, 2.0]) * 2, wrt=[]), ShapeError, "of one number"),
        (lambda: kj.explain.draw_graph(kj.tensor(1.0), x=[1]), GraphError, "x go with a model"),
        (lambda: kj.explain.draw_graph(kj.tensor(1.0) * 2, direction="left"), UnknownNameError, "direction"),
        (lambda: kj.explain.draw_graph(kj.tensor(1.0) * 2, edges="value"), UnknownNameError, "edges"),
        (lambda: kj.explain.draw_graph(long_chain(200)), DataError, "201 nodes"),
        (lambda: kj.explain.draw_graph(kj.Sequential([kj.nn.Dense(1)])), GraphError, "weights"),
        (lambda: kj.explain.draw_graph(dense(), y=[1.0], loss="mse"), DataError, "example x"),
        (lambda: kj.explain.draw_graph(dense(), level="element"), UnknownNameError, "level"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(call, error, said):
    """Bad input raises an error that names what came."""
    with pytest.raises(error, match=said):
        call()


def long_chain(n):
    """A chain of ops too long for a picture."""
    x = kj.Parameter(0.5, name="x")
    y = kj.sin(x)
    for _ in range(n - 1):
        y = kj.sin(y)
    return y


def dense():
    """The smallest model."""
    return kj.Sequential([kj.nn.Dense(1)]).build((None, 2), seed=0)
