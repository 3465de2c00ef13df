"""Layers and models, activations, losses and initialisers, all written on the graph."""

from kedja.nn import activations, initializers, losses
from kedja.nn.functional import Input, Model
from kedja.nn.layers import Activation, Denormalize, Dense, Flatten, Layer, Normalize, Reshape
from kedja.nn.model import Module, Sequential
from kedja.nn.summary import Summary

__all__ = [
    "Activation",
    "Denormalize",
    "Dense",
    "Flatten",
    "Input",
    "Layer",
    "Model",
    "Module",
    "Normalize",
    "Reshape",
    "Sequential",
    "Summary",
    "activations",
    "initializers",
    "losses",
]  # fmt: skip
