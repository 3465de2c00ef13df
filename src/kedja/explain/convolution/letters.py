"""Convolution in letters: which input meets which weight, as the op itself reads them (scope 2.5)."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kedja.errors import DataError, ShapeError
from kedja.explain.show.table import ROOM
from kedja.graph.node import tensor
from kedja.graph.shapes import Shape, size
from kedja.ops.convolution import conv
from kedja.ops.formula import symbol

__all__ = ["ConvFormulas", "conv_formulas", "reads"]

MOST = 20_000  # products; more letters than this nobody reads


def reads(
    sizes: Shape, kernel: Shape, stride: Any = 1, padding: Any = "valid", dilation: Any = 1
) -> tuple[Shape, NDArray[np.int64]]:
    """How many windows there are along each axis, and a table [window, place in it] of positions in the input.

    Positions count the input's places in order; −1 is padding. Nothing is worked out again here: `conv` runs on the
    positions themselves, with a filter for every place of the kernel that gives what stands there.

    >>> sizes, table = reads((3, 4), (2, 2))
    >>> sizes, table[0].tolist()
    ((2, 3), [0, 1, 4, 5])
    """
    places = size(kernel)
    positions = tensor(np.arange(1.0, size(sizes) + 1).reshape(1, *sizes, 1), dtype="float64")
    each = tensor(np.eye(places).reshape(*kernel, 1, places), dtype="float64")
    seen = np.asarray(conv(positions, each, stride, padding, dilation).numpy())[0]
    return seen.shape[:-1], seen.reshape(-1, places).astype(np.int64) - 1


class ConvFormulas:
    """Every output of a convolution as a formula: index it as the output is indexed, or print it.

    `terms[i]` are the pairs (input, weight) that are multiplied and added up, in the order of the kernel's places.
    """

    def __init__(self, x: Any, kernel: Any, terms: NDArray[Any], how: dict[str, Any]) -> None:
        self.x, self.kernel, self.terms, self.how = x, kernel, terms, how
        self.formulas = _mapped(terms, _sum)

    @property
    def shape(self) -> Shape:
        """The sizes of the output."""
        return self.terms.shape

    def __getitem__(self, at: Any) -> Any:
        found = self.formulas[at]
        return found.tolist() if isinstance(found, np.ndarray) else found

    def _rows(self) -> list[list[str]]:
        """The formulas as rows of a page: a sequence is one row, more than two axes follow each other."""
        rows: list[list[str]] = self.formulas.reshape(-1, self.shape[-1]).tolist()
        return rows

    def __str__(self) -> str:
        rows = self._rows()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["   ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        if len(self.shape) > 2:  # a gap between planes
            lines = [line if (i + 1) % self.shape[-2] else line + "\n" for i, line in enumerate(lines)]
        return "\n".join(lines).rstrip("\n")

    __repr__ = __str__

    def markdown(self) -> str:
        """A table of the formulas in Markdown."""
        rows = self._rows()
        head = [str(i + 1) for i in range(len(rows[0]))]
        return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows))

    def tex(self) -> str:
        """The formulas as a matrix in TeX; with more than two axes, its planes one below the other."""
        rows = _mapped(self.terms, _tex).reshape(-1, self.shape[-1]).tolist()
        return r"\begin{pmatrix} " + r" \\ ".join(" & ".join(row) for row in rows) + r" \end{pmatrix}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the letters, the geometry, and the formulas as nested lists."""
        return {"x": self.x.tolist(), "kernel": self.kernel.tolist(), **self.how, "y": self.formulas.tolist()}

    def _repr_html_(self) -> str:
        cells = ["".join(f'<td style="{ROOM}">{escape(c)}</td>' for c in row) for row in self._rows()]
        body = "".join(f"<tr>{row}</tr>" for row in cells)
        return f"<table><tbody>{body}</tbody></table>"


def conv_formulas(
    x: Any, kernel: Any, stride: Any = 1, padding: Any = "valid", dilation: Any = 1, *, flip: bool = False
) -> ConvFormulas:
    """What a convolution computes, written out in letters, from the index arithmetic of `kj.conv` itself.

    `x` and `kernel` are names: "abcd efgh ijkl" are three rows of four letters, "abcd" a sequence; names of several
    letters, or more than two axes, come as nested lists. There is one channel. Padding is 0 and leaves its products
    out. `flip=True` turns the kernel round along every axis: convolution as mathematics has it, which libraries, and
    layers here, leave out.

    Raises DataError for names that are no rectangle of text, ShapeError when the kernel does not fit.
    Source: scope 2.5; Goodfellow, Bengio and Courville 2016, figure 9.1.

    >>> print(conv_formulas("abcd efgh ijkl", "wx yz"))
    aw + bx + ey + fz   bw + cx + fy + gz   cw + dx + gy + hz
    ew + fx + iy + jz   fw + gx + jy + kz   gw + hx + ky + lz
    >>> conv_formulas("abcd efgh ijkl", "wx yz", flip=True)[0, 0]
    'az + by + ex + fw'
    """
    places, weights = _letters("x", x), _letters("kernel", kernel)
    if places.ndim != weights.ndim:
        raise ShapeError(
            f"conv_formulas: x has {places.ndim} axes and the kernel {weights.ndim}: {places.shape} and {weights.shape}"
        )
    out, table = reads(places.shape, weights.shape, stride, padding, dilation)
    if table.size > MOST:
        raise DataError(
            f"conv_formulas: {table.shape[0]:,} outputs of {table.shape[1]} products each are too much to read "
            f"(at most {MOST:,} products): take a smaller input."
        )
    order = np.flip(weights).ravel() if flip else weights.ravel()
    terms = np.empty(len(table), object)
    for i, row in enumerate(table):
        terms[i] = [(places.flat[p], w) for p, w in zip(row, order, strict=True) if p >= 0]
    how = {"stride": stride, "padding": padding, "dilation": dilation, "flip": bool(flip)}
    return ConvFormulas(places, weights, terms.reshape(out), how)


def _letters(what: str, given: Any) -> NDArray[Any]:
    """Names as an array of text."""
    rows = given
    if isinstance(given, str):
        lines = given.split()
        rows = list(lines[0]) if len(lines) == 1 else [list(line) for line in lines]
    try:
        found = np.array(rows)
    except ValueError:  # rows of different length
        found = np.array(None)
    if found.dtype.kind != "U" or not found.size or not found.ndim or not all(found.flat):
        raise DataError(
            f'conv_formulas: {what} is letters in rows of one length, as in "abcd efgh", or nested lists of names; '
            f"got {given!r}"
        )
    return found


def _mapped(terms: NDArray[Any], write: Any) -> NDArray[Any]:
    found = np.empty(terms.shape, object)
    for i in np.ndindex(terms.shape):
        found[i] = write(terms[i])
    return found


def _sum(terms: Sequence[tuple[str, str]]) -> str:
    return " + ".join(a + b if len(a) == len(b) == 1 else f"{a}·{b}" for a, b in terms) or "0"


def _tex(terms: Sequence[tuple[str, str]]) -> str:
    return " + ".join(f"{symbol(str(a), 'tex')} {symbol(str(b), 'tex')}" for a, b in terms) or "0"
