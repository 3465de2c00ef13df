"""Nodes: operators, types, shapes, immutability, identity, sources, and what is refused."""

import gc
import operator
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import kedja as kj
from kedja.errors import DTypeError, GraphError, KedjaError, ShapeError
from kedja.graph.node import ELSEWHERE, Tensor, ancestors, constant, placeholder

OPERATORS = [operator.add, operator.sub, operator.mul, operator.truediv, operator.lt, operator.le, operator.gt]
OPERATORS += [operator.ge, operator.eq, operator.ne]
SHAPES = hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4, min_side=0)


@settings(max_examples=80, deadline=None)
@given(SHAPES, st.sampled_from(OPERATORS), st.integers(0, 2**32 - 1))
def test_operators_broadcast_as_in_numpy(shapes, op, seed):
    """Shapes and values of a binary operator are NumPy's, for every pair of shapes that fit."""
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(1, 5, s).astype(np.float32) for s in shapes.input_shapes)
    found = op(kj.tensor(a), kj.tensor(b))
    assert found.shape == shapes.result_shape
    np.testing.assert_array_equal(found.numpy(), op(a, b))


@settings(max_examples=80, deadline=None)
@given(hnp.array_shapes(min_dims=0, max_dims=3, max_side=3), hnp.array_shapes(min_dims=0, max_dims=3, max_side=3))
def test_shapes_that_do_not_fit_numpy_do_not_fit_here(a, b):
    """A pair is refused exactly when NumPy refuses it, and the message shows both shapes."""
    x, y = placeholder(a), placeholder(b)
    try:
        expected = np.broadcast_shapes(a, b)
    except ValueError:
        with pytest.raises(ShapeError) as caught:
            x + y
        assert str(a) in str(caught.value) and str(b) in str(caught.value)
    else:
        assert (x + y).shape == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (lambda x: 1 - x, [0.0, -1.0]), (lambda x: 6 / x, [6.0, 3.0]), (lambda x: 2**x, [2.0, 4.0]),
        (lambda x: x**2, [1.0, 4.0]), (lambda x: x**-1, [1.0, 0.5]), (lambda x: x**0, [1.0, 1.0]),
        (lambda x: np.array([1.0, 2.0]) * x, [1.0, 4.0]), (lambda x: np.float64(3.0) - x, [2.0, 1.0]),
        (lambda x: [1, 2.5] - -x, [2.0, 4.5]), (lambda x: abs(-x), [1.0, 2.0]), (lambda x: x @ x, 5.0),
        (lambda x: np.array([1.0, 1.0]) @ x, 3.0),
    ],
)  # fmt: skip
def test_numbers_lists_and_float64_arrays_stand_beside_a_tensor(written, expected):
    """Python numbers, lists and float64 arrays take the tensor's type, on either side."""
    y = written(kj.tensor([1.0, 2.0]))
    assert (y.dtype, y.tolist()) == (np.float32, expected)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (lambda i: i + 1, [8, 9]), (lambda i: i * [2, 3], [14, 24]), (lambda i: i // 2, [3, 4]),
        (lambda i: 20 // i, [2, 2]),
        (lambda i: i % 5, [2, 3]), (lambda i: 10 % i, [3, 2]), (lambda i: -i, [-7, -8]), (lambda i: i**2, [49, 64]),
        (lambda i: i == 7, [True, False]), (lambda i: (i > 7) | (i == 7), [True, True]),
        (lambda i: (i > 7) ^ True, [True, False]), (lambda i: ~(i > 7), [True, False]),
        (lambda i: True & (i > 7), [False, True]),
    ],
)  # fmt: skip
def test_integers_and_booleans_have_their_operators(written, expected):
    """Whole numbers beside an integer tensor stay integers."""
    assert written(kj.tensor([7, 8], dtype="int64")).tolist() == expected


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (lambda f, i: f + i, "float32 and int64"),
        (lambda f, i: i + 0.5, "0.5 does not fit beside a int64 tensor"),
        (lambda f, i: i * [1.5, 2.0], "does not fit beside a int64"),
        (lambda f, i: f * np.float64(2.0) + np.ones(2, np.int64), "float32 and int64"),
        (lambda f, i: f + np.float16(1.0), "float32 and float16"),
        (lambda f, i: f + kj.tensor([1.0], dtype="float64"), "float32 and float64"),
        (lambda f, i: f * True, "float32 and bool"),
        (lambda f, i: (f > 0) + (f > 1), "numeric"),
        (lambda f, i: kj.sin(i), "floating-point"),
        (lambda f, i: f & f, "boolean"),
        (lambda f, i: i / i, "floating-point"),
        (lambda f, i: f // 2.0, "integer"),
        (lambda f, i: kj.where(f, f, f), "condition must be boolean"),
        (lambda f, i: kj.cast(i, "int8") + 300, "300 does not fit into int8"),
        (lambda f, i: kj.cast(i, "uint8") - (-1), "-1 does not fit into uint8"),
        (lambda f, i: kj.tensor("text"), "Turn text into numbers"),
        (lambda f, i: kj.tensor(1j), "complex128"),
        (lambda f, i: kj.tensor([f, f]), "kj.stack"),
        (lambda f, i: f * [f[0], f[1]], "kj.stack"),
    ],
)
def test_types_are_never_promoted(written, words):
    """Whatever would need a silent conversion is an error that says so."""
    with pytest.raises(DTypeError, match=words):
        written(kj.tensor([1.0, 2.0]), kj.tensor([1, 2], dtype="int64"))


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (1, "float32"), (1.5, "float32"), (True, "bool"), ([1, 2], "float32"), (np.ones(2), "float32"),
        (np.float64(1), "float32"), (np.ones(2, np.float32), "float32"), (np.ones(2, np.int64), "int64"),
        (np.int32(3), "int32"), ([np.int64(1)], "int64"), ([np.float16(1)], "float16"), ([], "float32"),
        (np.arange(2, dtype=">i4"), "int32"), (np.ones(2, dtype=">f4"), "float32"), (torch.ones(2), "float32"),
        (torch.ones(2, dtype=torch.int64), "int64"), (torch.ones(2, requires_grad=True), "float32"),
    ],
)  # fmt: skip
def test_what_values_become(value, dtype):
    """Python numbers and float64 become the default type, everything else keeps its own."""
    assert kj.tensor(value).dtype is np.dtype(dtype)


def test_default_dtype_holds_inside_its_block_only():
    """float64 inside, float32 after, whatever happens."""
    with pytest.raises(ZeroDivisionError), kj.default_dtype("float64"):
        assert kj.tensor(1).dtype == np.float64
        raise ZeroDivisionError
    assert kj.tensor(1).dtype == np.float32


@pytest.mark.parametrize("dtype", ["int32", "bool"])
def test_default_dtype_must_be_floating_point(dtype):
    """Integers cannot be the default."""
    with pytest.raises(DTypeError, match="floating-point"):
        kj.set_default_dtype(dtype)


@pytest.mark.parametrize(
    "value", [np.ones(3), np.ones(3, np.float32), np.ones((3, 2), np.float32)[:, 0], torch.ones(3).numpy()]
)
def test_a_tensor_keeps_its_own_copy(value):
    """Changing the array afterwards changes nothing, and the array stays writeable."""
    x = kj.tensor(value)
    value[:] = 7
    assert x.tolist() == [1.0, 1.0, 1.0]


def test_values_are_read_only():
    """What .numpy() returns cannot be written to."""
    with pytest.raises(ValueError, match="read-only"):
        kj.tensor([1.0, 2.0]).numpy()[0] = 3


def test_ragged_lists_are_refused():
    """Rows of different length are no tensor."""
    with pytest.raises(ShapeError, match="rows of equal length"):
        kj.tensor([[1.0, 2.0], [3.0]])


def test_equality_is_elementwise_and_identity_is_the_hash():
    """Tensors can be keys of a dict although == gives a tensor."""
    a, b = kj.tensor([1.0, 2.0]), kj.tensor([1.0, 3.0])
    assert (a == b).tolist() == [True, False] and {a: 1, b: 2}[b] == 2


def test_bfloat16_is_known_before_jax_is_loaded():
    """Whether a type exists does not depend on what was imported before."""
    program = "import sys, kedja as kj; print(kj.zeros((2,), 'bfloat16').dtype, 'jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "bfloat16 False\n"


@pytest.mark.parametrize("name", sorted(ELSEWHERE))
def test_spellings_of_other_libraries_answer_with_ours(name):
    """.backward(), .detach(), .view() and the like say what to write instead."""
    with pytest.raises(AttributeError, match=r"kj|kedja|\.numpy\(\)"):
        getattr(kj.tensor(1.0), name)


def test_unknown_attributes_are_attribute_errors():
    """hasattr works, for spellings of other libraries too."""
    assert not hasattr(kj.tensor(1.0), "nonsense")
    assert not hasattr(kj.tensor(1.0), "detach")


def test_spellings_of_other_libraries_are_not_listed():
    """dir() names what a tensor has; a variable has a value."""
    assert "detach" not in dir(kj.tensor(1.0)) and "numpy" in dir(kj.tensor(1.0))
    assert "value" not in dir(kj.tensor(1.0)) and "value" in dir(kj.Parameter(1.0))


def test_truth_of_many_numbers_is_refused():
    """`if x:` of a vector names kj.all and kj.any."""
    with pytest.raises(ShapeError, match=r"kj\.all\(x\) or kj\.any\(x\)"):
        bool(kj.tensor([True, False]))


def test_item_of_many_numbers_is_refused():
    """float() of a vector says its shape."""
    with pytest.raises(ShapeError, match=r"\(2,\)"):
        float(kj.tensor([1.0, 2.0]))


def test_numbers_come_out_as_python_numbers():
    """float, int, bool, item, index and len."""
    x, i = kj.tensor([1.5]), kj.tensor(2, dtype="int64")
    assert (float(x), int(x), bool(x), x.item(), [10, 20, 30][i], len(x)) == (1.5, 1, True, 1.5, 30, 1)


def test_a_float_is_no_position():
    """list[x] with a floating-point tensor is Python's TypeError."""
    with pytest.raises(TypeError, match="float32"):
        [1, 2][kj.tensor(1.0)]


def test_iteration_gives_the_slices():
    """A matrix gives its rows."""
    assert [row.tolist() for row in kj.tensor([[1.0, 2.0], [3.0, 4.0]])] == [[1.0, 2.0], [3.0, 4.0]]


def test_membership_cannot_loop_for_ever():
    """Iterating a single number is refused."""
    with pytest.raises(TypeError, match="single number"):
        list(kj.tensor(1.0))


def test_numpy_functions_take_tensors():
    """np.asarray and np.sum work on values."""
    assert (np.asarray(kj.tensor([1.0, 2.0]), dtype=np.float64).dtype, np.sum(np.asarray(kj.tensor([1.0, 2.0])))) == (
        np.float64,
        3,
    )


def test_repr_shows_value_and_formula():
    """Name, type, shape, value and formula."""
    x = kj.Parameter([1.0, 2.0], name="x")
    assert repr(x * 2.0) == "Tensor(float32[2],\n  [2., 4.],\n  = x * 2)"


def test_repr_of_an_input_computes_nothing():
    """A node that depends on inputs says so."""
    assert "not computed: depends on inputs" in repr(placeholder((2,), name="x") + 1)


def source_line(marker: str) -> int:
    """The line of this file that ends with a marker."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(i for i, line in enumerate(lines, 1) if line.endswith("# " + marker))


def test_a_node_knows_its_source_line():
    """The first frame outside kedja, as file, line and text."""
    x = kj.tensor(1.0) + 1  # here-1
    assert (Path(x.source.file).name, x.source.line) == ("test_node.py", source_line("here-1"))
    assert x.source.text.startswith("x = kj.tensor(1.0) + 1")


def test_derivatives_belong_to_the_line_they_come_from():
    """The nodes of a gradient point at the line that was differentiated."""
    x = kj.Parameter(1.0)
    y = kj.sin(kj.exp(x))  # here-2
    g = kj.grad(y, x)
    assert {n.source.line for n in ancestors([g]) if n.op.name == "cos"} == {source_line("here-2")}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda a, b: a @ b, ["matmul", "(2, 3)", "(4, 3)", "Did you mean a @ b.T?"]),
        (lambda a, b: a + b, ["add", "(2, 3)", "(4, 3)", "axis -2 has 2 and 4"]),
        (lambda a, b: a + a[:, 0], ["add", "(2, 3)", "(2,)", "(2, 1)"]),
        (lambda a, b: a * a.T, ["multiply", "(2, 3)", "(3, 2)", ".T"]),
        (lambda a, b: kj.reshape(a, (5,)), ["cannot reshape (2, 3) (6 elements) to (5,)"]),
        (lambda a, b: kj.concatenate([a, b], axis=1), ["(2, 3)", "(4, 3)", "axis 1"]),
        (lambda a, b: a.sum(axis=2), ["axis 2 is out of range", "2 axes"]),
        (lambda a, b: a[5], ["index 5", "axis 0", "size 2"]),
        (lambda a, b: a[0, 0, 0], ["too many indices", "(2, 3)"]),
    ],
)
def test_shape_errors_say_what_came_and_what_to_do(wrong, words):
    """The op, the shapes, and the likely remedy."""
    with pytest.raises(ShapeError) as caught:
        wrong(placeholder((2, 3)), placeholder((4, 3)))
    assert all(w in str(caught.value) for w in words), str(caught.value)


def test_errors_name_the_users_line():
    """The message ends with file, line and text of the user's own program."""
    a, b = placeholder((2, 3)), placeholder((4, 3))
    with pytest.raises(ShapeError) as caught:
        a @ b  # here-3
    assert f"at test_node.py:{source_line('here-3')}" in str(caught.value)


def test_every_refusal_is_a_kedja_error():
    """One except clause catches all of them."""
    with pytest.raises(KedjaError):
        kj.tensor([1.0]) + kj.tensor([1, 2], dtype="int64")


def test_ancestors_come_inputs_first():
    """The order engines run in."""
    x = kj.Parameter(1.0)
    order = ancestors([kj.sin(x) * kj.exp(x)])
    assert all(order.index is not None and n.serial > i.serial for n in order for i in n.inputs)


def test_nodes_are_freed():
    """Nothing in the house keeps a graph that the user has let go."""
    import weakref

    y = kj.sin(kj.tensor([1.0]) * 2.0)
    y.numpy()
    seen = weakref.ref(y)
    del y
    gc.collect()
    assert seen() is None


def test_constant_takes_over_its_array():
    """The inner way of making constants makes the array read-only."""
    array = np.ones(2, np.float32)
    assert isinstance(constant(array), Tensor) and not array.flags.writeable


@pytest.mark.parametrize("shape", ["ab", (1.5,), None])
def test_shapes_are_whole_numbers(shape):
    """A shape that depends on values, or is none, is refused."""
    with pytest.raises(GraphError, match="whole number"):
        placeholder(shape)
