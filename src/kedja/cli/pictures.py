"""A folder of images as the command line sees it: which files, of which class, cut for a network; their features."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kedja.cli.judge import Judgement
from kedja.cli.report import MOST_MISTAKES, Mistakes
from kedja.cli.rows import Rows
from kedja.data.decoded import Decoded
from kedja.data.image_folder import ENDINGS, listed
from kedja.data.source import Field, Source
from kedja.errors import DataError
from kedja.files import cache_folder, write_whole
from kedja.zoo.preprocessing import cut, scaled

__all__ = ["Pictures", "features", "found_in", "judged", "probabilities", "thumbnails"]

MEMORY = 512 << 20  # images cut for the network, as bytes; more of them lie in a file
THUMBNAIL = (96, 96)
BATCH = 16


class Pictures(Source):
    """Images cut for a network, and their classes if known: x (height, width, channels), y the number of the class."""

    def __init__(
        self, folder: Path, files: Sequence[Path], size: tuple[int, int], how: Mapping[str, Any],
        labels: NDArray[np.int64] | None = None, class_names: Sequence[str] | None = None,
    ) -> None:  # fmt: skip
        self.folder, self.files, self.size, self.how = folder, list(files), size, how
        self._labels, self.class_names = labels, None if class_names is None else tuple(class_names)
        self.name, self.rows = f"images of {folder.name or folder}", len(self.files)
        shape = (*size, len(how["mean"]))
        self.inputs = (Field(shape, np.dtype(np.float32)),)
        self.target = None if labels is None else Field((), np.dtype(np.int64))
        self.contents = contents(self.files)
        self.decoded = Decoded(self.rows, shape, MEMORY, self.fingerprint())

    @classmethod
    def in_classes(cls, folder: str, size: tuple[int, int], how: Mapping[str, Any]) -> Pictures:
        """The images of a folder of class folders. Raises DataError when it is none."""
        names, files, labels = listed(Path(folder), "stop")
        return cls(Path(folder), files, size, how, labels, names)

    def read(self, rows: NDArray[np.int64], into: Sequence[Any]) -> None:
        for row in np.unique(rows[self.decoded.missing(rows)]).tolist():
            self.decoded.write(row, cut(self.files[row], self.size, self.how))
        pixels = np.empty((len(rows), *self.inputs[0].shape), np.uint8)
        self.decoded.read(rows, pixels)
        into[0][: len(rows)] = scaled(pixels, self.how)
        if len(into) > 1 and self._labels is not None:
            into[1][: len(rows)] = self._labels[rows]

    def labels(self) -> Any:
        return self._labels

    def fingerprint(self) -> str:
        """Of the contents of the files, and of how they are cut."""
        return hashlib.sha256(f"{self.contents} {self.size} {sorted(self.how.items())}".encode()).hexdigest()[:32]

    def relabel(self, class_names: Sequence[str]) -> None:
        """Count the classes as they are counted here; all of them are among these."""
        assert self.class_names is not None and self._labels is not None
        places = np.array([list(class_names).index(name) for name in self.class_names], np.int64)
        self._labels, self.class_names = places[self._labels], tuple(class_names)

    def shown(self, row: int) -> str:
        """The file of a row, as it is named in the folder."""
        path = self.files[row]
        return path.relative_to(self.folder).as_posix() if path.is_relative_to(self.folder) else path.name

    def close(self) -> None:
        self.decoded.close()


def contents(files: Sequence[Path]) -> str:
    """The SHA-256 of the names and contents of files."""
    found = hashlib.sha256()
    for path in files:
        try:
            found.update(f"{path.parent.name}/{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()};".encode())
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    return found.hexdigest()


def found_in(place: str) -> tuple[Path, list[Path]]:
    """A photograph, or all images in a folder at any depth: the folder, and the files."""
    path = Path(place)
    if path.is_file():
        return path.parent, [path]
    if not path.is_dir():
        raise DataError(f"{place} does not exist: give an image, or a folder of images.")
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in ENDINGS and p.is_file())
    if not files:
        raise DataError(f"there is no image in {place} ({', '.join(ENDINGS)}).")
    return path, files


def features(
    body: Any, pictures: Pictures, key: str, engine: str = "auto", kernels: str | None = None
) -> NDArray[np.float32]:
    """What a frozen body makes of each image, (n, width): worked out once for a folder and kept in the cache folder.

    `key` tells the body, with its weights, and what decides its numbers from others.
    """
    name = hashlib.sha256(f"{key} {pictures.fingerprint()}".encode()).hexdigest()[:32]
    kept = cache_folder() / "features" / f"{name}.npy"
    with contextlib.suppress(OSError, ValueError, EOFError):
        found: NDArray[np.float32] = np.load(kept, allow_pickle=False)
        if found.ndim == 2 and len(found) == pictures.rows and found.dtype == np.float32 and np.isfinite(found).all():
            return found
    parts = []
    for at in range(0, pictures.rows, BATCH):
        rows = np.arange(at, at + BATCH) % pictures.rows  # full batches: one program for all
        x = np.empty((BATCH, *pictures.inputs[0].shape), np.float32)
        pictures.read(rows, [x])
        parts.append(np.asarray(body.predict(x, engine=engine, kernels=kernels), np.float32).reshape(BATCH, -1))
    made = np.concatenate(parts)[: pictures.rows]
    with contextlib.suppress(OSError):
        packed = io.BytesIO()
        np.save(packed, made, allow_pickle=False)
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_whole(kept, packed.getvalue())
    return made


def thumbnails(pictures: Pictures, names: Sequence[str]) -> NDArray[np.uint8]:
    """Small images of files, for the page."""
    how = {"crop": 1.0, "resize": None, "resample": "bilinear", "mean": [0.0] * 3}
    return np.stack([cut(pictures.folder / name, THUMBNAIL, how) for name in names])


def judged(net: Any, rows: Rows, which: NDArray[np.int64], pictures: Pictures, kernels: str | None = None) -> Judgement:
    """How well the images are told apart: accuracy and cross-entropy, the confusion, the mistakes by file."""
    assert rows.y is not None and rows.class_names is not None
    probability = probabilities(net, rows.x, kernels)
    labels = probability.argmax(1)
    confusion = np.zeros((len(rows.class_names),) * 2, np.int64)
    np.add.at(confusion, (rows.y, labels), 1)
    surprise = -np.log(np.maximum(probability[np.arange(len(labels)), rows.y], np.finfo(np.float32).tiny))
    wrong = np.flatnonzero(labels != rows.y)
    sure = probability[wrong, labels[wrong]]
    order = wrong[np.argsort(-sure, kind="stable")][:MOST_MISTAKES]
    mistakes = Mistakes(
        true=[rows.class_names[k] for k in rows.y[order]], predicted=[rows.class_names[k] for k in labels[order]],
        probability=probability[order, labels[order]].tolist(), total=int(wrong.size), columns=("file",),
        rows=[(pictures.shown(int(which[k])),) for k in order],
    ) if wrong.size else None  # fmt: skip
    figures = {"accuracy": float(np.mean(labels == rows.y)), "loss": float(surprise.mean())}
    return Judgement(len(labels), figures, confusion, mistakes)


def probabilities(net: Any, x: Any, kernels: str | None = None) -> NDArray[np.float64]:
    """The probability of each class for each image."""
    return np.concatenate([np.asarray(net.predict_proba(some, kernels=kernels), np.float64) for some in _blocks(x)])


def _blocks(x: Any) -> Iterator[Any]:
    """Features at once, images some at a time."""
    if not isinstance(x, Source):
        yield x
        return
    for at in range(0, x.rows, BATCH):
        some = np.arange(at, min(at + BATCH, x.rows))
        found = np.empty((len(some), *x.inputs[0].shape), np.float32)
        x.read(some, [found])
        yield found
