"""Networks explained: what is done, shown step by step, from the graph that does it.

What a function here gives has `str()`, `_repr_html_()`, `.markdown()`, `.tex()` and `.to_dict()`.
"""

from kedja.explain.convolution import ConvFormulas, conv_formulas
from kedja.explain.densities import Density, density_of_sum
from kedja.explain.matrix import ConvMatrix, conv_matrix
from kedja.explain.receptive import Sizes, sizes
from kedja.explain.shifting import Shift, shift

__all__ = [
    "ConvFormulas", "ConvMatrix", "Density", "Shift", "Sizes", "conv_formulas", "conv_matrix", "density_of_sum",
    "shift", "sizes",
]  # fmt: skip
