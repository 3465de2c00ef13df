"""Random graphs for Hypothesis: a few inputs, then ops applied to what is there, with awkward constants among them."""

from typing import Any

from hypothesis import strategies as st

import kedja as kj
from kedja.ops.elementwise import raise_to

UNARY = [lambda x: -x, kj.sin, kj.tanh, kj.relu, kj.absolute, lambda x: x * 1.0, lambda x: x / 1.0, lambda x: x - 0.0]
UNARY += [lambda x: x + 0.0, lambda x: x * 0.0, lambda x: -1.0 * x, lambda x: x**2, lambda x: x**1, lambda x: 2.0 - x]
UNARY += [lambda x: kj.reshape(kj.reshape(x, (6,)), (2, 3)), lambda x: x.T.T, lambda x: kj.broadcast_to(x, (2, 3))]
UNARY += [
    lambda x: x + (kj.tensor(3.0, dtype="float64") - 1),
    lambda x: kj.cast(x, "float64"),
    lambda x: x * (2.0 * 3.0),
]
UNARY += [lambda x: raise_to(x, 2.0), lambda x: raise_to(x, [2.0, 2.0, 2.0]), lambda x: raise_to(x, 1.0)]
BINARY = [lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, kj.maximum, lambda a, b: a / (1.0 + b * b)]
BINARY += [lambda a, b: -a * -b, lambda a, b: a - -b, lambda a, b: -a / b, lambda a, b: kj.where(a > b, a, b)]
KINKED = [kj.relu, kj.absolute, kj.maximum, BINARY[-1]]  # a last digit may decide which side a gradient takes
POSITION = st.integers(0, 30)
STEP = st.tuples(st.sampled_from(range(len(UNARY) + len(BINARY))), POSITION, POSITION)
SMOOTH = [i for i, f in enumerate([*UNARY, *BINARY]) if f not in KINKED]
SMOOTH_STEP = st.tuples(st.sampled_from(SMOOTH), POSITION, POSITION)


def built(steps: list[Any], inputs: list[kj.Tensor]) -> kj.Tensor:
    """The graph that the steps describe: each applies one op to earlier nodes."""
    nodes = list(inputs)
    for which, first, second in steps:
        a, b = nodes[first % len(nodes)], nodes[second % len(nodes)]
        nodes.append(UNARY[which](a) if which < len(UNARY) else BINARY[which - len(UNARY)](a, b))
    return nodes[-1]
