"""Layers and models, activations, losses and initialisers, all written on the graph."""

from typing import Any

from kedja.elsewhere import missing
from kedja.nn import activations, constraints, initializers, layers, losses, regularizers, survey  # noqa: F401
from kedja.nn.functional import Input, Model
from kedja.nn.layers import *  # noqa: F403
from kedja.nn.model import Module, Sequential
from kedja.nn.summary import Summary

__all__ = ["Input", "Model", "Module", "Sequential", "Summary"]
__all__ += ["activations", "constraints", "initializers", "losses", "regularizers"]
__all__ += layers.__all__
__all__.sort()


def __getattr__(name: str) -> Any:
    raise missing(__name__, name, __all__)
