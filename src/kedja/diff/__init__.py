"""Differentiation: it takes a graph and gives a graph (scope 1.4, 1.5)."""

from kedja.diff import loops  # noqa: F401  (lends scan and map their rules)
from kedja.diff.custom import custom_gradient
from kedja.diff.gradients import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
from kedja.diff.numeric import GradientCheck, check_gradients, numeric_gradient
from kedja.diff.simplify import simplify

__all__ = [
    "GradientCheck",
    "check_gradients",
    "custom_gradient",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "numeric_gradient",
    "simplify",
    "value_and_grad",
    "vjp",
]
