"""A file from the network, once: several places to get it from, a checksum it must have, resumed where it broke off."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.error import URLError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from kedja.errors import DataError, StorageError
from kedja.files import cache_folder

__all__ = ["checksum_in", "downloaded", "sha256_of"]

SCHEMES = ("file", "http", "https")
BLOCK = 1 << 20
LARGEST = 8 << 30  # bytes, whatever a server says
PATIENCE = 30.0  # seconds without a byte
SHORTEST = 8  # letters of a checksum
FAULTS = (URLError, http.client.HTTPException, ConnectionError, TimeoutError, ValueError)


def checksum_in(address: str) -> str | None:
    """The SHA-256 (or its first letters) that an address states: "…#sha256=57934424…", or in a name as PyTorch's are.

    >>> checksum_in("https://example.org/x.pth#sha256=ABCD1234"), checksum_in("https://example.org/x-0676ba61.pth")
    ('abcd1234', '0676ba61')
    """
    stated = re.search(r"sha256=([0-9a-fA-F]{8,64})$", urlsplit(address).fragment)
    named = re.search(r"-([0-9a-f]{8,64})\.\w+$", urlsplit(address).path)
    found = stated or named
    return found[1].lower() if found else None


def downloaded(addresses: str | Sequence[str], sha256: str, folder: str = "downloads", largest: int = LARGEST) -> Path:
    """The file with this SHA-256 (its first 8 letters or more), from the first of the addresses that has it.

    It is kept in `kj.data.cache_folder()`, and checked again each time. What broke off goes on where it ended, from the
    next address if need be. What a server says of its size is not believed: no more than `largest` bytes are taken, and
    nothing gets the file's name that has another checksum.

    Raises DataError saying what went wrong at each address, and how to fetch the file by hand.
    """
    places = [addresses] if isinstance(addresses, str) else list(addresses)
    wanted = sha256.lower()
    if not re.fullmatch(r"[0-9a-f]{8,64}", wanted):
        raise DataError(
            f"a SHA-256 has 64 hexadecimal letters, of which the first {SHORTEST} are needed; got {sha256!r}"
        )
    for place in places:
        if urlsplit(place).scheme not in SCHEMES:
            raise DataError(f"{place!r} is no address: it begins with one of {', '.join(SCHEMES)}")
    name = re.sub(r"[^\w.-]+", "-", Path(unquote(urlsplit(places[0]).path)).name) or "file"
    kept = cache_folder() / folder / f"{wanted[:16]}-{name}"
    if kept.is_file() and sha256_of(kept).startswith(wanted):
        return kept
    part = kept.with_name(f".{kept.name}.part")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the folder {kept.parent}: {error.strerror or error}") from error
    told = []
    for place in places:
        try:
            _fetch(place, part, largest)
            found = sha256_of(part)
            if found.startswith(wanted):
                os.replace(part, kept)
                return kept
            part.unlink()
            told.append(f"{place}: the file there has the SHA-256 {found[:16]}…, not {wanted[:16]}…")
        except FAULTS as error:
            told.append(f"{place}: {getattr(error, 'reason', None) or error or type(error).__name__}")
        except OSError as error:
            raise StorageError(f"cannot write {part}: {error.strerror or error}") from error
    raise DataError(
        f"{name} could not be had:\n  "
        + "\n  ".join(told)
        + f"\nBy hand: fetch {places[0].split('#')[0]} on a machine "
        f"that can, and save it as {kept}; or give the path of the file instead of its address."
    )


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch(address: str, part: Path, largest: int) -> None:
    """Bring `part` to its end, from where it is if the server goes on there, else from the beginning."""
    have = part.stat().st_size if part.is_file() else 0
    request = Request(address.split("#")[0], headers={"User-Agent": "kedja", **_range(have)})
    try:
        answer = urlopen(request, timeout=PATIENCE)
    except URLError as error:
        if have and getattr(error, "code", None) == 416:  # there is no more than we have, or another file
            part.unlink()
            return _fetch(address, part, largest)
        raise
    with contextlib.closing(answer):
        goes_on = getattr(answer, "status", None) == 206 and _begins(answer.headers.get("Content-Range"), have)
        size = have if goes_on else 0
        claimed = answer.headers.get("Content-Length")
        with open(part, "ab" if goes_on else "wb") as file:
            while block := answer.read(BLOCK):
                size += len(block)
                if size > largest:
                    file.close()
                    part.unlink()
                    raise ValueError(f"it is larger than {largest:,} bytes")
                file.write(block)
        expected = (have if goes_on else 0) + int(claimed) if claimed and claimed.isdigit() else size
        if size < expected:
            raise ConnectionError(f"it broke off after {size:,} of {expected:,} bytes")
    return None


def _range(have: int) -> dict[str, str]:
    return {"Range": f"bytes={have}-"} if have else {}


def _begins(said: str | None, have: int) -> bool:
    return said is not None and said.replace(" ", "").startswith(f"bytes{have}-")
