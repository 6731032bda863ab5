"""Times as people write them."""

import math
import re
from fractions import Fraction

from refilm.settings.errors import RefilmError

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


def clock(seconds: float | Fraction) -> str:
    """'1:02:03' for people; seconds are rounded."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"
