"""`kedja course`: the notebooks that come with kedja, listed, or written into a folder."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from kedja.cli.arguments import UsageError
from kedja.course import export, lesson, names
from kedja.errors import one_of

__all__ = ["run"]

ACTIONS = ("list", "export")
FOLDER = "course"


def run(options: argparse.Namespace, given: Sequence[str]) -> int:
    """List the lessons, or write them as notebooks."""
    if options.action not in ACTIONS:
        raise one_of("action of kedja course", options.action, ACTIONS)
    if options.action == "list":
        if options.out is not None or options.no_solutions:
            raise UsageError("--out and --no-solutions are for kedja course export")
        for name in options.lessons or names():
            told = lesson(name)
            print(f"{told.name:<24}{told.title:<58}{told.minutes:>2} min, {told.exercises} exercises")
        print("\nkedja course export writes them as notebooks, kedja course export 06 one of them.")
        return 0
    out = FOLDER if options.out is None else options.out
    written = export(out, options.lessons or None, solutions=not options.no_solutions)
    how = "without solutions" if options.no_solutions else "solutions included"
    print(f"{len(written)} notebook{'s' * (len(written) != 1)} in {out}, {how}: jupyter lab {out}")
    return 0
