"""Writers of ops that fold axes away, of order, and of matrix products."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from kedja.formats.onnx.exporting.sites import Site
from kedja.formats.onnx.exporting.writer import Writer, writes

REDUCTIONS = {"sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax", "min": "ReduceMin"}


@writes(*REDUCTIONS)
def reduce(w: Writer, s: Site) -> str:
    """With `keepdims` where recognition found that the axes are put back."""
    axes = s.attrs["axes"]
    if not axes:
        return w.of(s.inputs[0])
    x = w.of(s.inputs[0])
    return w.add(REDUCTIONS[s.op], x, w.whole(*axes), keepdims=int(s.attrs.get("keepdims", False)))


@writes("all", "any")
def truth(w: Writer, s: Site) -> str:
    """The smallest or largest of 0 and 1."""
    x = w.of(s.inputs[0])
    if not s.attrs["axes"]:
        return x
    counted = w.add("Cast", x, to=int(TensorProto.INT32))
    op = "ReduceMin" if s.op == "all" else "ReduceMax"
    return w.add("Cast", w.add(op, counted, w.whole(*s.attrs["axes"]), keepdims=0), to=int(TensorProto.BOOL))


@writes("argmax", "argmin")
def place(w: Writer, s: Site) -> str:
    op = "ArgMax" if s.op == "argmax" else "ArgMin"
    return w.add(op, w.of(s.inputs[0]), axis=s.attrs["axis"], keepdims=0)


@writes("argsort")
def argsort(w: Writer, s: Site) -> str:
    """All of them, the smallest first; of equals the first comes first."""
    x, axis = s.inputs[0], s.attrs["axis"]
    given = w.of(x) if x.dtype.kind in "fi" else w.add("Cast", w.of(x), to=int(TensorProto.INT64))
    _, order = w.add_many("TopK", [given, w.sizes([x.shape[axis]])], 2, axis=axis, largest=0, sorted=1)
    return order


@writes("cumsum")
def cumsum(w: Writer, s: Site) -> str:
    return w.add("CumSum", w.of(s.inputs[0]), w.constant(s.attrs["axis"], np.int64))


@writes("matmul")
def matmul(w: Writer, s: Site) -> str:
    return w.add("MatMul", *map(w.of, s.inputs))


@writes("gemm")
def gemm(w: Writer, s: Site) -> str:
    """x W + b, found by recognition."""
    return w.add("Gemm", *map(w.of, s.inputs))


@writes("layer_norm")
def layer_norm(w: Writer, s: Site) -> str:
    """Recognised: (x, γ, β) over the last axes."""
    return w.add("LayerNormalization", *map(w.of, s.inputs), axis=s.attrs["axis"], epsilon=s.attrs["epsilon"])
