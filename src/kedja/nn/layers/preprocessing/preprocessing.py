"""What preprocessing layers share: they learn from training data by `adapt`, and may code raw rows on the host."""

from __future__ import annotations

from typing import Any

from kedja.nn.layers.layer import LAYERS, Layer

__all__ = ["Preprocessing"]


class Preprocessing(Layer):
    """A layer that stands before what learns: its numbers are measured once by `adapt`, and saved with the model.

    Text and tables cannot be on a graph. Where rows enter a model (`fit`, `evaluate`, `predict`), its first layer is
    asked to `encode` them; everything that is arithmetic happens in `call`, on either engine. A model that is fitted
    before it was adapted adapts such layers itself, to the rows it learns from and to no other (scope 6).
    """

    takes_missing = False  # whether a NaN among its inputs means a missing value

    @property
    def adapted(self) -> bool:
        """Whether it knows all it has to know of the data."""
        return True

    def adapt(self, values: Any) -> Any:
        """Measure what is needed on training data. Returns the layer itself."""
        return self

    def encode(self, values: Any, name: str = "x") -> Any:
        """Raw rows as numbers that `call` takes; `name` is how messages call them."""
        return values


LAYERS.pop("Preprocessing", None)
