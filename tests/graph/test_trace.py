"""Tracing functions into graphs, and nests."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kedja as kj
from kedja.errors import GraphError
from kedja.graph.recording import is_tracing
from kedja.graph.trace import flatten, trace, unflatten

NESTS = st.recursive(
    st.integers() | st.none(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(NESTS)
def test_unflatten_undoes_flatten(nest):
    """Any nest of tuples, lists, dicts and None comes back as it was."""
    leaves, structure = flatten(nest)
    assert unflatten(structure, leaves) == nest


def test_trace_builds_without_computing():
    """The function is run once, on placeholders."""
    calls = []

    def f(x):
        calls.append(is_tracing())
        return {"twice": x * 2, "sum": [x.sum()]}

    graph = trace(f, [((3,), "float32")])
    assert (calls, is_tracing(), [t.shape for t in graph.outputs]) == ([True], False, [(3,), ()])


@pytest.mark.parametrize("ask", [bool, float, lambda x: x.numpy(), lambda x: 3.0 if x > 0 else 1.0, print])
def test_values_of_traced_tensors_are_refused_by_name(ask):
    """Asking a traced tensor for its value names kj.where (print shows that there is none)."""
    if ask is print:
        trace(ask, [((), "float32")])
        return
    with pytest.raises(GraphError, match=r"kj\.where|is an input of a graph"):
        trace(ask, [((), "float32")])


def test_bool_of_a_traced_tensor_names_where():
    """`if x > 0:` inside a compiled function."""
    with pytest.raises(GraphError, match=r"kj\.where\(condition, a, b\) instead of if"):
        kj.compile(lambda x: x if x > 0 else -x)(1.0)


def test_an_error_inside_leaves_no_trace_open():
    """After an exception the next assignment works."""
    with pytest.raises(ZeroDivisionError):
        trace(lambda x: 1 / 0, [((), "float32")])
    assert not is_tracing()


def test_capture_makes_outside_nodes_inputs():
    """Bodies of loops list what they took from around them; inner constants stay inside."""
    outer, w = kj.tensor([2.0]) * 1.0, kj.Parameter([3.0])
    graph = trace(lambda x: x * outer + w + 1.0, [((1,), "float32")], capture=True)
    assert (graph.inputs[1:], graph.variables) == ((outer, w) if outer.serial < w.serial else (w, outer), [])


def test_graph_lists_its_parts():
    """Inputs, variables in order of birth, constants."""
    a, b = kj.Parameter(1.0, name="a"), kj.Parameter(2.0, name="b")
    graph = trace(lambda x: b * a + x + 5.0, [((), "float32")])
    assert ([v.name for v in graph.variables], len(graph.constants), len(graph)) == (["a", "b"], 1, 7)


def test_any_node_can_be_an_input():
    """Values may be given in the middle of a graph; what lies above is not computed."""
    x = kj.placeholder((), "float32")
    middle = kj.exp(x)
    assert kj.Graph([middle], [middle * 2.0]).run([np.float32(5.0)])[0] == 10.0


def chain(n: int) -> tuple[kj.Tensor, kj.Tensor]:
    """A string of n tiny nodes."""
    x = y = kj.Parameter(0.5)
    for i in range(n):
        y = kj.sin(y) if i % 2 else y + 0.001
    return x, y


def test_ten_thousand_nodes_run_and_differentiate_without_recursion():
    """A deep chain builds, evaluates and differentiates in both modes."""
    x, y = chain(10_000)
    g = kj.grad(y, x)
    assert np.isfinite(y.item()) and g.item() == pytest.approx(kj.jvp(y, x, 1.0).item(), rel=1e-4)


def test_the_gradient_of_a_chain_grows_linearly():
    """Twice the chain, twice the nodes of the gradient."""
    sizes = []
    for n in (5_000, 10_000):
        x, y = chain(n)
        sizes.append(len(kj.Graph([], [kj.grad(y, x)])))
    assert sizes[1] == pytest.approx(2 * sizes[0], rel=0.01)
