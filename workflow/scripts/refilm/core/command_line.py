"""The command line of a step: one parser, one error line, one exit status."""

import argparse
import sys
import traceback
from collections.abc import Callable

from refilm.core.errors import Interrupted, explain
from refilm.core.signals import EXIT_TEMPFAIL, install_signal_handlers


def command_parser(description: str) -> argparse.ArgumentParser:
    """An argument parser as every command of refilm has it: no abbreviations, and --debug."""
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.add_argument("--debug", action="store_true", help="on an error show where in the code it came from")
    return parser


def run_command(main: Callable[[argparse.Namespace], None], parser: argparse.ArgumentParser) -> None:
    """Parse, call `main`, and end the process: 0 done, 1 with one line of error, 75 stopped with the work kept."""
    args = parser.parse_args()
    install_signal_handlers()
    try:
        main(args)
    except Interrupted as stop:
        _end(str(stop), EXIT_TEMPFAIL)
    except Exception as error:
        if args.debug:
            traceback.print_exc()
        _end(explain(error), 1)


def _end(message: str, status: int) -> None:
    print(f"refilm: {message}", file=sys.stderr, flush=True)
    sys.exit(status)
