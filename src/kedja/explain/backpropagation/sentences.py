"""What each op does, and what its rule is on the way back, in a sentence."""

from __future__ import annotations

from kedja.explain.words import _
from kedja.graph.node import Tensor
from kedja.ops.op import Bilinear, Elementwise, Linear, is_differentiable

__all__ = ["backward_rule", "does"]


def mark(words: str) -> str:
    """Words that are translated later, when they are shown: marks them for catalogues."""
    return words


DOES = {
    "absolute": mark("the distance from 0"),
    "add": mark("the two are added"),
    "concatenate": mark("put side by side"),
    "conv": mark("the kernel is laid on every place of the input; what lies on each other is multiplied and added up"),
    "conv_transpose": mark("every number of the input spreads a kernel; where they overlap they are added up"),
    "cos": mark("the cosine"),
    "divide": mark("the first divided by the second"),
    "exp": mark("e to this power"),
    "log": mark("the natural logarithm"),
    "log1p": mark("the natural logarithm of 1 + x"),
    "matmul": mark("each row of the left times each column of the right: products, added up"),
    "max": mark("the largest"),
    "max_pool": mark("the largest number of each window"),
    "maximum": mark("the larger of the two"),
    "min": mark("the smallest"),
    "minimum": mark("the smaller of the two"),
    "multiply": mark("the two are multiplied"),
    "negative": mark("the sign is turned"),
    "pad": mark("a border is put around"),
    "power": mark("the first to the power of the second"),
    "reciprocal": mark("1 divided by it"),
    "relu": mark("what is negative becomes 0, the rest stays"),
    "scan": mark("a loop: the same steps for each part, one after the other"),
    "sigmoid": mark("1 / (1 + e⁻ˣ), between 0 and 1"),
    "sin": mark("the sine"),
    "slice": mark("a part of it"),
    "softmax": mark("eˣ divided by the sum of all eˣ of the row: positive, and together 1"),
    "softplus": mark("ln(1 + eˣ), a smooth relu"),
    "sqrt": mark("the square root"),
    "square": mark("it is multiplied by itself"),
    "stop_gradient": mark("held: every derivative takes it as a constant"),
    "subtract": mark("the second is taken from the first"),
    "sum": mark("added up"),
    "sum_pool": mark("the sum of each window"),
    "take": mark("rows are looked up by their numbers"),
    "tanh": mark("the hyperbolic tangent, between −1 and 1"),
    "where": mark("one or the other, depending on a condition"),
}
BACK = {
    "add": mark("a sum passes what it receives on to both terms"),
    "concatenate": mark("each part receives its own piece back"),
    "conv": mark("to the input: every output's slope times the kernel that lay there; to the kernel: times the input"),
    "matmul": mark("a matrix product multiplies what it receives by the other factor, transposed"),
    "max": mark("only the largest receives something"),
    "max_pool": mark("only the largest number of each window receives something"),
    "negative": mark("the sign is turned back"),
    "scan": mark("the loop is walked backwards"),
    "slice": mark("the part receives it, the rest nothing"),
    "softmax": mark("∂oᵢ/∂netⱼ = oᵢ (δᵢⱼ − oⱼ): each output of a row depends on all inputs of the row"),
    "subtract": mark("a difference passes it on, with a minus to the second"),
    "sum": mark("every term of a sum receives the same"),
    "sum_pool": mark("every number of a window receives the same"),
    "take": mark("the rows that were looked up receive it; a row looked up twice gets the sum"),
    "where": mark("the branch that was taken receives it, the other 0"),
}


def does(node: Tensor) -> str:
    """What an op does."""
    known = DOES.get(node.op.name)
    if known:
        return _(known)
    if isinstance(node.op, Elementwise):
        return _("{op}, for each number alone").format(op=node.op.name)
    return str(node.op.name).replace("_", " ")


def backward_rule(node: Tensor) -> str:
    """By which rule an op passes on what it receives."""
    known = BACK.get(node.op.name)
    if known:
        return _(known)
    if not is_differentiable(node.op):
        return _("nothing flows back through it")
    if isinstance(node.op, Elementwise):
        return _("chain rule: what arrives, times the derivative of {op}").format(op=node.op.name)
    if isinstance(node.op, Bilinear):
        return _("a product: what arrives, times the other factor")
    if isinstance(node.op, Linear):
        return _("linear: what arrives goes back to where it came from")
    return _("chain rule, by the rule of {op}").format(op=node.op.name)
