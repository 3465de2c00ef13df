"""Optimisers by name."""

import pytest

import kedja as kj
from kedja.errors import UnknownNameError
from kedja.optim import Adam, Nesterov, RMSProp
from kedja.optim.registry import CLASSES, NAMES


def test_names_in_any_case():
    """Ours, and those that Keras and PyTorch have for the same rule."""
    assert repr(kj.optim.get("Adam")) == repr(Adam())
    assert type(kj.optim.get("nag")) is type(kj.optim.get("NESTEROV")) is Nesterov
    assert type(kj.optim.get("RMSprop")) is RMSProp
    theirs = ["SGD", "RMSprop", "Adam", "AdamW", "Adadelta", "Adagrad", "Adamax", "Lion", "LBFGS"]
    assert [type(kj.optim.get(name)).__name__.lower() for name in theirs] == [name.lower() for name in theirs]


def test_every_class_has_a_name():
    """And every name makes one of the classes, with its defaults."""
    assert {type(make()) for make in NAMES.values()} == set(CLASSES.values())
    assert all(getattr(kj.optim, name) is cls for name, cls in CLASSES.items())


def test_an_unknown_name():
    """It lists the known and the nearest."""
    with pytest.raises(UnknownNameError, match="Did you mean 'adam'. Known: adadelta, adagrad, adam, adamax, adamw"):
        kj.optim.get("adamm")
    with pytest.raises(UnknownNameError, match="unknown optimizer 'Adem'. Did you mean"):
        kj.optim.get({"name": "Adem"})
