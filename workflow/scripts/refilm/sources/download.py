"""The film of an http, https or s3 address, over a line that breaks: it goes on where it was, and is whole or not there.

What has come is kept in a part beside the film, through breaks and from run to run. Each try asks for the rest of the
same version of the film (ETag or date), and once more for the last bytes that are there already: if those differ, or the
size does, it is another film by now, and the download begins anew.
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

_BLOCK = 1 << 16  # bytes read at once: of a block in which the line breaks nothing may be left
_OVERLAP = 1 << 16  # bytes asked for again, to see that it is still the same film
_TIMEOUT = (30, 60)  # seconds to connect, and without a byte
_FIRST_PATIENCE = 20  # seconds to go on trying an address from which nothing has ever come
_LONGEST_PAUSE = 60  # seconds between two tries
_NO_FILM = re.compile(rb"\s*(<!doctype html|<html|<\?xml|#extm3u|[{\[])", re.IGNORECASE)
_RETRYABLE_STATUS = {408, 425, 429, 500, 502, 503, 504}  # what a server answers that will do so no more in a while


class TransientError(Exception):
    """No fault of the address, as far as can be told: worth another try. `pause`: seconds that the server asks for."""

    def __init__(self, said: str, pause: float = 0):
        super().__init__(said)
        self.pause = pause


class RemoteChanged(Exception):
    """The address has another film, or another version of it, than the one that was begun."""


@dataclass(frozen=True)
class Reply:
    """A server's answer: the film's bytes from `start` on, its whole size if told, and what its version is called."""

    start: int
    total: int | None
    version: str | None
    blocks: Iterator[bytes]


def fetch(address: str, film: Path, sha256: str | None = None, stall_timeout: float = 600) -> str:
    """Bring the film of `address` to the path `film`, beside it a JSON file of what it is; returns its SHA-256.

    sha256: what it must be; stall_timeout: seconds without one new byte after which to give up. Raises RefilmError if the
    address has no film, if the line stays broken (what has come is kept), and if the sum is another.
    """
    film.parent.mkdir(parents=True, exist_ok=True)
    with _Part(film) as part:
        if part.note.get("sha256") not in (None, sha256):
            part.begin()  # it was whole, and was not the film that is wanted
        if "sha256" not in part.note:
            _complete(address, part, stall_timeout)
        found = sha256_of(part.path)
        part.save_state(sha256=found)
        if sha256 not in (None, found):
            raise RefilmError(
                f"{shown(address)}: the film that came has the sha256 {found}, and not {sha256}: correct sha256 in "
                "config/config.yaml, or the address; the same command then checks it again, or fetches it anew"
            )
        record = {"address": shown(address), "bytes": part.size(), "sha256": found}
        record["fetched"] = datetime.now(UTC).isoformat(timespec="seconds")
        provenance_path(film).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        part.finish()
    return found


def provenance_path(film: Path) -> Path:
    """The file beside a fetched film that says what it is: address, bytes, sha256, when it was fetched."""
    return film.with_name(f"{film.name}.json")


def shown(address: str) -> str:
    """The address without the passwords and tokens that may be in it."""
    parts = urlsplit(address)
    return address if parts.scheme == "s3" else f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class _Part:
    """The bytes of a film that have come so far, and a note of which version they are of. Locked while it is open."""

    def __init__(self, film: Path):
        self.film = film
        self.path = film.with_name(f".{film.name}.part")
        self._note_path = film.with_name(f".{film.name}.part.json")

    def __enter__(self) -> "_Part":
        self.file = open(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666), "rb+", buffering=0)
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.file.close()
            raise RefilmError(f"{self.film}: another process is fetching this film: wait for it, or stop it") from None
        try:
            self.note = json.loads(self._note_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self.begin()  # of bytes without a note nobody knows what they are of
        return self

    def __exit__(self, *_exception) -> None:
        self.file.close()

    def size(self) -> int:
        return os.fstat(self.file.fileno()).st_size

    def begin(self) -> None:
        self.note = {}
        self._note_path.unlink(missing_ok=True)
        self.file.truncate(0)

    def save_state(self, **known) -> None:
        self.note |= known
        with atomic_write(self._note_path) as partial:  # without its note what has come would be of no use
            partial.write_text(json.dumps(self.note), encoding="utf-8")

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note_path.unlink(missing_ok=True)

    def finish(self) -> None:
        os.fsync(self.file.fileno())
        os.replace(self.path, self.film)
        self._note_path.unlink(missing_ok=True)


def _complete(address: str, part: _Part, stall_timeout: float) -> None:
    """Try until the part is the whole film, or nothing new came for so long."""
    ask = _s3(address) if urlsplit(address).scheme == "s3" else _http(address)
    furthest, since, pause = part.size(), time.monotonic(), 1.0
    with progress_bar(f"fetch {part.film.name}", part.note.get("total"), "B", initial=furthest, scaled=True) as bar:
        for tries in itertools.count(1):
            try:
                _append(address, part, ask, bar)
                return
            except RemoteChanged as change:
                print(f"{shown(address)}: {change}: from the beginning", file=sys.stderr)
                part.begin()
            except TransientError as broken:
                if part.size() > furthest:
                    furthest, since, pause = part.size(), time.monotonic(), 1.0
                left = since + (stall_timeout if furthest else min(stall_timeout, _FIRST_PATIENCE)) - time.monotonic()
                if left <= 0:
                    raise RefilmError(_gave_up(address, part, tries, broken)) from broken
                wait = min(max(pause, broken.pause), _LONGEST_PAUSE, left)
                print(f"{shown(address)}: {broken}; try {tries + 1} in {wait:.0f} s", file=sys.stderr)
                time.sleep(wait)
                pause *= 2


def _gave_up(address: str, part: _Part, tries: int, said: TransientError) -> str:
    kept = f"{part.size() / 1e6:,.1f} MB that came are kept" if part.size() else "nothing came"
    return f"{shown(address)}: the film could not be fetched in {tries} tries ({said}); {kept}: run the same command again"


def _append(address: str, part: _Part, ask, bar) -> None:
    """One try: ask for the rest, and append it. Raises TransientError or RemoteChanged if that is not the whole film."""
    have = part.size()
    begin = max(0, have - _OVERLAP) if part.note.get("version") or part.note.get("total") else 0
    with ask(begin, part.note.get("version")) as reply:
        if reply.start not in (0, begin):
            raise RemoteChanged(f"asked for byte {begin}, the server gives from byte {reply.start}")
        if reply.start and part.note.get("total") not in (None, reply.total):
            raise RemoteChanged("its size is another now")
        blocks = iter(reply.blocks)
        if reply.start:
            blocks = _checked_overlap(part, begin, have - begin, blocks)
        else:
            first = next(blocks, b"")
            _check_film(address, part, first)
            part.begin()
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


def _checked_overlap(part: _Part, begin: int, length: int, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The blocks without their first `length` bytes, once those are what the part ends with."""
    part.file.seek(begin)
    kept, came = part.file.read(length), b""
    while len(came) < length:
        block = next(blocks, None)
        if block is None:
            raise TransientError("the connection was closed")
        came += block
    if came[:length] != kept:
        raise RemoteChanged("another film lies there now")
    return itertools.chain([came[length:]], blocks)


def _check_film(address: str, part: _Part, first: bytes) -> None:
    if _NO_FILM.match(first):
        part.discard()
        raise RefilmError(
            f"{shown(address)}: a page or a playlist lies there, and no film: give the address of the film file itself"
        )


def _check_end(part: _Part, total: int | None) -> None:
    have = part.size()
    if total is not None and have < total:
        raise TransientError(f"the connection was closed after {have / 1e6:,.1f} of {total / 1e6:,.1f} MB")
    if total is not None and have > total:
        raise RemoteChanged(f"{have - total} bytes more than promised came")
    if have == 0:
        raise TransientError("not one byte came")


def _http(address: str):
    """A context manager factory: ask(begin, version) is the Reply of the server."""
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
            raise RefilmError(f"{shown(address)}: this address cannot be asked: {_plain(error)}") from error
        except requests.exceptions.SSLError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise RefilmError(f"{shown(address)}: the server does not prove who it is: {_plain(error)}") from error
            raise TransientError(_plain(error)) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise TransientError(_plain(error)) from error

    return ask


def _http_reply(address: str, response: requests.Response) -> Reply:
    status, head = response.status_code, response.headers
    if status == 416:
        raise RemoteChanged("it is shorter now")
    if status in _RETRYABLE_STATUS:
        asked = head.get("Retry-After", "")
        raise TransientError(f"the server answers {status} {response.reason}", float(asked) if asked.isdecimal() else 0)
    if status not in (200, 206):
        raise RefilmError(f"{shown(address)}: the server answers {status} {response.reason}: correct the film's source")
    start, total = 0, int(head["Content-Length"]) if head.get("Content-Length", "").isdecimal() else None
    if status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", head.get("Content-Range", "").strip())
        if not found:
            raise RemoteChanged("the server does not say which part it gives")
        start, total = int(found[1]), int(found[2]) if found[2] != "*" else None
    if "Content-Encoding" in head:
        total = None  # of the film as packed for the way
    version = head.get("ETag") or head.get("Last-Modified")
    version = None if version and version.startswith("W/") else version  # says only that it looks alike
    return Reply(start, total, version, iter(lambda: response.raw.read1(_BLOCK, decode_content=True), b""))


def _s3(address: str):
    """The same for s3://bucket/key, with the usual credentials, or as nobody in particular where there are none."""
    import botocore.session  # only here: a film from elsewhere need not load it
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError, FlexibleChecksumError, HTTPClientError, IncompleteReadError

    bucket, _, key = address.partition("://")[2].partition("/")
    if not bucket or not key:
        raise RefilmError(f"{address}: this is no s3 address: write s3://bucket/path/of/the/film.mkv")
    try:
        session = botocore.session.Session()
        signed = {} if session.get_credentials() else {"signature_version": UNSIGNED}
        once = {"total_max_attempts": 1}  # trying again is this module's own work
        options = Config(connect_timeout=_TIMEOUT[0], read_timeout=_TIMEOUT[1], retries=once, **signed)
        client = session.create_client("s3", config=options)
    except BotoCoreError as error:
        raise RefilmError(f"{address}: {_plain(error)}: mend your AWS settings") from error

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
                raise RemoteChanged("another film lies there now") from error
            if status in _RETRYABLE_STATUS:
                raise TransientError(_plain(error)) from error
            raise RefilmError(f"{address}: {_plain(error)}: correct the film's source, or your AWS settings") from error
        except FlexibleChecksumError as error:
            raise RemoteChanged("what came was damaged on the way") from error
        except (HTTPClientError, IncompleteReadError) as error:
            raise TransientError(_plain(error)) from error
        except BotoCoreError as error:
            raise RefilmError(f"{address}: {_plain(error)}: mend your AWS settings") from error

    return ask


def _plain(error: Exception) -> str:
    """The innermost cause in one line, without the addresses of objects."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    return re.sub(r"<[^<>]* object at 0x\w+>:? *", "", " ".join(str(error).split())) or type(error).__name__
