"""Data sets by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from kedja.data import made, real, series
from kedja.data.dataset import Dataset
from kedja.errors import DataError, one_of

__all__ = ["load", "names"]

_SETS: dict[str, Callable[..., Dataset]] = {
    maker.__name__: maker
    for maker in (
        real.breast_cancer,
        real.diabetes,
        real.digits,
        real.iris,
        real.mnist_5k,
        real.wine,
        series.adding,
        series.basic_motions,
        series.gunpoint,
        series.italy_power_demand,
        series.japanese_vowels,
        series.osu_leaf,
        made.blobs,
        made.circles,
        made.moons,
        made.spiral,
        made.xor,
        made.xor_cloud,
    )
}


def load(name: str, **options: Any) -> Dataset:
    """The data set of that name; `x, y = load("iris")`, or keep the Dataset for its names and its split.

    Made sets take n, noise and seed (circles also factor; spiral classes and turns; blobs classes; adding n, steps and
    seed). Raises
    UnknownNameError, with the nearest name, on a set or an option that does not exist, and DataError when the package
    that holds the data is not installed.

    >>> load("moons", n=100, noise=0.2, seed=1)
    <Dataset moons: 100 rows × 2 features, classification into 2 classes>
    >>> load("irsi")
    Traceback (most recent call last):
    kedja.errors.UnknownNameError: unknown data set 'irsi'. Did you mean 'iris'? Known: adding, ...
    """
    if name not in _SETS:
        raise one_of("data set", name, _SETS)
    known = inspect.signature(_SETS[name]).parameters
    for option in options:
        if not known:
            raise DataError(f"the data set {name!r} takes no options; it was given {option!r}.")
        if option not in known:
            raise one_of(f"option of {name!r}", option, known)
    return _SETS[name](**options)


def names() -> tuple[str, ...]:
    """The names `load` knows.

    >>> "mnist_5k" in names()
    True
    """
    return tuple(sorted(_SETS))
