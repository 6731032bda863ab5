"""Times as people write them."""

import math
import re
from fractions import Fraction

from refilm.core.errors import RefilmError

_CLOCK = re.compile(r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d+)?)")


def parse_time(value: str | int | float, place: str) -> Fraction:
    """Seconds from '90', 90, 1.5, '01:30', '00:01:30.5'.

    `place` names the key in the error, such as "films.bikes.start".
    """
    match = _CLOCK.fullmatch(str(value).strip())
    if match is None:
        raise RefilmError(f'{place}: {value!r} is no time: write seconds, or "HH:MM:SS" in quotes')
    hours, minutes, seconds = match.groups(default="0")
    return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)


def first_frame(seconds: Fraction, fps: Fraction) -> int:
    """Number of the first frame that is not before a moment."""
    return math.ceil(seconds * fps)


def frame_range(start: Fraction | None, end: Fraction | None, fps: Fraction, frames: int) -> tuple[int, int]:
    """(first, count): of a film of so many frames, those from the first at or after `start` to the last before `end`.

    Raises RefilmError if there is none.
    """
    first = first_frame(start or Fraction(0), fps)
    last = frames if end is None else min(frames, first_frame(end, fps))
    if first >= frames:
        raise RefilmError(
            f"start {format_time(start)} lies after the end of the film, which lasts {format_time(frames / fps)}"
        )
    if last <= first:
        raise RefilmError(
            f"end {format_time(end)} is not after start {format_time(start or 0)}: nothing of the film would be left"
        )
    return first, last - first


def format_time(seconds: float | Fraction) -> str:
    """'1:02:03' for people; seconds are rounded."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"
