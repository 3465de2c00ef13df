"""`kedja evaluate`: how good a trained network is."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kedja.cli.folder import opened
from kedja.cli.judge import Judgement, judge, told
from kedja.cli.picture_answers import evaluate as of_pictures
from kedja.cli.picture_answers import learned_from_pictures
from kedja.cli.rows import Rows, again, columns_of, parts, rows_for
from kedja.engines.choice import kernels_of
from kedja.errors import FormatError

__all__ = ["run"]

MOST_CLASSES = 12
NAME_WIDTH = 12


def run(options: argparse.Namespace, given: Sequence[str]) -> int:
    """Print the figures on the held-out rows, or on all rows of another file or data set."""
    kernels = kernels_of(options.kernels)
    if learned_from_pictures(options.run):
        return _tell(*of_pictures(options))
    net, about, info = opened(options.run)
    same = options.data is not None and options.data == about.source.get("set")
    if options.data is None or same:
        rows, what = _held_out(about, info, Path(options.run))
    else:
        rows = rows_for(options.data, about, answers=True)
        seen = rows.source.get("sha256", "") == about.source.get("sha256", None)
        what = "all of it, also the rows it learned from:" if seen else "all of it:"
    result = judge(net, rows, str(info.get("loss", "mse")), kernels)
    return _tell(result, rows.name, what, about.class_names or (), rows)


def _tell(result: Judgement, name: str, what: str, class_names: Sequence[str], rows: Any = None) -> int:
    print(f"{name}, {told(result, rows, what)}")
    if result.confusion is not None:
        print(f"loss {result.figures['loss']:.4g}")
        if len(class_names) <= MOST_CLASSES:
            _print_confusion(result.confusion, class_names)
    return 0


def _held_out(about: Rows, info: dict[str, Any], run: Path) -> tuple[Rows, str]:
    """The rows the run set aside, cut out again in the same way."""
    rows = again(about.source, run, about.target, about.feature_names, about.task)
    columns_of(rows, about.feature_names)
    if rows.class_names != about.class_names:
        raise FormatError(f"the classes of {about.name} are not those the run was trained on.")
    found = parts(rows, info["held_out"].get("test"), None, 0)
    if "held-out" in found:
        return rows.part(found["held-out"]), "held-out"
    return rows, "no rows were held out; on those it learned:"


def _print_confusion(confusion: np.ndarray[Any, Any], names: Sequence[str]) -> None:
    """Rows are the true class, columns the answer."""
    short = [name if len(name) <= NAME_WIDTH else name[: NAME_WIDTH - 1] + "…" for name in names]
    width = max(5, *(len(name) for name in short)) + 1
    print("\n" + "true".ljust(width) + "answered".rjust(width))
    print(" " * width + "".join(name.rjust(width) for name in short))
    for name, counts in zip(short, confusion.tolist(), strict=True):
        print(name.ljust(width) + "".join((str(count) if count else ".").rjust(width) for count in counts))
