"""Errors as one line: the place, what is wrong, and what to do."""

import difflib
import errno
import os
from collections.abc import Iterable


class RefilmError(Exception):
    """An error that the user can fix. Its text is one line that names the place, the value and the remedy."""


class Interrupted(Exception):
    """The process received a signal to stop and has saved its work."""


def suggest(name: str, known: Iterable[str]) -> str:
    """'; did you mean X?' if a known name is similar, else the list of known names, else an empty string."""
    known = sorted(known)
    return suggest_near(name, known) or (f"; there are: {', '.join(known)}" if known else "")


def suggest_near(name: str, known: Iterable[str]) -> str:
    """'; did you mean X?' if a known name is similar, else an empty string."""
    close = difflib.get_close_matches(str(name), sorted(known), n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""


def is_disk_full(error: BaseException) -> bool:
    """Whether an exception, of whichever library, says that no space is left on a disk."""
    by_number = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return by_number or os.strerror(errno.ENOSPC) in str(error)


def is_lock_refused(error: BaseException) -> bool:
    """Whether an exception, of HDF5 or of the system, says that a file system does not support locks."""
    unsupported = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)[: 3 if "unable to lock file" in str(error) else 1]
    return isinstance(error, OSError) and error.errno in unsupported


def explain(error: Exception) -> str:
    """One line of text for any exception."""
    if isinstance(error, RefilmError):
        return "\\n".join(str(error).splitlines())  # a file name may hold a line break
    if is_lock_refused(error):
        return (
            f"the file system has no locks ({' '.join(str(error).split())}): set HDF5_USE_FILE_LOCKING=FALSE, or put "
            "results/ on another file system"
        )
    if is_disk_full(error):
        place = getattr(error, "filename", None) or "a file"
        return f"no space left on the disk while writing {place}: make room and run the same command again"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {os.strerror(error.errno) if error.errno else error}"
    return f"unexpected {type(error).__name__}: {' '.join(str(error).split())} (run with --debug to see where)"
