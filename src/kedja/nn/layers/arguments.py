"""What a layer was made with, noted when it is made; and how peers name what we name otherwise."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

__all__ = ["ELSEWHERE", "made", "remembering"]

ELSEWHERE = {
    "activity_regularizer": "penalties are on weights: regularizer=",
    "bias": "kedja spells it use_bias=",
    "bias_initializer": "kedja spells it bias_init=",
    "in_features": "the width of the input is found at the first call; net.build((None, 784)) says it earlier",
    "input_dim": "the width of the input is found at the first call; net.build((None, 784)) says it earlier",
    "input_shape": "the shape of the input is found at the first call; net.build((None, 784)) says it earlier",
    "kernel_constraint": "kedja spells it constraint=",
    "kernel_initializer": "kedja spells it init=",
    "kernel_regularizer": "kedja spells it regularizer=",
    "out_features": "kedja spells it units=",
    # attributes
    "eval": "how a call is meant is an argument of it: net(x, training=False), which is the default",
    "forward": "a layer is called: net(x)",
    "load_state_dict": "kedja spells it set_weights(arrays)",
    "named_parameters": "kedja spells it .state.items()",
    "state_dict": "kedja spells it .state, or get_weights() for copies",
    "to": "arrays go to the device of the engine by themselves; dtype= is given when the model is made",
    "train": "how a call is meant is an argument of it: net(x, training=True); fit does it",
    "trainable_variables": "kedja spells it .parameters",
    "trainable_weights": "kedja spells it .parameters",
    "variables": "kedja spells it .state",
    "weights": "kedja spells it .state, or get_weights() for copies",
    "zero_grad": "gradients are graphs and do not pile up: kj.grad(loss, net.parameters)",
}
"""How peers name what we name otherwise: arguments of layers, then attributes."""


def remembering(init: Callable[..., None]) -> Callable[..., None]:
    """`__init__` that notes the arguments of the outermost class: they are the layer's configuration."""
    signature = inspect.signature(init)

    @wraps(init)
    def noted(self: Any, *args: Any, **kwargs: Any) -> None:
        if "_arguments" not in self.__dict__:
            try:
                bound = signature.bind(self, *args, **kwargs)
            except TypeError as error:
                raise foreign(type(self).__name__, signature, kwargs, error) from None
            found = dict(list(bound.arguments.items())[1:])
            for name, parameter in signature.parameters.items():
                if parameter.kind is parameter.VAR_KEYWORD:
                    found.update(found.pop(name, {}))
            self.__dict__["_arguments"] = found
        init(self, *args, **kwargs)

    return noted


def foreign(cls: str, signature: inspect.Signature, given: Any, error: TypeError) -> TypeError:
    """The error for arguments that do not fit: ours for those that peers have, else the names there are."""
    names = [n for n in signature.parameters if n != "self"]
    unknown = [n for n in given if n not in names]
    if not unknown:
        return TypeError(f"{cls}: {error}; it takes {', '.join(names)}")
    return TypeError(
        f"{cls} has no argument {unknown[0]!r}: {ELSEWHERE.get(unknown[0], 'it takes ' + ', '.join(names))}"
    )


def made(build: Callable[..., Any]) -> Callable[..., Any]:
    """`build` that notes it was done, so that a layer built by hand is not built again at its first call."""

    @wraps(build)
    def noted(self: Any, *shapes: Any, **how: Any) -> Any:
        result = build(self, *shapes, **how)
        self.built = True
        return result

    return noted
