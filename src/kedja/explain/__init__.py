"""Networks explained: what is done, shown step by step, from the graph that does it.

What a function here gives has `str()`, `_repr_html_()`, `.markdown()`, `.tex()` and `.to_dict()`. Names are loaded when
they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

# Where each public name lives. No module or folder of this room has the name of anything public in it: an import would
# put the one in the place of the other.
HOMES: dict[str, tuple[str, ...]] = {
    "words": ("language",),
    "examples": ("Example", "example"),
    "backpropagation.bare": ("graph",),
    "backpropagation.comparison": ("Comparison", "compare"),
    "backpropagation.stepping": ("Stepper", "stepper"),
    "backpropagation.walkthrough": ("Walkthrough", "backprop"),
    "convolution.densities": ("Density", "density_of_sum"),
    "convolution.letters": ("ConvFormulas", "conv_formulas"),
    "convolution.matrix": ("ConvMatrix", "conv_matrix"),
    "convolution.receptive": ("Sizes", "sizes"),
    "convolution.shifting": ("Shift", "shift"),
    "derivatives.derive": ("Derivation", "derive"),
    "derivatives.grammar": ("ExpressionError",),
    "graphs.gradient_cost": ("GradientCost", "gradient_cost"),
    "graphs.modes": ("Modes", "modes"),
    "graphs.paths": ("Paths", "paths"),
    "heatmaps.found": ("HeatMap",),
    "heatmaps.heat": ("heatmap",),
    "minima.critical": ("CriticalPoints", "critical_points"),
    "minima.descents": ("Descents", "descents"),
    "pictures.boundary": ("Boundary", "boundary"),
    "pictures.convolution_steps": ("ConvolutionSteps", "convolution_steps"),
    "pictures.feature_maps": ("FeatureMaps", "Filters", "feature_maps", "filters"),
    "pictures.fits": ("Fits", "fits"),
    "pictures.gradient_sizes": ("GradientSizes", "gradient_sizes"),
    "pictures.graph": ("GraphDrawing", "draw_graph"),
    "pictures.loss_surface": ("LossSurface", "loss_surface"),
    "pictures.network": ("NetworkDrawing", "draw_network"),
    "pictures.race": ("Race", "race"),
    "pictures.rates": ("Rates", "rates"),
    "pictures.responses": ("Responses", "responses"),
    "pictures.trail": ("Trail",),
    "pictures.variants": ("Augmentations", "augmentations"),
    "pictures.width_error": ("WidthError", "width_error"),
    "show.naming": ("Notation",),
}
_HOME = {name: home for home, names in HOMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        from kedja.elsewhere import missing

        raise missing(__name__, name, __all__)
    found = getattr(import_module(f"kedja.explain.{home}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
