"""What a method answers for some images and targets."""

from __future__ import annotations

from dataclasses import dataclass, field

from kedja.graph.node import Array

__all__ = ["Answer"]


@dataclass
class Answer:
    """`maps` (n · t, *places) of n images and t targets each, at the size where the method made them.

    `layer`: whose maps were looked at; `whole` and `error` (n · t,), where a method gives shares of a whole: what its
    map should add up to, and how far it is off.
    """

    maps: Array
    layer: str | None = None
    whole: Array | None = None
    error: Array | None = None
    notes: dict[str, float] = field(default_factory=dict)
