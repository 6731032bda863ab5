"""Damaged film files: how a file that is cut off is detected, and the one line about it."""

import re
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from refilm.media import ffmpeg_log

_REMEDY = "copy it again, or use what can be read of it with 'damaged: use'"
_MAX_BOXES = 100_000  # outermost boxes that are followed: a film in fragments of a second has 7,200 an hour
_MOVIE_HEADER_BYTES = 40
_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free")  # an MP4 or QuickTime file begins with one of these


def damage_message(path: Path | str, what: str) -> str:
    """The line about a damaged film; `what` says what of it is there."""
    return f"{path}: the film is damaged: {what}: {_REMEDY}"


def is_truncated(path: Path | str, log: str) -> bool:
    """Whether the file is shorter than its own structure declares, or ffmpeg reported that in `log` when it read it."""
    return ffmpeg_log.is_cut_off(log) or declared_size(path) > Path(path).stat().st_size


def declared_size(path: Path | str) -> int:
    """The bytes up to the end of the last of the outermost boxes of an MP4 or RIFF (AVI) file; 0 for any other file."""
    return max((end for _kind, _start, end in _outermost_boxes(path)), default=0)


def movie_seconds(path: Path | str) -> Fraction | None:
    """How long an MP4 or QuickTime film is by the header of all its tracks; None where that does not say it."""
    movie = next((start for kind, start, _end in _outermost_boxes(path) if kind == b"moov"), None)
    if movie is None:
        return None
    with open(path, "rb") as file:
        file.seek(movie + 8)
        header = file.read(_MOVIE_HEADER_BYTES)  # its first box
    if header[4:8] != b"mvhd":
        return None
    ticks, duration = struct.unpack_from(">IQ" if header[8] == 1 else ">II", header, 28 if header[8] == 1 else 20)
    return Fraction(duration, ticks) if ticks and duration else None


def _outermost_boxes(path: Path | str) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, end) in bytes of the outermost boxes of an MP4 or RIFF (AVI) file; none of any other file."""
    start = 0
    with open(path, "rb") as file:
        for _ in range(_MAX_BOXES):
            file.seek(start)
            header = file.read(16)
            size = _box_size(header, first=start == 0)
            if size == 0:
                return
            yield header[4:8], start, start + size
            start += size


def _box_size(header: bytes, first: bool) -> int:
    """Bytes of the box that begins with `header`; 0 where there is none, or one that ends with the file."""
    if len(header) < 8 or (first and header[:4] != b"RIFF" and header[4:8] not in _FIRST_BOXES):
        return 0
    if header[:4] == b"RIFF":
        return 8 + int.from_bytes(header[4:8], "little")
    if not re.fullmatch(rb"[A-Za-z0-9 ]{4}", header[4:8]):
        return 0
    size = int.from_bytes(header[:4], "big")
    if size == 1 and len(header) == 16:
        size = int.from_bytes(header[8:16], "big")
    return size if size >= 8 else 0
