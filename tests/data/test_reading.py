"""One function for files of all kinds, and tables and frames that come as objects."""

import numpy as np
import pytest

import kedja as kj
from kedja.errors import DataError, UnknownNameError

pa = pytest.importorskip("pyarrow")
pl = pytest.importorskip("polars")
pd = pytest.importorskip("pandas")
COLUMNS = {"area": [31.5, 48.0, 0.1], "rooms": [1, 2, 2], "kind": ["a", "b", "a"]}


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".feather"])
def test_tables_of_all_kinds_are_the_same_table(tmp_path, ending):
    """The same columns out of CSV, Parquet and Feather give the same inputs and classes, to the last bit."""
    frame, path = pd.DataFrame(COLUMNS), tmp_path / f"flats{ending}"
    if ending == ".csv":
        frame.to_csv(path, index=False)
    else:
        getattr(frame, f"to_{ending[1:]}")(path)
    x, y, names, classes, _ = kj.data.read(path).xy("kind")
    assert x.tolist() == np.array([[31.5, 1], [48, 2], [0.1, 2]], np.float32).tolist()
    assert y.tolist() == [0, 1, 0] and names == ("area", "rooms") and classes == ("a", "b")


def test_float32_columns_keep_their_bits(tmp_path):
    """Numbers go through the table's text unchanged."""
    values = np.random.default_rng(0).normal(size=50).astype(np.float32)
    pd.DataFrame({"v": values}).to_parquet(tmp_path / "v.parquet")
    assert np.array_equal(kj.data.read_parquet(tmp_path / "v.parquet").features(["v"])[:, 0], values)


def test_missing_cells_of_parquet_are_named(tmp_path):
    """A null is an empty cell, with its row and column."""
    pd.DataFrame({"a": [1.0, None], "b": [1, 2]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match="row 2, column 'a': the (cell is empty|value is missing)"):
        kj.data.read_parquet(tmp_path / "t.parquet").xy("b")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.parquet", b"PAR1 nothing", "cannot be read"),
        ("t.feather", b"nothing", "cannot be read"),
        ("t.npz", b"nothing", "cannot be read"),
        ("t.xyz", b"", "no ending kedja reads"),
        ("t.parquet", None, "there is no file"),
        ("t.npz", None, "there is no file"),
    ],
)
def test_files_that_cannot_be_read_are_named(tmp_path, name, content, message):
    """Damaged, missing, or of a kind nobody knows."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        kj.data.read(tmp_path / name)


def test_npz_and_npy_files_give_sources(tmp_path):
    """x and y out of one file or two."""
    x, y = np.arange(6.0).reshape(3, 2), np.array([0, 1, 0])
    np.savez(tmp_path / "both.npz", x=x, y=y)
    np.savez(tmp_path / "named.npz", pixels=x, digits=y)
    np.save(tmp_path / "x.npy", x)
    sources = [
        kj.data.read(tmp_path / "both.npz"), kj.data.read(tmp_path / "named.npz", "digits", x="pixels"),
        kj.data.read(tmp_path / "x.npy", y),
    ]  # fmt: skip
    for source in sources:
        got = source.take([2, 0])
        assert got[0].tolist() == x[[2, 0]].tolist() and got[1].tolist() == [0, 0]
    with pytest.raises(DataError, match="has the arrays pixels, digits"):
        kj.data.read(tmp_path / "named.npz")


FRAMES = {
    "pandas": lambda d: pd.DataFrame(d),
    "pandas, nullable": lambda d: pd.DataFrame(d).convert_dtypes(),
    "pandas, arrow": lambda d: pd.DataFrame(d).convert_dtypes(dtype_backend="pyarrow"),
    "polars": lambda d: pl.DataFrame(d),
    "arrow": lambda d: pa.table(d),
    "record batch": lambda d: pa.RecordBatch.from_pydict(d),
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_frames_train_as_arrays_do(frame):
    """fit, evaluate and predict take x as a frame and y as one of its columns; weights are those of arrays."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 2)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)
    table = frame({"a": x[:, 0], "b": x[:, 1]})
    labels = frame({"y": y})["y"]
    nets = [kj.Sequential([kj.nn.Dense(2)]) for _ in range(2)]
    how = {"loss": "cross_entropy", "epochs": 2, "batch_size": 16, "seed": 1, "engine": "reference"}
    nets[0].fit(table, labels, validation=(table, labels), **how)
    nets[1].fit(x, y, validation=(x, y), **how)
    assert all(np.array_equal(a, b) for a, b in zip(nets[0].get_weights(), nets[1].get_weights(), strict=True))
    assert np.array_equal(nets[0].predict(table), nets[1].predict(x))
    assert nets[0].evaluate(table, labels) == nets[1].evaluate(x, y)


@pytest.mark.parametrize("frame", [FRAMES["polars"], FRAMES["arrow"]], ids=["polars", "arrow"])
def test_a_missing_value_is_named_by_its_column(frame):
    """Column names of polars and Arrow are in the message, as those of pandas are."""
    net = kj.Sequential([kj.nn.Dense(1)])
    with pytest.raises(DataError, match="nan at row 1, column 1 'rooms'"):
        net.fit(frame({"area": [1.0, 2.0], "rooms": [1.0, None]}), [[1.0], [2.0]], loss="mse")


def test_lists_in_columns_and_dlpack_are_arrays():
    """A column of lists of one length is a matrix; what speaks DLPack alone is taken too."""

    class Device:
        def __init__(self, array):
            self.array = array

        def __dlpack__(self, **how):
            return self.array.__dlpack__(**how)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    net = kj.Sequential([kj.nn.Dense(1, init="ones")]).build((None, 2))
    assert net.predict(pl.Series([[1.0, 2.0], [3.0, 4.0]])).tolist() == [[3.0], [7.0]]
    assert net.predict(pa.array([[1.0, 2.0], [3.0, 4.0]])).tolist() == [[3.0], [7.0]]
    assert net.predict(Device(np.ones((1, 2), np.float32))).tolist() == [[2.0]]


def test_broken_rows_of_a_csv_file_stop_or_are_left_out(tmp_path):
    """A row of another width is named; with errors="skip" it is left out and counted; other rows keep their numbers."""
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n3\n4,5\n6,7,8\n9,x\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"t.csv, row 3: 1 cells under a header of 2"):
        kj.data.read_csv(path)
    with pytest.warns(UserWarning, match=r"2 of 5 rows are left out \(rows 3, 5\): they have another number of cells"):
        table = kj.data.read(path, errors="skip")
    assert table.column("a") == ("1", "4", "9")
    with pytest.raises(DataError, match="row 6, column 'b'"):
        table.numeric(["b"])
    with pytest.raises(UnknownNameError, match="unknown errors 'ignore'"):
        kj.data.read_csv(path, errors="ignore")
