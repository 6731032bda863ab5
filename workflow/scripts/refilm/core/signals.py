"""Told to stop, by SIGTERM or Ctrl-C: what is half made is undone, and the process ends, wherever it was.

The handler of the signal does all of that itself. An exception raised by it would be swallowed where it falls into a
library's `except Exception` or into a `__del__`, and one that falls between the taking of a lock and its `try` leaves
that lock taken for ever, as in `subprocess.Popen.wait`.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn, TypeVar

EXIT_TEMPFAIL = 75  # EX_TEMPFAIL of sysexits.h: nothing is wrong, the same command continues
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_WORDS = {signal.SIGTERM: "told to stop", signal.SIGINT: "stopped by the keyboard"}

Thing = TypeVar("Thing")
_half_made: dict[object, Callable[[], None]] = {}  # how each thing is undone, the newest last
_beginning: set[object] = set()  # things of which it is not yet known how they are undone
_told: list[int] = []  # the signals that came


@contextmanager
def cleanup_on_signal(begin: Callable[[], Thing], undo: Callable[[Thing], None]) -> Iterator[Thing]:
    """What `begin` returns. From its first moment until the end of the block a signal to stop has it undone by `undo`
    before the process ends. `undo` may be called at any moment, by the side of the block's own clearing up: it takes no
    lock that this process may hold, and does not mind if there is nothing left to undo. `begin` is quick: signals wait."""
    key = object()
    _beginning.add(key)
    try:
        if not _told:
            thing = begin()
            _half_made[key] = lambda: undo(thing)
    finally:
        _beginning.discard(key)
        while _told:
            if not _beginning:
                _end()
            time.sleep(0.01)  # until another thread has begun its own
    try:
        yield thing
    finally:
        _half_made.pop(key, None)


def kill_child(process: subprocess.Popen) -> None:
    """An `undo` for a child process. Without the locks of `subprocess`, which the code that it interrupts may hold."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(process.pid, signal.SIGKILL)
            os.waitpid(process.pid, 0)


def install_signal_handlers() -> None:
    """From now on SIGTERM and SIGINT undo what is half made and end the process with exit status 75; but one that this
    process was born to ignore, as what a script runs in the background ignores Ctrl-C, stays ignored."""
    for sign in STOP_SIGNALS:
        if signal.getsignal(sign) is not signal.SIG_IGN:
            signal.signal(sign, _heard)


def exit_now(status: int, line: str) -> NoReturn:
    """End the process now, from whichever thread: what is half made undone, and one line of why."""
    try:
        for undo in reversed(list(_half_made.values())):
            with contextlib.suppress(Exception):
                undo()
        with contextlib.suppress(Exception):  # where it came amid a write to it
            sys.stdout.flush()
        newline = "\n" if os.isatty(2) else ""  # a bar has not ended its line
        with contextlib.suppress(OSError):
            os.write(2, f"{newline}refilm: {line}\n".encode())
    finally:
        os._exit(status)


def _heard(sign: int, _frame) -> None:
    _told.append(sign)
    if not _beginning:
        _end()


def _end() -> NoReturn:
    exit_now(EXIT_TEMPFAIL, f"{_WORDS[_told[0]]}; nothing half-written was left")


def _forget() -> None:
    """In a forked child: nothing half made is its own, and to stop it is no matter of its parent."""
    _half_made.clear()
    for sign in STOP_SIGNALS:
        if signal.getsignal(sign) is _heard:
            signal.signal(sign, signal.SIG_DFL)


os.register_at_fork(after_in_child=_forget)
