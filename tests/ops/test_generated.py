"""Tests made from the ops' own samples: values and derivatives against perturbation, PyTorch and JAX."""

import jax
import numpy as np
import pytest
import torch

import kedja as kj
from kedja.engines import run_graph
from oracles.closeness import worst
from oracles.jax_ops import JAX
from oracles.op_cases import Case, cases, constants, seeded, smooth, tolerance, weighted, weights
from oracles.perturbation import along, by_perturbation
from oracles.torch_ops import TORCH

SMOOTH = list(cases(smooth))


def graph_of(case: Case, dtype: str) -> tuple[kj.Graph, list[np.ndarray]]:
    """The case's outputs as a graph of its inputs."""
    arrays = case.arrays(dtype)
    inputs = [kj.placeholder(a.shape, a.dtype) for a in arrays]
    return kj.Graph(inputs, case.outputs(inputs, dtype)), arrays


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", cases(), ids=str)
def test_announced_shape_and_type_are_those_computed(case, dtype, judged):
    """What an op says of its result before anything is computed is true of what NumPy then computes."""
    graph, arrays = graph_of(case, dtype)
    found = run_graph(graph, arrays)
    assert [(y.shape, np.asarray(y).dtype) for y in found] == [(t.shape, t.dtype) for t in graph.outputs]
    judged("shape and type", f"ops/{case.op.name}", 1)


@pytest.mark.parametrize("case", SMOOTH, ids=str)
def test_stated_derivative_equals_perturbation(case, judged):
    """The rule a stanza states agrees with moving each input by ±h, in float64."""
    graph, arrays = graph_of(case, "float64")
    by = weights(graph.outputs, str(case))
    loss = kj.Graph(graph.inputs, [weighted(graph.outputs, by)])
    wanted = [graph.inputs[i] for i in case.floats()]
    found = run_graph(kj.Graph(graph.inputs, kj.grad(loss.outputs[0], wanted)), arrays)
    for i, g in zip(case.floats(), found, strict=True):
        expected = by_perturbation(lambda *xs: run_graph(loss, xs)[0], arrays, i)
        np.testing.assert_allclose(g, expected, rtol=1e-7, atol=1e-8)
        assert g.dtype == np.float64
        judged("perturbation", f"ops/{case.op.name}", 1, worst(g, expected))


@pytest.mark.parametrize("case", SMOOTH, ids=str)
def test_forward_mode_is_the_transpose_of_reverse_mode(case, judged):
    """⟨v, J ẋ⟩ = ⟨Jᵀv, ẋ⟩: both modes come from one rule and describe one Jacobian."""
    rng = seeded("dot " + str(case))
    arrays = case.arrays("float64")
    nodes = constants(arrays)
    outputs = [y for y in case.outputs(nodes, "float64") if y.dtype == np.float64]
    xs = [nodes[i] for i in case.floats()]
    ways = [rng.normal(size=x.shape) for x in xs]
    seeds = [rng.normal(size=y.shape) for y in outputs]
    forward = sum(float(np.vdot(v, kj.jvp(y, xs, ways).numpy())) for y, v in zip(outputs, seeds, strict=True))
    back = [kj.vjp(y, xs, seed=v) for y, v in zip(outputs, seeds, strict=True)]
    reverse = sum(float(np.vdot(g.numpy(), w)) for row in back for g, w in zip(row, ways, strict=True))
    assert forward == pytest.approx(reverse, rel=1e-10, abs=1e-10)
    judged("forward = reverse", f"ops/{case.op.name}", 1, worst(forward, reverse))


@pytest.mark.parametrize("case", SMOOTH, ids=str)
def test_second_derivative_equals_perturbation_of_the_first(case, judged):
    """The gradient is a graph like any other: its own derivative is how it moves when the inputs move."""
    graph, arrays = graph_of(case, "float64")
    loss = weighted(graph.outputs, weights(graph.outputs, str(case)))
    rng = seeded("second " + str(case))
    floats = case.floats()
    ways = [rng.normal(size=arrays[i].shape) for i in floats]
    wanted = [graph.inputs[i] for i in floats]
    first = kj.grad(loss, wanted)
    ways_in = [kj.placeholder(w.shape, "float64") for w in ways]
    second = [kj.jvp(g, wanted, ways_in) for g in first]
    found = run_graph(kj.Graph([*graph.inputs, *ways_in], second), [*arrays, *ways])
    gradient = kj.Graph(graph.inputs, first)

    def moved(*xs):
        given = list(arrays)
        for i, x in zip(floats, xs, strict=True):
            given[i] = x
        return run_graph(gradient, given)

    for f, e in zip(found, along(moved, [arrays[i] for i in floats], ways), strict=True):
        np.testing.assert_allclose(f, e, rtol=1e-6, atol=1e-7)
        judged("second order", f"ops/{case.op.name}", 1, worst(f, e))


def torch_values(case: Case, dtype: str) -> tuple[list, list, object]:
    """Inputs, the float ones among them, and the output, in PyTorch."""
    inputs = [torch.tensor(a) for a in case.arrays(dtype)]
    leaves = [inputs[i].requires_grad_() for i in case.floats()]
    return inputs, leaves, TORCH[case.op.name](*inputs, **case.attrs(dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", cases(lambda c: c.op.name in TORCH), ids=str)
def test_value_equals_pytorch(case, dtype, judged):
    """Every op has the value PyTorch gives it, at infinities, huge, tiny and missing numbers too."""
    graph, arrays = graph_of(case, dtype)
    (found,) = run_graph(graph, arrays)
    expected = torch_values(case, dtype)[2].detach().numpy()
    np.testing.assert_allclose(found, expected, **tolerance(case, dtype))
    judged("PyTorch" if dtype == "float64" else "PyTorch float32", f"ops/{case.op.name}", 1, worst(found, expected))


@pytest.mark.parametrize("case", [c for c in SMOOTH if c.op.name in TORCH], ids=str)
def test_gradient_equals_pytorch(case, judged):
    """Every gradient is the one PyTorch's autograd gives."""
    graph, arrays = graph_of(case, "float64")
    (by,) = weights(graph.outputs, str(case))
    _, leaves, output = torch_values(case, "float64")
    if by is None or not output.dtype.is_floating_point:
        pytest.fail(f"{case} is marked smooth, but its result has no derivative")
    output.backward(torch.tensor(by))
    wanted = [graph.inputs[i] for i in case.floats()]
    found = run_graph(kj.Graph(graph.inputs, kj.grad(weighted(graph.outputs, [by]), wanted)), arrays)
    for g, leaf in zip(found, leaves, strict=True):
        np.testing.assert_allclose(g, leaf.grad.numpy(), rtol=1e-10, atol=1e-12)
        judged("PyTorch", f"ops/{case.op.name}", 1, worst(g, leaf.grad.numpy()))


@pytest.mark.parametrize("case", cases(lambda c: c.op.name in JAX), ids=str)
def test_value_and_gradient_equal_jax(case, judged):
    """Where JAX is the nearer relative (ties, powers, padding), values and gradients are JAX's."""
    graph, arrays = graph_of(case, "float64")
    function, attrs = JAX[case.op.name], case.attrs("float64")
    with jax.enable_x64(True):
        # Compiled whole: op by op, JAX would compile each of them for itself.
        expected = np.asarray(jax.jit(lambda *xs: function(*xs, **attrs))(*arrays))
        value = run_graph(graph, arrays)[0]
        np.testing.assert_allclose(value, expected, rtol=1e-11, atol=1e-12)
        judged("JAX", f"ops/{case.op.name}", 1, worst(value, expected))
        if smooth(case):
            (by,) = weights(graph.outputs, str(case))
            slopes = jax.jit(jax.grad(lambda *xs: (function(*xs, **attrs) * by).sum(), argnums=tuple(case.floats())))
            wanted = [graph.inputs[i] for i in case.floats()]
            found = run_graph(kj.Graph(graph.inputs, kj.grad(weighted(graph.outputs, [by]), wanted)), arrays)
            for g, e in zip(found, slopes(*arrays), strict=True):
                np.testing.assert_allclose(g, e, rtol=1e-10, atol=1e-12)
                judged("JAX", f"ops/{case.op.name}", 1, worst(g, e))
