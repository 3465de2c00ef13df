"""The History of an ensemble: the mean over the members, and each member's own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kedja.train.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["EnsembleHistory"]


class EnsembleHistory(History):
    """Figures are means over the members that did not diverge; `members[k]` is the History of member k.

    >>> history = EnsembleHistory(members=[History(), History()])
    >>> len(history.members), len(history)
    (2, 0)
    """

    def __init__(self, *, members: Sequence[History] = (), first: int = 0, **head: Any) -> None:
        super().__init__(**head)
        self.members = list(members)
        self.first = first  # epochs before this run

    def spread(self, name: str) -> np.ndarray[Any, Any]:
        """The standard deviation of a figure over the members, for each epoch."""
        values = np.stack([history[name] for history in self.members])
        found: np.ndarray[Any, Any] = np.nanstd(values, axis=0)
        return found

    def plot(
        self,
        path: str | os.PathLike[str] | None = None,
        ax: Axes | Sequence[Axes] | np.ndarray[Any, Any] | None = None,
    ) -> Figure:
        """The curves of the mean, with a thin line for each member; arguments as for `History.plot`."""
        figure = super().plot(ax=ax) if path is None else self._whole_plot(path)
        self._members_into(figure)
        if path is not None:
            figure.savefig(path, dpi=150)
        return figure

    def _whole_plot(self, path: str | os.PathLike[str]) -> Figure:
        return super().plot(path)

    def _members_into(self, figure: Figure) -> None:
        """Each member's line, pale, behind the mean's."""
        for panel, names in zip(figure.axes, self.panels().values(), strict=False):
            for name in names:
                colour = "#d5700b" if name.startswith("val_") else "#2468b4"
                for history in self.members:
                    shown = np.isfinite(history[name])
                    panel.plot(
                        history["epoch"][shown], history[name][shown], color=colour, linewidth=0.7, alpha=0.3, zorder=1
                    )
