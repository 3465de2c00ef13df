"""Training: the loop, its data, its History, and the methods models have for being used."""

from kedja.train import memory, use  # noqa: F401  (lends models their methods)
from kedja.train.checking import check
from kedja.train.fit import fit
from kedja.train.history import History
from kedja.train.overfitting import overfit_one_batch
from kedja.train.range_finder import RateRange, find_learning_rate

__all__ = ["History", "RateRange", "check", "find_learning_rate", "fit", "overfit_one_batch"]
