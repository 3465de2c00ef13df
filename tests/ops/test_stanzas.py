"""Every op's stanza is complete: notation, samples, a derivative or the mark of having none, a lowering."""

import pytest

import kedja as kj
from kedja.engines.xla.lowering import LOWER
from kedja.ops.op import OPS, ByHand, Elementwise, is_differentiable
from oracles.jax_ops import JAX
from oracles.op_cases import cases, samples_of
from oracles.torch_ops import TORCH

SAMPLED_THROUGH = {"item": ("scan", "map"), "custom": ()}  # nodes only other ops make; "custom" has tests of its own
OWN_TESTS = {"scan", "map", "random_bits", "fold_key", "unit_interval"}  # judged in test_control.py, test_random.py
PARTIAL_FREE = {
    "all", "any", "arange", "argmax", "argmin", "argsort", "ceil", "equal", "floor", "floor_divide", "fold_key",
    "greater", "greater_equal", "isfinite", "isnan", "less", "less_equal", "logical_and", "logical_not", "logical_or",
    "logical_xor", "not_equal", "random_bits", "remainder", "round", "sign", "stop_gradient", "unit_interval",
}  # fmt: skip
NAMES = sorted(OPS)


@pytest.mark.parametrize("name", NAMES)
def test_op_has_samples(name):
    """An op without samples would be an op without generated tests."""
    assert name in SAMPLED_THROUGH or samples_of(OPS[name])


@pytest.mark.parametrize("name", NAMES)
def test_op_has_a_lowering(name):
    """The XLA engine knows every op."""
    assert OPS[name] in LOWER


@pytest.mark.parametrize("name", NAMES)
def test_op_has_a_derivative_or_the_mark_of_having_none(name):
    """No op is without derivative by accident: those that have none are listed here and say so themselves."""
    assert is_differentiable(OPS[name]) == (name not in PARTIAL_FREE)


@pytest.mark.parametrize("name", NAMES)
def test_op_states_a_rule_for_every_input(name):
    """An elementwise op has one partial derivative per input, and an op by hand has both modes."""
    op = OPS[name]
    if isinstance(op, Elementwise) and op.partials is not None:
        assert len(op.partials) == op.arity
    if isinstance(op, ByHand):
        assert op._pull is not None and op._push is not None


@pytest.mark.parametrize("name", NAMES)
def test_op_has_an_outside_judge(name):
    """PyTorch or JAX has the op, or tests of its own are named here."""
    assert name in TORCH or name in JAX or name in OWN_TESTS or name in SAMPLED_THROUGH


@pytest.mark.parametrize("case", cases(), ids=str)
def test_op_is_written_in_text_and_tex(case):
    """Both notations fill in for every sample, with balanced braces and the inputs named."""
    arrays = case.arrays("float64")
    inputs = [kj.placeholder(a.shape, a.dtype, name) for a, name in zip(arrays, "abcde", strict=False)]
    for node in case.outputs(inputs, "float64"):
        text, tex = node.text(), node.tex()
        assert text and text.count("(") == text.count(")")
        assert tex.count("{") == tex.count("}") and tex.count(r"\left") == tex.count(r"\right")
        assert all(x.name in tex for x in inputs)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in SAMPLED_THROUGH])
def test_op_documents_itself(name):
    """`help` of an op says what it is, from its stanza."""
    assert name.split("_")[0] in OPS[name].__doc__ or "y = " in OPS[name].__doc__
