"""SIGTERM, SIGHUP and Ctrl-C: clean up, and end the process with exit status 75, wherever it is.

The signal handler does all of it. It raises no exception: a library's `except Exception` or a `__del__` would swallow one,
and one that falls between the acquisition of a lock and the `try` after it, as in `subprocess.Popen.wait`, would leave the
lock held for ever.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn, TypeVar

from refilm.core import job_status

EXIT_TEMPFAIL = 75  # EX_TEMPFAIL of sysexits.h: nothing is wrong, the same command continues
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_MESSAGES: dict[int, str] = {
    signal.SIGTERM: "received SIGTERM",
    signal.SIGINT: "interrupted (Ctrl-C)",
    signal.SIGHUP: "received SIGHUP: the terminal was closed",
}

Resource = TypeVar("Resource")
_cleanups: dict[object, Callable[[], None]] = {}  # one per existing resource, the newest last
_creating: set[object] = set()  # resources that cannot be cleaned up yet, since `create` has not returned
_received: list[int] = []  # the signals to stop, in order


@contextmanager
def cleanup_on_signal(create: Callable[[], Resource], cleanup: Callable[[Resource], None]) -> Iterator[Resource]:
    """Yield what `create` returns, and call `cleanup` with it when the block ends, or when a signal stops the process.

    A signal may come at any moment: `cleanup` must not acquire a lock that this process may hold, and may be called twice.
    `create` must be quick: signals wait until it has returned.
    """
    key = object()
    _creating.add(key)
    try:
        if not _received:
            resource = create()
            _cleanups[key] = lambda: cleanup(resource)
    finally:
        _creating.discard(key)
        while _received:
            if not _creating:
                _exit_on_signal()
            time.sleep(0.01)  # until the `create` of another thread has returned
    try:
        yield resource
    finally:
        try:
            cleanup(resource)
        finally:
            _cleanups.pop(key, None)


def kill_child(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    """A `cleanup` for a child process. Avoids the locks of `subprocess`, which the interrupted code may hold."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(process.pid, signal.SIGKILL)
            os.waitpid(process.pid, 0)


def install_signal_handlers() -> None:
    """From now on SIGTERM, SIGHUP and SIGINT clean up and end the process with exit status 75.

    A signal that the process inherited as ignored stays ignored: a shell starts background jobs so that they ignore Ctrl-C.
    """
    for stop_signal in STOP_SIGNALS:
        if signal.getsignal(stop_signal) is not signal.SIG_IGN:
            signal.signal(stop_signal, _handle)


def hang_up_as_terminate() -> None:
    """Let SIGHUP end the main process of Snakemake as SIGTERM does: when its steps have saved their state and ended.

    Ignored SIGHUP, as under nohup, stays ignored.
    """
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _hang_up)


def _hang_up(_number: int, _frame: FrameType | None) -> None:
    if os.getsid(0) == os.getpid():
        # Without a shell between, as under `ssh -t`: only the leader of a session gets the signal, and the steps get it when
        # the leader has ended, which here waits for them.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.killpg(0, signal.SIGHUP)
    signal.raise_signal(signal.SIGTERM)


def exit_now(status: int, message: str) -> NoReturn:
    """Clean up, print one line, and end the process; from any thread."""
    try:
        for cleanup in reversed(list(_cleanups.values())):
            with contextlib.suppress(Exception):
                cleanup()
        with contextlib.suppress(Exception):
            job_status.end(job_status.STOPPED if status == EXIT_TEMPFAIL else job_status.FAILED, message)
        with contextlib.suppress(Exception):  # the signal may have interrupted a write to it
            sys.stdout.flush()
        newline = "\n" if os.isatty(2) else ""  # a progress bar has not ended its line
        with contextlib.suppress(OSError):
            os.write(2, f"{newline}refilm: {message}\n".encode())
    finally:
        os._exit(status)


def _handle(number: int, _frame: FrameType | None) -> None:
    _received.append(number)
    if not _creating:
        _exit_on_signal()


def _exit_on_signal() -> NoReturn:
    exit_now(EXIT_TEMPFAIL, f"{_MESSAGES[_received[0]]}; no half-written file was left")


def _reset_in_child() -> None:
    """A forked child owns no resource of its parent, and stops as the system does by default."""
    _cleanups.clear()
    for stop_signal in STOP_SIGNALS:
        if signal.getsignal(stop_signal) is _handle:
            signal.signal(stop_signal, signal.SIG_DFL)


os.register_at_fork(after_in_child=_reset_in_child)
