"""Sources: rows out of arrays and .npy files, parts of them, fingerprints."""

import numpy as np
import pytest

import kedja as kj
from kedja.data.npy_file import NpyFile
from kedja.data.source import Part, fingerprint_of
from kedja.errors import DataError


@pytest.fixture
def files(tmp_path):
    """Two files, x (5000, 7, 3) and labels, and what is in them."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5000, 7, 3)).astype(np.float32), rng.integers(0, 4, 5000)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    return tmp_path / "x.npy", tmp_path / "y.npy", x, y


@pytest.mark.parametrize(
    "rows",
    [[0], [4999], range(100, 2000), [3, 1, 2], [7, 7, 7], range(4999, -1, -1), range(0, 5000, 997), [0, 4999]],
    ids=str,
)
def test_a_file_gives_the_rows_that_are_asked_for(files, rows):
    """In any order, repeated, near and far: the same rows as indexing the array gives."""
    px, py, x, y = files
    places = np.array(rows)
    got_x, got_y = kj.data.npy(px, py).take(places)
    assert np.array_equal(got_x, x[places]) and np.array_equal(got_y, y[places])


def test_random_orders_are_read_exactly(files):
    """A whole file in random order, read in pieces smaller than the stretches it is cut into."""
    px, _, x, _ = files
    file = NpyFile(px)
    rows = np.random.default_rng(1).permutation(5000)
    out = np.empty((5000, 7, 3), np.float64)
    file.read(rows, out)
    assert np.array_equal(out, x[rows].astype(np.float64))


def test_old_and_new_headers_and_byte_orders_are_read(tmp_path):
    """Version 2.0 of the format, and numbers of the other byte order."""
    array = np.arange(12.0).reshape(4, 3)
    with open(tmp_path / "v2.npy", "wb") as file:
        np.lib.format.write_array(file, array, version=(2, 0))
    np.save(tmp_path / "big.npy", array.astype(">f8"))
    for name in ("v2.npy", "big.npy"):
        out = np.empty((2, 3), np.float32)
        NpyFile(tmp_path / name).read(np.array([3, 1]), out)
        assert out.tolist() == array[[3, 1]].tolist()


def test_parts_are_the_rows_of_a_split(files):
    """A split source holds the rows that split_rows names, and none twice."""
    px, py, x, y = files
    source = kj.data.npy(px, py)
    train, test = source.split(test=0.2, seed=3)
    assert len(train) == 4000 and len(test) == 1000
    together = np.concatenate([train.places, test.places])
    assert np.array_equal(np.sort(together), np.arange(5000))
    assert np.array_equal(test.take(np.arange(1000))[0], x[test.places])
    shares = np.bincount(test.labels(), minlength=4) / np.bincount(y)
    assert np.abs(shares - 0.2).max() < 1e-3  # stratified, to within a row


def test_parts_by_group_and_in_time(files):
    """Groups are not cut, and in_order takes the last rows."""
    px, py, _, _ = files
    source = kj.data.npy(px, py)
    groups = np.arange(5000) // 10
    train, test = source.split(test=0.3, groups=groups)
    assert not set(groups[train.places]) & set(groups[test.places])
    assert source.split(test=100, in_order=True)[1].places.tolist() == list(range(4900, 5000))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: p.write_bytes(b"not an array"), "is no .npy file"),
        (lambda p: p.write_bytes(p.read_bytes()[:-9]), "is cut short: its header says 5000 rows, and 4999 are there"),
        (lambda p: np.save(p, np.asfortranarray(np.zeros((5000, 3)))), "is in Fortran order"),
        (lambda p: np.save(p, np.array(["a"] * 5000)), "only real numbers"),
        (lambda p: np.save(p, np.zeros((0, 3))), "there are no rows"),
        (lambda p: np.save(p, np.zeros((4, 3))), "has 4 rows and y has 5000"),
        (lambda p: p.unlink(), "there is no file"),
    ],
)
def test_damaged_files_are_named(files, spoil, message):
    """A file that is none, cut short, of another order, kind or length is refused in a sentence with its name."""
    px, py, _, _ = files
    spoil(px)
    with pytest.raises(DataError, match=message) as error:
        kj.data.npy(px, py)
    assert "x.npy" in str(error.value)


def test_a_file_that_shrinks_while_it_is_read_is_an_error(files):
    """What is no longer there is not made up."""
    px, py, _, _ = files
    source = kj.data.npy(px, py)
    px.write_bytes(px.read_bytes()[:10_000])
    with pytest.raises(DataError, match="ended while it was read"):
        source.take([4000])


def test_fingerprints_follow_the_data(files):
    """Another number, another order, another part: another fingerprint; the same file moved: the same."""
    px, py, x, y = files
    first = kj.data.npy(px, py)
    before = first.fingerprint()
    parts = {Part(first, rows).fingerprint() for rows in ([0, 1], [1, 0], [0, 2])}
    moved = px.with_name("moved.npy")
    moved.write_bytes(px.read_bytes())
    assert kj.data.npy(moved, y).rows == 5000 and kj.data.npy(moved).x.fingerprint() == first.x.fingerprint()
    x[17, 0, 0] += 1
    np.save(px, x)
    changed = kj.data.npy(px, py)
    assert changed.fingerprint() != before and len(parts) == 3


def test_fingerprints_of_large_arrays_look_at_samples():
    """An array of more than 64 MB costs little, and a change in a row that is looked at is seen."""
    large = np.zeros((1024, 20_000), np.float32)
    before = fingerprint_of(large)
    large[0, 0] = 1
    assert fingerprint_of(large) != before


def test_rows_outside_are_refused(files):
    """A row that is not there is an error, not the last one."""
    with pytest.raises(DataError, match="has 5000 rows"):
        kj.data.npy(files[0], files[1]).take([5000])
    with pytest.raises(DataError, match="has 5000 rows"):
        Part(kj.data.npy(files[0], files[1]), [-1])


def test_arrays_of_different_lengths_are_no_source():
    """x and y have one row each."""
    with pytest.raises(DataError, match="2 and 3 rows"):
        kj.data.ArraySource(np.zeros((3, 2)), np.zeros(2))
