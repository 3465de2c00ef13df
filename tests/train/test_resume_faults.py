"""What can go wrong with a folder of checkpoints, and what survives: the fault list of docs/resume.md, row by row."""

import errno
import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

import kedja as kj
from kedja.errors import DataError, FormatError, StorageError
from kedja.train.checkpoints import Checkpoints
from kedja.train.lock import LOCK, locked
from kedja.train.snapshot import Snapshot
from train.resumable import Halt, X, Y, plain, run


def crashed(folder):
    """A run of four epochs that ended in the third; its checkpoints are after steps 24 and 27 of 40."""
    with pytest.raises(Halt):
        run("adam", "reference", folder, 4, crash=29)
    return Checkpoints(folder).files()


# --- damaged checkpoints --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "damage",
    [
        lambda blob: blob[:-100],
        lambda blob: b"",
        lambda blob: blob[:2000] + bytes([blob[2000] ^ 1]) + blob[2001:],
        lambda blob: bytes(len(blob)),
        lambda blob: b"not a checkpoint at all",
    ],
    ids=["truncated", "empty", "one bit", "zeros", "foreign"],
)
def test_a_damaged_checkpoint_is_passed_over(damage, tmp_path):
    """The one before serves, with a warning that names the damaged file; the bits at the end are the same."""
    whole = run("adam", "reference", None, 4)
    files = crashed(tmp_path)
    files[-1].write_bytes(damage(files[-1].read_bytes()))
    with pytest.warns(UserWarning, match=f"{files[-1].name} is damaged.*Going on from .*{files[-2].name}"):
        assert run("adam", "reference", tmp_path, 4, resume=tmp_path) == whole


def test_a_missing_checkpoint_is_passed_over(tmp_path):
    """Somebody removed the newest: the one before serves."""
    whole = run("adam", "reference", None, 4)
    crashed(tmp_path)[-1].unlink()
    assert run("adam", "reference", tmp_path, 4, resume=tmp_path) == whole


def test_all_checkpoints_damaged(tmp_path):
    """Then nothing is guessed: the run is refused, the folder named, the files left as they are."""
    for path in crashed(tmp_path):
        path.write_bytes(path.read_bytes()[:50])
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(FormatError, match="and so is every other checkpoint"):
        run("adam", "reference", tmp_path, 4, resume=tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_a_checkpoint_of_a_later_version(tmp_path, monkeypatch):
    """It is whole, so it is not passed over: the advice is to update."""
    monkeypatch.setattr("kedja.train.snapshot.VERSION", 99)
    Checkpoints(tmp_path).write(Snapshot({}), keep=2)
    monkeypatch.undo()
    with pytest.raises(FormatError, match="version 99.*Update kedja"):
        run("adam", "reference", None, 1, resume=tmp_path)


# --- a disk that is full --------------------------------------------------------------------------------------------
class Full:
    """A disk that is full from one write of a checkpoint to another."""

    def __init__(self, monkeypatch, first, last=10**9):
        self.count, plain = 0, os.fsync

        def fsync(handle):
            if os.path.isfile(f"/proc/self/fd/{handle}") or os.name != "posix":
                self.count += 1
                if first <= self.count <= last:
                    raise OSError(errno.ENOSPC, "No space left on device")
            plain(handle)

        monkeypatch.setattr(os, "fsync", fsync)


def test_a_full_disk_does_not_end_the_run(tmp_path, monkeypatch):
    """The run goes on and ends as it would have; it warned once, kept the checkpoints it had, and said so."""
    whole = run("adam", "reference", None, 4)
    Full(monkeypatch, 4)
    with pytest.warns(UserWarning) as told:
        assert run("adam", "reference", tmp_path, 4) == whole
    said = [str(w.message) for w in told]
    assert len(said) == 2
    assert "no checkpoint was written" in said[0] and str(tmp_path) in said[0] and "No space left" in said[0]
    assert "has ended, and its last checkpoint was NOT written" in said[1]
    monkeypatch.undo()
    kept = Checkpoints(tmp_path).files()
    assert [p.name[:17] for p in kept] == ["checkpoint-000002", "checkpoint-000003"]
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    assert run("adam", "reference", tmp_path, 4, resume=tmp_path) == whole


def test_room_again(tmp_path, monkeypatch):
    """When there is room again the next checkpoint is written, and nothing is said at the end."""
    Full(monkeypatch, 2, 5)
    with pytest.warns(UserWarning) as told:
        run("adam", "reference", tmp_path, 4)
    assert ["no checkpoint was written" in str(w.message) for w in told] == [True]
    assert Checkpoints(tmp_path).newest()[1].facts["epochs"] == 4


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such limit")
def test_a_limit_on_the_size_of_files(tmp_path):
    """The system itself refuses the write (RLIMIT_FSIZE): the training ends well, warnings name folder and reason."""
    program = """
import resource, signal, sys
from train.resumable import run
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
print(run("adam", "reference", sys.argv[1], 2)["stopped"])
"""
    here = os.path.dirname(os.path.dirname(__file__))
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "run")], env={**os.environ, "PYTHONPATH": here},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == "ran all 2 epochs\n", done.stderr
    assert "File too large" in done.stderr and str(tmp_path / "run") in done.stderr
    assert not (tmp_path / "run").exists()  # nothing was written, nothing is left


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may mount")
def test_a_real_full_disk(tmp_path):
    """A tmpfs with room for two checkpoints and not for a third while they are there: the run ends as it would have."""
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", str(tmp_path)], capture_output=True
    ).returncode:
        pytest.skip("this machine mounts nothing")
    try:
        whole = run("adam", "reference", None, 2)
        with pytest.warns(UserWarning, match="No space left on device"):
            assert run("adam", "reference", tmp_path, 2) == whole
        assert Checkpoints(tmp_path).files()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert run("adam", "reference", tmp_path, 2, resume=tmp_path) == whole
    finally:
        subprocess.run(["umount", str(tmp_path)], capture_output=True)


def test_the_best_model_cannot_be_written(tmp_path, monkeypatch):
    """A full disk when the best model is saved: the run goes on, the best one before stays."""
    net = plain()
    Full(monkeypatch, 5)
    with pytest.warns(UserWarning, match="No space left"):
        history = net.fit(X, Y, loss="mse", epochs=4, seed=0, engine="reference",
                          callbacks=[kj.callbacks.Checkpoint(tmp_path, best="loss")])  # fmt: skip
    assert history.stopped == "ran all 4 epochs"
    assert kj.load(tmp_path / "best").predict(X).shape == (75, 1)


# --- folders that cannot be written ---------------------------------------------------------------------------------
def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    """Refused before the first step, with the folder and the reason: nothing is lost yet."""
    plain_open = os.open

    def shut(path, flags, *more, **how):
        if str(path).endswith(LOCK):
            raise PermissionError(errno.EROFS, "Read-only file system")
        return plain_open(path, flags, *more, **how)

    monkeypatch.setattr(os, "open", shut)
    net = plain()
    with pytest.raises(StorageError, match=f"cannot write into {tmp_path}: Read-only"):
        net.fit(X, Y, loss="mse", callbacks=[kj.callbacks.Checkpoint(tmp_path)])
    assert not net.built


def test_a_file_where_the_folder_should_be(tmp_path):
    """Named, before the first step."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot make the folder"):
        plain().fit(X, Y, loss="mse", callbacks=[kj.callbacks.Checkpoint(tmp_path / "file")])


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="this user may write everywhere")
def test_a_folder_without_permission(tmp_path):
    """A folder that this user may not write is refused before the first step."""
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="Permission denied"):
        plain().fit(X, Y, loss="mse", callbacks=[kj.callbacks.Checkpoint(tmp_path)])


# --- two runs, one folder -------------------------------------------------------------------------------------------
def test_two_runs_of_one_process(tmp_path):
    """While one run writes a folder, another is refused and told who has it; afterwards the lock is gone."""
    said = []

    class Second(kj.callbacks.Callback):
        def after_epoch(self, run, epoch, figures):
            with pytest.raises(DataError) as caught:
                plain().fit(X, Y, loss="mse", engine="reference", callbacks=[kj.callbacks.Checkpoint(tmp_path)])
            said.append(str(caught.value))

    plain().fit(X, Y, loss="mse", engine="reference", callbacks=[kj.callbacks.Checkpoint(tmp_path), Second()])
    assert f"process {os.getpid()}" in said[0] and str(tmp_path) in said[0]
    assert not (tmp_path / LOCK).exists()


HOLD = """
import sys, time
from kedja.train.lock import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_lock_of_another_process(tmp_path):
    """Held by a living process it is respected, and the message has its number; of a killed one it is taken over."""
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(DataError, match=f"process {other.pid} on "), locked(tmp_path):
            pass
    finally:
        other.kill()
        other.wait()
    assert json.loads((tmp_path / LOCK).read_text())["pid"] == other.pid  # it had no time to clear up
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with locked(tmp_path):
            assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert not (tmp_path / LOCK).exists()


def test_a_lock_file_of_nonsense(tmp_path):
    """What is in the file does not matter: only whether somebody holds it."""
    (tmp_path / LOCK).write_text("nonsense")
    with locked(tmp_path), pytest.raises(DataError, match="is being written"), locked(tmp_path):
        pass


# --- the file itself ------------------------------------------------------------------------------------------------
def test_what_a_callback_may_remember(tmp_path):
    """Every kind of plain data comes back as it was; anything else is refused by name."""
    facts = {"a": None, "b": [1, 2.5, "ö"], "c": float("nan"), "d": float("-inf"), "e": {"f": True}}
    arrays = {
        "w": np.arange(6, dtype="float32").reshape(2, 3),
        "n": np.int64(3) * np.ones((), "int64"),
        "z": np.zeros((0, 2)),
    }
    blob = Snapshot({**facts, "kept": {"x": arrays["w"]}}, arrays).to_bytes()
    again = Snapshot.from_bytes(blob)
    assert repr({k: v for k, v in again.facts.items() if k != "kept"}) == repr(facts)
    for name, array in {**arrays, "kept": arrays["w"]}.items():
        back = again.facts["kept"]["x"] if name == "kept" else again.arrays[name]
        assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())
    with pytest.raises(FormatError, match="facts.a is <object"):
        Snapshot({"a": object()}).to_bytes()


def test_numbers_of_files_only_rise(tmp_path):
    """Ten and more sort after nine, and a number is not given twice."""
    shelf = Checkpoints(tmp_path)
    names = [shelf.write(Snapshot({"n": n}), keep=1).name for n in range(12)]
    assert names == sorted(names) and shelf.newest()[1].facts == {"n": 11}
