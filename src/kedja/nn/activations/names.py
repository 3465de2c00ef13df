"""Activations by name, with parameters, and as plain data that a model file can hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from kedja.errors import DataError, GraphError, UnknownNameError, one_of
from kedja.graph.node import Tensor, tensor
from kedja.nn.activations import gates, rectifiers, rows, shrinking, squashing  # noqa: F401  (they fill the table)
from kedja.nn.activations.entry import TABLE, Entry

__all__ = ["NAMES", "STATEFUL", "Activation", "Parametrised", "config_of", "entry_of", "get", "name_of"]

Activation = Callable[[Tensor], Tensor]

NAMES: dict[str, Callable[..., Tensor]] = {n: entry.function for entry in TABLE.values() for n in entry.names}
"""Every name an activation answers to, and its function."""
STATEFUL: dict[str, Callable[..., Any]] = {}
"""Names that mean a layer, since they learn or draw something: filled by nn/layers/activation.py."""


class Parametrised:
    """An activation with parameters of its own, made by `get`; it can be called, compared and saved.

    >>> get("leaky_relu", slope=0.2)
    leaky_relu(slope=0.2)
    >>> get("leaky_relu", slope=0.5)([-1.0, 3.0]).tolist()
    [-0.5, 3.0]
    """

    def __init__(self, entry: Entry, parameters: Mapping[str, Any]) -> None:
        for name in parameters:
            if name not in entry.parameters:
                takes = ", ".join(entry.parameters) or "none"
                raise DataError(f"the activation {entry.name} has no parameter {name!r}; it takes {takes}")
        self.entry, self.parameters = entry, dict(parameters)
        if entry.elementwise:
            entry.function(tensor(0.0), **parameters)  # refuses values that make no sense, now and not at the call

    def __call__(self, x: Any) -> Tensor:
        return self.entry.function(x, **self.parameters)

    def config(self) -> dict[str, Any]:
        """Plain data from which `get` makes it again.

        >>> get("swish", beta=2.0).config()
        {'activation': 'swish', 'beta': 2.0}
        """
        return {"activation": self.entry.name, **self.parameters}

    def __repr__(self) -> str:
        return f"{self.entry.name}({', '.join(f'{k}={v!r}' for k, v in self.parameters.items())})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Parametrised) and self.config() == other.config()

    def __hash__(self) -> int:
        return hash(repr(self))


def get(activation: Any, **parameters: Any) -> Activation:
    """The function that a name, a configuration or an object stands for, with these parameters.

    - a name, ours or Keras's: "gelu"; with parameters, `get("leaky_relu", slope=0.2)`
    - the same as plain data: {"activation": "leaky_relu", "slope": 0.2}
    - a function of a tensor, a layer such as kj.nn.LeakyReLU(0.2), or functools.partial(leaky_relu, slope=0.2)
    - None, the identity

    "prelu" and "rrelu" are layers, since they learn and draw their slopes: each `get` makes a new one.

    >>> import kedja as kj
    >>> get("tanh") is kj.tanh, get(None) is NAMES["identity"]
    (True, True)
    >>> kj.nn.Dense(3, activation={"activation": "elu", "alpha": 0.5}).activation
    elu(alpha=0.5)
    """
    if activation is None:
        activation = "identity"
    if isinstance(activation, Mapping):
        if not isinstance(activation.get("activation"), str):
            raise DataError(
                f"an activation as a dict has its name and parameters: {{'activation': 'leaky_relu', 'slope': 0.2}}; "
                f"got {dict(activation)!r}"
            )
        rest = {k: v for k, v in activation.items() if k != "activation"}
        return get(activation["activation"], **{**rest, **parameters})
    if isinstance(activation, str):
        entry = _entry(activation)
        if entry.name in STATEFUL:
            layer: Activation = STATEFUL[entry.name](**parameters)
            return layer
        return Parametrised(entry, parameters) if parameters else entry.function
    if isinstance(activation, type):
        name = activation.__name__
        raise GraphError(f"{name} is a class, not an activation yet: make one of it, activation=kj.nn.{name}()")
    if not callable(activation):
        if isinstance(activation, int | float):
            raise DataError(
                f"an activation is a name or a function, got {activation!r}. The first number says what comes out "
                "(units, filters); what comes in is found at the first call: PyTorch's Linear(3, 4) is Dense(4)."
            )
        raise one_of("activation", activation, TABLE)
    if isinstance(activation, partial) and not activation.args and entry_of(activation.func) is not None:
        parameters = {**activation.keywords, **parameters}
        activation = activation.func
    if not parameters:
        own: Activation = activation
        return own
    known = entry_of(activation)
    if known is None:
        names = ", ".join(parameters)
        raise DataError(f"{name_of(activation)} is no activation of kedja's, so kedja cannot give it {names}")
    return get(known.name, **parameters)


def _entry(name: str) -> Entry:
    for entry in TABLE.values():
        if name in entry.names:
            return entry
    error: UnknownNameError = one_of("activation", name, TABLE)
    raise error


def entry_of(activation: Any) -> Entry | None:
    """The entry in the table of a name, function, parametrised activation or layer; None for one's own function.

    >>> entry_of("silu").name
    'swish'
    """
    if activation is None:
        return TABLE["identity"]
    if isinstance(activation, Mapping):
        return entry_of(activation.get("activation"))
    if isinstance(activation, str):
        return next((entry for entry in TABLE.values() if activation in entry.names), None)
    if isinstance(activation, Parametrised):
        return activation.entry
    for entry in TABLE.values():
        if entry.function is activation:
            return entry
    named = getattr(activation, "activation_name", None)  # a layer that is an activation
    return TABLE.get(named) if isinstance(named, str) else None


def name_of(activation: Any) -> str:
    """The name an activation is shown under.

    >>> name_of(None), name_of("silu"), name_of(get("leaky_relu", slope=0.2))
    ('linear', 'silu', 'leaky_relu')
    """
    if activation is None:
        return "linear"
    if isinstance(activation, str):
        return activation
    entry = entry_of(activation)
    return entry.name if entry is not None else str(getattr(activation, "__name__", type(activation).__name__))


def config_of(activation: Any) -> str | dict[str, Any] | None:
    """An activation as plain data: its name, with its parameters if it has some; None for a function of one's own.

    >>> config_of(NAMES["relu"]), config_of(lambda x: x * x)
    ('relu', None)
    """
    if isinstance(activation, partial):
        activation = get(activation)
    if isinstance(activation, Parametrised):
        return activation.config()
    return next((entry.name for entry in TABLE.values() if entry.function is activation), None)
