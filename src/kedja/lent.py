"""Methods that an upper room gives to classes of a lower one, by name: class → method → the module that brings it.

A lower room never imports an upper one. It looks here when a method is asked for that it does not have itself.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["LENT", "borrowed"]

LENT: dict[str, dict[str, str]] = {
    "Module": {
        **dict.fromkeys(
            (
                "compile",
                "evaluate",
                "fit",
                "predict",
                "predict_labels",
                "predict_proba",
                "reset",
                "train_on_batch",
                "use_averaged_weights",
            ),
            "kedja.train.use",
        ),
        **dict.fromkeys(("freeze", "unfreeze", "with_head"), "kedja.nn.transfer"),
        "load_weights": "kedja.formats.weights",
        "preprocess": "kedja.zoo.preprocessing",
        "save": "kedja.formats.state",
        "training_memory": "kedja.train.memory",
    },
    "Ensemble": {"save": "kedja.formats.ensembles"},
    "_Augmentation": {"preview": "kedja.explain.pictures.variants"},
}


def borrowed(owner: Any, name: str) -> Any:
    """The method `name` of `owner`, after loading the room that lends it; AttributeError when none does."""
    for cls in type(owner).__mro__:
        module = LENT.get(cls.__name__, {}).get(name)
        if module is not None:
            import_module(module)
            return getattr(owner, name)
    raise AttributeError(f"{type(owner).__name__!r} object has no attribute {name!r}")
