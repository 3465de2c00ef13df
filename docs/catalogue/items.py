"""What the catalogue is of: every item of every registry, by kind. A new one is in it by being registered."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import kedja as kj
from kedja.nn.layers.layer import LAYERS
from kedja.optim.registry import CLASSES as OPTIMIZERS
from kedja.optim.schedule import CLASSES as SCHEDULES

__all__ = ["items", "names"]


def items() -> dict[str, Mapping[str, Any]]:
    """The kinds, in the order a network is made of them, and of each what there is by name.

    >>> {kind: len(found) > 2 for kind, found in items().items()}["activations"]
    True
    """
    assert kj.nn  # loads every layer
    kinds: dict[str, Mapping[str, Any]] = {
        "ops": kj.ops.OPS,
        "activations": kj.activations.TABLE,
        "layers": {name: layer for name, layer in LAYERS.items() if not name.startswith("_")},
        "losses": kj.losses.LOSSES,
        "metrics": kj.metrics.METRICS,
        "optimisers": OPTIMIZERS,
        "schedules": SCHEDULES,
        "initializers": kj.initializers.CLASSES,
        "regularizers": kj.regularizers.CLASSES,
        "constraints": kj.constraints.CLASSES,
    }
    return {kind: {name: item for name, item in found.items() if stands(item)} for kind, found in kinds.items()}


def stands(item: Any) -> bool:
    """Whether a class of ours stands in its module, and was not made by an example in a docstring; all else does."""
    ours = isinstance(item, type) and item.__module__.startswith("kedja.")
    return not ours or hasattr(sys.modules[item.__module__], item.__name__)


def names() -> list[str]:
    """Every item as the tests call it, `kind/name`."""
    return [f"{kind}/{name}" for kind, found in items().items() for name in found]
