"""Files that are whole or not there."""

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_UMASK = os.umask(0)  # can only be read by setting it
os.umask(_UMASK)


@contextmanager
def partial_file(final: Path) -> Iterator[Path]:
    """A temporary name beside `final`, renamed to it, synced, if the block ends well, and removed if it does not.

    The suffix stays, since ffmpeg tells the container by it.
    """
    final = Path(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    for stale in final.parent.glob(f".{glob.escape(final.stem)}.part*{glob.escape(final.suffix)}"):
        stale.unlink(missing_ok=True)  # of a process that was killed; nobody else writes this file while we do
    partial = final.with_name(f".{final.stem}.part{os.getpid()}{final.suffix}")
    try:
        yield partial
        with open(partial, "rb+") as file:
            os.fchmod(file.fileno(), 0o666 & ~_UMASK)  # some libraries write for their owner alone
            os.fsync(file.fileno())
        os.replace(partial, final)
    finally:
        partial.unlink(missing_ok=True)
