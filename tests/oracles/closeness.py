"""How far two arrays are apart: the number that stands in the table of oracles."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["worst"]


def worst(found: Any, expected: Any) -> float:
    """The largest difference, by the largest of what was expected (by 1 where all of that is smaller).

    Entries that are not finite are left out: that they are the same is for the test to assert.

    >>> worst([1.0, 2.0, np.inf], [1.0, 4.0, np.inf])
    0.5
    """
    a, b = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    known = np.isfinite(a) & np.isfinite(b)
    if not known.any():
        return 0.0
    a, b = np.broadcast_to(a, known.shape)[known], np.broadcast_to(b, known.shape)[known]
    return float(np.abs(a - b).max() / max(1.0, float(np.abs(b).max())))
