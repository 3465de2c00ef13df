"""Layers and models, activations, losses and initialisers, all written on the graph."""

from kedja.nn import activations, initializers, losses
from kedja.nn.layers import Activation, Dense, Denormalize, Flatten, Layer, Normalize, Reshape
from kedja.nn.model import Input, Model, Module, Sequential

__all__ = [
    "Activation", "Dense", "Denormalize", "Flatten", "Input", "Layer", "Model", "Module", "Normalize", "Reshape",
    "Sequential", "activations", "initializers", "losses",
]  # fmt: skip
