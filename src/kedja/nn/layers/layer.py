"""What a layer is: it stores its settings, builds its variables when it first meets a shape, and is called on tensors.

How a call is meant (training or not, with which random key) travels as an argument of the outermost call and is passed
on to the layers inside; it is never a state of the layer or of the program.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from kedja.errors import GraphError, KedjaError, ShapeError
from kedja.graph.dtypes import as_array, as_dtype, get_default_dtype, is_float
from kedja.graph.node import Array, Tensor, tensor
from kedja.graph.scope import Source, borrow, caller
from kedja.graph.variables import Drawn, Parameter, State, Variable
from kedja.nn import constraints, initializers, regularizers
from kedja.nn.layers.arguments import ELSEWHERE, expect_inputs, made, remembering
from kedja.nn.layers.call import Call, calls
from kedja.ops import cast, random

__all__ = ["Layer", "trainable"]


PLAIN = frozenset({int, float, str, bool, type(None)})  # what holds neither layers nor variables
LARGE = 4096  # numbers of a parameter, from which on they are drawn when they are first read
PLAIN = frozenset({str, int, float, bool, type(None)})  # values with nothing inside: most attributes of a layer
LAYERS: dict[str, type[Layer]] = {}
"""Every layer class by name: what a saved architecture is made again from."""


def fresh_seed() -> int:
    """A seed nobody chose, for a run that was given none; it is recorded with the run."""
    return int(np.random.SeedSequence().generate_state(1, np.uint32)[0])


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

    scalars: tuple[str, ...] = ()  # attributes that are run-time numbers: changing one compiles nothing again
    gives: int | None = None  # how many tensors a call returns, as a tuple; None: one tensor, and no tuple
    couples_rows = False  # whether in training the output for a row depends on the other rows of the batch
    _arguments: dict[str, Any]

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        if name is not None and not isinstance(name, str):
            raise GraphError(f"{type(self).__name__}: the name of a layer is text, got {name!r}")
        self.name = name
        self.dtype = None if dtype is None else as_dtype(dtype)
        self.built = False
        self.trainable = True
        self._starts: dict[Variable, tuple[str, Any]] = {}  # where each parameter's starting value comes from
        self.where = caller()  # the user's line that made it

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in cls.__dict__:
            cls.__init__ = remembering(cls.__init__)  # type: ignore[method-assign]
        if "build" in cls.__dict__:
            cls.build = made(cls.build)  # type: ignore[method-assign]
        if cls.__module__.startswith("kedja."):
            LAYERS.setdefault(cls.__name__, cls)

    # --- what subclasses write --------------------------------------------------------------------------------------
    def build(self, *shapes: Any) -> None:
        """Make the variables, knowing the shapes of the inputs. Called once, before the first call."""

    def call(self, *inputs: Any, **how: Any) -> Any:
        """The layer's function on tensors. It may take `training` if it matters."""
        hint = "its forward is to be named call" if "forward" in vars(type(self)) else "define call(self, x)"
        raise GraphError(f"{type(self).__name__} does not say what it computes: {hint}")

    # --- what subclasses use ----------------------------------------------------------------------------------------
    def parameter(
        self, name: str, shape: Any, initializer: Any = "glorot_uniform", *, regularizer: Any = None,
        constraint: Any = None, penalised: bool | None = None,
    ) -> Parameter:  # fmt: skip
        """A trainable variable of this layer, drawn from the seed of the call and the path of the layer.

        `penalised`: whether a penalty for the whole model means it; by default when it has two axes or more.
        """
        values = self._drawn(name, tuple(shape), initializer)
        regularizer, constraint = regularizers.get(regularizer), constraints.get(constraint)
        found = Parameter(
            values, name, dtype=values.dtype, regularizer=regularizer, constraint=constraint, penalised=penalised
        )
        self._starts[found] = (self._path_of(name), initializer)
        return found

    def variable(self, name: str, value: Any, kind: str = "statistic") -> Variable:
        """A variable that learning does not change by gradient."""
        return Variable(value, name, kind=kind, dtype=self.dtype or calls.now.dtype)

    def scalar(self, name: str, dtype: Any = None) -> Tensor:
        """An attribute named in `scalars`, as a number on the graph: inside `fit` it is an argument of the program."""
        dtype = as_dtype(dtype or self.dtype or calls.now.dtype or get_default_dtype())
        given = (calls.now.scalars or {}).get((self, name))
        return tensor(getattr(self, name), dtype=dtype) if given is None else cast(given, dtype)

    def _path_of(self, name: str) -> str:
        return f"{calls.now.path}.{name}" if calls.now.path else name

    def _drawn(self, name: str, shape: tuple[int, ...], initializer: Any) -> Any:
        seed = calls.now.seed
        if seed is None:
            seed = random.key_words(fresh_seed())
        return self._start(
            seed, self._path_of(name), initializer, shape, self.dtype or calls.now.dtype or get_default_dtype()
        )

    def _start(self, seed: Array, path: str, initializer: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        """The starting values; of a large parameter a promise, so that a network can be looked at, or take over weights
        from a file, without any of its own being drawn."""
        how = initializers.get(initializer, getattr(self, "activation_name", None))
        key = random.fold_array(seed, path)
        if how.waits and np.prod(shape) >= LARGE:
            return Drawn(shape, np.dtype(dtype), lambda: how(key, shape, dtype))
        return how(key, shape, dtype)

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
        base = calls.now.key
        if base is None:
            raise GraphError(
                f"{self.title} needs randomness, and this call has no key: call it with key=kj.random.key(0)"
            )
        return random.fold(base, f"{calls.now.path}/{what}")

    # --- calling ----------------------------------------------------------------------------------------------------
    def __call__(
        self, *inputs: Any, training: bool | None = None, key: Any = None, seed: int | None = None, scalars: Any = None,
        **named: Any,
    ) -> Any:  # fmt: skip
        """The layer applied to tensors (or, recorded for later, to an `Input`)."""
        for x in inputs:
            if hasattr(x, "layer_call"):
                recorded = x.layer_call(self, inputs)
                expect_inputs(self, inputs, named)
                return recorded
        now = calls.now
        how = now._replace(
            training=now.training if training is None else training,
            key=now.key if key is None else tensor(key),
            seed=now.seed if seed is None else random.key_words(seed),
            dtype=self.dtype or now.dtype,
            scalars=now.scalars if scalars is None else scalars,
            root=now.root or self,
            places={} if now.root is None else now.places,
            path=self._place(now),
        )
        calls.now = how
        # New nodes belong to the user's line that made the layer or, where the layer is the user's, to the code of it.
        line = borrow(self.where if type(self).__module__.startswith("kedja.") else None)
        try:
            expect_inputs(self, inputs, named)
            nodes = [self._input(x) for x in inputs]
            if not self.built:
                self._make([_shape(x) for x in nodes])
                self.built = True
            accepts = _accepts_training(type(self))
            y = self.call(*nodes, training=how.training) if accepts else self.call(*nodes)
            if how.watch is not None:
                how.watch(self, how.path, nodes, y)
            return y
        except KedjaError as error:
            raise self._named(error) from None
        finally:
            borrow(line)
            calls.now = now

    def _make(self, shapes: list[Any]) -> None:
        """At the first call: make the variables."""
        self.build(*shapes)

    def _place(self, now: Call) -> str:
        """The path of this layer in the outermost layer of the call: the one its variables have in `state`."""
        if now.root is None or now.places is None:
            return ""
        if self not in now.places:
            for path, layer in now.root.layers_by_path():
                now.places.setdefault(layer, path)
        if self not in now.places:  # not stored in any layer of the call
            name = self.name or type(self).__name__.lower()
            now.places[self] = f"{now.path}.{name}" if now.path else name
        return now.places[self]

    def _input(self, x: Any) -> Any:
        if isinstance(x, Tensor):
            return x
        if isinstance(x, list | tuple) and any(isinstance(v, Tensor) for v in x):
            return x
        own = next(iter(self.state.of_kind("trainable", "statistic").values()), None) if self.dtype is None else None
        array = as_array(x, self.dtype)
        if own is not None and is_float(array.dtype):
            array = as_array(x, own.dtype)
        return tensor(array, array.dtype)

    def _named(self, error: KedjaError) -> KedjaError:
        """The error, saying which layer it happened in (the innermost that is known)."""
        if getattr(error, "layer", None) is not None:
            return error
        text = str(error) if str(error).startswith(self.title) else f"{self.title}: {error}"
        if self.source is not None and "\n  at " not in text:
            text += f"\n  at {self.source}"
        named = type(error)(text)
        named.layer = self  # type: ignore[attr-defined]
        return named

    @property
    def source(self) -> Source | None:
        """The line of the user's program that made this layer."""
        return Source.of(self.where)

    @property
    def title(self) -> str:
        """Class and name, as messages show them."""
        name = calls.now.path or self.name
        return f'{type(self).__name__} "{name}"' if name else type(self).__name__

    # --- its variables and the layers inside ------------------------------------------------------------------------
    def members(self) -> Iterator[tuple[str, Any]]:
        """(name, layer or variable) of everything directly inside, in the order it was stored."""
        kinds = (Layer, Variable)  # walked at every prediction: a union would be made anew for each value
        for name, value in vars(self).items():
            if name[0] == "_" or type(value) in PLAIN:
                continue
            if isinstance(value, kinds):
                yield name, value
            elif isinstance(value, (list, tuple)):
                yield from ((f"{name}_{i + 1}", v) for i, v in enumerate(value) if isinstance(v, kinds))
            elif isinstance(value, dict):
                yield from ((f"{name}_{k}", v) for k, v in value.items() if isinstance(v, kinds))

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
        for path, variable in self.variables_by_path():
            if variable not in seen:
                seen.add(variable)
                found.add(path, variable)
        return found

    def variables_by_path(self, prefix: str = "") -> Iterator[tuple[str, Variable]]:
        """Every variable inside, at any depth, with its path; a shared one under each of its paths."""
        for name, value in self.members():
            path = f"{prefix}.{name}" if prefix else name
            if isinstance(value, Variable):
                yield path, value
            else:
                yield from value.variables_by_path(path)

    @property
    def parameters(self) -> list[Variable]:
        """The trainable variables."""
        return list(self.state.of_kind("trainable").values())

    def restore_point(self) -> Callable[[], None]:
        """Takes back all that happens to this layer and those inside from now on: a failed build leaves no half."""
        kept = [(layer, dict(vars(layer))) for layer in (self, *(inside for _, inside in self.layers_by_path()))]

        def undo() -> None:
            for layer, values in kept:
                vars(layer).clear()
                vars(layer).update(values)

        return undo

    def expect_weights(self) -> None:
        """Raise unless this layer, and all inside that have variables, have met a shape."""
        for layer in (self, *(inside for _, inside in self.layers_by_path())):
            if not layer.built and type(layer).build is not Layer.build:
                raise GraphError(
                    f"{self.title} has no weights yet: fit it, call it on data, or say the shape of its input, "
                    "as in net.build((None, 784))"
                )

    def count_parameters(self) -> int:
        """How many numbers learning can change, shared ones counted once.

        >>> import kedja as kj
        >>> net = kj.Sequential([kj.nn.Dense(100), kj.nn.Dense(10)])
        >>> net.build((None, 784)).count_parameters()
        79510
        """
        self.expect_weights()
        return self.state.size("trainable")

    def get_weights(self) -> list[Array]:
        """Copies of all parameters and statistics, in the order of `state`."""
        self.expect_weights()
        return [np.array(v.value) for v in self.state.of_kind("trainable", "statistic").values()]

    def set_weights(self, weights: Any) -> None:
        """Set all parameters and statistics; nothing is changed unless every array fits."""
        self.expect_weights()
        own = self.state.of_kind("trainable", "statistic")
        if len(weights) != len(own):
            raise ShapeError(f"{self.title} has {len(own)} weight arrays ({', '.join(own)}), got {len(weights)}")
        for (path, v), w in zip(own.items(), weights, strict=True):
            if np.shape(w) != v.shape:
                raise ShapeError(f"{path} has shape {v.shape}, the array given {np.shape(w)}")
        own.restore(dict(zip(own, weights, strict=True)))

    def __getattr__(self, name: str) -> Any:
        if name in ELSEWHERE:
            raise AttributeError(f"{type(self).__name__} has no {name!r}: {ELSEWHERE[name]}")
        if not name.startswith("_") and not self.__dict__.get("built", True):
            raise AttributeError(
                f"{type(self).__name__} has no {name!r} (its weights are made when it first meets data)"
            )
        raise AttributeError(f"{type(self).__name__} has no {name!r}")

    def __repr__(self) -> str:
        shown = ", ".join(f"{k}={v!r}" for k, v in self._arguments.items()) if "_arguments" in self.__dict__ else ""
        return f"{type(self).__name__}({shown})"


def trainable(
    model: Layer, prefix: str = "", frozen: bool = False, seen: set[Any] | None = None
) -> dict[str, Variable]:
    """The parameters that learning may change: those of layers that are not frozen, each once."""
    seen = set() if seen is None else seen
    frozen = frozen or not model.trainable
    found: dict[str, Variable] = {}
    for name, value in model.members():
        path = f"{prefix}.{name}" if prefix else name
        if isinstance(value, Layer):
            found.update(trainable(value, path, frozen, seen))
        elif value.trainable and value not in seen:
            seen.add(value)
            if not frozen:
                found[path] = value
    return found


_takes_training: dict[type, bool] = {}


def _accepts_training(cls: type[Layer]) -> bool:
    if cls not in _takes_training:
        parameters = inspect.signature(cls.call).parameters
        _takes_training[cls] = "training" in parameters
    return _takes_training[cls]


def _shape(x: Any) -> Any:
    return x.shape if isinstance(x, Tensor) else [v.shape for v in x]


Layer.__init__ = remembering(Layer.__init__)  # type: ignore[method-assign]
