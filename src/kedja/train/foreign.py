"""Arguments of `fit` that peers have and we spell otherwise, and the errors that say so."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["ELSEWHERE", "refuse_foreign"]

ELSEWHERE = {
    "accumulate_grad_batches": "kedja spells it accumulate=",
    "accumulation_steps": "kedja spells it accumulate=",
    "alpha": "kedja spells it regularizer=kj.regularizers.L2(alpha), on every kernel",
    "amp": 'kedja spells it precision="bfloat16"',
    "checkpoint": 'kedja spells it callbacks=[kj.callbacks.Checkpoint("run")], and resume="run" goes on',
    "criterion": "kedja spells it loss=",
    "dropout": "dropout is a layer: kj.nn.Dropout(0.5)",
    "dtype": 'dtype= is given when the model is made; precision="bfloat16" computes in less',
    "early_stopping": "kedja spells it callbacks=[kj.callbacks.EarlyStopping()]",
    "eta": "the rate belongs to the optimiser: optimizer=kj.optim.SGD(0.1)",
    "gradient_accumulation_steps": "kedja spells it accumulate=",
    "initial_epoch": 'a second call of fit goes on by itself; after a kill, resume="run" does',
    "learning_rate": "the rate belongs to the optimiser: optimizer=kj.optim.SGD(0.1)",
    "lr": "the rate belongs to the optimiser: optimizer=kj.optim.SGD(0.1)",
    "max_epochs": "kedja spells it epochs=",
    "max_iter": "kedja spells it epochs=",
    "mixed_precision": 'kedja spells it precision="bfloat16"',
    "momentum": "the momentum belongs to the optimiser: optimizer=kj.optim.SGD(0.1, momentum=0.9)",
    "n_epochs": "kedja spells it epochs=",
    "num_workers": "sources are read by threads while the device computes: fit(kj.data.images(folder))",
    "patience": "kedja spells it callbacks=[kj.callbacks.EarlyStopping(patience=5)]",
    "penalty": "kedja spells it regularizer=",
    "random_state": "kedja spells it seed=",
    "resume_from_checkpoint": 'kedja spells it resume="run", the folder of callbacks=[kj.callbacks.Checkpoint("run")]',
    "steps_per_epoch": "kj.data.batches(rows, steps=100) ends an epoch after 100 batches",
    "validation_data": "kedja spells it validation=(x, y)",
    "validation_fraction": "kedja spells it validation=0.1",
    "validation_freq": "callbacks=[kj.callbacks.Evaluate(x, y, every='5 epochs')] measures less often",
    "validation_split": "kedja spells it validation=0.1",
    "weight_decay": "decay belongs to the optimiser: optimizer=kj.optim.AdamW(weight_decay=0.01)",
    "workers": "sources are read by threads while the device computes: fit(kj.data.images(folder))",
}


def refuse_foreign(unknown: Iterable[str], ours: Iterable[str]) -> None:
    """Arguments that peers have and we spell otherwise get our spelling; others the list of ours."""
    for name in unknown:
        near = difflib.get_close_matches(name, ours, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(ours)}"
        raise TypeError(f"fit() has no argument {name!r}: {ELSEWHERE.get(name, hint)}")
