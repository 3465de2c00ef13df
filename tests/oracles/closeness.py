"""How far two arrays are apart: the number that stands in the table of oracles, and what a kernel's sums may be."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["near", "worst"]


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


def near(found: Any, expected: Any, dtype: str = "float32") -> None:
    """Assert equality up to the rounding of sums of some hundred products of this type."""
    expected = np.asarray(expected)
    scale = np.abs(expected).max(initial=1e-30)
    atol = {"float32": 2e-6, "float64": 1e-14}[dtype]
    np.testing.assert_allclose(np.asarray(found) / scale, expected / scale, rtol=0, atol=atol)
