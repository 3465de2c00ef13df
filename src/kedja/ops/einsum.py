"""Sums of products written with named axes, as matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kedja.errors import ShapeError
from kedja.graph.node import Tensor
from kedja.graph.shapes import Shape, broadcast, size
from kedja.ops.arrange import diagonal
from kedja.ops.linalg import matmul
from kedja.ops.op import operands
from kedja.ops.reductions import sum
from kedja.ops.shaping import broadcast_to, reshape, transpose


def einsum(equation: str, *xs: Any) -> Tensor:
    """Einstein's summation: multiply, and sum over every letter that the result does not name.

    "ij,jk->ik" is the matrix product, "ii->i" the diagonal, "...ij->...ji" a stack of transposes. Without "->" the
    result has the letters that occur once, in alphabetical order. Tensors are multiplied from left to right.

    >>> from kedja.graph import tensor
    >>> einsum("ij,j->i", tensor([[1.0, 2.0], [3.0, 4.0]]), tensor([1.0, 10.0])).numpy().tolist()
    [21.0, 43.0]
    """
    tensors = operands("einsum", xs)
    terms, result = _parsed(equation, [x.shape for x in tensors])
    sizes = _sizes(equation, terms, [x.shape for x in tensors])
    parts = [_without_repeats(x, list(term)) for x, term in zip(tensors, terms, strict=True)]
    y, names = parts[0]
    for i, (x, others) in enumerate(parts[1:], 1):
        later = {n for term in terms[i + 1 :] for n in term} | set(result)
        y, names = _contracted(y, names, x, others, later, sizes)
    y, names = _summed(y, names, set(result))
    y = transpose(y, [names.index(n) for n in result if n in names]) if len(names) > 1 else y
    return broadcast_to(y, [sizes[n] for n in result])


Names = Sequence[str]


def _parsed(equation: str, shapes: Sequence[Shape]) -> tuple[list[list[str]], list[str]]:
    """The names of every tensor's axes and of the result's; the axes of "..." are named "0", "1", … from the right."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    written = left.split(",")
    if len(written) != len(shapes):
        raise ShapeError(f"einsum: {equation!r} is for {len(written)} tensors, got {len(shapes)}")
    for term in [*written, right]:
        letters = term.replace("...", "", 1)
        if letters and not (letters.isascii() and letters.isalpha()):
            raise ShapeError(f"einsum: {term!r} in {equation!r} may hold letters and one '...' only")
    rest = [len(s) - len(t.replace("...", "")) if "..." in t else 0 for t, s in zip(written, shapes, strict=True)]
    most = max(rest, default=0)
    terms = []
    for term, shape, k in zip(written, shapes, rest, strict=True):
        head, dots, tail = term.partition("...")
        names = [*head, *(str(n) for n in reversed(range(k))), *tail] if dots else list(head)
        if len(names) != len(shape) or k < 0:
            raise ShapeError(f"einsum: {term!r} in {equation!r} does not fit a tensor of shape {shape}")
        terms.append(names)
    hidden = [str(n) for n in reversed(range(most))]
    if not arrow:
        letters = left.replace("...", "").replace(",", "")
        return terms, [*hidden, *sorted(c for c in set(letters) if letters.count(c) == 1)]
    head, dots, tail = right.partition("...")
    result = [*head, *(hidden if dots else []), *tail]
    if len(set(result)) != len(result) or not set(result) <= {n for t in terms for n in t} | set(hidden):
        raise ShapeError(f"einsum: the result {right!r} of {equation!r} must name letters of the left side, once each")
    return terms, result


def _sizes(equation: str, terms: Sequence[Names], shapes: Sequence[Shape]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for name, n in zip(term, shape, strict=True):
            known = sizes.setdefault(name, n)
            if known != n and 1 not in (known, n):
                raise ShapeError(f"einsum: {name!r} in {equation!r} is {known} in one place and {n} in another")
            sizes[name] = n if known == 1 else known
    return sizes


def _without_repeats(x: Tensor, names: list[str]) -> tuple[Tensor, list[str]]:
    for name in dict.fromkeys(names):
        while names.count(name) > 1:
            a = names.index(name)
            b = names.index(name, a + 1)
            x = diagonal(x, a, b)
            names = [n for i, n in enumerate(names) if i not in (a, b)] + [name]
    return x, names


def _summed(x: Tensor, names: list[str], keep: set[str]) -> tuple[Tensor, list[str]]:
    axes = tuple(i for i, n in enumerate(names) if n not in keep)
    return (sum(x, axes) if axes else x), [n for n in names if n in keep]


def _contracted(
    a: Tensor, a_names: list[str], b: Tensor, b_names: list[str], later: set[str], sizes: dict[str, int]
) -> tuple[Tensor, list[str]]:
    """The product of two, summed over what both name and nobody needs later: a stack of matrix products."""
    a, a_names = _summed(a, a_names, later | set(b_names))
    b, b_names = _summed(b, b_names, later | set(a_names))
    both = [n for n in a_names if n in b_names]
    batch, inner = [n for n in both if n in later], [n for n in both if n not in later]
    left, right = [n for n in a_names if n not in both], [n for n in b_names if n not in both]
    a = _grouped(a, a_names, batch, left, inner, sizes)
    b = _grouped(b, b_names, batch, inner, right, sizes)
    names = [*batch, *left, *right]
    stack = broadcast([a.shape[:-2], b.shape[:-2]])
    y = matmul(a, b)
    return reshape(y, (*stack, *(sizes[n] for n in left), *(sizes[n] for n in right))), names


def _grouped(x: Tensor, names: list[str], batch: Names, rows: Names, columns: Names, sizes: dict[str, int]) -> Tensor:
    """(batch…, rows, columns), with the axes of rows and of columns taken as one each."""
    order = [*batch, *rows, *columns]
    x = transpose(x, [names.index(n) for n in order]) if len(order) > 1 else x
    full = [sizes[n] for n in [*rows, *columns]]  # an axis of size 1 may stand for a longer one
    x = broadcast_to(x, [*x.shape[: len(batch)], *full])
    return reshape(x, (*x.shape[: len(batch)], size(tuple(full[: len(rows)])), size(tuple(full[len(rows) :]))))


__all__ = ["einsum"]
