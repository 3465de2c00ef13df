"""The derivative rules of `scan` and `map`, which differentiate their body: each is again a loop.

Reverse mode of a scan is a scan the other way, over the carries and the expensive values that the forward one kept. The
derivative of a map is the map of the derivative, with what flows to the surroundings summed over the slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kedja.diff.forward import tangents
from kedja.diff.reverse import add_up, cotangents
from kedja.graph.dtypes import is_float
from kedja.graph.node import Tensor, ancestors, placeholder
from kedja.graph.trace import Graph
from kedja.ops.control import item, map_op, output_specs, scan_op
from kedja.ops.elementwise import add
from kedja.ops.linalg import product
from kedja.ops.op import Messages, zeros
from kedja.ops.reductions import reduce_sum
from kedja.ops.shaping import permute_axes, reshape, swap_last
from kedja.ops.shaping import zeros as filled

__all__: list[str] = []


def _floats(nodes: Sequence[Tensor]) -> list[bool]:
    return [is_float(n.dtype) for n in nodes]


def _scan_pull(node: Tensor, parts: dict[int, Tensor], needed: Sequence[bool]) -> Messages:
    body: Graph = node.attrs["body"]
    c, s, n = node.attrs["carries"], node.attrs["sequences"], node.attrs["length"]
    specs = output_specs(node)
    ys = len(body.outputs) - c
    floats = _floats(body.inputs)
    given = [f and (i < c or needed[i]) for i, f in enumerate(floats)]
    # Cotangents of all outputs; the stacked carries may have received some too (second order).
    bars = [parts.get(i) for i in range(len(specs))]
    carry_float = [is_float(t.dtype) for t in body.outputs[:c]]
    y_used = [i for i in range(ys) if bars[c + i] is not None]
    before_used = [i for i in range(c) if bars[c + ys + i] is not None]
    around = body.inputs[c + s :]
    around_wanted = [k for k in range(len(around)) if given[c + s + k]]
    x_wanted = [k for k in range(s) if given[c + k]]

    # One step backwards: (c̄ after, sums for the surroundings), then what that step saw.
    bar_in = [placeholder(t.shape, t.dtype) for t, f in zip(body.outputs[:c], carry_float, strict=True) if f]
    y_bar = [placeholder(body.outputs[c + i].shape, body.outputs[c + i].dtype) for i in y_used]
    before_bar = [placeholder(body.outputs[i].shape, body.outputs[i].dtype) for i in before_used]
    seeds: dict[Tensor, Tensor] = {}
    pairs = list(zip([t for t, f in zip(body.outputs[:c], carry_float, strict=True) if f], bar_in, strict=True))
    pairs += [(body.outputs[c + i], b) for i, b in zip(y_used, y_bar, strict=True)]
    for output, bar in pairs:
        seeds[output] = seeds[output] + bar if output in seeds else bar
    wrt = [x for x, want in zip(body.inputs, given, strict=True) if want]
    received = cotangents(seeds, wrt, stop=body.inputs)
    got = {x: received.get(x) for x in wrt}

    def bar_of(x: Tensor) -> Tensor:
        found = got.get(x)
        return zeros(x) if found is None else found

    # A matrix from around that is multiplied in every step receives Σₜ Aₜᵀ Gₜ: one large product after the loop, of all
    # A and G one below the other, instead of a small one in each step.
    products = {k: factors for k in around_wanted if (factors := _products(got[around[k]]))}
    stacked = list({n: None for pairs in products.values() for pair in pairs for n in pair})
    summed = [k for k in around_wanted if k not in products]
    sums_in = [placeholder(around[k].shape, around[k].dtype) for k in summed]

    bar_out = []
    for i in range(c):
        if carry_float[i]:
            bar = bar_of(body.inputs[i])
            if i in before_used:
                bar = bar + before_bar[before_used.index(i)]
            bar_out.append(bar)
    sums_out = [a + bar_of(around[k]) for a, k in zip(sums_in, summed, strict=True)]
    x_out = [bar_of(body.inputs[c + k]) for k in x_wanted]
    # What the forward loop returned of each step is not worked out again: nodes of its body are inputs of this one.
    given_in = set(body.inputs)
    kept = {y: item(node, index=c + i) for i, y in enumerate(body.outputs[c:]) if y not in given_in}
    used = set(ancestors([*bar_out, *sums_out, *x_out, *stacked], {*body.inputs, *kept}))
    kept = {t: values for t, values in kept.items() if t in used}
    carries = [item(node, index=c + ys + i) for i in range(c)]
    known = dict(zip(body.inputs[: c + s], [*carries, *node.inputs[c : c + s]], strict=True)) | kept
    made = [n for n in stacked if n not in known and n not in set(x_out)]
    graph = Graph(
        [*bar_in, *sums_in, *body.inputs[:c], *body.inputs[c : c + s], *y_bar, *before_bar, *kept, *around],
        [*bar_out, *sums_out, *x_out, *made],
    )
    start = [filled(*specs[i]) if bars[i] is None else bars[i] for i in range(c) if carry_float[i]]
    start += [zeros(around[k]) for k in summed]
    sequences = [
        *carries, *node.inputs[c : c + s], *(bars[c + i] for i in y_used), *(bars[c + ys + i] for i in before_used),
        *kept.values(),
    ]  # fmt: skip
    back = scan_op(
        *start, *sequences, *node.inputs[c + s :],
        body=graph, carries=len(start), sequences=len(sequences), length=n, reverse=not node.attrs["reverse"],
    )  # fmt: skip
    outs = iter(item(back, index=i) for i in range(len(graph.outputs)))
    messages: list[Tensor | None] = [None] * len(node.inputs)
    for i in range(c):
        if carry_float[i]:
            messages[i] = next(outs)
    for k in summed:
        messages[c + s + k] = next(outs)
    for k, x in zip(x_wanted, x_out, strict=True):
        messages[c + k] = known[x] = next(outs)
    known.update(zip(made, outs, strict=True))
    for k, pairs_of_k in products.items():
        messages[c + s + k] = add_up([product(swap_last(_rows(known[a])), _rows(known[g])) for a, g in pairs_of_k])
    return messages


def _products(message: Tensor | None) -> list[tuple[Tensor, Tensor]]:
    """The A and G of a message that is a sum of products Aᵀ G of matrices, and nothing else."""
    found, terms = [], [] if message is None else [message]
    while terms:
        term = terms.pop()
        if term.op is add and term.shape == term.inputs[0].shape == term.inputs[1].shape:
            terms += term.inputs
        elif term.op is product and term.ndim == 2 and term.inputs[0].op is permute_axes:
            found.append((term.inputs[0].inputs[0], term.inputs[1]))
        else:
            return []
    return found


def _rows(x: Tensor) -> Tensor:
    """The matrices of a stack, one below the other."""
    return reshape(x, (x.shape[0] * x.shape[1], x.shape[2]))


def _scan_push(node: Tensor, moved: Sequence[Any]) -> list[Tensor | None] | None:
    body: Graph = node.attrs["body"]
    c, s = node.attrs["carries"], node.attrs["sequences"]
    if all(t is None for t in moved):
        return None
    floats = _floats(body.inputs)
    # Every float carry moves (from a zero start if need be); of sequences and surroundings only those that do.
    moving = [f and (i < c or moved[i] is not None) for i, f in enumerate(floats)]
    dots = {x: placeholder(x.shape, x.dtype) for x, m in zip(body.inputs, moving, strict=True) if m}
    found = tangents(body.outputs, dots, stop=body.inputs)
    carry_dot = [found.get(t, zeros(t)) for t in body.outputs[:c] if is_float(t.dtype)]
    y_index = [i for i, t in enumerate(body.outputs[c:]) if is_float(t.dtype)]
    y_dot = [found.get(body.outputs[c + i], zeros(body.outputs[c + i])) for i in y_index]
    inner: list[Tensor] = []  # each part of the inputs (carries, sequences, surroundings), then how it moves
    outer: list[Tensor] = []
    for lo, hi in ((0, c), (c, c + s), (c + s, len(body.inputs))):
        inner += [*body.inputs[lo:hi], *(dots[x] for x in body.inputs[lo:hi] if x in dots)]
        outer += node.inputs[lo:hi]
        outer += [zeros(node.inputs[i]) if moved[i] is None else moved[i] for i in range(lo, hi) if moving[i]]
    graph = Graph(inner, [*body.outputs[:c], *carry_dot, *body.outputs[c:], *y_dot])
    carries = c + len(carry_dot)
    both = scan_op(
        *outer, body=graph, carries=carries, sequences=s + sum(moving[c : c + s]), length=node.attrs["length"],
        reverse=node.attrs["reverse"],
    )  # fmt: skip
    ys = len(body.outputs) - c
    answer: list[Tensor | None] = [None] * (len(body.outputs) + c)
    dot = 0
    for i in range(c):
        if is_float(body.outputs[i].dtype):
            answer[i] = item(both, index=c + dot)
            answer[c + ys + i] = item(both, index=len(graph.outputs) + c + dot)
            dot += 1
    for k, i in enumerate(y_index):
        answer[c + i] = item(both, index=carries + ys + k)
    return answer


def _map_pull(node: Tensor, parts: dict[int, Tensor], needed: Sequence[bool]) -> Messages:
    body: Graph = node.attrs["body"]
    s, n = node.attrs["sequences"], node.attrs["length"]
    used = sorted(parts)
    bars = [placeholder(body.outputs[i].shape, body.outputs[i].dtype) for i in used]
    seeds: dict[Tensor, Tensor] = {}
    for i, bar in zip(used, bars, strict=True):
        output = body.outputs[i]
        seeds[output] = seeds[output] + bar if output in seeds else bar
    given = [f and want for f, want in zip(_floats(body.inputs), needed, strict=True)]
    wrt = [x for x, want in zip(body.inputs, given, strict=True) if want]
    received = cotangents(seeds, wrt, stop=body.inputs)
    ends = [zeros(x) if received.get(x) is None else received[x] for x in wrt]
    graph = Graph([*body.inputs[:s], *bars, *body.inputs[s:]], ends)
    back = map_op(
        *node.inputs[:s], *(parts[i] for i in used), *node.inputs[s:], body=graph, sequences=s + len(used), length=n
    )
    messages: list[Tensor | None] = [None] * len(node.inputs)
    at = 0
    for i, want in enumerate(given):
        if want:
            message = item(back, index=at)
            messages[i] = message if i < s else reduce_sum(message, axes=(0,))
            at += 1
    return messages


def _map_push(node: Tensor, moved: Sequence[Any]) -> list[Tensor | None] | None:
    body: Graph = node.attrs["body"]
    s = node.attrs["sequences"]
    moving = [i for i, t in enumerate(moved) if t is not None]
    if not moving:
        return None
    dots = {body.inputs[i]: placeholder(body.inputs[i].shape, body.inputs[i].dtype) for i in moving}
    found = tangents(body.outputs, dots, stop=body.inputs)
    index = [i for i, t in enumerate(body.outputs) if t in found]
    graph = Graph(
        [
            *body.inputs[:s], *(dots[body.inputs[i]] for i in moving if i < s),
            *body.inputs[s:], *(dots[body.inputs[i]] for i in moving if i >= s),
        ],
        [found[body.outputs[i]] for i in index],
    )  # fmt: skip
    both = map_op(
        *node.inputs[:s], *(moved[i] for i in moving if i < s), *node.inputs[s:], *(moved[i] for i in moving if i >= s),
        body=graph, sequences=s + sum(i < s for i in moving), length=node.attrs["length"],
    )  # fmt: skip
    answer: list[Tensor | None] = [None] * len(body.outputs)
    for k, i in enumerate(index):
        answer[i] = item(both, index=k)
    return answer


scan_op.lend_rules(_scan_pull, _scan_push)
map_op.lend_rules(_map_pull, _map_push)
