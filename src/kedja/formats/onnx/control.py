"""Graphs inside operators: If, Loop and Scan, and the gradient as an operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kedja import ops
from kedja.diff import grad
from kedja.errors import FormatError
from kedja.formats.onnx.registry import operator
from kedja.formats.onnx.scope import Scope
from kedja.formats.onnx.values import Value, known_value
from kedja.graph.node import Tensor, tensor

LONGEST = 10_000  # steps of a Loop, each of which becomes nodes of its own


def known_or_none(value: Any) -> Any:
    """The number a value has while the graph is built, or None when it depends on the model's inputs."""
    try:
        return known_value(value, "the condition")
    except FormatError:
        return None


@operator("If", coded=True)
def either(cond: Tensor, *, then_branch: Any, else_branch: Any, scope: Scope) -> tuple[Value, ...]:
    """One branch where the condition is known; else both are computed, and it chooses between the results."""
    decided = known_or_none(cond)
    if decided is not None:
        return tuple(scope.inside(then_branch if bool(np.asarray(decided).item()) else else_branch))
    one, other = scope.inside(then_branch), scope.inside(else_branch)
    for a, b in zip(one, other, strict=True):
        if not (isinstance(a, Tensor) and isinstance(b, Tensor) and a.shape == b.shape and a.dtype == b.dtype):
            raise FormatError("the condition depends on the inputs, and the branches give values of different shapes")
    chosen = ops.reshape(cond, ())
    return tuple(ops.where(chosen, a, b) for a, b in zip(one, other, strict=True))


@operator("Loop", known=("count", "cond"), coded=True)
def loop(count: Any, cond: Any = None, *carried: Value, body: Any, scope: Scope) -> tuple[Value, ...]:
    """The body again and again, each time as nodes of its own; how often must be known."""
    values = list(carried)
    gathered: list[list[Value]] = [[] for _ in body.output[1 + len(values) :]]
    going = cond is None or bool(np.asarray(cond).item())
    limit = LONGEST if count is None else int(np.asarray(count).item())
    step = 0
    while going and step < limit:
        if step == LONGEST:
            raise FormatError(f"a loop of more than {LONGEST} steps")
        go_on, *made = scope.inside(body, [tensor(np.array(step, np.int64)), tensor(np.array(True)), *values])
        values = made[: len(values)]
        for list_, y in zip(gathered, made[len(values) :], strict=True):
            list_.append(y)
        going = bool(known_value(go_on, "whether the loop goes on").item())
        step += 1
    if not step and gathered:
        raise FormatError("a loop of no step has nothing to stack")
    return *values, *(ops.stack(ys) for ys in gathered)


@operator("Scan")
def scan(
    *inputs: Tensor, body: Any, num_scan_inputs: int, scan_input_axes: Any = None, scan_input_directions: Any = None,
    scan_output_axes: Any = None, scan_output_directions: Any = None, scope: Scope, opset: int,
) -> tuple[Tensor, ...]:  # fmt: skip
    """The body for every slice of the inputs, which carries values on."""
    if opset < 9:  # it had a batch axis of its own, and lengths of the sequences before the rest
        return each_example(inputs, body, num_scan_inputs, scope)
    n = len(inputs) - num_scan_inputs
    outputs = len(body.output) - n
    xs = [ops.moveaxis(x, a, 0) for x, a in zip(inputs[n:], scan_input_axes or [0] * num_scan_inputs, strict=True)]
    turned = scan_input_directions or [0] * num_scan_inputs
    xs = [ops.flip(x, 0) if back else x for x, back in zip(xs, turned, strict=True)]

    def step(carry: Any, at: Any) -> Any:
        made = scope.inside(body, [*carry, *at])
        return tuple(made[:n]), tuple(made[n:])

    last, ys = ops.scan(step, tuple(inputs[:n]), tuple(xs))
    ys = [ops.flip(y, 0) if back else y for y, back in zip(ys, scan_output_directions or [0] * outputs, strict=True)]
    return *last, *(ops.moveaxis(y, 0, a) for y, a in zip(ys, scan_output_axes or [0] * outputs, strict=True))


def each_example(inputs: Sequence[Any], body: Any, num_scan_inputs: int, scope: Scope) -> tuple[Tensor, ...]:
    """Scan as it was in opset 8: one for each example of the batch."""
    lengths, *rest = inputs
    if lengths is not None:
        raise FormatError("sequences of different lengths in one Scan; nearest: Scan of opset 9 and a Where")
    examples = [
        scan(*(x[i] for x in rest), body=body, num_scan_inputs=num_scan_inputs, scope=scope, opset=9)
        for i in range(rest[0].shape[0])
    ]
    return tuple(ops.stack(ys) for ys in zip(*examples, strict=True))


@operator("Gradient", domain="ai.onnx.preview.training")
def gradient(*inputs: Tensor, xs: Any, y: str, zs: Any = (), scope: Scope) -> tuple[Tensor, ...]:
    """∂y/∂x for every x named; y is the value of that name above, at the inputs the graph has."""
    for name, x in zip([*xs, *zs], inputs, strict=False):
        if scope.values.get(name) is not x:
            raise FormatError(f"the gradient at another {name!r} than the one {y!r} was computed from")
    found = grad(scope.values[y], [scope.values[name] for name in xs])
    return tuple(found)
