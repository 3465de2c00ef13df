"""Tensor: an immutable node of the computational graph, that is an op applied to other nodes (scope 1.1).

Building a node computes nothing. Its shape and type are known at once, so mistakes are found where they are made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import count
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from kedja.errors import DTypeError
from kedja.graph.dtypes import DType, as_array, as_dtype, is_float
from kedja.graph.scope import Source, Where, _now, caller, scoped
from kedja.graph.shapes import Shape, as_shape, size

__all__ = ["Tensor", "ancestors", "bind", "constant", "placeholder", "tensor"]

Array = np.ndarray[Any, Any]


class Operation(Protocol):
    """What the graph needs to know of an op: its name. The rest is said in the room above."""

    name: str


class Leaf:
    """The op of a node without inputs: a constant, an input, a variable."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<leaf {self.name}>"


CONSTANT, INPUT, VARIABLE = Leaf("constant"), Leaf("input"), Leaf("variable")

_next_serial = count().__next__
by_serial = attrgetter("serial")

BOUND: dict[str, str] = {}
"""Methods that upper rooms lend to classes of this one: "Tensor.numpy" → the module it comes from."""

ELSEWHERE = {
    "backward": "kedja has no .backward(): gradients are graphs too. Use kj.grad(y, w).",
    "detach": "kedja spells it kj.stop_gradient(x).",
    "grad": "a gradient belongs to a pair of tensors: use kj.grad(y, w).",
    "requires_grad": "every floating-point tensor can be differentiated by; use kj.stop_gradient(x) to block a path.",
    "cpu": "a Tensor is a graph node and lives on no device; .numpy() gives its value.",
    "view": "kedja spells it .reshape(...).",
    "permute": "kedja spells it .transpose(axes).",
    "unsqueeze": "kedja spells it kj.expand_dims(x, axis).",
    "numel": "kedja spells it .size.",
    "dim": "kedja spells it .ndim.",
    "value": "a Tensor's value is .numpy(); only a Variable has .value.",
}


class _Elsewhere:
    """An attribute that a tensor does not have, and what to use instead.

    Not by `__getattr__`: a class that has one makes Python look up all its attributes the slow way.
    """

    __slots__ = ("advice",)

    def __init__(self, advice: str) -> None:
        self.advice = advice

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        raise AttributeError(self.advice)


class Tensor:
    """A node: `op` applied to `inputs`, with a `shape` and a `dtype`; its value is computed when asked for.

    >>> import kedja as kj
    >>> y = kj.tensor([1.0, 2.0]) * 3
    >>> y.op.name, y.shape, y.dtype.name, y.numpy().tolist()
    ('multiply', (2,), 'float32', [3.0, 6.0])
    """

    __slots__ = ("__weakref__", "_cache", "attrs", "dtype", "inputs", "name", "op", "serial", "shape", "where")
    __array_ufunc__ = None  # NumPy arrays on the left leave the operator to us

    op: Any
    inputs: tuple[Tensor, ...]
    attrs: dict[str, Any]
    shape: Shape
    dtype: DType
    name: str | None
    where: Where | None

    def __init__(
        self,
        op: Operation,
        inputs: tuple[Tensor, ...],
        attrs: dict[str, Any],
        shape: Shape,
        dtype: DType,
        name: str | None = None,
    ) -> None:
        self.op = op
        self.inputs = inputs
        self.attrs = attrs
        self.shape = shape
        self.dtype = dtype
        self.name = name
        self.serial = _next_serial()
        self.where = caller()
        self._cache: Any = None

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return size(self.shape)

    @property
    def source(self) -> Source | None:
        """The line of the user's program that made this node."""
        return Source.of(self.where)

    @property
    def is_leaf(self) -> bool:
        """Whether this node is a constant, an input or a variable."""
        return type(self.op) is Leaf

    def __deepcopy__(self, memo: Any) -> Tensor:
        return self  # immutable: a copy would only be a second name

    __hash__ = object.__hash__  # nodes are told apart by identity, although == is elementwise

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a tensor that is a single number has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in ELSEWHERE or hasattr(type(self), name)]

    if TYPE_CHECKING:  # lent by upper rooms, see BOUND; declared here so that type checkers know them

        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __floordiv__(self, other: Any) -> Tensor: ...
        def __rfloordiv__(self, other: Any) -> Tensor: ...
        def __mod__(self, other: Any) -> Tensor: ...
        def __rmod__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __rmatmul__(self, other: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __and__(self, other: Any) -> Tensor: ...
        def __rand__(self, other: Any) -> Tensor: ...
        def __or__(self, other: Any) -> Tensor: ...
        def __ror__(self, other: Any) -> Tensor: ...
        def __xor__(self, other: Any) -> Tensor: ...
        def __rxor__(self, other: Any) -> Tensor: ...
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...
        def __eq__(self, other: Any) -> Tensor: ...  # type: ignore[override]
        def __ne__(self, other: Any) -> Tensor: ...  # type: ignore[override]
        def __getitem__(self, key: Any) -> Tensor: ...
        def __bool__(self) -> bool: ...
        def __float__(self) -> float: ...
        def __int__(self) -> int: ...
        def __index__(self) -> int: ...
        def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array: ...
        def numpy(self) -> Array: ...
        def item(self) -> float | int | bool: ...
        def tolist(self) -> Any: ...
        def tex(self) -> str: ...
        def text(self) -> str: ...
        def sum(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def mean(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def max(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def min(self, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def argmax(self, axis: Any = None) -> Tensor: ...
        def reshape(self, *shape: Any) -> Tensor: ...
        def transpose(self, *axes: Any) -> Tensor: ...
        def astype(self, dtype: Any) -> Tensor: ...
        @property
        def T(self) -> Tensor: ...


for _name, _advice in ELSEWHERE.items():
    setattr(Tensor, _name, _Elsewhere(_advice))

NO_ATTRS: dict[str, Any] = {}  # shared by all nodes whose op needs none; nobody writes into it
_blank = object.__new__


def made(op: Any, inputs: tuple[Tensor, ...], shape: Shape, dtype: DType, attrs: dict[str, Any] = NO_ATTRS) -> Tensor:
    """`Tensor(op, inputs, attrs, shape, dtype)`, quicker: for ops that make thousands of nodes of single numbers.

    The one who calls is a function of kedja, called with what a user wrote.
    """
    node = _blank(Tensor)
    node.op = op
    node.inputs = inputs
    node.attrs = attrs
    node.shape = shape
    node.dtype = dtype
    node.name = None
    node.serial = _next_serial()
    node.where = _now.where or caller(3)
    node._cache = None
    return node


def bind(cls: type, **methods: Any) -> None:
    """Lend methods of an upper room to a class of a lower one, and write down where they come from."""
    for name, method in methods.items():
        module = getattr(method, "__module__", None) or getattr(getattr(method, "fget", None), "__module__", "?")
        BOUND[f"{cls.__name__}.{name}"] = str(module)
        setattr(cls, name, method)


def tensor(value: Any, dtype: Any = None, name: str | None = None) -> Tensor:
    """A constant node with this value.

    float64 and Python numbers become the default dtype (float32) unless `dtype` says otherwise; NumPy integers and
    booleans keep theirs. The value is copied, so that changing the array later changes nothing here.

    >>> tensor([[0, 1], [2, 3]]).dtype.name, tensor(True).dtype.name, tensor(3, dtype="int64").dtype.name
    ('float32', 'bool', 'int64')
    """
    if isinstance(value, Tensor):
        if dtype is not None and value.dtype != as_dtype(dtype):
            raise DTypeError(f"the tensor is {value.dtype.name}, not {as_dtype(dtype).name}. Use kj.cast(x, dtype).")
        return value
    if isinstance(value, list | tuple) and _holds_tensor(value):
        raise DTypeError("a list of tensors is joined with kj.stack([...]) or kj.concatenate([...]), not kj.tensor")
    array = as_array(value, dtype)
    return constant(_owned(array, value), scoped(name))


def _owned(array: Array, value: Any) -> Array:
    """`array`, or a copy of it where someone else may hold its memory too."""
    fresh = isinstance(value, int | float | list | tuple)
    if isinstance(value, np.ndarray):
        fresh = not np.may_share_memory(array, value)
    return array if fresh else array.copy()


def _holds_tensor(value: Any) -> bool:
    while isinstance(value, list | tuple) and value:
        value = value[0]
    return isinstance(value, Tensor)


def constant(array: Array, name: str | None = None, literal: bool = False) -> Tensor:
    """A constant node that keeps `array` itself, read-only from now on. Callers outside the house use `tensor`.

    A `literal` is a number that stands in an expression (the 2 of 2 * x): nobody holds its node, so nobody can
    differentiate by it, and it may be folded away.
    """
    array.flags.writeable = False
    attrs = {"value": array, "literal": True} if literal else {"value": array}
    return Tensor(CONSTANT, (), attrs, array.shape, array.dtype, name)


@lru_cache(maxsize=256)
def _kept(value: float, dtype: DType) -> dict[str, Any]:
    array = np.array(value, dtype)
    array.flags.writeable = False
    return {"value": array, "literal": True}


def number(value: float, dtype: DType) -> Tensor:
    """A literal of a floating-point type; the arrays of small numbers are shared by all their nodes."""
    if 0 < value < 1000 or -1000 < value < 0:  # not 0: it equals −0
        return made(CONSTANT, (), (), dtype, _kept(value, dtype))
    return constant(np.array(value, dtype), literal=True)


def is_literal(node: Tensor) -> bool:
    """Whether the node is a number written in an expression, which no one can refer to."""
    return node.op is CONSTANT and "literal" in node.attrs


def placeholder(shape: Any, dtype: Any = None, name: str | None = None) -> Tensor:
    """An input of a graph: its value is given when the graph is run.

    >>> placeholder((2, 3), name="x").shape
    (2, 3)
    """
    from kedja.graph.dtypes import get_default_dtype

    return Tensor(INPUT, (), {}, as_shape(shape), get_default_dtype() if dtype is None else as_dtype(dtype), name)


def ancestors(outputs: Iterable[Tensor], stop: Iterable[Tensor] = ()) -> list[Tensor]:
    """Every node the outputs depend on, themselves included, inputs before users; nothing above a node in `stop`.

    Nodes are numbered as they are made and can only use older ones, so that order is the topological order.
    No recursion: a chain of ten thousand nodes is no deeper than one of ten.
    """
    seen: set[Tensor] = set()
    boundary = set(stop)
    stack = list(outputs)
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            if node not in boundary:
                stack.extend(node.inputs)
    return sorted(seen, key=by_serial)


def same_dtype(inputs: Iterable[Tensor]) -> DType:
    """The one type of all inputs; an error that names them when they differ, since nothing is promoted silently."""
    found: DType | None = None
    for x in inputs:
        if found is None:
            found = x.dtype
        elif x.dtype is not found and x.dtype != found:
            to = x.dtype if is_float(x.dtype) else found
            raise DTypeError(
                f"got {found.name} and {x.dtype.name} tensors: kedja never promotes silently. "
                f"Convert one with kj.cast(x, {to.name!r})."
            )
    assert found is not None
    return found
