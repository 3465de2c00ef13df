"""One contestant in a process of its own: `python -m bench.worker MODULE:ID CONTESTANT [SETTINGS]`.

After set-up it writes one line of JSON (`ready`, or `missing` with a package's name), then answers each line it reads:
`{"do": "check"}` → `{"value": loss}`, `{"do": "run"}` → `{"seconds", "steps", "loss", "others"}`. End of input ends it.
All contestants are timed here, by one clock: reset and garbage collection before, the loss after, neither counted.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
from typing import Any

from bench.answers import Answers
from bench.harness import Trainer, Workload
from bench.machine import busy_seconds, version_of
from bench.results import Settings

__all__ = ["main", "restrict_cores"]

# Where a distribution is not called what it is imported as.
DISTRIBUTIONS = {"sklearn": "scikit-learn"}


def main(arguments: list[str]) -> None:
    """Set up, report, then serve requests until stdin closes."""
    address, name = arguments[:2]
    settings = Settings(**json.loads(arguments[2])) if len(arguments) > 2 else Settings()
    answers = Answers()
    restrict_cores(settings.threads)
    module, _, workload_id = address.partition(":")
    workload: Workload = next(w for w in importlib.import_module(module).BENCHMARKS if w.id == workload_id)
    contestant = workload.contestants[name]
    if answers.misses(contestant.requires):
        return
    start = time.perf_counter()
    trainer = contestant.build(settings)
    trainer.tune()
    trainer.train(workload.warm_up_epochs)
    ready = {
        "setup_seconds": time.perf_counter() - start,
        "versions": {p: version_of(DISTRIBUTIONS.get(p, p)) or "source checkout" for p in contestant.requires},
        "describe": trainer.describe(),
    }
    answers.say(ready)
    epochs = workload.epochs_for(name, settings)
    for line in sys.stdin:
        request = json.loads(line)["do"]
        if request == "check":
            answers.say({"value": workload.agreement.value(trainer)})
        elif request == "run":
            answers.say(_timed(workload, trainer, epochs))
        else:
            raise ValueError(f"a worker can 'check' or 'run', not {request!r}")


def _timed(workload: Workload, trainer: Trainer, epochs: int) -> dict[str, Any]:
    trainer.reset()
    gc.collect()
    busy, own = busy_seconds(), time.process_time()
    start = time.perf_counter()
    steps = trainer.train(epochs)
    seconds = time.perf_counter() - start
    own = time.process_time() - own
    others = None if busy is None else max(0.0, (busy_seconds() or 0.0) - busy - own)
    return {"seconds": seconds, "steps": steps, "loss": workload.loss(trainer.weights()), "others": others}


def restrict_cores(threads: int) -> None:
    """XLA sizes its thread pool by the cores it may use; without this it would get more threads than the others."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


if __name__ == "__main__":
    main(sys.argv[1:])
