"""`python bench/gpu.py`: ResNet-50, VGG-16 and a large MLP on a GPU, kedja beside hand-written JAX and PyTorch.

It needs Python with JAX and, for its rows, PyTorch, and this checkout; kedja need not be installed. To try it out on
any machine: `python bench/gpu.py --device cpu --tiny`. Exit status: 0 when all that ran agreed, 1 when a contestant
failed or its losses differ, 2 for a wrong argument or where there is no GPU, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":  # started as a file: this folder is on the path, and what it imports is not
    sys.path[0] = str(ROOT)
    sys.path.insert(1, str(ROOT / "src"))

from bench.device.child import serve  # noqa: E402
from bench.device.contestant import CONTESTANTS, PRECISIONS, Task  # noqa: E402
from bench.device.measure import Deadline, Figures, measure  # noqa: E402
from bench.device.nets import NETS, TINY  # noqa: E402
from bench.device.table import as_json, as_markdown, as_text  # noqa: E402
from bench.machine import describe_machine  # noqa: E402
from bench.report import write_atomically  # noqa: E402
from bench.terminal import positive, progress  # noqa: E402

__all__ = ["main"]

RESULTS = Path(__file__).resolve().parent / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the command line asks for."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.contestant_of:
        serve(Task(**json.loads(options.contestant_of)))
        return 0
    names = options.contestants or [n for n, (_, _, usual, _) in CONTESTANTS.items() if usual or options.all]
    deadline, results = Deadline(options.budget), list[Figures]()
    about: dict[str, Any] = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "settings": {name: getattr(options, name) for name in ("steps", "repeats", "budget", "tiny", "device")},
    }
    left_out = []
    try:
        for task in tasks(options):
            what = f"{task.workload} {task.precision} batch {task.batch}"
            if deadline.left() <= 0:
                left_out.append(what)
                continue
            found = measure(task, names, options.repeats, deadline, progress)
            progress("")
            print(as_text(found), flush=True)
            results.append(found)
            about["left_out"] = left_out
            # After each, so that a run that is cut short leaves what it had.
            write_atomically(options.json, as_json(about, results))
            write_atomically(options.markdown, as_markdown(about, results))
            if all(row.status == "not installed" for row in found.rows):
                return 2
    except KeyboardInterrupt:
        return 130
    if left_out:
        print(f"\nno time was left for: {', '.join(left_out)}")
        about["left_out"] = left_out
        write_atomically(options.json, as_json(about, results))
    rows = [row for found in results for row in found.rows]
    return 1 if any(row.status == "failed" or row.agrees is False for row in rows) else 0


def tasks(options: argparse.Namespace) -> list[Task]:
    """Every workload, precision and batch, the largest batches first: a budget may not last for all."""
    nets = TINY if options.tiny else NETS
    batches = {name: options.batch or nets[name].batches for name in options.workloads}
    most = max(len(b) for b in batches.values())
    return [
        Task("", name, precision, sorted(batches[name], reverse=True)[i], options.steps, options.tiny, options.device)
        for i in range(most)
        for precision in options.precision
        for name in options.workloads
        if i < len(batches[name])
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python bench/gpu.py", description="kedja beside its peers on a GPU.")
    parser.add_argument("--workloads", type=_some_of(NETS), default=list(NETS), metavar="A,B", help=", ".join(NETS))
    parser.add_argument("--batch", type=_numbers, metavar="N,M", help="batch sizes (64 and 256; mlp 1024 and 4096)")
    parser.add_argument(
        "--precision", type=_some_of(PRECISIONS), default=["bf16", "tf32"], metavar="A,B",
        help=f"{', '.join(PRECISIONS)} (bf16,tf32)",
    )  # fmt: skip
    parser.add_argument("--steps", type=_even, default=20, help="steps of one repetition, an even number (20)")
    parser.add_argument("--repeats", type=positive, default=5, help="rounds of each pair (5)")
    parser.add_argument("--budget", type=float, metavar="SECONDS", help="begin nothing new after this time")
    parser.add_argument("--device", choices=("auto", "cpu"), default="auto", help="auto is the GPU, and must be one")
    parser.add_argument("--tiny", action="store_true", help="networks of a few thousand weights, to try this out")
    parser.add_argument("--contestants", type=_some_of(CONTESTANTS), metavar="A,B", help=", ".join(CONTESTANTS))
    parser.add_argument("--all", action="store_true", help="torch_max and torch_eager too")
    parser.add_argument("--json", type=Path, default=RESULTS / "gpu.json", metavar="PATH")
    parser.add_argument("--markdown", type=Path, default=RESULTS / "gpu.md", metavar="PATH")
    parser.add_argument("--contestant-of", help=argparse.SUPPRESS)
    return parser


def _some_of(known: Any) -> Any:
    def read(text: str) -> list[str]:
        names = text.split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is none of {', '.join(known)}")
        return names

    return read


def _numbers(text: str) -> list[int]:
    return [positive(part) for part in text.split(",")]


def _even(text: str) -> int:
    number = positive(text)
    if number % 2:
        raise argparse.ArgumentTypeError(f"needs an even number: an epoch is two steps; not {number}")
    return number


if __name__ == "__main__":
    sys.exit(main())
