"""Damaged film files: how a file that is cut off is detected, and the one line about it."""

import re
from pathlib import Path

from refilm.media import ffmpeg_log

_REMEDY = "copy it again, or use what can be read of it with 'damaged: use'"
_MAX_BOXES = 100_000  # outermost boxes that are followed: a film in fragments of a second has 7,200 an hour
_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free")  # an MP4 or QuickTime file begins with one of these


def damage_message(path: Path | str, what: str) -> str:
    """The line about a damaged film; `what` says what of it is there."""
    return f"{path}: the film is damaged: {what}: {_REMEDY}"


def is_truncated(path: Path | str, log: str) -> bool:
    """Whether the file is shorter than its own structure declares, or ffmpeg reported that in `log` when it read it."""
    return ffmpeg_log.is_cut_off(log) or declared_size(path) > Path(path).stat().st_size


def declared_size(path: Path | str) -> int:
    """The bytes up to the end of the last of the outermost boxes of an MP4 or RIFF (AVI) file; 0 for any other file."""
    end = 0
    with open(path, "rb") as file:
        for _ in range(_MAX_BOXES):
            file.seek(end)
            size = _box_size(file.read(16), first=end == 0)
            if size == 0:
                return end
            end += size
    return end


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
