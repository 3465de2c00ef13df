"""What the two commands, `python -m bench` and `python bench/gpu.py`, share at a terminal."""

from __future__ import annotations

import argparse
import sys

__all__ = ["positive", "progress"]


def positive(text: str) -> int:
    """A whole number of at least 1, as an argument."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"needs a whole number of at least 1, not {number}")
    return number


def progress(text: str) -> None:
    """One line that overwrites itself, only where someone watches."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
