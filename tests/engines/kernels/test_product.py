"""Products of matrices by kernels of our own give NumPy's numbers, and so does what they do to each number."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kedja.engines.xla import kernels
from oracles.closeness import near

pytest.importorskip("llvmlite")
from kedja.engines.kernels import elementwise, product_plans
from kedja.engines.kernels.elementwise import Program
from kedja.engines.kernels.target import narrowed
from kedja.engines.xla.formulas import ELEMENTWISE, SMOOTH

pytestmark = pytest.mark.skipif(not kernels.available(), reason="kernels do not serve here")
WIDTHS = sorted({narrowed(bits).bits for bits in (128, 256, 512)})
SIZES = st.sampled_from((1, 2, 7, 16, 33, 60))
ALONE = Program(("sum",), (), (0,))
# relu(sum + bias) · array, and the square of sum − 2 array, with a number known beforehand and one that is given.
BOTH = Program(
    ("sum", "array", "column", "number"),
    (
        ("add", (0, 2)),
        ("relu", (4,)),
        ("multiply", (5, 1)),
        ("literal", ()),
        ("multiply", (7, 1)),
        ("subtract", (0, 8)),
        ("square", (9,)),
        ("divide", (10, 3)),
    ),
    (6, 11),
    ((7, 2.0),),
)


def factors(rows, columns, depth, left, right, dtype, seed=0):
    """Two matrices as they lie in memory."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(rows, depth)).astype(dtype), rng.normal(size=(depth, columns)).astype(dtype)
    return np.ascontiguousarray(a.T) if left else a, np.ascontiguousarray(b.T) if right else b, a.astype("f8") @ b


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@settings(max_examples=6)
@given(rows=SIZES, columns=SIZES, depth=SIZES, left=st.booleans(), right=st.booleans())
def test_each_vector_width_gives_numpys_numbers(bits, dtype, rows, columns, depth, left, right):
    """For any sizes, each factor as it is or transposed, with a program of two results behind the product."""
    a, b, y = factors(rows, columns, depth, left, right, dtype)
    rng = np.random.default_rng(1)
    array, column = rng.normal(size=(rows, columns)).astype(dtype), rng.normal(size=columns).astype(dtype)
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "_target", lambda: narrowed(bits))
        near(kernels.product(a, b, left, right, ALONE)[0], y, dtype)
        numbers = [np.asarray(3.0, dtype)]
        found = kernels.product(a, b, left, right, BOTH, [array], [column], numbers)
        near(found[0], np.maximum(y + column, 0) * array, dtype)
        near(found[1], (y - 2 * array) ** 2 / 3, dtype)


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("rows", "columns", "depth"), [(32, 100, 784), (9, 130, 2001), (17, 333, 700), (16, 300, 441)])
def test_few_rows_in_parts_of_k(bits, dtype, rows, columns, depth):
    """Each stretch of k is summed apart, and joined before the program sees the sums; b is read where it lies."""
    a, b, y = factors(rows, columns, depth, False, False, dtype)
    rng = np.random.default_rng(1)
    array, column = rng.normal(size=(rows, columns)).astype(dtype), rng.normal(size=columns).astype(dtype)
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "_target", lambda: narrowed(bits))
        patch.setattr(product_plans, "FEW_TILES", 100)
        plan = product_plans.plan_product(rows, columns, depth, dtype, narrowed(bits), BOTH)
        found = kernels.product(a, b, False, False, BOTH, [array], [column], [np.asarray(3.0, dtype)])
    assert plan.kind.parts
    near(found[0], np.maximum(y + column, 0) * array, dtype)
    near(found[1], (y - 2 * array) ** 2 / 3, dtype)


def test_a_division_by_a_number_of_all_is_a_product():
    """Its reciprocal is made once; it agrees with the quotient to a unit of the last place or two."""
    steps = (("divide", (1, 2)), ("add", (2, 2)), ("divide", (3, 4)), ("divide", (2, 4)), ("multiply", (5, 6)))
    program = Program(("sum", "array", "number"), steps, (7,))
    x = np.random.default_rng(5).normal(size=(32, 40)).astype("float32")
    one, zero = np.ones((32, 1), np.float32), np.zeros((1, 40), np.float32)
    found = kernels.product(one, zero, False, False, program, [x], (), [np.float32(0.3)])[0]
    np.testing.assert_allclose(np.asarray(found), x / np.float32(0.3) / np.float32(0.6) / 2, rtol=4e-7)


@pytest.mark.parametrize(
    "sizes", [(256, 96, 2304, False, True), (40, 100, 4096, False, False), (130, 70, 600, True, False)]
)
def test_sums_longer_than_a_stretch_and_rows_apart(sizes):
    """k in several stretches, and rows that are copied because they lie a power of two apart."""
    a, b, y = factors(*sizes, "float32")
    near(kernels.product(a, b, *sizes[3:], ALONE)[0], y, "float32")


def test_the_bits_do_not_depend_on_how_the_work_is_divided(monkeypatch):
    """One chunk or many: each sum is made in the order of k."""
    a, b, _ = factors(200, 300, 900, False, False, "float32")
    found = []
    for chunks in (1, 2, 16):
        monkeypatch.setattr(product_plans, "CHUNKS", chunks)
        found.append(np.asarray(kernels.product(a, b, False, False, ALONE)[0]))
    assert all(np.array_equal(found[0], other) for other in found)


def test_a_result_is_written_over_an_array_once():
    """The last tile goes past the last row: nothing of it is done twice."""
    a, b, y = factors(37, 21, 9, True, False, "float32")
    add = Program(("sum", "array"), (("add", (0, 1)),), (2,))
    array = np.ones((37, 21), np.float32)
    step = jax.jit(lambda p: kernels.product(a, b, True, False, add, [p], over={0: 0})[0], donate_argnums=0)
    near(step(step(jax.numpy.asarray(array))), 2 * y + 1, "float32")


def test_every_op_a_cluster_may_hold_is_written_and_keeps_what_is_missing():
    """Each op gives what its NumPy function gives, for NaN and infinities too."""
    assert {op.name for op in (*ELEMENTWISE, *SMOOTH)} == {*elementwise.WRITE, *elementwise.SMOOTH}
    odd = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, -2.5, 3e-4], np.float32)
    x, y = (v.reshape(8, 8).copy() for v in np.meshgrid(odd, odd))
    one, zero = np.ones((8, 1), np.float32), np.zeros((1, 8), np.float32)
    for op in (*ELEMENTWISE, *SMOOTH):
        if op.name in ("cast", "where"):  # of a comparison
            steps = (("greater", (1, 2)), (op.name, (3,) if op.name == "cast" else (3, 1, 2)))
            expected = (x > y).astype("f4") if op.name == "cast" else np.where(x > y, x, y)
        else:
            arity = getattr(op.compute, "nin", 1)
            steps = ((op.name, (1, 2)[:arity]),)
            with np.errstate(all="ignore"):
                expected = op.compute(*(x, y)[:arity])
            if expected.dtype == bool:
                steps, expected = (*steps, ("cast", (3,))), expected.astype("f4")
        program = Program(("sum", "array", "array"), steps, (2 + len(steps),))
        found = np.asarray(kernels.product(one, zero, False, False, program, [x, y])[0])
        few_units = 1e-6 if op in SMOOTH else 0
        np.testing.assert_allclose(found, expected, rtol=few_units, atol=0, err_msg=op.name)
