"""The worked examples of the scope (1.7 and 9), each ready to be looked at: `kj.explain.example("9.4")`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from kedja.diff import grad, numeric_gradient
from kedja.errors import one_of
from kedja.explain.backpropagation.bare import graph
from kedja.explain.backpropagation.walkthrough import Walkthrough, backprop
from kedja.explain.show.blocks import Block, Line, Title, Words
from kedja.explain.show.figures import Figures, Written
from kedja.explain.show.naming import Slope, symbol_of
from kedja.explain.show.page import Page
from kedja.explain.show.table import Table
from kedja.explain.words import _
from kedja.graph.dtypes import default_dtype
from kedja.graph.node import Tensor, tensor
from kedja.graph.variables import Parameter
from kedja.nn import Sequential
from kedja.nn.layers import Dense
from kedja.ops import dot, exp, log, mean, sigmoid, square, stop_gradient
from kedja.ops import sum as total
from kedja.optim import SGD

__all__ = ["EXAMPLES", "Example", "example"]

DIGITS = 8
Part = Walkthrough | Line | Words | Table | Title
Maker = Callable[[], Sequence[Part]]
EXAMPLES: dict[str, tuple[str, Maker]] = {}
"""The examples by their number in the scope: a title, and what makes the parts."""


class Example(Page):
    """A worked example: what is given, then every step. `parts` are walkthroughs, lines and sentences."""

    def __init__(self, name: str, title: str, parts: Sequence[Part]) -> None:
        self.name, self.title, self.parts = name, title, list(parts)
        self.figures = Figures(DIGITS)

    def blocks(self) -> Iterator[Block]:
        yield Title(f"{self.name}  {self.title}", 1)
        for part in self.parts:
            if isinstance(part, Walkthrough):
                for i, block in enumerate(part.blocks()):
                    if isinstance(block, Title) and i == 0:
                        if part.title:
                            yield Title(part.title)
                    else:
                        yield Title(block.text, 3) if isinstance(block, Title) else block
            else:
                yield part

    @property
    def walks(self) -> list[Walkthrough]:
        """The walkthroughs among the parts."""
        return [part for part in self.parts if isinstance(part, Walkthrough)]

    def to_dict(self) -> dict[str, Any]:
        walks = [walk.to_dict() for walk in self.walks]
        return {"example": self.name, "title": self.title, "walkthroughs": walks, **super().to_dict()}


def example(name: str | float) -> Example:
    """A worked example of the scope by its number, "1.7" or "9.1" to "9.10", computed in float64 with eight digits.

    Raises UnknownNameError for any other, and lists them.

    >>> print(example("9.1"))
    9.1  One neuron
    ═══════════════
    w₀ = 1, w = (3, −2), x = (−1, 2), sigmoid. One unit, w[in].
    ...
      1. z = w₀ + w @ x = 1 + (3, -2) @ (-1, 2) = -6
    ...
      2. ŷ = σ(z) = σ(-6) = 0.00247262
         sigmoid: 1 / (1 + e⁻ˣ), between 0 and 1
    """
    if str(name) not in EXAMPLES:
        raise one_of("example", name, EXAMPLES)
    title, make = EXAMPLES[str(name)]
    with default_dtype("float64"):
        parts = make()
    for part in parts:
        if isinstance(part, Walkthrough):  # the lines of the example are ours, not the reader's
            for line in (*part.forward, *part.backward, *part.chain, *part.update):
                line.source = ""
    return Example(str(name), _(title), parts)


def worked(name: str, title: str) -> Callable[[Maker], Maker]:
    """Enter an example under its number."""

    def enter(make: Maker) -> Maker:
        EXAMPLES[name] = (title, make)
        return make

    return enter


def shown(output: Any, wrt: Any = (), title: str = "", level: str = "op", **names: Tensor) -> Walkthrough:
    """A graph of the example, explained."""
    return graph(output, list(wrt), names=names, level=level, digits=DIGITS, title=title)


def result(name: str, by: str, formula: str, tex: str, value: Any) -> Line:
    """A derivative that the example ends with, as the literature writes it."""
    return Line(Slope(symbol_of(name), symbol_of(by)).written, Written(formula, tex), None, value)


# --- 1.7 and 9.10: graphs of numbers ---------------------------------------------------------------------------------
@worked("1.7", "Every edge of a small graph")
def _small_graph() -> Sequence[Part]:
    a, b = Parameter(2.0, name="a"), Parameter(1.0, name="b")
    c, d = a + b, b + 1
    e = c * d
    said = _("c = a + b, d = b + 1, e = c·d at a = 2, b = 1. Two paths lead from b to e, and both count.")
    return [Words(said), shown(e, [a, b], c=c, d=d, e=e)]


@worked("9.1", "One neuron")
def _neuron() -> Sequence[Part]:
    w0, w = tensor(1.0, name="w0"), tensor([3.0, -2.0], name="w")
    z = w0 + dot(w, tensor([-1.0, 2.0], name="x"))
    y = sigmoid(z)
    said = _("w₀ = 1, w = (3, −2), x = (−1, 2), sigmoid. One unit, w[in].")
    return [Words(said), shown(y, (), "", "layer", z=z, ŷ=y)]


@worked("9.2", "Two layers")
def _two_layers() -> Sequence[Part]:
    inputs = tensor([[1.0, 0.5]], name="I")
    x = inputs @ tensor([[0.9, 0.2], [0.3, 0.8]], name="W")
    y = sigmoid(x)
    said = _(
        "Inputs (1.0, 0.5), weights w[in, out] = [[0.9, 0.2], [0.3, 0.8]], sigmoid: inputs stand on the left, I W."
    )
    return [Words(said), shown(y, level="element", x=x, y=y)]


@worked("9.3", "Three layers")
def _three_layers() -> Sequence[Part]:
    inputs = tensor([0.9, 0.1, 0.8], name="I")
    w_ih = tensor([[0.9, 0.3, 0.4], [0.2, 0.8, 0.2], [0.1, 0.5, 0.6]], name="W_ih")
    w_ho = tensor([[0.3, 0.7, 0.5], [0.6, 0.5, 0.2], [0.8, 0.1, 0.9]], name="W_ho")
    x_h = w_ih @ inputs
    o_h = sigmoid(x_h)
    x_o = w_ho @ o_h
    o_o = sigmoid(x_o)
    said = _("I = (0.9, 0.1, 0.8), weights w[out, in], sigmoid: the matrix stands on the left, W I.")
    return [Words(said), shown(o_o, level="element", X_h=x_h, O_h=o_h, X_o=x_o, O_o=o_o)]


@worked("9.10", "A chain")
def _chain() -> Sequence[Part]:
    w = Parameter([2.0, -3.0, -3.0], name="w")
    p = dot(w, tensor([-1.0, -2.0, 1.0], name="x"))
    r = exp(-p)
    q = 1 + r
    t = 1 / q
    said = _("p = w·x, r = e⁻ᵖ, q = 1 + r, t = 1/q at w = (2, −3, −3), x = (−1, −2, 1), w[in].")
    return [Words(said), shown(t, [w], level="element", p=p, r=r, q=q, t=t)]


# --- 9.4 and 9.5: one weight, and sharing the error out --------------------------------------------------------------
@worked("9.4", "The gradient of one weight")
def _one_weight() -> Sequence[Part]:
    net = Sequential([Dense(1, "sigmoid", use_bias=False)]).build((None, 2))
    net.set_weights([[[2.0], [3.0]]])
    x = np.array([[0.4, 0.4]])
    t = np.asarray(net(tensor(x)).numpy()) + 0.8
    whole, half = (
        backprop(net, x, t, loss=loss, optimizer=SGD(0.1), weight="dense_1.kernel[0, 0]", digits=DIGITS)
        for loss in ("sse", "half_sse")
    )
    whole.title, half.title = _("With E = Σ(t − o)²"), _("With the factor 2 dropped: E = ½ Σ(t − o)²")
    said = _(
        "E = Σ(t − o)², e₁ = t − o = 0.8 is given; weights into the node 2.0 and 3.0, both inputs 0.4, learning "
        "rate 0.1. w[in, out]."
    )
    note = _(
        "The target this implies, {t}, lies outside what a sigmoid can reach (0 to 1): the error is "
        "given, not the target."
    ).format(t=Figures(DIGITS).number(t[0, 0])[0])
    return [Words(said), Words(note, note=True), whole, half]


@worked("9.5", "Sharing the error out")
def _sharing() -> Sequence[Part]:
    weights, e = tensor([[2.0, 1.0], [3.0, 1.0]], name="W"), tensor([0.8, 0.5], name="e")
    hidden = Parameter([0.4, 0.4], name="o_h")
    net = hidden @ weights
    o = sigmoid(net)
    t = stop_gradient(o) + e
    error = total(square(t - o))
    walk = shown(error, [hidden], _("The derivative"), "element", net=net, o=o, t=t, E=error)
    split = (weights / total(weights, 0, keepdims=True)) @ e
    times = weights @ e
    fixed = tensor(t.numpy(), dtype="float64")
    numeric = -numeric_gradient(total(square(fixed - sigmoid(hidden @ weights))), hidden)
    figures = Figures(DIGITS)
    rows = [
        (said, *(figures.number(v)[0] for v in np.ravel(part)))
        for said, part in (
            (_("in proportion to the weights"), split.numpy()),
            (_("weights times error"), times.numpy()),
            (_("−∂E/∂o_h = 2 W (e∘o∘(1 − o))"), -grad(error, hidden).numpy()),
            (_("numeric: each output moved, targets held"), numeric.round(6)),
        )
    ]
    said = _(
        "w[hidden, out] = [[2, 1], [3, 1]], e = t − o = (0.8, 0.5), hidden outputs (0.4, 0.4), E = Σ(t − o)². "
        "Which part of the error belongs to each hidden node?"
    )
    only = _(
        "Only the derivative agrees with the numeric gradient. The proportional split divides by zero where incoming "
        "weights are 2 and −2."
    )
    return [Words(said), walk, Title(_("Three answers")), Table((_("way"), "1", "2"), rows, (1, 2)), Words(only)]


# --- 9.6 and 9.7: derivatives in letters -----------------------------------------------------------------------------
@worked("9.6", "Two units whose gradient is a difference")
def _differences() -> Sequence[Part]:
    w, x, t = Parameter(0.5, name="w"), tensor(2.0, name="x"), tensor(3.0, name="t")
    y = w * x
    error = 0.5 * square(t - y)
    linear = shown(error, [w], _("A linear unit, E = ½(t − y)²"), y=y, E=error)
    net, s = Parameter(0.5, name="y"), tensor(1.0, name="t")
    a = sigmoid(net)
    cross = -s * log(a) - (1 - s) * log(1 - a)
    logistic = shown(cross, [net], _("A logistic unit, E = −t ln a − (1 − t) ln(1 − a)"), a=a, E=cross)
    return [
        Words(_("At w = 0.5, x = 2, t = 3, and at y = 0.5, t = 1.")),
        linear, result("E", "w", "(y - t) · x", r"\left(y - t\right) \cdot x", ((y - t) * x).numpy()),
        logistic, result("E", "y", "a - t", "a - t", (a - s).numpy()),
    ]  # fmt: skip


@worked("9.7", "Two layers, multiplied out")
def _multiplied_out() -> Sequence[Part]:
    x = Parameter([[1.0, 0.5]], name="x")
    w1, b1 = Parameter([[0.9, 0.2], [0.3, 0.8]], name="W1"), Parameter([0.1, -0.1], name="b1")
    w2, b2 = Parameter([[0.5], [-0.4]], name="W2"), Parameter([0.2], name="b2")
    y = tensor([[1.0]], name="y")
    h1 = x @ w1 + b1
    z1 = sigmoid(h1)
    z2 = z1 @ w2 + b2
    loss = square(z2 - y)
    said = _("h₁ = x W₁ + b₁, z₁ = σ(h₁), z₂ = z₁ W₂ + b₂, Loss = (z₂ − y)², with w[in, out]; x = (1, 0.5), y = 1.")
    return [Words(said), shown(loss, [x, w1, b1, w2, b2], level="layer", h1=h1, z1=z1, z2=z2, Loss=loss)]


# --- 9.8 and 9.9 -----------------------------------------------------------------------------------------------------
@worked("9.8", "784-100-10: shapes, and all six gradients")
def _digits() -> Sequence[Part]:
    draw = np.random.default_rng(0)
    image = tensor(draw.uniform(0.01, 1.0, (1, 784)), name="I")
    w1 = Parameter(draw.normal(0, 784**-0.5, (784, 100)), name="W1")
    w2 = Parameter(draw.normal(0, 100**-0.5, (100, 10)), name="W2")
    target = np.full((1, 10), 0.01)
    target[0, 5] = 0.99
    t = tensor(target, name="T")
    y1 = image @ w1
    a1 = sigmoid(y1)
    y2 = a1 @ w2
    a2 = sigmoid(y2)
    error = total(square(a2 - t))
    said = _("y1 = I W1, a1 = σ(y1), y2 = a1 W2, a2 = σ(y2), E = SSE(a2, T), w[in, out]. Starting weights from "
             "N(0, 1/√inputs), inputs from 0.01 to 1.")  # fmt: skip
    walk = shown(error, [w1, w2], level="layer", y1=y1, a1=a1, y2=y2, a2=a2, E=error)
    return [Words(said), walk]


@worked("9.9", "Binary cross-entropy against squares")
def _cross_entropy() -> Sequence[Part]:
    p, t = tensor([0.1, 0.8, 0.6], name="p"), tensor([1.0, 0.0, 1.0], name="t")
    losses = -(t * log(p) + (1 - t) * log(1 - p))
    bce = mean(losses)
    squares = square(p - t)
    mse = mean(squares)
    said = _("Predictions (0.1, 0.8, 0.6) for the labels (1, 0, 1).")
    return [
        Words(said), shown(bce, title=_("Binary cross-entropy"), level="layer", l=losses, BCE=bce),
        shown(mse, title=_("Mean squared error"), level="layer", e=squares, MSE=mse),
    ]  # fmt: skip
