"""Download a film from an http, https or s3 address, resumed after a lost connection and written atomically.

The bytes received so far are kept in a partial file beside the film, also between runs. Each attempt requests the rest of
the same version of the film (ETag or date), and the last bytes that are already here: if those differ, or the size does,
the film has changed, and the download starts over.
"""

import contextlib
import fcntl
import itertools
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import requests
import urllib3

from refilm.core.errors import RefilmError
from refilm.core.files import atomic_write, check_space, sha256_of
from refilm.core.progress import progress_bar

_BLOCK = 1 << 16  # bytes read at once: a block in which the connection is lost may be lost whole
_OVERLAP = 1 << 16  # bytes requested again, to check that it is still the same film
_TIMEOUT = (30, 60)  # seconds to connect, and without a byte
_FIRST_TIMEOUT = 20  # seconds of attempts while nothing has ever been received
_LONGEST_PAUSE = 60  # seconds between two attempts
_NOT_A_FILM = re.compile(rb"\s*(<!doctype html|<html|<\?xml|#extm3u|[{\[])", re.IGNORECASE)
_RETRYABLE_STATUS = {408, 425, 429, 500, 502, 503, 504}  # errors that may pass


class TransientError(Exception):
    """An error that may pass, so that another attempt is worth it. pause: seconds that the server asks to wait."""

    def __init__(self, message: str, pause: float = 0):
        super().__init__(message)
        self.pause = pause


class RemoteChanged(Exception):
    """The address has another film, or another version of it, than the partial file."""


@dataclass(frozen=True)
class Reply:
    """A server's response: the film's bytes from `start` on, its size if known, and the name of its version."""

    start: int
    total: int | None
    version: str | None
    blocks: Iterator[bytes]


def fetch(address: str, film: Path, sha256: str | None = None, stall_timeout: float = 600) -> str:
    """Download the film at `address` to the path `film`, with a JSON file of its origin beside it; returns its SHA-256.

    sha256: the expected one; stall_timeout: seconds without a new byte after which to give up. Raises RefilmError if the
    address has no film, if the connection stays lost (what was received is kept), and for another SHA-256.
    """
    film.parent.mkdir(parents=True, exist_ok=True)
    with PartialDownload(film) as part:
        if part.state.get("sha256") not in (None, sha256):
            part.restart()  # a complete download of another film than expected
        if "sha256" not in part.state:
            _complete(address, part, stall_timeout)
        found = sha256_of(part.path)
        part.save_state(sha256=found)
        if sha256 not in (None, found):
            raise RefilmError(
                f"{redact_url(address)}: the downloaded film has the sha256 {found}, not {sha256}: correct sha256 or the "
                "address in the configuration; the same command then checks it again, or downloads it again"
            )
        record = {"address": redact_url(address), "bytes": part.size(), "sha256": found}
        record["fetched"] = datetime.now(UTC).isoformat(timespec="seconds")
        provenance_path(film).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        part.finish()
    return found


def provenance_path(film: Path) -> Path:
    """The JSON file beside a downloaded film: address, bytes, sha256, time of the download."""
    return film.with_name(f"{film.name}.json")


def redact_url(address: str) -> str:
    """The address without passwords and tokens."""
    parts = urlsplit(address)
    return address if parts.scheme == "s3" else f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class PartialDownload:
    """The bytes of a film received so far, and the version that they are of. Locked while it is open."""

    def __init__(self, film: Path):
        self.film = film
        self.path = film.with_name(f".{film.name}.part")
        self._state_path = film.with_name(f".{film.name}.part.json")

    def __enter__(self) -> "PartialDownload":
        self.file = open(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666), "rb+", buffering=0)
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.file.close()
            raise RefilmError(f"{self.film}: another process is fetching this film: wait for it, or stop it") from None
        try:
            self.state = json.loads(self._state_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self.restart()  # without a state, the version of the bytes is unknown
        return self

    def __exit__(self, *_exception) -> None:
        self.file.close()

    def size(self) -> int:
        return os.fstat(self.file.fileno()).st_size

    def restart(self) -> None:
        self.state = {}
        self._state_path.unlink(missing_ok=True)
        self.file.truncate(0)

    def save_state(self, **known) -> None:
        self.state |= known
        with atomic_write(self._state_path) as partial:  # without it the received bytes would be useless
            partial.write_text(json.dumps(self.state), encoding="utf-8")

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._state_path.unlink(missing_ok=True)

    def finish(self) -> None:
        os.fsync(self.file.fileno())
        os.replace(self.path, self.film)
        self._state_path.unlink(missing_ok=True)


def _complete(address: str, part: PartialDownload, stall_timeout: float) -> None:
    """Make attempts until the film is complete, or for `stall_timeout` seconds without a new byte."""
    ask = _s3(address) if urlsplit(address).scheme == "s3" else _http(address)
    furthest, since, pause = part.size(), time.monotonic(), 1.0
    with progress_bar(f"fetch {part.film.name}", part.state.get("total"), "B", initial=furthest, scaled=True) as bar:
        for attempt in itertools.count(1):
            try:
                _append(address, part, ask, bar)
                return
            except RemoteChanged as change:
                print(f"{redact_url(address)}: {change}: starting over", file=sys.stderr)
                part.restart()
            except TransientError as broken:
                if part.size() > furthest:
                    furthest, since, pause = part.size(), time.monotonic(), 1.0
                left = since + (stall_timeout if furthest else min(stall_timeout, _FIRST_TIMEOUT)) - time.monotonic()
                if left <= 0:
                    raise RefilmError(_failure_message(address, part, attempt, broken)) from broken
                wait = min(max(pause, broken.pause), _LONGEST_PAUSE, left)
                print(f"{redact_url(address)}: {broken}; attempt {attempt + 1} in {wait:.0f} s", file=sys.stderr)
                time.sleep(wait)
                pause *= 2


def _failure_message(address: str, part: PartialDownload, attempts: int, error: TransientError) -> str:
    kept = f"{part.size() / 1e6:,.1f} MB are kept" if part.size() else "nothing was received"
    return (
        f"{redact_url(address)}: the film could not be downloaded, attempts: {attempts} ({error}); {kept}: "
        "run the same command again"
    )


def _append(address: str, part: PartialDownload, ask, bar) -> None:
    """One attempt: request the rest, and append it. Raises TransientError or RemoteChanged if the film is not complete."""
    have = part.size()
    begin = max(0, have - _OVERLAP) if part.state.get("version") or part.state.get("total") else 0
    with ask(begin, part.state.get("version")) as reply:
        if reply.start not in (0, begin):
            raise RemoteChanged(f"requested from byte {begin}, the server sent from byte {reply.start}")
        if reply.start and part.state.get("total") not in (None, reply.total):
            raise RemoteChanged("its size has changed")
        blocks = iter(reply.blocks)
        if reply.start:
            blocks = _checked_overlap(part, begin, have - begin, blocks)
        else:
            first = next(blocks, b"")
            _check_film(address, part, first)
            part.restart()
            blocks = itertools.chain([first], blocks)
            if reply.total:
                check_space(part.film, reply.total)
        part.save_state(version=reply.version, total=reply.total)
        bar.total = reply.total
        bar.reset(reply.total)
        bar.update(part.size())
        part.file.seek(0, os.SEEK_END)
        for block in blocks:
            part.file.write(block)
            bar.update(len(block))
    _check_end(part, reply.total)


def _checked_overlap(part: PartialDownload, begin: int, length: int, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The blocks without their first `length` bytes, after a check that the partial file ends with those."""
    part.file.seek(begin)
    kept, received = part.file.read(length), b""
    while len(received) < length:
        block = next(blocks, None)
        if block is None:
            raise TransientError("the connection was closed")
        received += block
    if received[:length] != kept:
        raise RemoteChanged("there is another film now")
    return itertools.chain([received[length:]], blocks)


def _check_film(address: str, part: PartialDownload, first: bytes) -> None:
    if _NOT_A_FILM.match(first):
        part.discard()
        raise RefilmError(
            f"{redact_url(address)}: this is a page or a playlist, not a film: give the address of the film file itself"
        )


def _check_end(part: PartialDownload, total: int | None) -> None:
    have = part.size()
    if total is not None and have < total:
        raise TransientError(f"the connection was closed after {have / 1e6:,.1f} of {total / 1e6:,.1f} MB")
    if total is not None and have > total:
        raise RemoteChanged(f"received {have - total} bytes more than declared")
    if have == 0:
        raise TransientError("no byte was received")


def _http(address: str):
    """A function that returns a context manager: ask(begin, version) is the Reply of the server."""
    session = requests.Session()
    session.headers.update({"User-Agent": "refilm", "Accept-Encoding": "identity"})

    @contextlib.contextmanager
    def ask(begin: int, version: str | None) -> Iterator[Reply]:
        wanted = {"Range": f"bytes={begin}-"} if begin else {}
        if begin and version:
            wanted["If-Range"] = version
        try:
            with session.get(address, headers=wanted, stream=True, timeout=_TIMEOUT) as response:
                yield _http_reply(address, response)
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.TooManyRedirects) as error:
            raise RefilmError(f"{redact_url(address)}: this address is not supported: {_innermost(error)}") from error
        except requests.exceptions.SSLError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise RefilmError(
                    f"{redact_url(address)}: the server's certificate is invalid: {_innermost(error)}"
                ) from error
            raise TransientError(_innermost(error)) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise TransientError(_innermost(error)) from error

    return ask


def _http_reply(address: str, response: requests.Response) -> Reply:
    status, head = response.status_code, response.headers
    if status == 416:
        raise RemoteChanged("it has become shorter")
    if status in _RETRYABLE_STATUS:
        asked = head.get("Retry-After", "")
        raise TransientError(f"the server answers {status} {response.reason}", float(asked) if asked.isdecimal() else 0)
    if status not in (200, 206):
        raise RefilmError(f"{redact_url(address)}: the server answers {status} {response.reason}: correct the film's source")
    start, total = 0, int(head["Content-Length"]) if head.get("Content-Length", "").isdecimal() else None
    if status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", head.get("Content-Range", "").strip())
        if not found:
            raise RemoteChanged("the server does not say which part it sends")
        start, total = int(found[1]), int(found[2]) if found[2] != "*" else None
    if "Content-Encoding" in head:
        total = None  # the size of the encoded content, not of the film
    version = head.get("ETag") or head.get("Last-Modified")
    version = None if version and version.startswith("W/") else version  # a weak ETag does not guarantee equal bytes
    return Reply(start, total, version, iter(lambda: response.raw.read1(_BLOCK, decode_content=True), b""))


def _s3(address: str):
    """The same for s3://bucket/key, with the usual credentials, or unsigned if there are none."""
    import botocore.session  # only here, since it is slow to import
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError, FlexibleChecksumError, HTTPClientError, IncompleteReadError

    bucket, _, key = address.partition("://")[2].partition("/")
    if not bucket or not key:
        raise RefilmError(f"{address}: this is not an s3 address: write s3://bucket/path/of/the/film.mkv")
    try:
        session = botocore.session.Session()
        signed = {} if session.get_credentials() else {"signature_version": UNSIGNED}
        once = {"total_max_attempts": 1}  # this module does the retries
        options = Config(connect_timeout=_TIMEOUT[0], read_timeout=_TIMEOUT[1], retries=once, **signed)
        client = session.create_client("s3", config=options)
    except BotoCoreError as error:
        raise RefilmError(f"{address}: {_innermost(error)}: check your AWS configuration") from error

    @contextlib.contextmanager
    def ask(begin: int, version: str | None) -> Iterator[Reply]:
        wanted = {"Range": f"bytes={begin}-"} if begin else {}
        if begin and version:
            wanted["IfMatch"] = version
        try:
            with contextlib.closing((got := client.get_object(Bucket=bucket, Key=key, **wanted))["Body"]) as body:
                total = int(got["ContentRange"].rpartition("/")[2]) if begin else got["ContentLength"]
                yield Reply(begin, total, got["ETag"], body.iter_chunks(_BLOCK))
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status in (412, 416):
                raise RemoteChanged("there is another film now") from error
            if status in _RETRYABLE_STATUS:
                raise TransientError(_innermost(error)) from error
            raise RefilmError(
                f"{address}: {_innermost(error)}: correct the film's source, or the AWS configuration"
            ) from error
        except FlexibleChecksumError as error:
            raise RemoteChanged("the received bytes are damaged") from error
        except (HTTPClientError, IncompleteReadError) as error:
            raise TransientError(_innermost(error)) from error
        except BotoCoreError as error:
            raise RefilmError(f"{address}: {_innermost(error)}: check your AWS configuration") from error

    return ask


def _innermost(error: Exception) -> str:
    """The innermost cause in one line, without object addresses."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    return re.sub(r"<[^<>]* object at 0x\w+>:? *", "", " ".join(str(error).split())) or type(error).__name__
