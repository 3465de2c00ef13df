"""Sequences: what their papers and archives say of them, and what a file of the format .ts may hold."""

import sys

import numpy as np
import pytest

import kedja.data as data
from kedja.errors import DataError

ARCHIVED = {
    "basic_motions": (40, 40, (100, 6)),
    "gunpoint": (50, 150, (150, 1)),
    "italy_power_demand": (67, 1029, (24, 1)),
    "japanese_vowels": (270, 370, (29, 12)),
    "osu_leaf": (200, 242, (427, 1)),
}


# --- the sets of the archives ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ARCHIVED)
def test_sizes_are_those_the_archive_lists(name):
    """Rows for training and test, steps and features."""
    train, test = data.load(name).split()
    assert (len(train), len(test), train.x.shape[1:]) == ARCHIVED[name]
    assert test.x.shape[1:] == train.x.shape[1:]


def test_japanese_vowels_are_as_the_donors_describe_them():
    """30 utterances of each speaker to learn from, 24 to 88 for the test, 7 to 29 steps long."""
    whole = data.load("japanese_vowels")
    train, test = whole.split()
    assert np.bincount(train.y).tolist() == [30] * 9
    assert np.bincount(test.y).tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]
    lengths = whole.mask.sum(1)
    assert (lengths.min(), lengths.max()) == (7, 29)
    assert not whole.x[~whole.mask].any()
    assert (whole.mask == (np.arange(29) < lengths[:, None])).all()


def test_the_first_utterance_stands_as_in_the_file():
    """The first steps of the first two channels, written down, and its 20 steps."""
    first = data.load("japanese_vowels")
    np.testing.assert_array_equal(first.x[0, :3, 0], np.float32([1.860936, 1.891651, 1.939205]))
    np.testing.assert_array_equal(first.x[0, :3, 1], np.float32([-0.207383, -0.193249, -0.239664]))
    assert first.mask[0].sum() == 20 and first.y[0] == 0


@pytest.mark.parametrize("name", ["gunpoint", "italy_power_demand", "osu_leaf"])
def test_series_of_one_feature_are_in_standard_units(name):
    """The archive gives each series with mean 0 and deviation 1."""
    x = data.load(name).x[..., 0].astype(np.float64)
    np.testing.assert_allclose(x.mean(1), 0, atol=1e-3)
    np.testing.assert_allclose(x.std(1), 1, atol=0.03)


def test_a_part_keeps_its_masks():
    """Rows and masks are cut together."""
    whole = data.load("japanese_vowels")
    train, test = whole.split(test=0.5, seed=1)
    for part in (train, test):
        assert not part.x[~part.mask].any() and (part.x[part.mask] != 0).any(1).all()


def test_without_aeon_the_remedy_is_named(monkeypatch):
    """One line that says what to install, and that its files are enough."""
    monkeypatch.setitem(sys.modules, "aeon", None)
    with pytest.raises(
        DataError, match=r"'gunpoint' is read from the package aeon, .* pip install --no-deps aeon"
    ) as e:
        data.load("gunpoint")
    assert "\n" not in str(e.value)


# --- the adding problem ---------------------------------------------------------------------------------------------
def test_two_steps_are_marked_and_added():
    """One mark in either half, numbers in 0..1, and the sum of the marked ones as target."""
    x, y = data.load("adding", n=500, steps=21, seed=3)
    marks = x[..., 1]
    assert set(np.unique(marks)) == {0.0, 1.0}
    assert (marks[:, :10].sum(1) == 1).all() and (marks[:, 10:].sum(1) == 1).all()
    assert x[..., 0].min() >= 0 and x[..., 0].max() < 1
    rows, steps = np.nonzero(marks)
    np.testing.assert_allclose(x[rows, steps, 0].reshape(500, 2).sum(1), y[:, 0], rtol=1e-6)
    counts = marks.sum(0)
    assert counts[:10].min() > 25 and counts[10:].min() > 22  # 50 and 45 on the average


def test_answering_one_has_the_error_of_the_paper():
    """The variance of the sum of two uniform numbers, 1/6."""
    _, y = data.load("adding", n=50_000)
    assert abs(y.mean() - 1) < 0.01 and abs(((y - 1) ** 2).mean() - 1 / 6) < 0.003


def test_the_seed_decides_the_rows():
    """The same bits again, other bits for another seed."""
    a, b, c = (data.load("adding", n=9, seed=s).x.tobytes() for s in (1, 1, 2))
    assert a == b != c


@pytest.mark.parametrize("options", [{"n": 0}, {"steps": 1}, {"n": 2.5}])
def test_sizes_that_make_no_problem(options):
    """Rows and steps are whole, and enough."""
    with pytest.raises(DataError, match="adding: n="):
        data.load("adding", **options)


# --- the format -----------------------------------------------------------------------------------------------------
HEAD = "# a comment\n@problemName toy\n@TimeStamps false\n@classLabel true a b\n"


@pytest.fixture
def file(tmp_path):
    """A function that writes a file and reads it."""

    def read(text, encoding="utf-8"):
        path = tmp_path / "toy.ts"
        path.write_text(text, encoding=encoding)
        return data.read_ts(path)

    return read


def test_channels_lengths_and_labels(file):
    """Channels become the last axis, shorter rows end in zeros, labels follow the order of the list."""
    found = file(HEAD + "@data\n1, 2,3:-4,5e-1,6:b\n\n7:8:a\n")
    assert found.x.tolist() == [[[1, -4], [2, 0.5], [3, 6]], [[7, 8], [0, 0], [0, 0]]]
    assert found.mask.tolist() == [[True, True, True], [True, False, False]]
    assert (found.y.tolist(), found.class_names, found.name, found.task) == (
        [1, 0],
        ("a", "b"),
        "toy",
        "classification",
    )


def test_equal_lengths_have_no_mask(file):
    """Nothing is padded, so nothing needs masking."""
    assert file(HEAD + "@data\n1,2:a\n3,4:b\n").mask is None


def test_numbers_as_targets(file):
    """@targetLabel: a regression."""
    found = file("@targetLabel true\n@data\n1,2:0.25\n3,4:-1\n")
    assert (found.task, found.y.tolist(), found.y.dtype.name) == ("regression", [0.25, -1], "float32")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no rows after a line @data"),
        (HEAD, "no rows after a line @data"),
        ("1,2,3\n4,5,6\n", "line 1: a line of settings begins with @, this one with '1,2,3'"),
        (HEAD + "@data\n1,?,3:a\n", r"toy.ts, line 6: a value is missing \(\?\)"),
        (HEAD + "@data\n1,2:a\n1,x:a\n", "toy.ts, line 7: a value is not a number"),
        (HEAD + "@data\n1,2:c\n", "line 6: the label 'c' is not among those listed, a, b"),
        (HEAD + "@data\n1,2:3:a\n", "line 6: its channels have 2, 1 steps"),
        (HEAD + "@data\n1,2:a\n1,2:3,4:a\n", "line 7: 2 channels, and the row before it has 1"),
        (HEAD + "@data\na\n", "line 6: a row is channels and a label"),
        ("@timeStamps true\n@classLabel true a\n@data\n(0,1):a\n", "it has time stamps"),
        ("@classLabel false\n@data\n1,2\n", "lists no class labels"),
        ("@targetLabel true\n@data\n1,2:much\n", "line 3: the target 'much' is not a number"),
    ],
)
def test_files_that_are_refused(file, text, message):
    """File, line, and what is wrong there."""
    with pytest.raises(DataError, match=message):
        file(text)


def test_a_file_that_is_not_there_or_no_text(file, tmp_path):
    """The path, and why."""
    with pytest.raises(DataError, match="nowhere.ts cannot be read as a .ts file"):
        data.read_ts(tmp_path / "nowhere.ts")
    with pytest.raises(DataError, match="cannot be read as a .ts file"):
        file(HEAD + "é", encoding="latin-1")
