"""What a program computes from its variables alone is computed once, and kept for as long as they stay as they are.

Single numbers that it is given, such as the ε of a norm, count as variables here: they seldom change.

Of a network that predicts these are the numbers by which norms multiply and which they add, weights laid out for a
kernel, weights rounded to another type. They take memory while the program is in use, packed weights about as much as
the weights themselves. A value of a device never changes: that a variable has another one now is seen by its being
another array. Where one of the arrays is gone, nothing that was made of them is wanted any more, and it is let go.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from kedja.graph.trace import Graph
from kedja.ops.convolution import correlate, spread

__all__ = ["Hoisted", "Parts", "pays", "split"]

FEWEST = 1 << 15  # numbers made of variables alone: for fewer a second program is not worth compiling
FEW = 1 << 13  # so many numbers may be made of fewer: one of ε for each channel, say
# What only moves numbers: XLA does it along with what comes next, and kept it would be a copy for nothing.
MOVING = frozenset({
    "reshape", "transpose", "broadcast_in_dim", "slice", "squeeze", "expand_dims", "rev", "concatenate", "copy", "iota",
})  # fmt: skip
CALLS = "ffi_call"  # of a kernel

Function = Callable[..., Any]


def pays(graph: Graph) -> bool:
    """Whether a program of this graph may have enough to keep: it writes no variable, and prepares weights."""
    if graph.updates:
        return False
    moved: set[Any] = {x for x in graph.inputs if x.ndim}  # what depends on the data
    made = 0
    for node in graph.order:
        if not moved.isdisjoint(node.inputs):
            moved.add(node)
            if node.op in (correlate, spread) and node.inputs[1] not in moved:
                made += node.inputs[1].size
        elif node.inputs:
            made += node.size
    return made >= FEWEST


class Parts(NamedTuple):
    """A function of (fixed, free) values as two: early(fixed) → made, late(fixed, made, free) → what it gave."""

    early: Function
    late: Function
    read_early: list[int]  # which of the fixed values each of them reads
    read_late: list[int]


def split(function: Function, fixed: Sequence[Any], free: Sequence[Any]) -> Parts | None:
    """The function in two parts; None where too little depends on the fixed values alone."""
    from jax.extend import core  # takes 30 ms to load, which a first small network need not wait for

    closed, shapes = jax.make_jaxpr(function, return_shape=True)(list(fixed), list(free))
    jaxpr, nest = closed.jaxpr, jax.tree.structure(shapes)
    given, others = jaxpr.invars[: len(fixed)], jaxpr.invars[len(fixed) :]
    early = _early(jaxpr, given)
    moved = {id(e) for e in early}
    late = [e for e in jaxpr.eqns if id(e) not in moved]
    used = {v for e in late for v in _read(e)} | set(_variables(jaxpr.outvars))
    made = [v for e in early for v in e.outvars if v in used]
    if sum(v.aval.size for v in made) < FEWEST:
        return None
    before = {v for e in early for v in _read(e)}
    read_early = [i for i, v in enumerate(given) if v in before]
    read_late = [i for i, v in enumerate(given) if v in used]

    def part(equations: list[Any], inputs: list[Any], outputs: list[Any]) -> Function:
        whole = core.Jaxpr(jaxpr.constvars, inputs, outputs, equations, jaxpr.effects)
        return core.jaxpr_as_fun(core.ClosedJaxpr(whole, closed.consts))  # type: ignore[no-any-return]

    first = part(early, [given[i] for i in read_early], made)
    second = part(late, [*(given[i] for i in read_late), *made, *others], jaxpr.outvars)
    return Parts(
        lambda values: list(first(*values)),
        lambda values, made, free: jax.tree.unflatten(nest, second(*values, *made, *free)),
        read_early, read_late,
    )  # fmt: skip


def _early(jaxpr: Any, given: Sequence[Any]) -> list[Any]:
    """The equations that depend on the given values alone and make no more numbers than there are in one of them."""
    known, early = set(given), []
    most = max((FEW, *(v.aval.size for v in given)))
    for e in jaxpr.eqns:
        read = _read(e)
        made, used = sum(v.aval.size for v in e.outvars), sum(v.aval.size for v in read)
        if known.issuperset(read) and not e.effects and (made <= max(used, most) or e.primitive.name == CALLS):
            known.update(e.outvars)
            early.append(e)
    # What would be kept without having been computed is left where it was.
    wanted = {v for e in jaxpr.eqns if not known.issuperset(e.outvars) for v in _read(e)}
    wanted.update(_variables(jaxpr.outvars))
    for e in reversed(list(early)):
        if e.primitive.name in MOVING and not wanted.isdisjoint(e.outvars):
            early.remove(e)
            wanted.update(_read(e))
    return early


def _variables(atoms: Sequence[Any]) -> list[Any]:
    return [v for v in atoms if not hasattr(v, "val")]  # a literal carries its value


def _read(equation: Any) -> list[Any]:
    return _variables(equation.invars)


class _Made(NamedTuple):
    """What was made, and of which values."""

    of: list[Any]  # weak: nobody keeps old weights for our sake
    values: list[Any]


class Hoisted:
    """Both parts, compiled, and what the first made of the values that were there last."""

    def __init__(self, parts: Parts, compiled: Callable[..., Function], fixed: Sequence[Any], free: Any) -> None:
        self._parts = parts
        first = [fixed[i] for i in parts.read_early]
        self._early = compiled(parts.early, (first,))
        self._kept: _Made | None = None
        made = self._of(first)
        self._late = compiled(parts.late, ([fixed[i] for i in parts.read_late], made, list(free)))

    def __call__(self, fixed: Sequence[Any], free: Sequence[Any]) -> Any:
        made = self._of([fixed[i] for i in self._parts.read_early])
        return self._late([fixed[i] for i in self._parts.read_late], made, list(free))

    def _of(self, values: list[Any]) -> list[Any]:
        kept = self._kept
        if kept is not None and all(then() is now for then, now in zip(kept.of, values, strict=True)):
            return kept.values
        self._kept = kept = None  # the room of the old ones is free for the new
        own = weakref.ref(self)

        def forget(_: Any) -> None:
            here = own()
            if here is not None:
                here._kept = None

        made = _Made([weakref.ref(v, forget) for v in values], self._early(values))
        self._kept = made
        return made.values
