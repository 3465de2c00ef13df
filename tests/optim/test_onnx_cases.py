"""The training cases of the ONNX standard (Adagrad, Adam, Momentum) come out, after converting conventions.

ONNX adds the penalty's gradient, norm_coefficient · X, itself; lets Adagrad's rate fall with T; corrects Adam's bias
only when T > 0; and has a velocity without the rate. All its cases are at T = 0.
"""

import importlib
from typing import Any

import numpy as np
import pytest

from kedja.optim import Adagrad, Adam, Momentum, Nesterov
from oracles.closeness import worst
from oracles.optimisers import by_ours_together


def cases() -> list[Any]:
    """The cases of these operators alone: the others take seconds to make."""
    node = importlib.import_module("onnx.backend.test.case.node")
    for operator in ("adagrad", "adam", "momentum"):
        importlib.import_module(f"onnx.backend.test.case.node.{operator}")
    found = {case.name: case for case in node._NodeTestCases if case.model.graph.node[0].op_type in
             ("Adagrad", "Adam", "Momentum")}  # fmt: skip
    return list(found.values())


CASES = cases()


def test_all_seven_are_here():
    """The standard has seven cases of training ops."""
    assert sorted(c.name for c in CASES) == [
        "test_adagrad", "test_adagrad_multiple", "test_adam", "test_adam_multiple", "test_momentum",
        "test_momentum_multiple", "test_nesterov_momentum",
    ]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_onnx_case(case, judged):
    """New parameters and new slots are those of the case."""
    node = case.model.graph.node[0]
    attrs = {a.name: a.s.decode() if a.s else a.f for a in node.attribute}
    (inputs, outputs), many = case.data_sets[0], len(case.data_sets[0][0]) > 6
    rate, time, tensors = float(inputs[0]), int(inputs[1]), inputs[2:]
    assert time == 0
    n = 2 if many else 1
    kinds = [tensors[i : i + n] for i in range(0, len(tensors), n)]
    xs, gs, *slots = kinds
    gs = [g + attrs["norm_coefficient"] * x for g, x in zip(gs, xs, strict=True)]
    signs = [1.0] * len(slots)
    steps = 0
    if node.op_type == "Adagrad":
        rule, names = Adagrad(rate, attrs["epsilon"]), ["square"]
    elif node.op_type == "Adam":
        rule, names = Adam(rate, attrs["alpha"], attrs["beta"], attrs["epsilon"]), ["mean", "square"]
        steps = 100_000  # by then no bias is left to correct
    else:
        choose = Nesterov if attrs["mode"] == "nesterov" else Momentum
        rule, names, signs = choose(rate, attrs["alpha"]), ["velocity"], [-rate]
    memory = {"optimizer.steps": steps}
    for name, sign, values in zip(names, signs, slots, strict=True):
        memory |= {f"optimizer.x{i}.{name}": sign * v for i, v in enumerate(values)}
    found = by_ours_together(
        rule, {f"x{i}": x for i, x in enumerate(xs)}, [gs], memory=memory, dtype="float32"
    )[-1]  # fmt: skip
    expected = [outputs[i : i + n] for i in range(0, len(outputs), n)]
    for i in range(n):
        np.testing.assert_allclose(found[f"x{i}"], expected[0][i], rtol=1e-6)
        judged("ONNX float32", f"optimisers/{type(rule).__name__}", 1, worst(found[f"x{i}"], expected[0][i]))
        for name, sign, values in zip(names, signs, expected[1:], strict=True):
            np.testing.assert_allclose(found[f"optimizer.x{i}.{name}"] / sign, values[i], rtol=1e-5)
