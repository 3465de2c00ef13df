"""What users ask for: grad, vjp, jvp, jacobian, hessian, hvp; held against JAX and PyTorch on composed functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import kedja as kj
from kedja.errors import DTypeError, GraphError, ShapeError

RNG = np.random.default_rng(7)
A, B, V = RNG.normal(size=(3, 4)), RNG.normal(size=(4, 2)), RNG.normal(size=5)


def t(value: object) -> kj.Tensor:
    """A float64 tensor."""
    return kj.tensor(value, dtype="float64")


def network(lib, a, b):
    """A small network with a softmax loss, in kedja, JAX or PyTorch."""
    hidden = lib.tanh(a @ b)
    scores = lib.exp(hidden) / lib.exp(hidden).sum(-1).reshape(3, 1)
    return -(lib.log(scores) * hidden).sum() + (a * a).mean()


def bumpy(lib, v):
    """A vector to a number, twice differentiable, not quadratic."""
    return (lib.sin(v) * lib.exp(v[1] * v[0]) + v**3 / (2 + lib.cos(v[2]))).sum()


def curve(lib, v):
    """A vector of 5 to a vector of 4."""
    return lib.tanh(v[1:] * v[:4]) + v[0] ** 2


@pytest.mark.parametrize("argnum", [0, 1])
def test_grad_equals_jax(argnum):
    """The gradient of a composed function is jax.grad's."""
    with jax.enable_x64(True):
        expected = jax.grad(lambda a, b: network(jnp, a, b), argnums=argnum)(jnp.asarray(A), jnp.asarray(B))
        found = kj.grad(lambda a, b: network(kj, a, b), argnums=argnum)(t(A), t(B))
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10)


def test_grad_equals_pytorch():
    """The gradient of a composed function is PyTorch's."""
    a, b = (torch.tensor(x, requires_grad=True) for x in (A, B))
    network(torch, a, b).backward()
    found = kj.grad(lambda a, b: network(kj, a, b), argnums=(0, 1))(t(A), t(B))
    for f, e in zip(found, (a.grad, b.grad), strict=True):
        np.testing.assert_allclose(f.numpy(), e.numpy(), rtol=1e-10)


@pytest.mark.parametrize("mode", ["auto", "forward", "reverse"])
@pytest.mark.parametrize("engine", ["reference", "xla"])
def test_jacobian_equals_jax(mode, engine):
    """Either mode gives the whole Jacobian, on either engine."""
    with jax.enable_x64(True):
        expected = jax.jacrev(lambda v: curve(jnp, v))(jnp.asarray(V))
    with kj.default_dtype("float64"):
        found = kj.compile(kj.jacobian(lambda v: curve(kj, v), mode=mode), engine=engine)(V)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10)


def test_jacobian_of_matrices_has_both_shapes():
    """∂Y/∂X of a matrix by a matrix has the axes of Y, then those of X."""
    x = t(A)
    with jax.enable_x64(True):
        expected = jax.jacfwd(lambda a: jnp.tanh(a @ B))(jnp.asarray(A))
    np.testing.assert_allclose(kj.jacobian(kj.tanh(x @ B), x).numpy(), expected, rtol=1e-10)


def test_hessian_equals_jax():
    """Second derivatives of a function that is not quadratic."""
    with jax.enable_x64(True):
        expected = jax.hessian(lambda v: bumpy(jnp, v))(jnp.asarray(V))
    np.testing.assert_allclose(kj.hessian(lambda v: bumpy(kj, v))(t(V)).numpy(), expected, rtol=1e-9, atol=1e-12)


def test_hvp_is_the_hessian_times_the_vector():
    """The product without the Hessian is the product with JAX's Hessian."""
    way = RNG.normal(size=5)
    with jax.enable_x64(True):
        expected = jax.hessian(lambda v: bumpy(jnp, v))(jnp.asarray(V)) @ way
    np.testing.assert_allclose(kj.hvp(lambda v: bumpy(kj, v), t(V), way).numpy(), expected, rtol=1e-9)


def test_vjp_equals_jax():
    """seedᵀ · Jacobian of a vector function."""
    seed = RNG.normal(size=4)
    with jax.enable_x64(True):
        expected = jax.vjp(lambda v: curve(jnp, v), jnp.asarray(V))[1](jnp.asarray(seed))[0]
    np.testing.assert_allclose(kj.vjp(lambda v: curve(kj, v), t(V))[1](seed)[0].numpy(), expected, rtol=1e-10)


def test_jvp_equals_jax():
    """Jacobian · tangent of a vector function."""
    way = RNG.normal(size=5)
    with jax.enable_x64(True):
        expected = jax.jvp(lambda v: curve(jnp, v), (jnp.asarray(V),), (jnp.asarray(way),))[1]
    np.testing.assert_allclose(kj.jvp(lambda v: curve(kj, v), (t(V),), (way,))[1].numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_gradient_of_gradient_of_gradient(order):
    """Differentiating x⁵ again and again: nothing is folded away between."""
    f = lambda x: x**5  # noqa: E731
    for _ in range(order):
        f = kj.grad(f)
    expected = [5 * 2.0**4, 20 * 2.0**3, 60 * 2.0**2, 120 * 2.0]
    assert f(2.0).item() == pytest.approx(expected[order - 1], rel=1e-5)


def test_mixed_second_derivative_by_constants_of_equal_value():
    """Two constants that hold the same number stay two: ∂²(sin a · e^b)/∂a∂b."""
    a, b = t(2.0), t(2.0)
    mixed = kj.grad(kj.grad(kj.sin(a) * kj.exp(b), a), b)
    assert mixed.item() == pytest.approx(np.cos(2) * np.exp(2))


def test_second_derivative_by_a_constant_one():
    """A constant 1 is not multiplied away while someone may still differentiate by it: ∂²(a sin b)/∂b∂a at a = 1."""
    a, b = t(1.0), t(0.5)
    assert kj.grad(kj.grad(a * kj.sin(b), b), a).item() == pytest.approx(np.cos(0.5))


def test_double_vjp_is_a_jvp():
    """The vjp is linear in its seed and can be differentiated by it, also when the seed is 1."""
    x, seed = t(0.7), t(1.0)
    assert kj.grad(kj.vjp(kj.sin(x), x, seed=seed), seed).item() == pytest.approx(np.cos(0.7))


def test_unused_tensor_has_gradient_zero():
    """What the result does not depend on has gradient zero, of its own shape and type."""
    x, w = t(V), t(A)
    g = kj.grad((x * x).sum(), w)
    assert (g.numpy() == 0).all() and (g.shape, g.dtype) == (w.shape, w.dtype)


def test_gradient_does_not_flow_through_integers_in_either_mode():
    """cast(cast(x, int), float) · x: only the last factor moves."""
    x = t(2.6)
    y = kj.cast(kj.cast(x, "int64"), "float64") * x
    assert (kj.grad(y, x).item(), kj.jvp(y, x, 1.0).item()) == (2.0, 2.0)


def test_gradient_of_a_cast_has_the_type_of_its_input():
    """float64 → float32 → sum: the gradient comes back as float64."""
    x = t(V)
    assert kj.grad((kj.cast(x, "float32") ** 2).sum(), x).dtype == np.float64


def test_nested_arguments():
    """Dicts, lists and tuples of tensors get gradients nested alike."""
    tree = {"w": t([1.0, 2.0]), "b": [t(3.0), (t(4.0),)]}
    g = kj.grad(lambda p: (p["w"] ** 2).sum() * p["b"][0] + p["b"][1][0])(tree)
    assert [g["w"].tolist(), g["b"][0].item(), g["b"][1][0].item()] == [[6.0, 12.0], 5.0, 1.0]


def test_negative_argnums():
    """-1 is the last argument."""
    assert kj.grad(lambda a, b: a * b, argnums=-1)(2.0, 5.0).item() == 2.0


def test_value_and_grad_gives_both():
    """The value is the function's, the gradient its derivative."""
    value, slopes = kj.value_and_grad(lambda a, b: a * a * b, argnums=(0, 1))(3.0, 2.0)
    assert (value.item(), [s.item() for s in slopes]) == (18.0, [12.0, 9.0])


def test_vjp_of_the_same_tensor_returned_twice_adds_its_seeds():
    """f(x) = (y, y): both seeds count."""

    def twice(x):
        y = x * 3.0
        return y, y

    assert kj.vjp(twice, t(1.0))[1]((1.0, 10.0))[0].item() == 33.0


def test_jvp_of_a_function_takes_lists():
    """Tangents may be lists of numbers, nested like the arguments."""
    assert kj.jvp(lambda a, b: a * b, ([1.0, 2.0], [3.0, 4.0]), ([1.0, 0.0], [0.0, 1.0]))[1].tolist() == [3.0, 2.0]


def test_stop_gradient_blocks_both_modes():
    """What is stopped is a constant to every derivative, and has its value."""
    x = t(3.0)
    y = x * kj.stop_gradient(x)
    assert (y.item(), kj.grad(y, x).item(), kj.jvp(y, x, 1.0).item()) == (9.0, 3.0, 3.0)


def test_rules_replace_the_rule_of_an_op():
    """Guided back-propagation: a ReLU that lets only positive cotangents through."""
    x = t([1.0, 2.0, -1.0])
    guided = {kj.relu: lambda node, g: kj.where(node.inputs[0] > 0, kj.relu(g), 0.0)}
    y = (kj.relu(x) * t([1.0, -1.0, 1.0])).sum()
    assert (kj.grad(y, x).tolist(), kj.grad(y, x, rules=guided).tolist()) == ([1, -1, 0], [1, 0, 0])


def test_rule_with_too_few_messages_is_refused():
    """A replacement must answer for every input."""
    a, b = t(1.0), t(2.0)
    with pytest.raises(ShapeError, match="multiply returned 1 messages for 2 inputs"):
        kj.grad(a * b, a, rules={kj.multiply: lambda node, g: g})


@pytest.mark.parametrize(
    ("ask", "error", "words"),
    [
        (lambda x, i: kj.grad(x.sum(), i), DTypeError, "only floating-point tensors have gradients"),
        (lambda x, i: kj.grad(x, x), ShapeError, r"single number to differentiate, got a tensor of shape \(2,\)"),
        (lambda x, i: kj.grad(i.sum(), x), DTypeError, "only floating-point results have gradients"),
        (lambda x, i: kj.grad(x.sum()), GraphError, "say by which tensors"),
        (lambda x, i: kj.grad(x.sum(), 3.0), GraphError, "can only differentiate by tensors"),
        (lambda x, i: kj.vjp(x, x), GraphError, "needs seed="),
        (lambda x, i: kj.vjp(x, x, seed=[1.0]), ShapeError, "the seed must have the shape"),
        (lambda x, i: kj.jvp(x, x, [1.0]), ShapeError, "a tangent has the shape"),
        (lambda x, i: kj.jacobian(x, x, mode="sideways"), GraphError, "'auto', 'forward' or 'reverse'"),
        (lambda x, i: kj.hessian(x.sum()), GraphError, "hessian"),
        (lambda x, i: kj.grad(lambda a: a, argnums=4)(x), ShapeError, "argnums 4 is out of range"),
    ],
)
def test_impossible_questions_are_refused_with_the_way_out(ask, error, words):
    """Each error says what came and what to ask instead."""
    with pytest.raises(error, match=words):
        ask(t([1.0, 2.0]), kj.tensor([1, 2], dtype="int64"))


@pytest.mark.parametrize(
    ("function", "at", "slope"),
    [
        (kj.relu, 0.0, 0.0),
        (kj.absolute, 0.0, 0.0),
        (lambda x: kj.maximum(x, 0.0), 0.0, 0.5),
        (lambda x: kj.minimum(x, 0.0), 0.0, 0.5),
        (lambda x: kj.max(kj.stack([x, x, x - 1])), 1.0, 1.0),
        (lambda x: x ** kj.tensor(0.0), 0.0, 0.0),
        (lambda x: kj.where(x > 0, x, 2 * x), 0.0, 2.0),
    ],
)
def test_conventions_at_kinks(function, at, slope):
    """relu′(0) = |0|′ = 0; maximum, minimum and max share a tie; 0⁰ is flat."""
    assert kj.grad(function)(at).item() == slope


def test_max_shares_the_gradient_among_ties():
    """Two winners get a half each."""
    assert kj.grad(lambda x: x.max())([1.0, 3.0, 3.0]).tolist() == [0.0, 0.5, 0.5]


def test_a_chain_used_twice_gets_the_sum():
    """A parameter used in several places gets the sum of the gradients (scope 2.8)."""
    w = t(2.0)
    assert kj.grad(w * 3.0 + w**2, w).item() == 7.0


def pieces(lib, v):
    """Numbers of a vector of 5 in three pieces that fill it, each treated in its own way."""
    first, middle, last = v[:2], v[2:3], v[3:]
    return (lib.sin(last) * first).sum() + lib.exp(middle).sum() * lib.cos(last).sum()


def test_gradient_of_pieces_that_fill_a_tensor_is_the_pieces_joined():
    """Where a tensor was cut and every piece used, its gradient is JAX's and holds no padding with zeros."""
    v = t(V)
    slope = kj.grad(pieces(kj, v), v)
    with jax.enable_x64(True):
        np.testing.assert_allclose(slope.numpy(), jax.grad(lambda v: pieces(jnp, v))(V), rtol=1e-12)
        curvature = jax.hessian(lambda v: pieces(jnp, v))(V)
    np.testing.assert_allclose(kj.hessian(pieces(kj, v), v).numpy(), curvature, rtol=1e-12, atol=1e-12)
    names = [n.op.name for n in kj.graph.node.ancestors([slope])]
    assert "concatenate" in names
    assert "pad" not in names


@pytest.mark.parametrize(
    "cut", [lambda v: v[:3] + v[2:], lambda v: v[:2] + v[3:], lambda v: v[::2] + v[:3], lambda v: v[:2] * v[:2]]
)
def test_gradient_of_pieces_that_overlap_or_leave_something_out(cut):
    """Pieces that share numbers, leave some out or skip some add up as JAX's do."""
    v = t(V)
    with jax.enable_x64(True):
        want = jax.grad(lambda v: jnp.sin(cut(v)).sum())(V)
    np.testing.assert_allclose(kj.grad(kj.sin(cut(v)).sum(), v).numpy(), want, rtol=1e-12)
