"""Files that are whole or not there."""

import glob
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from refilm.core.errors import RefilmError
from refilm.core.progress import progress_bar
from refilm.core.signals import cleanup_on_signal

_UMASK = os.umask(0)  # can only be read by setting it
os.umask(_UMASK)


@contextmanager
def atomic_write(final: Path) -> Iterator[Path]:
    """A temporary name beside `final`, renamed to it, synced, if the block ends well, and removed if it does not.

    The suffix stays, since ffmpeg tells the container by it.
    """
    final = Path(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    for stale in final.parent.glob(f".{glob.escape(final.stem)}.part*{glob.escape(final.suffix)}"):
        stale.unlink(missing_ok=True)  # of a process that was killed; nobody else writes this file while we do
    with scratch_file(final.with_name(f".{final.stem}.part{os.getpid()}{final.suffix}")) as partial:
        yield partial
        with open(partial, "rb+") as file:
            os.fchmod(file.fileno(), 0o666 & ~_UMASK)  # some libraries write for their owner alone
            os.fsync(file.fileno())
        os.replace(partial, final)


@contextmanager
def scratch_file(path: Path) -> Iterator[Path]:
    """A name that is free again after the block, however it ends, but for a process that is killed."""

    with cleanup_on_signal(lambda: path, _unlink):
        try:
            yield path
        finally:
            _unlink(path)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder of the system's for temporary files, gone after the block in the same way."""
    with cleanup_on_signal(lambda: Path(tempfile.mkdtemp(prefix="refilm-")), _remove_tree) as folder:
        try:
            yield folder
        finally:
            _remove_tree(folder)


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)


def _remove_tree(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def check_space(path: Path, needed_bytes: int) -> None:
    """Raises RefilmError if the disk of `path` has less room than a result will need."""
    folder = Path(path).parent
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise RefilmError(
            f"{path}: no space left on the disk for it: it needs {needed_bytes / 1e9:.1f} GB and {free / 1e9:.1f} GB "
            f"are free in {folder}: make room and run the same command again"
        )


def sha256_of(path: Path | str) -> str:
    """The SHA-256 of a file, in hexadecimal digits; shows progress, since a film takes a while."""
    digest, size = hashlib.sha256(), Path(path).stat().st_size
    with open(path, "rb") as file, progress_bar(f"check {Path(path).name}", size, "B", scaled=True) as bar:
        while block := file.read(1 << 20):
            digest.update(block)
            bar.update(len(block))
    return digest.hexdigest()


def check_sha256(path: Path | str, wanted: str) -> None:
    """Raises RefilmError, with both sums, if the file at `path` has not that SHA-256."""
    found = sha256_of(path)
    if found != wanted.lower():
        raise RefilmError(f"{path}: its sha256 is {found}, and not {wanted.lower()}: this is another file, or a damaged one")
