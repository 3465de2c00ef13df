"""The derivative by perturbing one number at a time: slow, simple, and the judge of every analytic one (scope 1.8)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kedja.diff.gradients import grad
from kedja.errors import GraphError, ShapeError
from kedja.graph.dtypes import as_array, default_dtype, is_float
from kedja.graph.node import Tensor, tensor
from kedja.graph.trace import Graph

__all__ = ["GradientCheck", "check_gradients", "numeric_gradient"]

Array = np.ndarray[Any, Any]


def numeric_gradient(y: Tensor, x: Tensor, step: float | None = None) -> Array:
    """(y(x + h) − y(x − h)) / 2h for each number of x in turn: two forward passes per number.

    `step` is h relative to max(1, |x|); the default is the cube root of the type's rounding, which balances the
    error of the formula (∝ h²) against that of rounding (∝ 1/h).

    >>> import kedja as kj
    >>> x = kj.tensor([1.0, 2.0], dtype="float64")
    >>> kj.numeric_gradient((x**3).sum(), x).round(6).tolist()
    [3.0, 12.0]
    """
    if y.size != 1:
        raise ShapeError(f"numeric_gradient needs a single number, got shape {y.shape}. Reduce it first (.sum()).")
    graph: Any = Graph([x], [y])
    at = np.array(x.numpy())
    h0 = float(np.finfo(at.dtype).eps) ** (1 / 3) if step is None else step
    found = np.zeros(at.shape, np.float64)
    for i in np.ndindex(at.shape):
        kept = at[i]
        h = at.dtype.type(h0 * max(1.0, abs(float(kept))))
        at[i] = kept + h
        up, above = float(graph.run([at])[0].reshape(())), at[i]
        at[i] = kept - h
        down, below = float(graph.run([at])[0].reshape(())), at[i]
        at[i] = kept
        found[i] = (up - down) / (float(above) - float(below))
    return found


@dataclass
class GradientCheck:
    """What `check_gradients` found: per tensor the analytic and the numeric gradient and how far apart they are."""

    passed: bool
    worst: float
    tolerance: float
    forward_passes: int
    rows: list[dict[str, Any]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        lines = [f"gradients {'agree' if self.passed else 'DIFFER'}: worst difference {self.worst:.1e} of the largest"]
        for r in self.rows:
            lines.append(
                f"  {r['name']:<20} {r['shape']!s:<12} worst {r['worst']:.1e} at {r['at']}:"
                f" by rule {r['analytic_there']:.6g}, by perturbation {r['numeric_there']:.6g}"
            )
        lines.append(f"  {self.forward_passes} forward passes; back-propagation needs one, and one walk back")
        return "\n".join(lines)


def check_gradients(
    y: Callable[..., Any] | Tensor,
    *args: Any,
    wrt: Any = None,
    tolerance: float | None = None,
    step: float | None = None,
) -> GradientCheck:
    """Compare the gradient the rules give with the one perturbation gives.

    `check_gradients(f, x, …)` computes in float64 and checks every argument but those of integers and booleans;
    `check_gradients(y, wrt=[w, …])` checks a graph by the tensors named, in their own precision. The difference, less
    what rounding explains, is measured against the largest entry. `step` is as in `numeric_gradient`.

    >>> import kedja as kj
    >>> bool(kj.check_gradients(lambda x, w: (kj.tanh(x) * w).sum(), [0.5, -1.0], [2.0, 3.0]))
    True
    """
    if isinstance(y, Tensor):
        if wrt is None:
            raise GraphError("check_gradients(y, wrt=[w, ...]): say by which tensors")
        tensors = list(wrt) if isinstance(wrt, list | tuple) else [wrt]
        return _compared(y, tensors, tolerance, step)
    with default_dtype("float64"):
        arrays = [as_array(a.numpy() if isinstance(a, Tensor) else a) for a in args]
        nodes = [tensor(a, dtype="float64" if is_float(a.dtype) else a.dtype) for a in arrays]
        return _compared(y(*nodes), [n for n in nodes if is_float(n.dtype)], tolerance, step)


def _compared(y: Tensor, tensors: list[Tensor], tolerance: float | None, step: float | None) -> GradientCheck:
    exact = all(t.dtype == np.float64 for t in tensors)
    limit = (1e-6 if exact else 2e-2) if tolerance is None else tolerance
    rows, passes, worst = [], 0, 0.0
    for i, (x, g) in enumerate(zip(tensors, grad(y, tensors), strict=True)):
        analytic, numeric = np.asarray(g.numpy(), np.float64), numeric_gradient(y, x, step)
        passes += 2 * x.size
        if not x.size:
            continue
        largest = max(float(np.abs(numeric).max()), float(np.abs(analytic).max()))
        off = np.maximum(np.abs(analytic - numeric) - _rounding(y, x, step), 0.0)
        away = off / largest if largest > 0 else off
        at = np.unravel_index(int(np.argmax(np.where(np.isnan(away), np.inf, away))), x.shape)
        there = float(away[at])
        worst = there if np.isnan(there) or np.isnan(worst) else max(worst, there)
        rows.append(
            {
                "name": x.name or f"argument {i}", "shape": x.shape, "worst": there, "at": tuple(int(k) for k in at),
                "analytic": analytic, "numeric": numeric,
                "analytic_there": float(analytic[at]), "numeric_there": float(numeric[at]),
            }
        )  # fmt: skip
    return GradientCheck(bool(worst <= limit), worst, limit, passes, rows)


def _rounding(y: Tensor, x: Tensor, step: float | None) -> float:
    """How far rounding of y alone (a few units in its last place) moves a difference quotient."""
    eps = float(np.finfo(y.dtype).eps)
    return 4 * eps * abs(float(y.numpy().reshape(()))) / (eps ** (1 / 3) if step is None else step)
