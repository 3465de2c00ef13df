"""memory: the most memory a process held that trained for a while, frameworks, data and compiling included.

The compile cache is off: with it a program is loaded, which takes less than compiling it.

`python -m bench.memory WORKLOAD CONTESTANT SETTINGS` is the process that is looked at.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from dataclasses import asdict, dataclass

from bench.harness import OURS, Workload
from bench.process import last_line, write_down
from bench.results import Progress, Result, Row, Settings
from bench.spread import Spread

__all__ = ["BENCHMARKS", "PeakMemory"]

LOOKED_AT = {"W3": ("w3_mlp", "torch_eager"), "W6": ("w6_lenet", "torch_last")}
MEBIBYTE = 2**20


@dataclass(frozen=True)
class PeakMemory:
    """Peak resident set of kedja and PyTorch, once each."""

    id: str = "memory"
    title: str = "peak memory of a process that trains (resident set), and PyTorch's as a multiple of ours"

    def measure(self, settings: Settings, progress: Progress) -> Result:
        """Our row and the peer's for each workload."""
        rows = []
        for name, (_, peer) in LOOKED_AT.items():
            ours: Row | None = None
            for contestant in (OURS, peer):
                progress(f"{self.id}: {name}, {contestant}")
                row = Row(f"{name} {contestant}", unit="MiB")
                rows.append(row)
                try:
                    row.time = Spread.of([_peak(name, contestant, settings)])
                except subprocess.CalledProcessError as error:
                    write_down(error, row, judged=contestant == OURS)
                    continue
                if contestant == OURS:
                    ours = row
                elif ours is not None and ours.time is not None:
                    row.ratios = [row.time.median / ours.time.median]
                    row.ratio = Spread.of(row.ratios)
        return Result(self.id, self.title, rows)


def _peak(name: str, contestant: str, settings: Settings) -> float:
    environment = _workload(name).contestants[contestant].environment
    arguments = ["-m", "bench.memory", name, contestant, json.dumps(asdict(settings))]
    return float(last_line(arguments, settings, {**environment, "KEDJA_COMPILE_CACHE": "0"})) / MEBIBYTE


def _workload(name: str) -> Workload:
    module = importlib.import_module(f"bench.{LOOKED_AT[name][0]}")
    found: Workload = next(workload for workload in module.BENCHMARKS if workload.id == name)
    return found


def main(name: str, contestant: str, settings: Settings) -> None:
    """Train two epochs and say the most bytes this process held."""
    import resource

    from bench.worker import restrict_cores

    restrict_cores(settings.threads)
    _workload(name).contestants[contestant].build(settings).train(2)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(most if sys.platform == "darwin" else most * 1024)  # Linux counts in KiB


BENCHMARKS = [PeakMemory()]

if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Settings(**json.loads(sys.argv[3])))
