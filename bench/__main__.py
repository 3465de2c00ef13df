"""`python -m bench [W1 W3 …]`: measure, print, keep the results beside those of other benchmarks, write the docs page.

Exit status: 0 when no goal was missed, 1 when one was or kedja itself failed, 2 for a wrong argument, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from bench.catalogue import catalogue, choose
from bench.kept import MachineDiffers, expect_same_machine, merge, read
from bench.machine import describe_machine
from bench.page import PAGE, with_figures
from bench.report import as_json, as_markdown, print_table, write_atomically
from bench.results import Result, Settings
from bench.terminal import positive, progress

__all__ = ["main"]

PATIENCE = 45.0  # seconds, so that a whole run takes about an hour
LATEST = Path(__file__).parent / "results" / "latest.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for."""
    parser = _parser()
    options = parser.parse_args(arguments)
    known = catalogue()
    if options.list:
        for benchmark in known:
            print(f"{benchmark.id:12} {benchmark.title}")
        return 0
    if options.page:
        write_page()
        return 0
    try:
        chosen = choose(options.ids, known)
    except ValueError as error:
        parser.error(str(error))
    settings = Settings(
        repeats=options.repeats or (3 if options.quick else 7),
        patience=None if options.repeats else PATIENCE,
        quick=options.quick,
        threads=options.threads or min(2, os.cpu_count() or 1),
        everyone=options.all,
        contestants=tuple(options.contestants.split(",")) if options.contestants else (),
    )
    # A look is not kept unless a place for it is named.
    kept_by_default = not settings.a_look
    paths = [options.json or (LATEST if kept_by_default else None)]
    paths += [options.markdown or (LATEST.with_suffix(".md") if kept_by_default else None)]
    machine = describe_machine()
    before = [] if options.fresh or paths[0] is None else read(paths[0])
    try:
        expect_same_machine(before, machine, paths[0] or LATEST)
    except MachineDiffers as error:
        parser.error(str(error))
    results: list[Result] = []
    try:
        for benchmark in chosen:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            result = replace(
                benchmark.measure(settings, progress), measured=now, machine=machine, settings=asdict(settings)
            )
            progress("")
            print_table(result)
            results.append(result)
            # After every benchmark, so that an interrupted evening still leaves what was measured.
            everything = merge(before, results, [benchmark.id for benchmark in known])
            for path, text in zip(paths, (as_json, as_markdown), strict=True):
                if path is not None:
                    write_atomically(path, text(everything))
            if paths[0] == LATEST:
                write_page()
    except KeyboardInterrupt:
        progress("")
        return 130
    return 0 if all(result.passed for result in results) else 1


def write_page() -> None:
    """Put the latest figures into the page of the documentation."""
    text = PAGE.read_text(encoding="utf-8")
    write_atomically(PAGE, with_figures(text, read(LATEST), catalogue()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench", description="kedja beside its peers.")
    rounds = f"rounds of each pair (7, or 3 where they take {PATIENCE:.0f} s; with --quick 3)"
    parser.add_argument("ids", nargs="*", metavar="W1", help="benchmarks to run (all without any); see --list")
    parser.add_argument(
        "--repeats",
        type=positive,
        help=rounds,
    )
    parser.add_argument("--quick", action="store_true", help="shorter repetitions, fewer rounds: a look, not kept")
    parser.add_argument("--threads", type=positive, help="cores and threads for every contestant (2)")
    parser.add_argument("--all", action="store_true", help="the optional contestants too")
    parser.add_argument("--contestants", metavar="A,B", help="only these, such as kedja,torch_eager; not kept")
    parser.add_argument("--json", type=Path, metavar="PATH", help="where results are kept (results/latest.json)")
    parser.add_argument("--markdown", type=Path, metavar="PATH", help="the same to read (results/latest.md)")
    parser.add_argument("--fresh", action="store_true", help="forget the results kept there")
    parser.add_argument("--page", action="store_true", help="only write the kept results into docs/speed.md")
    parser.add_argument("--list", action="store_true", help="say which benchmarks there are")
    return parser


if __name__ == "__main__":
    sys.exit(main())
