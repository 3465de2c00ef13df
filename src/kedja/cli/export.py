"""`kedja export`: a trained network as a file for other programs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from kedja.cli.folder import shown
from kedja.errors import one_of
from kedja.formats import load
from kedja.formats.export import FORMATS, export

__all__ = ["run"]


def run(options: argparse.Namespace, given: Sequence[str]) -> int:
    """Write the network of a run in another format, beside where one is, under the name of the run."""
    if options.format not in FORMATS:
        raise one_of("format", options.format, FORMATS)
    folder = Path(options.run)
    net = load(folder)
    stem = folder.resolve().name or "network"
    out = Path(options.out) if options.out is not None else Path(stem + FORMATS[options.format].suffix)
    found = export(net, out, options.format)
    print(found)
    if options.format == "python" and not net.info.get("preprocess"):  # images are no rows of a file
        print(f"  try it: python {shown(found.files[0])} FILE.csv")
    return 0
