"""Arguments of `fit` that peers have and we spell otherwise, and the errors that say so."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["ELSEWHERE", "refuse_foreign"]

ELSEWHERE = {
    "alpha": "kedja spells it regularizer=kj.regularizers.L2(alpha), on every kernel",
    "criterion": "kedja spells it loss=",
    "dropout": "dropout is a layer: kj.nn.Dropout(0.5)",
    "early_stopping": "kedja spells it callbacks=[kj.callbacks.EarlyStopping()]",
    "eta": "the rate belongs to the optimiser: optimizer=kj.optim.SGD(0.1)",
    "learning_rate": "the rate belongs to the optimiser: optimizer=kj.optim.SGD(0.1)",
    "lr": "the rate belongs to the optimiser: optimizer=kj.optim.SGD(0.1)",
    "max_iter": "kedja spells it epochs=",
    "momentum": "the momentum belongs to the optimiser: optimizer=kj.optim.SGD(0.1, momentum=0.9)",
    "n_epochs": "kedja spells it epochs=",
    "random_state": "kedja spells it seed=",
    "penalty": "kedja spells it regularizer=",
    "validation_data": "kedja spells it validation=(x, y)",
    "validation_fraction": "kedja spells it validation=0.1",
    "validation_split": "kedja spells it validation=0.1",
    "weight_decay": "decay belongs to the optimiser: optimizer=kj.optim.AdamW(weight_decay=0.01)",
}


def refuse_foreign(unknown: Iterable[str], ours: Iterable[str]) -> None:
    """Arguments that peers have and we spell otherwise get our spelling; others the list of ours."""
    for name in unknown:
        near = difflib.get_close_matches(name, ours, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(ours)}"
        raise TypeError(f"fit() has no argument {name!r}: {ELSEWHERE.get(name, hint)}")
