"""Models: layers put together in a row (`Sequential`), or by a class of the user's (`Module`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from kedja.errors import GraphError, ShapeError, one_of
from kedja.graph.dtypes import get_default_dtype
from kedja.graph.node import Tensor
from kedja.graph.trace import trace
from kedja.lent import borrowed
from kedja.nn.layers.call import outermost, watching
from kedja.nn.layers.layer import LAYERS, Layer, fresh_seed

__all__ = ["Module", "Sequential"]


class Module(Layer):
    """A model: a layer made of layers, which can be trained. Subclass it, store layers in `__init__`, define `call`.

    >>> import kedja as kj
    >>> class Residual(kj.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.hidden, self.out = kj.nn.Dense(3, activation="relu"), kj.nn.Dense(2)
    ...     def call(self, x):
    ...         return self.out(x + self.hidden(x))
    >>> net = Residual().build((None, 3))
    >>> list(net.state)
    ['hidden.kernel', 'hidden.bias', 'out.kernel', 'out.bias']
    """

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, dtype)
        self.input_shapes: list[tuple[Any, ...]] = []
        self.start_seed: int | None = None  # from which the starting values were drawn
        self._info: dict[str, Any] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if "build" in cls.__dict__:  # a subclass's own makes its own variables; from outside, `build` makes all
            cls.own_build = cls.__dict__["build"]  # type: ignore[method-assign]
            del cls.build
        super().__init_subclass__(**kwargs)

    def own_build(self, *shapes: Any) -> None:
        """What a subclass wrote as `build`."""

    @property
    def info(self) -> dict[str, Any]:
        """Plain data that is saved with the model: names of features and classes, where the data came from."""
        return self._info

    def __getattr__(self, name: str) -> Any:
        try:
            return borrowed(self, name)
        except AttributeError:
            return super().__getattr__(name)

    def build(self, *shapes: Any, seed: int | None = None) -> Any:
        """Make all variables for inputs of these shapes (the batch axis may be None); returns the model itself."""
        if not self.built:
            shapes = shapes or tuple(self.known_shapes())
            if not shapes:
                raise GraphError(f"{self.title}: say the shape of the input, as in net.build((None, 784))")
            sizes = [with_batch(s) for s in shapes]
            trace(lambda *xs: self(*xs, seed=seed), [(s, self.dtype or get_default_dtype()) for s in sizes])
        return self

    def known_shapes(self) -> Sequence[Any]:
        """The shapes of the inputs, where the model says them itself."""
        return ()

    def __call__(self, *inputs: Any, seed: int | None = None, **how: Any) -> Any:
        if self.built or any(hasattr(x, "layer_call") for x in inputs):
            return super().__call__(*inputs, seed=seed, **how)
        undo = self.restore_point()
        if outermost():
            self.start_seed = seed = fresh_seed() if seed is None else seed
        try:
            return super().__call__(*inputs, seed=seed, **how)
        except BaseException:
            undo()
            raise

    def _make(self, shapes: list[Any]) -> None:
        self.input_shapes = [(None, *s[1:]) for s in shapes if isinstance(s, tuple) and s]
        self.own_build(*shapes)  # what is inside is made as it is called

    @property
    def input_shape(self) -> tuple[Any, ...] | None:
        """The shape of the (first) input it was built for, the batch axis None."""
        return self.input_shapes[0] if self.input_shapes else None

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
        wanted = [names] if isinstance(names, str) else list(names)
        found: dict[str, Any] = {}
        with watching(lambda layer, path, xs, y: found.__setitem__(path, y)):
            self(*(x if isinstance(x, tuple) else (x,)), training=training)
        for name in wanted:
            if name not in found:
                raise one_of("layer", name, [p for p in found if p])
        return found[names] if isinstance(names, str) else {n: found[n] for n in wanted}


def with_batch(shape: Any) -> tuple[int, ...]:
    """The shape with a size in place of None."""
    try:
        return tuple(2 if n is None else int(n) for n in shape)
    except TypeError:
        raise ShapeError(f"a shape is a tuple like (None, 784), its first axis the examples; got {shape!r}") from None


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


WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z]{2})(?=[A-Z][a-z])")


def _snake(name: str) -> str:
    """MultiHeadAttention → multi_head_attention, Conv2D → conv2d, RMSNorm → rms_norm, LeakyReLU → leaky_relu."""
    return WORDS.sub("_", name.replace("ReLU", "Relu").replace("SiLU", "Silu")).lower()


def named(layers: Sequence[Layer]) -> dict[str, Layer]:
    """The layers under their names; unnamed ones get one, two may not share one."""
    given = [layer.name for layer in layers if layer.name]
    twice = {n for n in given if given.count(n) > 1}
    if twice:
        raise GraphError(f"two layers are named {sorted(twice)[0]!r}: names must differ, since they name the weights")
    counter = NameCounter([n for n in given if n])
    return {layer.name or counter.name(layer): layer for layer in layers}


class Sequential(Module):
    """Layers one after the other, y = f_k(… f₂(f₁(x))).

    Derivative: the chain rule, ∂J/∂x = f₁′ᵀ (f₂′ᵀ (… ∂J/∂y)), from the last layer to the first.

    >>> import kedja as kj
    >>> net = kj.Sequential([kj.nn.Dense(100, activation="sigmoid"), kj.nn.Dense(10)])
    >>> net(kj.zeros((5, 784))).shape
    (5, 10)
    """

    def __init__(self, layers: Sequence[Layer] = (), name: str | None = None, dtype: Any = None) -> None:
        if isinstance(layers, Layer) or isinstance(name, Layer):
            raise GraphError("Sequential takes one list of layers: kj.Sequential([layer, layer])")
        super().__init__(name, dtype)
        for i, layer in enumerate(layers):
            if not isinstance(layer, Layer):
                hint = " A class is not a layer yet: write Dense(10), not Dense." if isinstance(layer, type) else ""
                raise GraphError(f"Sequential: item {i} is {layer!r}, not a layer.{hint}")
        if len({id(layer) for layer in layers}) != len(layers):
            raise GraphError("Sequential: the same layer stands there twice; use kj.Model to share a layer")
        self._layers = named(list(layers))

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
        for layer in self._layers.values():
            x = layer(x)
        return x

    @property
    def output_layer(self) -> Layer | None:
        return self.layers[-1] if self._layers else None

    @property
    def gives(self) -> int | None:  # type: ignore[override]
        """What its last layer gives."""
        return self.layers[-1].gives if self._layers else None


LAYERS.pop("Module", None)
