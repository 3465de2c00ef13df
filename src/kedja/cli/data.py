"""`kedja data`: what there is to learn from."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from kedja.data.dataset import Dataset
from kedja.data.named import load, names
from kedja.errors import DataError

__all__ = ["run"]

SHADES = " .:-=+*#%@"
MOST_NAMES = 12


def run(options: argparse.Namespace, given: Sequence[str]) -> int:
    """List the data sets, or show the one named."""
    if options.name is not None:
        _show(load(options.name))
        return 0
    for name in names():
        try:
            data = load(name)
        except DataError as error:
            print(f"{name:<19} {error}")
            continue
        size = f"{data.x.shape[1]} columns" if data.x.ndim == 2 else " × ".join(map(str, data.x.shape[1:])) + " steps"
        size = " × ".join(map(str, data.image_shape[:2])) + " pixels" if data.image_shape else size
        kind = f"{data.classes} classes" if data.classes else "regression"
        print(f"{name:<19}{len(data):>6,} rows  {size:<16}{kind:<12}{data.description}")
    print("\nkedja data NAME shows one of them, kedja train NAME learns it.")
    return 0


def _show(data: Dataset) -> None:
    print(f"{data.name}: {data.description}")
    held_out = f", the last {data.test_rows:,} of them for the test" if data.test_rows else ""
    print(f"  rows      {len(data):,}{held_out}")
    columns = list(data.feature_names or ())
    print(f"  columns   {len(columns)}: {_short(columns)}")
    if data.class_names is not None:
        counts = np.bincount(data.y.ravel().astype(np.int64), minlength=len(data.class_names))
        told = [f"{name} ({count:,})" for name, count in zip(data.class_names, counts.tolist(), strict=True)]
        print(f"  classes   {len(told)}: {_short(told)}")
    else:
        print(f"  target    {data.y.min():g} to {data.y.max():g}, mean {data.y.mean():g}")
    print(f"  source    {data.source}\n  licence   {data.licence}\n")
    if data.image_shape is not None:
        image, label = data.images[0].mean(axis=-1), int(data.y[0])
        for row in np.rint(image * (len(SHADES) - 1)).astype(int):
            print("  " + "".join(SHADES[shade] * 2 for shade in row).rstrip())
        print(f"  the first row: {data.class_names[label] if data.class_names else label}")
    else:
        sequences = data.x.ndim == 3  # of which the first steps of the first feature are shown
        for x, y in zip(data.x[:5], data.y.ravel()[:5], strict=True):
            answer = data.class_names[int(y)] if data.class_names is not None else f"{y:g}"
            shown = [f"{value:g}" for value in (x[:MOST_NAMES, 0] if sequences else x)]
            print(f"  {', '.join([*shown, '…'] if sequences else shown)}  →  {answer}")


def _short(words: Sequence[str]) -> str:
    return ", ".join(words[:MOST_NAMES]) + (", …" if len(words) > MOST_NAMES else "")
