"""Folders of images, one folder a class: `cats/1.png`, `dogs/7.jpg`. Decoded by a few threads, once."""

from __future__ import annotations

import hashlib
import os
import struct
import warnings
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kedja.data.decoded import Decoded
from kedja.data.source import Field, Source
from kedja.errors import DataError, KedjaError, one_of

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

__all__ = ["ENDINGS", "ImageFolder", "images"]

Array = NDArray[Any]
ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4}
DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")  # more than 8 bits a channel
MEMORY = 512 << 20  # decoded images up to this size are kept in memory, more in a file
THREADS = 4
NAMED = 5  # files that a warning names


def images(
    folder: str | os.PathLike[str], size: tuple[int, int] | None = None, *, mode: str = "RGB", scale: bool = True,
    errors: str = "stop", memory: int = MEMORY,
) -> ImageFolder:  # fmt: skip
    """The images in the folders of a folder, as a source: x (height, width, channels), y the number of the folder.

    Classes are the folders in the order of their names, images follow in the order of theirs. `size` (height, width)
    resizes (bilinear); without it all must have one size. `mode` is "RGB", "L" (grey) or "RGBA". Pixels become 0 to 1
    as float32, or with `scale=False` stay 0 to 255. What has been decoded is kept as bytes, in memory up to `memory`
    bytes and beyond in a file in `kj.data.cache_folder()`, so only the first epoch decodes. An image that cannot be
    read stops with DataError naming the file; with errors="skip" all are decoded at once, here, and those that cannot
    be are left out, with a warning that counts and names them (`.skipped` has all). Needs Pillow.

    >>> from PIL import Image; import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("cat", "dog"):
    ...     (folder / name).mkdir(); Image.new("RGB", (6, 4)).save(folder / name / "1.png")
    >>> images(folder), images(folder).class_names
    (<images of ...: 2 rows of (4, 6, 3) float32 → () int64, 2 classes>, ('cat', 'dog'))
    """
    return ImageFolder(folder, size, mode=mode, scale=scale, errors=errors, memory=memory)


class ImageFolder(Source):
    """The images in a folder of class folders; see `images`."""

    def __init__(
        self, folder: str | os.PathLike[str], size: tuple[int, int] | None = None, *, mode: str = "RGB",
        scale: bool = True, errors: str = "stop", memory: int = MEMORY,
    ) -> None:  # fmt: skip
        self._open, self._faults = pillow()
        if mode not in CHANNELS:
            raise one_of("mode", mode, CHANNELS)
        if errors not in ("stop", "skip"):
            raise one_of("errors", errors, ("skip", "stop"))
        self.folder, self.mode, self.scale = Path(folder), mode, scale
        self.class_names, self.files, self._labels = listed(self.folder, errors)
        self.size = self._checked(size, errors)
        self.resizes = size is not None
        self.name, self.rows = f"images of {self.folder.name or self.folder}", len(self.files)
        self.inputs = (Field((*self.size, CHANNELS[mode]), np.dtype(np.float32 if scale else np.uint8)),)
        self.target = Field((), np.dtype(np.int64))
        self._pool: ThreadPoolExecutor | None = None
        self.decoded = Decoded(self.rows, self.inputs[0].shape, memory, self.fingerprint())
        if errors == "skip":
            self._leave_out_what_is_damaged(memory)

    def read(self, rows: NDArray[np.int64], into: Sequence[Array]) -> None:
        pixels = into[0][: len(rows)]
        missing = self.decoded.missing(rows)
        if missing.size:
            self._decode(np.unique(rows[missing]))
        self.decoded.read(rows, pixels)
        if self.scale:
            np.divide(pixels, 255, out=pixels, casting="unsafe")
        if len(into) > 1:
            into[1][: len(rows)] = self._labels[rows]

    def labels(self) -> Array:
        return self._labels

    def fingerprint(self) -> str:
        """Of the names and sizes of the files, and of what is made of them."""
        found = hashlib.sha256(f"{self.size} {self.mode}".encode())
        for path in self.files:
            found.update(f"{path.parent.name}/{path.name} {path.stat().st_size};".encode())
        return found.hexdigest()[:32]

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
        self._pool = None
        self.decoded.close()

    def pixels_of(self, path: Path) -> NDArray[np.uint8]:
        """One image as (height, width, channels) of 0 to 255. Raises DataError, with the file, when it is damaged."""
        try:
            with self._open(path) as image:
                if image.mode in DEEP:
                    raise DataError(f"{path} has more than 8 bits a channel ({image.mode}): save it with 8.")
                image.load()
                shown = image.convert(self.mode)
                if self.resizes and shown.size != self.size[::-1]:
                    shown = shown.resize(self.size[::-1], 2)  # 2: bilinear
        except DataError:
            raise
        except self._faults as error:
            raise DataError(f"{path} cannot be read as an image: {error}") from error
        array = np.asarray(shown, np.uint8).reshape(shown.size[1], shown.size[0], CHANNELS[self.mode])
        if array.shape[:2] != self.size:
            raise DataError(
                f"{path} is {_by(array.shape[:2])}, and {self.files[0].parent.name}/{self.files[0].name} is "
                f"{_by(self.size)}: say size=(height, width), and all are resized to it."
            )
        return array

    def _decode(self, rows: NDArray[np.int64]) -> None:
        def one(row: int) -> None:
            self.decoded.write(row, self.pixels_of(self.files[row]))

        if self._pool is None:
            self._pool = _threads()
        for _ in self._pool.map(one, rows.tolist()):
            pass

    def _checked(self, size: tuple[int, int] | None, errors: str) -> tuple[int, int]:
        if size is not None:
            good = isinstance(size, tuple | list) and len(size) == 2
            if not good or not all(isinstance(n, int | np.integer) and n > 0 for n in size):
                raise DataError(f"size is (height, width) in pixels, got {size!r}.")
            return int(size[0]), int(size[1])
        for path in self.files:
            try:
                with self._open(path) as image:
                    return int(image.size[1]), int(image.size[0])
            except self._faults as error:
                if errors == "stop":
                    raise DataError(f"{path} cannot be read as an image: {error}") from error
        raise DataError(f"no image in {self.folder} can be read.")

    def _leave_out_what_is_damaged(self, memory: int) -> None:
        bad: dict[int, DataError] = {}

        def one(row: int) -> None:
            try:
                self.decoded.write(row, self.pixels_of(self.files[row]), keep=False)
            except DataError as error:
                bad[row] = error

        with _threads() as pool:
            for _ in pool.map(one, self.decoded.missing(np.arange(self.rows)).tolist()):
                pass
        if not bad:
            return
        if len(bad) == self.rows:
            raise DataError(f"no image in {self.folder} can be read: {bad[min(bad)]}")
        lost = [self.files[row] for row in sorted(bad)]
        self.skipped = tuple(map(str, lost))
        keep = np.array([row for row in range(self.rows) if row not in bad])
        self.files = [self.files[row] for row in keep]
        self._labels, self.rows = self._labels[keep], len(keep)
        self.decoded = self.decoded.kept(keep)
        shown = ", ".join(f"{p.parent.name}/{p.name}" for p in lost[:NAMED]) + (", …" if len(lost) > NAMED else "")
        warnings.warn(
            f"{self.folder}: {len(lost)} of {len(lost) + self.rows} images cannot be read and are left out ({shown}). "
            f"The first: {bad[min(bad)]}",
            stacklevel=4,
        )


def listed(folder: Path, errors: str) -> tuple[tuple[str, ...], list[Path], NDArray[np.int64]]:
    """The names of the classes, the files, and the class of each file."""
    try:
        inside = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    except OSError as error:
        raise DataError(f"the folder {folder} cannot be read: {error.strerror or error}") from error
    classes = [p for p in inside if p.is_dir()]
    if not classes:
        loose = sum(p.suffix.lower() in ENDINGS for p in inside)
        what = f"{loose} images and no folders" if loose else "no folders"
        raise DataError(f"{folder} has {what} in it: each class is a folder of images, as {folder.name}/cat/1.png.")
    files: list[Path] = []
    labels: list[int] = []
    for number, kind in enumerate(classes):
        found = sorted(p for p in kind.rglob("*") if p.suffix.lower() in ENDINGS and p.is_file())
        if not found:
            others = sum(p.is_file() for p in kind.rglob("*"))
            seen = f"{others} files, none of them an image ({', '.join(ENDINGS)})" if others else "nothing in it"
            raise DataError(f"the class folder {kind} has {seen}: remove the folder, or put images there.")
        files += found
        labels += [number] * len(found)
    return tuple(p.name for p in classes), files, np.array(labels, np.int64)


def _by(size: Sequence[int]) -> str:
    return f"{size[0]}×{size[1]}"


def pillow() -> tuple[Callable[..., Any], tuple[type[BaseException], ...]]:
    """What opens an image, and what it raises when the image is damaged."""
    try:
        from PIL import Image
    except ImportError as error:
        raise KedjaError('images are read with Pillow, which is missing: pip install "kedja[images]"') from error
    bomb = Image.DecompressionBombError
    return Image.open, (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, bomb)


def _threads() -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor  # which loads logging: not with every import of kedja

    return ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1), "kedja-decode")
