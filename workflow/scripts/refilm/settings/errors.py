"""Errors as one line: what is wrong, where, and what to do."""

import argparse
import difflib
import errno
import os
import sys
import traceback
from collections.abc import Callable, Iterable

from refilm.settings.stopping import STOPPED, end_when_told


class RefilmError(Exception):
    """A fault that the user can mend. Its text is one line naming the place, the value and the remedy."""


class Interrupted(Exception):
    """The process was asked to stop, and has kept its work."""


def nearest(name: str, known: Iterable[str]) -> str:
    """'; did you mean X?', or what there is where nothing is near, or nothing where there is nothing."""
    known = sorted(known)
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; there are: {', '.join(known)}" if known else ""


def command_parser(description: str) -> argparse.ArgumentParser:
    """An argument parser as every command of refilm has it: no abbreviations, and --debug."""
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.add_argument("--debug", action="store_true", help="on an error show where in the code it came from")
    return parser


def run_command(main: Callable[[argparse.Namespace], None], parser: argparse.ArgumentParser) -> None:
    """Parse, call `main`, and end the process: 0 done, 1 with one line of error, 75 stopped with the work kept."""
    args = parser.parse_args()
    end_when_told()
    try:
        main(args)
    except Interrupted as stop:
        _end(str(stop), STOPPED)
    except Exception as error:
        if args.debug:
            traceback.print_exc()
        _end(explain(error), 1)


def explain(error: Exception) -> str:
    """The one line for any exception."""
    if isinstance(error, RefilmError):
        return "\\n".join(str(error).splitlines())  # there are films with a line break in their name
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or os.strerror(errno.ENOSPC) in str(error):
        place = getattr(error, "filename", None) or "a file"
        return f"no space left on the disk while writing {place}: make room and run the same command again"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {os.strerror(error.errno) if error.errno else error}"
    return f"unexpected {type(error).__name__}: {' '.join(str(error).split())} (run with --debug to see where)"


def _end(message: str, status: int) -> None:
    print(f"refilm: {message}", file=sys.stderr, flush=True)
    sys.exit(status)
