"""What flows between ONNX operators: tensors, and numbers of types that kedja does not compute with, as codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from kedja.engines.values import evaluate
from kedja.errors import FormatError, GraphError
from kedja.graph.dtypes import KNOWN, DType
from kedja.graph.node import Tensor, tensor

__all__ = [
    "Coded",
    "Value",
    "arrays_in",
    "attributes",
    "decoded",
    "element_type",
    "is_plain",
    "known_value",
    "value_of",
]

Array = np.ndarray[Any, Any]
WORDS = np.dtype(object)


@dataclass(frozen=True)
class Coded:
    """Small floats, 4-bit and 2-bit numbers as their bits (uint8); words as their number in a list (int64)."""

    codes: Tensor
    dtype: DType

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of what is coded."""
        return self.codes.shape


Value = Any
"""A Tensor, a Coded, a list of these (a sequence), or None (an optional input that is not given)."""


class Words:
    """The words met so far: equal words have equal numbers."""

    def __init__(self) -> None:
        self.number: dict[str, int] = {}

    def codes(self, words: Array) -> Array:
        """The numbers of these words."""
        flat = [self.number.setdefault(str(w), len(self.number)) for w in words.reshape(-1)]
        return np.array(flat, np.int64).reshape(words.shape)

    def words(self, codes: Array) -> Array:
        """The words of these numbers."""
        known = np.array([*self.number, ""], dtype=object)
        found: Array = known[codes]
        return found


def is_plain(dtype: DType) -> bool:
    """Whether kedja computes with numbers of this type."""
    return dtype.name in KNOWN or dtype.name == "bfloat16"


def arrays_in(given: Any, words: Words) -> tuple[Any, DType | None]:
    """An array as the engine gets it, and the type it stands for when it is coded."""
    array = np.asarray(given)
    if array.dtype.kind in "OUST":
        return words.codes(array.astype(object)), WORDS
    if is_plain(array.dtype):
        return array, None
    if array.dtype.itemsize == 1:
        return array.view(np.uint8), array.dtype
    raise FormatError(f"kedja has no tensors of type {array.dtype.name}")


def value_of(given: Any, words: Words) -> Value:
    """A constant of the graph."""
    if isinstance(given, onnx.TensorProto):
        given = numpy_helper.to_array(given)
    array, dtype = arrays_in(given, words)
    node = tensor(array, dtype=array.dtype)
    return node if dtype is None else Coded(node, dtype)


def decoded(array: Array, dtype: DType | None, words: Words) -> Array:
    """What an engine returned, as the caller of the model knows it."""
    if dtype is None:
        return array
    return words.words(array) if dtype == WORDS else array.view(dtype)


def element_type(number: int) -> DType:
    """The NumPy type behind ONNX's number for it."""
    return np.dtype(helper.tensor_dtype_to_np_dtype(number))


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """A node's attributes as numbers, text, lists, NumPy arrays or graphs."""
    return {a.name: _attribute(helper.get_attribute_value(a)) for a in node.attribute}


def _attribute(value: Any) -> Any:
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            raise FormatError(f"an attribute holds bytes that are no text: {value[:20]!r}") from None
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, list | tuple) or type(value).__name__.startswith("Repeated"):
        return [_attribute(v) for v in value]
    return value


def known_value(value: Any, what: str) -> Array:
    """The number an input has while the graph is built; an error when it depends on the model's inputs."""
    if not isinstance(value, Tensor):
        return np.asarray(value)
    try:
        return evaluate(value)
    except GraphError:
        raise FormatError(
            f"{what} must be known while the graph is built, but depends on an input of the model. Give it as an "
            "initializer, or make it depend on shapes alone."
        ) from None
