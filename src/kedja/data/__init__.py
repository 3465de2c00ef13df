"""Data to learn from: real and made sets, tables, splits, scaling, and the checks `fit` makes first (scope 6).

>>> x, y = load("iris")
>>> x.shape, y.shape
((150, 4), (150,))
"""

from __future__ import annotations

from kedja.data.batches import Batches, batches
from kedja.data.dataset import Dataset
from kedja.data.split import permutation, split, split_rows
from kedja.data.windows import windows
from kedja.rooms import lazily

# What training does not need is loaded when it is asked for. The modules imported above have the names of functions.
HOMES: dict[str, tuple[str, ...]] = {
    "cache": ("cache_folder",),
    "check": ("check_array", "check_arrays", "check_labels"),
    "image_folder": ("ImageFolder", "images"),
    "named": ("load", "names"),
    "npy_file": ("NpySource", "npy"),
    "prepare": ("one_hot", "scale", "standardise"),
    "reading": ("read", "read_parquet"),
    "series": ("read_ts",),
    "source": ("ArraySource", "Source"),
    "table": ("Learnable", "Table", "read_csv"),
    "weights": ("class_weights",),
}

__all__ = ["Batches", "Dataset", "batches", "permutation", "split", "split_rows", "windows"]
__all__ += [name for names in HOMES.values() for name in names]
__all__.sort()
__getattr__, __dir__ = lazily(__name__, HOMES)
