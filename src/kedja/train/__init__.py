"""Training: the loop, its data, its History, and the methods models have for being used."""

from kedja.rooms import lazily
from kedja.train import memory, use  # noqa: F401  (lends models their methods)
from kedja.train.fit import fit

HOMES: dict[str, tuple[str, ...]] = {
    "checking": ("check",),
    "history": ("History",),
    "overfitting": ("overfit_one_batch",),
    "range_finder": ("RateRange", "find_learning_rate"),
}

__all__ = ["fit"]
__all__ += [name for names in HOMES.values() for name in names]
__all__.sort()
__getattr__, __dir__ = lazily(__name__, HOMES)
