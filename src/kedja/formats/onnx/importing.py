"""`kj.onnx.load`: an ONNX file as a model that can be trained."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import onnx

from kedja.errors import FormatError
from kedja.formats.onnx import operators  # noqa: F401  (fills the table)
from kedja.formats.onnx.graph import inlined, refuse_unknown
from kedja.formats.onnx.model import OnnxModel, names_in
from kedja.formats.onnx.preparing import prepared
from kedja.formats.onnx.reading import read

__all__ = ["load"]


def load(
    source: str | os.PathLike[str] | bytes | onnx.ModelProto, *, trainable: bool | Iterable[str] = True,
    outputs: str | Sequence[str] | None = None, channels_last: bool = False, dtype: Any = None, name: str | None = None,
) -> OnnxModel:  # fmt: skip
    """The model in an ONNX file, to predict with, to look into, and to train further.

    Its weights are parameters under the names they have in the file: floating-point initializers and constants that go
    into a Conv, Gemm, MatMul, LSTM, a normalisation and the like, and those added or multiplied behind the first of
    these. Running means and variances are statistics. `trainable`: True, False (all frozen) or the names of what
    learns. `outputs`: values or nodes inside at which the model is to end. `channels_last`: images come (N, H, W, C).
    `dtype`: "float32" or "float64" for all floats of the file.

    Raises FormatError for a file that is damaged or unsafe, and for operators that kedja has not, each with its node
    and what comes nearest.
    """
    model = inlined(read(source))
    refuse_unknown(model)
    for entry in model.graph.input:
        if not entry.type.HasField("tensor_type"):
            raise FormatError(f"the input {entry.name!r} is no tensor; kj.onnx.prepare runs such models")
    return OnnxModel(
        prepared(model, None if outputs is None else names_in(outputs), dtype), trainable, channels_last, name
    )
