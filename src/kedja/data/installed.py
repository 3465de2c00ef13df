"""Files of installed packages, found without running any code of the package."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from kedja.errors import DataError

__all__ = ["installed_file"]

DISTRIBUTIONS = {"sklearn": "scikit-learn"}


def installed_file(package: str, inside: str, name: str, remedy: str = 'pip install "kedja[data]"') -> Path:
    """The path of the file `inside` a top-level package; `name` is the data set that wants it.

    Raises DataError when there is no such package or file; the message ends with the remedy.

    >>> installed_file("no_such_package", "a.csv", "toy")
    Traceback (most recent call last):
    kedja.errors.DataError: the data set 'toy' is read from the package no_such_package, which is not installed: ...
    """
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations if spec is not None else None) or ():
        if (path := Path(folder, inside)).is_file():
            return path
    state = "which is not installed" if spec is None else f"whose installed version has no {inside}"
    raise DataError(
        f"the data set {name!r} is read from the package {DISTRIBUTIONS.get(package, package)}, {state}: {remedy}."
    )
