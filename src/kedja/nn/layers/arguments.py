"""What a layer was made with, noted when it is made; and how peers name what we name otherwise."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache, wraps
from typing import Any

from kedja.elsewhere import refused, signature_of
from kedja.errors import GraphError, KedjaError

__all__ = ["ELSEWHERE", "expect_inputs", "made", "remembering"]

ELSEWHERE = {
    "children": "kedja spells it .members(), or .layers of a Sequential",
    "cpu": "arrays go to the device of the engine by themselves",
    "cuda": "arrays go to the device of the engine by themselves",
    "double": 'dtype="float64" is given when the model is made',
    "eval": "how a call is meant is an argument of it: net(x, training=False), which is the default",
    "evaluate_generator": "evaluate takes generators too",
    "fit_generator": "fit takes generators too: fit(function), a function that makes one for each epoch",
    "forward": "a layer is called: net(x)",
    "from_pretrained": "models with weights live in kj.zoo; load_weights(path) takes those of PyTorch and Keras",
    "load_checkpoint": 'kedja spells it kj.load(folder); fit(..., resume="run") goes on with a run',
    "load_model": "kedja spells it kj.load(folder)",
    "load_state_dict": "kedja spells it load_weights(path or dict): PyTorch's, Keras's and its own",
    "named_parameters": "kedja spells it .state.items()",
    "predict_generator": "predict takes generators too",
    "requires_grad_": "a layer is frozen by layer.trainable = False, a model up to a layer by net.freeze(upto=name)",
    "save_pretrained": "kedja spells it save(folder)",
    "save_weights": "kedja spells it save(folder), and load_weights(folder) takes the weights alone",
    "score": 'kedja spells it evaluate(x, y, metrics=["accuracy"])',
    "state_dict": "kedja spells it .state, or get_weights() for copies",
    "to": "arrays go to the device of the engine by themselves; dtype= is given when the model is made",
    "train": "how a call is meant is an argument of it: net(x, training=True); fit does it",
    "trainable_variables": "kedja spells it .parameters",
    "trainable_weights": "kedja spells it .parameters",
    "variables": "kedja spells it .state",
    "weights": "kedja spells it .state, or get_weights() for copies",
    "zero_grad": "gradients are graphs and do not pile up: kj.grad(loss, net.parameters)",
}
"""What peers call attributes of layers and models. For arguments see `kedja.elsewhere`."""


def remembering(init: Callable[..., None]) -> Callable[..., None]:
    """`__init__` that notes the arguments of the outermost class: they are the layer's configuration."""

    @wraps(init)
    def noted(self: Any, *args: Any, **kwargs: Any) -> None:
        signature = signature_of(init)
        try:
            bound = signature.bind(self, *args, **kwargs)
        except TypeError as error:
            raise refused(type(self), kwargs, error) from None
        if "_arguments" not in self.__dict__:
            found = dict(list(bound.arguments.items())[1:])
            for name, parameter in signature.parameters.items():
                if parameter.kind is parameter.VAR_KEYWORD:
                    found.update(found.pop(name, {}))
            self.__dict__["_arguments"] = found
            try:
                return init(self, *args, **kwargs)
            except KedjaError as error:
                cls = type(self).__name__
                raise error if str(error).startswith(cls) else type(error)(f"{cls}: {error}") from None
        init(self, *args, **kwargs)

    return noted


def made(build: Callable[..., Any]) -> Callable[..., Any]:
    """`build` that notes it was done, so that a layer built by hand is not built again at its first call."""

    @wraps(build)
    def noted(self: Any, *shapes: Any, **how: Any) -> Any:
        result = build(self, *shapes, **how)
        self.built = True
        return result

    return noted


def expect_inputs(layer: Any, given: Sequence[Any], named: Iterable[str]) -> None:
    """Raise unless a call has as many inputs as the layer takes, none of them by name, and each a single tensor."""
    names, least, most = _inputs(type(layer).call)
    shown = f"{layer.title} is called as layer({', '.join(names)})"
    for name in named:
        hint = f"give {name} by position" if name in names else "inputs stand in this order, without names"
        raise GraphError(f"{shown}, got {name}=: {hint}")
    if not least <= len(given) <= most:
        hint = " Add, Concatenate and the like join several inputs." if len(given) > most == 1 else ""
        raise GraphError(f"{shown}, got {len(given)} input{'s' * (len(given) != 1)}.{hint}")
    for x in given:
        if (
            isinstance(x, list | tuple)
            and any(hasattr(v, "layer_call") or hasattr(v, "op") for v in x)
            and _ours(layer)
        ):
            raise GraphError(
                f"{shown}, got {len(x)} tensors in one {type(x).__name__}. Give them one by one, layer(*tensors), or "
                "those of them that are meant."
            )


@cache
def _inputs(call: Callable[..., Any]) -> tuple[tuple[str, ...], int, float]:
    """The inputs of a layer's `call`, and how many of them there must be and may be."""
    takes = [p for p in list(inspect.signature(call).parameters.values())[1:] if p.name != "training"]
    takes = [p for p in takes if p.kind not in (p.KEYWORD_ONLY, p.VAR_KEYWORD)]
    names = tuple("*" * (p.kind is p.VAR_POSITIONAL) + p.name for p in takes)
    least = sum(p.kind is not p.VAR_POSITIONAL and p.default is p.empty for p in takes)
    return names, least, math.inf if any(n.startswith("*") for n in names) else len(names)


def _ours(layer: Any) -> bool:
    """Whether it is a layer of the library that computes with tensors; a model or a function may take what it likes."""
    module = type(layer).__module__
    return module.startswith("kedja.nn.layers.") and module != "kedja.nn.layers.function"
