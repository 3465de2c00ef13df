"""The sum over paths: counted against networkx, added up against reverse mode (scope 1.6)."""

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kedja as kj
from kedja.diff.paths import web
from kedja.errors import DTypeError, GraphError


def as_networkx(found):
    graph = networkx.MultiDiGraph()
    graph.add_nodes_from([found.x, found.y])
    for edge in found.edges:
        graph.add_edge(edge.start, edge.end, key=edge.position)
    return graph


@st.composite
def graphs(draw):
    """A random graph of sums and products above one input, and one of its nodes."""
    x = kj.tensor(draw(st.sampled_from([0.5, -0.7, 1.1])), dtype="float64", name="x")
    nodes = [x, kj.tensor(0.3, dtype="float64")]
    for _ in range(draw(st.integers(1, 7))):
        a, b = (nodes[draw(st.integers(0, len(nodes) - 1))] for _ in "ab")
        nodes.append(draw(st.sampled_from([kj.add, kj.multiply, kj.subtract]))(a, b))
        if draw(st.booleans()):
            nodes.append(draw(st.sampled_from([kj.sin, kj.square, kj.sign]))(nodes[-1]))
    return nodes[-1], x


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_paths_are_those_of_networkx_and_add_up_to_the_gradient(drawn):
    """Counted without listing, listed by walking, and summed: three ways, two judges."""
    y, x = drawn
    found = web(y, x)
    theirs = list(networkx.all_simple_edge_paths(as_networkx(found), x, y)) if y is not x else [()]
    assert found.count == len(theirs)
    ours = found.listed(10**6)
    assert {tuple((e.start, e.end, e.position) for e in p) for p in ours} == {tuple(p) for p in theirs}
    total = sum(float(c.numpy()) for c in found.contributions(ours)) if ours else 0.0
    assert total == pytest.approx(float(kj.grad(y, x).numpy()), rel=1e-12, abs=1e-12)


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_every_path_goes_through_a_waist(drawn):
    """A waist is a node that lies on all listed paths, and no other does."""
    found = web(*drawn)
    ours = [{found.x, *(e.end for e in path)} for path in found.listed(10**6)]
    assert set(found.waists) == (set.intersection(*ours) if ours else set(found.waists))


def test_the_count_explodes_and_is_exact():
    """A product of each node with itself doubles the count: 2^200 are counted at once, and the first can be listed."""
    x = kj.tensor(0.99, dtype="float64")
    y = x
    for _ in range(200):
        y = y * y
    found = web(y, x)
    assert found.count == 2**200 and len(found.edges) == 400
    assert [len(path) for path in found.listed(3)] == [200, 200, 200]


def test_tensors_add_up_too():
    """Messages along the paths of a small network, matrices and broadcasting included, sum to the gradient."""
    rng = np.random.default_rng(0)
    w, v = (kj.tensor(rng.normal(size=s), dtype="float64") for s in ((3, 4), (4, 4)))
    b = kj.tensor(rng.normal(size=4), dtype="float64")
    h = kj.tanh(kj.tensor(rng.normal(size=(2, 3)), dtype="float64") @ w + b)
    y = ((h + kj.sin(h @ v)) * h).sum()
    for x in (w, v, b):
        found = web(y, x)
        total = sum(c.numpy() for c in found.contributions(found.listed(100)))
        assert total == pytest.approx(kj.grad(y, x).numpy(), rel=1e-12)


def test_edges_have_the_derivatives_of_the_worked_graph():
    """Scope 1.7: c = a + b, d = b + 1, e = c d at a = 2, b = 1."""
    a, b = kj.tensor(2.0, name="a"), kj.tensor(1.0, name="b")
    c, d = a + b, b + 1
    found = web(c * d, b)
    slopes = {(e.start, e.end): found.derivative(e).item() for e in found.edges}
    e = found.y
    assert slopes == {(b, c): 1, (b, d): 1, (c, e): 2, (d, e): 3}


def test_nothing_flows_through_steps():
    """A path over sign or a stopped gradient is none."""
    x = kj.tensor(2.0)
    assert web(kj.sign(x) * x + kj.stop_gradient(x) * 3, x).count == 1
    assert web(kj.sign(x), x).count == 0


def test_what_paths_do_not_do():
    """Integers and loops are refused by name."""
    x = kj.tensor(2.0)
    with pytest.raises(DTypeError, match="int32"):
        web(x, kj.tensor(1, dtype="int32"))
    with pytest.raises(GraphError, match="got float"):
        web(2.0, x)
    looped, _ = kj.scan(lambda carry, _: (carry * x, carry), kj.tensor(1.0), length=3)
    with pytest.raises(GraphError, match="loop"):
        web(looped, x)
