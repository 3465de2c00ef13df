"""What a layer is: it stores its settings, builds its variables when it first meets a shape, and is called on tensors.

How a call is meant (training or not, with which random key) travels as an argument of the outermost call and is passed
on to the layers inside; it is never a state of the layer or of the program.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import wraps
from threading import local
from typing import Any, NamedTuple

import numpy as np

from kedja.errors import GraphError, KedjaError, ShapeError
from kedja.graph.dtypes import as_dtype, get_default_dtype
from kedja.graph.node import Array, Tensor, tensor
from kedja.graph.scope import Source, caller
from kedja.graph.variables import Parameter, State, Variable
from kedja.nn import initializers
from kedja.ops import random

__all__ = ["Layer"]


class Call(NamedTuple):
    """How the present call is meant."""

    training: bool = False
    key: Tensor | None = None
    seed: Array | None = None  # from which layers not built yet draw their weights
    path: str = ""
    watch: Callable[[Layer, str, Any, Any], None] | None = None  # told of every layer's inputs and output


class _Calls(local):
    now = Call()


_calls = _Calls()
LAYERS: dict[str, type[Layer]] = {}
"""Every layer class by name: what a saved architecture is made again from."""


def fresh_seed() -> int:
    """A seed nobody chose, for a run that was given none; it is recorded with the run."""
    return int(np.random.SeedSequence().generate_state(1, np.uint32)[0])


def remembering(init: Callable[..., None]) -> Callable[..., None]:
    """`__init__` that notes the arguments of the outermost class: they are the layer's configuration."""
    signature = inspect.signature(init)

    @wraps(init)
    def noted(self: Any, *args: Any, **kwargs: Any) -> None:
        if "_arguments" not in self.__dict__:
            bound = signature.bind(self, *args, **kwargs)
            found = dict(list(bound.arguments.items())[1:])
            for name, parameter in signature.parameters.items():
                if parameter.kind is parameter.VAR_KEYWORD:
                    found.update(found.pop(name, {}))
            self.__dict__["_arguments"] = found
        init(self, *args, **kwargs)

    return noted


class Layer:
    """The base of every layer. A subclass stores in `__init__`, makes variables in `build`, computes in `call`.

    >>> import kedja as kj
    >>> class Scale(kj.nn.Layer):
    ...     def build(self, x):
    ...         self.factor = self.parameter("factor", x[-1:], "zeros")
    ...     def call(self, x):
    ...         return x * self.factor
    >>> Scale()(kj.tensor([[1.0, 2.0]])).numpy().tolist()
    [[0.0, 0.0]]
    """

    _arguments: dict[str, Any]

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        self.name = name
        self.dtype = None if dtype is None else as_dtype(dtype)
        self.built = False
        self.trainable = True
        self._starts: dict[Variable, tuple[str, Any]] = {}  # where each parameter's starting value comes from
        self.source = Source.of(caller())

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in cls.__dict__:
            cls.__init__ = remembering(cls.__init__)  # type: ignore[method-assign]
        if cls.__module__.startswith("kedja."):
            LAYERS[cls.__name__] = cls

    # --- what subclasses write --------------------------------------------------------------------------------------
    def build(self, *shapes: Any) -> None:
        """Make the variables, knowing the shapes of the inputs. Called once, before the first call."""

    def call(self, *inputs: Any, **how: Any) -> Any:
        """The layer's function on tensors. It may take `training` if it matters."""
        raise GraphError(f"{self.title} does not say what it computes: define call(self, x)")

    # --- what subclasses use ----------------------------------------------------------------------------------------
    def parameter(self, name: str, shape: Any, initializer: Any = "glorot_uniform") -> Parameter:
        """A trainable variable of this layer, drawn from the seed of the call and the path of the layer."""
        values = self._drawn(name, tuple(shape), initializer)
        made = Parameter(values, name, dtype=values.dtype)
        self._starts[made] = (self._path_of(name), initializer)
        return made

    def variable(self, name: str, value: Any, kind: str = "statistic") -> Variable:
        """A variable that learning does not change by gradient."""
        return Variable(value, name, kind=kind, dtype=self.dtype)

    def _path_of(self, name: str) -> str:
        return f"{_calls.now.path}.{name}" if _calls.now.path else name

    def _drawn(self, name: str, shape: tuple[int, ...], initializer: Any) -> Array:
        seed = _calls.now.seed
        if seed is None:
            seed = random.key_words(fresh_seed())
        return self._start(seed, self._path_of(name), initializer, shape, self.dtype or get_default_dtype())

    def _start(self, seed: Array, path: str, initializer: Any, shape: tuple[int, ...], dtype: Any) -> Array:
        how = initializers.get(initializer, getattr(self, "activation_name", None))
        return how(random.fold_array(seed, path), shape, dtype)

    def redraw(self, seed: int) -> None:
        """New starting values for every parameter here and inside, as if built with this seed."""
        words = random.key_words(seed)
        for variable, (path, initializer) in self._starts.items():
            variable.store(self._start(words, path, initializer, variable.shape, variable.dtype))
        for _, value in self.members():
            if isinstance(value, Layer):
                value.redraw(seed)

    def key(self, what: str = "") -> Tensor:
        """A random key of this call: from the seed, the step and the layer's path."""
        base = _calls.now.key
        if base is None:
            raise GraphError(f"{self.title} needs randomness, and this call has no key: call it with key=kj.random.key(0)")
        return random.fold(base, f"{_calls.now.path}/{what}")

    # --- calling ----------------------------------------------------------------------------------------------------
    def __call__(self, *inputs: Any, training: bool | None = None, key: Any = None, seed: int | None = None) -> Any:
        """The layer applied to tensors (or, recorded for later, to an `Input`)."""
        for x in inputs:
            if hasattr(x, "layer_call"):
                return x.layer_call(self, inputs)
        now = _calls.now
        path = now.path or (self.name or "")
        how = now._replace(
            training=now.training if training is None else training,
            key=now.key if key is None else tensor(key),
            seed=now.seed if seed is None else random.key_words(seed),
            path=path,
        )
        _calls.now = how
        try:
            nodes = [self._input(x) for x in inputs]
            if not self.built:
                self.build(*(_shape(x) for x in nodes))
                self.built = True
            accepts = _accepts_training(type(self))
            y = self.call(*nodes, training=how.training) if accepts else self.call(*nodes)
            if how.watch is not None:
                how.watch(self, path, nodes, y)
            return y
        except KedjaError as error:
            raise self._named(error) from None
        finally:
            _calls.now = now

    def _input(self, x: Any) -> Any:
        if isinstance(x, Tensor):
            return x
        if isinstance(x, list | tuple) and any(isinstance(v, Tensor) for v in x):
            return x
        return tensor(x, self.dtype)

    def inner(self, layer: Layer, name: str, *inputs: Any) -> Any:
        """Call a layer inside this one, under its own path."""
        now = _calls.now
        _calls.now = now._replace(path=f"{now.path}.{name}" if now.path else name)
        try:
            return layer(*inputs)
        finally:
            _calls.now = now

    def _named(self, error: KedjaError) -> KedjaError:
        """The error, saying which layer it happened in (the innermost that is known)."""
        if getattr(error, "layer", None) is not None:
            return error
        named = type(error)(f"{self.title}: {error}")
        named.layer = self  # type: ignore[attr-defined]
        return named

    @property
    def title(self) -> str:
        """Class and name, as messages show them."""
        name = _calls.now.path or self.name
        return f'{type(self).__name__} "{name}"' if name else type(self).__name__

    # --- its variables and the layers inside ------------------------------------------------------------------------
    def members(self) -> Iterator[tuple[str, Any]]:
        """(name, layer or variable) of everything directly inside, in the order it was stored."""
        for name, value in vars(self).items():
            if name.startswith("_"):
                continue
            if isinstance(value, Layer | Variable):
                yield name, value
            elif isinstance(value, list | tuple):
                yield from ((f"{name}_{i + 1}", v) for i, v in enumerate(value) if isinstance(v, Layer | Variable))
            elif isinstance(value, dict):
                yield from ((f"{name}_{k}", v) for k, v in value.items() if isinstance(v, Layer | Variable))

    def layers_by_path(self, prefix: str = "") -> Iterator[tuple[str, Layer]]:
        """Every layer inside, at any depth, with its path."""
        for name, value in self.members():
            if isinstance(value, Layer):
                path = f"{prefix}.{name}" if prefix else name
                yield path, value
                yield from value.layers_by_path(path)

    @property
    def state(self) -> State:
        """All variables by path; a shared one under the first path it has."""
        found = State()
        seen: set[Variable] = set()
        self._collect("", found, seen)
        return found

    def _collect(self, prefix: str, found: State, seen: set[Variable]) -> None:
        for name, value in self.members():
            path = f"{prefix}.{name}" if prefix else name
            if isinstance(value, Variable):
                if value not in seen:
                    seen.add(value)
                    found.add(path, value)
            else:
                value._collect(path, found, seen)

    @property
    def parameters(self) -> list[Variable]:
        """The trainable variables."""
        return list(self.state.of_kind("trainable").values())

    def count_parameters(self) -> int:
        """How many numbers learning can change, shared ones counted once.

        >>> import kedja as kj
        >>> net = kj.Sequential([kj.nn.Dense(100), kj.nn.Dense(10)])
        >>> net.build((None, 784)).count_parameters()
        79510
        """
        return self.state.size("trainable")

    def get_weights(self) -> list[Array]:
        """Copies of all parameters and statistics, in the order of `state`."""
        return [np.array(v.value) for v in self.state.of_kind("trainable", "statistic").values()]

    def set_weights(self, weights: Any) -> None:
        """Set all parameters and statistics; nothing is changed unless every array fits."""
        own = self.state.of_kind("trainable", "statistic")
        if not own:
            raise GraphError(f"{self.title} has no weights yet: build it first, or call it on data")
        if len(weights) != len(own):
            raise ShapeError(f"{self.title} has {len(own)} weight arrays ({', '.join(own)}), got {len(weights)}")
        for (path, v), w in zip(own.items(), weights, strict=True):
            if np.shape(w) != v.shape:
                raise ShapeError(f"{path} has shape {v.shape}, the array given {np.shape(w)}")
        own.restore(dict(zip(own, weights, strict=True)))

    # --- configuration ----------------------------------------------------------------------------------------------
    def config(self) -> dict[str, Any]:
        """The arguments it was made with, as plain data."""
        from kedja.nn.layers.config import plain

        return plain(self)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        shown = ", ".join(f"{k}={v!r}" for k, v in self._arguments.items()) if "_arguments" in self.__dict__ else ""
        return f"{type(self).__name__}({shown})"


_takes_training: dict[type, bool] = {}


def _accepts_training(cls: type[Layer]) -> bool:
    if cls not in _takes_training:
        parameters = inspect.signature(cls.call).parameters
        _takes_training[cls] = "training" in parameters
    return _takes_training[cls]


def _shape(x: Any) -> Any:
    return x.shape if isinstance(x, Tensor) else [v.shape for v in x]


Layer.__init__ = remembering(Layer.__init__)  # type: ignore[method-assign]
