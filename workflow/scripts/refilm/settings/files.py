"""Files that are whole or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def partial_file(final: Path) -> Iterator[Path]:
    """A temporary name beside `final`, renamed to it, synced, if the block ends well, and removed if it does not.

    The suffix stays, since ffmpeg tells the container by it.
    """
    final = Path(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = final.with_name(f".{final.stem}.part{os.getpid()}{final.suffix}")
    try:
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, final)
    finally:
        partial.unlink(missing_ok=True)
