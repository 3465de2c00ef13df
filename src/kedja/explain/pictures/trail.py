"""The weights of a model on their way through a run of training, for the path on a picture of the loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from kedja.errors import DataError
from kedja.graph.node import Array
from kedja.nn.layers.layer import trainable
from kedja.train.callbacks import Callback

if TYPE_CHECKING:
    from kedja.train.run import Run

__all__ = ["Trail"]


class Trail(Callback):
    """Remembers the weights after every `every` epochs of `fit`, and those before the first.

    >>> import kedja as kj
    >>> x, y = kj.data.load("xor")
    >>> trail = Trail()
    >>> net = kj.Sequential([kj.nn.Dense(1)])
    >>> history = net.fit(x, y, loss="mse", optimizer="gd", epochs=5, callbacks=[trail], seed=0)
    >>> len(trail), trail.points[0]["dense_1.kernel"].shape
    (6, (2, 1))
    """

    def __init__(self, every: int = 1) -> None:
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise DataError(f"Trail: every is a number of epochs, at least 1; got {every!r}")
        self.every = f"{every} epochs"
        self.points: list[dict[str, Array]] = []

    def __len__(self) -> int:
        return len(self.points)

    def before_fit(self, run: Run) -> None:
        if not self.points:
            self._remember(run)

    def after_epoch(self, run: Run, epoch: int, figures: Mapping[str, float]) -> None:
        self._remember(run)

    def _remember(self, run: Run) -> None:
        self.points.append({path: np.array(v.value) for path, v in trainable(run.model).items()})
