"""CSV files: what is read, what is made of it, and how each fault is told."""

import bz2
import csv
import gzip
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kedja.data as data
from kedja.data.columns import as_columns
from kedja.errors import DataError, UnknownNameError


@pytest.fixture
def table(tmp_path):
    """Write text to a file and read it as a table."""

    def read(text, name="t.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return data.read_csv(path)

    return read


names = st.text("abcxyzåäö _-,;'\"", min_size=1, max_size=8).map(str.strip).filter(bool)
cells = st.text("abc123 .,;\"'\nåß", max_size=8).map(str.strip).filter(bool)


@settings(deadline=None)
@given(header=st.lists(names, min_size=2, max_size=5, unique=True), draw=st.data(), delimiter=st.sampled_from(",;\t"))
def test_what_is_written_is_read(header, draw, delimiter, tmp_path_factory):
    """Any text between any of the delimiters comes back, when the standard library wrote it."""
    rows = draw.draw(st.lists(st.lists(cells, min_size=len(header), max_size=len(header)), min_size=1, max_size=5))
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([header, *rows])
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    path.write_bytes(written.getvalue().encode())
    read = data.read_csv(path)
    assert read.columns == tuple(header) and len(read) == len(rows)
    assert [read.column(name) for name in header] == list(zip(*rows, strict=True))


@settings(deadline=None)
@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_numbers_come_back_to_the_bit(values, tmp_path_factory):
    """A column of floats written by pandas is read as the same floats."""
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    pd.DataFrame({"v": values}).to_csv(path, index=False)
    assert data.read_csv(path).numeric(["v"])[:, 0].tolist() == values


@pytest.mark.parametrize(
    ("name", "pack"),
    [("t.csv", bytes), ("t.csv.gz", gzip.compress), ("t.csv.bz2", bz2.compress)],
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "BOM"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_files_as_programs_write_them(table, name, pack, mark, end):
    """Packed or not, with or without a byte order mark, with either line end, with blank lines."""
    content = mark + end.join([b"a;b", b"1; 2", b"", b"3;4", b"", b""])
    assert table(pack(content), name).numeric(["b", "a"]).tolist() == [[2, 1], [4, 3]]


def test_a_real_set_survives_the_journey(table):
    """iris, written by pandas with names for classes, is iris again."""
    iris = data.load("iris")
    frame = pd.DataFrame(iris.x, columns=iris.feature_names).assign(species=np.array(iris.class_names)[iris.y])
    learnable = table(frame.to_csv(index=False)).xy("species")
    np.testing.assert_array_equal(learnable.x, iris.x)
    np.testing.assert_array_equal(learnable.y, iris.y)
    assert learnable.x.dtype == np.float32 and learnable.y.dtype == np.int64
    assert learnable.feature_names == iris.feature_names
    assert learnable.class_names == iris.class_names
    assert learnable.task == "classification"


@pytest.mark.parametrize(
    ("cells", "task", "class_names"),
    [
        (["no", "yes", "no"], "classification", ("no", "yes")),
        (["0", "1", "1", "0"], "classification", ("0", "1")),
        (['"a,b"', ' "a,b"', "c", "c"], "classification", ("a,b", "c")),
        (["10", "2", "10", "2"], "classification", ("2", "10")),
        (["1.0", "1", "0", "0.0"], "classification", ("0", "1")),
        (["-1", "1", "1", "-1"], "classification", ("-1", "1")),
        (["3+", "2", "1", "3+"], "classification", ("1", "2", "3+")),
        (["0.5", "1.5", "0.5", "1.5"], "regression", None),
        (["1", "2", "3", "4"], "regression", None),
        (["1000", "2000"] * 3, "regression", None),
        ([str(i % 25) for i in range(100)], "regression", None),
    ],
)
def test_the_task_is_told_from_the_target(table, cells, task, class_names):
    """Text and few whole numbers are classes, all else is an amount."""
    learnable = table("x,t\n" + "".join(f"1,{cell}\n" for cell in cells)).xy("t")
    assert (learnable.task, learnable.class_names) == (task, class_names)
    if class_names:
        assert [class_names[label] for label in learnable.y] == [cell.strip(' "').removesuffix(".0") for cell in cells]
    else:
        assert learnable.y.dtype == np.float32 and learnable.y.tolist() == [float(cell) for cell in cells]


def test_the_task_can_be_overruled(table):
    """task= wins over the guess, both ways."""
    t = table("x,t\n1,0\n2,1\n3,0\n4,1.5\n")
    assert t.xy("t", task="classification").class_names == ("0", "1", "1.5")
    assert table("x,t\n1,0\n2,1\n3,0\n4,1\n").xy("t", task="regression").y.tolist() == [0, 1, 0, 1]


def test_another_file_is_read_by_name(table):
    """Columns in another order, with one more, give the inputs the model knows; labels keep their numbers."""
    first = table("a,b,t\n1,2,yes\n3,4,no\n").xy("t")
    other = table("t,extra,b,a\nyes,hello,20,10\n")
    assert other.features(first.feature_names).tolist() == [[10, 20]]
    assert other.labels("t", first.class_names).tolist() == [1]


def test_features_can_be_chosen(table):
    """A column of text does no harm when it is not asked for."""
    t = table("id,a,t\nx1,1,0.5\nx2,2,1.5\n")
    assert t.xy("t", features=["a"]).x.tolist() == [[1], [2]]


def test_numbered_columns_are_a_header(table):
    """Names 0, 1, 2, … as pandas gives them are names."""
    assert table("0,1,2\n5,6,7\n").columns == ("0", "1", "2")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"t.csv is empty.$"),
        (b"\n  \n", r"t.csv is empty.$"),
        (b'""\n', r"t.csv is empty.$"),
        (b"a,b\n", r"t.csv has a header \(a, b\) and no rows.$"),
        (b"a,b,a\n1,2,3\n", r"t.csv, row 1: more than one column is named 'a'.$"),
        (b",a\n0,1\n", r"t.csv, row 1: column 1 has no name \(pandas writes its index so: save with index=False\).$"),
        (b"a,\n0,1\n", r"t.csv, row 1: column 2 has no name.$"),
        (b"5.1,3.5,0\n4.9,3.0,0\n", r"t.csv, row 1: numbers \(5.1, 3.5, 0\) where .* add a header.$"),
        (b"a,b\n1,2\n\n1,2,3\n", r"t.csv, row 4: 3 cells under a header of 2.$"),
        (b"a,b\n1\n", r"t.csv, row 2: 1 cells under a header of 2.$"),
        (b"a,b\n1,2\nbl\xe4,2\n", r"t.csv, row 3: byte 0xe4 is not UTF-8: save the file as UTF-8.$"),
        (b'a,b\n1,"2\n3,4\n', r"t.csv, row 2: not valid CSV: unexpected end of data.$"),
    ],
)
def test_a_file_that_is_no_table_is_refused(table, content, message):
    """One line with the file, the row and what is wrong."""
    with pytest.raises(DataError, match=message) as error:
        table(content)
    assert "\n" not in str(error.value)


def test_damaged_rows_are_left_out_where_that_is_asked_for(tmp_path):
    """errors="skip" counts and names rows of another length and rows that are not UTF-8; others stay as they were."""
    path = tmp_path / "flats.csv"
    path.write_bytes("town,price\nLund,1\nUmeå\n".encode() + b"Ume\xe5,3\n" + "Umeå,4\nLund,5,6\n".encode())
    with pytest.raises(DataError, match="row 4: byte 0xe5 is not UTF-8"):
        data.read_csv(path)
    with pytest.warns(UserWarning, match=r"3 of 5 rows are left out \(rows 3, 4, 6\)"):
        found = data.read_csv(path, errors="skip")
    assert {name: cells.tolist() for name, cells in as_columns(found).items()} == {
        "town": ["Lund", "Umeå"],
        "price": ["1", "4"],
    }


def test_a_header_that_is_not_utf_8_is_refused_anyway(tmp_path):
    """Without names there is no table, whatever is to be left out."""
    path = tmp_path / "flats.csv"
    path.write_bytes(b"st\xe5d,price\n1,2\n")
    with pytest.raises(DataError, match="row 1: the header is not UTF-8"):
        data.read_csv(path, errors="skip")


def test_a_file_that_cannot_be_opened_is_refused(tmp_path, table):
    """Missing files, folders and broken archives are told as such."""
    with pytest.raises(DataError, match=r"there is no file .*nowhere.csv.$"):
        data.read_csv(tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match="cannot be read"):
        data.read_csv(tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        table(b"a,b\n1,2\n", "t.csv.gz")
    with pytest.raises(DataError, match="cannot be read"):
        table(bz2.compress(b"a,b\n1,2\n")[:-5], "t.csv.bz2")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("abc", r"'abc' is text where a number is expected.$"),
        ("1_000", r"'1_000' is text where a number is expected.$"),
        (
            '"1,5"',
            r"'1,5' is text where a number is expected \(a decimal comma is written as a point, thousands",
        ),
        ("", r"the cell is empty.$"),
        ("NaN", r"the value is missing \('NaN'\).$"),
        ("?", r"the value is missing \('\?'\).$"),
        ("inf", r"'inf' is not finite.$"),
        ("1e999", r"'1e999' is not finite.$"),
        ("1e300", r"1e\+300 is too large for float32: scale it.$"),
    ],
)
def test_a_bad_cell_is_named_with_row_and_column(table, cell, message):
    """An input that is no number, in the third row of the file, after a blank one."""
    t = table(f"width,t\n1,0.5\n\n{cell},1.5\n2,2.5\n")
    with pytest.raises(DataError, match=r"t.csv, row 4, column 'width': " + message) as error:
        t.xy("t")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["1.5", "", "2.5"], r"row 3, column 't': the cell is empty"),
        (["1.5", "NA", "2.5"], r"row 3, column 't': the value is missing \('NA'\)"),
        (["yes", "", "no"], r"row 3, column 't': the cell is empty"),
        (["yes", "yes"], r"all 2 rows have the target 't' = 'yes'"),
        (["1", "1"], r"all 2 rows have the target 't' = '1'"),
        ([f"name {i}" for i in range(30)], r"'t' holds 30 different texts in 30 rows"),
        ([*(f"{i}.5" for i in range(30)), "oops"], r"row 32, column 't': 'oops' is text where a number is expected"),
    ],
)
def test_a_target_that_cannot_be_learned_is_refused(table, cells, message):
    """Missing targets, single classes, names instead of classes, a slip among numbers."""
    t = table("x,t\n" + "".join(f"1,{cell}\n" for cell in cells))
    with pytest.raises(DataError, match=message):
        t.xy("t")


def test_columns_that_are_not_there_are_named_with_the_nearest(table):
    """A misspelt target or input lists the columns."""
    t = table("width,length,bread\n1,2,a\n2,3,b\n")
    with pytest.raises(UnknownNameError, match=r"t.csv 'braed'. Did you mean 'bread'\? Known: bread, length, width"):
        t.xy("braed")
    with pytest.raises(UnknownNameError, match="Did you mean 'width'"):
        t.features(["widht"])
    with pytest.raises(UnknownNameError, match="unknown task 'clasification'. Did you mean 'classification'"):
        t.xy("bread", task="clasification")


def test_inputs_of_text_are_refused_with_advice(table):
    """A whole column of text is not a slip: it says what to do."""
    t = table("colour,t\nred,0.5\nblue,1.5\n")
    with pytest.raises(DataError, match=r"row 2, column 'colour': 'red' is text; text inputs are not supported yet"):
        t.xy("t")


def test_targets_and_inputs_must_both_be_there(table):
    """A table of the target alone has nothing to learn from, and the target is no input."""
    with pytest.raises(DataError, match="no column besides the target 't'"):
        table("t\n1\n2\n").xy("t")
    with pytest.raises(DataError, match="'t' is the target and cannot be an input"):
        table("x,t\n1,2\n").xy("t", features=["x", "t"])


def test_a_class_the_model_does_not_know_is_named(table):
    """A label in another file that was not in the first."""
    with pytest.raises(DataError, match=r"row 3, column 't': 'maybe' is none of the classes no, yes"):
        table("x,t\n1,yes\n2,maybe\n").labels("t", ("no", "yes"))


def test_a_blank_line_in_a_single_column_is_a_missing_cell(table):
    """With one column a blank line holds the place of a value; at the end it is only a blank line."""
    with pytest.raises(DataError, match="row 3, column 'x': the cell is empty"):
        table("x\n1\n\n2\n").numeric(["x"])
    assert table("x\n1\n2\n\n\n").numeric(["x"]).tolist() == [[1], [2]]


def test_long_whole_numbers_stay_different_classes(tmp_path):
    """Class labels beyond 2**53 are compared as the whole numbers they are."""
    path = tmp_path / "t.csv"
    names = ["9007199254740992", "9007199254740993", "9007199254740999"]
    path.write_text("a,label\n" + "".join(f"{i},{names[i % 3]}\n" for i in range(12)), encoding="utf-8")
    assert data.read_csv(path).xy("label", task="classification").class_names == tuple(names)


def test_a_column_that_float32_would_flatten_is_named(tmp_path):
    """Time stamps in milliseconds are refused as inputs, with the name of the column."""
    path = tmp_path / "t.csv"
    path.write_text("when,y\n" + "".join(f"{1700000000000 + 1000 * i},{i}.5\n" for i in range(30)), encoding="utf-8")
    with pytest.raises(DataError, match=r"column 'when': its values, around 1\.7e\+12, differ by less than float32"):
        data.read_csv(path).xy("y")
