"""The ops: what each means, how it differentiates, how it is written, and on which inputs it is tried.

`from kedja import ops; ops.OPS` is the table of them all. Importing this room gives tensors their operators.
"""

from typing import Any

from kedja.graph.node import Tensor, bind
from kedja.ops import elementwise, random, reductions, shaping
from kedja.ops.arrange import (
    depth_to_space,
    diagonal,
    eye,
    moveaxis,
    space_to_depth,
    split,
    tile,
    tril,
    triu,
)
from kedja.ops.clipping import clip
from kedja.ops.control import map, scan
from kedja.ops.convolution import conv, conv_transpose
from kedja.ops.describe import Described
from kedja.ops.division import fmod, remainder
from kedja.ops.einsum import einsum
from kedja.ops.elementwise import *  # noqa: F403
from kedja.ops.elementwise import (
    absolute,
    add,
    cast,
    divide,
    equal,
    floor_divide,
    greater,
    greater_equal,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    multiply,
    negative,
    not_equal,
    subtract,
)
from kedja.ops.formula import formula, tex, text
from kedja.ops.indexing import getitem, scatter_add, take, take_along_axis
from kedja.ops.linalg import dot, matmul
from kedja.ops.normalising import moments, normalised
from kedja.ops.op import OPS, Op, is_differentiable
from kedja.ops.ordering import sort, top_k
from kedja.ops.padding import pad
from kedja.ops.pooling import max_pool, mean_pool, sum_pool
from kedja.ops.powers import logarithm, power
from kedja.ops.products import cumprod, prod
from kedja.ops.reductions import *  # noqa: F403
from kedja.ops.reductions import argmax, max, mean, min, sum
from kedja.ops.scattering import gather_nd, put_along_axis, scatter_nd
from kedja.ops.sequences import convolve, correlate
from kedja.ops.shaping import *  # noqa: F403
from kedja.ops.shaping import reshape, transpose
from kedja.ops.softmax import log_softmax, softmax
from kedja.ops.windows import output_size

__all__ = ["OPS", "Op", "dot", "formula", "is_differentiable", "log_softmax", "logarithm", "map", "matmul", "power"]
__all__ += ["conv", "conv_transpose", "convolve", "correlate", "max_pool", "mean_pool", "output_size", "sum_pool"]
__all__ += ["clip", "cumprod", "depth_to_space", "diagonal", "einsum", "eye", "fmod", "gather_nd", "moveaxis", "pad"]
__all__ += ["prod", "put_along_axis", "remainder", "scatter_nd", "sort", "space_to_depth", "split", "tile", "top_k"]
__all__ += ["moments", "normalised", "tril", "triu"]
__all__ += ["random", "scan", "scatter_add", "softmax", "take", "take_along_axis", "tex", "text"]
__all__ += elementwise.__all__
__all__ += reductions.__all__
__all__ += shaping.__all__


def _swapped(function: Any) -> Any:
    """The operator with the tensor on the right: 1 - x."""
    return lambda a, b: function(b, a)


bind(
    Tensor,
    __add__=add.apply, __radd__=_swapped(add.apply),
    __sub__=subtract.apply, __rsub__=_swapped(subtract.apply),
    __mul__=multiply.apply, __rmul__=_swapped(multiply.apply),
    __truediv__=divide.apply, __rtruediv__=_swapped(divide.apply),
    __floordiv__=floor_divide.apply, __rfloordiv__=_swapped(floor_divide.apply),
    __mod__=lambda a, b: remainder(a, b), __rmod__=_swapped(remainder),
    __pow__=lambda a, b: power(a, b), __rpow__=_swapped(power),
    __matmul__=lambda a, b: matmul(a, b), __rmatmul__=_swapped(matmul),
    __neg__=negative.apply, __abs__=absolute.apply, __invert__=logical_not.apply,
    __and__=logical_and.apply, __rand__=_swapped(logical_and.apply),
    __or__=logical_or.apply, __ror__=_swapped(logical_or.apply),
    __xor__=logical_xor.apply, __rxor__=_swapped(logical_xor.apply),
    __lt__=less.apply, __le__=less_equal.apply,
    __gt__=greater.apply, __ge__=greater_equal.apply,
    __eq__=equal.apply, __ne__=not_equal.apply,
    __getitem__=getitem, text=text, tex=tex,
    sum=sum, mean=mean, max=max, min=min, argmax=argmax,
    reshape=reshape, transpose=transpose, astype=cast, T=property(lambda a: transpose(a)),
)  # fmt: skip
for _kind in {cls for op in OPS.values() for cls in type(op).__mro__ if issubclass(cls, Op)}:
    _kind.__doc__ = Described(_kind.__doc__)  # type: ignore[assignment]  # written when `help` asks for it
