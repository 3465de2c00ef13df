"""Networks explained: what is done, shown step by step, from the graph that does it.

What a function here gives has `str()`, `_repr_html_()`, `.markdown()`, `.tex()` and `.to_dict()`. Names are loaded when
they are first used.
"""

from __future__ import annotations

from kedja.rooms import lazily

# Where each public name lives.
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
__all__ = sorted(name for names in HOMES.values() for name in names)
__getattr__, __dir__ = lazily(__name__, HOMES)
