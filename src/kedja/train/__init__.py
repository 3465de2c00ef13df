"""Training: the loop, its data, its History, and the methods models have for being used."""

from kedja.train import use  # noqa: F401  (lends models their methods)
from kedja.train.fit import fit
from kedja.train.history import History
from kedja.train.range_finder import RateRange, find_learning_rate

__all__ = ["History", "RateRange", "find_learning_rate", "fit"]
