"""Activations as layers: those that learn or draw something, and a thin class for every other in the table.

`kj.nn.LeakyReLU(0.2)` and the like are made from `kj.activations.TABLE`; their numbers are run-time scalars.
"""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

from kedja.errors import DataError
from kedja.graph.node import Tensor
from kedja.graph.shapes import Shape
from kedja.nn import activations
from kedja.nn.activations import TABLE, Entry
from kedja.nn.layers.layer import LAYERS, Layer

__all__ = ["Activation", "PReLU", "RReLU"]


class Activation(Layer):
    """y = f(x): an activation as a layer, by name with parameters, as a function, or what else `activation=` takes.

    Derivative: ∂J/∂x = ∂J/∂y ⊙ f′(x).

    >>> import kedja as kj
    >>> Activation("relu")(kj.tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    >>> Activation("leaky_relu", slope=0.5)(kj.tensor([-1.0, 2.0])).tolist()
    [-0.5, 2.0]
    """

    def __init__(self, activation: Any, name: str | None = None, dtype: Any = None, **parameters: Any) -> None:
        super().__init__(name, dtype)
        self.activation = activations.get(activation, **parameters)
        self.activation_name = activations.name_of(activation)

    def call(self, x: Tensor) -> Tensor:
        y: Tensor = self.activation(x)
        return y


class PReLU(Layer):
    """max(0, x) + a · min(0, x), where a is learned and starts at 0.25.

    There is one a for each channel (the last axis); `shared_axes="all"` makes it one for the layer, `shared_axes=()`
    one for each element of an example, and `shared_axes=(1, 2)` one for each place along the axes not named. The axis
    of examples, 0, is always shared. Penalties for the whole model do not mean a: decay would pull it to relu.
    Derivative: 1 above 0, else a; ∂y/∂a = min(0, x).
    Source: scope 2.3; He et al. 2015.

    >>> import kedja as kj
    >>> layer = PReLU()
    >>> layer(kj.tensor([[-4.0, 2.0]])).tolist(), layer.slope.shape
    ([[-1.0, 2.0]], (2,))
    """

    activation_name = "prelu"

    def __init__(
        self, shared_axes: Any = None, *, init: Any = 0.25, regularizer: Any = None, constraint: Any = None,
        name: str | None = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(name, dtype)
        if isinstance(shared_axes, int) and not isinstance(shared_axes, bool):
            shared_axes = (shared_axes,)
        names = shared_axes is None or shared_axes == "all"
        if not names and not (
            isinstance(shared_axes, list | tuple) and all(isinstance(a, int) and a != 0 for a in shared_axes)
        ):
            raise DataError(
                f"PReLU: shared_axes is 'all' or a tuple of axes after that of examples, as (1, 2), got {shared_axes!r}"
            )
        self.shared_axes = shared_axes
        self.init, self.regularizer, self.constraint = init, regularizer, constraint

    def build(self, x: Shape) -> None:
        shape = self._slopes(x)
        self.slope = self.parameter(
            "slope", shape, self.init, regularizer=self.regularizer, constraint=self.constraint, penalised=False
        )

    def _slopes(self, x: Shape) -> Shape:
        """One slope per place along the axes that are not shared; leading axes of size 1 are left out."""
        if self.shared_axes == "all" or not x:
            return ()
        if self.shared_axes is None:
            return x[-1:] if len(x) > 1 else ()
        axes = {a + len(x) if a < 0 else a for a in self.shared_axes}
        if any(not 0 < a < len(x) for a in axes):
            last = len(x) - 1
            raise DataError(
                f"shared_axes {tuple(self.shared_axes)} does not fit an input of {len(x)} axes, {x}: "
                f"axes run from 1 to {last}, or from -{last} to -1"
            )
        shape = [1 if axis in axes else n for axis, n in enumerate(x)][1:]
        while shape and shape[0] == 1:
            shape.pop(0)
        return tuple(shape)

    def call(self, x: Tensor) -> Tensor:
        return activations.prelu(x, self.slope)


class RReLU(Layer):
    """x above 0, a · x below: in training each element draws a from U(low, high), in inference a is their mean.

    Derivative: 1 above 0, else the same a.
    Source: scope 2.3; Xu et al. 2015.

    >>> import kedja as kj
    >>> RReLU()(kj.tensor([-48.0, 2.0])).tolist()
    [-11.0, 2.0]
    """

    activation_name = "rrelu"
    scalars = ("low", "high")

    def __init__(self, low: float = 1 / 8, high: float = 1 / 3, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, dtype)
        activations.rrelu(0.0, low, high)  # refuses bounds that make no sense
        self.low, self.high = float(low), float(high)

    def call(self, x: Tensor, *, training: bool) -> Tensor:
        low, high = self.scalar("low", x.dtype), self.scalar("high", x.dtype)
        return activations.rrelu(x, low, high, key=self.key("slopes") if training else None)


class _Function(Layer):
    """What the classes made from the table share: parameters as attributes, numbers among them as run-time scalars."""

    entry: ClassVar[Entry]
    activation_name: ClassVar[str]

    def call(self, x: Tensor) -> Tensor:
        values = {n: self.scalar(n, x.dtype) if n in self.scalars else getattr(self, n) for n in self.entry.parameters}
        return self.entry.function(x, **values)


def _class_of(entry: Entry) -> type[Layer]:
    """The layer class of an activation: its parameters, then name= and dtype=."""
    parameter = inspect.Parameter
    kind = parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature(
        [parameter("self", kind)]
        + [parameter(n, kind, default=default) for n, default in entry.parameters.items()]
        + [parameter(n, parameter.KEYWORD_ONLY, default=None) for n in ("name", "dtype")]
    )

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        given = signature.bind(self, *args, **kwargs)
        given.apply_defaults()
        Layer.__init__(self, given.arguments["name"], given.arguments["dtype"])
        values = {n: given.arguments[n] for n in entry.parameters}
        activations.get(entry.name, **values)  # refuses values that make no sense
        for n, value in values.items():
            setattr(self, n, float(value) if n in self.scalars else value)

    __init__.__signature__ = signature  # type: ignore[attr-defined]
    about = inspect.cleandoc(entry.function.__doc__ or "").split(">>>")[0].rstrip()
    body = {
        "__doc__": f"{about}\n\nThis is kj.activations.{entry.name} as a layer.",
        "__init__": __init__, "__module__": __name__, "activation_name": entry.name, "entry": entry,
        "scalars": tuple(n for n, v in entry.parameters.items() if isinstance(v, float)),
    }  # fmt: skip
    return type(entry.layer, (_Function,), body)


LAYERS.pop("_Function", None)
BY_HAND: dict[str, type[Layer]] = {"prelu": PReLU, "rrelu": RReLU}
activations.STATEFUL.update(BY_HAND)
CLASSES = {entry.layer: _class_of(entry) for entry in TABLE.values() if entry.name not in BY_HAND}
"""The classes made from the table, by name."""
globals().update(CLASSES)
__all__ += sorted(CLASSES)
