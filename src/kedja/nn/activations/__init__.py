"""Activation functions (scope 2.3): by name, as functions on the graph, and, in kj.nn, as layers.

>>> import kedja as kj
>>> kj.activations.swish([0.0, 1e4]).tolist()
[0.0, 10000.0]
>>> entry = kj.activations.TABLE["swish"]
>>> entry.range, entry.monotone, entry.parameters, entry.layer
('[-0.27847, \\\\infty)', False, {'beta': 1.0}, 'Swish')
"""

from kedja.nn.activations.drawing import curve, plot
from kedja.nn.activations.entry import TABLE, Entry
from kedja.nn.activations.gates import gelu, gelu_tanh, glu, hard_swish, mish, softplus, swish
from kedja.nn.activations.names import (
    NAMES,
    STATEFUL,
    Activation,
    Parametrised,
    config_of,
    entry_of,
    get,
    name_of,
)
from kedja.nn.activations.rectifiers import (
    celu,
    elu,
    leaky_relu,
    prelu,
    relu,
    relu6,
    rrelu,
    selu,
    thresholded_relu,
)
from kedja.nn.activations.rows import log_softmax, softmax
from kedja.nn.activations.shrinking import hard_shrink, soft_shrink, tanh_shrink
from kedja.nn.activations.squashing import (
    exponential,
    hard_sigmoid,
    hard_tanh,
    identity,
    log_sigmoid,
    sigmoid,
    softsign,
    step,
    tanh,
)

__all__ = [
    "NAMES", "STATEFUL", "TABLE", "Activation", "Entry", "Parametrised", "celu", "config_of", "curve", "elu",
    "entry_of", "exponential", "gelu", "gelu_tanh", "get", "glu", "hard_shrink", "hard_sigmoid", "hard_swish",
    "hard_tanh", "identity", "leaky_relu", "log_sigmoid", "log_softmax", "mish", "name_of", "plot", "prelu", "relu",
    "relu6", "rrelu", "selu", "sigmoid", "soft_shrink", "softmax", "softplus", "softsign", "step", "swish", "tanh",
    "tanh_shrink", "thresholded_relu",
]  # fmt: skip
