"""Files of any kind kedja reads, by one function."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from kedja.data.image_folder import images
from kedja.data.npy_file import npy
from kedja.data.source import ArraySource, Source
from kedja.data.table import Table, read_csv
from kedja.errors import DataError, KedjaError

__all__ = ["read", "read_parquet"]

TABLES = (".csv", ".tsv", ".txt", ".gz", ".bz2")
COLUMNS = (".parquet", ".pq", ".feather", ".arrow")


def read(path: str | os.PathLike[str], y: Any = None, **options: Any) -> Table | Source:
    """What is in a file, by its ending: a Table or a source.

    `.csv` (`.tsv`, `.gz`, `.bz2`), `.parquet` and `.feather` give a Table, whose `xy("column")` is learned from; `.npy`
    a source that is read piece by piece (`y` is the file or array of the targets: see `npy`); `.npz` the arrays x and y
    in it; a folder the images in it (see `images`, whose options are taken).

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "toy.npz"); np.savez(path, x=np.zeros((3, 2)), y=[0, 1, 0])
    >>> read(path)
    <toy.npz: 3 rows of (2,) float64 → () int64>
    """
    place = Path(path)
    ending = place.suffix.lower()
    if place.is_dir():
        if y is not None:
            raise DataError(f"{place}: the classes of images are their folders; y has no place here.")
        return images(place, **options)
    if ending == ".npy":
        return npy(place, y, **options)
    if ending == ".npz":
        return _npz(place, y="y" if y is None else y, **options)
    if y is not None:
        raise DataError(f"{place}: y goes with .npy and .npz alone; of a table, xy('column') names the target.")
    if ending in TABLES:
        return read_csv(place, **options)
    if ending in COLUMNS:
        return read_parquet(place, **options)
    known = ", ".join((*TABLES, *COLUMNS, ".npy", ".npz"))
    raise DataError(f"{place} has no ending kedja reads: {known}, or a folder of folders of images.")


def read_parquet(path: str | os.PathLike[str]) -> Table:
    """The table in a Parquet file, or in a Feather (Arrow) file when it ends so; needs pyarrow.

    Raises DataError, in one line, on a file that is missing or damaged, on columns of lists, and without rows.
    """
    name = os.fspath(path)
    try:
        import pyarrow  # type: ignore[import-untyped, import-not-found, unused-ignore]
        import pyarrow.feather  # type: ignore[import-untyped, import-not-found, unused-ignore]
        import pyarrow.parquet  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError as error:
        raise KedjaError('Parquet is read with pyarrow, which is missing: pip install "kedja[arrow]"') from error
    feather = Path(name).suffix.lower() in (".feather", ".arrow")
    try:
        found = pyarrow.feather.read_table(name) if feather else pyarrow.parquet.read_table(name)
    except FileNotFoundError as error:
        raise DataError(f"there is no file {name}.") from error
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{name} cannot be read: {str(error).splitlines()[0]}") from error
    if not found.num_rows or not found.num_columns:
        raise DataError(f"{name} has {found.num_columns} columns and {found.num_rows} rows.")
    columns = [_texts(name, column, found[column].to_pylist()) for column in found.column_names]
    return Table(name, found.column_names, list(zip(*columns, strict=True)), range(1, found.num_rows + 1))


def _texts(path: str, column: str, values: list[Any]) -> list[str]:
    """Cells as a CSV file has them: nothing for what is missing, yes and no as 1 and 0."""
    for row, value in enumerate(values, 1):
        if isinstance(value, list | dict | bytes):
            raise DataError(f"{path}, row {row}, column {column!r}: a {type(value).__name__} is no cell of a table.")
    return ["" if v is None else str(int(v)) if isinstance(v, bool) else str(v).strip() for v in values]


def _npz(path: Path, x: str = "x", y: str = "y") -> Source:
    try:
        with np.load(path, allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
    except FileNotFoundError as error:
        raise DataError(f"there is no file {path}.") from error
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if x not in arrays and len(arrays) == 1:
        x = next(iter(arrays))
    if x not in arrays:
        raise DataError(
            f"{path} has the arrays {', '.join(arrays)}: say which are learned from, read(path, x=..., y=...)."
        )
    source = ArraySource(arrays[x], arrays.get(y))
    source.name = path.name
    return source
