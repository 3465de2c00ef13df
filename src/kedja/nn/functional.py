"""Functional models: layers called on `Input`s, with branches, skips and shared layers, made into a `Model`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from typing import Any

from kedja.errors import GraphError, ShapeError, one_of
from kedja.graph.node import Tensor
from kedja.nn.layers.config import plain, rebuilt
from kedja.nn.layers.layer import Layer
from kedja.nn.model import Module, named
from kedja.ops import add, divide, multiply, subtract

__all__ = ["Input", "Model"]

NOT_YET = (
    "it stands for data that is not there yet, and only layers are called on it: kj.nn.Activation('tanh'), "
    "or a layer of your own, class Mine(kj.nn.Layer) with call(self, x)"
)


class Symbol:
    """A value that a functional model will compute: which layer call it comes from. Shapes are not known yet."""

    def __init__(
        self, layer: Layer | None, inputs: Sequence[Symbol], shape: Any = None, name: str | None = None
    ) -> None:
        self.layer, self.inputs, self.shape, self.name = layer, tuple(inputs), shape, name

    def layer_call(self, layer: Layer, inputs: Sequence[Any]) -> Any:
        """Record a call of `layer` on these symbols: a symbol, or a tuple of them where the layer gives several."""
        for x in inputs:
            if not isinstance(x, Symbol):
                raise GraphError(f"{layer.title}: cannot mix an Input with a {type(x).__name__} in one call")
        whole = Symbol(layer, inputs)
        return whole if layer.gives is None else tuple(Part(whole, i) for i in range(layer.gives))

    def _with(self, op: str, other: Any, swapped: bool = False) -> Symbol:
        if isinstance(other, Symbol):
            return Arithmetic(op)(*((other, self) if swapped else (self, other)))  # type: ignore[no-any-return]
        if isinstance(other, bool) or not isinstance(other, Real):
            raise GraphError(
                f"an Input goes with outputs of layers, other Inputs and numbers, not with {type(other).__name__}: "
                + NOT_YET
            )
        return Arithmetic(op, number=float(other), swapped=swapped)(self)  # type: ignore[no-any-return]

    def __add__(self, other: Any) -> Symbol:
        return self._with("add", other)

    __radd__ = __add__

    def __mul__(self, other: Any) -> Symbol:
        return self._with("multiply", other)

    __rmul__ = __mul__

    def __sub__(self, other: Any) -> Symbol:
        return self._with("subtract", other)

    def __rsub__(self, other: Any) -> Symbol:
        return self._with("subtract", other, swapped=True)

    def __truediv__(self, other: Any) -> Symbol:
        return self._with("divide", other)

    def __rtruediv__(self, other: Any) -> Symbol:
        return self._with("divide", other, swapped=True)

    def __neg__(self) -> Symbol:
        return self._with("multiply", -1)

    def __iter__(self) -> Any:
        raise GraphError(
            f"an Input, or what a layer makes of it, is one tensor here and has no parts: {NOT_YET}. "
            "A layer of yours that returns a tuple of tensors says of how many, in its class: gives = 2"
        )

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"an Input has no {name!r}: {NOT_YET}")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        raise GraphError(f"an Input is no array: {NOT_YET}")

    def __repr__(self) -> str:
        return f"Input({self.shape})" if self.layer is None else f"<output of {self.layer!r}>"


class Part(Symbol):
    """One of several outputs of a layer call: number `index` of those of `whole`."""

    def __init__(self, whole: Symbol, index: int) -> None:
        super().__init__(None, [whole])
        self.whole, self.index = whole, index

    def __repr__(self) -> str:
        return f"<output {self.index + 1} of {self.whole.layer!r}>"


class Arithmetic(Layer):
    """y = a + b, a − b, a · b or a / b between outputs of layers, or with a number, recorded as a layer call.

    Derivative: ∂J/∂a = ∂J/∂y ∂y/∂a, with 1, ±1, b or 1/b for ∂y/∂a, and so for b.
    """

    OPS = {"add": add, "divide": divide, "multiply": multiply, "subtract": subtract}  # noqa: RUF012  (a table)

    def __init__(self, op: str, number: float | None = None, swapped: bool = False, name: str | None = None) -> None:
        super().__init__(name)
        if op not in self.OPS:
            raise one_of("arithmetic op", op, self.OPS)
        self.op, self.number, self.swapped = op, number, swapped

    def call(self, *xs: Tensor) -> Tensor:
        pair: tuple[Any, ...] = xs if self.number is None else (xs[0], self.number)
        return self.OPS[self.op](*(reversed(pair) if self.swapped else pair))


def Input(shape: Any, name: str | None = None) -> Symbol:
    """The start of a functional model: the shape of one example, without the batch axis.

    >>> import kedja as kj
    >>> x = kj.Input((4,))
    >>> net = kj.Model(x, kj.nn.Dense(2)(x + kj.nn.Dense(4, activation="tanh")(x)))
    >>> net(kj.zeros((3, 4))).shape
    (3, 2)
    """
    try:
        sizes = tuple(shape)
    except TypeError:
        sizes = (shape,)
    return Symbol(None, (), sizes, name)


class Model(Module):
    """y = f(x₁, x₂, …), a graph of layers with branches and skips. A layer called twice shares its weights.

    Derivative: the chain rule along every path from y back to x; where paths meet, what they bring is added.
    """

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, dtype)
        self._inputs = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
        self._outputs = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
        self._single = not isinstance(outputs, list | tuple)
        for s in [*self._inputs, *self._outputs]:
            if not isinstance(s, Symbol):
                raise GraphError(f"Model: inputs come from kj.Input and outputs from layers called on them, got {s!r}")
        self._order = self._ordered()
        calls = [s.layer for s in self._order if s.layer is not None]
        self._layers = named(list({id(layer): layer for layer in calls}.values()))

    def _ordered(self) -> list[Symbol]:
        order: list[Symbol] = []
        done: set[int] = set()
        stack: list[tuple[Symbol, bool]] = [(s, False) for s in reversed([*self._inputs, *self._outputs])]
        while stack:
            symbol, expanded = stack.pop()
            if id(symbol) in done:
                continue
            if expanded:
                done.add(id(symbol))
                order.append(symbol)
                continue
            if symbol.layer is None and not symbol.inputs and all(symbol is not s for s in self._inputs):
                raise GraphError(f"Model: the outputs depend on {symbol!r}, which is not among the inputs of the model")
            stack.append((symbol, True))
            stack.extend((s, False) for s in reversed(symbol.inputs))
        return order

    @property
    def layers(self) -> list[Layer]:
        """The layers, inputs before users."""
        return list(self._layers.values())

    def members(self) -> Iterator[tuple[str, Any]]:
        yield from self._layers.items()

    def _names_of(self) -> dict[int, str]:
        """The name of each layer, by identity: worked out anew, as a copy has layers of its own."""
        return {id(layer): name for name, layer in self._layers.items()}

    def call(self, *xs: Tensor) -> Any:
        if len(xs) != len(self._inputs):
            raise ShapeError(f"the model has {len(self._inputs)} inputs, got {len(xs)}")
        values: dict[int, Any] = {id(s): x for s, x in zip(self._inputs, xs, strict=True)}
        for s, x in zip(self._inputs, xs, strict=True):
            if len(x.shape) != len(s.shape) + 1 or any(
                a not in (None, b) for a, b in zip(s.shape, x.shape[1:], strict=True)
            ):
                raise ShapeError(f"expects examples of shape {s.shape}, got an array of shape {x.shape}")
        for s in self._order:
            if isinstance(s, Part):
                values[id(s)] = values[id(s.whole)][s.index]
            elif s.layer is not None:
                values[id(s)] = self._called(s.layer, [values[id(i)] for i in s.inputs])
        outputs = [values[id(s)] for s in self._outputs]
        return outputs[0] if self._single else tuple(outputs)

    def _called(self, layer: Layer, inputs: list[Any]) -> Any:
        y = layer(*inputs)
        count = len(y) if isinstance(y, tuple | list) else None
        if count != layer.gives and layer.gives is not None:
            got = "one tensor" if count is None else count
            raise GraphError(f"{type(layer).__name__} says gives = {layer.gives} and returned {got}")
        return y

    @property
    def gives(self) -> int | None:  # type: ignore[override]
        """How many outputs a call returns as a tuple; None when it returns one tensor."""
        return None if self._single else len(self._outputs)

    def known_shapes(self) -> Sequence[Any]:
        return [(None, *s.shape) for s in self._inputs]

    @property
    def output_layer(self) -> Layer | None:
        return self._outputs[0].layer if self._single else None

    def to_config(self) -> dict[str, Any]:
        """Layers by name and calls by number, as plain data."""
        number, names = {id(s): i for i, s in enumerate(self._order)}, self._names_of()

        def call(s: Symbol) -> dict[str, Any]:
            if isinstance(s, Part):
                return {"part": s.index, "of": number[id(s.whole)]}
            if s.layer is None:
                return {"input": list(s.shape), "name": s.name}
            return {"layer": names[id(s.layer)], "inputs": [number[id(i)] for i in s.inputs]}

        calls = [call(s) for s in self._order]
        return {
            "name": self.name, "dtype": self.dtype.name if self.dtype else None,
            "single": self._single, "calls": calls,
            "layers": {n: plain(layer) for n, layer in self._layers.items()},
            "inputs": [number[id(s)] for s in self._inputs], "outputs": [number[id(s)] for s in self._outputs],
        }  # fmt: skip

    @classmethod
    def from_config(cls, config: Mapping[str, Any], classes: Mapping[str, type[Layer]] | None = None) -> Model:
        """The model that `to_config` wrote."""
        layers = {n: rebuilt(c, classes) for n, c in config["layers"].items()}
        symbols: list[Symbol] = []
        for name, layer in layers.items():
            layer.name = name
        for call in config["calls"]:
            if "input" in call:
                symbols.append(Input(tuple(call["input"]), call.get("name")))
            elif "part" in call:
                symbols.append(Part(symbols[call["of"]], call["part"]))
            else:
                symbols.append(Symbol(layers[call["layer"]], [symbols[i] for i in call["inputs"]]))
        outputs = [symbols[i] for i in config["outputs"]]
        inputs = [symbols[i] for i in config["inputs"]]
        return cls(inputs, outputs[0] if config["single"] else outputs, config.get("name"), config.get("dtype"))
