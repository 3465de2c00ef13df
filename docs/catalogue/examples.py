"""One example of each item that its arguments alone do not give: what its picture is drawn from.

An item that is not named here is tried with what usually fits; if nothing does, its page says that there is no picture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import kedja as kj

__all__ = ["LAYERS", "LOSSES", "METRICS", "RATES", "SCHEDULES", "USUAL", "Layer"]


class Layer(NamedTuple):
    """A layer and the shapes of its inputs; `training` where that is of interest; `by` a parameter, or "y", not x."""

    make: Callable[[], Any]
    shapes: tuple[tuple[int, ...], ...]
    training: bool = False
    by: str = ""


def of(make: Callable[[], Any], *shapes: tuple[int, ...], **how: Any) -> Layer:
    """The same, written shortly."""
    return Layer(make, shapes, **how)


ROW, STEPS, IMAGE = (1, 8), (1, 8, 2), (1, 5, 5, 1)
nn = kj.nn
LAYERS: dict[str, Layer] = {
    "Activation": of(lambda: nn.Activation("tanh"), ROW),
    "Add": of(nn.Add, ROW, ROW),
    "AlphaDropout": of(lambda: nn.AlphaDropout(0.3), ROW, training=True),
    "Arithmetic": of(lambda: kj.nn.functional.Arithmetic("multiply"), ROW, ROW),
    "Average": of(nn.Average, ROW, ROW),
    "AveragePool1D": of(lambda: nn.AveragePool1D(3, stride=2), (1, 11, 1)),
    "AveragePool2D": of(nn.AveragePool2D, (1, 4, 6, 1)),
    "AveragePool3D": of(nn.AveragePool3D, (1, 2, 4, 4, 1)),
    "BatchNorm": of(nn.BatchNorm, (6, 2), training=True),
    "Bidirectional": of(lambda: nn.Bidirectional(nn.SimpleRNN(2, return_sequences=True)), (1, 5, 2)),
    "CategoryEmbedding": of(lambda: nn.CategoryEmbedding([0, 1, 2, 3], 2), (1, 4), by="table"),
    "CategoryEncoding": of(lambda: nn.CategoryEncoding([1, 2, 3]), (4,), by="y"),
    "Columns": of(lambda: table_front(), (1, 3)),
    "Concatenate": of(nn.Concatenate, (1, 5), (1, 3)),
    "Conv1D": of(lambda: nn.Conv1D(1, 3), (1, 12, 1)),
    "Conv2D": of(lambda: nn.Conv2D(1, 3), IMAGE),
    "Conv3D": of(lambda: nn.Conv3D(1, 2), (1, 3, 3, 3, 1)),
    "ConvTranspose1D": of(lambda: nn.ConvTranspose1D(1, 3, stride=2), (1, 5, 1)),
    "ConvTranspose2D": of(lambda: nn.ConvTranspose2D(1, 2, stride=2), (1, 2, 3, 1)),
    "ConvTranspose3D": of(lambda: nn.ConvTranspose3D(1, 2), (1, 2, 2, 2, 1)),
    "Crop": of(lambda: nn.Crop(1), (1, 8, 2)),
    "Cutout": of(lambda: nn.Cutout(0.4), IMAGE, training=True),
    "Dense": of(lambda: nn.Dense(5, "tanh"), ROW),
    "DepthwiseConv1D": of(lambda: nn.DepthwiseConv1D(3), (1, 7, 2)),
    "DepthwiseConv2D": of(lambda: nn.DepthwiseConv2D(2), (1, 3, 4, 2)),
    "Dot": of(nn.Dot, (2, 4), (2, 4)),
    "Dropout": of(lambda: nn.Dropout(0.4), (1, 12), training=True),
    "Embedding": of(lambda: nn.Embedding(6, 2), (1, 4), by="table"),
    "Flatten": of(nn.Flatten, (1, 3, 3)),
    "GaussianDropout": of(lambda: nn.GaussianDropout(0.4), (1, 12), training=True),
    "GaussianNoise": of(lambda: nn.GaussianNoise(0.1), (1, 12), training=True),
    "GlobalAveragePool": of(nn.GlobalAveragePool, (1, 6, 2)),
    "GlobalMaxPool": of(nn.GlobalMaxPool, (1, 6, 2)),
    "GroupNorm": of(lambda: nn.GroupNorm(2), (1, 3, 4)),
    "GRU": of(lambda: nn.GRU(2, return_sequences=True), (1, 6, 2)),
    "Impute": of(lambda: nn.Impute(indicator=[0, 2]), ROW),
    "InstanceNorm": of(nn.InstanceNorm, (1, 6, 2)),
    "Lambda": of(lambda: nn.Lambda(lambda x: x * kj.flip(x, 1)), ROW),
    "LayerNorm": of(nn.LayerNorm, (2, 6)),
    "LearnedPositionalEncoding": of(lambda: nn.LearnedPositionalEncoding(4), (1, 4, 2)),
    "LSTM": of(lambda: nn.LSTM(2, return_sequences=True), (1, 6, 2)),
    "Maximum": of(nn.Maximum, ROW, ROW),
    "MaxPool1D": of(lambda: nn.MaxPool1D(3, stride=2), (1, 11, 1)),
    "MaxPool2D": of(nn.MaxPool2D, (1, 4, 6, 1)),
    "MaxPool3D": of(nn.MaxPool3D, (1, 2, 4, 4, 1)),
    "Minimum": of(nn.Minimum, ROW, ROW),
    "Model": of(lambda: branches(), (1, 6)),
    "MultiHeadAttention": of(lambda: nn.MultiHeadAttention(2, causal=True), (1, 6, 4)),
    "Multiply": of(nn.Multiply, ROW, ROW),
    "Normalize": of(lambda: adapted(nn.Normalize()), ROW),
    "Denormalize": of(lambda: adapted(nn.Denormalize()), ROW),
    "OneHot": of(lambda: nn.OneHot(4), (4,), by="y"),
    "Pad": of(lambda: nn.Pad(1), (1, 6, 2)),
    "Perceptron": of(lambda: nn.Perceptron(3, init="normal"), ROW),
    "Permute": of(lambda: nn.Permute((2, 1)), (1, 3, 4)),
    "PositionalEncoding": of(nn.PositionalEncoding, (1, 4, 2)),
    "PReLU": of(nn.PReLU, (1, 10)),
    "Rescale": of(lambda: nn.Rescale(0.5, 1.0), ROW),
    "Reshape": of(lambda: nn.Reshape((3, 3)), (1, 9)),
    "RandomAffine": of(lambda: nn.RandomAffine(40, 0.1, 0.3, 20), IMAGE, training=True),
    "RandomBrightness": of(lambda: nn.RandomBrightness(0.3), (3, 3), training=True),
    "RandomContrast": of(lambda: nn.RandomContrast(0.5), (1, 8, 2), training=True),
    "RandomCrop": of(lambda: nn.RandomCrop(3), IMAGE, training=True),
    "RandomFlip": of(lambda: nn.RandomFlip("time"), (3, 5, 1), training=True),
    "RandomGain": of(lambda: nn.RandomGain(1.0), (3, 3), training=True),
    "RandomRotation": of(lambda: nn.RandomRotation(60), IMAGE, training=True),
    "RandomShear": of(lambda: nn.RandomShear(40), IMAGE, training=True),
    "RandomShift": of(lambda: nn.RandomShift(0.3), (1, 10, 1), training=True),
    "RandomZoom": of(lambda: nn.RandomZoom(0.8), (1, 10, 1), training=True),
    "Branches": of(lambda: nn.Branches([nn.Identity(), nn.Dense(3, init="normal")]), ROW),
    "Residual": of(lambda: nn.Residual(nn.Dense(8, init="normal")), ROW),
    "RMSNorm": of(nn.RMSNorm, (2, 6)),
    "RReLU": of(nn.RReLU, (1, 10), training=True),
    "SeparableConv1D": of(lambda: nn.SeparableConv1D(2, 3), (1, 7, 2)),
    "SeparableConv2D": of(lambda: nn.SeparableConv2D(2, 2), (1, 3, 4, 2)),
    "Sequential": of(lambda: kj.Sequential([nn.Conv1D(1, 3, "tanh"), nn.MaxPool1D(2)]), (1, 12, 1)),
    "SimpleRNN": of(lambda: nn.SimpleRNN(2, return_sequences=True), (1, 6, 2)),
    "Subtract": of(nn.Subtract, ROW, ROW),
    "Tied": of(lambda: nn.Tied(nn.Dense(4), 8), (1, 4)),
    "Upsample": of(nn.Upsample, (1, 4, 2)),
}
USUAL = (ROW, STEPS, IMAGE)


def branches() -> Any:
    """A model with a branch and a skip."""
    x = kj.Input((6,))
    return kj.Model(x, nn.Concatenate()(nn.Dense(3, "tanh")(x), x))


def adapted(layer: Any) -> Any:
    """A layer that has seen columns of several spreads."""
    layer.adapt(np.random.default_rng(0).normal(size=(50, 8)) * np.linspace(0.5, 2, 8))
    return layer


def table_front() -> Any:
    """The front of a model for a small table."""
    return nn.Columns().adapt({"area": [50, 70, None, 90], "rooms": [1, 2, 2, 3], "town": ["Lund", "Umeå"] * 2})


class Loss(NamedTuple):
    """The target and the other outputs of a row, and how far the output that is drawn runs."""

    target: Any
    others: tuple[float, ...] = ()
    low: float = -3.0
    high: float = 3.0
    told: str = "t = 0"


LOSSES: dict[str, Loss] = {
    "binary_cross_entropy": Loss([1.0], told="t = 1, the output is a logit"),
    "categorical_hinge": Loss([1.0, 0.0], (0.0,), told="class 0 is right, y = (x, 0)"),
    "cosine_distance": Loss([1.0, 0.0], (1.0,), told="t = (1, 0), y = (x, 1)"),
    "cross_entropy": Loss([1.0, 0.0], (0.0,), told="class 0 is right, the logits are (x, 0)"),
    "hinge": Loss([1.0], told="t = 1"),
    "huber": Loss([0.0], told="t = 0, δ = 1"),
    "kl_divergence": Loss([0.8, 0.2], (0.0,), told="t = (0.8, 0.2), the logits are (x, 0)"),
    "poisson": Loss([2.0], (), 0.2, 6.0, "t = 2"),
    "squared_hinge": Loss([1.0], told="t = 1"),
}

METRICS: dict[str, Callable[[], Any]] = {"top_k": lambda: kj.metrics.TopK(2)}
"""Made with other arguments than those it starts with."""

RATES: dict[str, dict[str, float]] = {
    "Adadelta": {"learning_rate": 20.0},
    "Adagrad": {"learning_rate": 0.6},
    "Adam": {"learning_rate": 0.25},
    "AdamW": {"learning_rate": 0.25},
    "Adamax": {"learning_rate": 0.3},
    "BruteForce": {"radius": 0.5},
    "GradientDescent": {"learning_rate": 0.14},
    "LBFGS": {},
    "Lion": {"learning_rate": 0.08},
    "Momentum": {"learning_rate": 0.03, "momentum": 0.8},
    "Nesterov": {"learning_rate": 0.03, "momentum": 0.8},
    "RMSProp": {"learning_rate": 0.12},
    "RandomSearch": {"radius": 0.5},
    "SGD": {"learning_rate": 0.08},
}
"""The numbers with which each optimiser goes down the valley of its picture."""

SCHEDULES: dict[str, Any] = {
    "boundaries": [30, 60],
    "every": 20,
    "factor": 0.5,
    "peak": 0.1,
    "rate": 0.1,
    "rates": [0.1, 0.05, 0.01],
    "schedule": kj.schedules.Cosine(0.1, 80),
    "schedules": [0.05, kj.schedules.Cosine(0.1, 30), 0.02],
    "steps": 20,
}
"""What stands for the arguments of a schedule that have no default, by their names; `factor` where it halves."""
