"""The compile cache: hits, misses, damage, and being turned off."""

from pathlib import Path

import numpy as np
import pytest

import kedja as kj


def compiled(factor: float) -> tuple[float, bool]:
    """A program compiled anew: its value, and whether it came from the cache."""
    step = kj.compile(lambda x: (x * factor).sum(), engine="xla")
    value = step(np.ones(3, np.float32)).item()
    return value, step.reports[0].from_cache


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("KEDJA_CACHE", str(tmp_path))
    monkeypatch.delenv("KEDJA_COMPILE_CACHE", raising=False)
    return tmp_path / "compiled"


def test_the_same_program_is_compiled_once(folder: Path) -> None:
    """The second compilation is read from disk and gives the same value; another program is not."""
    assert compiled(2.0) == (6.0, False)
    assert compiled(2.0) == (6.0, True)
    assert compiled(3.0) == (9.0, False)


def test_a_damaged_entry_is_compiled_again(folder: Path) -> None:
    """A flipped bit is noticed by the checksum and costs one compilation."""
    compiled(2.0)
    (entry,) = folder.glob("*.xla")
    blob = bytearray(entry.read_bytes())
    blob[-1] ^= 1
    entry.write_bytes(blob)
    assert compiled(2.0) == (6.0, False)
    assert compiled(2.0) == (6.0, True)


def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the folder's place is taken by a file, programs are simply compiled."""
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("KEDJA_CACHE", str(tmp_path / "taken"))
    assert compiled(2.0) == (6.0, False)


def test_the_cache_can_be_turned_off(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """KEDJA_COMPILE_CACHE=0 neither reads nor writes."""
    compiled(2.0)
    monkeypatch.setenv("KEDJA_COMPILE_CACHE", "0")
    assert compiled(2.0) == (6.0, False)


def test_the_oldest_entries_go_when_the_folder_is_full(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder never grows beyond its limit; the entry used last stays."""
    compiled(2.0)
    monkeypatch.setattr("kedja.engines.xla.cache.MOST_BYTES", 1)
    compiled(3.0)
    assert not list(folder.glob("*.xla"))


def test_a_whole_training_run_is_the_same_from_the_cache(folder: Path) -> None:
    """Machine code from disk trains to the same bits as code just made."""
    runs = []
    for _ in range(2):
        net = kj.Sequential([kj.nn.Dense(3, activation="tanh"), kj.nn.Dense(1)])
        x = np.linspace(-1, 1, 12, dtype=np.float32).reshape(6, 2)
        net.fit(x, x[:, :1], loss="mse", epochs=5, batch_size=4, seed=0, engine="xla", verbose=0)
        runs.append(net.predict(x))
    assert np.array_equal(*runs)
