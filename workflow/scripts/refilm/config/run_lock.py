"""Locks of Snakemake that a killed run left behind are removed when the next one starts.

Snakemake writes which files a run reads and makes to .snakemake/locks, deletes that at the end, and refuses another run for
the same files. It does not see whether the run that wrote a lock still exists. So each run holds a shared flock on
.snakemake/refilm.lock, which ends with its process, however that ends, and on whichever machine. A run that gets the
exclusive lock is alone: what is in .snakemake/locks then was left behind.

The file has a line for each run that began, and for each that ended by itself. Locks are removed only if they can be those
of runs that began and never ended: none is older, and there are no more of them than such runs write. Otherwise a workflow
that does not use this file made some of them, and they stay. (Such a workflow is mistaken for a killed run only where it
runs at this moment, began after that run was killed, and that run left no lock of its own.)
"""

import atexit
import contextlib
import fcntl
import os
import re
import socket
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TextIO

from refilm.core.errors import RefilmError
from refilm.core.files import try_lock

_NAME = "refilm.lock"
_KINDS = ("input", "output")
_LINE = re.compile(r"(began|ended): ([\d.]+) process (\d+) on (\S+)")
# Options with which Snakemake makes nothing, or protects nothing. One that is missing here costs little: no lock is removed
# while such a command runs.
_NO_RUN = {
    "--dry-run", "--dryrun", "--unlock", "--nolock", "--lint", "--dag", "--rulegraph", "--filegraph", "--d3dag", "--list",
    "--list-rules", "--list-target-rules", "-l", "--summary", "-S", "--detailed-summary", "-D", "--list-changes", "--lc",
    "--report", "--archive", "--containerize", "--generate-unit-tests", "--cleanup-metadata", "--cm",
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """A main process of Snakemake. began: seconds since 1970, by the clock of the file system."""

    began: str
    process: int
    host: str

    @classmethod
    def this(cls, lock: TextIO) -> Self:
        """This process; `began` is now."""
        os.utime(lock.fileno())
        return cls(f"{os.fstat(lock.fileno()).st_mtime:.6f}", os.getpid(), socket.gethostname())

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}"

    def may_be_alive(self) -> bool:
        """False if this machine is that of the run, and has no such process."""
        try:
            if self.host == socket.gethostname():
                os.kill(self.process, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # of another user
        return True


_held: TextIO | None = None  # for as long as the process lives


def begin_run(words: Iterable[str], folder: Path = Path(".snakemake")) -> None:
    """Remove the locks of killed runs, and hold the lock of this one until the process ends.

    words: of the command line. A command that makes nothing, such as a dry run, holds no lock.
    Does nothing in a folder that cannot be written, or on a file system without flock.
    """
    global _held
    if _held:  # refilm is imported twice by one workflow
        return
    with contextlib.suppress(OSError, RefilmError):
        folder.mkdir(exist_ok=True)
        lock = open(folder / _NAME, "a+")  # noqa: SIM115 (Python closes it in child processes)
        _look_at_others(lock, folder / "locks")
        if makes_nothing(words):
            lock.close()
            return
        # Waits while another process has the exclusive lock, which is for a moment. Where this one has it, another may get
        # it in between: that one finds nothing to remove, since Snakemake writes its locks later.
        fcntl.flock(lock, fcntl.LOCK_SH)
        run, _held = Run.this(lock), lock
        _append(lock, f"began: {run.began} {run}")
        atexit.register(_append, lock, f"ended: {run.began} {run}")


def makes_nothing(words: Iterable[str]) -> bool:
    """Whether these words of a command line have an option with which Snakemake makes nothing, or writes no lock."""
    return any(word.startswith("-n") or word.partition("=")[0] in _NO_RUN for word in words)


def _look_at_others(lock: TextIO, locks: Path) -> None:
    """Remove the locks that killed runs left behind, or print which run may still need those that are there."""
    alone, runs = try_lock(lock), _runs(lock)
    files = {kind: list(locks.glob(f"[0-9]*.{kind}.lock")) for kind in _KINDS}
    found = [file for of_kind in files.values() for file in of_kind]
    if not alone:
        if found and (alive := _names(run for run in runs if run.may_be_alive())):
            print(f"{locks.parent}: {alive}: runs Snakemake in this folder too", file=sys.stderr)
        return
    if found and _are_of(runs, files):
        for file in found:
            file.unlink(missing_ok=True)
        print(f"{locks}: deleted, as they were left behind by a run that was killed ({_names(runs)})", file=sys.stderr)
    lock.truncate(0)


def _runs(lock: TextIO) -> list[Run]:
    """Those that began and did not end by themselves."""
    lock.seek(0)
    runs: dict[Run, None] = {}
    for verb, began, process, host in _LINE.findall(lock.read()):
        run = Run(began, int(process), host)
        if verb == "began":
            runs[run] = None
        else:
            runs.pop(run, None)
    return list(runs)


def _are_of(runs: list[Run], files: dict[str, list[Path]]) -> bool:
    """Whether all lock files can be of these runs. Each writes at most one of a kind."""
    if not runs:
        return False
    first = min(float(run.began) for run in runs)
    return all(
        len(of_kind) <= len(runs) and all(file.stat().st_mtime >= first for file in of_kind) for of_kind in files.values()
    )


def _names(runs: Iterable[Run]) -> str:
    return ", ".join(map(str, runs))


def _append(lock: TextIO, line: str) -> None:
    with contextlib.suppress(OSError):  # a full disk
        print(line, file=lock, flush=True)
