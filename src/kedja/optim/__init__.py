"""Optimisers: rules that say how parameters move, given their gradients."""

from typing import Any

from kedja.elsewhere import missing
from kedja.optim.adam import Adam, Adamax, AdamW, Lion
from kedja.optim.adaptive import Adadelta, Adagrad, RMSProp
from kedja.optim.averaging import averaged
from kedja.optim.clipping import clip_each_norm, clip_norm, clip_value, global_norm
from kedja.optim.lbfgs import LBFGS
from kedja.optim.minimizer import Minimizer, Point
from kedja.optim.minimum import Minimum, minimize
from kedja.optim.optimizer import Optimizer, Slots, Step
from kedja.optim.registry import get
from kedja.optim.rules import SGD, GradientDescent, Momentum, Nesterov
from kedja.optim.search import BruteForce, RandomSearch

__all__ = [
    "LBFGS", "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "BruteForce", "GradientDescent", "Lion",
    "Minimizer", "Minimum", "Momentum", "Nesterov", "Optimizer", "Point", "RMSProp", "RandomSearch", "Slots",
    "Step", "averaged", "clip_each_norm", "clip_norm", "clip_value", "get", "global_norm", "minimize",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    raise missing(__name__, name, __all__)
