"""Layers that stand before what learns, against scikit-learn and Keras, and what must not leak."""

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import kedja as kj
from kedja.errors import DataError, KedjaError

RNG = np.random.default_rng(0)
X = RNG.normal(5, 3, (40, 3)).round(1)
X[RNG.random(X.shape) < 0.2] = np.nan
TOWNS = np.array(["Lund", "Umeå", "Kiruna"])[RNG.integers(0, 3, 40)]


def table(rows=slice(None)):
    """Numbers with gaps and a category, as a data frame."""
    import pandas as pd

    return pd.DataFrame({"a": X[rows, 0], "b": X[rows, 1], "town": TOWNS[rows]})


@pytest.mark.parametrize("strategy", ["mean", "median", "most_frequent"])
def test_impute_is_scikit_learns(strategy):
    """Fill values and indicators, on rows other than those adapted to."""
    layer = kj.nn.Impute(strategy, indicator=True, dtype="float64").adapt(X[:30])
    theirs = SimpleImputer(strategy=strategy, add_indicator=True).fit(X[:30])
    np.testing.assert_allclose(layer(X[30:]).numpy(), theirs.transform(X[30:]), rtol=1e-12)


def test_one_hot_is_scikit_learns():
    """Categories in its order; one it did not see is all 0."""
    layer = kj.nn.CategoryEncoding(unknown="zeros").adapt(TOWNS[:30])
    theirs = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(TOWNS[:30, None])
    rows = np.array([*TOWNS[30:], "Paris"])
    np.testing.assert_array_equal(layer(rows).numpy(), theirs.transform(rows[:, None]))


@pytest.mark.parametrize("mode", ["one_hot", "multi_hot", "count", "int"])
def test_encodings_are_keras(mode):
    """With a place for unknown categories first, as its StringLookup has it."""
    keras = pytest.importorskip("keras")
    rows = np.array([["b", "a"], ["z", "b"], ["a", "a"]])
    if mode == "one_hot":
        rows = rows[:, :1]
    codes = np.array([[{"a": 1, "b": 2}.get(name, 0) for name in row] for row in rows])
    layer = kj.nn.CategoryEncoding(["a", "b"], {"int": "ordinal"}.get(mode, mode))
    theirs = codes if mode == "int" else keras.layers.CategoryEncoding(3, output_mode=mode)(codes)
    np.testing.assert_array_equal(layer(rows).numpy(), np.asarray(theirs))


def test_columns_are_a_scikit_learn_pipeline():
    """Imputed, standardised, one-hot: the same numbers as its ColumnTransformer, on rows it was not fitted to."""
    front = kj.nn.Columns(dtype="float64").adapt(table(slice(30)))
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    theirs = make_column_transformer(
        (numbers, ["a", "b"]), (MissingIndicator(), ["a", "b"]), (OneHotEncoder(sparse_output=False), ["town"])
    ).fit(table(slice(30)))
    np.testing.assert_allclose(front(table(slice(30, 40))).numpy(), theirs.transform(table(slice(30, 40))), rtol=1e-9)


def model():
    """A front, a layer, a target in its own units."""
    return kj.Sequential([kj.nn.Columns(), kj.nn.Dense(4, "tanh"), kj.nn.Dense(1), kj.nn.Denormalize()])


def fitted(rows, y, **how):
    """Fitted a little."""
    net = model()
    net.fit(rows, y, loss="mse", epochs=2, seed=3, verbose=0, engine="reference", **how)
    return net


def test_validation_rows_are_not_adapted_to():
    """Whatever stands in validation rows, the statistics are the same: they come from the other rows alone."""
    y = RNG.normal(100, 9, (40, 1))
    first = fitted(table(), y, validation=0.25)
    _, held = kj.data.split_rows(40, test=0.25, seed=3)
    other, answers = table(), y.copy()
    other.loc[held, ["a", "b"]] = 1e6
    other.loc[held, "town"] = "Atlantis"
    answers[held] = -1e6
    second = fitted(other, answers, validation=0.25)
    a, b = first.state.of_kind("statistic"), second.state.of_kind("statistic")
    assert list(a) == list(b) and len(a) == 5
    for path in a:
        np.testing.assert_array_equal(a[path].value, b[path].value)
    assert first.layers[0].columns == second.layers[0].columns


def test_raw_rows_go_in_after_loading(tmp_path):
    """Another order, another kind of table, further columns: the same prediction."""
    net = fitted(table(), RNG.normal(100, 9, (40, 1)))
    again = kj.load(net.save(tmp_path / "net"))
    rows = table().iloc[:5]
    expected = net.predict(rows)
    kinds = [rows[["town", "b", "a"]], rows.to_dict("records"), {k: rows[k].to_list() for k in ("b", "town", "a")}]
    for given in kinds:
        np.testing.assert_array_equal(again.predict(given), expected)
    with pytest.warns(UserWarning, match="passed over: colour"):
        np.testing.assert_array_equal(again.predict(rows.assign(colour="red")), expected)
    with pytest.raises(KedjaError, match="lacks the column 'town'"):
        again.predict(rows.drop(columns="town"))


@pytest.mark.parametrize("package", ["polars", "pyarrow"])
def test_other_data_frames(package):
    """polars and Arrow give what pandas gives."""
    pytest.importorskip(package)
    import polars

    front = kj.nn.Columns().adapt(table())
    frame = polars.DataFrame({name: table()[name].to_list() for name in table()})
    given = frame if package == "polars" else frame.to_arrow()
    np.testing.assert_array_equal(front.encode(given), front.encode(table()))


def test_dates_and_large_numbers_keep_their_resolution():
    """Days a day apart and identifiers one apart are told apart in float32."""
    days = np.datetime64("2024-01-01") + np.arange(10)
    front = kj.nn.Columns().adapt({"day": days, "big": 1e12 + np.arange(10.0)})
    y = front({"day": days, "big": 1e12 + np.arange(10.0)}).numpy()
    assert y.dtype == np.float32 and (np.diff(y, axis=0) > 0.1).all()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: kj.nn.Impute("average"), "unknown strategy 'average'"),
        (lambda: kj.nn.Impute().adapt([[np.nan, 1.0]]), "column 0"),
        (lambda: kj.nn.CategoryEncoding(["a", "a"]), "named twice"),
        (lambda: kj.nn.CategoryEncoding()(["a"]), "knows no categories yet"),
        (lambda: kj.nn.CategoryEncoding(["a"], unknown="error")(["b"]), "category 'b' in row 0"),
        (lambda: kj.nn.Columns({"a": "numer"}), "Did you mean 'number'"),
        (lambda: kj.nn.Columns().adapt(np.zeros((2, 2))), "takes a table with named columns"),
        (lambda: kj.nn.Columns().adapt({"a": [1, 2], "b": [1]}), "column 'a' has 2 rows and column 'b' has 1"),
        (lambda: kj.nn.Columns({"a": "number"}).adapt({"a": ["1", "x", "2"]}), "row 1 (counting from 0), column 'a'"),
        (lambda: kj.nn.Rescale(np.inf), "finite number"),
        (lambda: kj.nn.OneHot(3).encode([3]), "has 3 in row 0"),
    ],
)
def test_what_is_refused(make, said):
    """With what came and what is expected."""
    with pytest.raises(KedjaError) as error:
        make()
    assert said in str(error.value)


def test_missing_values_need_a_layer_for_them():
    """Without one NaN is refused as before."""
    with pytest.raises(DataError, match="nan at row"):
        kj.Sequential([kj.nn.Dense(1)]).fit(X, X[:, :1], loss="mse")


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("form", ["datetime64", "objects", "text", "polars"])
def test_dates_of_data_frames(form, gaps):
    """Dates of pandas, polars and Python are dates, with and without a split, and mean what they mean as text."""
    import pandas as pd
    import polars as pl

    days = pd.Series(pd.date_range("2020-01-01", periods=30, freq="11D"))
    days = days.where(~days.index.isin([4, 9])) if gaps else days
    text = [None if pd.isna(day) else day.strftime("%Y-%m-%d") for day in days]
    objects = [None if pd.isna(day) else day.date() for day in days]
    sold = {"datetime64": days, "objects": objects, "text": text, "polars": pl.Series(objects)}[form]
    frame = pl.DataFrame({"sold": sold}) if form == "polars" else pd.DataFrame({"sold": sold})
    net = kj.Sequential([kj.nn.Columns(), kj.nn.Dense(1)])
    net.fit(frame, np.arange(30.0)[:, None], loss="mse", validation=0.2, seed=0, verbose=0, engine="reference")
    assert "date" in str(net.layers[0].treatments)
    np.testing.assert_array_equal(net.predict(frame), net.predict({"sold": text}))


def test_one_row_is_a_list_of_one():
    """A dict of single values is no table; what to write instead is said."""
    net = kj.Sequential([kj.nn.Columns(), kj.nn.Dense(1)])
    net.fit({"a": [1.0, 2.0, 4.0]}, [[1.0], [2.0], [3.0]], loss="mse", seed=0, verbose=0, engine="reference")
    assert net.predict([{"a": 3}]).shape == (1, 1)
    with pytest.raises(DataError, match=r"column 'a' is 3, one value: a row of a table is given as \[row\]"):
        net.predict({"a": 3})
