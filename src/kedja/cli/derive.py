"""`kedja derive`: the derivative of a formula, rule by rule."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from kedja.errors import DataError
from kedja.explain.derivatives.derive import derive
from kedja.explain.derivatives.grammar import ExpressionError
from kedja.explain.words import language

__all__ = ["run"]

BAD_INPUT = 2


def run(options: argparse.Namespace, given: Sequence[str]) -> int:
    """Print the steps; what the grammar does not know is pointed at, on three lines of stderr."""
    picture = Path(options.plot) if options.plot is not None else None
    if picture is not None and picture.exists():
        raise DataError(f"{picture} exists already and is not overwritten: give another name with --plot.")
    if picture is not None and picture.suffix not in (".png", ".svg", ".pdf"):
        raise DataError(f"--plot {picture}: give a file that ends in .png, .svg or .pdf.")
    if options.language is not None:
        language(options.language)
    try:
        found = derive(options.formula.strip(), options.wrt, _places(options.at))
    except ExpressionError as error:
        print(f"kedja: {error}", file=sys.stderr)
        return BAD_INPUT
    if options.html and not sys.stdout.isatty() and (change := getattr(sys.stdout, "reconfigure", None)) is not None:
        change(encoding="utf-8")  # as the page says of itself
    print(found.tex() if options.tex else found.html().rstrip() if options.html else found)
    if picture is not None:
        found.plot(picture)
        print(f"drawn in {picture}", file=sys.stderr)
    return 0


def _places(given: str | None) -> str | Mapping[str, str] | None:
    """What --at says: one number for the letter, or letters with their numbers."""
    if given is None or "=" not in given:
        return None if given is None else given.strip()
    found = {}
    for part in given.split(","):
        name, equals, value = (p.strip() for p in part.partition("="))
        if not equals or not name or not value or name in found:
            raise DataError(f"--at {given.strip()}: write a number, or each letter once with its own, as in x=2,a=0.5.")
        found[name] = value
    return found
