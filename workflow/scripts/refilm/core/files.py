"""Atomic writes, temporary files, locks, free space and checksums."""

import contextlib
import fcntl
import glob
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from refilm.core.errors import RefilmError, is_disk_full
from refilm.core.progress import progress_bar
from refilm.core.signals import cleanup_on_signal

# The clocks of file systems run behind the one of time.time(): by a tick of the kernel, by up to two seconds on FAT, and
# by the difference of two machines on a network file system. What was written in these seconds counts as written later.
_BEGAN = time.time() - 2.0
_UMASK = os.umask(0)  # the only way to read it is to set it
os.umask(_UMASK)


def check_exists(path: Path | str) -> None:
    """Raises OSError with the name of a file that cannot be read, which libraries leave out or wrap."""
    with open(path, "rb"):
        pass


@contextmanager
def atomic_write(final: Path) -> Iterator[Path]:
    """Yield a temporary path beside `final`; sync and rename it to `final` if the block succeeds, else remove it.

    The temporary path keeps the suffix, from which ffmpeg takes the container. Raises RefilmError where the disk is full.
    """
    final = Path(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    remove_partials(final)
    with scratch_file(final.with_name(f".{final.stem}.part{os.getpid()}{final.suffix}")) as partial:
        try:
            yield partial
            with open(partial, "rb+") as file:
                os.fchmod(file.fileno(), 0o666 & ~_UMASK)  # some libraries create files that only the owner can read
                os.fsync(file.fileno())
            os.replace(partial, final)
        except Exception as error:
            if is_disk_full(error):
                raise _disk_full(final, partial) from error
            raise


@contextmanager
def atomic_folder(final: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `final`; rename it to `final`, in place of one that is there, if the block succeeds,
    else remove it. Raises RefilmError where the disk is full."""
    final = Path(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    for left in final.parent.glob(f".{glob.escape(final.name)}.part*"):
        if left.lstat().st_mtime < _BEGAN:
            _remove_tree(left)
    partial = final.with_name(f".{final.name}.part{os.getpid()}")

    def create() -> Path:
        partial.mkdir()
        return partial

    with cleanup_on_signal(create, _remove_tree):
        try:
            yield partial
        except Exception as error:
            if is_disk_full(error):
                raise _disk_full(final, partial) from error
            raise
        _remove_tree(final)
        os.replace(partial, final)


def _disk_full(final: Path, partial: Path) -> RefilmError:
    """The error for a file of which a part was written."""
    files = [partial, *partial.rglob("*")] if partial.exists() else []
    written = describe_bytes(sum(file.stat().st_size for file in files))
    free = describe_bytes(shutil.disk_usage(final.parent).free)
    return RefilmError(
        f"{final}: no space left on the disk while it was written: it has {written} so far, and {free} are free in "
        f"{final.parent}: make room and run the same command again"
    )


def remove_partials(final: Path) -> None:
    """Delete the temporary files that killed processes left beside `final`.

    One that was written to since this process began stays. It may belong to a process that is still alive: to a step that
    runs on after the main process was killed, while the same step is repeated.
    """
    for partial in final.parent.glob(f".{glob.escape(final.stem)}.part*{glob.escape(final.suffix)}"):
        with contextlib.suppress(FileNotFoundError):  # the other process has ended
            if partial.lstat().st_mtime < _BEGAN:
                partial.unlink()


@contextmanager
def scratch_file(path: Path) -> Iterator[Path]:
    """Yield `path`, and delete the file when the block ends or a signal stops the process."""
    with cleanup_on_signal(lambda: path, _unlink):
        yield path


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a new folder for temporary files, and delete it when the block ends or a signal stops the process."""
    with cleanup_on_signal(lambda: Path(tempfile.mkdtemp(prefix="refilm-")), _remove_tree) as folder:
        yield folder


def copy_file(source: Path, final: Path) -> None:
    """Copy a file; the copy appears under its name when it is complete."""
    with atomic_write(final) as partial:
        shutil.copyfile(source, partial)


def link_or_copy(source: Path, final: Path) -> None:
    """Let `final` be the same file under another name, or a copy on a disk without hard links; nothing if it is there."""
    final.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, final)
    except FileExistsError:
        return
    except OSError:
        copy_file(source, final)


def try_lock(lock: TextIO) -> bool:
    """Lock an open file until it is closed, also by the end of the process; False if another process has locked it.

    Raises RefilmError where the file system does not support locks.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise RefilmError(
            f"{Path(lock.name).parent}: the file system does not support locks ({error.strerror}), so two trainings could "
            "write here: mount it with flock, or put results/ on another one"
        ) from error
    return True


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)


def _remove_tree(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def check_space(path: Path, needed_bytes: int) -> None:
    """Raises RefilmError if the disk of `path`, a file or folder to write, has fewer than `needed_bytes` free."""
    folder = Path(path).parent
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise RefilmError(
            f"{path}: no space left on the disk for it: it needs {describe_bytes(needed_bytes)}, and {describe_bytes(free)} "
            f"are free in {folder}: make room and run the same command again"
        )


def describe_bytes(size: float) -> str:
    """A size in the unit that suits it, '1.1 GB'."""
    units = {"GB": 1e9, "MB": 1e6, "kB": 1e3}
    unit = next((name for name, factor in units.items() if size >= factor), "kB")
    return f"{size / units[unit]:,.1f} {unit}"


def sha256_of(path: Path | str) -> str:
    """The SHA-256 of a file in hexadecimal digits. Shows progress, since a film takes a while."""
    digest, size = hashlib.sha256(), Path(path).stat().st_size
    with open(path, "rb") as file, progress_bar(f"check {Path(path).name}", size, "B", scaled=True) as bar:
        while block := file.read(1 << 20):
            digest.update(block)
            bar.update(len(block))
    return digest.hexdigest()
