"""ONNX's own node cases, unmodified, through kedja's ops: which operators, how many cases, on both engines."""

import random
import warnings
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from onnx.backend.test.case.node import collect_testcases
from onnx.backend.test.runner import Runner, _normalize_tensor

import kedja as kj
from kedja.formats.onnx.graph import inlined, unknown
from kedja.graph.node import CONSTANT

# The operators that must pass, and how many cases of a single node onnx 1.23.2 has for each. The list is fixed.
GROUPS = {
    "arithmetic": """
        Abs 1, Acos 2, Acosh 2, Add 8, Asin 2, Asinh 2, Atan 2, Atanh 2, Ceil 2, Clip 12, Cos 2, Cosh 2, Div 10, Erf 1,
        Exp 2, Floor 2, Log 2, Max 14, Mean 3, Min 14, Mod 19, Mul 9, Neg 2, Pow 12, Reciprocal 2, Round 1, Sign 1,
        Sin 2, Sinh 2, Sqrt 2, Sub 9, Sum 3, Tan 2, IsInf 4, IsNaN 2""",
    "comparison and logic": """
        And 8, Equal 10, Greater 8, GreaterOrEqual 8, Less 8, LessOrEqual 8, Not 3, Or 8, Xor 8, Where 2""",
    "activations": """
        Celu 3, Elu 3, Gelu 4, HardSigmoid 3, HardSwish 1, Hardmax 7, Identity 5, LeakyRelu 3, LogSoftmax 7, Mish 1,
        PRelu 2, Relu 1, Selu 3, Shrink 2, Sigmoid 2, Softmax 7, Softplus 2, Softsign 2, Swish 1, Tanh 2,
        ThresholdedRelu 3, SwiGLU 3""",
    "reductions": """
        ArgMax 16, ArgMin 16, CumSum 9, ReduceL1 9, ReduceL2 9, ReduceLogSum 5, ReduceLogSumExp 9, ReduceMax 11,
        ReduceMean 8, ReduceMin 10, ReduceProd 9, ReduceSum 12, ReduceSumSquare 9, TopK 7""",
    "shaping and indexing": """
        Cast 116, Concat 12, Constant 1, ConstantOfShape 3, DepthToSpace 2, Einsum 9, Expand 2, EyeLike 3, Flatten 9,
        Gather 4, GatherElements 3, GatherND 3, OneHot 6, Pad 6, Range 4, Reshape 10, ScatterElements 7, ScatterND 7,
        Shape 11, Size 2, Slice 8, SpaceToDepth 4, Split 16, Squeeze 2, Tile 2, Transpose 7, Trilu 18, Unsqueeze 7""",
    "linear and convolution": "Conv 6, ConvTranspose 11, Gemm 11, MatMul 7",
    "pooling": "AveragePool 20, GlobalAveragePool 2, GlobalMaxPool 2, LpPool 8, MaxPool 19",
    "normalisation": """
        BatchNormalization 4, GroupNormalization 2, InstanceNormalization 2, LRN 2, LayerNormalization 19,
        LpNormalization 6, MeanVarianceNormalization 1, RMSNormalization 19""",
    "losses": "NegativeLogLikelihoodLoss 18, SoftmaxCrossEntropyLoss 34",
    "recurrent": "RNN 6, LSTM 6, GRU 6",
    "regularisation": "Dropout 12",
    "training": "Adagrad 2, Adam 2, Momentum 3",
}
WANTED = {
    name: (int(number), group)
    for group, listed in GROUPS.items()
    for name, number in (pair.split() for pair in listed.split(","))
}
EXCLUDED: dict[str, str] = {}
"""Cases that need not pass, by name, with the reason: text or types NumPy has not. None is needed."""
LEAST = 850
RECORDED = "ONNX node cases"


@cache
def every_case() -> list[Any]:
    """All node cases, made once (5 s)."""
    with warnings.catch_warnings():  # the suite divides by zero to get its infinities
        warnings.simplefilter("ignore", RuntimeWarning)
        return collect_testcases()


@cache
def cases() -> dict[str, list[Any]]:
    """Those of a single node, by operator."""
    found: dict[str, list[Any]] = {}
    for case in every_case():
        if len(case.model.graph.node) == 1:
            found.setdefault(case.model.graph.node[0].op_type, []).append(case)
    return found


def run(case: Any, engine: str = "reference") -> float:
    """Hold one case to its own tolerance by ONNX's own comparison; the worst error of its float outputs."""
    prepared = kj.onnx.Backend.prepare(case.model, "CPU", engine=engine)
    worst = 0.0
    for given, expected in case.data_sets:
        inputs, wanted = [_normalize_tensor(x) for x in given], [_normalize_tensor(x) for x in expected]
        outputs = prepared.run(inputs)
        Runner.assert_similar_outputs(wanted, outputs, case.rtol, case.atol)
        worst = max(worst, *(error(y, e) for y, e in zip(outputs, wanted, strict=True)), 0.0)
    return worst


def error(found: Any, expected: Any) -> float:
    """The largest difference, measured against the largest entry (at least 1), of float32 and float64 outputs."""
    if getattr(found, "dtype", None) not in (np.float32, np.float64) or not found.size:
        return 0.0
    both = np.isfinite(found) & np.isfinite(expected)
    gap = np.abs(found[both] - expected[both])
    return float(gap.max() / max(1.0, np.abs(expected[both]).max())) if gap.size else 0.0


def failures(chosen: Sequence[Any], engine: str = "reference") -> tuple[list[str], float]:
    """The cases that do not pass, with the first line of why, and the worst error of the others."""
    found, worst = [], 0.0
    for case in chosen:
        try:
            worst = max(worst, run(case, engine))
        except Exception as why:  # whatever it is, the case has failed
            found.append(f"{case.name}: {type(why).__name__}: {' '.join(str(why).split())[:200]}")
    return found, worst


@pytest.mark.parametrize("operator", WANTED)
def test_all_cases_of_the_operator_pass(operator, judged):
    """Every case of an operator on the list gives ONNX's numbers, but for those excluded by name."""
    number, group = WANTED[operator]
    chosen = cases()[operator]
    assert len(chosen) == number
    failed, worst = failures([case for case in chosen if case.name not in EXCLUDED])
    assert failed == []
    judged(RECORDED, f"ONNX: {group}", sum(case.name not in EXCLUDED for case in chosen), worst)


def test_list_is_whole():
    """950 cases of 135 operators; what is excluded exists, has a reason, and leaves enough."""
    listed = [case.name for operator in WANTED for case in cases()[operator]]
    assert len(WANTED) == 135 and len(listed) == 950
    assert set(EXCLUDED) <= set(listed) and all(EXCLUDED.values())
    assert len(listed) - len(EXCLUDED) >= LEAST


def test_cases_beyond_the_list_pass(judged):
    """Whatever else kedja has the operators for passes too: models of several nodes, and operators nobody asked for."""
    listed = {case.name for operator in WANTED for case in cases()[operator]}
    chosen = [case for case in every_case() if case.name not in listed and not unknown(inlined(case.model).graph)]
    failed, worst = failures(chosen)
    assert failed == []
    assert len(chosen) >= 660
    judged(RECORDED, "ONNX: beyond the list", len(chosen), worst)


def test_sample_passes_on_xla(judged):
    """A seeded sample of the list, one or two cases of each group, compiled."""
    rng = random.Random(3)
    by_group: dict[str, list[Any]] = {}
    for operator, (_, group) in WANTED.items():
        by_group.setdefault(group, []).extend(case for case in cases()[operator] if case.name not in EXCLUDED)
    chosen = [case for group in by_group.values() for case in rng.sample(group, 2)]
    failed, worst = failures(chosen, "xla")
    assert failed == []
    judged("XLA", "ONNX", len(chosen), worst)


@pytest.mark.long
@pytest.mark.parametrize("operator", WANTED)
def test_all_cases_pass_on_xla(operator, judged):
    """The whole list, compiled."""
    chosen = [case for case in cases()[operator] if case.name not in EXCLUDED]
    failed, worst = failures(chosen, "xla")
    assert failed == []
    judged("XLA", f"ONNX: {WANTED[operator][1]}", len(chosen), worst)


def test_official_runner_accepts_the_backend():
    """The suite's own test functions, as ONNX builds them for a backend, run and compare."""
    runner = Runner(kj.onnx.Backend, __name__)
    names = ["test_gemm_all_attributes_cpu", "test_lstm_bidirectional_cpu", "test_maxpool_2d_ceil_cpu"]
    items = runner.include("|".join(f"^{n}$" for n in names)).test_cases["OnnxBackendNodeModelTest"]
    for name in names:
        getattr(items(name), name)()


def test_engine_computes_the_answers():
    """The work is done by ops of a graph: no output is a constant that was worked out while the graph was built."""
    kinds: Counter[str] = Counter()
    for operator in ("Gemm", "Conv", "LSTM", "Einsum", "ReduceProd", "ScatterND", "Softmax", "MaxPool"):
        for case in cases()[operator]:
            prepared = kj.onnx.Backend.prepare(case.model)
            prepared.run([_normalize_tensor(x) for x in case.data_sets[0][0]])
            ((program, _),) = prepared._programs.values()
            assert all(y.op is not CONSTANT for y in program.graph.outputs), case.name
            kinds.update(n.op.name for n in program.graph.order if not n.is_leaf)
    assert {"matmul", "conv", "scan", "multiply", "softmax", "max_pool"} <= set(kinds)
