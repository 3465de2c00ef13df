"""The command line: `kedja train | evaluate | predict | data | derive`, and the pages it writes.

Exit codes: 0 well, 2 bad input (one line on stderr), 3 diverged (weights kept), 130 interrupted (weights kept). This
module and `arguments` import nothing heavy, so that `kedja --help` answers at once; a command loads what it needs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from kedja import __version__
from kedja.cli.arguments import COMMANDS, parse
from kedja.errors import DivergedError, KedjaError

__all__ = ["main"]

BAD_INPUT, DIVERGED, INTERRUPTED = 2, 3, 130

GREETING = f"""\
kedja {__version__}: neural networks in which everything can be seen. Things to try:

  kedja train xor                          a network that learns exclusive or, in seconds
  kedja train mnist_5k                     handwritten digits, with a page that shows what it learned
  kedja train FILE.csv --target COLUMN     your own table
  kedja predict RUN FILE.csv               ask a trained network about new rows
  kedja data                               the data sets that are there
  kedja derive "x**2 * sin(x)" --at 2      a derivative, rule by rule
  kedja explain heatmap RUN PHOTO          what in a picture speaks for its class

kedja --help lists every command, kedja train --help its options."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Whatever is wrong with the input is said in one line on stderr.

    >>> main(["--version"])
    kedja ...
    0
    """
    given = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        # A console that has no σ shows a question mark instead of ending the program.
        if (change := getattr(stream, "reconfigure", None)) is not None:
            change(errors="replace")
    try:
        if not given:
            print(GREETING)
            return 0
        if given == ["--version"]:
            print(f"kedja {__version__}")
            return 0
        options = parse(given)
        if options is None:  # help was asked for, and shown
            return 0
        assert options.command in COMMANDS
        code: int = import_module(f"kedja.cli.{options.command}").run(options, given)
        sys.stdout.flush()  # here, where a reader that has gone is no surprise
        return code
    except DivergedError as error:
        return _refused(error, DIVERGED)
    except KedjaError as error:
        return _refused(error, BAD_INPUT)
    except BrokenPipeError:  # `kedja predict … | head` has read what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f"{os.fspath(error.filename)}: " if error.filename is not None else ""
        return _refused(f"{where}{error.strerror or error}.", BAD_INPUT)
    except KeyboardInterrupt:
        return _refused("interrupted.", INTERRUPTED)
    except MemoryError as error:
        return _refused(f"there is not enough memory: {error or 'use smaller layers or fewer rows'}.", BAD_INPUT)


def _refused(why: object, code: int) -> int:
    print(f"kedja: {' '.join(str(why).split())}", file=sys.stderr)
    return code
