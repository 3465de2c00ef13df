"""Models: layers put together, in a row (`Sequential`), as a graph (`Model`), or by a class of the user's (`Module`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kedja.errors import GraphError, ShapeError, one_of
from kedja.graph.dtypes import as_dtype, get_default_dtype
from kedja.graph.node import Tensor
from kedja.graph.trace import trace
from kedja.lent import borrowed
from kedja.nn.layers.config import plain, rebuilt
from kedja.nn.layers.layer import LAYERS, Layer
from kedja.ops import add, divide, multiply, subtract

__all__ = ["Input", "Model", "Module", "Sequential"]


class Module(Layer):
    """A model: a layer made of layers, which can be trained. Subclass it, store layers in `__init__`, define `call`.

    >>> import kedja as kj
    >>> class Residual(kj.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.inner, self.out = kj.nn.Dense(3, activation="relu"), kj.nn.Dense(2)
    ...     def call(self, x):
    ...         return self.out(x + self.inner(x))
    >>> net = Residual().build((None, 3))
    >>> list(net.state)
    ['inner.kernel', 'inner.bias', 'out.kernel', 'out.bias']
    """

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, dtype)
        self.input_shape: tuple[Any, ...] | None = None
        self._info: dict[str, Any] = {}

    @property
    def info(self) -> dict[str, Any]:
        """Plain data that is saved with the model: names of features and classes, where the data came from."""
        return self._info

    def __getattr__(self, name: str) -> Any:
        return borrowed(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if isinstance(value, Layer) and value.name is None and not name.startswith("_"):
            value.name = name

    def build(self, *shapes: Any, seed: int | None = None) -> Any:
        """Make all variables for inputs of these shapes (the batch axis may be None); returns the model itself."""
        if shapes and not self.built:
            self._note_shape(shapes)
            sizes = [tuple(2 if n is None else n for n in s) for s in shapes]
            dtype = self.dtype or get_default_dtype()
            self.built = True
            try:
                trace(lambda *xs: self(*xs, seed=seed), [(s, dtype) for s in sizes])
            except BaseException:
                self.built = False
                raise
        return self

    def _note_shape(self, shapes: Sequence[Any]) -> None:
        self.input_shape = (None, *tuple(shapes[0])[1:])

    def __call__(self, *inputs: Any, **how: Any) -> Any:
        first = inputs[0] if inputs else None
        if self.input_shape is None and isinstance(first, Tensor) and first.ndim:
            self._note_shape([first.shape])
        return super().__call__(*inputs, **how)

    @property
    def output_layer(self) -> Layer | None:
        """The layer that makes the output, when the model is of a kind that knows."""
        return None

    def get_layer(self, name: str) -> Layer:
        """The layer with this path, at any depth."""
        known = dict(self.layers_by_path())
        if name not in known:
            raise one_of("layer", name, known)
        return known[name]

    def outputs_of(self, names: str | Sequence[str], x: Any, *, training: bool = False) -> Any:
        """The outputs of inner layers for this input (scope 1.2): one tensor for a name, a dict for several.

        >>> import kedja as kj
        >>> net = kj.Sequential([kj.nn.Dense(3, "relu"), kj.nn.Dense(1)])
        >>> net.outputs_of("dense_1", kj.zeros((4, 2))).shape
        (4, 3)
        """
        from kedja.nn.layers.layer import _calls

        wanted = [names] if isinstance(names, str) else list(names)
        found: dict[str, Any] = {}
        before = _calls.now
        _calls.now = before._replace(watch=lambda layer, path, xs, y: found.__setitem__(path, y))
        try:
            self(x, training=training)
        finally:
            _calls.now = before
        for name in wanted:
            if name not in found:
                raise one_of("layer", name, [p for p in found if p])
        return found[names] if isinstance(names, str) else {n: found[n] for n in wanted}


class NameCounter:
    """Names for layers that have none: dense_1, dense_2, counted per model."""

    def __init__(self, taken: Sequence[str] = ()) -> None:
        self.taken = set(taken)
        self.counts: dict[str, int] = {}

    def name(self, layer: Layer) -> str:
        kind = _snake(type(layer).__name__)
        while True:
            self.counts[kind] = self.counts.get(kind, 0) + 1
            name = f"{kind}_{self.counts[kind]}"
            if name not in self.taken:
                self.taken.add(name)
                return name


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(name))


def named(layers: Sequence[Layer]) -> dict[str, Layer]:
    """The layers under their names; unnamed ones get one, two may not share one."""
    given = [layer.name for layer in layers if layer.name]
    twice = {n for n in given if given.count(n) > 1}
    if twice:
        raise GraphError(f"two layers are named {sorted(twice)[0]!r}: names must differ, since they name the weights")
    counter = NameCounter([n for n in given if n])
    return {layer.name or counter.name(layer): layer for layer in layers}


class Sequential(Module):
    """Layers one after the other.

    >>> import kedja as kj
    >>> net = kj.Sequential([kj.nn.Dense(100, activation="sigmoid"), kj.nn.Dense(10)])
    >>> net(kj.zeros((5, 784))).shape
    (5, 10)
    """

    def __init__(self, layers: Sequence[Layer] = (), name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, dtype)
        for i, layer in enumerate(layers):
            if not isinstance(layer, Layer):
                hint = " A class is not a layer yet: write Dense(10), not Dense." if isinstance(layer, type) else ""
                raise GraphError(f"Sequential: item {i} is {layer!r}, not a layer.{hint}")
        if len({id(layer) for layer in layers}) != len(layers):
            raise GraphError("Sequential: the same layer stands there twice; use kj.Model to share a layer")
        self._layers = named(list(layers))
        if dtype is not None:
            for layer in self._layers.values():
                layer.dtype = layer.dtype or self.dtype

    @property
    def layers(self) -> list[Layer]:
        """The layers, in order."""
        return list(self._layers.values())

    def add(self, layer: Layer) -> None:
        """Put a layer at the end of a model that is not built yet."""
        if self.built:
            raise GraphError("Sequential: the model is built already; make a new one with the longer list of layers")
        self._layers = named([*self.layers, layer])
        self._arguments["layers"] = self.layers

    def members(self) -> Iterator[tuple[str, Any]]:
        yield from self._layers.items()

    def call(self, x: Tensor) -> Tensor:
        for name, layer in self._layers.items():
            x = self.inner(layer, name, x)
        return x

    @property
    def output_layer(self) -> Layer | None:
        return self.layers[-1] if self._layers else None


# --- functional models ----------------------------------------------------------------------------------------------
class Symbol:
    """A value that a functional model will compute: which layer call it comes from. Shapes are not known yet."""

    def __init__(self, layer: Layer | None, inputs: Sequence[Symbol], shape: Any = None, name: str | None = None) -> None:
        self.layer, self.inputs, self.shape, self.name = layer, tuple(inputs), shape, name

    def layer_call(self, layer: Layer, inputs: Sequence[Any]) -> Symbol:
        """Record a call of `layer` on these symbols."""
        for x in inputs:
            if not isinstance(x, Symbol):
                raise GraphError(f"{layer.title}: cannot mix an Input with a {type(x).__name__} in one call")
        return Symbol(layer, inputs)

    def _with(self, op: str, other: Any, swapped: bool = False) -> Symbol:
        if isinstance(other, Symbol):
            return Arithmetic(op)(*((other, self) if swapped else (self, other)))  # type: ignore[no-any-return]
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

    def __repr__(self) -> str:
        return f"Input({self.shape})" if self.layer is None else f"<output of {self.layer!r}>"


class Arithmetic(Layer):
    """+ − × ÷ between outputs of layers, or with a number, recorded as a layer call."""

    OPS = {"add": add, "divide": divide, "multiply": multiply, "subtract": subtract}  # noqa: RUF012  (a table)

    def __init__(self, op: str, number: float | None = None, swapped: bool = False, name: str | None = None) -> None:
        super().__init__(name)
        if op not in self.OPS:
            raise one_of("arithmetic op", op, self.OPS)
        self.op, self.number, self.swapped = op, number, swapped

    def call(self, *xs: Tensor) -> Tensor:
        pair: tuple[Any, ...] = xs if self.number is None else (xs[0], self.number)
        return self.OPS[self.op](*(reversed(pair) if self.swapped else pair))


def Input(shape: Any, name: str | None = None) -> Symbol:  # noqa: N802  (a noun, as users of Keras know it)
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
    """A graph of layers with branches and skips, from `Input`s to outputs. A layer called twice shares its weights."""

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
        self._names = {id(layer): name for name, layer in self._layers.items()}
        if dtype is not None:
            for layer in self._layers.values():
                layer.dtype = layer.dtype or as_dtype(dtype)

    def _ordered(self) -> list[Symbol]:
        order: list[Symbol] = []
        done: set[int] = set()
        stack: list[tuple[Symbol, bool]] = [(s, False) for s in reversed(self._outputs)]
        while stack:
            symbol, expanded = stack.pop()
            if id(symbol) in done:
                continue
            if expanded:
                done.add(id(symbol))
                order.append(symbol)
                continue
            if symbol.layer is None and all(symbol is not s for s in self._inputs):
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

    def call(self, *xs: Tensor) -> Any:
        if len(xs) != len(self._inputs):
            raise ShapeError(f"the model has {len(self._inputs)} inputs, got {len(xs)}")
        values: dict[int, Any] = {id(s): x for s, x in zip(self._inputs, xs, strict=True)}
        for s, x in zip(self._inputs, xs, strict=True):
            if len(x.shape) != len(s.shape) + 1 or any(a not in (None, b) for a, b in zip(s.shape, x.shape[1:], strict=True)):
                raise ShapeError(f"expects examples of shape {s.shape}, got an array of shape {x.shape}")
        for s in self._order:
            if s.layer is not None:
                values[id(s)] = self.inner(s.layer, self._names[id(s.layer)], *(values[id(i)] for i in s.inputs))
        outputs = [values[id(s)] for s in self._outputs]
        return outputs[0] if self._single else tuple(outputs)

    def build(self, *shapes: Any, seed: int | None = None) -> Any:
        return super().build(*(shapes or [(None, *s.shape) for s in self._inputs]), seed=seed)

    @property
    def output_layer(self) -> Layer | None:
        return self._outputs[0].layer if self._single else None

    def to_config(self) -> dict[str, Any]:
        """Layers by name and calls by number, as plain data."""
        number = {id(s): i for i, s in enumerate(self._order)}
        calls = [
            {"layer": self._names[id(s.layer)], "inputs": [number[id(i)] for i in s.inputs]}
            if s.layer is not None
            else {"input": list(s.shape), "name": s.name}
            for s in self._order
        ]
        return {
            "class": "Model", "name": self.name, "single": self._single, "calls": calls,
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
            else:
                symbols.append(Symbol(layers[call["layer"]], [symbols[i] for i in call["inputs"]]))
        outputs = [symbols[i] for i in config["outputs"]]
        inputs = [symbols[i] for i in config["inputs"]]
        return cls(inputs, outputs[0] if config["single"] else outputs, name=config.get("name"))


LAYERS.pop("Module", None)
