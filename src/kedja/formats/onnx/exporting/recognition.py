"""Several ops that are one ONNX operator: found before anything is written, and turned into one site.

Three ways. Layers say what they are (normalisations). A function is recognised by its own graph: it is traced for
an input of the same shape and compared node by node (activations). The rest is arithmetic of a few sites: x W + b,
a convolution and its bias, a sum divided by its number of terms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from kedja.formats.onnx.exporting.sites import Body, Called, Site, Traced
from kedja.formats.onnx.exporting.writer import reached
from kedja.graph.node import CONSTANT, Tensor
from kedja.graph.shapes import as_axes, as_axis
from kedja.graph.trace import trace
from kedja.nn import activations
from kedja.nn.layers import BatchNorm, LayerNorm
from kedja.ops import log_softmax
from kedja.ops.windows import Windows, real_places

__all__ = ["recognise"]


def recognise(model: Traced, opset: int) -> None:
    """Change the sites of the model in place."""
    _graph(model, model.outputs, opset)


def _graph(model: Traced, outputs: Sequence[Site], opset: int) -> None:
    for site in reversed(reached(outputs)):  # users first: what they take over is not looked at again
        _layer(model, site) or _function(model, site, opset)
    order = reached(outputs)
    uses = Counter(above for site in order for above in site.inputs)
    uses.update(outputs)
    for site in order:
        for rule in RULES.get(site.op, ()):
            if rule(site, uses):
                break
    for site in reached(outputs):
        body = site.attrs.get("body")
        if isinstance(body, Body):
            _graph(model, body.outputs, opset)


# --- layers ---------------------------------------------------------------------------------------------------------
def _layer(model: Traced, site: Site) -> bool:
    call = model.calls.get(site.node)
    if call is None or site.op in ("input", "step"):
        return False
    if type(call.layer) is BatchNorm:
        return _batch_norm(model, site, call)
    return type(call.layer) is LayerNorm and _layer_norm(model, site, call)


def _batch_norm(model: Traced, site: Site, call: Called) -> bool:
    """As an operator for rows, and for images that come from convolutions: elsewhere transposes would be added."""
    norm: Any = call.layer
    x = model.site_of.get(call.inputs[0])
    if x is None or norm.mean.dtype != site.dtype or site.op == "batch_norm":
        return False
    axis = as_axis(norm.axis, x.ndim)
    if axis not in (1, x.ndim - 1) or (axis != 1 and not _from_windows(x)):
        return False
    parts = [_weight(model, site, v, fill, norm.features) for v, fill in ((norm.gamma, 1), (norm.beta, 0))]
    parts += [_weight(model, site, norm.mean, 0, norm.features), _weight(model, site, norm.variance, 1, norm.features)]
    site.become("batch_norm", [x, *parts], axis=axis, epsilon=norm.epsilon)
    return True


WINDOWED = ("batch_norm", "concatenate", "conv", "conv_transpose", "max_pool", "sum_pool")


def _from_windows(x: Site) -> bool:
    """Whether x is laid out channels first anyway: behind a convolution or pooling nothing has changed its shape."""
    while x.inputs and x.op not in WINDOWED:
        if x.inputs[0].shape != x.shape:
            return False
        x = x.inputs[0]
    return x.op in WINDOWED


def _layer_norm(model: Traced, site: Site, call: Called) -> bool:
    norm: Any = call.layer
    x = model.site_of.get(call.inputs[0])
    if x is None or site.op == "layer_norm":
        return False
    axes = as_axes(norm.axis, x.ndim)
    if axes != tuple(range(min(axes), x.ndim)):
        return False
    parts = [_weight(model, site, norm.gamma, 1, norm.sizes)]
    if norm.beta is not None:
        parts.append(_weight(model, site, norm.beta, 0, norm.sizes))
    site.become("layer_norm", [x, *parts], axis=min(axes), epsilon=norm.epsilon)
    return True


def _weight(model: Traced, site: Site, variable: Any, fill: float, sizes: Any) -> Site:
    """The site of a variable, or of a constant where the layer has none."""
    if variable is not None and variable in model.site_of:
        return model.site_of[variable]
    if variable is not None:
        raise AssertionError(f"{variable!r} is not on the graph")
    return _constant(site, np.full(sizes, fill, site.dtype))


def _constant(site: Site, value: Any) -> Site:
    """A constant that belongs to the layer of a site."""
    return Site("constant", (), {"value": value}, value.shape, site.dtype, site.layer, site.node)


# --- functions, by their graphs -------------------------------------------------------------------------------------
class Form(NamedTuple):
    """A function ONNX has: the op its graph ends with, the function, the operator, its attributes, since when.

    `numbers` are attributes that the function takes as further arguments: constants of any value stand for them.
    """

    ends: str
    function: Callable[..., Tensor]
    operator: str
    attrs: dict[str, Any]
    since: int = 1
    numbers: tuple[str, ...] = ()
    further: tuple[float, ...] = ()  # inputs after the first


FORMS = [
    Form("multiply", activations.gelu, "Gelu", {}, 20),
    Form("multiply", activations.gelu_tanh, "Gelu", {"approximate": "tanh"}, 20),
    Form("multiply", activations.mish, "Mish", {}, 18),
    Form("multiply", activations.hard_swish, "HardSwish", {}, 14),
    Form("multiply", activations.selu, "Selu", {}),
    Form("add", activations.elu, "Elu", {}, numbers=("alpha",)),
    Form("where", activations.hard_sigmoid, "HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    Form("where", activations.relu6, "Clip", {}, further=(0.0, 6.0)),
    Form("where", activations.hard_tanh, "Clip", {}, further=(-1.0, 1.0)),
    Form("where", activations.softsign, "Softsign", {}),
    Form("where", activations.leaky_relu, "LeakyRelu", {}, numbers=("alpha",)),
    Form("where", activations.thresholded_relu, "ThresholdedRelu", {}, numbers=("alpha",)),
]


def _function(model: Traced, site: Site, opset: int) -> bool:
    if site.dtype.name != "float32" or not site.node.shape or not site.node.inputs:
        return False
    for form in FORMS:
        if form.ends == site.op and form.since <= opset and _matched(model, site, form):
            return True
    if site.op != "subtract" or site.inputs[1].op != "log":
        return False
    rows = (Form("subtract", partial(log_softmax, axis=a), "LogSoftmax", {"axis": a}) for a in range(site.ndim))
    return any(_matched(model, site, form) for form in rows)


def _matched(model: Traced, site: Site, form: Form) -> bool:
    spec = (site.node.shape, site.node.dtype)
    graph = trace(form.function, [spec, *(((), site.node.dtype) for _ in form.numbers)])
    bound = _bound(graph.outputs[0], site.node, graph.inputs)
    if bound is None or bound[0] not in model.site_of or any(n.op is not CONSTANT for n in bound[1:]):
        return False
    numbers = {k: float(n.attrs["value"]) for k, n in zip(form.numbers, bound[1:], strict=True)}
    further = [_constant(site, np.array(v, site.dtype)) for v in form.further]
    site.become("recognised", [model.site_of[bound[0]], *further], operator=form.operator, **form.attrs, **numbers)
    return True


def _bound(pattern: Tensor, node: Tensor, holes: Sequence[Tensor]) -> list[Tensor] | None:
    """The nodes that stand where the pattern has its inputs, if the two graphs are alike otherwise."""
    found, given = dict[Tensor, Tensor](), set(holes)
    stack, seen = [(pattern, node)], set[tuple[Tensor, Tensor]]()
    while stack:
        a, b = stack.pop()
        if (a, b) in seen:
            continue
        seen.add((a, b))
        if a in given:
            if a.shape != b.shape or (found.setdefault(a, b) is not b and not _equal(found[a], b)):
                return None
        elif a.op is not b.op or a.shape != b.shape or len(a.inputs) != len(b.inputs):
            return None
        elif a.op is CONSTANT:
            if not _equal(a, b):
                return None
        elif any(a.attrs[k] != b.attrs[k] for k in a.attrs if not callable(a.attrs[k])):
            return None
        else:
            stack.extend(zip(a.inputs, b.inputs, strict=True))
    return [found[hole] for hole in holes] if len(found) == len(holes) else None


def _equal(a: Tensor, b: Tensor) -> bool:
    """Whether two nodes are constants of one value."""
    both = a.op is CONSTANT and b.op is CONSTANT
    return both and np.array_equal(a.attrs["value"], b.attrs["value"], equal_nan=a.dtype.kind == "f")


# --- arithmetic -----------------------------------------------------------------------------------------------------
Uses = Counter[Site]
Rule = Callable[[Site, Uses], bool]


def _kept(site: Site, uses: Uses) -> bool:
    """A reduction whose axes are put back as 1."""
    (x,) = site.inputs
    if x.op not in ("sum", "max", "min", "mean") or x.attrs.get("keepdims") or uses[x] > 1 or not x.attrs["axes"]:
        return False
    before = x.inputs[0].shape
    if site.shape != tuple(1 if i in x.attrs["axes"] else n for i, n in enumerate(before)):
        return False
    site.become(x.op, x.inputs, axes=x.attrs["axes"], keepdims=True)
    return True


def _product_of_rows(site: Site, uses: Uses) -> bool:
    """(…, k) laid flat, multiplied by a matrix, and put back: ONNX multiplies stacks of matrices as they are."""
    (y,) = site.inputs
    if y.op != "matmul" or uses[y] > 1 or y.ndim != 2:
        return False
    rows, matrix = y.inputs
    x = rows.inputs[0] if rows.op == "reshape" else rows
    if x.ndim < 2 or matrix.ndim != 2 or (*x.shape[:-1], matrix.shape[1]) != site.shape:
        return False
    site.become("matmul", [x, matrix])
    return True


def _mean(site: Site, uses: Uses) -> bool:
    """A sum divided by how many it is of: over axes, or over windows."""
    total, n = site.inputs
    value = n.attrs.get("value") if n.op == "constant" else None
    if value is None or uses[total] > 1 or total.shape != site.shape:
        return False
    if total.op == "sum" and value.ndim == 0:
        sizes = [total.inputs[0].shape[a] for a in total.attrs["axes"]]
        if all(isinstance(k, int) for k in sizes) and sizes and value == np.prod([int(str(k)) for k in sizes]):
            site.become("mean", total.inputs, **total.attrs)
            return True
    if total.op == "sum_pool":
        x, attrs = total.inputs[0], dict(total.attrs)
        if value.ndim == 0 and value == np.prod(attrs["size"]):
            site.become("mean_pool", [x], count_padding=True, **attrs)
            return True
        counts = np.ones(())
        for table in real_places(tuple(int(str(k)) for k in x.shape[1:-1]), Windows(**attrs)):
            counts = counts[..., None] * table.sum(1)
        if value.shape == (1, *counts.shape, 1) and np.array_equal(value[0, ..., 0], counts):
            site.become("mean_pool", [x], count_padding=False, **attrs)
            return True
    return False


def _bias(site: Site, uses: Uses) -> bool:
    """What is added to a product or a convolution, one number for each unit or channel."""
    for y, b in (site.inputs, site.inputs[::-1]):
        if y.op not in ("matmul", "conv", "conv_transpose") or uses[y] > 1 or b.ndim != 1 or b.known() is None:
            continue
        if b.shape != site.shape[-1:] or y.shape != site.shape or len(y.inputs) > 2:
            continue
        if y.op != "matmul":
            site.become(y.op, [*y.inputs, b], **y.attrs)
            return True
        if all(x.ndim == 2 for x in y.inputs) and site.dtype.kind == "f":
            site.become("gemm", [*y.inputs, b])
            return True
    return False


RULES: dict[str, tuple[Rule, ...]] = {
    "add": (_bias,),
    "divide": (_mean,),
    "reshape": (_kept, _product_of_rows),
}
