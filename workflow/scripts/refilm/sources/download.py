"""Downloads the film of an http, https or s3 address, and resumes when the connection drops: it is complete or not there.

What was downloaded is kept in a partial file beside the film, between attempts and from run to run. Each attempt requests
the rest of the same version of the film (ETag or date), and again the last bytes that are there already: if those differ,
or the size does, the film at the address has changed, and the download starts over.
"""

import fcntl
import itertools
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from tqdm import tqdm

from refilm.core.errors import RefilmError
from refilm.core.files import atomic_write, check_space, sha256_of
from refilm.core.progress import progress_bar
from refilm.sources.film_identity import origin_path
from refilm.sources.remote import RemoteChanged, Reply, Request, TransientError, open_remote, redact_url

_OVERLAP = 1 << 16  # bytes requested again, to check that it is still the same film
_FIRST_CONTACT_SECONDS = 20  # how long an address from which no byte ever came is retried
MAX_PAUSE_SECONDS = 60  # between two attempts
_NOT_A_FILM = re.compile(rb"\s*(<!doctype html|<html|<\?xml|#extm3u|[{\[])", re.IGNORECASE)


def fetch(address: str, film: Path, sha256: str | None = None, stall_timeout: float = 600) -> str:
    """Download the film of `address` to the path `film`, with a JSON file about its origin beside it; returns its SHA-256.

    sha256: what it must be; stall_timeout: seconds without a new byte after which to give up. Raises RefilmError if there
    is no film at the address, if the connection keeps failing (what was downloaded is kept), and for another SHA-256.
    """
    film.parent.mkdir(parents=True, exist_ok=True)
    with _PartialFile(film) as part:
        if part.state.get("sha256") not in (None, sha256):
            part.reset()  # it was complete, and was not the film that is wanted
        if "sha256" not in part.state:
            _complete(address, part, stall_timeout)
        actual = sha256_of(part.path)
        part.save_state(sha256=actual)
        if sha256 not in (None, actual):
            raise RefilmError(
                f"{redact_url(address)}: the downloaded film has the SHA-256 {actual}, expected {sha256}: correct sha256 or "
                "the film's source; the same command then checks it again, or downloads it again"
            )
        record = {"address": redact_url(address), "bytes": part.size(), "sha256": actual}
        record["fetched"] = datetime.now(UTC).isoformat(timespec="seconds")
        origin_path(film).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        part.finish()
    return actual


class _PartialFile:
    """The bytes of a film so far, and `state`: which version they are of. Locked while it is open."""

    def __init__(self, film: Path):
        self.film = film
        self.path = film.with_name(f".{film.name}.part")
        self.state: dict[str, Any] = {}
        self._state_path = film.with_name(f".{film.name}.part.json")

    def __enter__(self) -> "_PartialFile":
        self.file = open(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666), "rb+", buffering=0)
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.file.close()
            raise RefilmError(f"{self.film}: another process is downloading this film: wait for it, or stop it") from None
        try:
            self.state = json.loads(self._state_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self.reset()  # without a state it is unknown what the bytes are of
        return self

    def __exit__(self, *_exception: object) -> None:
        self.file.close()

    def size(self) -> int:
        return os.fstat(self.file.fileno()).st_size

    def reset(self) -> None:
        self.state = {}
        self._state_path.unlink(missing_ok=True)
        self.file.truncate(0)

    def save_state(self, **changes: str | int | None) -> None:
        self.state |= changes
        with atomic_write(self._state_path) as partial:  # without its state the partial file would be useless
            partial.write_text(json.dumps(self.state), encoding="utf-8")

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._state_path.unlink(missing_ok=True)

    def finish(self) -> None:
        os.fsync(self.file.fileno())
        os.replace(self.path, self.film)
        self._state_path.unlink(missing_ok=True)


def _complete(address: str, part: _PartialFile, stall_timeout: float) -> None:
    """Retry until the partial file is the whole film, or no new byte came for so long."""
    request = open_remote(address)
    most, since, pause = part.size(), time.monotonic(), 1.0
    label = f"fetch {part.film.name}"
    with progress_bar(label, part.state.get("total"), "B", initial=most, scaled=True) as bar:
        for attempt in itertools.count(1):
            try:
                _append(address, part, request, bar)
                return
            except RemoteChanged as change:
                print(f"{redact_url(address)}: {change}: starting over", file=sys.stderr)
                part.reset()
            except TransientError as error:
                if part.size() > most:
                    most, since, pause = part.size(), time.monotonic(), 1.0
                timeout = stall_timeout if most else min(stall_timeout, _FIRST_CONTACT_SECONDS)
                left = since + timeout - time.monotonic()
                if left <= 0:
                    raise RefilmError(_failure_message(address, part, attempt, error)) from error
                wait = min(max(pause, error.pause), MAX_PAUSE_SECONDS, left)
                print(f"{redact_url(address)}: {error}; attempt {attempt + 1} in {wait:.0f} s", file=sys.stderr)
                time.sleep(wait)
                pause *= 2


def _failure_message(address: str, part: _PartialFile, attempts: int, error: TransientError) -> str:
    kept = f"the {part.size() / 1e6:,.1f} MB so far are kept" if part.size() else "nothing was received"
    name = redact_url(address)
    return f"{name}: the film could not be downloaded in {attempts} attempts ({error}); {kept}: run the same command again"


def _append(address: str, part: _PartialFile, request: Request, bar: "tqdm[NoReturn]") -> None:
    """One attempt: request the rest, and append it. Raises TransientError or RemoteChanged if that is not the whole film."""
    size = part.size()
    start = max(0, size - _OVERLAP) if part.state.get("version") or part.state.get("total") else 0
    with request(start, part.state.get("version")) as reply:
        if reply.start not in (0, start):
            raise RemoteChanged(f"byte {start} was requested, the server sends from byte {reply.start}")
        if reply.start and part.state.get("total") not in (None, reply.total):
            raise RemoteChanged("the size of the film has changed")
        blocks = _after_overlap(part, reply, size - start) if reply.start else _from_beginning(address, part, reply)
        part.save_state(version=reply.version, total=reply.total)
        bar.total = reply.total
        bar.reset(reply.total)
        bar.update(part.size())
        part.file.seek(0, os.SEEK_END)
        for block in blocks:
            part.file.write(block)
            bar.update(len(block))
    _check_size(part, reply.total)


def _from_beginning(address: str, part: _PartialFile, reply: Reply) -> Iterator[bytes]:
    """The blocks of a whole film, once its first one is checked and the partial file is empty."""
    blocks = iter(reply.blocks)
    first = next(blocks, b"")
    if _NOT_A_FILM.match(first):
        part.discard()
        raise RefilmError(
            f"{redact_url(address)}: this is a web page or a playlist, not a film: give the address of the film file itself"
        )
    part.reset()
    if reply.total:
        check_space(part.film, reply.total)
    return itertools.chain([first], blocks)


def _after_overlap(part: _PartialFile, reply: Reply, length: int) -> Iterator[bytes]:
    """The blocks without their first `length` bytes, once those are checked to be what the partial file ends with."""
    blocks = iter(reply.blocks)
    part.file.seek(reply.start)
    expected, received = part.file.read(length), b""
    while len(received) < length:
        block = next(blocks, None)
        if block is None:
            raise TransientError("the connection was closed")
        received += block
    if received[:length] != expected:
        raise RemoteChanged("the film at this address has changed")
    return itertools.chain([received[length:]], blocks)


def _check_size(part: _PartialFile, total: int | None) -> None:
    size = part.size()
    if total is not None and size < total:
        raise TransientError(f"the connection was closed after {size / 1e6:,.1f} of {total / 1e6:,.1f} MB")
    if total is not None and size > total:
        raise RemoteChanged(f"the server sent {size - total} bytes more than it declared")
    if size == 0:
        raise TransientError("the server sent nothing")
