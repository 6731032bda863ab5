"""Told to stop, by SIGTERM or Ctrl-C: what is half made is undone, and the process ends, wherever it was.

The handler of the signal does all of that itself. An exception raised by it would be swallowed where it falls into a
library's `except Exception` or into a `__del__`, and one that falls between the taking of a lock and its `try` leaves
that lock taken for ever, as in `subprocess.Popen.wait`.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STOPPED = 75  # EX_TEMPFAIL of sysexits.h: nothing is wrong, the same command continues
_half_made: dict[object, Callable[[], None]] = {}  # how each thing is undone, the newest last
os.register_at_fork(after_in_child=_half_made.clear)  # it is not the child's: stopping that harms nothing of its parent's


@contextmanager
def undone_if_stopped(undo: Callable[[], None]) -> Iterator[None]:
    """Within the block a signal to stop calls `undo` before the process ends. It may be called at any moment, while the
    block does the same itself: it does not wait for what this process does, and finds things undone without failing."""
    thing = object()
    _half_made[thing] = undo
    try:
        yield
    finally:
        _half_made.pop(thing, None)


def end_when_told() -> None:
    """From now on SIGTERM and SIGINT undo what is half made and end the process with exit status 75."""
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, _end)


def _end(sign: int, _frame) -> None:
    for undo in reversed(list(_half_made.values())):
        with contextlib.suppress(OSError):
            undo()
    with contextlib.suppress(Exception):  # where the signal came amid a write to it
        sys.stdout.flush()
    line_of_bar = "\n" if sys.stderr.isatty() else ""
    who = "stopped by the keyboard" if sign == signal.SIGINT else "told to stop"
    with contextlib.suppress(OSError):
        os.write(2, f"{line_of_bar}refilm: {who}; nothing half-written was left\n".encode())
    os._exit(STOPPED)
