"""What an op is: a NumPy meaning, a shape rule, one derivative rule, a notation, and the samples tests draw.

Forward mode (`push`) and reverse mode (`pull`) both follow from the one rule a stanza states, by its kind:

- `elementwise`: partial derivatives ∂y/∂xᵢ as graphs of the inputs and the output. JVP = Σ ∂ᵢẋᵢ, VJP = ∂ᵢȳ.
- `linear`: an adjoint. JVP is the op on the tangents, VJP the adjoint on the cotangent.
- `bilinear`: linear in each of two inputs, an adjoint for each.
- `nondifferentiable`: has no derivative, and says so.
- `by_hand`: states both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from kedja.errors import DTypeError, GraphError, KedjaError
from kedja.graph.dtypes import BOOL, KNOWN, DType, as_array, holds_typed, is_float
from kedja.graph.node import CONSTANT, Array, Tensor, constant, is_literal, made, number, same_dtype, tensor
from kedja.graph.scope import Source, caller
from kedja.graph.shapes import Shape, broadcast
from kedja.ops.notation import Notation, function_notation
from kedja.ops.samples import Sample, Samples, elementwise_samples

__all__ = ["OPS", "Bilinear", "ByHand", "Elementwise", "Linear", "Nondifferentiable", "Op", "bilinear", "by_hand"]
__all__ += ["elementwise", "linear", "nondifferentiable"]

Spec = tuple[Shape, DType]
Infer = Callable[..., Spec]
Messages = Sequence["Tensor | None"]
OPS: dict[str, Op] = {}
"""Every op by name."""


class Op:
    """One primitive. Calling it checks the inputs and makes a node."""

    kind = "op"
    runs_graphs = False  # loops: `compute` gets the engine's way to run their body as `run=`

    def __init__(
        self,
        name: str,
        compute: Callable[..., Any],
        infer: Infer,
        *,
        tex: str | Notation | None = None,
        text: str | Notation | None = None,
        samples: Samples,
        accepts: str = "any",
        doc: str = "",
    ) -> None:
        if name in OPS:
            raise ValueError(f"there is an op {name!r} already")
        self.name = name
        self.compute = compute
        self.infer = infer
        self.tex, self.text = function_notation(name, tex, text)
        self.samples = samples
        self.accepts = accepts
        self.takes = ACCEPTS[accepts]
        self.doc = doc
        self.apply: Callable[..., Tensor] = self.__call__  # a plain function where that is quicker
        OPS[name] = self

    def __deepcopy__(self, memo: Any) -> Op:
        return self  # engines know an op by its identity; a copied model goes on using the same ones

    def __call__(self, *inputs: Any, **attrs: Any) -> Tensor:
        """A node of this op."""
        try:
            for x in inputs:
                if not isinstance(x, Tensor):
                    inputs = operands(self.name, inputs)
                    break
            if inputs and not self.takes(inputs[0].dtype):
                raise DTypeError(self.refusal(inputs[0].dtype))
            shape, dtype = self.infer(*inputs, **attrs)
        except KedjaError as error:
            raise located(error, self.name) from None
        return Tensor(self, inputs, attrs, shape, dtype)

    def pull(self, node: Tensor, cotangent: Any, needed: Sequence[bool]) -> Messages:
        """Reverse mode: what each input receives when the output receives `cotangent`; None where not needed."""
        raise missing_rule(node)

    def push(self, node: Tensor, tangents: Messages) -> Tensor | None:
        """Forward mode: how the output moves when the inputs move by `tangents` (None: not at all)."""
        raise missing_rule(node)

    def refusal(self, dtype: DType) -> str:
        """What to say of inputs of a type the op is not defined for."""
        wanted = {"float": "floating-point", "number": "numeric", "bool": "boolean"}.get(self.accepts, self.accepts)
        fix = {"bool": "Compare first, as in x > 0.", "integer": "Use kj.cast(x, 'int64')."}
        return f"needs {wanted} tensors, got {dtype.name}. " + fix.get(self.accepts, "Use kj.cast(x, 'float32').")

    def __repr__(self) -> str:
        return f"kedja.ops.{self.name}"


def missing_rule(node: Tensor) -> GraphError:
    """The error for an op without a derivative rule."""
    return GraphError(
        f"the op {node.op.name!r} has no derivative rule. Give one with kj.grad(..., rules={{op: rule}}), "
        "wrap the function in kj.custom_gradient, or block the path with kj.stop_gradient."
    )


def located(error: KedjaError, name: str) -> KedjaError:
    """The same error, saying which op and which source line of the user's it happened on."""
    source = Source.of(caller())
    place = f"\n  at {source}" if source else ""
    return type(error)(f"{name}: {error}{place}")


def operands(name: str, values: Iterable[Any]) -> tuple[Tensor, ...]:
    """Tensors from what a user wrote beside a tensor.

    Python numbers, lists of them and float64 arrays take the type of the tensor. Everything else (float32 and integer
    arrays, NumPy's integers) has a type of its own, keeps it, and must match.
    """
    values = tuple(values)
    for v in values:
        if isinstance(v, Tensor):
            like: DType | None = v.dtype
            break
    else:
        like = next((as_array(v).dtype for v in values if not adapts(v)), None)
    return tuple([operand(name, v, like) for v in values])


def operand(name: str, value: Any, like: DType | None) -> Tensor:
    """One of them, beside a tensor of type `like`; an error when that type cannot hold the number."""
    if isinstance(value, Tensor):
        return value
    if like is not None and type(value) in (float, int) and is_float(like):  # by far the most common: 2 * x
        return number(value, like)
    if like is None or not adapts(value):
        return literal(value)
    found = np.asarray(value)
    if is_float(like) and found.dtype.kind != "b":
        return literal(value, like)
    if like.kind in "iu" and (found.dtype.kind in "iu" or not found.size):
        return literal(value, like)
    if found.dtype.kind == "f":
        raise DTypeError(
            f"{value!r} does not fit beside a {like.name} tensor: kedja never promotes silently. "
            "Convert the tensor with kj.cast(x, 'float32')."
        )
    return literal(value)


def adapts(value: Any) -> bool:
    """Whether a value takes the type of the tensor beside it."""
    if not holds_typed(value):
        return True
    return isinstance(value, np.ndarray | np.generic | list | tuple) and np.asarray(value).dtype == np.float64


def literal(value: Any, dtype: DType | None = None) -> Tensor:
    """A number or array written in an expression."""
    node = tensor(value, dtype=dtype)
    return constant(node.attrs["value"], literal=True)


ACCEPTS: dict[str, Callable[[DType], bool]] = {
    "float": is_float,
    "number": lambda d: d.kind in "fiu" or is_float(d),
    "integer": lambda d: d.kind in "iu",
    "bool": lambda d: d.kind == "b",
    "any": lambda d: True,
}
USUAL: dict[str, frozenset[DType]] = {
    name: frozenset(d for d in KNOWN.values() if takes(d)) for name, takes in ACCEPTS.items()
}
"""The types that each of them accepts, bfloat16 apart, which is not known before JAX is loaded."""
NUMBERS = frozenset((float, int))


class Elementwise(Op):
    """y = f(x₁, x₂, …), element by element, inputs broadcast."""

    kind = "elementwise"

    def __init__(
        self, name: str, compute: Any, *, partials: Sequence[Any] | None, result: DType | None = None, **more: Any
    ) -> None:
        domains = more.pop("samples")
        domains = domains if isinstance(domains, tuple) else (domains,)
        self.domains = domains
        self.partials = partials
        self.result = result
        self.arity = len(domains)
        super().__init__(name, compute, self._infer, samples=elementwise_samples(domains), **more)
        self.apply = self._quick()

    def __call__(self, *inputs: Any) -> Tensor:
        """A node of this op."""
        if len(inputs) != self.arity:
            raise TypeError(f"{self.name} takes {self.arity} tensors, got {len(inputs)}")
        return self.apply(*inputs)

    def _quick(self) -> Callable[..., Tensor]:
        """The op as a function, quick where one tensor comes, two of the same shape and type, or one with a number.

        It does not check how many inputs it gets.
        """
        usual, result, general = USUAL[self.accepts], self.result, super().__call__
        floats = usual & USUAL["float"]

        def of_one(x: Any) -> Tensor:
            if isinstance(x, Tensor) and x.dtype in usual:
                return made(self, (x,), x.shape, result or x.dtype)
            return general(x)

        def of_two(a: Any, b: Any) -> Tensor:
            if isinstance(a, Tensor):
                dtype, shape = a.dtype, a.shape
                if isinstance(b, Tensor):
                    if b.dtype is dtype and b.shape == shape and dtype in usual:
                        return made(self, (a, b), shape, result or dtype)
                elif type(b) in NUMBERS and dtype in floats:
                    return made(self, (a, number(b, dtype)), shape, result or dtype)
            elif type(a) in NUMBERS and isinstance(b, Tensor) and b.dtype in floats:
                return made(self, (number(a, b.dtype), b), b.shape, result or b.dtype)
            return general(a, b)

        if self.arity > 2:
            return general
        return of_one if self.arity == 1 else of_two

    def _infer(self, *inputs: Tensor) -> Spec:
        dtype = same_dtype(inputs)
        shape = inputs[0].shape if len(inputs) == 1 else broadcast([x.shape for x in inputs])
        return shape, self.result or dtype

    def pull(self, node: Tensor, cotangent: Tensor, needed: Sequence[bool]) -> Messages:
        if self.partials is None:
            return (None,) * len(node.inputs)
        arguments = (*node.inputs, node)
        messages = []
        for partial, want in zip(self.partials, needed, strict=True):
            messages.append(scaled(cotangent, partial(*arguments)) if want and partial is not None else None)
        return messages

    def push(self, node: Tensor, tangents: Messages) -> Tensor | None:
        if self.partials is None:
            return None
        moved = [
            scaled(t, partial(*node.inputs, node))
            for partial, t in zip(self.partials, tangents, strict=True)
            if t is not None and partial is not None
        ]
        if not moved:
            return None
        total = moved[0]
        for more in moved[1:]:
            total = total + more
        return total if total.shape == node.shape else OPS["broadcast_to"](total, shape=node.shape)


def scaled(tangent: Tensor, partial: Any) -> Tensor:
    """tangent × partial, without writing down a multiplication by 1 or −1."""
    if not isinstance(partial, Tensor):
        if partial == 1:
            return tangent
        if partial == -1:
            return OPS["negative"](tangent)
    elif tangent.op is CONSTANT and is_literal(tangent) and not tangent.shape and tangent.attrs["value"] == 1:
        return partial
    return OPS["multiply"].apply(tangent, partial)  # the operator would find the same function, later


class Linear(Op):
    """Linear in all inputs but those at the positions `fixed` (a condition, indices)."""

    kind = "linear"

    def __init__(
        self, name: str, compute: Any, infer: Infer, *, adjoint: Any, fixed: tuple[int, ...] = (), **more: Any
    ) -> None:
        super().__init__(name, compute, infer, **more)
        self.adjoint = adjoint
        self.fixed = fixed

    def pull(self, node: Tensor, cotangent: Tensor, needed: Sequence[bool]) -> Messages:
        messages = self.adjoint(node, cotangent)
        return messages if isinstance(messages, tuple | list) else (messages,)

    def push(self, node: Tensor, tangents: Messages) -> Tensor | None:
        if all(t is None for i, t in enumerate(tangents) if i not in self.fixed):
            return None
        moved = [
            x if i in self.fixed else (zeros(x) if t is None else t)
            for i, (x, t) in enumerate(zip(node.inputs, tangents, strict=True))
        ]
        return self(*moved, **node.attrs)


def zeros(like: Tensor) -> Tensor:
    """A tensor of zeros that takes no memory: a number, stretched."""
    zero = tensor(np.zeros((), like.dtype), dtype=like.dtype)
    return zero if not like.shape else OPS["broadcast_to"](zero, shape=like.shape)


class Bilinear(Op):
    """Linear in the first input for a fixed second, and the other way round."""

    kind = "bilinear"

    def __init__(self, name: str, compute: Any, infer: Infer, *, adjoints: tuple[Any, Any], **more: Any) -> None:
        super().__init__(name, compute, infer, **more)
        self.adjoints = adjoints

    def pull(self, node: Tensor, cotangent: Tensor, needed: Sequence[bool]) -> Messages:
        return [a(node, cotangent) if want else None for a, want in zip(self.adjoints, needed, strict=True)]

    def push(self, node: Tensor, tangents: Messages) -> Tensor | None:
        (a, b), (da, db) = node.inputs, tangents
        parts = [self(da, b, **node.attrs)] if da is not None else []
        parts += [self(a, db, **node.attrs)] if db is not None else []
        if not parts:
            return None
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]


class Nondifferentiable(Op):
    """Piecewise constant or integer-valued: no derivative flows through, by statement and not by accident."""

    kind = "nondifferentiable"

    def pull(self, node: Tensor, cotangent: Tensor, needed: Sequence[bool]) -> Messages:
        return (None,) * len(node.inputs)

    def push(self, node: Tensor, tangents: Messages) -> Tensor | None:
        return None


class ByHand(Op):
    """States forward and reverse mode itself."""

    kind = "by_hand"

    def __init__(self, name: str, compute: Any, infer: Infer, *, pull: Any, push: Any, **more: Any) -> None:
        super().__init__(name, compute, infer, **more)
        self._pull, self._push = pull, push

    def pull(self, node: Tensor, cotangent: Any, needed: Sequence[bool]) -> Messages:
        messages: Messages = self._pull(node, cotangent, needed)
        return messages

    def push(self, node: Tensor, tangents: Messages) -> Tensor | None:
        moved: Tensor | None = self._push(node, tangents)
        return moved


def elementwise(
    name: str, compute: Any, *, partials: Sequence[Any], tex: Any, samples: Any, **more: Any
) -> Elementwise:
    """A differentiable function of numbers. `partials`: one callable (x₁, …, y) → ∂y/∂xᵢ per input."""
    return Elementwise(name, compute, partials=partials, tex=tex, samples=samples, **{"accepts": "float", **more})


def linear(name: str, compute: Any, infer: Infer, *, adjoint: Any, samples: Any, **more: Any) -> Linear:
    """A linear function. `adjoint`: (node, cotangent) → what the inputs receive."""
    return Linear(name, compute, infer, adjoint=adjoint, samples=samples, **more)


def bilinear(name: str, compute: Any, infer: Infer, *, adjoints: Any, samples: Any, **more: Any) -> Bilinear:
    """A product of two inputs. `adjoints`: one (node, cotangent) → message per input."""
    return Bilinear(name, compute, infer, adjoints=adjoints, samples=samples, **more)


def nondifferentiable(
    name: str, compute: Any, infer: Infer | None = None, *, result: DType | None = None, samples: Any, **more: Any
) -> Op:
    """An op through which no derivative flows; elementwise unless a shape rule is given."""
    if infer is None:
        return Elementwise(name, compute, partials=None, result=result, samples=samples, **more)
    return Nondifferentiable(name, compute, infer, samples=samples, **more)


def by_hand(name: str, compute: Any, infer: Infer, *, pull: Any, push: Any, samples: Any, **more: Any) -> ByHand:
    """An op that states both modes."""
    return ByHand(name, compute, infer, pull=pull, push=push, samples=samples, **more)


def is_differentiable(op: Any) -> bool:
    """Whether the op states a derivative (and is not marked as having none)."""
    return not (isinstance(op, Nondifferentiable) or (isinstance(op, Elementwise) and op.partials is None))


__all__ += ["BOOL", "Array", "Sample", "is_differentiable"]
__all__.sort()
