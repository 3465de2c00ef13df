"""Recurrent operators, each a scan over the steps of a sequence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from kedja import ops
from kedja.errors import one_of
from kedja.formats.onnx.activations import RECURRENT
from kedja.formats.onnx.registry import operator
from kedja.graph.node import Tensor

Function = Callable[[Tensor], Tensor]
DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
# A cell: (x, carries, step's part of the weights) → new carries, the first of which is h.
Cell = Callable[[Tensor, tuple[Tensor, ...]], tuple[Tensor, ...]]


def functions(
    names: Sequence[str] | None, alphas: Any, betas: Any, default: Sequence[str], directions: int, clip: float
) -> list[list[Function]]:
    """The activation functions per direction, with their parameters, behind the clipping of what goes in."""
    listed = list(names) if names else list(default) * directions
    alpha, beta = iter(alphas or ()), iter(betas or ())
    found: list[Function] = []
    for name in listed:
        known = {key.lower(): entry for key, entry in RECURRENT.items()}.get(name.lower())
        if known is None:
            raise one_of("activation", name, RECURRENT)
        function, *takes = known
        given = {k: next(source) for k, source in (("alpha", alpha), ("beta", beta)) if k in takes and _left(source)}
        chosen = partial(function, **given)
        found.append(partial(_clipped, chosen, clip) if clip else chosen)
    n = len(default)
    return [found[i * n : (i + 1) * n] for i in range(directions)]


def _left(source: Any) -> bool:
    return bool(source.__length_hint__())


def _clipped(function: Function, bound: float, x: Tensor) -> Tensor:
    return function(ops.clip(x, -bound, bound))


def over_steps(
    x: Tensor,
    cells: Sequence[Cell],
    starts: Sequence[Tensor | None],
    hidden: int,
    direction: str,
    lengths: Tensor | None,
    layout: int,
) -> tuple[Tensor, ...]:
    """Y (T, D, N, H) and the last value of every carry (D, N, H), from x (T, N, …); batch first with layout 1."""
    if layout:
        x = ops.transpose(x, (1, 0, 2))
        starts = [None if s is None else ops.transpose(s, (1, 0, 2)) for s in starts]
    steps, n = x.shape[:2]
    outputs, lasts = [], []
    for d, (cell, reverse) in enumerate(zip(cells, DIRECTIONS[direction], strict=True)):
        begin = tuple(ops.zeros((n, hidden), x.dtype) if s is None else s[d] for s in starts)

        def body(carry: Any, at: Any, cell: Cell = cell) -> Any:
            step, t = at
            new = cell(step, carry)
            if lengths is None:
                return new, new[0]
            going = ops.expand_dims(t < lengths, -1)
            kept = tuple(ops.where(going, a, b) for a, b in zip(new, carry, strict=True))
            return kept, ops.where(going, new[0], 0.0)

        times = ops.arange(steps, "int64" if lengths is None else lengths.dtype)
        last, ys = ops.scan(body, begin, (x, times), reverse=reverse)
        outputs.append(ys)
        lasts.append(last)
    y = ops.stack(outputs, 1)
    ends = [ops.stack([last[i] for last in lasts]) for i in range(len(starts))]
    if layout:
        y, ends = ops.transpose(y, (2, 0, 1, 3)), [ops.transpose(e, (1, 0, 2)) for e in ends]
    return y, *ends


def directions(direction: str) -> int:
    """How many."""
    if direction not in DIRECTIONS:
        raise one_of("direction", direction, DIRECTIONS)
    return len(DIRECTIONS[direction])


def biases(b: Tensor | None, d: int, like: Tensor, gates: int, hidden: int) -> tuple[Tensor, Tensor]:
    """The bias of the input and that of the state, zero unless given."""
    if b is None:
        zero = ops.zeros(gates * hidden, like.dtype)
        return zero, zero
    return b[d, : gates * hidden], b[d, gates * hidden :]


@operator("RNN")
def rnn(
    x: Tensor, w: Tensor, r: Tensor, b: Tensor | None = None, sequence_lens: Tensor | None = None,
    initial_h: Tensor | None = None, *, hidden_size: int, activations: Any = None, activation_alpha: Any = None,
    activation_beta: Any = None, clip: float = 0.0, direction: str = "forward", layout: int = 0,
) -> Any:  # fmt: skip
    """h ← f(W x + R h + b)."""
    n = directions(direction)
    chosen = functions(activations, activation_alpha, activation_beta, ("Tanh",), n, clip)

    def made(d: int) -> Cell:
        (f,) = chosen[d]
        into, back = w[d].T, r[d].T
        from_x, from_h = biases(b, d, x, 1, hidden_size)
        return lambda step, carry: (f(step @ into + carry[0] @ back + from_x + from_h),)

    cells = [made(d) for d in range(n)]
    return over_steps(x, cells, [initial_h], hidden_size, direction, sequence_lens, layout)


@operator("LSTM")
def lstm(
    x: Tensor, w: Tensor, r: Tensor, b: Tensor | None = None, sequence_lens: Tensor | None = None,
    initial_h: Tensor | None = None, initial_c: Tensor | None = None, p: Tensor | None = None, *, hidden_size: int,
    activations: Any = None, activation_alpha: Any = None, activation_beta: Any = None, clip: float = 0.0,
    direction: str = "forward", input_forget: int = 0, layout: int = 0,
) -> Any:  # fmt: skip
    """Gates in the order i, o, f, c: c ← f∘c + i∘c̃, h ← o∘g(c); with peepholes from c to i, f and (new c) to o."""
    n = directions(direction)
    chosen = functions(activations, activation_alpha, activation_beta, ("Sigmoid", "Tanh", "Tanh"), n, clip)

    def made(d: int) -> Cell:
        gate, candidate, out = chosen[d]
        into, back = w[d].T, r[d].T
        bias = ops.add(*biases(b, d, x, 4, hidden_size))
        peep = None if p is None else ops.split(p[d], 3)

        def cell(step: Tensor, carry: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            h, c = carry
            i, o, f, new = ops.split(step @ into + h @ back + bias, 4, -1)
            if peep:
                i, f = i + peep[0] * c, f + peep[2] * c
            i = gate(i)
            f = 1 - i if input_forget else gate(f)
            c = f * c + i * candidate(new)
            return gate(o + peep[1] * c if peep else o) * out(c), c

        return cell

    cells = [made(d) for d in range(n)]
    return over_steps(x, cells, [initial_h, initial_c], hidden_size, direction, sequence_lens, layout)


@operator("GRU")
def gru(
    x: Tensor, w: Tensor, r: Tensor, b: Tensor | None = None, sequence_lens: Tensor | None = None,
    initial_h: Tensor | None = None, *, hidden_size: int, activations: Any = None, activation_alpha: Any = None,
    activation_beta: Any = None, clip: float = 0.0, direction: str = "forward", layout: int = 0,
    linear_before_reset: int = 0,
) -> Any:  # fmt: skip
    """Gates in the order z, r, h: h ← (1 − z)∘h̃ + z∘h, with r before or after the product with the state's matrix."""
    n = directions(direction)
    chosen = functions(activations, activation_alpha, activation_beta, ("Sigmoid", "Tanh"), n, clip)

    def made(d: int) -> Cell:
        gate, candidate = chosen[d]
        into = w[d].T
        back_zr, back_h = ops.split(r[d].T, [2 * hidden_size, hidden_size], 1)
        from_x, from_h = biases(b, d, x, 3, hidden_size)
        zr_bias, h_bias = ops.split(from_h, [2 * hidden_size, hidden_size])

        def cell(step: Tensor, carry: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            (h,) = carry
            zr, new = ops.split(step @ into + from_x, [2 * hidden_size, hidden_size], -1)
            z, reset = ops.split(gate(zr + h @ back_zr + zr_bias), 2, -1)
            if linear_before_reset:
                new = candidate(new + reset * (h @ back_h + h_bias))
            else:
                new = candidate(new + (reset * h) @ back_h + h_bias)
            return ((1 - z) * new + z * h,)

        return cell

    cells = [made(d) for d in range(n)]
    return over_steps(x, cells, [initial_h], hidden_size, direction, sequence_lens, layout)
