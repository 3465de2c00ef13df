"""Data to learn from: real and made sets, tables, splits, scaling, and the checks `fit` makes first (scope 6).

>>> x, y = load("iris")
>>> x.shape, y.shape
((150, 4), (150,))
"""

from __future__ import annotations

from typing import Any

from kedja.data.batches import Batches, batches
from kedja.data.cache import cache_folder
from kedja.data.check import check_array, check_arrays, check_labels
from kedja.data.dataset import Dataset
from kedja.data.images import ImageFolder, images
from kedja.data.load import load, names
from kedja.data.npy import NpySource, npy
from kedja.data.prepare import one_hot, scale, standardise
from kedja.data.reading import read, read_parquet
from kedja.data.series import read_ts
from kedja.data.source import ArraySource, Source
from kedja.data.split import permutation, split, split_rows
from kedja.data.table import Learnable, Table, read_csv
from kedja.data.weights import class_weights
from kedja.data.windows import windows
from kedja.elsewhere import missing

__all__ = [
    "ArraySource",
    "Batches",
    "Dataset",
    "ImageFolder",
    "Learnable",
    "NpySource",
    "Source",
    "Table",
    "batches",
    "cache_folder",
    "check_array",
    "check_arrays",
    "check_labels",
    "class_weights",
    "images",
    "load",
    "names",
    "npy",
    "one_hot",
    "permutation",
    "read",
    "read_csv",
    "read_parquet",
    "read_ts",
    "scale",
    "split",
    "split_rows",
    "standardise",
    "windows",
]


def __getattr__(name: str) -> Any:
    raise missing(__name__, name, __all__)
