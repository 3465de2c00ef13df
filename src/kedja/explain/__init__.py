"""Networks explained: what is done, shown step by step, from the graph that does it.

What a function here gives has `str()`, `_repr_html_()`, `.markdown()`, `.tex()` and `.to_dict()`.
"""

from importlib import import_module
from typing import Any

from kedja.elsewhere import missing
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
from kedja.explain.pictures import HOMES
from kedja.explain.receptive import Sizes, sizes
from kedja.explain.shifting import Shift, shift
from kedja.explain.stepping import Stepper, stepper
from kedja.explain.walkthrough import Walkthrough, backprop
from kedja.explain.words import language

__all__ = [
    "Boundary", "Comparison", "ConvFormulas", "ConvMatrix", "ConvolutionSteps", "CriticalPoints", "Density",
    "Derivation", "Descents", "Example", "ExpressionError", "FeatureMaps", "Filters", "Fits", "GradientCost",
    "GradientSizes", "GraphDrawing", "LossSurface", "Modes", "NetworkDrawing", "Notation", "Paths", "Race", "Rates",
    "Responses", "Shift", "Sizes", "Stepper", "Trail", "Walkthrough", "WidthError", "backprop", "boundary",
    "compare", "conv_formulas", "conv_matrix", "convolution_steps", "critical_points", "density_of_sum", "derive",
    "descents", "draw_graph", "draw_network", "example", "feature_maps", "filters", "fits", "gradient_cost",
    "gradient_sizes", "graph", "language", "loss_surface", "modes", "paths", "race", "rates", "responses", "shift",
    "sizes", "stepper", "width_error",
]  # fmt: skip

_PICTURES = {name: home for home, names in HOMES.items() for name in names}  # loaded when they are first used


def __getattr__(name: str) -> Any:
    if name not in _PICTURES:
        raise missing(__name__, name, __all__)
    found = getattr(import_module(f"kedja.explain.pictures.{_PICTURES[name]}"), name)
    globals()[name] = found
    return found
