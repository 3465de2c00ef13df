"""Networks explained: what is done, shown step by step, from the graph that does it.

What a function here gives has `str()`, `_repr_html_()`, `.markdown()`, `.tex()` and `.to_dict()`.
"""

from kedja.explain.bare import graph
from kedja.explain.comparison import Comparison, compare
from kedja.explain.convolution import ConvFormulas, conv_formulas
from kedja.explain.critical import CriticalPoints, critical_points
from kedja.explain.densities import Density, density_of_sum
from kedja.explain.derive import Derivation, derive
from kedja.explain.descents import Descents, descents
from kedja.explain.examples import Example, example
from kedja.explain.gradient_cost import GradientCost, gradient_cost
from kedja.explain.grammar import ExpressionError
from kedja.explain.matrix import ConvMatrix, conv_matrix
from kedja.explain.modes import Modes, modes
from kedja.explain.naming import Notation
from kedja.explain.paths import Paths, paths
from kedja.explain.receptive import Sizes, sizes
from kedja.explain.shifting import Shift, shift
from kedja.explain.stepping import Stepper, stepper
from kedja.explain.walkthrough import Walkthrough, backprop
from kedja.explain.words import language

__all__ = [
    "Comparison", "ConvFormulas", "ConvMatrix", "CriticalPoints", "Density", "Derivation", "Descents", "Example",
    "ExpressionError", "GradientCost", "Modes", "Notation", "Paths", "Shift", "Sizes", "Stepper", "Walkthrough",
    "backprop", "compare", "conv_formulas", "conv_matrix", "critical_points", "density_of_sum", "derive", "descents",
    "example", "gradient_cost", "graph", "language", "modes", "paths", "shift", "sizes", "stepper",
]  # fmt: skip
