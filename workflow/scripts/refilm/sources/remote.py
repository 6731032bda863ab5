"""Requests for a part of a remote file over http, https or S3, with one kind of reply and two kinds of error."""

import contextlib
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests
import urllib3

from refilm.core.errors import RefilmError

_BLOCK = 1 << 16  # bytes read at once; a block during which the connection drops is lost
_TIMEOUT = (30, 60)  # seconds to connect, and without a byte
_RETRYABLE_STATUS = {408, 425, 429, 500, 502, 503, 504}  # of a server that may answer otherwise later
_AWS_REMEDY = "check your AWS configuration"


class TransientError(Exception):
    """An error that may not happen at the next attempt. `pause`: seconds that the server asks to wait."""

    def __init__(self, message: str, pause: float = 0):
        super().__init__(message)
        self.pause = pause


class RemoteChanged(Exception):
    """The address holds another file, or another version of it, than before."""


@dataclass(frozen=True)
class Reply:
    """The answer of a server: blocks of the file from byte `start` on, its total size and version where they are known."""

    start: int
    total: int | None
    version: str | None
    blocks: Iterator[bytes]


# (first byte, version that is expected) -> a context manager with the reply
Request = Callable[[int, str | None], AbstractContextManager[Reply]]


def redact_url(address: str) -> str:
    """The address without the passwords and tokens that may be in it."""
    parts = urlsplit(address)
    return address if parts.scheme == "s3" else f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def open_remote(address: str) -> Request:
    """A function that requests the file of an http, https or s3 address.

    It raises TransientError if another attempt may succeed, RemoteChanged if the file is not the version that is expected,
    and RefilmError for what only the user can correct.
    """
    return _open_s3(address) if urlsplit(address).scheme == "s3" else _open_http(address)


def _open_http(address: str) -> Request:
    session = requests.Session()
    session.headers.update({"User-Agent": "refilm", "Accept-Encoding": "identity"})

    @contextlib.contextmanager
    def request(start: int, version: str | None) -> Iterator[Reply]:
        headers = {"Range": f"bytes={start}-"} if start else {}
        if start and version:
            headers["If-Range"] = version
        try:
            with session.get(address, headers=headers, stream=True, timeout=_TIMEOUT) as response:
                yield _http_reply(address, response)
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.TooManyRedirects) as error:
            raise RefilmError(f"{redact_url(address)}: this address cannot be requested: {_cause(error)}") from error
        except requests.exceptions.SSLError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise RefilmError(
                    f"{redact_url(address)}: the server's certificate is not valid: {_cause(error)}"
                ) from error
            raise TransientError(_cause(error)) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise TransientError(_cause(error)) from error

    return request


def _http_reply(address: str, response: requests.Response) -> Reply:
    status, headers = response.status_code, response.headers
    if status == 416:
        raise RemoteChanged("the film at this address is shorter than before")
    if status in _RETRYABLE_STATUS:
        pause = headers.get("Retry-After", "")
        raise TransientError(f"the server answers {status} {response.reason}", float(pause) if pause.isdecimal() else 0)
    if status not in (200, 206):
        raise RefilmError(f"{redact_url(address)}: the server answers {status} {response.reason}: correct the film's source")
    start, total = _content_range(response) if status == 206 else (0, _content_length(response))
    if "Content-Encoding" in headers:
        total = None  # the size is that of the compressed file
    version = headers.get("ETag") or headers.get("Last-Modified")
    version = None if version and version.startswith("W/") else version  # a weak ETag does not mean equal bytes
    return Reply(start, total, version, iter(lambda: response.raw.read1(_BLOCK, decode_content=True), b""))


def _content_length(response: requests.Response) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _content_range(response: requests.Response) -> tuple[int, int | None]:
    """(first byte, size of the whole file where it is known) of a partial response."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    if match is None:
        raise RemoteChanged("the server does not say which part of the film it sends")
    return int(match[1]), int(match[2]) if match[2] != "*" else None


def _open_s3(address: str) -> Request:
    """For s3://bucket/key, with the usual credentials, or anonymously where there are none."""
    import botocore.session  # only here: a film from elsewhere need not load it
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError, FlexibleChecksumError, HTTPClientError, IncompleteReadError

    bucket, _, key = address.partition("://")[2].partition("/")
    if not bucket or not key:
        raise RefilmError(f"{address}: not a valid S3 address: write s3://bucket/path/of/the/film.mkv")
    try:
        session = botocore.session.Session()
        signed = {} if session.get_credentials() else {"signature_version": UNSIGNED}
        no_retries = {"total_max_attempts": 1}  # the caller retries
        options = Config(connect_timeout=_TIMEOUT[0], read_timeout=_TIMEOUT[1], retries=no_retries, **signed)
        client = session.create_client("s3", config=options)
    except BotoCoreError as error:
        raise RefilmError(f"{address}: {_cause(error)}: {_AWS_REMEDY}") from error

    @contextlib.contextmanager
    def request(start: int, version: str | None) -> Iterator[Reply]:
        options = {"Range": f"bytes={start}-"} if start else {}
        if start and version:
            options["IfMatch"] = version
        try:
            reply = client.get_object(Bucket=bucket, Key=key, **options)
            with contextlib.closing(reply["Body"]) as body:
                total = int(reply["ContentRange"].rpartition("/")[2]) if start else reply["ContentLength"]
                yield Reply(start, total, reply["ETag"], body.iter_chunks(_BLOCK))
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status in (412, 416):
                raise RemoteChanged("the film at this address has changed") from error
            if status in _RETRYABLE_STATUS:
                raise TransientError(_cause(error)) from error
            raise RefilmError(f"{address}: {_cause(error)}: correct the film's source, or {_AWS_REMEDY}") from error
        except FlexibleChecksumError as error:
            raise RemoteChanged("the download was damaged on the way") from error
        except (HTTPClientError, IncompleteReadError) as error:
            raise TransientError(_cause(error)) from error
        except BotoCoreError as error:
            raise RefilmError(f"{address}: {_cause(error)}: {_AWS_REMEDY}") from error

    return request


def _cause(error: BaseException) -> str:
    """The innermost cause in one line, without the addresses of objects."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return re.sub(r"<[^<>]* object at 0x\w+>:? *", "", " ".join(str(error).split())) or type(error).__name__
