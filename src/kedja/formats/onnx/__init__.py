"""ONNX: its operators in terms of kedja's ops, and a backend that runs ONNX models with them.

Operators stand in files by family, one function each, in the table `OPERATORS`. `translate` turns one node into nodes
of a graph; `Backend` is what ONNX's own conformance suite talks to. Needs the package onnx: pip install 'kedja[onnx]'.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from kedja.errors import KedjaError

_HOME = {
    "Backend": "kedja.formats.onnx.backend",
    "Prepared": "kedja.formats.onnx.backend",
    "OPERATORS": "kedja.formats.onnx.operators",
    "OnnxModel": "kedja.formats.onnx.model",
    "Saved": "kedja.formats.onnx.exporting.saving",
    "check": "kedja.formats.onnx.exporting.saving",
    "load": "kedja.formats.onnx.importing",
    "prepare": "kedja.formats.onnx.backend",
    "run_model": "kedja.formats.onnx.backend",
    "save": "kedja.formats.onnx.exporting.saving",
    "supported": "kedja.formats.onnx.operators",
    "translate": "kedja.formats.onnx.operators",
}

__all__ = [
    "OPERATORS",
    "Backend",
    "OnnxModel",
    "Prepared",
    "Saved",
    "check",
    "load",
    "prepare",
    "run_model",
    "save",
    "supported",
    "translate",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if find_spec("onnx") is None:
        raise KedjaError(
            "kj.onnx reads and writes models with the package onnx, which is missing: pip install 'kedja[onnx]'"
        )
    found = globals()[name] = getattr(import_module(_HOME[name]), name)
    return found
