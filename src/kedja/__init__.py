"""kedja: a neural-network library and workbench in which everything can be seen and nothing is slow.

A program builds a computational graph; differentiation turns it into another graph; an engine runs it.

    import kedja as kj
    net = kj.Sequential([kj.nn.Dense(100, activation="sigmoid"), kj.nn.Dense(10)])
    net.fit(x, y, loss="cross_entropy", optimizer="adam", epochs=5)

Names are loaded when they are first used, so that `import kedja` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_ROOMS = ("data", "explain", "nn", "ops", "optim", "zoo")
_SUBROOMS = {
    "activations": "kedja.nn.activations",
    "augment": "kedja.train.augment",
    "callbacks": "kedja.train.callbacks",
    "constraints": "kedja.nn.constraints",
    "initializers": "kedja.nn.initializers",
    "losses": "kedja.nn.losses",
    "metrics": "kedja.train.metrics",
    "onnx": "kedja.formats.onnx",
    "random": "kedja.ops.random",
    "regularizers": "kedja.nn.regularizers",
    "schedules": "kedja.optim.schedules",
}
# Where each public name lives.
_NAMES: dict[str, tuple[str, ...]] = {
    "kedja.graph": (
        "Graph", "Parameter", "State", "Tensor", "Variable", "default_dtype", "get_default_dtype", "name_scope",
        "placeholder", "set_default_dtype", "tensor", "trace",
    ),
    "kedja.ops": (
        "absolute", "add", "all", "any", "arange", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctanh",
        "argmax", "argmin", "argsort", "broadcast_to", "cast", "ceil", "concatenate", "cos", "cosh", "cumsum",
        "divide", "dot", "equal", "exp", "expand_dims", "expm1", "flip", "floor", "floor_divide", "full", "greater",
        "greater_equal", "isfinite", "isnan", "less", "less_equal", "log", "log1p", "log_softmax", "logarithm",
        "logical_and", "logical_not", "logical_or", "logical_xor", "logsumexp", "map", "matmul", "max", "maximum",
        "mean", "min", "minimum", "multiply", "negative", "not_equal", "one_hot", "ones", "pad", "power",
        "reciprocal", "relu", "remainder", "reshape", "round", "scan", "scatter_add", "sigmoid", "sign", "sin",
        "sinh", "softmax", "softplus", "sqrt", "square", "squeeze", "stack", "stop_gradient", "subtract", "sum",
        "take", "take_along_axis", "tan", "tanh", "transpose", "variance", "where", "zeros",
        "clip", "cumprod", "depth_to_space", "diagonal", "einsum", "eye", "fmod", "gather_nd", "isinf", "moveaxis",
        "prod", "put_along_axis", "scatter_nd", "sort", "space_to_depth", "split", "tile", "top_k", "tril", "triu",
        "conv", "conv_transpose", "convolve", "correlate", "erf", "max_pool", "mean_pool", "output_size", "sum_pool",
    ),
    "kedja.diff": (
        "GradientCheck", "check_gradients", "custom_gradient", "grad", "hessian", "hvp", "jacobian", "jvp",
        "numeric_gradient", "simplify", "value_and_grad", "vjp",
    ),
    "kedja.engines": ("compile",),
    "kedja.explain": ("critical_points", "paths"),
    "kedja.nn": ("Input", "Model", "Module", "Sequential"),
    "kedja.train.cross_validation": ("cross_validate",),
    "kedja.train.ensemble": ("Ensemble",),
    "kedja.train.learning_curve": ("learning_curve",),
    "kedja.train": ("History", "check", "find_learning_rate", "overfit_one_batch"),
    "kedja.formats": ("load",),
}  # fmt: skip
_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted([*_ROOMS, *_SUBROOMS, *_HOME])


def _elsewhere(name: str) -> str | None:
    """Where a name lives that was looked for at the top; layers are looked for most often."""
    if not name[:1].isupper():
        return None
    if name in import_module("kedja.nn").__all__:
        return f"layers live in kj.nn: kj.nn.{name}"
    rooms = {"data": "kedja.data", "optim": "kedja.optim", **_SUBROOMS}
    homes = (room for room, module in rooms.items() if name in getattr(import_module(module), "__all__", ()))
    return next((f"it lives in kj.{room}: kj.{room}.{name}" for room in homes), None)


def __getattr__(name: str) -> Any:
    home = _HOME.get(name) or _SUBROOMS.get(name) or (f"kedja.{name}" if name in _ROOMS else None)
    if home is None:
        from kedja.elsewhere import missing

        raise missing("kedja", name, __all__, _elsewhere(name))
    # A tensor needs its operators and its value, a model its `fit`.
    for room in ("kedja.diff", "kedja.engines", "kedja.train"):
        if room != "kedja.train" or home.startswith("kedja.nn"):
            import_module(room)
    found = getattr(import_module(home), name) if name in _HOME else import_module(home)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
