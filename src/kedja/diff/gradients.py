"""What users ask for: gradients, products with the Jacobian from either side, Jacobians, Hessians.

Each works on a tensor (`grad(y, x)`: a graph) and on a function (`grad(f)(x)`: a function). Rules that hold everywhere:
a tensor that y does not depend on has gradient zero; a tensor of integers or booleans has none, and asking is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kedja.diff.forward import tangents
from kedja.diff.reverse import Rules, cotangents
from kedja.diff.simplify import simplified
from kedja.errors import DTypeError, GraphError, ShapeError
from kedja.graph.dtypes import is_float
from kedja.graph.node import Tensor, tensor
from kedja.graph.node import _next_serial as next_serial
from kedja.graph.shapes import as_axis
from kedja.graph.trace import flatten, unflatten, without_gc
from kedja.ops.control import map as map_over
from kedja.ops.op import operand, zeros
from kedja.ops.shaping import broadcast_to, reshape

__all__ = ["grad", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp"]

SIMPLIFY_UP_TO = 2000  # nodes; beyond that nobody reads the formula, and the engines simplify on their own


def _leaves(wrt: Any) -> tuple[list[Tensor], Any]:
    leaves, nest = flatten(wrt)
    for x in leaves:
        if not isinstance(x, Tensor):
            raise GraphError(f"can only differentiate by tensors, got {type(x).__name__}. Make it one: kj.tensor(...).")
        if not is_float(x.dtype):
            raise DTypeError(
                f"cannot differentiate by {x.name or 'a tensor'} of type {x.dtype.name}: "
                "only floating-point tensors have gradients. Use kj.cast(x, 'float32')."
            )
    return leaves, nest


def _scalar(y: Tensor, name: str) -> None:
    if not isinstance(y, Tensor):
        raise GraphError(f"{name} needs a tensor to differentiate, got {type(y).__name__}")
    if y.size != 1:
        raise ShapeError(
            f"{name} needs a single number to differentiate, got a tensor of shape {y.shape}. "
            "Reduce it first (.sum(), .mean()), or use kj.vjp or kj.jacobian."
        )
    if not is_float(y.dtype):
        raise DTypeError(f"{name} of a {y.dtype.name} tensor: only floating-point results have gradients")


def _pulled(seeds: Mapping[Tensor, Tensor], leaves: Sequence[Tensor], rules: Rules | None) -> list[Tensor]:
    start = next_serial()
    with without_gc():
        received = cotangents(seeds, set(leaves), rules)
        found = [zeros(x) if received.get(x) is None else received[x] for x in leaves]
        return simplified(found, start) if next_serial() - start < SIMPLIFY_UP_TO else found


def grad(y: Any, wrt: Any = None, *, argnums: int | Sequence[int] = 0, rules: Rules | None = None) -> Any:
    """The gradient of a single number, by reverse mode.

    `grad(y, x)` gives ∂y/∂x, a graph of the shape of x; x may be a nest of tensors, and so is the answer then.
    `grad(f)` gives the function x ↦ ∂f/∂x of its argument `argnums`. `rules` replaces the rules of some ops by
    (node, cotangent) → messages, for teaching and for attribution. Source: scope 1.5.

    >>> import kedja as kj
    >>> a, b = kj.tensor(2.0, name="a"), kj.tensor(1.0, name="b")
    >>> e = (a + b) * (b + 1)
    >>> [g.item() for g in kj.grad(e, [a, b])]
    [2.0, 5.0]
    >>> kj.grad(lambda x: x**3)(2.0).item()
    12.0
    """
    if callable(y) and not isinstance(y, Tensor):
        if wrt is not None:
            raise GraphError("grad of a function takes argnums=, the positions of the arguments to differentiate by")
        both = value_and_grad(y, argnums=argnums, rules=rules)
        return lambda *args, **kwargs: both(*args, **kwargs)[1]
    if wrt is None:
        raise GraphError("grad(y, wrt): say by which tensors to differentiate, as in kj.grad(loss, w)")
    _scalar(y, "grad")
    leaves, nest = _leaves(wrt)
    return unflatten(nest, _pulled({y: _one(y)}, leaves, rules))


def _one(y: Tensor) -> Tensor:
    return broadcast_to(operand("grad", 1, y.dtype), y.shape)


def value_and_grad(y: Any, wrt: Any = None, *, argnums: int | Sequence[int] = 0, rules: Rules | None = None) -> Any:
    """The value and the gradient together: `value_and_grad(y, x)` or `value_and_grad(f)(x)`.

    >>> import kedja as kj
    >>> value, slope = kj.value_and_grad(lambda x: x * x)(3.0)
    >>> value.item(), slope.item()
    (9.0, 6.0)
    """
    if isinstance(y, Tensor):
        return y, grad(y, wrt, rules=rules)
    single = isinstance(argnums, int)

    def both(*args: Any, **kwargs: Any) -> tuple[Tensor, Any]:
        numbers = [as_axis(n, len(args), "argnums") for n in ((argnums,) if isinstance(argnums, int) else argnums)]
        nodes = [_tensors(a) if i in numbers else a for i, a in enumerate(args)]
        value = y(*nodes, **kwargs)
        found = grad(value, [nodes[i] for i in numbers], rules=rules)
        return value, found[0] if single else tuple(found)

    return both


def _tensors(value: Any) -> Any:
    """Tensors in the nest of `value`; a list of numbers is one tensor, a list of tensors or arrays a nest of them."""
    leaves, nest = flatten(value)
    if all(isinstance(v, int | float) for v in leaves):
        return tensor(value)
    return unflatten(nest, [tensor(v) for v in leaves])


def vjp(y: Any, *primals: Any, seed: Any = None, rules: Rules | None = None) -> Any:
    """Vector times Jacobian, seedᵀ · ∂y/∂x: one walk of reverse mode.

    `vjp(y, x, seed=v)` gives a graph; `vjp(f, x)` gives f(x) and the function v ↦ vᵀ · ∂f/∂x, one answer an argument.

    >>> import kedja as kj
    >>> y, pull = kj.vjp(lambda x: x * x, [1.0, 2.0])
    >>> pull([1.0, 10.0])[0].numpy().tolist()
    [2.0, 40.0]
    """
    if isinstance(y, Tensor):
        leaves, nest = _leaves(primals[0])
        weight = _seed(y, seed)
        return unflatten(nest, _pulled({y: weight}, leaves, rules))
    nodes = [_tensors(p) for p in primals]
    value = y(*nodes)
    leaves, nest = _leaves(tuple(nodes))
    outputs, shape_of = flatten(value)

    def pull(seeds: Any) -> Any:
        given = _matched(shape_of, seeds, "the seeds")
        pairs: dict[Tensor, Tensor] = {}
        for o, s in zip(outputs, given, strict=True):  # the same tensor may be returned twice
            pairs[o] = pairs[o] + _seed(o, s) if o in pairs else _seed(o, s)
        return unflatten(nest, _pulled(pairs, leaves, rules))

    return value, pull


def _matched(nest: Any, value: Any, what: str) -> list[Any]:
    """The leaves of `value`, nested as `nest` says; a list that stands where a tensor is wanted is one leaf."""
    if nest is None or nest is ...:
        return [] if nest is None else [value]
    kind, parts = nest
    fits = set(value) == set(parts) if kind is dict and isinstance(value, dict) else isinstance(value, tuple | list)
    if not fits or len(value) != len(parts):
        raise GraphError(f"{what} must be nested like the tensors they belong to: {kind.__name__} of {len(parts)}")
    pairs = [(p, value[k]) for k, p in parts.items()] if kind is dict else zip(parts, value, strict=True)
    return [leaf for part, inner in pairs for leaf in _matched(part, inner, what)]


def _seed(y: Tensor, seed: Any) -> Tensor:
    if seed is None:
        raise GraphError("vjp needs seed=, the weights of the outputs (of the shape of y)")
    weight = operand("vjp", seed, y.dtype)
    if weight.shape != y.shape:
        raise ShapeError(f"the seed must have the shape of y, {y.shape}; got {weight.shape}")
    return weight


def jvp(y: Any, primals: Any, moves: Any) -> Any:
    """Jacobian times vector, ∂y/∂x · ẋ: one walk of forward mode.

    `jvp(y, x, ẋ)` gives a graph; `jvp(f, (x, …), (ẋ, …))` gives f(x) and its tangent.

    >>> import kedja as kj
    >>> y, dy = kj.jvp(lambda x: x * x, (3.0,), (1.0,))
    >>> dy.item()
    6.0
    """
    if isinstance(y, Tensor):
        leaves, shape_of = _leaves(primals)
        outputs: Any = y
    else:
        nodes = [_tensors(p) for p in primals]
        leaves, shape_of = _leaves(tuple(nodes))
        outputs = y(*nodes)
    ways = [operand("jvp", m, x.dtype) for x, m in zip(leaves, _matched(shape_of, moves, "the tangents"), strict=True)]
    for x, way in zip(leaves, ways, strict=True):
        if x.shape != way.shape:
            raise ShapeError(f"a tangent has the shape of its tensor, {x.shape}; got {way.shape}")
    ends, nest = flatten(outputs)
    start = next_serial()
    with without_gc():
        found = tangents(ends, dict(zip(leaves, ways, strict=True)))
        moved = [zeros(e) if found.get(e) is None else found[e] for e in ends]
        moved = simplified(moved, start) if next_serial() - start < SIMPLIFY_UP_TO else moved
    answer = unflatten(nest, moved)
    return answer if isinstance(y, Tensor) else (outputs, answer)


def jacobian(y: Any, wrt: Any = None, *, mode: str = "auto") -> Any:
    """All partial derivatives, ∂yᵢ/∂xⱼ, of shape y.shape + x.shape.

    Reverse mode walks once per output number, forward mode once per input number; "auto" takes the smaller.
    `jacobian(y, x)` gives a graph, `jacobian(f)` the function x ↦ ∂f/∂x.

    >>> import kedja as kj
    >>> kj.jacobian(lambda x: kj.stack([x[0] * x[1], x[0] + x[1]]))([2.0, 3.0]).numpy().tolist()
    [[3.0, 2.0], [1.0, 1.0]]
    """
    if not isinstance(y, Tensor):

        def at(x: Any) -> Any:
            node = _tensors(x)
            return jacobian(y(node), node, mode=mode)

        return at
    if mode not in ("auto", "forward", "reverse"):
        raise GraphError(f"mode is 'auto', 'forward' or 'reverse', got {mode!r}")
    leaves, nest = _leaves(wrt)
    found = []
    for x in leaves:
        forward = mode == "forward" or (mode == "auto" and x.size < y.size)
        way = x if forward else y
        basis = tensor(np.eye(way.size, dtype=way.dtype).reshape((way.size, *way.shape)), dtype=way.dtype)
        if forward:
            columns = map_over(lambda e, x=x: jvp(y, x, e), basis)
            axes = (*range(1, y.ndim + 1), 0)
            found.append(reshape(columns.transpose(axes), y.shape + x.shape))
        else:
            found.append(reshape(map_over(lambda e, x=x: vjp(y, x, seed=e), basis), y.shape + x.shape))
    return unflatten(nest, found)


def hessian(y: Any, wrt: Tensor | None = None) -> Any:
    """Second derivatives ∂²y/∂xᵢ∂xⱼ of a single number: the Jacobian of the gradient.

    >>> import kedja as kj
    >>> kj.hessian(lambda x: x[0] ** 2 * x[1])([3.0, 5.0]).numpy().tolist()
    [[10.0, 6.0], [6.0, 0.0]]
    """
    if not isinstance(y, Tensor):
        return jacobian(grad(y))
    if wrt is None:
        raise GraphError("hessian(y, wrt): say by which tensor to differentiate, as in kj.hessian(loss, w)")
    return jacobian(grad(y, wrt), wrt)


def hvp(y: Any, wrt: Any, direction: Any) -> Any:
    """Hessian times vector, without the Hessian: the gradient's derivative along a direction (Pearlmutter 1994).

    >>> import kedja as kj
    >>> kj.hvp(lambda x: x[0] ** 2 * x[1], [3.0, 5.0], [1.0, 0.0]).numpy().tolist()
    [10.0, 6.0]
    """
    if not isinstance(y, Tensor):
        node = _tensors(wrt)
        return hvp(y(node), node, direction)
    return jvp(grad(y, wrt), wrt, direction)
