"""Activations that look at a whole row: distributions over classes (scope 2.3). They are ops, since losses see them."""

from __future__ import annotations

from kedja.nn.activations.entry import activation
from kedja.ops import log_softmax, softmax

__all__ = ["log_softmax", "softmax"]

activation(
    r"s_i = \frac{e^{x_i}}{\sum_j e^{x_j}}", r"\frac{\partial s_i}{\partial x_j} = s_i (\delta_{ij} - s_j)", "(0, 1)",
    "Bridle 1990", layer="Softmax", elementwise=False,
)(softmax)  # fmt: skip
activation(
    r"x_i - \ln \sum_j e^{x_j}", r"\frac{\partial}{\partial x_j} = \delta_{ij} - s_j", r"(-\infty, 0)", "Bridle 1990",
    layer="LogSoftmax", elementwise=False,
)(log_softmax)  # fmt: skip
