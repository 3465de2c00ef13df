"""Data to learn from: real and made sets, tables, splits, scaling, and the checks `fit` makes first (scope 6).

>>> x, y = load("iris")
>>> x.shape, y.shape
((150, 4), (150,))
"""

from __future__ import annotations

from kedja.data.cache import cache_folder
from kedja.data.check import check_array, check_arrays, check_labels
from kedja.data.dataset import Dataset
from kedja.data.load import load, names
from kedja.data.prepare import one_hot, scale, standardise
from kedja.data.series import read_ts
from kedja.data.split import permutation, split, split_rows
from kedja.data.table import Learnable, Table, read_csv

__all__ = [
    "Dataset",
    "Learnable",
    "Table",
    "cache_folder",
    "check_array",
    "check_arrays",
    "check_labels",
    "load",
    "names",
    "one_hot",
    "permutation",
    "read_csv",
    "read_ts",
    "scale",
    "split",
    "split_rows",
    "standardise",
]
