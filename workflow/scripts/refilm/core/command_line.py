"""Shared by all commands: the parser, errors as one line, and exit statuses."""

import argparse
import sys
import traceback
from collections.abc import Callable

from refilm.core import job_status
from refilm.core.errors import Interrupted, RefilmError, explain
from refilm.core.signals import EXIT_TEMPFAIL, install_signal_handlers


def command_parser(description: str) -> argparse.ArgumentParser:
    """An argument parser with --debug and without abbreviated options."""
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.add_argument("--debug", action="store_true", help="print the traceback of an error")
    return parser


def check_count(count: int) -> None:
    """Raises RefilmError if the option --count is not a valid number of frames."""
    if count < 1:
        raise RefilmError(f"--count: {count} is not a valid number of frames: it must be 1 or more")


def run_command(main: Callable[[argparse.Namespace], None], parser: argparse.ArgumentParser) -> None:
    """Parse the arguments and call `main`. Exit status: 0 done, 1 error, 75 stopped by a signal with the work saved."""
    args = parser.parse_args()
    install_signal_handlers()
    job_status.begin()
    try:
        main(args)
    except Interrupted as stop:
        _end(str(stop), EXIT_TEMPFAIL)
    except Exception as error:
        if args.debug:
            traceback.print_exc()
        _end(explain(error), 1)
    job_status.end(job_status.DONE)


def _end(message: str, status: int) -> None:
    job_status.end(job_status.STOPPED if status == EXIT_TEMPFAIL else job_status.FAILED, message)
    print(f"refilm: {message}", file=sys.stderr, flush=True)
    sys.exit(status)
