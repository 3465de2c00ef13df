"""Functions of two numbers that optimisers are tried on: a long narrow valley, Rosenbrock, Beale, Himmelblau (8.5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kedja.graph.node import Tensor
from kedja.ops import square

__all__ = ["LANDSCAPES", "Landscape"]


@dataclass(frozen=True)
class Landscape:
    """A function of x = (x₁, x₂), its minima (where it is 0), and where a race on it begins.

    `rate` is a learning rate at which plain descent arrives.
    """

    name: str
    function: Callable[[Tensor], Tensor]
    minima: tuple[tuple[float, float], ...]
    start: tuple[float, float]
    span: tuple[tuple[float, float], tuple[float, float]]
    rate: float
    formula: str


def valley(x: Any) -> Any:
    """½ x₁² + 25 x₂²: fifty times steeper across than along."""
    return 0.5 * square(x[0]) + 25.0 * square(x[1])


def rosenbrock(x: Any) -> Any:
    """(1 − x₁)² + 100 (x₂ − x₁²)²: a bent valley, its floor almost level.  Source: Rosenbrock 1960."""
    return square(1.0 - x[0]) + 100.0 * square(x[1] - square(x[0]))


def beale(x: Any) -> Any:
    """Σ (cᵢ − x₁ (1 − x₂ⁱ))² with c = 1.5, 2.25, 2.625: flat, with steep corners.  Source: Beale 1958."""
    a, b = x[0], x[1]
    first = square(1.5 - a + a * b) + square(2.25 - a + a * square(b))
    return first + square(2.625 - a + a * b * square(b))


def himmelblau(x: Any) -> Any:
    """(x₁² + x₂ − 11)² + (x₁ + x₂² − 7)²: four minima, all of value 0.  Source: Himmelblau 1972."""
    return square(square(x[0]) + x[1] - 11.0) + square(x[0] + square(x[1]) - 7.0)


LANDSCAPES: dict[str, Landscape] = {
    landscape.name: landscape
    for landscape in (
        Landscape("valley", valley, ((0.0, 0.0),), (-9.0, 1.0), ((-10.0, 10.0), (-2.5, 2.5)), 0.02, "½x₁² + 25x₂²"),
        Landscape("rosenbrock", rosenbrock, ((1.0, 1.0),), (-1.2, 1.0), ((-2.0, 2.0), (-1.0, 3.0)), 1e-3,
                  "(1 − x₁)² + 100(x₂ − x₁²)²"),
        Landscape("beale", beale, ((3.0, 0.5),), (1.0, 1.5), ((-1.0, 4.5), (-2.0, 2.0)), 1e-3,
                  "Σ (cᵢ − x₁(1 − x₂ⁱ))²"),
        Landscape(
            "himmelblau", himmelblau,
            ((3.0, 2.0), (-2.8051180869527448, 3.131312518250573), (-3.779310253377747, -3.283185991286170),
             (3.584428340330492, -1.848126526964404)),
            (0.0, -4.5), ((-6.0, 6.0), (-6.0, 6.0)), 2e-3, "(x₁² + x₂ − 11)² + (x₁ + x₂² − 7)²",
        ),
    )
}  # fmt: skip
