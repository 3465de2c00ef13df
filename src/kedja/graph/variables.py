"""Variables, the only things with a memory, and State, the ordered collection of them.

Checkpoints, resume, averages and both engines use this one type. A program reads all variables as they were before
the step and writes all updates together after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from kedja.errors import DTypeError, GraphError, ShapeError, one_of
from kedja.graph.dtypes import DType, as_array, is_float
from kedja.graph.node import VARIABLE, Array, Tensor, tensor
from kedja.graph.recording import current_trace, is_tracing
from kedja.graph.scope import scoped

__all__ = ["KINDS", "Parameter", "State", "Variable"]

KINDS = ("trainable", "statistic", "slot", "counter", "key")


class Epoch:
    """Counts assignments to any variable, so that a cached value knows quickly that nothing has changed."""

    now = 0


class Drawn(NamedTuple):
    """A starting value that is drawn when it is first read: what is replaced before, or never read, costs nothing."""

    shape: tuple[int, ...]
    dtype: DType
    draw: Callable[[], Array]


class Variable(Tensor):
    """A leaf node whose value can be replaced; `kind` is trainable, statistic, slot, counter or key.

    `assign` replaces the value at once; inside a compiled step `update` says what it will be after the step.

    >>> import kedja as kj
    >>> w = kj.Variable([1.0, 2.0], name="w")
    >>> w.assign(w - 0.5 * w)
    >>> w.numpy().tolist()
    [0.5, 1.0]
    """

    __slots__ = ("_value", "kind", "trainable", "version")

    def __init__(self, value: Any, name: str | None = None, *, dtype: Any = None, kind: str = "statistic") -> None:
        if kind not in KINDS:
            raise one_of("kind of variable", kind, KINDS)
        array: Any = value
        if not isinstance(value, Drawn):
            array = np.array(value.numpy() if isinstance(value, Tensor) else as_array(value, dtype))
        super().__init__(VARIABLE, (), {}, array.shape, array.dtype, scoped(name))
        if kind == "trainable" and not is_float(array.dtype):
            raise DTypeError(f"a parameter must be floating-point, got {array.dtype.name}. Say dtype='float32'.")
        self.kind = kind
        self.trainable = kind == "trainable"
        self.version = 0
        self._value: Any = array

    @property
    def value(self) -> Array:
        """The present value, as a read-only NumPy array."""
        array = np.asarray(self.raw)  # after a compiled step this is where the value comes back from the device
        if array.flags.writeable:
            array.flags.writeable = False
        self._value = array if isinstance(self._value, np.ndarray) else self._value
        return array

    @property
    def raw(self) -> Any:
        """The value where it lies: a NumPy array, or an array of a device."""
        if isinstance(self._value, Drawn):
            self._value = self._value.draw()
        return self._value

    def assign(self, value: Any) -> None:
        """Replace the value now. The new one has the same shape; a tensor is evaluated first."""
        if is_tracing():
            raise GraphError(
                f"assign to {self.label} inside a traced function: nothing is computed while tracing. "
                "Use variable.update(new_value); it takes effect after the step."
            )
        node = value if isinstance(value, Tensor) else tensor(whole(self, value), dtype=self.dtype)
        fits(self, node)
        self.store(np.array(node.numpy()))

    def update(self, node: Any) -> None:
        """Inside a traced function: after the step this variable has the value of `node`, computed from before it."""
        node = node if isinstance(node, Tensor) else tensor(whole(self, node), dtype=self.dtype)
        fits(self, node)
        trace = current_trace()
        if trace is None:
            raise GraphError(f"update of {self.label} outside a traced function. Use variable.assign(value).")
        trace.record_update(self, node)

    def store(self, array: Any) -> None:
        """Take over an array of the right shape and type without looking at it (used by the engines)."""
        self._value = array
        self.version += 1
        Epoch.now += 1

    def lie(self, array: Any) -> None:
        """The same value lies elsewhere now, on a device, say (used by the engines)."""
        self._value = array

    def __deepcopy__(self, memo: Any) -> Variable:
        made = type(self).__new__(type(self))
        value = self._value if isinstance(self._value, Drawn) else self.value
        Variable.__init__(made, value, None, dtype=self.dtype, kind=self.kind)
        made.name = self.name
        memo[id(self)] = made
        return made

    @property
    def label(self) -> str:
        """The name, quoted, for messages."""
        return f"variable {self.name!r}" if self.name else "a variable without a name"


def whole(variable: Variable, value: Any) -> Any:
    """`value`, unless it is a fraction for a variable that holds integers: it would be cut without a word."""
    if variable.dtype.kind in "iub" and as_array(value).dtype.kind == "f" and np.asarray(value).dtype.kind == "f":
        raise DTypeError(f"{variable.label} is {variable.dtype.name} and cannot take {value!r}. Round it first.")
    return value


def fits(variable: Variable, node: Tensor) -> None:
    """Raise unless `node` may become the value of `variable`."""
    if node.shape != variable.shape:
        raise ShapeError(
            f"{variable.label} has shape {variable.shape} and cannot take a value of shape {node.shape}. "
            "Shapes of variables never change."
        )
    if node.dtype != variable.dtype:
        raise DTypeError(
            f"{variable.label} is {variable.dtype.name} and cannot take a {node.dtype.name} value. "
            f"Convert it with kj.cast(x, {variable.dtype.name!r})."
        )


class Parameter(Variable):
    """A trainable variable: what learning changes.

    `regularizer` and `constraint` are its own penalty and the set it is brought back to after every step. `penalised`
    says whether a penalty or decay for the whole model means it too: by default matrices and larger, not biases.

    >>> import kedja as kj
    >>> w = kj.Parameter(np.ones((2, 1)), name="w")
    >>> w.shape, w.penalised, kj.Parameter([0.0], name="b").penalised
    ((2, 1), True, False)
    """

    __slots__ = ("constraint", "penalised", "regularizer")

    def __init__(
        self, value: Any, name: str | None = None, *, dtype: Any = None, regularizer: Any = None,
        constraint: Any = None, penalised: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__(value, name, dtype=dtype, kind="trainable")
        self.regularizer, self.constraint = regularizer, constraint
        self.penalised = self.ndim >= 2 if penalised is None else penalised

    def __deepcopy__(self, memo: Any) -> Parameter:
        made: Parameter = super().__deepcopy__(memo)  # type: ignore[assignment]
        made.regularizer, made.constraint, made.penalised = self.regularizer, self.constraint, self.penalised
        return made


class State(Mapping[str, Variable]):
    """Variables by path, in the order they were added; two paths may lead to one variable only by sharing it.

    >>> import kedja as kj
    >>> state = kj.State({"a/w": kj.Parameter([1.0]), "a/count": kj.Variable(0, dtype="int64", kind="counter")})
    >>> list(state.of_kind("trainable")), state.size("trainable")
    (['a/w'], 1)
    """

    def __init__(self, variables: Mapping[str, Variable] | Iterable[tuple[str, Variable]] = ()) -> None:
        self._variables: dict[str, Variable] = {}
        items = variables.items() if isinstance(variables, Mapping) else variables
        for path, variable in items:
            self.add(path, variable)

    def add(self, path: str, variable: Variable) -> None:
        """Put a variable under a path nobody has yet."""
        if path in self._variables and self._variables[path] is not variable:
            raise GraphError(f"two variables want the path {path!r}: give one of the layers another name")
        self._variables[path] = variable

    def __getitem__(self, path: str) -> Variable:
        try:
            return self._variables[path]
        except KeyError:
            raise one_of("variable", path, self._variables) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)

    def __contains__(self, path: object) -> bool:
        return path in self._variables

    def of_kind(self, *kinds: str) -> State:
        """The part of the state of these kinds."""
        return State((path, v) for path, v in self._variables.items() if v.kind in kinds)

    def size(self, *kinds: str) -> int:
        """How many numbers the variables hold, shared ones counted once."""
        return sum(v.size for v in {id(v): v for v in self._variables.values()}.values() if v.kind in (kinds or KINDS))

    def snapshot(self) -> dict[str, Array]:
        """A copy of every value, to be given back to `restore`."""
        return {path: np.array(v.value) for path, v in self._variables.items()}

    def restore(self, values: Mapping[str, Any]) -> None:
        """Set every variable from `values`; nothing is changed unless all of them fit."""
        missing = [p for p in self._variables if p not in values]
        foreign = [p for p in values if p not in self._variables]
        if missing or foreign:
            raise GraphError(f"the values do not belong to this state: missing {missing}, not known here {foreign}")
        arrays = {p: as_array(whole(v, values[p]), v.dtype) for p, v in self._variables.items()}
        for path, variable in self._variables.items():
            if arrays[path].shape != variable.shape:
                raise ShapeError(f"{path} has shape {variable.shape}, the value given {arrays[path].shape}")
        for path, variable in self._variables.items():
            variable.store(np.array(arrays[path]))

    def __repr__(self) -> str:
        rows = [f"  {path:<32} {v.kind:<10} {v.shape!s:<16} {v.dtype.name}" for path, v in self._variables.items()]
        return "\n".join([f"State of {len(self)} variables, {self.size():,} numbers", *rows])
