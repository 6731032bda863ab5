"""Damage: how a film file that is cut off or corrupt is noticed, and the one line that says so."""

import re
from pathlib import Path

from refilm.media import ffmpeg_log

REMEDY = "copy it again, or take what can be read with 'damaged: use' for this film in config/config.yaml"

_MOST_BOXES = 100_000


def is_cut_off(path: Path | str, log: str) -> bool:
    """True if the file ends before its own structure does, or ffmpeg, reading it, printed so in `log`."""
    return ffmpeg_log.is_cut_off(log) or declared_size(path) > Path(path).stat().st_size


def declared_size(path: Path | str) -> int:
    """Where the last of the outermost boxes of an MP4 or RIFF (AVI) file ends; 0 for any other."""
    end = 0
    with open(path, "rb") as file:
        for _ in range(_MOST_BOXES):
            file.seek(end)
            head = file.read(16)
            size = _box_size(head, first=end == 0)
            if size == 0:
                return end
            end += size
    return end


def _box_size(head: bytes, first: bool) -> int:
    """Bytes of the box that begins with `head`; 0 where there is none, or one that only ends with the file."""
    if len(head) < 8 or (first and head[:4] != b"RIFF" and head[4:8] not in (b"ftyp", b"moov", b"mdat", b"wide", b"free")):
        return 0
    if head[:4] == b"RIFF":
        return 8 + int.from_bytes(head[4:8], "little")
    if not re.fullmatch(rb"[A-Za-z0-9 ]{4}", head[4:8]):
        return 0
    size = int.from_bytes(head[:4], "big")
    if size == 1 and len(head) == 16:
        size = int.from_bytes(head[8:16], "big")
    return size if size >= 8 else 0


def line(path: Path | str, what: str) -> str:
    """The one line about a damaged film: what is there of it, and what to do."""
    return f"{path}: the film is damaged: {what}: {REMEDY}"
