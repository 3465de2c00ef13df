"""Products of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from kedja.graph.dtypes import DType
from kedja.graph.node import Tensor, same_dtype
from kedja.graph.shapes import Shape, matmul_shape, size
from kedja.ops.notation import PRODUCT, infix
from kedja.ops.op import Op, bilinear, located, operands
from kedja.ops.samples import arrays
from kedja.ops.shaping import reshape, swap_last


def _product_spec(a: Tensor, b: Tensor) -> tuple[Shape, DType]:
    return matmul_shape(a.shape, b.shape), same_dtype((a, b))


product: Op = bilinear(
    "matmul", np.matmul, _product_spec,
    adjoints=(lambda node, g: product(g, swap_last(node.inputs[1])),
              lambda node, g: product(swap_last(node.inputs[0]), g)),
    tex=infix(r"\,", PRODUCT), text=infix("@", PRODUCT), accepts="number",
    samples=arrays(([(3, 4), (4, 2)], {}), ([(1, 1), (1, 1)], {}), ([(5, 3, 4), (5, 4, 2)], {}),
                   ([(3, 4), (5, 4, 2)], {}), ([(2, 1, 3, 2), (5, 2, 2)], {}), ([(0, 3), (3, 2)], {}),
                   ([(2, 0), (0, 3)], {})),
    doc="y[i, j] = Σ a[i, k] b[k, j] over k, a matrix product; axes before the last two are broadcast.",
)  # fmt: skip


def matmul(a: Any, b: Any) -> Tensor:
    """a @ b: (…, n, k) @ (…, k, m) → (…, n, m).

    Leading axes broadcast; a vector counts as a row on the left and as a column on the right.

    >>> import kedja as kj
    >>> kj.matmul(kj.tensor([[1.0, 2.0]]), kj.tensor([[3.0], [4.0]])).numpy().tolist()
    [[11.0]]
    """
    a, b = operands("matmul", (a, b))
    try:
        shape = matmul_shape(a.shape, b.shape)
    except ValueError as error:
        raise located(error, "matmul") from None  # type: ignore[arg-type]
    if a.ndim >= 2 and b.ndim >= 2 and not (a.ndim > 2 and b.ndim == 2):
        return product(a, b)
    # One matrix for all rows: a single large product, whose adjoint is one too.
    rows = reshape(a, (size(a.shape[:-1]), a.shape[-1]))
    if b.ndim <= 2:
        return reshape(product(rows, b if b.ndim == 2 else reshape(b, (-1, 1))), shape)
    return reshape(product(reshape(a, (1, -1)), b), shape)


def dot(a: Any, b: Any) -> Tensor:
    """Scalar product of two vectors, Σ aᵢbᵢ.

    >>> import kedja as kj
    >>> kj.dot(kj.tensor([1.0, 2.0]), kj.tensor([3.0, 4.0])).item()
    11.0
    """
    return matmul(a, b)


__all__ = ["dot", "matmul"]
