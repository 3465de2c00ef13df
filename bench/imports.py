"""How much `import kedja` adds to `import numpy`, which every user of it has paid already.

Each import happens in a fresh process, timed inside it (interpreter start is not ours), and the two alternate. kedja
loads a name when it is first used, so the import alone would measure nothing: `kedja.Sequential` is asked for too, and
that loads every room that a network is built and trained with.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass

from bench.harness import OURS
from bench.process import last_line, write_down
from bench.results import Limit, Progress, Result, Row, Settings
from bench.spread import Spread

__all__ = ["BENCHMARKS", "ImportTime"]

PAIRS = 15
GOAL = Limit(0.08, "s")
USED = {OURS: "kedja.Sequential"}
# Heavy packages that only some calls need: none may come along with the library itself.
UNWANTED = ("jax", "torch", "keras", "pandas", "matplotlib", "scipy", "sklearn", "fastapi", "flask", "starlette")
PROGRAM = """
import sys, time
start = time.perf_counter()
import {module}
{use}
seconds = time.perf_counter() - start
import json
print(json.dumps([seconds, [name for name in {unwanted!r} if name in sys.modules]]))
"""


@dataclass(frozen=True)
class ImportTime:
    """Seconds `module` takes beyond `base`, paired."""

    id: str
    title: str
    module: str
    base: str
    goal: Limit

    def measure(self, settings: Settings, progress: Progress) -> Result:
        """At least 15 pairs, after one of each that fills the caches of the file system and of bytecode."""
        base, row = Row(self.base, unit="s"), Row(self.module, unit="s")
        added = Row(f"{self.module} − {self.base}", unit="s", goal=str(self.goal))
        rows = [base, row, added]
        pairs: list[tuple[float, float]] = []
        try:
            _import(self.base, settings)
            _import(self.module, settings)
            for turn in range(max(PAIRS, settings.repeats)):
                progress(f"{self.id}: pair {turn + 1}")
                first, _ = _import(self.base, settings)
                second, unwanted = _import(self.module, settings)
                pairs.append((first, second))
        except subprocess.CalledProcessError as error:
            write_down(error, row, judged=True)
            if row.status != "failed" and f"No module named '{self.module}'" not in row.note:
                row.status, row.verdict = "failed", "fail"  # it is there, but something it needs is not
            return Result(self.id, self.title, [row])
        base.time, row.time = Spread.of([pair[0] for pair in pairs]), Spread.of([pair[1] for pair in pairs])
        added.time = Spread.of([second - first for first, second in pairs])
        added.verdict = self.goal.judge(added.time.median)
        if unwanted:
            row.note, added.verdict = f"also loads {', '.join(unwanted)}", "fail"
        return Result(self.id, self.title, rows)


def _import(module: str, settings: Settings) -> tuple[float, list[str]]:
    program = PROGRAM.format(module=module, use=USED.get(module, ""), unwanted=UNWANTED)
    seconds, unwanted = json.loads(last_line(["-c", program], settings, timeout=120))
    return float(seconds), list(unwanted)


BENCHMARKS = [ImportTime("imports", "what `import kedja` and its first use add to `import numpy`", OURS, "numpy", GOAL)]
