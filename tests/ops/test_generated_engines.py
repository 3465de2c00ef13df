"""Both engines on the ops' own samples: the same values, types and shapes, and the same gradients when compiled.

All samples of an op are compiled as one program per type, since compiling costs more than running. The fast tests take
float64, whose tolerance is the narrow one, and a seeded quarter of float32.
"""

import numpy as np
import pytest

import kedja as kj
from kedja.engines import get_engine
from kedja.ops.op import OPS
from oracles.closeness import worst
from oracles.op_cases import Case, samples_of, smooth, tolerance, weighted, weights


def everything(name: str, dtype: str) -> tuple[kj.Graph, list[np.ndarray], list[Case]]:
    """One graph of the values of all samples and, where smooth, the gradients; its inputs; the case of each output."""
    found = samples_of(OPS[name])
    inputs: list[kj.Tensor] = []
    arrays: list[np.ndarray] = []
    outputs: list[kj.Tensor] = []
    owners: list[Case] = []
    for case in found:
        given = case.arrays(dtype)
        nodes = [kj.placeholder(a.shape, a.dtype) for a in given]
        values = case.outputs(nodes, dtype)
        outputs += values
        if smooth(case):
            loss = weighted(values, weights(values, str(case)))
            outputs += kj.grad(loss, [nodes[i] for i in case.floats()])
        owners += [case] * (len(outputs) - len(owners))
        inputs += nodes
        arrays += given
    return kj.Graph(inputs, outputs), arrays, owners


NAMES = sorted(name for name in OPS if list(samples_of(OPS[name])))
FAST = {("float64", name) for name in NAMES} | {
    ("float32", str(name)) for name in np.random.default_rng(4).choice(NAMES, len(NAMES) // 4, replace=False)
}


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        pytest.param(dtype, name, marks=[] if (dtype, name) in FAST else pytest.mark.long)
        for name in NAMES
        for dtype in ("float32", "float64")
    ],
)
def test_xla_equals_reference(name, dtype, judged):
    """Values and gradients of every sample are the same on both engines, with the same types and shapes."""
    graph, arrays, owners = everything(name, dtype)
    _, expected = get_engine("reference").program(graph)([], arrays)
    _, found = get_engine("xla").program(graph)([], arrays)
    for case, node, f, e in zip(owners, graph.outputs, found, expected, strict=True):
        assert (f.shape, f.dtype) == (node.shape, node.dtype)
        np.testing.assert_allclose(np.asarray(f), e, **tolerance(case, dtype), err_msg=f"{case}: {node.op}")
    apart = max(map(worst, found, expected), default=0.0) if dtype == "float64" else None
    judged("XLA = reference", f"ops/{name}", len(set(map(str, owners))), apart)
