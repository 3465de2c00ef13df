"""The layers, one family a file."""

from kedja.nn.layers import config  # noqa: F401  (lends layers their configuration)
from kedja.nn.layers.dense import Dense
from kedja.nn.layers.layer import Layer
from kedja.nn.layers.scaling import Denormalize, Normalize
from kedja.nn.layers.shape import Activation, Flatten, Reshape

__all__ = ["Activation", "Denormalize", "Dense", "Flatten", "Layer", "Normalize", "Reshape"]
