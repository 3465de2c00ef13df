"""The exceptions kedja raises: each says what came, what was expected, and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "DTypeError",
    "DataError",
    "DivergedError",
    "FormatError",
    "GraphError",
    "KedjaError",
    "ShapeError",
    "StorageError",
    "UnknownNameError",
    "one_of",
]


class KedjaError(Exception):
    """Anything kedja refuses to do. Every exception of the library is one of these."""


class ShapeError(KedjaError, ValueError):
    """Shapes that do not fit each other; raised while the graph is built, before anything is computed."""


class DTypeError(KedjaError, TypeError):
    """Element types that differ: kedja never converts one silently into another."""


class GraphError(KedjaError, TypeError):
    """A graph used in a way it cannot be: a traced tensor asked for its number, a missing derivative rule."""


class DataError(KedjaError, ValueError):
    """Data that cannot be learned from: missing, infinite, empty, of the wrong length or outside the range."""


class UnknownNameError(KedjaError, ValueError):
    """A name that is not in the list it was looked up in."""


class FormatError(KedjaError, ValueError):
    """A file or folder that is damaged, foreign, or of a version this kedja does not read."""


class StorageError(KedjaError, OSError):
    """A file or folder that cannot be written: no permission, no space, no such place."""


class DivergedError(KedjaError, ArithmeticError):
    """Training met a number that is not finite."""


def one_of(what: str, name: object, known: Iterable[str]) -> UnknownNameError:
    """The error for a name that is not among `known`: it lists them, and names the nearest.

    >>> str(one_of("activation", "sigmod", ["relu", "sigmoid", "tanh"]))
    "unknown activation 'sigmod'. Did you mean 'sigmoid'? Known: relu, sigmoid, tanh."
    """
    names = sorted(known)
    near = difflib.get_close_matches(str(name).lower(), names, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return UnknownNameError(f"unknown {what} {name!r}.{hint} Known: {', '.join(names)}.")
