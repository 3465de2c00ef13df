"""The paths between two nodes, each with its product, and what factoring them gives (scope 1.6)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from kedja.diff import grad
from kedja.diff.gradients import _scalar as one_number
from kedja.diff.paths import Edge, web
from kedja.errors import DataError
from kedja.explain.show.table import Table, Tabular
from kedja.explain.words import _
from kedja.graph.node import Array, Tensor
from kedja.ops.formula import formula, symbol

__all__ = ["Paths", "paths"]

LISTED, LONGEST, SHORT = 20, 60, 12  # paths written down; characters of a formula in a cell, and in a path
MOST, LONGEST_TEX = 100_000, 1000
FACTORED_UP_TO = 12  # paths between two waists, beyond which the factored form is not written


class Paths(Tabular):
    """The paths from x to y; it prints as a table.

    `count` is how many there are, `listed` the first of them, each a tuple of edges, `contributions` what each of those
    adds to ∂y/∂x. `total` adds up the listed ones, `gradient` is ∂y/∂x by reverse mode: equal when all are listed.
    """

    def __init__(self, y: Tensor, x: Tensor, most: int) -> None:
        self.y, self.x = y, x
        self._web = web(y, x)
        self.count = self._web.count
        self.listed = self._web.listed(most)
        self._products = self._web.contributions(self.listed)
        self.contributions: list[Array] = [np.asarray(p.numpy()) for p in self._products]
        self.gradient: Array = np.asarray(grad(y, x).numpy())
        self._names = _names([x, *self._web.nodes, y])

    def __len__(self) -> int:
        return self.count

    @property
    def complete(self) -> bool:
        """Whether all paths are listed."""
        return len(self.listed) == self.count

    @property
    def total(self) -> Array:
        """The sum over the listed paths."""
        found = np.zeros(self.x.shape, np.float64)
        for c in self.contributions:
            found = found + c
        return found

    def factored(self, style: str = "text") -> str | None:
        """The sums between the nodes that all paths meet in, multiplied.

        None when there is nothing to multiply, when a sum is too long to read, and for tensors, whose order matters.
        """
        waists = self._web.waists
        if any(n.size != 1 for n in waists):
            return None
        parts = []
        for start, end in pairwise(waists):
            piece = web(end, start)
            if piece.count > FACTORED_UP_TO:
                return None
            terms = [formula(p, style) for p in piece.contributions(piece.listed(FACTORED_UP_TO))]
            if terms != ["1"]:
                parts.append(_added(terms, style))
        if len(parts) < 2:
            return None
        return (" * " if style == "text" else r" \, ").join(_bracketed(p, style) for p in parts)

    # --- showing ------------------------------------------------------------------------------------------------
    @property
    def table(self) -> Table:
        """The table that all ways to show it share."""
        rows = []
        for i, (path, product, value) in enumerate(
            zip(self.listed, self._products, self.contributions, strict=True), 1
        ):
            rows.append((str(i), self._route(path), _short(product.text()), _number(value)))
        return Table((_("path"), _("nodes"), _("product"), _("value")), rows, right=(0, 3), notes=tuple(self._notes()))

    def _notes(self) -> list[str]:
        x, y = self._names[self.x], self._names[self.y]
        if not self.count:
            return [_("No path leads from {x} to {y}: ∂{y}/∂{x} = 0.").format(x=x, y=y)]
        told = _("{n} paths from {x} to {y}") if self.count > 1 else _("one path from {x} to {y}")
        count = told.format(n=f"{self.count:,}", x=x, y=y)
        if self.complete:
            notes = [_("{count}; their sum is {total}").format(count=count, total=_number(self.total))]
        else:
            told = _("{count}, {listed} of them listed (the count goes from node to node, without listing)")
            notes = [told.format(count=count, listed=f"{len(self.listed):,}")]
        factors = self.factored() if self.count > 1 else None
        if factors is not None and len(factors) < 200:
            notes.append(_("factored: {factors}").format(factors=factors))
        told = _("reverse mode passes each of the {edges} edges once: {gradient}")
        notes.append(told.format(edges=f"{len(self._web.edges):,}", gradient=_number(self.gradient)))
        return notes

    def _route(self, path: tuple[Edge, ...]) -> str:
        nodes = [self.x, *(edge.end for edge in path)]
        names = [self._names[n] for n in nodes]
        return " → ".join([*names[:3], "…", *names[-3:]] if len(names) > 8 else names)

    def tex(self) -> str:
        """∂y/∂x as the sum over the listed paths, and factored."""
        y, x = (symbol(self._names[n], "tex") for n in (self.y, self.x))
        terms = [p.tex() for p in self._products]
        if sum(map(len, terms)) > LONGEST_TEX:  # nobody reads that: the values instead
            terms = [_number(v) for v in self.contributions]
        found = rf"\frac{{\partial {y}}}{{\partial {x}}} = " + (" + ".join(terms) or "0")
        if not self.complete:
            found += r" + \cdots"
        factors = self.factored("tex") if self.count > 1 else None
        return f"{found} = {factors}" if factors is not None and len(factors) <= LONGEST_TEX else found

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the count, the listed paths with their products and values, the gradient."""
        return {
            "count": self.count,
            "paths": [
                {
                    "nodes": [self._names[n] for n in (self.x, *(e.end for e in path))], "product": p.text(),
                    "value": v.tolist(),
                }
                for path, p, v in zip(self.listed, self._products, self.contributions, strict=True)
            ],
            "factored": self.factored(),
            "gradient": self.gradient.tolist(),
        }  # fmt: skip


def paths(y: Tensor, x: Tensor, limit: int = LISTED) -> Paths:
    """The paths of the graph from x to y: the derivatives of the edges multiplied along each, and added up.

    y is a single number; x may be a tensor. `limit` is how many are listed; all are counted. The sum over all paths
    is `kj.grad(y, x)`, which needs each edge only once. x * x has two edges from x. Source: scope 1.6.

    >>> import kedja as kj
    >>> a, b, c, d = (kj.tensor(v, name=n) for v, n in zip([2.0, 3.0, 5.0, 7.0], "abcd", strict=True))
    >>> x = kj.tensor(1.0, name="x")
    >>> y = a * x + b * x
    >>> print(paths(c * y + d * y, x))
    path  nodes                             product  value
    ──────────────────────────────────────────────────────
       1  x → a * x → add → multiply → y    c * a       10
       2  x → a * x → add → multiply_2 → y  d * a       14
       3  x → b * x → add → multiply → y    c * b       15
       4  x → b * x → add → multiply_2 → y  d * b       21
    ──────────────────────────────────────────────────────
    4 paths from x to y; their sum is 60
    factored: (a + b) * (c + d)
    reverse mode passes each of the 8 edges once: 60
    """
    one_number(y, "paths")
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MOST:
        raise DataError(
            _("paths: limit is a whole number from 1 to {most}, got {limit!r}").format(most=MOST, limit=limit)
        )
    return Paths(y, x, limit)


def _names(nodes: list[Tensor]) -> dict[Tensor, str]:
    """A name for every node: its own, its formula where that is short, or its op's with a number; the ends are x, y."""
    found: dict[Tensor, str] = {}
    counts: dict[str, int] = {}
    for node in dict.fromkeys([nodes[0], nodes[-1], *nodes]):
        end = "x" if node is nodes[0] else "y" if node is nodes[-1] else None
        written = node.name or end or node.text()
        stem = written if len(written) <= SHORT else node.op.name
        counts[stem] = counts.get(stem, 0) + 1
        found[node] = stem if counts[stem] == 1 else f"{stem}_{counts[stem]}"
    return found


def _added(terms: list[str], style: str) -> str:
    found = terms[0]
    for term in terms[1:]:
        found += f" - {term[1:]}" if term.startswith("-") else f" + {term}"
    return found


def _bracketed(written: str, style: str) -> str:
    if " + " not in written and " - " not in written and not written.startswith("-"):
        return written
    return f"({written})" if style == "text" else rf"\left({written}\right)"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 2] + " …"


def _number(value: Array) -> str:
    if value.size == 1:
        return f"{float(value.reshape(())) + 0.0:.7g}"
    return np.array2string(np.asarray(value, np.float64), precision=4, threshold=6, edgeitems=2).replace("\n", " ")
