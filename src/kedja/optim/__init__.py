"""Optimisers: rules that say how parameters move, given their gradients."""

from kedja.optim.rules import SGD, Adam, GradientDescent, Momentum, Optimizer, Step, get

__all__ = ["SGD", "Adam", "GradientDescent", "Momentum", "Optimizer", "Step", "get"]
