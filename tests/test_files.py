"""Files written whole."""

import os
from pathlib import Path

import pytest

from kedja.files import cache_folder, write_whole


def test_a_failed_write_leaves_the_old_file_and_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk is full, what was there before is still there, and nothing else."""
    target = tmp_path / "a.txt"
    write_whole(target, "old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(target, "new")
    assert target.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


def test_the_cache_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """KEDJA_CACHE decides where things that can be made again are kept."""
    monkeypatch.setenv("KEDJA_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
