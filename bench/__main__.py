"""`python -m bench [W1 W3 …]`: measure, print, and keep the results.

Exit status: 0 when no goal was missed, 1 when one was or kedja itself failed, 2 for a wrong argument, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench.catalogue import catalogue, choose
from bench.machine import describe_machine
from bench.report import as_json, as_markdown, print_table, write_atomically
from bench.results import Result, Settings

__all__ = ["main"]

RESULTS = Path(__file__).parent / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for."""
    parser = _parser()
    options = parser.parse_args(arguments)
    known = catalogue()
    if options.list:
        for benchmark in known:
            print(f"{benchmark.id:12} {benchmark.title}")
        return 0
    try:
        chosen = choose(options.ids, known)
    except ValueError as error:
        parser.error(str(error))
    settings = Settings(
        repeats=options.repeats or (3 if options.quick else 7),
        quick=options.quick,
        threads=options.threads or min(2, os.cpu_count() or 1),
        everyone=options.all,
        contestants=tuple(options.contestants.split(",")) if options.contestants else (),
    )
    machine, when = describe_machine(), datetime.now(UTC).isoformat(timespec="seconds")
    results: list[Result] = []
    try:
        for benchmark in chosen:
            result = benchmark.measure(settings, _progress)
            _progress("")
            print_table(result)
            results.append(result)
            # After every benchmark, so that an interrupted evening still leaves what was measured.
            about = (machine, asdict(settings), when, results)
            write_atomically(options.json, as_json(*about))
            write_atomically(options.markdown, as_markdown(*about))
    except KeyboardInterrupt:
        _progress("")
        return 130
    return 0 if all(result.passed for result in results) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench", description="kedja beside its peers.")
    parser.add_argument("ids", nargs="*", metavar="W1", help="benchmarks to run (all without any); see --list")
    parser.add_argument("--repeats", type=_positive, help="rounds of each pair (7, with --quick 3)")
    parser.add_argument("--quick", action="store_true", help="shorter repetitions, fewer rounds: a look, not a result")
    parser.add_argument("--threads", type=_positive, help="cores and threads for every contestant (2)")
    parser.add_argument("--all", action="store_true", help="the optional contestants too")
    parser.add_argument("--contestants", metavar="A,B", help="only these, such as kedja,torch_eager")
    parser.add_argument("--json", type=Path, default=RESULTS / "latest.json", metavar="PATH")
    parser.add_argument("--markdown", type=Path, default=RESULTS / "latest.md", metavar="PATH")
    parser.add_argument("--list", action="store_true", help="say which benchmarks there are")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"needs a whole number of at least 1, not {number}")
    return number


def _progress(text: str) -> None:
    """One line that overwrites itself, only where someone watches."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
