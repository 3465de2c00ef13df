"""Sequences to learn from: the adding problem, sets of the time series archives, and files in their format, .ts.

x is (n, steps, features). Where lengths differ, zeros follow the end of a sequence, and `mask` says what is there.
"""

from __future__ import annotations

import operator
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kedja.data.dataset import Dataset
from kedja.data.draws import uniform
from kedja.data.installed import installed_file
from kedja.errors import DataError

__all__ = [
    "adding", "basic_motions", "gunpoint", "italy_power_demand", "japanese_vowels", "osu_leaf", "read_ts",
]  # fmt: skip

_VALUES, _MARKS = 5, 6  # streams of random words, one a purpose (see draws.py)


def adding(n: int = 2_000, steps: int = 50, seed: int = 0) -> Dataset:
    """The adding problem: two numbers of a sequence are marked, and their sum is asked for; y (n, 1).

    The first feature of a step is a number from 0 to 1; the second is 1 at two steps, one in either half, and 0
    elsewhere. Answering 1 every time has the mean squared error 1/6 ≈ 0.167. What is wanted has to be kept for many
    steps, whatever stands between. Source: Hochreiter and Schmidhuber 1997, in the form of Arjovsky et al. 2016.

    >>> x, y = adding(3, steps=10)
    >>> x.shape, bool(np.allclose((x[..., 0] * x[..., 1]).sum(1), y[:, 0]))
    ((3, 10, 2), True)
    """
    try:
        n, steps = operator.index(n), operator.index(steps)
    except TypeError as error:
        raise DataError(f"adding: n={n!r}, steps={steps!r}: both must be whole numbers.") from error
    if n < 1 or steps < 2:
        raise DataError(f"adding: n={n}, steps={steps}: at least one row, and two steps to add up, are needed.")
    values = uniform(n * steps, seed, _VALUES).reshape(n, steps).astype(np.float32)
    first, second = uniform(2 * n, seed, _MARKS).reshape(2, n)
    half = steps // 2
    rows = np.arange(n)
    marks = np.zeros((n, steps), np.float32)
    marks[rows, (first * half).astype(np.int64)] = 1
    marks[rows, half + (second * (steps - half)).astype(np.int64)] = 1
    return Dataset(
        x=np.stack([values, marks], axis=2),
        y=(values * marks).sum(axis=1, keepdims=True),
        name="adding",
        task="regression",
        feature_names=("value", "mark"),
        description="the sum of two marked numbers in a sequence",
        source="made",
        licence="none needed",
    )


def japanese_vowels() -> Dataset:
    """640 utterances of two Japanese vowels by nine men, 7 to 29 steps of 12 cepstrum coefficients; who spoke?

    Lengths differ: see `mask`. `.split()` gives the 270 utterances meant for training and the 370 for the test.
    Source: Kudo, Toyama and Shimbo 1999, UCI. Raises DataError when the package aeon is missing.

    >>> japanese_vowels()
    <Dataset japanese_vowels: 640 rows × up to 29 steps × 12 features, classification into 9 classes>
    """
    return _archived(
        "japanese_vowels", "JapaneseVowels", tuple(f"coefficient_{i}" for i in range(1, 13)),
        "speaker of two vowels, from cepstrum coefficients", "Japanese Vowels (Kudo, Toyama, Shimbo), UCI",
    )  # fmt: skip


def basic_motions() -> Dataset:
    """80 movements, standing, running, walking or badminton: acceleration and rotation of the wrist, 100 steps.

    >>> basic_motions().class_names
    ('Standing', 'Running', 'Walking', 'Badminton')
    """
    return _archived(
        "basic_motions", "BasicMotions",
        ("acceleration_x", "acceleration_y", "acceleration_z", "rotation_x", "rotation_y", "rotation_z"),
        "what somebody does, from a watch on the wrist", "BasicMotions (UEA archive)",
    )  # fmt: skip


def gunpoint() -> Dataset:
    """200 movements of a hand, drawing a gun (class 1) or pointing with a finger (class 2): its height, 150 steps.

    >>> gunpoint().split()
    (<Dataset gunpoint: 50 rows × 150 steps × 1 features, classification into 2 classes>,
     <Dataset gunpoint: 150 rows × 150 steps × 1 features, classification into 2 classes>)
    """
    return _archived("gunpoint", "GunPoint", ("height",), "drawing a gun or pointing", "GunPoint (UCR archive)")


def italy_power_demand() -> Dataset:
    """1,096 days of electricity in Italy, 24 hours each: October to March (1) or April to September (2)?

    >>> italy_power_demand().x.shape
    (1096, 24, 1)
    """
    return _archived(
        "italy_power_demand", "ItalyPowerDemand", ("demand",), "season, from a day's demand for electricity",
        "ItalyPowerDemand (UCR archive)",
    )  # fmt: skip


def osu_leaf() -> Dataset:
    """442 outlines of leaves of six species, as the distance from the centre along the edge, 427 steps.

    >>> osu_leaf().classes
    6
    """
    return _archived(
        "osu_leaf", "OSULeaf", ("distance",), "species of a leaf from its outline", "OSULeaf (UCR archive)"
    )


def _archived(name: str, folder: str, features: tuple[str, ...], description: str, source: str) -> Dataset:
    """A set of the archives in aeon: first the rows for training, then those for the test."""
    remedy = "pip install --no-deps aeon (its files are all that is needed)"
    paths = [
        installed_file("aeon", f"datasets/data/{folder}/{folder}_{part}.ts", name, remedy) for part in ("TRAIN", "TEST")
    ]
    train, test = (read_ts(path) for path in paths)
    whole = _joined(train, test)
    return replace(
        whole, name=name, feature_names=features, description=description, source=f"{source}, shipped with aeon",
        licence="BSD-3-Clause (aeon)", test_rows=len(test),
    )  # fmt: skip


def _joined(a: Dataset, b: Dataset) -> Dataset:
    if a.class_names != b.class_names:
        raise DataError(f"{a.name} has the classes {a.class_names}, {b.name} has {b.class_names}.")
    sequences = [row[real] for part in (a, b) for row, real in zip(part.x, _steps(part), strict=True)]
    x, mask = padded(sequences)
    return replace(a, x=x, y=np.concatenate([a.y, b.y]), mask=mask)


def _steps(data: Dataset) -> Any:
    return np.ones(data.x.shape[:2], bool) if data.mask is None else data.mask


# --- the format .ts -------------------------------------------------------------------------------------------------
def read_ts(path: str | os.PathLike[str]) -> Dataset:
    """A file of the time series archives: lines of @settings, then a row a line, channels and label parted by ":".

    Sequences of different lengths are padded with zeros, and get a mask. Labels become 0, 1, … in the order the file
    lists them; with `@targetLabel true` they are numbers. Raises DataError, with the line, on a file that is not of
    this format, on missing values ("?") and on time stamps, which are not read.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "toy.ts")
    >>> _ = file.write_text("@classLabel true a b\\n@data\\n1,2,3:4,5,6:b\\n7,8:9,10:a\\n")
    >>> data = read_ts(file)
    >>> data.x[1].tolist(), data.mask[1].tolist(), data.y.tolist()
    ([[7.0, 9.0], [8.0, 10.0], [0.0, 0.0]], [True, True, False], [1, 0])
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a .ts file: {error}") from None
    settings, rows = _parts(path, lines)
    if settings.get("timestamps", ["false"])[0].lower() == "true":
        raise DataError(f"{path.name}: it has time stamps, which kedja does not read; give the values alone.")
    classes = _classes(path, settings)
    sequences, targets = [], []
    for number, line in rows:
        where = f"{path.name}, line {number}"
        *channels, target = line.split(":")
        sequences.append(_sequence(where, channels))
        if sequences[-1].shape[1] != sequences[0].shape[1]:
            raise DataError(
                f"{where}: {sequences[-1].shape[1]} channels, and the row before it has {sequences[0].shape[1]}."
            )
        targets.append(_target(where, target.strip(), classes))
    x, mask = padded(sequences)
    return Dataset(
        x=x,
        y=np.array(targets, np.float32 if classes is None else np.int64),
        name=settings.get("problemname", [path.stem])[0],
        task="regression" if classes is None else "classification",
        feature_names=tuple(f"channel_{i + 1}" for i in range(x.shape[2])),
        class_names=None if classes is None else tuple(classes),
        mask=mask,
    )


def _parts(path: Path, lines: list[str]) -> tuple[dict[str, list[str]], list[tuple[int, str]]]:
    """The settings, and the rows with their line numbers."""
    settings: dict[str, list[str]] = {}
    begun: int | None = None
    for i, line in enumerate(lines):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0].lower() == "@data":
            begun = i + 1
            break
        if not words[0].startswith("@"):
            raise DataError(f"{path.name}, line {i + 1}: a line of settings begins with @, this one with {words[0]!r}.")
        settings[words[0][1:].lower()] = words[1:] or [""]
    rows = [(k + 1, line) for k, line in enumerate(lines) if begun is not None and k >= begun and line.strip()]
    if not rows:
        raise DataError(f"{path.name}: there are no rows after a line @data, so it is no .ts file, or half of one.")
    return settings, rows


def _classes(path: Path, settings: dict[str, list[str]]) -> list[str] | None:
    """The labels in the order the file lists them; None for numbers."""
    flag, *names = settings.get("classlabel", ["false"])
    if flag.lower() == "true" and names:
        return names
    if settings.get("targetlabel", ["false"])[0].lower() == "true":
        return None
    raise DataError(f"{path.name}: it lists no class labels (@classLabel true a b …) and has no @targetLabel true.")


def _sequence(where: str, channels: list[str]) -> NDArray[np.float32]:
    """One row, (steps, channels)."""
    if not channels:
        raise DataError(f"{where}: a row is channels and a label, parted by ':'.")
    try:
        values = [np.array(channel.split(","), np.float64) for channel in channels]
    except ValueError:
        missing = any("?" in channel for channel in channels)
        raise DataError(
            f"{where}: " + ("a value is missing (?): fill it in." if missing else "a value is not a number.")
        ) from None
    lengths = {len(v) for v in values}
    if len(lengths) > 1:
        raise DataError(f"{where}: its channels have {', '.join(str(len(v)) for v in values)} steps.")
    return np.stack(values, axis=1).astype(np.float32)


def _target(where: str, text: str, classes: list[str] | None) -> float | int:
    if classes is None:
        try:
            return float(text)
        except ValueError:
            raise DataError(f"{where}: the target {text!r} is not a number.") from None
    if text not in classes:
        raise DataError(f"{where}: the label {text!r} is not among those listed, {', '.join(classes)}.")
    return classes.index(text)


def padded(sequences: list[NDArray[np.float32]]) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Sequences (steps, features) as one array (n, longest, features), zeros at the ends, and the mask if any differ.

    >>> x, mask = padded([np.ones((2, 1), np.float32), np.ones((3, 1), np.float32)])
    >>> x[0].ravel().tolist(), mask.tolist()
    ([1.0, 1.0, 0.0], [[True, True, False], [True, True, True]])
    """
    lengths = np.array([len(s) for s in sequences])
    x = np.zeros((len(sequences), lengths.max(), sequences[0].shape[1]), np.float32)
    for row, sequence in zip(x, sequences, strict=True):
        row[: len(sequence)] = sequence
    return x, np.arange(lengths.max()) < lengths[:, None] if (lengths != lengths[0]).any() else None
